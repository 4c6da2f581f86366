"""Fanfare's API over HTTP: every operation, both generations of its pages, and errors."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from tests.sandbox.support import TIMEOUT, UNKNOWN_UUID, Fanfare, Running, put_csv, table

pytestmark = pytest.mark.integration

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
RULE = {"field": "email", "operator": "EXISTS", "values": []}
SOURCE = {"syncSource": "klaviyo:list", "syncSourceId": "L1", "sourceData": {"name": "Fans"}}
REQUIRED = {"archived", "createdAt", "createdBy", "id", "name", "organizationId", "type"}
OPTIONAL = {
    *("description", "groupId", "groupName", "groupType", "iconName", "lastRefreshedAt", "metadata"),
    *("primaryExternalId", "primaryLastSyncedAt", "primarySourceVendor", "primarySyncSource"),
    *("primarySyncSourceId", "refreshIntervalSeconds", "updatedAt", "updatedBy"),
}

CALLS = {
    "getAudiences": "GET /audiences",
    "postAudiences": "POST /audiences",
    "getAudiencesGroupsByGroupId": "GET /audiences/groups/{group}",
    "postAudiencesLoyaltyTiers": "POST /audiences/loyalty-tiers",
    "getAudiencesByAudienceId": "GET /audiences/{static}",
    "putAudiencesByAudienceId": "PUT /audiences/{static}",
    "deleteAudiencesByAudienceId": "DELETE /audiences/{static}",
    "getAudiencesByAudienceIdCount": "GET /audiences/{static}/count",
    "getAudiencesByAudienceIdStatus": "GET /audiences/{static}/status",
    "getAudiencesByAudienceIdMembers": "GET /audiences/{static}/members",
    "postAudiencesByAudienceIdSync": "POST /audiences/{synced}/sync",
    "getAudiencesByAudienceIdImport": "GET /audiences/{static}/import",
    "postAudiencesByAudienceIdImport": "POST /audiences/{static}/import",
    "getAudiencesByAudienceIdRules": "GET /audiences/{dynamic}/rules",
    "postAudiencesByAudienceIdRules": "POST /audiences/{dynamic}/rules",
    "putAudiencesByAudienceIdRules": "PUT /audiences/{dynamic}/rules",
    "getAudiencesByAudienceIdRulesByRuleId": "GET /audiences/{dynamic}/rules/{rule}",
    "putAudiencesByAudienceIdRulesByRuleId": "PUT /audiences/{dynamic}/rules/{rule}",
    "deleteAudiencesByAudienceIdRulesByRuleId": "DELETE /audiences/{dynamic}/rules/{rule}",
    "getConsumersByConsumerIdAudiences": "GET /consumers/{consumer}/audiences",
}
BODIES: dict[str, Any] = {
    "postAudiences": {"name": "Fans", "type": "STATIC_LIST"},
    "postAudiencesLoyaltyTiers": {
        "groupName": "Tiers",
        "tiers": [{"name": "Silver", "order": 1, "startValue": 0, "endValue": 99}],
    },
    "putAudiencesByAudienceId": {"name": "Renamed"},
    "postAudiencesByAudienceIdRules": RULE,
    "putAudiencesByAudienceIdRules": {"rules": [RULE]},
    "putAudiencesByAudienceIdRulesByRuleId": {"field": "phone"},
}
# operations on one audience, which can answer 404
OF_ONE = [name for name, call in CALLS.items() if re.search(r"\{(static|dynamic|synced)\}", call)]


def world(sandbox: Running) -> dict[str, str]:
    caller = sandbox.fanfare()
    ids = {
        "static": caller.audience(),
        "dynamic": caller.audience("Rules", "DYNAMIC", rules=[RULE]),
        "synced": caller.audience("Synced", "SYNCED_LIST", primarySyncSource=SOURCE),
        "group": UNKNOWN_UUID,
    }
    ids["rule"] = caller.ok("GET", f"/audiences/{ids['dynamic']}/rules")[0]["id"]
    sandbox.admin(
        "fanfare/consumers",
        "POST",
        json={"consumers": [{"email": "anna@example.com"}], "audience_id": ids["static"]},
    )
    caller.begin(ids["static"])
    ids["consumer"] = caller.ok("GET", f"/audiences/{ids['static']}/members")["data"][0]["id"]
    return ids


def test_operations_under_both_prefixes_succeed(sandbox: Running) -> None:
    with table() as check:
        for prefix in ("", "/v1"):
            ids = world(sandbox)
            # a deletion goes last
            for operation in sorted(CALLS, key=lambda name: CALLS[name].startswith("DELETE")):
                method, path = CALLS[operation].format(**ids).split(" ")
                since = sandbox.admin("summary")["last_seq"]
                answer = sandbox.fanfare(suffix=prefix).send(method, path, json=BODIES.get(operation))
                assert UUID.fullmatch(answer.headers["X-Request-Id"])
                limit = answer.headers["X-RateLimit-Limit"]
                (entry,) = sandbox.entries(since=since, kind="api", vendor="fanfare")
                shown = [entry[name] for name in ("operation", "success", "path", "user")]
                expected = [f"fanfare.{operation}", True, f"/fanfare/api{prefix}{path}", "first"]
                actual = [answer.status_code, limit, *shown]
                check((operation, prefix, answer.text), actual, [200, "1000", *expected])
                if operation == "putAudiencesByAudienceIdRules":
                    ids["rule"] = answer.json()[0]["id"]


def test_operations_without_permission_or_with_foreign_ids_are_refused(sandbox: Running) -> None:
    ids = world(sandbox)
    foreign = sandbox.fanfare("sk_test_foreign_fanfare").audience()
    key, audience = sandbox.info["fanfare_secret_key"], ids["static"]
    headers = (
        {},
        {"Authorization": "Bearer sk_test_other"},
        {"Authorization": "Bearer pk_test_other"},
        {"Authorization": f"Basic {key}"},
        {"X-Publishable-Key": key},
    )
    with table() as check:
        for operation, call in CALLS.items():
            method, path = call.format(**ids).split(" ")
            body = BODIES.get(operation)
            for header in headers:
                url = sandbox.info["fanfare_url"] + path
                answer = requests.request(method, url, headers=header, json=body, timeout=TIMEOUT)
                limited = "X-RateLimit-Limit" in answer.headers, "X-Request-Id" in answer.headers
                actual = answer.status_code, answer.json(), *limited
                check((operation, header), actual, (401, {"error": "Unauthorized"}, False, True))
            sandbox.settings(fanfare_forbidden=f"fanfare.other, fanfare.{operation}")
            answer = sandbox.fanfare().send(method, path, json=body)
            error = {"error": "User must be authenticated"}
            check(operation, (answer.status_code, answer.json()), (403, error))
            sandbox.settings(fanfare_forbidden="")
            if operation in OF_ONE:
                for ident in (UNKNOWN_UUID, "no uuid", foreign):
                    others = dict.fromkeys(("static", "dynamic", "synced", "rule"), ident)
                    method, path = call.format(**others).split(" ", 1)
                    answer = sandbox.fanfare().send(method, path, json=body)
                    actual = answer.status_code, answer.json()
                    check((operation, ident), actual, (404, {"error": "Audience not found"}))
        # no refused call changed anything
        assert sandbox.fanfare().ok("GET", f"/audiences/{audience}")["name"] == "Fans"
        sandbox.reset()
        paths = ["/fanfare", "/fanfare/", "/fanfare/api", "/fanfare/api/audience", "/fanfare/x"]
        for path in paths:
            answer = sandbox.fanfare().session.get(sandbox.api + path, timeout=TIMEOUT)
            check(path, (answer.status_code, answer.json()), (404, {"error": "Not Found"}))
    entries = [(one["vendor"], one["operation"], one["path"]) for one in sandbox.entries(kind="api")]
    assert entries == [("fanfare", None, path) for path in paths]
    answer = sandbox.fanfare().send("PATCH", f"/audiences/{UNKNOWN_UUID}", json={"name": "x"})
    assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})


# --- objects --------------------------------------------------------------------------------------------


def test_audience_has_the_documented_fields(sandbox: Running, fanfare: Fanfare) -> None:
    body = {
        **{"name": "Fans", "type": "SYNCED_LIST", "description": "all of them", "metadata": {"a": 1}},
        **{"groupId": UNKNOWN_UUID, "groupName": "g", "groupType": "RFM", "iconName": "star"},
        **{"lastRefreshedAt": "2023-11-07T05:31:56Z", "refreshIntervalSeconds": 60},
    }
    made = fanfare.ok("POST", "/audiences", json={**body, "primarySyncSource": SOURCE, "rules": None})
    assert set(made) == REQUIRED | OPTIONAL | {"imports", "rules"}
    assert {name: made[name] for name in body} == body
    assert UUID.fullmatch(made["id"])
    assert TIME.fullmatch(made["createdAt"])
    assert (made["archived"], made["imports"], made["rules"]) == (False, [], [])
    assert made["organizationId"] == sandbox.info["fanfare_organization_id"]
    source = made["primarySyncSource"]
    assert set(source) == {
        *("archived", "createdAt", "createdBy", "id", "organizationId", "syncSource", "syncSourceId"),
        *("lastSyncedAt", "sourceData", "syncStatus", "updatedAt", "updatedBy"),
    }
    assert (made["primaryExternalId"], made["primarySourceVendor"]) == ("L1", "klaviyo")
    assert made["primarySyncSourceId"] == source["id"]
    assert fanfare.ok("GET", f"/audiences/{made['id']}") == made


def test_empty_fields_with_omit_are_absent(sandbox: Running, fanfare: Fanfare) -> None:
    sandbox.settings(fanfare_empty_fields="omit")
    made = fanfare.ok("POST", "/audiences", json={"name": "Fans", "type": "STATIC_LIST"})
    assert set(made) == REQUIRED | {"imports", "rules"}
    pending = fanfare.begin(made["id"])
    assert not {"totalConsumers", "errors", "updatedAt", "updatedBy"} & set(pending)


def test_put_changes_named_fields_and_delete_archives(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience("Fans", description="old")
    changed = fanfare.ok("PUT", f"/audiences/{audience}", json={"description": None, "type": "DYNAMIC"})
    assert set(changed) == REQUIRED | OPTIONAL
    assert (changed["name"], changed["description"], changed["type"]) == ("Fans", None, "DYNAMIC")
    assert changed["updatedAt"] is not None
    gone = fanfare.ok("DELETE", f"/audiences/{audience}")
    assert (gone["archived"], set(gone)) == (True, REQUIRED | OPTIONAL)
    assert fanfare.ok("GET", "/audiences")["data"] == []
    assert fanfare.send("GET", f"/audiences/{audience}").status_code == 404
    sandbox.settings(fanfare_archived_answer="object")
    assert fanfare.ok("GET", f"/audiences/{audience}")["archived"] is True
    assert fanfare.ok("GET", "/audiences")["data"] == []


def test_post_audiences_with_an_invalid_body_returns_issues(fanfare: Fanfare) -> None:
    for missing, other in (("type", {"name": "Fans"}), ("name", {"type": "STATIC_LIST"})):
        answer = fanfare.send("POST", "/audiences", json=other)
        issue = {
            **{"kind": "schema", "type": "object", "expected": f'"{missing}"', "received": "undefined"},
            "message": f'Invalid key: Expected "{missing}" but received undefined',
            "path": [{"type": "object", "origin": "key", "input": other, "key": missing}],
        }
        assert answer.status_code == 400
        assert answer.json() == {"error": "validation_error", "issues": [issue]}
    answer = fanfare.send("POST", "/audiences", json={"name": "", "type": "STATIC", "typ": 1})
    assert [issue["path"][0]["key"] for issue in answer.json()["issues"]] == ["name", "type", "typ"]
    answer = fanfare.send("POST", "/audiences", data="{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": "The body is not JSON"})
    assert fanfare.send("POST", "/audiences", data={"name": "x"}).status_code == 415
    answer = fanfare.send("POST", "/audiences", json={"name": "x", "type": "STATIC_LIST", "rules": [RULE]})
    assert answer.json() == {"error": "Audience is not dynamic"}


def test_error_shape_follows_the_setting(sandbox: Running, fanfare: Fanfare) -> None:
    not_found = {"error": "Not Found", "message": "Audience not found", "details": []}
    bad = {"error": "Bad Request", "message": "Validation failed", "code": "VALIDATION_ERROR"}
    for shape, invalid, missing in (
        ("errors_page", {"error": "Validation failed"}, not_found),
        ("troubleshooting", bad, {**not_found, "code": "NOT_FOUND"}),
    ):
        sandbox.settings(fanfare_error_shape=shape)
        body = fanfare.send("POST", "/audiences", json={}).json()
        details = body.pop("details")
        assert [detail["field"] for detail in details] == ["name", "type"]
        assert all(set(detail) == {"field", "message"} for detail in details)
        assert body == invalid
        assert fanfare.send("GET", f"/audiences/{UNKNOWN_UUID}").json() == missing


# --- paging, rate limit ---------------------------------------------------------------------------------


def test_get_audiences_returns_pages(sandbox: Running, fanfare: Fanfare) -> None:
    # a name may repeat
    made = [fanfare.audience("same" if number > 20 else f"a{number:02}") for number in range(23)]

    def page(**query: Any) -> tuple[list[int], str, str]:
        answer = fanfare.ok("GET", "/audiences", params=query)
        assert set(answer) == {"data", "pageInfo"}
        assert set(answer["pageInfo"]) == {"startCursor", "endCursor"}
        numbers = [made.index(item["id"]) for item in answer["data"]]
        return numbers, answer["pageInfo"]["startCursor"], answer["pageInfo"]["endCursor"]

    newest_first = list(range(22, -1, -1))
    first, _, after = page()
    rest, _, last = page(after=after)
    assert (first, rest) == (newest_first[:20], newest_first[20:])
    # the last page has a cursor as well, and the page after it is empty
    assert page(after=last) == ([], None, None)
    _, _, low = page(first=2, sortDir="asc")
    _, high, _ = page(last=2, sortDir="asc")
    with table() as check:
        for query, numbers in (
            ({"sortDir": "asc", "first": 100}, newest_first[::-1]),
            ({"sortBy": "name", "sortDir": "asc", "first": 2}, [0, 1]),
            ({"sortBy": "updatedAt", "first": 2}, [22, 21]),
            ({"last": 2}, [1, 0]),
            ({"last": 2, "before": after}, [5, 4]),
            ({"first": 2, "before": after}, [22, 21]),
            ({"sortDir": "asc", "last": 3, "before": high}, [18, 19, 20]),
            ({"sortDir": "asc", "after": low, "before": high}, list(range(2, 21))),
            ({"sortDir": "asc", "after": high, "before": low}, []),
        ):
            check(query, page(**query)[0], numbers)
        # a cursor stays valid after its item has gone
        fanfare.ok("DELETE", f"/audiences/{made[1]}")
        check("gone", page(sortDir="asc", after=low, first=2)[0], [2, 3])
        sandbox.settings(fanfare_last_page="null")
        check("last page", page(after=after)[2], None)
        queries: list[dict[str, Any]] = [{"first": value} for value in (0, 101, "x", -1)]
        queries += [{"last": 101}, {"last": 1, "first": 1}, {"sortBy": "email"}, {"sortDir": "up"}]
        queries += [{"after": value} for value in ("no cursor", "", "W10")] + [{"before": "eyJhIjoxfQ"}]
        # a cursor of another order
        queries.append({"after": low, "sortBy": "name"})
        for query in queries:
            answer = fanfare.send("GET", "/audiences", params=query)
            (issue,) = answer.json()["issues"]
            actual = answer.status_code, answer.json()["error"], issue["path"][0]["key"] in query
            check(query, actual, (400, "validation_error", True))


def test_get_members_returns_pages_and_searches(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    people = [{"email": f"p{number:03}@example.com", "firstName": "P"} for number in range(250)]
    sandbox.admin("fanfare/consumers", "POST", json={"consumers": people, "audience_id": audience})
    emails: list[str] = []
    query: dict[str, Any] = {"first": 100}
    while True:
        page = fanfare.ok("GET", f"/audiences/{audience}/members", params=query)
        if not page["data"]:
            break
        emails += [item["email"] for item in page["data"]]
        query["after"] = page["pageInfo"]["endCursor"]
    assert emails == [person["email"] for person in reversed(people)]
    (member,) = fanfare.ok("GET", f"/audiences/{audience}/members", params={"search": "P007"})["data"]
    assert set(member) == {
        *("archived", "createdAt", "id", "organizationId", "tags", "updatedAt", "verificationCode"),
        *("email", "phone", "externalId", "firstName", "lastName", "fullName"),
        *("loyaltyPoints", "loyaltyTier", "metadata"),
    }
    assert re.fullmatch(r"\d{6}", member["verificationCode"])
    (entry,) = [one for one in sandbox.entries(kind="api") if "search" in one["query"]]
    assert entry["query"] == "search=..."
    assert [item["id"] for item in fanfare.ok("GET", f"/consumers/{member['id']}/audiences")] == [audience]
    answer = fanfare.send("GET", f"/consumers/{UNKNOWN_UUID}/audiences")
    assert (answer.status_code, answer.json()) == (404, {"error": "Consumer not found"})


def test_rate_limit_when_exceeded_is_429_per_organization(sandbox: Running, fanfare: Fanfare) -> None:
    assert sandbox.clock is not None
    begin = sandbox.clock.now()
    sandbox.settings(fanfare_rate_limit=2)
    first = fanfare.send("GET", "/audiences")
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("2", "1")
    assert first.headers["X-RateLimit-Reset"] == str(int(begin.timestamp() + 60))
    sandbox.step(30.5)
    assert fanfare.send("GET", f"/audiences/{UNKNOWN_UUID}").headers["X-RateLimit-Remaining"] == "0"
    refused = fanfare.send("GET", "/audiences")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert refused.json() == {"error": "Rate limit exceeded", "retryAfter": 30}
    assert refused.headers["X-RateLimit-Reset"] == first.headers["X-RateLimit-Reset"]
    sandbox.settings(fanfare_rate_limit=2, fanfare_retry_after="date")
    date = fanfare.send("GET", "/audiences").headers["Retry-After"]
    assert abs((parsedate_to_datetime(date) - begin).total_seconds() - 60) < 1
    # of the organization, not of the vendor; calls without a valid key do not count
    assert sandbox.fanfare("sk_test_foreign_fanfare").send("GET", "/audiences").status_code == 200
    assert sandbox.fanfare("sk_test_other").send("GET", "/audiences").status_code == 401
    sandbox.step(29.5)
    assert fanfare.send("GET", "/audiences").headers["X-RateLimit-Remaining"] == "1"
    fanfare.send("GET", "/audiences")
    assert fanfare.send("GET", "/audiences").status_code == 429
    sandbox.reset()
    assert fanfare.send("GET", "/audiences").status_code == 200


# --- rules, groups, syncs -------------------------------------------------------------------------------


def test_rules_after_changes_select_the_members(sandbox: Running, fanfare: Fanfare) -> None:
    people = [
        {"email": "a@example.com", "loyaltyPoints": 10},
        {"email": "b@example.com", "loyaltyPoints": 90},
    ]
    sandbox.admin("fanfare/consumers", "POST", json={"consumers": people})
    audience = fanfare.audience("Rich", "DYNAMIC")
    path = f"/audiences/{audience}/rules"
    rule = {"field": "loyaltyPoints", "operator": "BETWEEN", "values": [50, 100], "position": 1}
    made = fanfare.ok("POST", path, json=rule)
    assert set(made) == {
        *("audienceId", "field", "id", "operator", "organizationId", "values", "groupId", "position"),
    }
    state = fanfare.status(audience)
    assert set(state) == {
        *("audienceId", "version", "stale", "inProgress"),
        *("lastRefreshedAt", "lastSyncedAt", "pendingShards", "refreshIntervalSeconds", "syncStatus"),
    }
    assert (state["stale"], state["inProgress"], state["pendingShards"]) == (True, True, 1)
    assert state["lastRefreshedAt"] is None
    # each change is a refresh of its own, after a delay
    sandbox.work()
    state = fanfare.status(audience)
    assert (state["stale"], state["inProgress"], state["pendingShards"]) == (False, False, 0)
    assert state["lastRefreshedAt"] is not None
    assert fanfare.count(audience) == 1
    one = f"{path}/{made['id']}"
    assert fanfare.ok("GET", one) == made
    assert fanfare.ok("PUT", one, json={"values": [0, 100]})["values"] == [0, 100]
    assert fanfare.send("PUT", one, json={"values": [0]}).status_code == 400
    sandbox.work()
    assert fanfare.count(audience) == 2
    replaced = fanfare.ok("PUT", path, json={"rules": [RULE, rule]})
    assert fanfare.ok("GET", path) == replaced
    assert fanfare.send("GET", one).json() == {"error": "Rule not found"}
    removed = f"{path}/{replaced[0]['id']}"
    assert fanfare.ok("DELETE", removed) == replaced[0]
    assert fanfare.ok("GET", f"/audiences/{audience}")["rules"] == replaced[1:]
    assert fanfare.send("POST", path, json=[rule]).status_code == 400
    static = fanfare.audience()
    answer = fanfare.send("POST", f"/audiences/{static}/rules", json=rule)
    assert (answer.status_code, answer.json()) == (400, {"error": "Audience is not dynamic"})


def test_loyalty_tiers_create_a_group(fanfare: Fanfare) -> None:
    tiers = [
        {"name": "Gold", "order": 2, "startValue": 100, "iconName": "star"},
        {"name": "Silver", "order": 1, "startValue": 0, "endValue": 99},
    ]
    made = fanfare.ok("POST", "/audiences/loyalty-tiers", json={"groupName": "Tiers", "tiers": tiers})
    assert [item["name"] for item in made["audiences"]] == ["Silver", "Gold"]
    silver, gold = made["audiences"]
    assert (silver["rules"][0]["operator"], silver["rules"][0]["values"]) == ("BETWEEN", [0, 99])
    assert (gold["rules"][0]["operator"], gold["rules"][0]["values"]) == ("GREATER_THAN_OR_EQUAL", [100])
    assert {silver["groupName"], gold["groupName"]} == {"Tiers"}
    group = fanfare.ok("GET", f"/audiences/groups/{silver['groupId']}")
    assert {item["id"] for item in group} == {silver["id"], gold["id"]}
    assert fanfare.ok("GET", f"/audiences/groups/{UNKNOWN_UUID}") == []


def test_dynamic_audience_after_the_delay_follows_its_rules(sandbox: Running, fanfare: Fanfare) -> None:
    sandbox.settings(fanfare_refresh_delay=5, fanfare_import_delay=0)
    dynamic = fanfare.audience("Rules", "DYNAMIC", rules=[RULE])
    sandbox.step(5)
    version = fanfare.status(dynamic)["version"]
    pending = fanfare.begin(fanfare.audience())
    put_csv(pending["uploadUrl"], b"email,phone\nanna@example.com,+31612345678\nben@example.com,\n")
    sandbox.step()
    assert (fanfare.status(dynamic)["stale"], fanfare.count(dynamic)) == (True, 0)
    sandbox.step(3)
    fanfare.ok("PUT", f"/audiences/{dynamic}/rules", json={"rules": [{**RULE, "field": "phone"}]})
    sandbox.step(2)
    # the change in between has its own five seconds
    assert (fanfare.status(dynamic)["stale"], fanfare.count(dynamic)) == (True, 0)
    sandbox.step(3)
    (member,) = fanfare.ok("GET", f"/audiences/{dynamic}/members")["data"]
    assert member["email"] == "anna@example.com"
    assert fanfare.status(dynamic)["version"] > version


def test_sync_replaces_the_members(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience("Synced", "SYNCED_LIST", primarySyncSource=SOURCE)

    def fill(*people: dict[str, str]) -> None:
        sandbox.admin(f"fanfare/audiences/{audience}/source", "PUT", json={"consumers": people})

    def state(*names: str) -> list[Any]:
        status = fanfare.status(audience)
        return [status[name] for name in names]

    fill({"email": "a@example.com"}, {"phone": "+31612345678"})
    pending = fanfare.ok("POST", f"/audiences/{audience}/sync")
    source = fanfare.ok("GET", f"/audiences/{audience}")["primarySyncSourceId"]
    assert pending == {"success": True, "syncSourceId": source, "status": "PENDING"}
    names = ("syncStatus", "inProgress", "version")
    assert state(*names, "lastSyncedAt") == ["PENDING", True, 1, None]
    answer = fanfare.send("POST", f"/audiences/{audience}/sync")
    assert (answer.status_code, answer.json()) == (409, {"error": "Sync already in progress"})
    sandbox.step(1)
    assert (state(*names), fanfare.count(audience)) == (["SUCCESS", False, 2], 2)
    (synced_at,) = state("lastSyncedAt")
    assert TIME.fullmatch(synced_at)
    assert fanfare.ok("GET", f"/audiences/{audience}")["primarySyncSource"]["lastSyncedAt"] == synced_at
    # a sync that fails changes nothing
    sandbox.settings(fanfare_sync_result="FAILED")
    fill()
    fanfare.ok("POST", f"/audiences/{audience}/sync")
    sandbox.step(1)
    assert state(*names, "lastSyncedAt") == ["FAILED", False, 2, synced_at]
    assert fanfare.count(audience) == 2
    for ident, message in {
        fanfare.audience(): "Audience is not a synced list",
        fanfare.audience("No source", "SYNCED_LIST"): "Audience has no sync source",
    }.items():
        answer = fanfare.send("POST", f"/audiences/{ident}/sync")
        assert (answer.status_code, answer.json()) == (400, {"error": message})


# --- the hand-written pages -----------------------------------------------------------------------------


def test_handwritten_generation_changes_the_answers(sandbox: Running) -> None:
    sandbox.settings(fanfare_docs_generation="handwritten")
    fanfare = sandbox.fanfare(suffix="/v1")
    assert fanfare.send("POST", "/audiences", json={"name": "x", "type": "STATIC_LIST"}).status_code == 400
    made = fanfare.ok("POST", "/audiences", json={"name": "Fans", "type": "STATIC"})
    assert made["type"] == "STATIC"
    assert re.fullmatch(r"aud_01[0-9A-Z]{24}", made["id"])
    assert fanfare.ok("GET", "/audiences", params={"include": "rules"}) == [made]
    done = fanfare.load(made["id"], b"email\na@example.com\n")
    assert (done["status"], done["processedConsumers"]) == ("SUCCESS", 1)
    assert re.fullmatch(rf"imports/[^/]+/{made['id']}/\d{{13}}\.csv", done["s3Key"])
    count = {"audienceId": made["id"], "count": 1, "source": "database"}
    assert fanfare.ok("GET", f"/audiences/{made['id']}/count") == count
    dynamic = fanfare.audience("Rules", "DYNAMIC")
    rules = [{"field": "email", "operator": "CONTAINS", "values": ["example"]}]
    (rule,) = fanfare.ok("POST", f"/audiences/{dynamic}/rules", json=rules)
    assert rule["id"].startswith("rule_01")
    assert fanfare.send("POST", f"/audiences/{dynamic}/rules", json=rules[0]).status_code == 400
    assert fanfare.send("POST", f"/audiences/{dynamic}/rules", json=[RULE]).status_code == 400
    tiers: dict[str, Any] = {"groupName": "g", "tiers": [{"name": "a", "order": 1, "startValue": 0}]}
    assert fanfare.send("POST", "/audiences/loyalty-tiers", json=tiers).status_code == 400
    tiers["attribute"] = "lifetimeSpend"
    group = fanfare.ok("POST", "/audiences/loyalty-tiers", json=tiers)["tierGroup"]
    assert group["attribute"] == "lifetimeSpend"
    # existing objects keep their ids, and get the words of the new setting
    sandbox.settings(fanfare_docs_generation="spec")
    assert fanfare.ok("GET", f"/audiences/{made['id']}")["type"] == "STATIC_LIST"
    assert fanfare.ok("GET", f"/audiences/{made['id']}/import")["status"] == "COMPLETED"


# --- admin ----------------------------------------------------------------------------------------------


def test_rotate_key_ends_the_old_key(sandbox: Running, fanfare: Fanfare) -> None:
    key = sandbox.admin("fanfare/rotate-key", "POST")["secret_key"]
    assert fanfare.send("GET", "/audiences").status_code == 401
    assert sandbox.fanfare(key).send("GET", "/audiences").status_code == 200
    assert key not in str(sandbox.admin("journal"))
    sandbox.reset()
    assert fanfare.send("GET", "/audiences").status_code == 200


def test_journal_has_ids_and_no_personal_data_or_key(sandbox: Running, fanfare: Fanfare) -> None:
    rule = {"field": "email", "operator": "IN", "values": ["secret@example.com"]}
    audience = fanfare.audience("Rules", "DYNAMIC", rules=[rule], metadata={"owner": "secret@example.com"})
    fanfare.send("POST", f"/audiences/{audience}/rules", json={**rule, "operator": "secret@example.com"})
    entries = sandbox.entries(kind="api")
    assert entries[0]["ids"] == entries[1]["ids"] == {"audienceId": audience}
    assert entries[0]["body"]["rules"] == [{"field": "email", "operator": "IN", "values": "..."}]
    assert entries[1]["message"] == "Validation failed: operator"
    whole = str(entries[0])
    assert "secret@" not in whole
    assert sandbox.info["fanfare_secret_key"] not in whole
    summary = sandbox.admin("summary")["operations"]
    assert summary["fanfare.postAudiences"] == {"success": 1, "failure": 0}
    assert summary["fanfare.postAudiencesByAudienceIdRules"] == {"success": 0, "failure": 1}


def test_fanfare_admin_shows_members_and_refuses_invalid_requests(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    sandbox.fanfare("sk_test_foreign_fanfare").audience("theirs")
    people = {"consumers": [{"email": "a@example.com"}], "audience_id": audience}
    assert sandbox.admin("fanfare/consumers", "POST", json=people) == {"count": 1}
    lines = sandbox.admin("fanfare/audiences")
    assert [(line["organization"], line["members"]) for line in lines] == [("first", 1), ("foreign", 0)]
    assert sandbox.admin("fanfare/consumers") == people["consumers"]
    assert sandbox.admin(f"fanfare/audiences/{audience}/members")["members"] == people["consumers"]
    for method, path, body, status in (
        ("GET", "audiences/x/members", None, 404),
        ("PUT", "audiences/x/source", people, 404),
        ("PUT", f"audiences/{audience}/source", people, 400),
        ("POST", "consumers", {"consumers": [{"firstName": "A"}]}, 400),
        ("POST", "consumers", {"consumers": [{"email": "a", "shoe": 1}]}, 400),
        ("POST", "fail-import", {"audience": audience}, 422),
    ):
        assert sandbox.refused(f"fanfare/{path}", method, json=body) == status
    # nothing of this changes Digital Audience
    assert sandbox.admin("audiences") == []
