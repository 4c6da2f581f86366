"""Fanfare's client over real HTTP: both generations of pages, lists, organizations and uploads.

The contract that holds for the clients of all vendors is in ``tests/unit/clients``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    ConfigurationError,
    Outcome,
    TerminalError,
    TransientError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http import TransportSettings
from audience_onboarding.platforms.fanfare.client import PAGE_SIZE, FanfareClient
from audience_onboarding.platforms.fanfare.connection import FanfareSettings
from audience_onboarding.platforms.fanfare.models import (
    AudienceChanges,
    AudienceDraft,
    AudienceType,
    SyncStatus,
)
from tests.unit.clients.contract import EMAIL, PHONE
from tests.unit.clients.fanfare import OPERATIONS, PATH, RULE_JSON, STATUS_JSON
from tests.unit.http.loopback import Action, Hang, Loopback, Reply, Reset, Seen, closed_port
from tests.unit.http.plain import error_of
from tests.unit.platforms.fanfare.conftest import (
    AUDIENCE,
    IMPORT,
    KEY,
    ORGANIZATION,
    Vendor,
    audience_json,
    import_json,
    page,
)

SettingsOf = Callable[..., FanfareSettings]


def create(client: FanfareClient) -> Any:
    return client.create_audience(AudienceDraft(name="Fans", type=AudienceType.STATIC_LIST))


# --- two generations of pages -------------------------------------------------------------------------------


def test_the_base_of_the_hand_written_pages_can_be_given(vendor: Vendor) -> None:
    vendor.answers["GET /api/v1/audiences"] = Reply(200, [])
    settings = FanfareSettings.from_options(host=f"{vendor.server.url}/api/v1/", key=KEY, options={})

    assert list(FanfareClient(settings).list_audiences()) == []
    assert vendor.asked == [f"GET /api/v1/audiences?first={PAGE_SIZE}"]


def test_the_type_of_a_static_list_has_two_spellings(vendor: Vendor, settings_of: SettingsOf) -> None:
    for spelling in ("STATIC", "STATIC_LIST"):
        client = FanfareClient(settings_of(static_list_type=spelling))
        vendor.answers["POST /audiences"] = Reply(200, audience_json(type=spelling))

        assert create(client).type is AudienceType.STATIC_LIST
        assert vendor.calls[-1].json["type"] == spelling


def test_an_audience_is_read_from_either_generation(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers["GET /audiences/aud_01HXYZ"] = Reply(
        200, {"id": "aud_01HXYZ", "name": "Old", "type": "DYNAMIC"}
    )
    source = {"archived": False, "syncSource": "klaviyo:list", "syncSourceId": "abc", "syncStatus": "SUCCESS"}
    vendor.answers[f"GET {PATH}"] = Reply(
        200,
        audience_json(
            type="SYNCED_LIST",
            imports=[import_json(), import_json(id="imp_2", status="FAILED")],
            rules=[RULE_JSON],
            primarySyncSource={**source, "lastSyncedAt": "2026-11-20T03:00:00.123Z"},
        ),
    )

    old, new = client.get_audience("aud_01HXYZ"), client.get_audience(AUDIENCE)

    assert (old.id, old.type) == ("aud_01HXYZ", AudienceType.DYNAMIC)
    assert (old.archived, old.imports, old.rules) == (False, None, None)
    assert [item.id for item in new.imports or ()] == [IMPORT, "imp_2"]
    assert [rule.field for rule in new.rules or ()] == ["tags"]
    assert new.primary_sync_source is not None
    assert new.primary_sync_source.sync_status is SyncStatus.SUCCESS
    assert new.organization_id == ORGANIZATION


def test_a_status_is_read_with_nulls_and_without_fields(vendor: Vendor, client: FanfareClient) -> None:
    nulls = ("lastRefreshedAt", "lastSyncedAt", "pendingShards", "refreshIntervalSeconds", "syncStatus")
    vendor.answers[f"GET {PATH}/status"] = Reply(200, {**STATUS_JSON, **dict.fromkeys(nulls)})
    with_nulls = client.status(AUDIENCE)
    vendor.answers[f"GET {PATH}/status"] = Reply(200, STATUS_JSON)

    assert client.status(AUDIENCE) == with_nulls
    assert (with_nulls.version, with_nulls.stale, with_nulls.sync_status) == (3, False, None)


def test_an_import_that_a_later_one_has_replaced_is_found(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers[f"GET {PATH}/import"] = Reply(200, import_json(id="imp_2"))
    vendor.answers[f"GET {PATH}"] = Reply(
        200, audience_json(imports=[import_json(id="imp_1", status="COMPLETED"), import_json(id="imp_2")])
    )

    first, second, third = (client.find_import(AUDIENCE, f"imp_{number}") for number in (1, 2, 3))

    assert first is not None
    assert first.status == "COMPLETED"
    assert second is not None
    assert second.id == "imp_2"
    assert third is None
    # The import that the vendor shows needs no second request.
    assert vendor.asked.count(f"GET {PATH}") == 2


def test_only_the_ids_of_members_are_kept(
    vendor: Vendor, client: FanfareClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    consumer = {"id": "con_1", "email": EMAIL, "phone": PHONE, "firstName": "Anna", "lastName": "O'Brien"}
    more = {"verificationCode": "991234", "metadata": {"city": "Utrecht"}}
    vendor.answers[f"GET {PATH}/members"] = Reply(200, page({**consumer, **more}))

    assert list(client.member_ids(AUDIENCE)) == ["con_1"]
    for personal in ("anna", "612345678", "Anna", "991234", "Utrecht"):
        assert personal not in caplog.text


# --- pages of a list ----------------------------------------------------------------------------------------


class Pages:
    """Serves pages by cursor; the first one by none."""

    def __init__(self, pages: dict[str | None, Any]) -> None:
        self.pages = pages
        self.asked: list[dict[str, list[str]]] = []

    def __call__(self, seen: Seen) -> Action:
        query = parse_qs(urlsplit(seen.path).query)
        self.asked.append(query)
        return Reply(200, self.pages[query.get("after", [None])[0]])


def item(number: int) -> dict[str, Any]:
    return audience_json(id=f"aud_{number}", name=f"Audience {number}")


CURSOR = "a+b/c=&first=1 é"

PAGES: dict[str, tuple[dict[str | None, Any], int, int]] = {
    "nothing": ({None: page()}, 0, 1),
    "one page, null cursor": ({None: page(item(1), item(2))}, 2, 1),
    "short page with a cursor, then an empty page": (
        {None: page(item(1), item(2), end="a"), "a": page(item(3), end="b"), "b": page()},
        3,
        3,
    ),
    "null cursor at the end": ({None: page(item(1), end="a"), "a": page(item(2), end=None)}, 2, 2),
    "odd signs in a cursor": ({None: page(item(1), end=CURSOR), CURSOR: page(item(2))}, 2, 2),
    "repeated cursor": ({None: page(item(1), end="a"), "a": page(item(2), end="a")}, 2, 2),
    "cursors in a circle": (
        {None: page(item(1), end="a"), "a": page(item(2), end="b"), "b": page(item(3), end="a")},
        3,
        3,
    ),
    # The API description lists no parameters at all: a server may ignore "after".
    "the same page twice": (
        {None: page(item(1), item(2), end="a"), "a": page(item(1), item(2), end="a")},
        2,
        2,
    ),
    "empty page with a cursor": ({None: page(end="a")}, 0, 1),
    "bare array": ({None: [item(1), item(2)]}, 2, 1),
    "empty bare array": ({None: []}, 0, 1),
    "no pageInfo": ({None: {"data": [item(1)]}}, 1, 1),
    "null pageInfo": ({None: {"data": [item(1)], "pageInfo": None}}, 1, 1),
    "empty pageInfo": ({None: {"data": [item(1)], "pageInfo": {}}}, 1, 1),
}
"""Pages by cursor, number of audiences in them, and number of requests."""


def test_all_pages_are_read_and_then_no_more(vendor: Vendor, client: FanfareClient) -> None:
    for name, (pages, audiences, questions) in PAGES.items():
        vendor.answers["GET /audiences"] = served = Pages(pages)

        found = [audience.id for audience in client.list_audiences()]

        assert found == [f"aud_{number + 1}" for number in range(audiences)], name
        assert len(served.asked) == questions, name
        assert {query["first"][0] for query in served.asked} == {"100"}, name


def test_the_next_page_is_requested_when_it_is_wanted(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers["GET /audiences"] = served = Pages({None: page(item(1), end="a"), "a": page(item(2))})

    assert next(client.list_audiences()).id == "aud_1"
    assert len(served.asked) == 1


# --- finding by name ----------------------------------------------------------------------------------------


def test_an_audience_is_found_by_its_exact_name_on_any_page(vendor: Vendor, client: FanfareClient) -> None:
    fans = audience_json(id="b", name="Fans")
    vendor.answers["GET /audiences"] = Pages(
        {
            None: page(
                audience_json(id="a", name="fans"),
                audience_json(id="old", name="Fans", archived=True),
                end="x",
            ),
            "x": page(fans, end="y"),
            # A page that comes twice is not a second audience.
            "y": page(fans, end="y"),
        }
    )

    found = client.find_audience("Fans", AudienceType.STATIC_LIST)

    assert found is not None
    assert found.id == "b"
    assert client.find_audience("Fan", AudienceType.STATIC_LIST) is None


def test_an_audience_that_does_not_fit_is_an_error(vendor: Vendor, client: FanfareClient) -> None:
    dynamic = audience_json(id="two", type="DYNAMIC")
    for audiences, message in (
        ([dynamic], "is DYNAMIC, not STATIC_LIST"),
        ([audience_json(id="one"), dynamic], r"Ambiguous audience name 'Presale fans'.*one, two.*'id'"),
    ):
        vendor.answers["GET /audiences"] = Reply(200, page(*audiences))

        with pytest.raises(ConfigurationError, match=message):
            client.find_audience("Presale fans", AudienceType.STATIC_LIST)


# --- the organization of the key ----------------------------------------------------------------------------

ANOTHER = "99999999-0d44-4b50-8888-8dd257360bbb"
CHANGES = {name: operation for name, operation in OPERATIONS.items() if operation.mutating}


def test_another_organization_is_neither_read_nor_changed(vendor: Vendor, settings_of: SettingsOf) -> None:
    client = FanfareClient(settings_of(organization=ANOTHER))
    vendor.answers["GET /audiences"] = Reply(200, page(audience_json(name="Another's")))
    vendor.default = Reply(200, audience_json())

    # A name that is free there is not free: the audience would be created there.
    for name in (*CHANGES, "get_audience", "find_audience", "list_audiences", "first_audiences"):
        with pytest.raises(
            ConfigurationError, match=f"it belongs to {ORGANIZATION}.* the connection names {ANOTHER}"
        ):
            OPERATIONS[name].call(client)
        assert {seen.method for seen in vendor.calls} == {"GET"}, name


@pytest.mark.parametrize("there", [[], [audience_json()]], ids=["no audience yet", "our audience"])
def test_the_organization_is_checked_once_before_a_change(
    vendor: Vendor, settings_of: SettingsOf, there: list[dict[str, Any]]
) -> None:
    client = FanfareClient(settings_of(organization=ORGANIZATION))
    vendor.answers["GET /audiences"] = Reply(200, page(*there))
    vendor.answers[f"PUT {PATH}"] = Reply(200, audience_json())

    for _ in range(3):
        client.update_audience(AUDIENCE, AudienceChanges(name="x"))

    assert [seen.method for seen in vendor.calls] == ["GET", "PUT", "PUT", "PUT"]


def test_a_change_is_not_sent_while_the_organization_cannot_be_checked(
    vendor: Vendor, settings_of: SettingsOf
) -> None:
    client = FanfareClient(settings_of(organization=ORGANIZATION))
    vendor.answers["GET /audiences"] = Reply(503, {})

    error = error_of(lambda: create(client), VendorUnavailableError)

    assert error.outcome is Outcome.NOT_DONE
    assert {seen.method for seen in vendor.calls} == {"GET"}


# --- refusals -----------------------------------------------------------------------------------------------

ISSUES = [
    {
        "kind": "validation",
        "type": "email",
        "expected": None,
        "received": f'"{EMAIL}"',
        "message": f'Invalid email: Received "{EMAIL}"',
        "path": [
            {
                "type": "object",
                "origin": "value",
                "input": {"email": EMAIL, "phone": PHONE},
                "key": "consumer",
            },
            {"type": "object", "origin": "value", "input": {"email": EMAIL}, "key": "email"},
        ],
    },
    {
        "kind": "schema",
        "type": "picklist",
        "expected": '("DYNAMIC" | "STATIC_LIST")',
        "received": "undefined",
        "message": 'Invalid key: Expected "type" but received undefined',
        "path": [{"type": "object", "origin": "key", "input": {"name": EMAIL}, "key": "type"}],
    },
]

BODIES: dict[str, tuple[Any, list[str]]] = {
    "error": ({"error": "Not today"}, ["Not today"]),
    "issues": (
        {"error": "validation_error", "issues": ISSUES},
        ["validation_error", "consumer.email: email", 'type: expected ("DYNAMIC" | "STATIC_LIST")'],
    ),
    "details": (
        {"error": "Validation failed", "details": [{"field": "email", "message": f"{EMAIL} is taken"}]},
        ["Validation failed", "email: <e-mail> is taken"],
    ),
    "message and code": (
        {
            "error": "Unprocessable",
            "message": f"Consumer {EMAIL} or {PHONE} is not known",
            "code": "CONSUMER_UNKNOWN",
            "details": None,
        },
        ["Unprocessable", "Consumer <e-mail> or <number> is not known"],
    ),
    "message": ({"message": "Only a message"}, ["Only a message"]),
    "details as an object": ({"error": "bad", "details": {"email": f"{EMAIL} is taken"}}, ["bad"]),
    "error as an object": (
        {"error": {"message": "deep", "received": {"name": "Anna", "email": EMAIL}}},
        [],
    ),
    "an issue without end": ({"error": "bad", "issues": [{"type": "y " * 100_000}] * 50}, ["bad"]),
    "numbers": ({"error": 7, "message": None}, []),
    "empty": ({}, []),
    "a list": ([EMAIL], []),
    "a page": (f"<html>{EMAIL}</html>", []),
    "nothing": ("", []),
}
"""Bodies of refusals in every shape of the pages, and words that the error holds."""


@pytest.mark.parametrize("status", [400, 401, 409, 423, 503])
def test_a_refusal_is_read_in_every_shape_without_personal_data(
    vendor: Vendor, client: FanfareClient, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level("DEBUG")
    for name, (body, words) in BODIES.items():
        vendor.answers["POST /audiences"] = Reply(status, body)

        error = error_of(lambda: create(client), VendorError)

        assert error.status == status, name
        assert all(word in str(error) for word in words), f"{name}: {error}"
        assert len(str(error)) < 700, name
        for personal in ("anna", "brien", "612345678", "Anna", "example.com", "hunter22"):
            assert personal not in f"{error} {error.__dict__} {caplog.text}", name


# --- the upload ---------------------------------------------------------------------------------------------

CSV = b"email,phone\r\nanna@example.com,+31612345678\r\n"
QUERY = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261120%2Feu-west-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20261120T030000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=to%2Bken%3D%3D"
    "&X-Amz-Signature=0123456789abcdef"
)


class Storage:
    """Bucket with scripted answers."""

    def __init__(self) -> None:
        self.reply: Action = Reply(200, "")
        self.server = Loopback(lambda seen: self.reply)

    @property
    def url(self) -> str:
        return f"{self.server.url}/imports/{ORGANIZATION}/1701432000000.csv?{QUERY}"


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = Storage()
    with made.server:
        yield made


def test_the_file_goes_to_the_presigned_address_without_credentials(
    storage: Storage, vendor: Vendor, client: FanfareClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password hunter33\n")
    monkeypatch.setenv("NETRC", str(netrc))

    client.upload(storage.url, CSV)

    (seen,) = storage.server.seen
    assert (seen.method, seen.body) == ("PUT", CSV)
    # Byte by byte: anything else breaks the signature.
    assert seen.path == f"/imports/{ORGANIZATION}/1701432000000.csv?{QUERY}"
    assert seen.headers["Content-Type"] == "text/csv"
    assert seen.headers["Content-Length"] == str(len(CSV))
    assert not {"Transfer-Encoding", "Authorization", "Cookie"} & set(seen.headers)
    assert KEY not in str(seen)
    assert vendor.calls == []


def test_the_presigned_address_and_its_signature_are_masked(vendor: Vendor, settings_of: SettingsOf) -> None:
    older = "https://bucket.example/x.csv?AWSAccessKeyId=AKID&Expires=1795143600&Signature=vj%2BbR%3D"
    url = f"https://bucket.example/x.csv?{QUERY}"
    # As they are, and as they stand in the address that a log may quote.
    parameters = {
        "0123456789abcdef",
        "to+ken==",
        "to%2Bken%3D%3D",
        "AKIDEXAMPLE/20261120/eu-west-1/s3/aws4_request",
        "AKIDEXAMPLE%2F20261120%2Feu-west-1%2Fs3%2Faws4_request",
    }
    for address, wanted in ((url, parameters), (older, {"vj+bR=", "vj%2BbR%3D"})):
        secrets: list[str] = []
        client = FanfareClient(settings_of(), on_secret=secrets.append)
        vendor.answers[f"POST {PATH}/import"] = Reply(200, {**import_json(), "uploadUrl": address})

        started = client.start_import(AUDIENCE)

        assert started.upload_url == address
        assert set(secrets) == {KEY, address, *wanted}
        assert "bucket.example" not in f"{started!r} {started}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, VendorUnavailableError),
        (400, TerminalError),
        (404, TerminalError),
        (413, TerminalError),
        (301, TerminalError),
        (500, TransientError),
        (503, TransientError),
        (429, TransientError),
    ],
)
def test_a_refusal_of_the_storage_holds_no_secret(
    storage: Storage,
    client: FanfareClient,
    caplog: pytest.LogCaptureFixture,
    status: int,
    kind: type[AudienceOnboardingError],
) -> None:
    caplog.set_level("DEBUG", logger="audience_onboarding")
    storage.reply = Reply(
        status,
        f"<Error><Code>AccessDenied</Code><X>{QUERY}</X><Row>anna@example.com</Row></Error>",
        {"Content-Type": "application/xml"},
    )

    error = error_of(lambda: client.upload(storage.url, CSV), VendorError)

    assert isinstance(error, kind)
    assert error.status == status
    assert "upload storage PUT /imports/" in str(error)
    assert ("Airflow retries automatically with a new address" in str(error)) is (status == 403)
    for secret in ("Signature", "0123456789abcdef", "AKID", "anna", "?"):
        assert secret not in str(error)
        assert secret not in caplog.text
    assert len(storage.server.seen) == 1


def test_an_upload_without_an_answer_is_transient(storage: Storage, settings_of: SettingsOf) -> None:
    client = FanfareClient(settings_of(read_timeout=0.2))
    gone = f"http://127.0.0.1:{closed_port()}/x?{QUERY}"
    for number, (failure, url) in enumerate(((Reset(), storage.url), (Hang(), storage.url), (None, gone)), 1):
        storage.reply = failure or Reply(200)

        error = error_of(lambda url=url: client.upload(url, CSV), VendorUnavailableError)

        assert "0123456789abcdef" not in str(error)
        assert len(storage.server.arrived(min(number, 2))) == min(number, 2)


def test_personal_data_are_not_sent_unencrypted(storage: Storage) -> None:
    client = FanfareClient(FanfareSettings(base_url="https://admin.fanfare.example/api", key=KEY))
    there = f"127.0.0.1:{urlsplit(storage.server.url).port}"
    for url in (
        f"http://{there}/x?{QUERY}",
        f"ftp://{there}/x?{QUERY}",
        f"//{there}/x",
        f"{there}/x",
        "/x",
        "x",
    ):
        error = error_of(lambda url=url: client.upload(url, CSV), ConfigurationError)

        assert "not https" in str(error), url
        assert "0123456789abcdef" not in str(error), url
    assert storage.server.seen == []


def test_an_upload_uses_the_transport_settings_of_the_connection(
    settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[TransportSettings] = []

    class Transport:
        def __init__(self, settings: TransportSettings, *, vendor: str, **_: Any) -> None:
            taken.append(settings)
            raise InterruptedError

    client = FanfareClient(settings_of(verify_tls="/etc/ca.pem", connect_timeout=3, read_timeout=4))
    monkeypatch.setattr("audience_onboarding.platforms.fanfare.client.HttpTransport", Transport)

    with pytest.raises(InterruptedError):
        client.upload("https://bucket.example:8443/x", CSV)

    (settings,) = taken
    assert settings.base_url == "https://bucket.example:8443"
    assert (settings.verify_tls, settings.connect_timeout, settings.read_timeout) == ("/etc/ca.pem", 3.0, 4.0)
