"""The client over real HTTP: what it sends, what it believes, and where the key goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest

from audience_onboarding.errors import (
    AudienceOnboardingError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TerminalError,
    TooLargeError,
    TransientError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.fanfare.client import PAGE_SIZE, FanfareClient
from audience_onboarding.fanfare.models import (
    AudienceChanges,
    AudienceDraft,
    AudienceType,
    LoyaltyTier,
    RuleDraft,
    RuleOperator,
    SyncSourceDraft,
    SyncStatus,
)
from audience_onboarding.fanfare.settings import FanfareSettings
from audience_onboarding.http import TransportSettings
from tests.unit.fanfare.conftest import (
    AUDIENCE,
    IMPORT,
    KEY,
    ORGANIZATION,
    Vendor,
    audience_json,
    import_json,
    page,
)
from tests.unit.http.loopback import Action, Hang, Loopback, Reply, Reset, Seen, closed_port

SettingsOf = Callable[..., FanfareSettings]
Call = Callable[[FanfareClient], Any]

PATH = f"/audiences/{AUDIENCE}"
RULE_ID = "11111111-0d44-4b50-8888-8dd25736052c"
EMAIL, PHONE = "anna.o'brien@example.com", "+31612345678"


def error_of(act: Callable[[], Any]) -> AudienceOnboardingError:
    with pytest.raises(AudienceOnboardingError) as caught:
        act()
    return caught.value


# --- what the vendor's pages want in a body -----------------------------------------------------------------
# Written from the vendor's page "Create audience" and its API description, not from the code.


def nullable(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}


TYPES = {"enum": ["DYNAMIC", "STATIC_LIST", "SYNCED_LIST"]}
OPERATORS = [
    *("EQUALS", "NOT_EQUALS", "GREATER_THAN", "GREATER_THAN_OR_EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL"),
    *("BETWEEN", "CONTAINS", "NOT_CONTAINS", "IN", "NOT_IN", "EXISTS", "NOT_EXISTS"),
]
RULE = {
    "type": "object",
    "required": ["field", "operator", "values"],
    "additionalProperties": False,
    "properties": {
        "field": {"type": "string"},
        "operator": {"enum": OPERATORS},
        "values": {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}},
        "groupId": nullable("string"),
        "position": nullable("integer"),
    },
}
CHANGEABLE: dict[str, Any] = {
    "name": {"type": "string", "minLength": 1},
    "type": TYPES,
    "description": nullable("string"),
    "groupId": nullable("string"),
    "groupName": nullable("string"),
    "groupType": {"enum": ["SEGMENTED_VALUE", "RFM", None]},
    "iconName": nullable("string"),
    "lastRefreshedAt": nullable("string"),
    "metadata": nullable("object"),
    "refreshIntervalSeconds": nullable("number"),
}
SCHEMAS: dict[str, Mapping[str, Any]] = {
    "POST /audiences": {
        "type": "object",
        "required": ["name", "type"],
        "additionalProperties": False,
        "properties": {
            **CHANGEABLE,
            "primarySyncSource": nullable(
                "object",
                required=["syncSource", "syncSourceId"],
                additionalProperties=False,
                properties={
                    "syncSource": {"type": "string"},
                    "syncSourceId": {"type": "string"},
                    "lastSyncedAt": nullable("string"),
                    "sourceData": nullable("object"),
                    "syncStatus": {"enum": ["PENDING", "SUCCESS", "FAILED", None]},
                },
            ),
            "rules": nullable("array", items=RULE),
        },
    },
    f"PUT {PATH}": {"type": "object", "additionalProperties": False, "properties": CHANGEABLE},
    f"POST {PATH}/rules": RULE,
    f"PUT {PATH}/rules": {
        "type": "object",
        "required": ["rules"],
        "additionalProperties": False,
        "properties": {"rules": {"type": "array", "items": RULE}},
    },
    f"PUT {PATH}/rules/{RULE_ID}": RULE,
    "POST /audiences/loyalty-tiers": {
        "type": "object",
        "required": ["groupName", "tiers"],
        "additionalProperties": False,
        "properties": {
            "groupName": {"type": "string"},
            "attribute": {"enum": ["totalOrderValue", "totalOrders", "lifetimeSpend"]},
            "tiers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "order", "startValue"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string"},
                        "order": {"type": "integer"},
                        "startValue": {"type": "number"},
                        "endValue": nullable("number"),
                        "iconName": nullable("string"),
                    },
                },
            },
        },
    },
}

RULE_JSON = {
    "audienceId": AUDIENCE,
    "id": RULE_ID,
    "organizationId": ORGANIZATION,
    "field": "tags",
    "operator": "IN",
    "values": ["vip"],
}
STATUS_JSON = {"audienceId": AUDIENCE, "version": 3, "stale": False, "inProgress": False}
BIG_SPENDERS = RuleDraft(field="totalSpend", operator=RuleOperator.BETWEEN, values=(1, 99.5))
EVERYTHING = {
    "description": "Who may buy first",
    "groupId": RULE_ID,
    "groupName": "Tiers",
    "groupType": "RFM",
    "iconName": "star",
    "metadata": {"owner": "crm", "n": [1, None]},
    "refreshIntervalSeconds": 3600,
}

OPERATIONS: list[Any] = [
    pytest.param(
        lambda client: list(client.list_audiences()),
        f"GET /audiences?first={PAGE_SIZE}",
        None,
        page(audience_json()),
        id="list",
    ),
    pytest.param(
        lambda client: client.create_audience(AudienceDraft(name="Fans", type=AudienceType.STATIC_LIST)),
        "POST /audiences",
        {"name": "Fans", "type": "STATIC_LIST"},
        audience_json(),
        id="create a list",
    ),
    pytest.param(
        lambda client: client.create_audience(
            AudienceDraft(
                name="Fans",
                type=AudienceType.DYNAMIC,
                rules=(
                    BIG_SPENDERS,
                    RuleDraft(field="city", operator=RuleOperator.EXISTS, values=(), position=2),
                    RuleDraft(
                        field="vip", operator=RuleOperator.IN, values=(True, None, "yes"), group_id="g"
                    ),
                ),
            )
        ),
        "POST /audiences",
        {
            "name": "Fans",
            "type": "DYNAMIC",
            "rules": [
                {"field": "totalSpend", "operator": "BETWEEN", "values": [1, 99.5]},
                {"field": "city", "operator": "EXISTS", "values": [], "position": 2},
                {"field": "vip", "operator": "IN", "values": [True, None, "yes"], "groupId": "g"},
            ],
        },
        audience_json(type="DYNAMIC", rules=[RULE_JSON]),
        id="create by rules",
    ),
    pytest.param(
        lambda client: client.create_audience(
            AudienceDraft(
                name="Fans",
                type=AudienceType.SYNCED_LIST,
                primary_sync_source=SyncSourceDraft(
                    sync_source="klaviyo:list", sync_source_id="abc", source_data={"a": 1}
                ),
            )
        ),
        "POST /audiences",
        {
            "name": "Fans",
            "type": "SYNCED_LIST",
            "primarySyncSource": {
                "syncSource": "klaviyo:list",
                "syncSourceId": "abc",
                "sourceData": {"a": 1},
            },
        },
        audience_json(type="SYNCED_LIST"),
        id="create a synced list",
    ),
    pytest.param(
        lambda client: client.create_audience(
            AudienceDraft.model_validate({"name": "Fans", "type": "STATIC_LIST", **EVERYTHING})
        ),
        "POST /audiences",
        {"name": "Fans", "type": "STATIC_LIST", **EVERYTHING},
        audience_json(),
        id="create with everything",
    ),
    pytest.param(
        lambda client: client.get_audience(AUDIENCE), f"GET {PATH}", None, audience_json(), id="get"
    ),
    pytest.param(
        lambda client: client.update_audience(AUDIENCE, AudienceChanges(name="New", description=None)),
        f"PUT {PATH}",
        {"name": "New", "description": None},
        {name: value for name, value in audience_json().items() if name not in {"rules", "imports"}},
        id="update",
    ),
    pytest.param(
        lambda client: client.update_audience(AUDIENCE, AudienceChanges.model_validate(EVERYTHING)),
        f"PUT {PATH}",
        EVERYTHING,
        audience_json(),
        id="update everything",
    ),
    pytest.param(
        lambda client: client.archive_audience(AUDIENCE),
        f"DELETE {PATH}",
        None,
        audience_json(archived=True),
        id="archive",
    ),
    pytest.param(
        lambda client: client.count(AUDIENCE),
        f"GET {PATH}/count",
        None,
        {"audienceId": AUDIENCE, "count": 7},
        id="count",
    ),
    pytest.param(
        lambda client: client.status(AUDIENCE), f"GET {PATH}/status", None, STATUS_JSON, id="status"
    ),
    pytest.param(
        lambda client: list(client.member_ids(AUDIENCE)),
        f"GET {PATH}/members?first={PAGE_SIZE}",
        None,
        page({"id": "con_1"}),
        id="members",
    ),
    pytest.param(
        lambda client: client.count_members_like(AUDIENCE, emails=set(), phones=set()),
        f"GET {PATH}/members?first={PAGE_SIZE}",
        None,
        page({"id": "con_1"}),
        id="members told by hashes",
    ),
    pytest.param(
        lambda client: client.list_group("group_1"),
        "GET /audiences/groups/group_1",
        None,
        [audience_json()],
        id="group",
    ),
    pytest.param(
        lambda client: client.create_loyalty_tiers(
            group_name="Tiers",
            attribute="totalOrders",
            tiers=[
                LoyaltyTier(name="Silver", order=1, start_value=10, end_value=99.5),
                LoyaltyTier(name="Gold", order=2, start_value=100, icon_name="star"),
            ],
        ),
        "POST /audiences/loyalty-tiers",
        {
            "groupName": "Tiers",
            "attribute": "totalOrders",
            "tiers": [
                {"name": "Silver", "order": 1, "startValue": 10, "endValue": 99.5},
                {"name": "Gold", "order": 2, "startValue": 100, "iconName": "star"},
            ],
        },
        {"tierGroup": {"id": "group_1"}, "audiences": [audience_json()]},
        id="loyalty tiers",
    ),
    pytest.param(
        lambda client: client.create_loyalty_tiers(group_name="Tiers", tiers=[]),
        "POST /audiences/loyalty-tiers",
        {"groupName": "Tiers", "tiers": []},
        {},
        id="loyalty tiers of no attribute",
    ),
    pytest.param(
        lambda client: client.list_rules(AUDIENCE), f"GET {PATH}/rules", None, [RULE_JSON], id="list rules"
    ),
    pytest.param(
        lambda client: client.add_rule(AUDIENCE, BIG_SPENDERS),
        f"POST {PATH}/rules",
        {"field": "totalSpend", "operator": "BETWEEN", "values": [1, 99.5]},
        RULE_JSON,
        id="add a rule",
    ),
    pytest.param(
        lambda client: client.replace_rules(AUDIENCE, [BIG_SPENDERS]),
        f"PUT {PATH}/rules",
        {"rules": [{"field": "totalSpend", "operator": "BETWEEN", "values": [1, 99.5]}]},
        [RULE_JSON],
        id="replace rules",
    ),
    pytest.param(
        lambda client: client.get_rule(AUDIENCE, RULE_ID),
        f"GET {PATH}/rules/{RULE_ID}",
        None,
        RULE_JSON,
        id="get a rule",
    ),
    pytest.param(
        lambda client: client.update_rule(AUDIENCE, RULE_ID, BIG_SPENDERS),
        f"PUT {PATH}/rules/{RULE_ID}",
        {"field": "totalSpend", "operator": "BETWEEN", "values": [1, 99.5]},
        RULE_JSON,
        id="update a rule",
    ),
    pytest.param(
        lambda client: client.delete_rule(AUDIENCE, RULE_ID),
        f"DELETE {PATH}/rules/{RULE_ID}",
        None,
        RULE_JSON,
        id="delete a rule",
    ),
    pytest.param(
        lambda client: client.start_import(AUDIENCE),
        f"POST {PATH}/import",
        None,
        {**import_json(), "uploadUrl": "https://bucket.example/x?X-Amz-Signature=abc"},
        id="start an import",
    ),
    pytest.param(
        lambda client: client.get_import(AUDIENCE), f"GET {PATH}/import", None, import_json(), id="get import"
    ),
    pytest.param(
        lambda client: client.sync(AUDIENCE),
        f"POST {PATH}/sync",
        None,
        {"success": True, "syncSourceId": "abc", "status": "PENDING"},
        id="sync",
    ),
]


@pytest.mark.parametrize(("call", "asked", "body", "answer"), OPERATIONS)
def test_each_operation_is_sent_as_the_vendors_pages_show_it(
    vendor: Vendor, client: FanfareClient, call: Call, asked: str, body: Any, answer: Any
) -> None:
    vendor.answers[asked] = Reply(200, answer)

    call(client)

    (seen,) = vendor.seen
    assert f"{seen.method} {seen.path}" == asked
    assert seen.headers["Authorization"] == f"Bearer {KEY}"
    assert seen.json == body
    if body is None:
        assert "Content-Type" not in seen.headers
        assert int(seen.headers.get("Content-Length") or 0) == 0
    else:
        assert seen.headers["Content-Type"] == "application/json"
        jsonschema.validate(seen.json, SCHEMAS[asked])


def test_every_method_of_the_client_is_among_the_operations() -> None:
    public = {name for name in vars(FanfareClient) if not name.startswith("_")}
    covered = {name for param in OPERATIONS for name in param.values[0].__code__.co_names}

    others = {"hint", "renewal", "check_type", "find_audience", "find_import", "first_audiences", "upload"}
    assert public - covered == others


@pytest.mark.parametrize("status", [200, 201])
def test_a_creation_may_be_answered_either_way(vendor: Vendor, client: FanfareClient, status: int) -> None:
    vendor.answers["POST /audiences"] = Reply(status, audience_json())

    assert client.create_audience(AudienceDraft(name="x", type=AudienceType.STATIC_LIST)).id == AUDIENCE


def test_the_base_of_the_hand_written_pages_can_be_given(vendor: Vendor) -> None:
    vendor.answers["GET /api/v1/audiences"] = Reply(200, [])
    settings = FanfareSettings.from_options(host=f"{vendor.server.url}/api/v1/", key=KEY, options={})

    assert list(FanfareClient(settings).list_audiences()) == []
    assert vendor.calls == [f"GET /api/v1/audiences?first={PAGE_SIZE}"]


# --- what is believed: two generations of pages -------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["STATIC", "STATIC_LIST"])
def test_a_static_list_is_known_in_both_spellings(
    vendor: Vendor, client: FanfareClient, spelling: str
) -> None:
    vendor.answers[f"GET {PATH}"] = Reply(200, audience_json(type=spelling))

    assert client.get_audience(AUDIENCE).type is AudienceType.STATIC_LIST


def test_an_audience_is_read_as_either_page_shows_it(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers["GET /audiences/aud_01HXYZ"] = Reply(
        200, {"id": "aud_01HXYZ", "name": "Old", "type": "DYNAMIC"}
    )
    vendor.answers[f"GET {PATH}"] = Reply(
        200,
        audience_json(
            type="SYNCED_LIST",
            imports=[import_json(), import_json(id="imp_2", status="FAILED")],
            rules=[RULE_JSON],
            primarySyncSource={
                "archived": False,
                "syncSource": "klaviyo:list",
                "syncSourceId": "abc",
                "syncStatus": "SUCCESS",
                "lastSyncedAt": "2026-11-20T03:00:00.123Z",
            },
        ),
    )

    old, new = client.get_audience("aud_01HXYZ"), client.get_audience(AUDIENCE)

    assert (old.id, old.type, old.archived, old.imports, old.rules) == (
        "aud_01HXYZ",
        AudienceType.DYNAMIC,
        False,
        None,
        None,
    )
    assert [item.id for item in new.imports or ()] == [IMPORT, "imp_2"]
    assert [rule.field for rule in new.rules or ()] == ["tags"]
    assert new.primary_sync_source is not None
    assert new.primary_sync_source.sync_status is SyncStatus.SUCCESS
    assert new.organization_id == ORGANIZATION


@pytest.mark.parametrize(
    "answer",
    [{"audienceId": AUDIENCE, "count": 7}, {"count": 7, "source": "cache"}],
    ids=["new", "with source"],
)
def test_a_count_may_say_where_it_is_from(vendor: Vendor, client: FanfareClient, answer: Any) -> None:
    vendor.answers[f"GET {PATH}/count"] = Reply(200, answer)

    assert client.count(AUDIENCE) == 7


def test_a_status_is_read_with_nulls_and_without_fields(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers[f"GET {PATH}/status"] = Reply(
        200,
        {
            **STATUS_JSON,
            "lastRefreshedAt": None,
            "lastSyncedAt": None,
            "pendingShards": None,
            "refreshIntervalSeconds": None,
            "syncStatus": None,
        },
    )
    with_nulls = client.status(AUDIENCE)
    vendor.answers[f"GET {PATH}/status"] = Reply(200, STATUS_JSON)

    assert client.status(AUDIENCE) == with_nulls
    assert (with_nulls.version, with_nulls.stale, with_nulls.sync_status) == (3, False, None)


@pytest.mark.parametrize("missing", ["stale", "inProgress"])
def test_a_status_without_what_decides_is_no_status(
    vendor: Vendor, client: FanfareClient, missing: str
) -> None:
    vendor.answers[f"GET {PATH}/status"] = Reply(
        200, {name: value for name, value in STATUS_JSON.items() if name != missing}
    )

    with pytest.raises(UnexpectedResponseError, match=f"missing or odd: {missing}"):
        client.status(AUDIENCE)


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "COMPLETED", "SUCCESS", "FAILED", "ARCHIVING"])
def test_any_status_of_an_import_is_read(vendor: Vendor, client: FanfareClient, status: str) -> None:
    vendor.answers[f"GET {PATH}/import"] = Reply(200, import_json(status=status))

    found = client.get_import(AUDIENCE)

    assert found is not None
    assert (found.id, found.status) == (IMPORT, status)


def test_an_audience_that_never_had_an_import_has_none(vendor: Vendor, client: FanfareClient) -> None:
    assert client.get_import(AUDIENCE) is None


def test_an_import_that_a_later_one_has_displaced_is_found(vendor: Vendor, client: FanfareClient) -> None:
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
    # What is shown needs no second question.
    assert vendor.calls.count(f"GET {PATH}") == 2


def test_what_a_sync_under_way_answers_is_no_error(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers[f"POST {PATH}/sync"] = Reply(409, {"error": "Sync already in progress"})

    assert client.sync(AUDIENCE) is None


@pytest.mark.parametrize("words", ["Audience is not a synced list", "Audience has no sync source"])
def test_a_sync_that_cannot_be_is_refused_in_the_vendors_words(
    vendor: Vendor, client: FanfareClient, words: str
) -> None:
    vendor.answers[f"POST {PATH}/sync"] = Reply(400, {"error": words})

    with pytest.raises(RequestRejectedError, match=f"Audience {AUDIENCE}: .*{words}"):
        client.sync(AUDIENCE)


CONSUMER = {
    "id": "con_1",
    "email": EMAIL,
    "phone": PHONE,
    "firstName": "Anna",
    "lastName": "O'Brien",
    "verificationCode": "991234",
    "metadata": {"city": "Utrecht"},
}


def test_of_members_only_the_id_is_kept(
    vendor: Vendor, client: FanfareClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.answers[f"GET {PATH}/members"] = Reply(200, page(CONSUMER))

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


def ids(*numbers: int) -> list[str]:
    return [f"aud_{number}" for number in numbers]


@pytest.mark.parametrize(
    ("pages", "found", "questions"),
    [
        pytest.param({None: page()}, [], 1, id="nothing"),
        pytest.param({None: page(item(1), item(2))}, [1, 2], 1, id="one page, null cursor"),
        pytest.param(
            {None: page(item(1), item(2), end="a"), "a": page(item(3), end="b"), "b": page()},
            [1, 2, 3],
            3,
            id="short page with a cursor, then an empty page",
        ),
        pytest.param(
            {None: page(item(1), end="a"), "a": page(item(2), end=None)},
            [1, 2],
            2,
            id="null cursor at the end",
        ),
        pytest.param(
            {None: page(item(1), end="a"), "a": page(item(2), end="a")}, [1, 2], 2, id="repeated cursor"
        ),
        pytest.param(
            {None: page(item(1), end="a"), "a": page(item(2), end="b"), "b": page(item(3), end="a")},
            [1, 2, 3],
            3,
            id="cursors in a circle",
        ),
        pytest.param({None: page(end="a")}, [], 1, id="empty page with a cursor"),
        pytest.param({None: [item(1), item(2)]}, [1, 2], 1, id="bare array"),
        pytest.param({None: []}, [], 1, id="empty bare array"),
        pytest.param({None: {"data": [item(1)]}}, [1], 1, id="no pageInfo"),
        pytest.param({None: {"data": [item(1)], "pageInfo": None}}, [1], 1, id="null pageInfo"),
        pytest.param({None: {"data": [item(1)], "pageInfo": {}}}, [1], 1, id="empty pageInfo"),
    ],
)
def test_all_pages_are_read_and_then_no_more(
    vendor: Vendor, client: FanfareClient, pages: dict[str | None, Any], found: list[int], questions: int
) -> None:
    served = Pages(pages)
    vendor.answers["GET /audiences"] = served

    assert [audience.id for audience in client.list_audiences()] == ids(*found)
    assert len(served.asked) == questions
    assert {query["first"][0] for query in served.asked} == {"100"}


def test_cursors_travel_as_they_came(vendor: Vendor, client: FanfareClient) -> None:
    cursor = "a+b/c=&first=1 é"
    served = Pages({None: page(item(1), end=cursor), cursor: page(item(2))})
    vendor.answers["GET /audiences"] = served

    assert [audience.id for audience in client.list_audiences()] == ids(1, 2)


def test_a_server_that_does_not_know_cursors_shows_each_audience_once(
    vendor: Vendor, client: FanfareClient
) -> None:
    # The API description lists no parameters at all: one that ignores "after" gives the same page again.
    vendor.answers["GET /audiences"] = Reply(200, page(item(1), item(2), end="a"))

    assert [audience.id for audience in client.list_audiences()] == ids(1, 2)
    found = client.find_audience("Audience 1", AudienceType.STATIC_LIST)
    assert found is not None
    assert found.id == "aud_1"


def test_the_next_page_is_asked_for_when_it_is_wanted(vendor: Vendor, client: FanfareClient) -> None:
    served = Pages({None: page(item(1), end="a"), "a": page(item(2))})
    vendor.answers["GET /audiences"] = served

    assert next(client.list_audiences()).id == "aud_1"
    assert len(served.asked) == 1


@pytest.mark.parametrize(
    "answer", [{"data": None}, {"data": {"id": 1}}, {"audiences": []}, "list", 7, {"data": [7]}]
)
def test_what_is_no_list_is_never_taken_for_an_empty_one(
    vendor: Vendor, client: FanfareClient, answer: Any
) -> None:
    vendor.answers["GET /audiences"] = Reply(200, b'"list"' if answer == "list" else answer)

    with pytest.raises(UnexpectedResponseError):
        client.find_audience("x", AudienceType.STATIC_LIST)


# --- finding by name ----------------------------------------------------------------------------------------


def listed(vendor: Vendor, *audiences: dict[str, Any]) -> None:
    vendor.answers["GET /audiences"] = Reply(200, page(*audiences))


def test_an_audience_is_found_by_its_exact_name_on_any_page(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers["GET /audiences"] = Pages(
        {
            None: page(audience_json(id="a", name="fans"), end="x"),
            "x": page(audience_json(id="b", name="Fans")),
        }
    )

    found = client.find_audience("Fans", AudienceType.STATIC_LIST)

    assert found is not None
    assert found.id == "b"
    assert client.find_audience("Fan", AudienceType.STATIC_LIST) is None


def test_an_archived_audience_of_the_name_is_none(vendor: Vendor, client: FanfareClient) -> None:
    listed(vendor, audience_json(id="old", archived=True), audience_json(id="new"))

    found = client.find_audience("Presale fans", AudienceType.STATIC_LIST)

    assert found is not None
    assert found.id == "new"


def test_two_audiences_of_a_name_are_an_error_that_names_them(vendor: Vendor, client: FanfareClient) -> None:
    listed(vendor, audience_json(id="one"), audience_json(id="two", type="DYNAMIC"))

    with pytest.raises(ConfigurationError, match=r"2 audiences are called 'Presale fans'.*one, two.*'id'"):
        client.find_audience("Presale fans", AudienceType.STATIC_LIST)


def test_an_audience_of_another_type_is_an_error(vendor: Vendor, client: FanfareClient) -> None:
    listed(vendor, audience_json(type="DYNAMIC"))

    with pytest.raises(ConfigurationError, match="is DYNAMIC, not STATIC_LIST"):
        client.find_audience("Presale fans", AudienceType.STATIC_LIST)


# --- whose key it is ----------------------------------------------------------------------------------------

ANOTHER = "99999999-0d44-4b50-8888-8dd257360bbb"


def test_an_audience_of_another_organization_is_refused(vendor: Vendor, settings_of: SettingsOf) -> None:
    client = FanfareClient(settings_of(organization=ANOTHER))
    vendor.answers[f"GET {PATH}"] = Reply(200, audience_json())

    with pytest.raises(ConfigurationError, match=f"belongs to organization {ORGANIZATION}.* says {ANOTHER}"):
        client.get_audience(AUDIENCE)


CHANGES: list[Any] = [
    pytest.param(
        lambda client: client.create_audience(AudienceDraft(name="x", type=AudienceType.STATIC_LIST)),
        id="create",
    ),
    pytest.param(lambda client: client.update_audience(AUDIENCE, AudienceChanges(name="x")), id="update"),
    pytest.param(lambda client: client.archive_audience(AUDIENCE), id="archive"),
    pytest.param(lambda client: client.replace_rules(AUDIENCE, []), id="replace rules"),
    pytest.param(lambda client: client.delete_rule(AUDIENCE, RULE_ID), id="delete a rule"),
    pytest.param(lambda client: client.start_import(AUDIENCE), id="start an import"),
    pytest.param(lambda client: client.sync(AUDIENCE), id="sync"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_changed_in_another_organization(
    vendor: Vendor, settings_of: SettingsOf, change: Call
) -> None:
    client = FanfareClient(settings_of(organization=ANOTHER))
    listed(vendor, audience_json(name="Somebody else's"))
    vendor.default = Reply(200, audience_json())

    with pytest.raises(ConfigurationError, match=f"belongs to organization {ORGANIZATION}"):
        change(client)

    assert {seen.method for seen in vendor.seen} == {"GET"}


def test_a_name_that_is_free_in_another_organization_is_not_free(
    vendor: Vendor, settings_of: SettingsOf
) -> None:
    # Else it would be created there.
    listed(vendor, audience_json(name="Somebody else's"))

    with pytest.raises(ConfigurationError, match=f"belongs to organization {ORGANIZATION}"):
        FanfareClient(settings_of(organization=ANOTHER)).find_audience("x", AudienceType.STATIC_LIST)


@pytest.mark.parametrize("there", [[], [audience_json()]], ids=["no audience yet", "our audience"])
def test_the_right_organization_is_asked_for_once(
    vendor: Vendor, settings_of: SettingsOf, there: list[dict[str, Any]]
) -> None:
    client = FanfareClient(settings_of(organization=ORGANIZATION))
    listed(vendor, *there)
    vendor.answers[f"PUT {PATH}"] = Reply(200, audience_json())

    for _ in range(3):
        client.update_audience(AUDIENCE, AudienceChanges(name="x"))

    assert [seen.method for seen in vendor.seen] == ["GET", "PUT", "PUT", "PUT"]


def test_without_an_organization_nobody_asks(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers[f"PUT {PATH}"] = Reply(200, audience_json())

    client.update_audience(AUDIENCE, AudienceChanges(name="x"))

    assert vendor.calls == [f"PUT {PATH}"]


def test_a_change_waits_until_it_is_known_whose_key_it_is(vendor: Vendor, settings_of: SettingsOf) -> None:
    client = FanfareClient(settings_of(organization=ORGANIZATION))
    vendor.answers["GET /audiences"] = Reply(503, {})

    error = error_of(lambda: client.update_audience(AUDIENCE, AudienceChanges(name="x")))

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE
    assert {seen.method for seen in vendor.seen} == {"GET"}


# --- what goes wrong ----------------------------------------------------------------------------------------

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

BODIES: list[Any] = [
    pytest.param({"error": "Not today"}, ["Not today"], id="error"),
    pytest.param(
        {"error": "validation_error", "issues": ISSUES},
        ["validation_error", "consumer.email: email", 'type: expected ("DYNAMIC" | "STATIC_LIST")'],
        id="issues",
    ),
    pytest.param(
        {"error": "Validation failed", "details": [{"field": "email", "message": f"{EMAIL} is taken"}]},
        ["Validation failed", "email: <e-mail> is taken"],
        id="details",
    ),
    pytest.param(
        {
            "error": "Unprocessable",
            "message": f"Consumer {EMAIL} or {PHONE} is not known",
            "code": "CONSUMER_UNKNOWN",
            "details": None,
        },
        ["Unprocessable", "Consumer <e-mail> or <number> is not known"],
        id="message and code",
    ),
    pytest.param({"message": "Only a message"}, ["Only a message"], id="message"),
    pytest.param(
        {"error": "bad", "details": {"email": f"{EMAIL} is taken"}}, ["bad"], id="details as an object"
    ),
    pytest.param({"error": "bad", "issues": [f"{EMAIL} is taken"]}, ["bad", "<e-mail> is taken"], id="words"),
    pytest.param(
        {"error": {"message": "deep", "received": {"name": "Anna", "email": EMAIL}}},
        [],
        id="error as an object",
    ),
    pytest.param(
        {
            "error": "bad",
            "issues": [{"path": "email", "type": "email"}, {"path": 3, "type": "x"}, {}, None, 5],
        },
        ["bad", "email: email"],
        id="odd paths",
    ),
    pytest.param({"error": "bad", "issues": [{"expected": {"input": EMAIL}}]}, ["bad"], id="odd expectation"),
    pytest.param({"error": 7, "message": None}, [], id="numbers"),
    pytest.param({}, [], id="empty"),
    pytest.param([EMAIL], [], id="a list"),
    pytest.param(f"<html>{EMAIL}</html>", [], id="a page"),
    pytest.param("", [], id="nothing"),
]

STATUSES = [
    (400, RequestRejectedError, Outcome.NOT_DONE),
    (401, AuthenticationError, Outcome.NOT_DONE),
    (403, PermissionDeniedError, Outcome.NOT_DONE),
    (404, NotFoundError, Outcome.NOT_DONE),
    (409, ConflictError, Outcome.NOT_DONE),
    (413, TooLargeError, Outcome.NOT_DONE),
    (422, RequestRejectedError, Outcome.NOT_DONE),
    (423, VendorUnavailableError, Outcome.NOT_DONE),
    (429, RateLimitedError, Outcome.NOT_DONE),
    (500, VendorUnavailableError, Outcome.UNKNOWN),
    (502, VendorUnavailableError, Outcome.UNKNOWN),
    (503, VendorUnavailableError, Outcome.UNKNOWN),
    (504, VendorUnavailableError, Outcome.UNKNOWN),
]


def create(client: FanfareClient) -> Any:
    return client.create_audience(AudienceDraft(name="Fans", type=AudienceType.STATIC_LIST))


@pytest.mark.parametrize(("status", "kind", "outcome"), STATUSES)
@pytest.mark.parametrize(("body", "words"), BODIES)
def test_every_refusal_is_understood_in_every_shape_of_the_pages(
    vendor: Vendor,
    client: FanfareClient,
    caplog: pytest.LogCaptureFixture,
    status: int,
    kind: type[VendorError],
    outcome: Outcome,
    body: Any,
    words: list[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.answers["POST /audiences"] = Reply(status, body, {"X-Request-Id": "req-42"})

    error = error_of(lambda: create(client))

    assert type(error) is kind
    assert isinstance(error, VendorError)
    assert (error.status, error.outcome, error.request_id) == (status, outcome, "req-42")
    assert isinstance(error, TransientError) is (status >= 423)
    for word in words:
        assert word in str(error)
    for personal in ("anna", "brien", "612345678", "Anna", "example.com", "hunter22"):
        assert personal not in str(error)
        assert personal not in repr(error.__dict__)
        assert personal not in caplog.text
    assert len(vendor.seen) == 1


def test_a_key_that_was_rotated_says_what_to_do(vendor: Vendor, settings_of: SettingsOf) -> None:
    error = error_of(lambda: FanfareClient(settings_of(key="sk_test_of_yesterday")).count(AUDIENCE))

    assert isinstance(error, AuthenticationError)
    assert "Rotating a secret key makes the old one invalid at once" in str(error)
    assert "yesterday" not in str(error)


def test_a_wrong_path_says_where_the_api_is(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers["GET /audiences"] = Reply(200, "<html>Fanfare</html>", {"Content-Type": "text/html"})

    with pytest.raises(UnexpectedResponseError, match="below /api, on the hand-written pages below /api/v1"):
        list(client.list_audiences())


def test_a_long_message_is_cut_only_after_it_was_cleaned(vendor: Vendor, client: FanfareClient) -> None:
    # A cut in the middle of an address or number would hide it from the cleaning.
    for length in range(270, 301):
        vendor.answers["POST /audiences"] = Reply(
            400, {"error": f"{'x' * (length - 20)} {EMAIL} {PHONE} {EMAIL}"}
        )

        message = str(error_of(lambda: create(client)))

        assert "anna" not in message
        assert "+31" not in message
        assert len(message) < 700


def test_an_issue_without_end_is_cut(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers["POST /audiences"] = Reply(
        400, {"error": "a" * 200_000, "issues": [{"type": "y " * 100_000}] * 50}
    )

    assert len(str(error_of(lambda: create(client)))) < 700


@pytest.mark.parametrize("status", [429, 503, 423])
@pytest.mark.parametrize(
    ("body", "headers", "pause"),
    [
        ({"error": "Rate limit exceeded", "retryAfter": 30}, {}, 30.0),
        ({"error": "Rate limit exceeded", "retryAfter": 30}, {"Retry-After": "7"}, 7.0),
        ({}, {"Retry-After": "7"}, 7.0),
        ({}, {"Retry-After": "soon"}, None),
        ({}, {}, None),
    ],
)
def test_the_pause_that_the_vendor_asks_for(
    vendor: Vendor,
    client: FanfareClient,
    status: int,
    body: Any,
    headers: dict[str, str],
    pause: float | None,
) -> None:
    vendor.answers["POST /audiences"] = Reply(status, body, headers)

    error = error_of(lambda: create(client))

    assert isinstance(error, VendorUnavailableError)
    assert error.retry_after == pause


@pytest.mark.parametrize("spell", [format_datetime, datetime.isoformat], ids=["HTTP date", "ISO moment"])
def test_a_pause_may_be_a_moment(vendor: Vendor, client: FanfareClient, spell: Callable[..., str]) -> None:
    moment = datetime.now(timezone.utc) + timedelta(minutes=10)
    header = format_datetime(moment, usegmt=True) if spell is format_datetime else moment.isoformat()
    vendor.answers["POST /audiences"] = Reply(429, {"retryAfter": 5}, {"Retry-After": header})

    error = error_of(lambda: create(client))

    assert isinstance(error, RateLimitedError)
    assert error.retry_after == pytest.approx(600, abs=30)


@pytest.mark.parametrize("failure", [Reset(), Hang()], ids=["reset after send", "time-out"])
@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        (create, Outcome.UNKNOWN),
        (lambda client: client.start_import(AUDIENCE), Outcome.UNKNOWN),
        (lambda client: client.archive_audience(AUDIENCE), Outcome.UNKNOWN),
        (lambda client: client.count(AUDIENCE), Outcome.NOT_DONE),
    ],
    ids=["create", "import", "archive", "count"],
)
def test_no_answer_leaves_a_change_unclear_and_a_look_not_done(
    vendor: Vendor, settings_of: SettingsOf, failure: Action, call: Call, outcome: Outcome
) -> None:
    vendor.default = failure

    error = error_of(lambda: call(FanfareClient(settings_of(read_timeout=0.2))))

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is outcome
    # A look is repeated, a change never.
    assert len(vendor.seen) == (1 if outcome is Outcome.UNKNOWN else 3)


def test_a_vendor_that_is_not_there_has_done_nothing() -> None:
    settings = FanfareSettings(base_url=f"http://127.0.0.1:{closed_port()}", key=KEY)

    error = error_of(lambda: create(FanfareClient(settings)))

    assert isinstance(error, VendorUnavailableError)
    assert error.outcome is Outcome.NOT_DONE


@pytest.mark.parametrize("body", [{}, {"id": AUDIENCE}, "<html>", "", {"data": audience_json()}, None])
def test_a_creation_whose_answer_cannot_be_read_is_unclear(
    vendor: Vendor, client: FanfareClient, body: Any
) -> None:
    vendor.answers["POST /audiences"] = Reply(200, body)

    error = error_of(lambda: create(client))

    assert isinstance(error, UnexpectedResponseError)
    assert error.outcome is Outcome.UNKNOWN


def test_the_rate_limit_of_the_headers_is_kept(vendor: Vendor, client: FanfareClient) -> None:
    reset = datetime.now(timezone.utc).timestamp() + 3600
    vendor.answers[f"GET {PATH}/count"] = Reply(
        200,
        {"count": 1},
        {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": str(reset)},
    )
    client.count(AUDIENCE)
    vendor.answers[f"GET {PATH}/count"] = Reply(
        200,
        {"count": 1},
        {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)},
    )
    client.count(AUDIENCE)

    error = error_of(lambda: create(client))

    assert isinstance(error, RateLimitedError)
    assert error.outcome is Outcome.NOT_DONE
    assert error.retry_after == pytest.approx(3600, abs=30)
    assert len(vendor.seen) == 2


def test_only_the_configured_host_gets_the_key(vendor: Vendor, client: FanfareClient) -> None:
    with Loopback(lambda seen: Reply(200, audience_json())) as elsewhere:
        vendor.answers["POST /audiences"] = Reply(307, headers={"Location": f"{elsewhere.url}/audiences"})
        error = error_of(lambda: create(client))

    assert isinstance(error, UnexpectedResponseError)
    assert elsewhere.seen == []


# --- the upload ---------------------------------------------------------------------------------------------

CSV = b"email,phone\r\nanna@example.com,+31612345678\r\n"
QUERY = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261120%2Feu-west-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20261120T030000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Security-Token=to%2Bken%3D%3D"
    "&X-Amz-Signature=0123456789abcdef"
)


class Storage:
    """A bucket that answers as it is told."""

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


def test_the_file_goes_to_the_presigned_address_without_the_key(
    storage: Storage, vendor: Vendor, client: FanfareClient
) -> None:
    client.upload(storage.url, CSV)

    (seen,) = storage.server.seen
    assert (seen.method, seen.body) == ("PUT", CSV)
    # Byte by byte: anything else breaks the signature.
    assert seen.path == f"/imports/{ORGANIZATION}/1701432000000.csv?{QUERY}"
    assert seen.headers["Content-Type"] == "text/csv"
    assert seen.headers["Content-Length"] == str(len(CSV))
    assert "Transfer-Encoding" not in seen.headers
    assert "Authorization" not in seen.headers
    assert KEY not in str(seen)
    assert "Cookie" not in seen.headers
    assert vendor.seen == []


def test_whoever_has_a_netrc_sends_nothing_of_it_along(
    storage: Storage, client: FanfareClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password hunter33\n")
    monkeypatch.setenv("NETRC", str(netrc))

    client.upload(storage.url, CSV)

    assert "Authorization" not in storage.server.seen[0].headers


def test_what_signs_an_address_is_a_secret(vendor: Vendor, settings_of: SettingsOf) -> None:
    secrets: list[str] = []
    client = FanfareClient(settings_of(), on_secret=secrets.append)
    url = f"https://bucket.example/x.csv?{QUERY}"
    vendor.answers[f"POST {PATH}/import"] = Reply(200, {**import_json(), "uploadUrl": url})

    started = client.start_import(AUDIENCE)

    assert started.upload_url == url
    # As they are, and as they stand in the address that a log may quote.
    assert set(secrets) == {
        KEY,
        url,
        "0123456789abcdef",
        "to+ken==",
        "to%2Bken%3D%3D",
        "AKIDEXAMPLE/20261120/eu-west-1/s3/aws4_request",
        "AKIDEXAMPLE%2F20261120%2Feu-west-1%2Fs3%2Faws4_request",
    }


def test_an_older_signature_is_a_secret_too(vendor: Vendor, settings_of: SettingsOf) -> None:
    secrets: list[str] = []
    client = FanfareClient(settings_of(), on_secret=secrets.append)
    url = "https://bucket.example/x.csv?AWSAccessKeyId=AKID&Expires=1795143600&Signature=vj%2BbR%3D"
    vendor.answers[f"POST {PATH}/import"] = Reply(200, {**import_json(), "uploadUrl": url})

    client.start_import(AUDIENCE)

    assert {"vj+bR=", "vj%2BbR%3D"} <= set(secrets)
    assert "" not in secrets


def test_the_address_is_in_no_repr(vendor: Vendor, client: FanfareClient) -> None:
    vendor.answers[f"POST {PATH}/import"] = Reply(
        200, {**import_json(), "uploadUrl": "https://bucket.example/x?X-Amz-Signature=0123456789abcdef"}
    )

    started = client.start_import(AUDIENCE)

    assert "bucket.example" not in repr(started)
    assert "bucket.example" not in str(started)


@pytest.mark.parametrize("answer", [import_json(), {**import_json(), "uploadUrl": ""}], ids=["none", "empty"])
def test_an_import_without_an_address_is_none(vendor: Vendor, client: FanfareClient, answer: Any) -> None:
    vendor.answers[f"POST {PATH}/import"] = Reply(200, answer)

    with pytest.raises(UnexpectedResponseError, match="uploadUrl"):
        client.start_import(AUDIENCE)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, TransientError),
        (400, TerminalError),
        (404, TerminalError),
        (413, TerminalError),
        (301, TerminalError),
        (500, TransientError),
        (503, TransientError),
        (429, TransientError),
    ],
)
def test_what_the_storage_refuses(
    storage: Storage,
    client: FanfareClient,
    caplog: pytest.LogCaptureFixture,
    status: int,
    kind: type[Exception],
) -> None:
    caplog.set_level(logging.DEBUG, logger="audience_onboarding")
    storage.reply = Reply(
        status,
        f"<Error><Code>AccessDenied</Code><X>{QUERY}</X><Row>anna@example.com</Row></Error>",
        {"Content-Type": "application/xml"},
    )

    error = error_of(lambda: client.upload(storage.url, CSV))

    assert isinstance(error, kind)
    assert isinstance(error, VendorError)
    assert error.status == status
    assert "upload storage PUT /imports/" in str(error)
    for secret in ("Signature", "0123456789abcdef", "AKID", "anna", "?"):
        assert secret not in str(error)
        assert secret not in caplog.text
    assert len(storage.server.seen) == 1


def test_an_address_that_has_run_out_says_that_a_new_one_comes(
    storage: Storage, client: FanfareClient
) -> None:
    storage.reply = Reply(403, "<Error/>")

    error = error_of(lambda: client.upload(storage.url, CSV))

    assert isinstance(error, VendorUnavailableError)
    assert error.status == HTTPStatus.FORBIDDEN
    assert "The next try asks for a new one" in str(error)


@pytest.mark.parametrize("failure", [Reset(), Hang()])
def test_an_upload_without_an_answer_may_go_away(
    storage: Storage, settings_of: SettingsOf, failure: Action
) -> None:
    storage.reply = failure

    error = error_of(lambda: FanfareClient(settings_of(read_timeout=0.2)).upload(storage.url, CSV))

    assert isinstance(error, VendorUnavailableError)
    assert "0123456789abcdef" not in str(error)
    assert len(storage.server.seen) == 1


def test_a_storage_that_is_not_there_may_come_back(client: FanfareClient) -> None:
    error = error_of(lambda: client.upload(f"http://127.0.0.1:{closed_port()}/x?{QUERY}", CSV))

    assert isinstance(error, VendorUnavailableError)
    assert "0123456789abcdef" not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/x?{query}",
        "ftp://127.0.0.1:{port}/x?{query}",
        "//127.0.0.1:{port}/x",
        "127.0.0.1:{port}/x",
        "/x",
        "nonsense",
    ],
)
def test_personal_data_does_not_go_out_in_the_clear(storage: Storage, url: str) -> None:
    client = FanfareClient(FanfareSettings(base_url="https://admin.fanfare.example/api", key=KEY))
    port = urlsplit(storage.server.url).port

    error = error_of(lambda: client.upload(url.format(port=port, query=QUERY), CSV))

    assert isinstance(error, ConfigurationError)
    assert "not https" in str(error)
    assert "0123456789abcdef" not in str(error)
    assert storage.server.seen == []


def test_the_address_takes_the_connections_settings(
    settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[TransportSettings] = []

    class Transport:
        def __init__(self, settings: TransportSettings, *, vendor: str, **_: Any) -> None:
            taken.append(settings)
            raise InterruptedError

    client = FanfareClient(settings_of(verify_tls="/etc/ca.pem", connect_timeout=3, read_timeout=4))
    monkeypatch.setattr("audience_onboarding.fanfare.client.HttpTransport", Transport)

    with pytest.raises(InterruptedError):
        client.upload("https://bucket.example:8443/x", CSV)

    (settings,) = taken
    assert settings.base_url == "https://bucket.example:8443"
    assert (settings.verify_tls, settings.connect_timeout, settings.read_timeout) == ("/etc/ca.pem", 3.0, 4.0)
