"""Digital Audience's API over HTTP: every operation under every spelling, errors, and sessions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.sandbox.support import Caller, Running, table

pytestmark = pytest.mark.integration

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ACCOUNTS = "/organisation/loadplatformaccounts"

# operation -> method and every path that the vendor's pages show
SPELLINGS = {
    "login": "POST /account/login /Account/Login",
    "createCampaign": "POST /campaign/create /campaign/createcampaign /Campaign/CreateCampaign",
    "createCrmAudience": "POST /audience/createcrmaudience /audience/create/api/audience/createcrmaudience",
    "updateAudience": "POST /audience/update /Audience/Update",
    "activateAudience": "POST /audience/activate",
    "loadAudienceById": "GET /audience/loadAudienceById/{audience} /audience/loadaudiencebyid/{audience}",
    "deleteAudience": "DELETE /audience/delete?audienceId={audience} /audience/delete?id={audience}"
    " /audience/delete/{audience}",
    "loadAudienceSegments": "GET /segment/audience:{audience} /Segment/Audience:{audience}"
    " /segment/audience%3A{audience}",
    "loadSegment": "GET /segment/{segment} /Segment/loadsegmentbyid/{segment}"
    " /segment/loadsegmentbyid/{segment}",
    "updateSegmentEndDate": "POST /segment/updateenddate",
    "deleteSegment": "DELETE /segment/{segment}",
    "loadPlatformAccounts": "GET /organistion/loadplatformaccounts /organisation/loadplatformaccounts"
    " /Organisation/LoadPlatformAccounts",
}


def spelled(operation: str, ids: dict[str, int]) -> tuple[str, list[str]]:
    """Return the method of an operation and its paths."""
    method, *paths = SPELLINGS[operation].format(**ids).split(" ")
    return method, paths


def body_of(operation: str, running: Running, caller: Caller, ids: dict[str, int]) -> dict[str, Any] | None:
    return {
        "login": {"userName": running.info["username"], "password": running.info["password"]},
        "createCampaign": {"name": "api_camp"},
        "createCrmAudience": {"name": "list", "description": "d", "campaignId": ids["campaign"]},
        "updateAudience": {"id": str(ids["audience"]), "name": "renamed"},
        "activateAudience": caller.order(ids["audience"]),
        "updateSegmentEndDate": {"segmentid": ids["segment"], "endDate": "2095-12-16T11:36:10.6878666Z"},
    }.get(operation)


def world(caller: Caller) -> dict[str, int]:
    campaign = caller.campaign()
    audience = caller.audience(campaign)
    return {"campaign": campaign, "audience": audience, "segment": caller.activate(audience)}


def assert_failure(answer: Any, http_status: int) -> dict[str, Any]:
    assert answer.status_code == http_status
    body: dict[str, Any] = answer.json()
    assert set(body) == {"data", "status", "success"}
    assert body["success"] is False
    assert body["status"]["statusCode"] != 0
    assert body["status"]["message"]
    return body


# --- paths ----------------------------------------------------------------------------------------------


def test_operations_under_every_spelling_succeed(sandbox: Running) -> None:
    caller = sandbox.login()
    ids = world(caller)
    names = ("operation", "method", "vendor", "path", "user", "http_status", "status_code", "success")
    with table() as check:
        for operation in SPELLINGS:
            for number in range(2 * len(spelled(operation, ids)[1])):
                method, paths = spelled(operation, ids)
                path = [prefix + path for prefix in ("", "/api") for path in paths][number]
                since = sandbox.admin("summary")["last_seq"]
                caller.data(method, path, json=body_of(operation, sandbox, caller, ids))
                (entry,) = sandbox.entries(since=since, kind="api")
                bare, user = path.partition("?")[0], sandbox.info["username"]
                expected = [operation, method, "digital_audience", bare, user, 200, 0, True]
                check(path, [entry[name] for name in names], expected)
                if method == "DELETE":
                    ids = world(caller)


def test_wrong_methods_and_unknown_paths_have_no_body(sandbox: Running) -> None:
    caller = sandbox.login()
    ids = world(caller)
    since = sandbox.admin("summary")["last_seq"]
    calls = [("PUT", spelled(operation, ids)[1][0]) for operation in SPELLINGS]
    calls += [("GET", path) for path in ("/campaign/create", "/audience/createcrmaudience")]
    calls += [("GET", path) for path in ("/account/login", "/segment/updateenddate")]
    with table() as check:
        for method, path in calls:
            answer = caller.send(method, path)
            actual = answer.status_code, answer.content, bool(answer.headers["allow"])
            check((method, path), actual, (405, b"", True))
        for path in ("/", "/api", "/audiences", "/segment/x", "/audience/loadaudiencebyid/x"):
            answer = caller.send("GET", path)
            check(path, (answer.status_code, answer.content), (404, b""))
    entries = sandbox.entries(since=since, kind="api")[: len(calls)]
    assert {(entry["http_status"], entry["success"]) for entry in entries} == {(405, False)}
    assert all(entry["operation"] is not None for entry in entries)


# --- objects --------------------------------------------------------------------------------------------


def test_create_crm_audience_answers_as_on_the_page(sandbox: Running) -> None:
    caller = sandbox.login()
    campaign = caller.campaign("audience campaign")
    body = {"name": "testfhdfhdfh", "description": "audience description", "campaignId": campaign}
    data = caller.data("POST", "/audience/createcrmaudience", json=body)
    assert TIMESTAMP.fullmatch(data["created"])
    assert data["updated"] == data["created"]
    empty = {
        *("dataUpdated", "startDate", "endDate", "lifetimeStatus", "lifetimeStatusId", "tagCollection"),
        *("crmData", "sourceAudienceId", "sourceAudienceTypeId"),
    }
    assert data == {
        **dict.fromkeys(empty),
        **{name: data[name] for name in ("id", "created", "updated")},
        **{"userId": 123, "description": "audience description", "name": "testfhdfhdfh"},
        **{"campaignId": campaign, "campaignName": "audience campaign"},
        **{"activationStatus": "New", "activationStatusId": 0, "type": "ONBOARDING", "typeId": 0},
        **{"audienceState": "NODATA", "audienceStateId": 5},
        **{"canCreateLookalike": False, "hasSegments": False},
    }
    assert caller.load(data["id"]) == data


def test_create_with_the_same_name_creates_two(sandbox: Running) -> None:
    caller = sandbox.login()
    first, second = caller.campaign("same"), caller.campaign("same")
    assert first != second
    assert caller.audience(first, "same") != caller.audience(first, "same")
    audience = caller.audience(first)
    assert caller.activate(audience) != caller.activate(audience)
    assert [campaign["name"] for campaign in sandbox.admin("campaigns")] == ["same", "same"]
    assert len(sandbox.admin("segments")) == 2


def test_update_without_description_keeps_it(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    sandbox.step(1)
    caller.data("POST", "/audience/update", json={"id": audience, "name": "one", "description": "d"})
    caller.data("POST", "/audience/update", json={"id": audience, "name": "two"})
    loaded = caller.load(audience)
    assert (loaded["name"], loaded["description"]) == ("two", "d")
    assert loaded["updated"] > loaded["created"]


def test_activate_returns_flow_and_segment(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    data = caller.data("POST", "/audience/activate", json=caller.order(audience, accountId=502))
    assert set(data) == {"flowId", "segmentId"}
    assert GUID.fullmatch(data["flowId"])
    segment = caller.data("GET", f"/segment/{data['segmentId']}")
    assert set(segment) == {
        *("segmentId", "segmentRefId", "categoryId", "description", "extend", "active", "accountId"),
        *("audienceId", "platformId", "isRecurring", "isSystemGenerated", "country", "startDate", "endDate"),
        *("status", "statusId", "userName", "userId", "totalLogCount", "totalReadyCount"),
        *("totalProcessingCount", "totalPendingCount", "totalUploadCount", "totalFailedCount"),
        *("totalNoDataCount", "totalSegmentUploadCount", "id", "name", "created", "updated"),
    }
    assert segment["segmentId"] == data["segmentId"] != segment["id"]
    assert caller.send("GET", f"/segment/{segment['id']}").status_code == 404
    assert (segment["accountId"], segment["audienceId"]) == (502, audience)
    assert segment["startDate"] == "2024-01-01T00:00:00.000000Z"
    assert segment["endDate"] == "2094-12-31T23:59:59.000000Z"
    assert (segment["status"], segment["active"]) == ("Pending", False)
    assert caller.data("GET", f"/segment/audience:{audience}") == [segment]
    parent = caller.load(audience)
    assert (parent["hasSegments"], parent["endDate"]) == (True, segment["endDate"])


def test_update_end_date_moves_the_end(sandbox: Running) -> None:
    caller = sandbox.login()
    segment = caller.activate(caller.audience())
    with table() as check:
        for sent, shown in {
            "2095-01-01T00:00:00Z": "2095-01-01T00:00:00.000000Z",
            "2095-12-16T11:36:10.6878666Z": "2095-12-16T11:36:10.687866Z",
            "2095-12-16T11:36:10.5+01:00": "2095-12-16T10:36:10.500000Z",
        }.items():
            caller.data("POST", "/segment/updateenddate", json={"segmentid": segment, "endDate": sent})
            check(sent, caller.data("GET", f"/segment/{segment}")["endDate"], shown)
    body = {"segmentid": segment, "endDate": "2023-12-31T00:00:00Z"}
    assert_failure(caller.send("POST", "/segment/updateenddate", json=body), 400)
    past = {"SegmentId": segment, "enddate": "2024-02-01T00:00:00Z"}
    caller.data("POST", "/segment/updateenddate", json=past)
    loaded = caller.data("GET", f"/segment/{segment}")
    assert (loaded["status"], loaded["active"]) == ("Inactive", False)


def test_load_platform_accounts_returns_own_accounts(sandbox: Running) -> None:
    caller = sandbox.login()
    accounts = caller.data("GET", ACCOUNTS)
    for account in accounts:
        assert set(account) == {
            *("id", "name", "platformId", "platformName", "platformDisplayName", "agencyId", "agencyName"),
            *("accountTypeId", "accountTypeName", "advertiserId", "clientId", "accessToken"),
            *("defaultSegmentPricingCategoryId", "created", "updated"),
        }
    same_name = [account for account in accounts if account["name"] == "Example NL"]
    assert {account["platformDisplayName"] for account in same_name} == {"DV360", "Xandr"}
    assert {account["platformDisplayName"] for account in accounts} >= {"Adform", "The Trade Desk"}
    tokens = [account["accessToken"] for account in accounts]
    assert None in tokens
    assert all(len(token) > 30 for token in tokens if token)
    theirs = sandbox.foreigner().data("GET", ACCOUNTS)
    assert not {account["id"] for account in accounts} & {account["id"] for account in theirs}
    order = caller.order(caller.audience(), accountId=theirs[0]["id"])
    assert_failure(caller.send("POST", "/audience/activate", json=order), 404)


def test_delete_segment_and_audience_removes_them(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    first, second = caller.activate(audience), caller.activate(audience)
    assert caller.data("DELETE", f"/segment/{first}") is True
    assert caller.send("GET", f"/segment/{first}").status_code == 404
    assert [item["segmentId"] for item in caller.data("GET", f"/segment/audience:{audience}")] == [second]
    assert caller.data("DELETE", f"/audience/delete?audienceId={audience}") is True
    for method, path in [
        ("GET", f"/audience/loadaudiencebyid/{audience}"),
        ("GET", f"/segment/audience:{audience}"),
        ("GET", f"/segment/{second}"),
        ("DELETE", f"/audience/delete/{audience}"),
    ]:
        assert caller.send(method, path).status_code == 404
    # the body may also have the id
    for name, kind in (("audienceId", int), ("id", int), ("AudienceId", str)):
        audience = caller.audience()
        assert caller.data("DELETE", "/audience/delete", json={name: kind(audience)}) is True
        assert caller.send("GET", f"/audience/loadaudiencebyid/{audience}").status_code == 404
    answer = caller.send("DELETE", "/audience/delete")
    assert "audienceId" in assert_failure(answer, 400)["status"]["message"]


def test_undocumented_answers_follow_the_settings(sandbox: Running) -> None:
    sandbox.settings(campaign_answer="id", undocumented_data="true")
    caller = sandbox.login()
    campaign = caller.data("POST", "/campaign/create", json={"name": "x"})
    assert isinstance(campaign, int)
    audience = caller.audience(campaign)
    assert caller.data("POST", "/audience/update", json={"id": audience, "name": "y"}) is True
    body = {"segmentid": caller.activate(audience), "endDate": "2095-01-01T00:00:00Z"}
    assert caller.data("POST", "/segment/updateenddate", json=body) is True


# --- errors ---------------------------------------------------------------------------------------------


def test_operations_with_an_invalid_body_are_400(sandbox: Running) -> None:
    caller = sandbox.login()
    audience, campaign = caller.audience(), caller.campaign()
    order = caller.order(audience)
    changes: list[dict[str, Any]] = [{"audienceId": sent} for sent in (str(audience), 1.5, True, 0)]
    changes += [{"name": ""}, {"name": "  "}, {"description": None}, {"endDate": order["startDate"]}]
    campaigns = ("{{_.campaign_id}}", "", "x", "1.0", "-1", None, [1], True)
    create, activate = "/audience/createcrmaudience", "/audience/activate"
    cases: list[tuple[str, object]] = [
        *(("/campaign/create", body) for body in ({}, {"name": ""}, {"name": 7}, [])),
        *(
            (create, body)
            for body in ({"name": "x"}, *({"name": "x", "campaignId": sent} for sent in campaigns))
        ),
        *(("/audience/update", {"name": "x"}), ("/segment/updateenddate", {"segmentid": 1})),
        ("/account/login", {"userName": "x"}),
        *((activate, {key: order[key] for key in order.keys() - {missing}}) for missing in order),
        *((activate, {**order, **change}) for change in (*changes, {"startDate": "2024-01-01"})),
    ]
    times: list[object] = ["2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z", 1704067200, None, ""]
    times += ["2024-01-01T00:00:00.12345678Z", "2024-13-01T00:00:00Z"]
    with table() as check:
        for time in times:
            body = {"segmentid": 1, "endDate": time}
            answer = caller.send("POST", "/segment/updateenddate", json=body)
            message = answer.json()["status"]["message"]
            check(
                time, (answer.status_code, "ISO 8601" in message or "month must be" in message), (400, True)
            )
        for path, body in cases:
            answer = caller.send("POST", path, json=body)
            actual = answer.status_code, answer.json()["data"], answer.json()["success"]
            check((path, body), actual, (400, None, False))
    # the page's own example has a trailing comma
    json_type = {"Content-Type": "application/json"}
    text = f'{{"name": "x", "campaignId": "{campaign}"'
    for end, status in ((",}", 400), ("}", 200)):
        answer = caller.send("POST", "/audience/createcrmaudience", data=text + end, headers=json_type)
        assert answer.status_code == status
    upper = {key.upper(): value for key, value in order.items()}
    assert set(caller.data("POST", "/audience/activate", json=upper)) == {"flowId", "segmentId"}
    assert_failure(caller.send("POST", "/campaign/create", data={"name": "x"}), 415)


def foreign_calls(ids: dict[str, int]) -> list[tuple[str, str, dict[str, Any] | None]]:
    campaign, audience, segment = ids.values()
    order = {"name": "n", "description": "", "startDate": "2024-01-01T00:00:00Z", "accountId": 591}
    order |= {"audienceId": audience, "endDate": "2094-01-01T00:00:00Z"}
    return [
        ("POST", "/audience/createcrmaudience", {"name": "x", "campaignId": campaign}),
        ("POST", "/audience/update", {"id": audience, "name": "x"}),
        ("POST", "/audience/activate", order),
        ("GET", f"/audience/loadaudiencebyid/{audience}", None),
        ("DELETE", f"/audience/delete?id={audience}", None),
        ("GET", f"/segment/audience:{audience}", None),
        ("GET", f"/segment/{segment}", None),
        ("POST", "/segment/updateenddate", {"segmentid": segment, "endDate": "2095-01-01T00:00:00Z"}),
        ("DELETE", f"/segment/{segment}", None),
    ]


def test_foreign_ids_are_404_like_unknown_ones(sandbox: Running) -> None:
    caller, foreigner = sandbox.login(), sandbox.foreigner()
    ids = world(caller)
    unknown = dict.fromkeys(ids, 999_999)
    with table() as check:
        for ours, other in zip(foreign_calls(ids), foreign_calls(unknown), strict=True):
            foreign = assert_failure(foreigner.send(ours[0], ours[1], json=ours[2]), 404)
            absent = assert_failure(foreigner.send(other[0], other[1], json=other[2]), 404)
            for ident in ids.values():
                foreign["status"]["message"] = foreign["status"]["message"].replace(str(ident), "999999")
            check(ours, foreign, absent)
    assert caller.load(ids["audience"])["name"] == "list"
    assert caller.data("GET", f"/segment/{ids['segment']}")["endDate"].startswith("2094")


# --- sessions -------------------------------------------------------------------------------------------


def test_session_after_its_lifetime_is_401(sandbox: Running) -> None:
    sandbox.settings(session_lifetime=60)
    body = {"userName": sandbox.info["username"].title(), "password": sandbox.info["password"]}
    answers = [sandbox.anonymous().send("POST", "/account/login", json=body) for _ in range(2)]
    first, second = (answer.cookies["digitalAudience"] for answer in answers)
    assert first != second
    assert {"HttpOnly", "Max-Age=60"} <= set(answers[0].headers["set-cookie"].split("; "))

    def status() -> int:
        # an explicit header: a cookie jar would drop an expired cookie by itself
        cookie = {"Cookie": f"digitalAudience={first}"}
        return sandbox.anonymous().send("GET", ACCOUNTS, headers=cookie).status_code

    sandbox.step(59)
    assert status() == 200
    sandbox.step(1)
    assert status() == 401
    sandbox.reset()
    callers = [sandbox.login(), sandbox.foreigner()]
    assert sandbox.admin("expire-sessions", "POST") == {"expired": 2}
    assert [caller.send("GET", ACCOUNTS).status_code for caller in callers] == [401, 401]


def test_operations_without_a_session_are_401(sandbox: Running) -> None:
    ids, stranger = world(sandbox.login()), sandbox.anonymous()
    with table() as check:
        for operation in SPELLINGS.keys() - {"login"}:
            method, (path, *_) = spelled(operation, ids)
            # the body is wrong too: a caller without a session must not learn that
            body = assert_failure(stranger.send(method, path, json={"x": 1}), 401)
            actual = body["data"], body["status"]["message"]
            check(operation, actual, (None, "Session expired, please log in"))
    stranger.session.cookies.set("digitalAudience", "123")
    assert stranger.send("GET", ACCOUNTS).status_code == 401


def test_expired_session_is_answered_as_set(sandbox: Running) -> None:
    stranger = sandbox.anonymous()
    for way, status in {"401": 401, "403": 403, "envelope": 200}.items():
        sandbox.settings(expired_session_answer=way)
        body = assert_failure(stranger.send("GET", "/segment/1"), status)
        assert body["status"]["message"] == "Session expired, please log in"
    sandbox.settings(expired_session_answer="redirect")
    answer = stranger.send("GET", "/segment/1")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/account/login?ReturnUrl=/segment/1"
    page = stranger.send("GET", "/segment/1", allow_redirects=True)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert sandbox.admin("summary")["operations"]["loadSegment"] == {"success": 0, "failure": 5}


def test_login_with_a_wrong_password_fails_as_set(sandbox: Running) -> None:
    name, password = sandbox.info["username"], sandbox.info["password"]
    for way, status in {"401": 401, "envelope": 200}.items():
        sandbox.settings(failed_login_answer=way)
        for user, guess in ((name, "wrong"), ("other@example.com", password), (name, "foreign-password")):
            body = {"userName": user, "password": guess}
            answer = sandbox.anonymous().send("POST", "/account/login", json=body)
            assert assert_failure(answer, status)["data"] is False
            assert "set-cookie" not in answer.headers
    assert sandbox.admin("summary")["logins"] == {"success": 0, "failure": 6}
