"""CommBox's API over HTTP: its three operations, and the answers to mistakes."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
import requests

from tests.sandbox.support import TIMEOUT, CommBox, Running, csv_bytes, phone_file, wait_for

pytestmark = pytest.mark.integration

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PHONE = "442079832100"
DASH = "Too Many Requests \u2013 Rate limit exceeded"


@pytest.fixture
def commbox(sandbox: Running) -> CommBox:
    return sandbox.commbox()


def is_error(answer: requests.Response, status: int, description: str) -> None:
    body = answer.json()
    assert set(body) == {"status", "description", "response_time"}
    assert (answer.status_code, body["status"], body["description"]) == (status, status, description)
    assert TIME.fullmatch(body["response_time"])


def test_create_answers_as_on_the_page(commbox: CommBox) -> None:
    body = commbox.ok("POST", "/audiences", 201, data={"name": "NE_USA-above50"}, files=phone_file(PHONE))
    assert TIME.fullmatch(body.pop("response_time"))
    ident = body["data"]["id"]
    assert isinstance(ident, str)
    assert body == {"status": 201, "description": "Audience created", "data": {"id": ident}}


def test_the_list_has_both_kinds(sandbox: Running, commbox: CommBox) -> None:
    static = commbox.create(PHONE, "31612345678", name="list")
    same_name = commbox.create(PHONE, name="list")
    dynamic = sandbox.admin("commbox/audiences", "POST", json={"name": "rules"})["id"]
    wait_for(lambda: commbox.audiences()[same_name]["user_count"] == 1)
    body = commbox.ok("GET", "/audiences")
    # a string here, and only here
    assert (body["status"], body["description"]) == ("200", "Audiences retrieved")
    assert [item["id"] for item in body["data"]] == [static, same_name, dynamic]
    first, _, last = body["data"]
    assert TIME.fullmatch(first.pop("created_time"))
    assert first == {"id": static, "name": "list", "user_count": 2, "type": "Static"}
    assert TIME.fullmatch(last.pop("created_time"))
    assert last == {"id": dynamic, "name": "rules", "type": "Dynamic"}


def test_put_replaces_all_customers(sandbox: Running, commbox: CommBox) -> None:
    ident = commbox.create(PHONE, "31612345678")
    body = commbox.ok("PUT", f"/Audiences/{ident}", files=phone_file("31612345670"))
    assert (body["status"], body["description"], body["data"]) == (200, "Operation successful", {"id": ident})
    wait_for(lambda: commbox.audiences()[ident]["user_count"] == 1)
    found = sandbox.admin(f"commbox/audiences/{ident}/members")
    assert found == {"audience_id": ident, "count": 1, "members": ["31612345670"]}
    (line,) = sandbox.admin("commbox/audiences")
    assert (line["uploads"], line["pending"], line["members"]) == (2, 0, 1)


@pytest.mark.parametrize("resource", ["audiences", "Audiences"])
def test_both_spellings_of_the_pages_and_no_other(commbox: CommBox, resource: str) -> None:
    ident = commbox.ok("POST", f"/{resource}", 201, data={"name": "x"}, files=phone_file(PHONE))["data"]["id"]
    assert commbox.ok("PUT", f"/{resource}/{ident}", files=phone_file(PHONE))["data"] == {"id": ident}
    assert len(commbox.ok("GET", f"/{resource}")["data"]) == 1
    is_error(commbox.send("GET", f"/{resource.upper()}"), 404, "Not Found")


@pytest.mark.parametrize("path", ["", "/", "/x", "/audiences/", "/audiences/1/x"])
def test_unknown_paths_stay_with_the_vendor(sandbox: Running, commbox: CommBox, path: str) -> None:
    is_error(commbox.send("GET", path), 404, "Not Found")
    (entry,) = sandbox.entries(kind="api")
    assert (entry["vendor"], entry["operation"], entry["path"]) == ("commbox", None, f"/commbox{path}")


def test_another_method_is_405(commbox: CommBox) -> None:
    is_error(commbox.send("DELETE", "/audiences"), 405, "Method Not Allowed")
    is_error(commbox.send("GET", "/audiences/312345"), 405, "Method Not Allowed")


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", ""), ("PUT", "/1")])
def test_every_operation_needs_the_key(sandbox: Running, method: str, path: str) -> None:
    url = f"{sandbox.info['commbox_url']}/audiences{path}"
    key = sandbox.info["commbox_api_key"]
    for header in (None, "Bearer wrong", "Bearer", key, f"Basic {key}", "Bearer expired-commbox-key"):
        headers = {"Authorization": header} if header else {}
        answer = requests.request(method, url, headers=headers, files=phone_file(PHONE), timeout=TIMEOUT)
        is_error(answer, 401, "Unauthorized")
    assert sandbox.entries(kind="api")[-1]["message"] == "API key has expired"
    assert key not in str(sandbox.entries())


def test_the_key_can_expire(sandbox: Running, commbox: CommBox) -> None:
    assert sandbox.admin("commbox/expire-key", "POST") == {"expired": True}
    assert sandbox.admin("commbox/expire-key", "POST") == {"expired": False}
    is_error(commbox.send("GET", "/audiences"), 401, "Unauthorized")
    sandbox.reset()
    assert commbox.send("GET", "/audiences").status_code == 200


def part(content: bytes, name: str = "audience.csv") -> dict[str, Any]:
    return {"audience_file": (name, content, "text/csv")}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"files": phone_file(PHONE)}, "name: missing"),
        ({"data": {"name": " "}, "files": phone_file(PHONE)}, "name: missing"),
        ({"files": {**phone_file(PHONE), "name": ("n.txt", b"x")}}, "name: missing"),
        ({"data": {"name": "x"}, "files": {"file": ("a.csv", b"phone1\n1")}}, "audience_file: missing"),
        (
            {"data": {"name": "x", "audience_file": "https://example.com/a.csv"}, "files": {"a": ("a", b"")}},
            "audience_file: text",
        ),
        (
            {"files": {"name": (None, "x"), "audience_file": (None, base64.b64encode(b"phone1\n1"))}},
            "audience_file: text",
        ),
        ({"data": {"name": "x"}, "files": part(b"phone\n31612345678\n")}, "header: phone1 is missing"),
        ({"data": {"name": "x"}, "files": part(base64.b64encode(b"phone1\n1"))}, "header: phone1 is missing"),
        ({"data": {"name": "x"}, "files": part(b"PK\x03\x04", "a.xlsx")}, "Excel is not simulated"),
        ({"data": {"name": "x"}, "files": part(b"")}, "file is empty"),
        ({"data": {"name": "x"}, "files": part(b"phone1\n+31612345678\n")}, "no customer"),
        ({"data": {"name": "x", "mode": "append"}, "files": phone_file(PHONE)}, "a field that the page"),
        ({"data": {"name": ["x", "y"]}, "files": phone_file(PHONE)}, "name: twice"),
        ({"json": {"name": "x"}}, "Content-Type is not multipart/form-data"),
        ({"data": {"name": "x"}}, "Content-Type is not multipart/form-data"),
        ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "form:"),
    ],
)
def test_a_bad_form_is_400(
    sandbox: Running, commbox: CommBox, arguments: dict[str, Any], reason: str
) -> None:
    is_error(commbox.send("POST", "/audiences", **arguments), 400, "Bad Request")
    (entry,) = sandbox.entries(kind="api")
    assert entry["message"].startswith(reason)
    assert (entry["operation"], entry["success"]) == ("commbox.createAudience", False)
    assert commbox.audiences() == {}


def test_what_put_refuses(sandbox: Running, commbox: CommBox) -> None:
    dynamic = sandbox.admin("commbox/audiences", "POST", json={"name": "rules"})["id"]
    static = commbox.create(PHONE)
    is_error(commbox.send("PUT", f"/Audiences/{dynamic}", files=phone_file(PHONE)), 400, "Bad Request")
    is_error(commbox.send("PUT", "/Audiences/1", files=phone_file(PHONE)), 404, "Not Found")
    for arguments in (
        {"files": part(b"phone\n1\n")},
        {"files": phone_file(PHONE), "data": {"name": "new name"}},
        {"files": {"file": ("a.csv", b"phone1\n1")}},
        {},
    ):
        is_error(commbox.send("PUT", f"/Audiences/{static}", **arguments), 400, "Bad Request")
    wait_for(lambda: commbox.audiences()[static]["user_count"] == 1)


def test_what_the_settings_change(sandbox: Running, commbox: CommBox) -> None:
    sandbox.settings(commbox_processing_delay=0, commbox_duplicates="each", commbox_unknown_fields="ignore")
    body = {"name": "x", "mode": "append"}
    files = phone_file(PHONE, PHONE, "+31612345678")
    ident = commbox.ok("POST", "/audiences", 201, data=body, files=files)["data"]["id"]
    assert commbox.audiences()[ident]["user_count"] == 2
    sandbox.settings(commbox_bad_phone="refuse")
    is_error(commbox.send("PUT", f"/Audiences/{ident}", files=files), 400, "Bad Request")
    sandbox.settings(commbox_empty_file="accept")
    assert commbox.ok("PUT", f"/Audiences/{ident}", files=phone_file())
    assert commbox.audiences()[ident]["user_count"] == 0
    sandbox.settings(commbox_processing_delay=600, commbox_times="bare", commbox_pending_count="absent")
    ident = commbox.create(PHONE)
    assert "user_count" not in commbox.audiences()[ident]
    assert not commbox.audiences()[ident]["created_time"].endswith("Z")
    sandbox.settings(commbox_pending_count="zero")
    assert commbox.audiences()[ident]["user_count"] == 0


@pytest.mark.parametrize("form", ["none", "seconds", "date"])
def test_a_rate_limit_when_there_is_one(sandbox: Running, commbox: CommBox, form: str) -> None:
    sandbox.settings(commbox_rate_limit=1, commbox_retry_after=form)
    assert commbox.send("GET", "/audiences").status_code == 200
    answer = commbox.send("GET", "/audiences")
    is_error(answer, 429, DASH)
    given = answer.headers.get("Retry-After")
    if form == "none":
        assert given is None
    elif form == "seconds":
        assert 0 < int(given or 0) <= 60
    else:
        assert (given or "").endswith(" GMT")


def test_the_journal_has_the_file_s_hash_and_no_number(sandbox: Running, commbox: CommBox) -> None:
    ident = commbox.create(PHONE, name="list")
    commbox.send("PUT", f"/Audiences/{ident}", files=phone_file(PHONE), data={"note": PHONE})
    created, updated = sandbox.entries(kind="api", vendor="commbox")
    assert created["operation"] == "commbox.createAudience"
    assert created["ids"] == updated["ids"] == {"audienceId": ident}
    file = created["body"]["audience_file"]
    assert created["body"]["name"] == "list"
    assert (file["filename"], file["content_type"]) == ("audience.csv", "text/csv")
    assert file["size"] == len(csv_bytes("phone1", PHONE))
    assert len(file["sha256"]) == 64
    assert PHONE not in str([created, updated])
    assert sandbox.admin("summary")["operations"] == {
        "commbox.createAudience": {"success": 1, "failure": 0},
        "commbox.updateStaticAudience": {"success": 0, "failure": 1},
    }


def test_admin_refuses_what_is_not_there(sandbox: Running) -> None:
    base = f"{sandbox.api}/_sandbox/commbox/audiences"
    assert requests.get(f"{base}/1/members", timeout=TIMEOUT).status_code == 404
    assert requests.post(base, json={}, timeout=TIMEOUT).status_code == 422
    assert sandbox.admin("commbox/audiences") == []
