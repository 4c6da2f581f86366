"""Fanfare's API over HTTP: every operation, both generations of its pages, and the answers to mistakes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from tests.sandbox.support import TIMEOUT, Fanfare, Running, wait_for

pytestmark = pytest.mark.integration

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
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
# operations on one audience, which 404 applies to
OF_ONE = [name for name, call in CALLS.items() if re.search(r"\{(static|dynamic|synced)\}", call)]


@pytest.fixture
def fanfare(sandbox: Running) -> Fanfare:
    return sandbox.fanfare()


def world(sandbox: Running) -> dict[str, str]:
    caller = sandbox.fanfare()
    ids = {
        "static": caller.audience(),
        "dynamic": caller.audience("Rules", "DYNAMIC", rules=[RULE]),
        "synced": caller.audience("Synced", "SYNCED_LIST", primarySyncSource=SOURCE),
        "group": NOBODY,
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


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("operation", CALLS)
def test_every_operation(sandbox: Running, operation: str, prefix: str) -> None:
    ids = world(sandbox)
    method, path = CALLS[operation].format(**ids).split(" ")
    since = sandbox.admin("summary")["last_seq"]
    answer = sandbox.fanfare(suffix=prefix).send(method, path, json=BODIES.get(operation))
    assert answer.status_code == 200, answer.text
    assert UUID.fullmatch(answer.headers["X-Request-Id"])
    assert answer.headers["X-RateLimit-Limit"] == "1000"
    (entry,) = sandbox.entries(since=since, kind="api", vendor="fanfare")
    assert (entry["operation"], entry["success"]) == (f"fanfare.{operation}", True)
    assert (entry["path"], entry["user"]) == (f"/fanfare/api{prefix}{path}", "first")


@pytest.mark.parametrize("operation", CALLS)
def test_every_operation_needs_a_secret_key(sandbox: Running, operation: str) -> None:
    method, path = (
        CALLS[operation]
        .format_map(dict.fromkeys(re.findall(r"{(\w+)}", CALLS[operation]), NOBODY))
        .split(" ")
    )
    for headers in (
        {},
        {"Authorization": "Bearer sk_test_other"},
        {"Authorization": "Bearer pk_test_other"},
        {"Authorization": f"Basic {sandbox.info['fanfare_secret_key']}"},
        {"X-Publishable-Key": sandbox.info["fanfare_secret_key"]},
    ):
        url = sandbox.info["fanfare_url"] + path
        answer = requests.request(method, url, headers=headers, json=BODIES.get(operation), timeout=TIMEOUT)
        assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})
        assert answer.headers["X-Request-Id"]
        assert "X-RateLimit-Limit" not in answer.headers


@pytest.mark.parametrize("operation", OF_ONE)
def test_an_unknown_or_foreign_audience_is_404(sandbox: Running, operation: str) -> None:
    foreign = sandbox.fanfare("sk_test_foreign_fanfare").audience()
    for ident in (NOBODY, "no uuid", foreign):
        ids = dict.fromkeys(("static", "dynamic", "synced", "rule"), ident)
        method, path = CALLS[operation].format(**ids).split(" ", 1)
        answer = sandbox.fanfare().send(method, path, json=BODIES.get(operation))
        assert (answer.status_code, answer.json()) == (404, {"error": "Audience not found"})


@pytest.mark.parametrize("operation", CALLS)
def test_an_operation_can_be_forbidden(sandbox: Running, operation: str) -> None:
    ids = world(sandbox)
    sandbox.settings(fanfare_forbidden=f"fanfare.other, fanfare.{operation}")
    method, path = CALLS[operation].format(**ids).split(" ")
    answer = sandbox.fanfare().send(method, path, json=BODIES.get(operation))
    assert (answer.status_code, answer.json()) == (403, {"error": "User must be authenticated"})


@pytest.mark.parametrize(
    "path", ["/fanfare", "/fanfare/", "/fanfare/api", "/fanfare/api/audience", "/fanfare/x"]
)
def test_unknown_paths_stay_with_the_vendor(sandbox: Running, path: str) -> None:
    answer = sandbox.fanfare().session.get(sandbox.api + path, timeout=TIMEOUT)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})
    (entry,) = sandbox.entries(kind="api")
    assert (entry["vendor"], entry["operation"], entry["path"]) == ("fanfare", None, path)


def test_another_method_is_405(fanfare: Fanfare) -> None:
    answer = fanfare.send("PATCH", f"/audiences/{NOBODY}", json={"name": "x"})
    assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})


# --- what the objects look like -------------------------------------------------------------------------


def test_an_audience_has_the_documented_fields(sandbox: Running, fanfare: Fanfare) -> None:
    body = {
        "name": "Fans",
        "type": "SYNCED_LIST",
        "description": "all of them",
        "groupId": NOBODY,
        "groupName": "g",
        "groupType": "RFM",
        "iconName": "star",
        "lastRefreshedAt": "2023-11-07T05:31:56Z",
        "metadata": {"a": 1},
        "primarySyncSource": SOURCE,
        "refreshIntervalSeconds": 60,
        "rules": None,
    }
    made = fanfare.ok("POST", "/audiences", json=body)
    assert set(made) == REQUIRED | OPTIONAL | {"imports", "rules"}
    for name in ("name", "type", "description", "groupId", "groupName", "groupType", "iconName", "metadata"):
        assert made[name] == body[name]
    assert UUID.fullmatch(made["id"])
    assert TIME.fullmatch(made["createdAt"])
    assert (made["archived"], made["imports"], made["rules"]) == (False, [], [])
    assert (made["lastRefreshedAt"], made["refreshIntervalSeconds"]) == ("2023-11-07T05:31:56Z", 60)
    assert made["organizationId"] == sandbox.info["fanfare_organization_id"]
    source = made["primarySyncSource"]
    assert set(source) == {
        *("archived", "createdAt", "createdBy", "id", "organizationId", "syncSource", "syncSourceId"),
        *("lastSyncedAt", "sourceData", "syncStatus", "updatedAt", "updatedBy"),
    }
    assert (made["primaryExternalId"], made["primarySourceVendor"]) == ("L1", "klaviyo")
    assert made["primarySyncSourceId"] == source["id"]
    assert fanfare.ok("GET", f"/audiences/{made['id']}") == made


def test_two_of_the_same_name_are_two(fanfare: Fanfare) -> None:
    assert fanfare.audience("Fans") != fanfare.audience("Fans")
    assert len(fanfare.ok("GET", "/audiences")["data"]) == 2


def test_empty_fields_may_be_left_out(sandbox: Running, fanfare: Fanfare) -> None:
    sandbox.settings(fanfare_empty_fields="omit")
    made = fanfare.ok("POST", "/audiences", json={"name": "Fans", "type": "STATIC_LIST"})
    assert set(made) == REQUIRED | {"imports", "rules"}
    begun = fanfare.begin(made["id"])
    assert not {"totalConsumers", "errors", "updatedAt", "updatedBy"} & set(begun)


def test_put_changes_what_it_names_and_delete_archives(sandbox: Running, fanfare: Fanfare) -> None:
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


def test_a_bad_body_is_explained(fanfare: Fanfare) -> None:
    answer = fanfare.send("POST", "/audiences", json={"name": "Fans"})
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "error": "validation_error",
            "issues": [
                {
                    "kind": "schema",
                    "type": "object",
                    "expected": '"type"',
                    "received": "undefined",
                    "message": 'Invalid key: Expected "type" but received undefined',
                    "path": [{"type": "object", "origin": "key", "input": {"name": "Fans"}, "key": "type"}],
                }
            ],
        },
    )
    answer = fanfare.send("POST", "/audiences", json={"name": "", "type": "STATIC", "typ": 1})
    assert [issue["path"][0]["key"] for issue in answer.json()["issues"]] == ["name", "type", "typ"]
    answer = fanfare.send("POST", "/audiences", data="{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": "The body is not JSON"})
    assert fanfare.send("POST", "/audiences", data={"name": "x"}).status_code == 415
    answer = fanfare.send("POST", "/audiences", json={"name": "x", "type": "STATIC_LIST", "rules": [RULE]})
    assert answer.json() == {"error": "Audience is not dynamic"}


@pytest.mark.parametrize("shape", ["errors_page", "troubleshooting"])
def test_other_pages_show_other_errors(sandbox: Running, fanfare: Fanfare, shape: str) -> None:
    sandbox.settings(fanfare_error_shape=shape)
    invalid = fanfare.send("POST", "/audiences", json={}).json()
    missing = fanfare.send("GET", f"/audiences/{NOBODY}").json()
    assert [detail["field"] for detail in invalid["details"]] == ["name", "type"]
    if shape == "errors_page":
        assert (invalid["error"], missing["message"]) == ("Validation failed", "Audience not found")
    else:
        assert (invalid["code"], missing["code"]) == ("VALIDATION_ERROR", "NOT_FOUND")


# --- paging, rate limit ---------------------------------------------------------------------------------


def test_audiences_are_paged(sandbox: Running, fanfare: Fanfare) -> None:
    made = [fanfare.audience(f"a{number:02}") for number in range(23)]
    page = fanfare.ok("GET", "/audiences")
    assert set(page) == {"data", "pageInfo"}
    assert set(page["pageInfo"]) == {"startCursor", "endCursor"}
    assert [item["id"] for item in page["data"]] == made[:2:-1]
    after = page["pageInfo"]["endCursor"]
    rest = fanfare.ok("GET", "/audiences", params={"after": after})
    assert [item["id"] for item in rest["data"]] == made[2::-1]
    # the last page has a cursor as well, and what comes after it is empty
    last = rest["pageInfo"]["endCursor"]
    empty = fanfare.ok("GET", "/audiences", params={"after": last})
    assert empty == {"data": [], "pageInfo": {"startCursor": None, "endCursor": None}}
    sandbox.settings(fanfare_last_page="null")
    assert fanfare.ok("GET", "/audiences", params={"after": after})["pageInfo"]["endCursor"] is None
    by_name = {"sortBy": "name", "sortDir": "asc", "first": 2}
    assert [one["name"] for one in fanfare.ok("GET", "/audiences", params=by_name)["data"]] == ["a00", "a01"]
    back = fanfare.ok("GET", "/audiences", params={"last": 2, "before": after})
    assert [item["id"] for item in back["data"]] == made[5:3:-1]
    for query in ({"first": 101}, {"first": 0}, {"after": "x"}, {"first": 1, "last": 1}, {"sortBy": "x"}):
        answer = fanfare.send("GET", "/audiences", params=query)
        assert (answer.status_code, answer.json()["error"]) == (400, "validation_error")


def test_members_are_paged_and_searched(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    people = [{"email": f"p{number:03}@example.com", "firstName": "P"} for number in range(250)]
    sandbox.admin("fanfare/consumers", "POST", json={"consumers": people, "audience_id": audience})
    seen: list[str] = []
    query: dict[str, Any] = {"first": 100}
    while True:
        page = fanfare.ok("GET", f"/audiences/{audience}/members", params=query)
        if not page["data"]:
            break
        seen += [item["email"] for item in page["data"]]
        query["after"] = page["pageInfo"]["endCursor"]
    assert seen == [person["email"] for person in reversed(people)]
    (found,) = fanfare.ok("GET", f"/audiences/{audience}/members", params={"search": "P007"})["data"]
    assert set(found) == {
        *("archived", "createdAt", "id", "organizationId", "tags", "updatedAt", "verificationCode"),
        *("email", "phone", "externalId", "firstName", "lastName", "fullName"),
        *("loyaltyPoints", "loyaltyTier", "metadata"),
    }
    assert re.fullmatch(r"\d{6}", found["verificationCode"])
    (entry,) = [one for one in sandbox.entries(kind="api") if "search" in one["query"]]
    assert entry["query"] == "search=..."
    assert [item["id"] for item in fanfare.ok("GET", f"/consumers/{found['id']}/audiences")] == [audience]
    assert fanfare.send("GET", f"/consumers/{NOBODY}/audiences").json() == {"error": "Consumer not found"}


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_rate_limit(sandbox: Running, fanfare: Fanfare, form: str) -> None:
    sandbox.settings(fanfare_rate_limit=2, fanfare_retry_after=form)
    first = fanfare.send("GET", "/audiences")
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("2", "1")
    assert fanfare.send("GET", f"/audiences/{NOBODY}").headers["X-RateLimit-Remaining"] == "0"
    refused = fanfare.send("GET", "/audiences")
    assert refused.status_code == 429
    body = refused.json()
    assert set(body) == {"error", "retryAfter"}
    assert body["error"] == "Rate limit exceeded"
    assert 0 < body["retryAfter"] <= 60
    assert refused.headers["X-RateLimit-Reset"] == first.headers["X-RateLimit-Reset"]
    if form == "seconds":
        assert refused.headers["Retry-After"] == str(body["retryAfter"])
    else:
        assert refused.headers["Retry-After"].endswith(" GMT")
    # of the organization, not of the vendor
    assert sandbox.fanfare("sk_test_foreign_fanfare").send("GET", "/audiences").status_code == 200
    sandbox.reset()
    assert fanfare.send("GET", "/audiences").status_code == 200


# --- rules, groups, syncs -------------------------------------------------------------------------------


def settled(fanfare: Fanfare, audience: str) -> Any:
    return wait_for(
        lambda: fanfare.ok("GET", f"/audiences/{audience}/status"), lambda seen: not seen["inProgress"]
    )


def test_rules_are_changed_one_by_one_and_all_at_once(sandbox: Running, fanfare: Fanfare) -> None:
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
    state = fanfare.ok("GET", f"/audiences/{audience}/status")
    assert set(state) == {
        *("audienceId", "version", "stale", "inProgress"),
        *("lastRefreshedAt", "lastSyncedAt", "pendingShards", "refreshIntervalSeconds", "syncStatus"),
    }
    assert settled(fanfare, audience)["stale"] is False
    assert fanfare.count(audience) == 1
    one = f"{path}/{made['id']}"
    assert fanfare.ok("GET", one) == made
    assert fanfare.ok("PUT", one, json={"values": [0, 100]})["values"] == [0, 100]
    assert fanfare.send("PUT", one, json={"values": [0]}).status_code == 400
    settled(fanfare, audience)
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


def test_loyalty_tiers_make_a_group(fanfare: Fanfare) -> None:
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
    assert fanfare.ok("GET", f"/audiences/groups/{NOBODY}") == []


def test_a_synced_list(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience("Synced", "SYNCED_LIST", primarySyncSource=SOURCE)
    people = {"consumers": [{"email": "a@example.com"}, {"phone": "+31612345678"}]}
    sandbox.admin(f"fanfare/audiences/{audience}/source", "PUT", json=people)
    begun = fanfare.ok("POST", f"/audiences/{audience}/sync")
    source = fanfare.ok("GET", f"/audiences/{audience}")["primarySyncSourceId"]
    assert begun == {"success": True, "syncSourceId": source, "status": "PENDING"}
    state = settled(fanfare, audience)
    assert (state["syncStatus"], fanfare.count(audience)) == ("SUCCESS", 2)
    assert TIME.fullmatch(state["lastSyncedAt"])
    sandbox.settings(fanfare_sync_delay=600)
    fanfare.ok("POST", f"/audiences/{audience}/sync")
    answer = fanfare.send("POST", f"/audiences/{audience}/sync")
    assert (answer.status_code, answer.json()) == (409, {"error": "Sync already in progress"})
    for ident, message in {
        fanfare.audience(): "Audience is not a synced list",
        fanfare.audience("No source", "SYNCED_LIST"): "Audience has no sync source",
    }.items():
        answer = fanfare.send("POST", f"/audiences/{ident}/sync")
        assert (answer.status_code, answer.json()) == (400, {"error": message})


# --- the hand-written pages -----------------------------------------------------------------------------


def test_the_other_generation(sandbox: Running) -> None:
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
    assert fanfare.ok("GET", f"/audiences/{made['id']}/count") == {
        "audienceId": made["id"],
        "count": 1,
        "source": "database",
    }
    dynamic = fanfare.audience("Rules", "DYNAMIC")
    rules = [{"field": "email", "operator": "CONTAINS", "values": ["example"]}]
    (rule,) = fanfare.ok("POST", f"/audiences/{dynamic}/rules", json=rules)
    assert rule["id"].startswith("rule_01")
    assert fanfare.send("POST", f"/audiences/{dynamic}/rules", json=rules[0]).status_code == 400
    assert fanfare.send("POST", f"/audiences/{dynamic}/rules", json=[RULE]).status_code == 400
    tiers = {"groupName": "g", "tiers": [{"name": "a", "order": 1, "startValue": 0}]}
    assert fanfare.send("POST", "/audiences/loyalty-tiers", json=tiers).status_code == 400
    with_attribute = {**tiers, "attribute": "lifetimeSpend"}
    group = fanfare.ok("POST", "/audiences/loyalty-tiers", json=with_attribute)["tierGroup"]
    assert group["attribute"] == "lifetimeSpend"
    # what was made then keeps its id now, and is called what it is called now
    sandbox.settings(fanfare_docs_generation="spec")
    assert fanfare.ok("GET", f"/audiences/{made['id']}")["type"] == "STATIC_LIST"
    assert fanfare.ok("GET", f"/audiences/{made['id']}/import")["status"] == "COMPLETED"


# --- admin ----------------------------------------------------------------------------------------------


def test_a_key_can_be_rotated(sandbox: Running, fanfare: Fanfare) -> None:
    key = sandbox.admin("fanfare/rotate-key", "POST")["secret_key"]
    assert fanfare.send("GET", "/audiences").status_code == 401
    assert sandbox.fanfare(key).send("GET", "/audiences").status_code == 200
    assert key not in str(sandbox.admin("journal"))
    sandbox.reset()
    assert fanfare.send("GET", "/audiences").status_code == 200


def test_the_journal_has_ids_but_no_people_and_no_key(sandbox: Running, fanfare: Fanfare) -> None:
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


def test_admin_looks_and_what_it_refuses(sandbox: Running, fanfare: Fanfare) -> None:
    audience = fanfare.audience()
    sandbox.fanfare("sk_test_foreign_fanfare").audience("theirs")
    people = {"consumers": [{"email": "a@example.com"}], "audience_id": audience}
    assert sandbox.admin("fanfare/consumers", "POST", json=people) == {"count": 1}
    lines = sandbox.admin("fanfare/audiences")
    assert [(line["organization"], line["members"]) for line in lines] == [("first", 1), ("foreign", 0)]
    assert sandbox.admin("fanfare/consumers") == people["consumers"]
    assert sandbox.admin(f"fanfare/audiences/{audience}/members")["members"] == people["consumers"]
    base = f"{sandbox.api}/_sandbox/fanfare"
    for method, path, body, status in (
        ("GET", "audiences/x/members", None, 404),
        ("PUT", "audiences/x/source", people, 404),
        ("PUT", f"audiences/{audience}/source", people, 400),
        ("POST", "consumers", {"consumers": [{"firstName": "A"}]}, 400),
        ("POST", "consumers", {"consumers": [{"email": "a", "shoe": 1}]}, 400),
        ("POST", "fail-import", {"audience": audience}, 422),
    ):
        assert requests.request(method, f"{base}/{path}", json=body, timeout=TIMEOUT).status_code == status
    # Digital Audience's part is untouched by all of it
    assert sandbox.admin("audiences") == []
