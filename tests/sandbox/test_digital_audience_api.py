"""Digital Audience's API over HTTP: every operation under every spelling, and the answers to mistakes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.sandbox.support import Caller, Running, emails, sha, wait_for

pytestmark = pytest.mark.integration

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

SPELLINGS = {
    "login": ["POST /account/login", "POST /Account/Login"],
    "createCampaign": [
        "POST /campaign/create",
        "POST /campaign/createcampaign",
        "POST /Campaign/CreateCampaign",
    ],
    "createCrmAudience": [
        "POST /audience/createcrmaudience",
        "POST /audience/create/api/audience/createcrmaudience",
        "POST /api/audience/create/api/audience/createcrmaudience",
    ],
    "updateAudience": ["POST /audience/update", "POST /Audience/Update"],
    "activateAudience": ["POST /audience/activate"],
    "loadAudienceById": [
        "GET /audience/loadAudienceById/{audience}",
        "GET /audience/loadaudiencebyid/{audience}",
    ],
    "deleteAudience": [
        "DELETE /audience/delete?audienceId={audience}",
        "DELETE /audience/delete?id={audience}",
        "DELETE /audience/delete/{audience}",
    ],
    "loadAudienceSegments": [
        "GET /segment/audience:{audience}",
        "GET /Segment/Audience:{audience}",
        "GET /segment/audience%3A{audience}",
    ],
    "loadSegment": [
        "GET /segment/{segment}",
        "GET /Segment/loadsegmentbyid/{segment}",
        "GET /segment/loadsegmentbyid/{segment}",
    ],
    "updateSegmentEndDate": ["POST /segment/updateenddate", "POST /api/segment/updateenddate"],
    "deleteSegment": ["DELETE /segment/{segment}"],
    "loadPlatformAccounts": [
        "GET /organistion/loadplatformaccounts",
        "GET /organisation/loadplatformaccounts",
        "GET /Organisation/LoadPlatformAccounts",
    ],
}
ALL = sorted(
    {
        (operation, f"{method} {prefix}{path}".replace("/api/api/", "/api/"))
        for operation, spellings in SPELLINGS.items()
        for spelling in spellings
        for method, path in [spelling.split(" ")]
        for prefix in ("", "/api")
    }
)


def body_of(operation: str, running: Running, caller: Caller, ids: dict[str, int]) -> dict[str, Any] | None:
    return {
        "login": {"userName": running.info["username"], "password": running.info["password"]},
        "createCampaign": {"name": "api_camp"},
        "createCrmAudience": {"name": "list", "description": "d", "campaignId": ids["campaign"]},
        "updateAudience": {"id": str(ids["audience"]), "name": "renamed"},
        "activateAudience": caller.order(ids["audience"]),
        "updateSegmentEndDate": {"segmentid": ids["segment"], "endDate": "2095-12-16T11:36:10.6878666Z"},
    }.get(operation)


def world(running: Running) -> tuple[Caller, dict[str, int]]:
    caller = running.login()
    campaign = caller.campaign()
    audience = caller.audience(campaign)
    return caller, {"campaign": campaign, "audience": audience, "segment": caller.activate(audience)}


@pytest.mark.parametrize(("operation", "spelling"), ALL)
def test_every_operation_under_every_spelling(cli_sandbox: Running, operation: str, spelling: str) -> None:
    caller, ids = world(cli_sandbox)
    method, path = spelling.format(**ids).split(" ")
    since = cli_sandbox.admin("summary")["last_seq"]
    caller.data(method, path, json=body_of(operation, cli_sandbox, caller, ids))
    (entry,) = cli_sandbox.entries(since=since, kind="api")
    assert (entry["operation"], entry["method"], entry["vendor"]) == (operation, method, "digital_audience")
    assert entry["path"] == path.partition("?")[0]
    assert entry["user"] == cli_sandbox.info["username"]
    assert (entry["http_status"], entry["status_code"], entry["success"]) == (200, 0, True)


@pytest.mark.parametrize("operation", SPELLINGS)
def test_a_wrong_method_is_405(cli_sandbox: Running, operation: str) -> None:
    caller, ids = world(cli_sandbox)
    _, path = SPELLINGS[operation][0].format(**ids).split(" ")
    since = cli_sandbox.admin("summary")["last_seq"]
    answer = caller.send("PUT", path)
    assert answer.status_code == 405
    assert answer.headers["allow"]
    assert answer.content == b""
    (entry,) = cli_sandbox.entries(since=since, kind="api")
    assert (entry["http_status"], entry["success"]) == (405, False)
    assert entry["operation"] is not None


def test_get_on_a_post_path_is_405(cli_sandbox: Running) -> None:
    caller = cli_sandbox.login()
    for path in (
        "/campaign/create",
        "/audience/createcrmaudience",
        "/account/login",
        "/segment/updateenddate",
    ):
        assert caller.send("GET", path).status_code == 405


@pytest.mark.parametrize("path", ["/", "/api", "/audiences", "/segment/x", "/audience/loadaudiencebyid/x"])
def test_an_unknown_path_is_404_without_an_envelope(cli_sandbox: Running, path: str) -> None:
    answer = cli_sandbox.login().send("GET", path)
    assert (answer.status_code, answer.content) == (404, b"")


# --- what the objects look like -------------------------------------------------------------------------


def test_the_create_response_is_the_vendor_s_literal_one(sandbox: Running) -> None:
    caller = sandbox.login()
    campaign = caller.campaign("audience campaign")
    body = {"name": "testfhdfhdfh", "description": "audience description", "campaignId": campaign}
    data = caller.data("POST", "/audience/createcrmaudience", json=body)
    assert TIMESTAMP.fullmatch(data["created"])
    assert data["updated"] == data["created"]
    assert data == {
        "userId": 123,
        "description": "audience description",
        "campaignId": campaign,
        "campaignName": "audience campaign",
        "dataUpdated": None,
        "startDate": None,
        "endDate": None,
        "activationStatus": "New",
        "activationStatusId": 0,
        "lifetimeStatus": None,
        "lifetimeStatusId": None,
        "tagCollection": None,
        "crmData": None,
        "audienceState": "NODATA",
        "audienceStateId": 5,
        "type": "ONBOARDING",
        "typeId": 0,
        "sourceAudienceId": None,
        "sourceAudienceTypeId": None,
        "canCreateLookalike": False,
        "hasSegments": False,
        "id": data["id"],
        "name": "testfhdfhdfh",
        "created": data["created"],
        "updated": data["updated"],
    }
    assert caller.load(data["id"]) == data


def test_creating_twice_creates_two(sandbox: Running) -> None:
    caller = sandbox.login()
    first, second = caller.campaign("same"), caller.campaign("same")
    assert first != second
    assert caller.audience(first, "same") != caller.audience(first, "same")
    audience = caller.audience(first)
    assert caller.activate(audience) != caller.activate(audience)
    assert [campaign["name"] for campaign in sandbox.admin("campaigns")] == ["same", "same"]
    assert len(sandbox.admin("segments")) == 2


def test_update_keeps_a_description_that_is_left_out(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    caller.data("POST", "/audience/update", json={"id": audience, "name": "one", "description": "d"})
    caller.data("POST", "/audience/update", json={"id": audience, "name": "two"})
    seen = caller.load(audience)
    assert (seen["name"], seen["description"]) == ("two", "d")
    assert seen["updated"] > seen["created"]


def test_activate_answers_with_flow_and_segment(sandbox: Running) -> None:
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
    assert (segment["accountId"], segment["audienceId"]) == (502, audience)
    assert (segment["startDate"], segment["endDate"]) == (
        "2024-01-01T00:00:00.000000Z",
        "2094-12-31T23:59:59.000000Z",
    )
    assert (segment["status"], segment["active"]) == ("Pending", False)
    assert caller.data("GET", f"/segment/audience:{audience}") == [segment]
    parent = caller.load(audience)
    assert (parent["hasSegments"], parent["endDate"]) == (True, segment["endDate"])


def test_end_date_moves(sandbox: Running) -> None:
    caller = sandbox.login()
    segment = caller.activate(caller.audience())
    body = {"segmentid": segment, "endDate": "2095-12-16T11:36:10.6878666Z"}
    caller.data("POST", "/segment/updateenddate", json=body)
    assert caller.data("GET", f"/segment/{segment}")["endDate"] == "2095-12-16T11:36:10.687866Z"
    early = caller.send("POST", "/segment/updateenddate", json={**body, "endDate": "2023-12-31T00:00:00Z"})
    assert early.status_code == 400
    past = {"SegmentId": segment, "endDate": "2024-02-01T00:00:00Z"}
    caller.data("POST", "/segment/updateenddate", json=past)
    seen = caller.data("GET", f"/segment/{segment}")
    assert (seen["status"], seen["active"]) == ("Inactive", False)


def test_platform_accounts(sandbox: Running) -> None:
    accounts = sandbox.login().data("GET", "/organistion/loadplatformaccounts")
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


def test_deleting_a_segment_and_an_audience(sandbox: Running) -> None:
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


@pytest.mark.parametrize(("name", "kind"), [("audienceId", int), ("id", int), ("AudienceId", str)])
def test_delete_takes_the_id_from_a_body_too(cli_sandbox: Running, name: str, kind: type) -> None:
    caller = cli_sandbox.login()
    audience = caller.audience()
    assert caller.data("DELETE", "/audience/delete", json={name: kind(audience)}) is True
    assert caller.send("GET", f"/audience/loadaudiencebyid/{audience}").status_code == 404


def test_delete_without_an_id_is_400(cli_sandbox: Running) -> None:
    answer = cli_sandbox.login().send("DELETE", "/audience/delete")
    assert answer.status_code == 400
    assert "audienceId" in answer.json()["status"]["message"]


# --- mistakes -------------------------------------------------------------------------------------------


def assert_failure(answer: Any, http_status: int) -> dict[str, Any]:
    assert answer.status_code == http_status
    body: dict[str, Any] = answer.json()
    assert set(body) == {"data", "status", "success"}
    assert body["success"] is False
    assert body["status"]["statusCode"] != 0
    assert body["status"]["message"]
    return body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/campaign/create", {}),
        ("/campaign/create", {"name": ""}),
        ("/campaign/create", {"name": 7}),
        ("/campaign/create", []),
        ("/audience/createcrmaudience", {"name": "x"}),
        ("/audience/createcrmaudience", {"name": "x", "campaignId": "{{_.campaign_id}}"}),
        ("/audience/update", {"name": "x"}),
        ("/audience/activate", {"audienceId": 1, "accountId": 501}),
        ("/segment/updateenddate", {"segmentid": 1}),
        ("/segment/updateenddate", {"segmentid": 1, "endDate": "2025-12-16"}),
        ("/account/login", {"userName": "x"}),
    ],
)
def test_an_invalid_body_is_400(cli_sandbox: Running, path: str, body: object) -> None:
    assert assert_failure(cli_sandbox.login().send("POST", path, json=body), 400)["data"] is None


def test_the_page_s_own_trailing_comma_is_not_json(cli_sandbox: Running) -> None:
    answer = cli_sandbox.login().send(
        "POST",
        "/audience/createcrmaudience",
        data='{"name": "x", "campaignId": "1",}',
        headers={"Content-Type": "application/json"},
    )
    assert_failure(answer, 400)


def test_another_content_type_is_415(cli_sandbox: Running) -> None:
    assert_failure(cli_sandbox.login().send("POST", "/campaign/create", data={"name": "x"}), 415)


def foreign_calls(ids: dict[str, int]) -> list[tuple[str, str, dict[str, Any] | None]]:
    order = {
        "name": "n",
        "description": "",
        "startDate": "2024-01-01T00:00:00Z",
        "endDate": "2094-01-01T00:00:00Z",
    }
    return [
        ("POST", "/audience/createcrmaudience", {"name": "x", "campaignId": ids["campaign"]}),
        ("POST", "/audience/update", {"id": ids["audience"], "name": "x"}),
        ("POST", "/audience/activate", {**order, "audienceId": ids["audience"], "accountId": 591}),
        ("GET", f"/audience/loadaudiencebyid/{ids['audience']}", None),
        ("DELETE", f"/audience/delete?id={ids['audience']}", None),
        ("GET", f"/segment/audience:{ids['audience']}", None),
        ("GET", f"/segment/{ids['segment']}", None),
        ("POST", "/segment/updateenddate", {"segmentid": ids["segment"], "endDate": "2095-01-01T00:00:00Z"}),
        ("DELETE", f"/segment/{ids['segment']}", None),
    ]


def test_foreign_ids_are_answered_like_unknown_ones(cli_sandbox: Running) -> None:
    caller, ids = world(cli_sandbox)
    foreigner = cli_sandbox.foreigner()
    unknown = {"campaign": 999_999, "audience": 999_999, "segment": 999_999}
    theirs, nobody_s = foreign_calls(ids), foreign_calls(unknown)
    for (method, path, body), (_, other_path, other_body) in zip(theirs, nobody_s, strict=True):
        foreign = assert_failure(foreigner.send(method, path, json=body), 404)
        absent = assert_failure(foreigner.send(method, other_path, json=other_body), 404)
        for name in ("campaign", "audience", "segment"):
            foreign["status"]["message"] = foreign["status"]["message"].replace(str(ids[name]), "999999")
        assert foreign == absent
    assert caller.load(ids["audience"])["name"] == "list"
    assert caller.data("GET", f"/segment/{ids['segment']}")["endDate"].startswith("2094")


def test_another_organisation_s_account_cannot_be_used(cli_sandbox: Running) -> None:
    caller = cli_sandbox.login()
    assert_failure(
        caller.send("POST", "/audience/activate", json=caller.order(caller.audience(), accountId=591)), 404
    )
    mine = {account["id"] for account in caller.data("GET", "/organisation/loadplatformaccounts")}
    theirs = cli_sandbox.foreigner().data("GET", "/organisation/loadplatformaccounts")
    assert not mine & {account["id"] for account in theirs}


# --- sessions -------------------------------------------------------------------------------------------


def test_the_session_cookie(sandbox: Running) -> None:
    body = {"userName": sandbox.info["username"], "password": sandbox.info["password"]}
    answers = [sandbox.anonymous().send("POST", "/account/login", json=body) for _ in range(2)]
    cookies = [answer.cookies["digitalAudience"] for answer in answers]
    assert cookies[0] != cookies[1]
    header = answers[0].headers["set-cookie"]
    assert "HttpOnly" in header
    assert "Max-Age=3600" in header


def test_without_a_session_nothing_but_login_answers(cli_sandbox: Running) -> None:
    _, ids = world(cli_sandbox)
    stranger = cli_sandbox.anonymous()
    for operation, spellings in SPELLINGS.items():
        if operation != "login":
            method, path = spellings[0].format(**ids).split(" ")
            # the body is wrong too: a stranger must not learn that
            body = assert_failure(stranger.send(method, path, json={"x": 1}), 401)
            assert body["data"] is None
            assert body["status"]["message"] == "Session expired, please log in"
    forged = cli_sandbox.anonymous()
    forged.session.cookies.set("digitalAudience", "123")
    assert forged.send("GET", "/organisation/loadplatformaccounts").status_code == 401


def test_a_session_expires(sandbox: Running) -> None:
    sandbox.settings(session_lifetime=0.3)
    caller = sandbox.login()
    cookie = caller.session.cookies["digitalAudience"]
    # sent by hand: a cookie jar would drop it by itself
    wait_for(
        lambda: sandbox.anonymous().send(
            "GET", "/organisation/loadplatformaccounts", headers={"Cookie": f"digitalAudience={cookie}"}
        ),
        lambda answer: answer.status_code == 401,
    )
    assert sandbox.login().session.cookies["digitalAudience"] != cookie


def test_sessions_can_be_ended_from_outside(sandbox: Running) -> None:
    callers = [sandbox.login(), sandbox.foreigner()]
    assert sandbox.admin("expire-sessions", "POST") == {"expired": 2}
    for caller in callers:
        assert caller.send("GET", "/organisation/loadplatformaccounts").status_code == 401


@pytest.mark.parametrize(("way", "status"), [("401", 401), ("403", 403), ("envelope", 200)])
def test_the_answer_to_an_expired_session_is_a_setting(sandbox: Running, way: str, status: int) -> None:
    sandbox.settings(expired_session_answer=way)
    body = assert_failure(sandbox.anonymous().send("GET", "/segment/1"), status)
    assert body["status"]["message"] == "Session expired, please log in"


def test_an_expired_session_may_redirect_to_a_login_page(sandbox: Running) -> None:
    sandbox.settings(expired_session_answer="redirect")
    stranger = sandbox.anonymous()
    answer = stranger.send("GET", "/segment/1")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/account/login?ReturnUrl=/segment/1"
    page = stranger.send("GET", "/segment/1", allow_redirects=True)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert sandbox.admin("summary")["operations"]["loadSegment"] == {"success": 0, "failure": 2}


@pytest.mark.parametrize(("way", "status"), [("401", 401), ("envelope", 200)])
def test_a_wrong_password(sandbox: Running, way: str, status: int) -> None:
    sandbox.settings(failed_login_answer=way)
    for body in (
        {"userName": sandbox.info["username"], "password": "wrong"},
        {"userName": "nobody@example.com", "password": sandbox.info["password"]},
    ):
        answer = sandbox.anonymous().send("POST", "/account/login", json=body)
        assert assert_failure(answer, status)["data"] is False
        assert "set-cookie" not in answer.headers
    assert sandbox.admin("summary")["logins"] == {"success": 0, "failure": 2}


def test_what_the_pages_leave_empty_can_be_answered_otherwise(sandbox: Running) -> None:
    sandbox.settings(campaign_answer="id", undocumented_data="true")
    caller = sandbox.login()
    campaign = caller.data("POST", "/campaign/create", json={"name": "x"})
    assert isinstance(campaign, int)
    audience = caller.audience(campaign)
    assert caller.data("POST", "/audience/update", json={"id": audience, "name": "y"}) is True
    body = {"segmentid": caller.activate(audience), "endDate": "2095-01-01T00:00:00Z"}
    assert caller.data("POST", "/segment/updateenddate", json=body) is True


def test_a_loaded_audience_and_its_segment_become_active(sandbox: Running) -> None:
    caller = sandbox.login()
    audience = caller.audience()
    segment = caller.activate(audience)
    sandbox.upload(audience, emails("a", "b"))
    seen = wait_for(
        lambda: caller.data("GET", f"/segment/{segment}"), lambda found: found["status"] == "Active"
    )
    assert (seen["active"], seen["totalUploadCount"], seen["totalSegmentUploadCount"]) == (True, 2, 1)
    parent = caller.load(audience)
    assert (parent["activationStatus"], parent["audienceState"]) == ("Active", "READY")
    assert sandbox.members(audience) == sorted(
        ({"email_sha256": sha(name)} for name in "ab"), key=lambda member: member["email_sha256"]
    )
