"""CommBox: its three operations over HTTP, errors, file rules, and user_count with a manual clock."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
import requests

from sandbox.commbox.files import Customers, FileRefusedError, read_file
from sandbox.settings import SandboxSettings
from tests.sandbox.support import TIMEOUT, CommBox, Running, csv_bytes, phone_file, refusal, table

pytestmark = pytest.mark.integration

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PHONE = "442079832100"


def is_error(answer: requests.Response, status: int, description: str) -> None:
    body = answer.json()
    assert set(body) == {"status", "description", "response_time"}
    assert (answer.status_code, body["status"], body["description"]) == (status, status, description)
    assert TIME.fullmatch(body["response_time"])


def test_create_audience_answers_as_on_the_page(commbox: CommBox) -> None:
    body = commbox.ok("POST", "/audiences", 201, data={"name": "NE_USA-above50"}, files=phone_file(PHONE))
    assert TIME.fullmatch(body.pop("response_time"))
    ident = body["data"]["id"]
    assert isinstance(ident, str)
    assert body == {"status": 201, "description": "Audience created", "data": {"id": ident}}


def test_get_audiences_returns_static_and_dynamic(sandbox: Running, commbox: CommBox) -> None:
    static = commbox.create(PHONE, "31612345678", name="list")
    same_name = commbox.create(PHONE, name="list")
    dynamic = sandbox.admin("commbox/audiences", "POST", json={"name": "rules"})["id"]
    sandbox.step(1)
    body = commbox.ok("GET", "/audiences")
    # a string only here
    assert (body["status"], body["description"]) == ("200", "Audiences retrieved")
    assert [item["id"] for item in body["data"]] == [static, same_name, dynamic]
    first, _, last = body["data"]
    assert TIME.fullmatch(first.pop("created_time"))
    assert first == {"id": static, "name": "list", "user_count": 2, "type": "Static"}
    assert TIME.fullmatch(last.pop("created_time"))
    assert last == {"id": dynamic, "name": "rules", "type": "Dynamic"}
    assert sandbox.refused("commbox/audiences/1/members") == 404
    assert sandbox.refused("commbox/audiences", "POST", json={}) == 422


def test_other_paths_and_methods_are_404_and_405(sandbox: Running, commbox: CommBox) -> None:
    for number, resource in enumerate(("audiences", "Audiences")):
        body = {"data": {"name": "x"}, "files": phone_file(PHONE)}
        ident = commbox.ok("POST", f"/{resource}", 201, **body)["data"]["id"]
        assert commbox.ok("PUT", f"/{resource}/{ident}", files=phone_file(PHONE))["data"] == {"id": ident}
        assert len(commbox.ok("GET", f"/{resource}")["data"]) == number + 1
    since = sandbox.admin("summary")["last_seq"]
    paths = ["", "/", "/x", "/audiences/", "/audiences/1/x", "/AUDIENCES"]
    for path in paths:
        is_error(commbox.send("GET", path), 404, "Not Found")
    entries = sandbox.entries(since=since, kind="api")
    assert [(one["vendor"], one["operation"]) for one in entries] == [("commbox", None)] * len(paths)
    assert [one["path"] for one in entries] == [f"/commbox{path}" for path in paths]
    is_error(commbox.send("DELETE", "/audiences"), 405, "Method Not Allowed")
    is_error(commbox.send("GET", "/audiences/312345"), 405, "Method Not Allowed")


def test_operations_without_a_valid_key_are_401(sandbox: Running) -> None:
    key = sandbox.info["commbox_api_key"]
    for method, path in (("POST", ""), ("GET", ""), ("PUT", "/1")):
        url = f"{sandbox.info['commbox_url']}/audiences{path}"
        for header in (None, "Bearer wrong", "Bearer", key, f"Basic {key}", "Bearer expired-commbox-key"):
            headers = {"Authorization": header} if header else {}
            answer = requests.request(method, url, headers=headers, files=phone_file(PHONE), timeout=TIMEOUT)
            is_error(answer, 401, "Unauthorized")
    assert sandbox.entries(kind="api")[-1]["message"] == "API key has expired"
    assert key not in str(sandbox.entries())

    # the key can expire
    assert sandbox.admin("commbox/expire-key", "POST") == {"expired": True}
    assert sandbox.admin("commbox/expire-key", "POST") == {"expired": False}
    is_error(sandbox.commbox().send("GET", "/audiences"), 401, "Unauthorized")
    sandbox.reset()
    assert sandbox.commbox().send("GET", "/audiences").status_code == 200


def part(content: bytes, name: str = "audience.csv") -> dict[str, Any]:
    return {"audience_file": (name, content, "text/csv")}


def test_create_audience_with_an_invalid_form_is_400(sandbox: Running, commbox: CommBox) -> None:
    named, url = {"name": "x"}, "https://example.com/a.csv"
    base64_text = base64.b64encode(b"phone1\n1")
    not_a_form = "Content-Type is not multipart/form-data"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"files": phone_file(PHONE)}, "name: missing"),
        ({"data": {"name": " "}, "files": phone_file(PHONE)}, "name: missing"),
        ({"files": {**phone_file(PHONE), "name": ("n.txt", b"x")}}, "name: missing"),
        ({"data": named, "files": {"file": ("a.csv", b"phone1\n1")}}, "audience_file: missing"),
        ({"data": {**named, "audience_file": url}, "files": {"a": ("a", b"")}}, "audience_file: text"),
        ({"files": {"name": (None, "x"), "audience_file": (None, base64_text)}}, "audience_file: text"),
        ({"data": named, "files": part(b"phone\n31612345678\n")}, "header: phone1 is missing"),
        ({"data": named, "files": part(base64_text)}, "header: phone1 is missing"),
        ({"data": named, "files": part(b"PK\x03\x04", "a.xlsx")}, "Excel is not simulated"),
        ({"data": named, "files": part(b"")}, "file is empty"),
        ({"data": named, "files": part(b"phone1\n+31612345678\n")}, "no customer"),
        ({"data": {**named, "mode": "append"}, "files": phone_file(PHONE)}, "a field that the page"),
        ({"data": {"name": ["x", "y"]}, "files": phone_file(PHONE)}, "name: twice"),
        *(({"json": named}, not_a_form), ({"data": named}, not_a_form)),
        ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "form:"),
    ]
    with table() as check:
        for arguments, reason in cases:
            is_error(commbox.send("POST", "/audiences", **arguments), 400, "Bad Request")
            entry = sandbox.entries(kind="api")[-1]
            actual = entry["message"].startswith(reason), entry["operation"], entry["success"]
            check((reason, entry["message"]), actual, (True, "commbox.createAudience", False))
    assert commbox.audiences() == {}


def test_update_audience_with_an_invalid_request_is_refused(sandbox: Running, commbox: CommBox) -> None:
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
    sandbox.step(1)
    assert commbox.audiences()[static]["user_count"] == 1


def test_commbox_settings_change_the_behaviour(sandbox: Running, commbox: CommBox) -> None:
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


def test_rate_limit_when_exceeded_is_429(sandbox: Running, commbox: CommBox) -> None:
    for form, expected in (("none", None), ("seconds", "60"), ("date", "date")):
        sandbox.reset()
        sandbox.settings(commbox_rate_limit=1, commbox_retry_after=form)
        assert commbox.send("GET", "/audiences").status_code == 200
        answer = commbox.send("GET", "/audiences")
        is_error(answer, 429, "Too Many Requests \u2013 Rate limit exceeded")
        retry_after = answer.headers.get("Retry-After")
        assert ("date" if retry_after and retry_after.endswith(" GMT") else retry_after) == expected
    sandbox.step(60)
    assert commbox.send("GET", "/audiences").status_code == 200


def test_user_count_after_several_files_is_that_of_the_last(sandbox: Running, commbox: CommBox) -> None:
    sandbox.settings(commbox_processing_delay=5)
    ident = commbox.create(PHONE, "31612345678")

    def count() -> Any:
        return commbox.audiences()[ident].get("user_count", "absent")

    for pending, first in (("zero", 0), ("absent", "absent")):
        sandbox.settings(commbox_pending_count=pending)
        assert count() == first
    sandbox.step(4.9)
    assert count() == "absent"
    sandbox.step(0.1)
    assert count() == 2
    body = commbox.ok("PUT", f"/Audiences/{ident}", files=phone_file(PHONE))
    assert (body["status"], body["description"], body["data"]) == (200, "Operation successful", {"id": ident})
    assert count() == 2
    sandbox.step(5)
    assert count() == 1
    # an earlier file that is processed later changes nothing
    sandbox.settings(commbox_processing_delay=60)
    commbox.ok("PUT", f"/Audiences/{ident}", files=phone_file(PHONE, "31612345678", "31612345679"))
    sandbox.settings(commbox_processing_delay=1)
    commbox.ok("PUT", f"/Audiences/{ident}", files=phone_file("31612345670"))
    for seconds in (1, 60):
        sandbox.step(seconds)
        assert count() == 1
    page = sandbox.admin(f"commbox/audiences/{ident}/members")
    assert page == {"audience_id": ident, "count": 1, "members": ["31612345670"]}
    (line,) = sandbox.admin("commbox/audiences")
    assert (line["uploads"], line["pending"], line["members"]) == (4, 0, 1)
    sandbox.reset()
    assert int(commbox.create(PHONE)) > int(ident) >= 312345


def test_journal_of_an_upload_has_the_hash_and_no_number(sandbox: Running, commbox: CommBox) -> None:
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


# --- files ----------------------------------------------------------------------------------------------


def read(text: str | bytes, **settings: Any) -> Customers:
    content = text.encode() if isinstance(text, str) else text
    return read_file(content, SandboxSettings(**settings))


def test_read_file_with_a_valid_file_returns_customers() -> None:
    one, two = "31612345678", "442079832100"
    with table() as check:
        for ending in ("\n", "\r\n"):
            customers = read(ending.join(["phone1", two, one, ""]))
            check(ending, customers, Customers((two, one), 2, 2, 0))
        customers = read(f'name,phone1,city\n"Berg, Anna",{one},Delft\n')
        check("other columns", customers.phones, (one,))
        for bad in ("+31612345678", "0612345678", "31 612345678", "3161234", "3161234567890123", "x", ""):
            text = f"phone1,name\n{one},a\n{bad},b\n"
            check(bad, read(text), Customers((one,), 1, 2, 1))
            reason = refusal(FileRefusedError, lambda text=text: read(text, commbox_bad_phone="refuse"))
            check(bad, (reason or "").startswith("line 3: phone1 is not digits"), True)
        repeated = f"phone1\n{one}\n{one}\n"
        check("once", read(repeated).user_count, 1)
        each = read(repeated, commbox_duplicates="each")
        check("each", (each.user_count, each.phones), (2, (one,)))


def test_read_file_with_an_invalid_file_is_refused() -> None:
    cases = [
        (b"", "file is empty"),
        (b"phone\n31612345678\n", "phone1 is missing"),
        (b"Phone1\n31612345678\n", "phone1 is missing"),
        (b"phone1;name\n31612345678;a\n", "phone1 is missing"),
        (b"phone1,phone1\n1,2\n", "twice"),
        (b"\xef\xbb\xbfphone1\n31612345678\n", "byte order mark"),
        (b"phone1\n\xff\n", "not UTF-8"),
        (b"PK\x03\x04rest of a workbook", "Excel is not simulated"),
        (b"\xd0\xcf\x11\xe0rest of an older one", "Excel is not simulated"),
        (b"https://example.com/audience.csv", "phone1 is missing"),
        (b"phone1,name\n31612345678\n", "line 2: 1 fields, header has 2"),
        (b'phone1\n"31612345678\n', "broken quoting"),
    ]
    with table() as check:
        for content, reason in cases:
            actual = refusal(FileRefusedError, lambda content=content: read(content))
            check((content, actual), reason in (actual or ""), True)
        for text in ("phone1\n", "phone1,name\nx,a\n"):
            actual = refusal(FileRefusedError, lambda text=text: read(text))
            check((text, actual), "no customer" in (actual or ""), True)
            check(text, read(text, commbox_empty_file="accept").user_count, 0)
