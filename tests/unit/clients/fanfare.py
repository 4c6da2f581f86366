"""Operations of Fanfare, as the vendor's pages show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audience_onboarding.platforms.fanfare.client import PAGE_SIZE, FanfareClient
from audience_onboarding.platforms.fanfare.connection import FanfareSettings
from audience_onboarding.platforms.fanfare.models import (
    AudienceChanges,
    AudienceDraft,
    AudienceType,
    LoyaltyTier,
    RuleDraft,
    RuleOperator,
    SyncSourceDraft,
)
from sandbox.fanfare import bodies
from sandbox.settings import SandboxSettings
from tests.unit.clients.contract import EMAIL, Operation, Platform
from tests.unit.platforms.fanfare.conftest import (
    AUDIENCE,
    KEY,
    ORGANIZATION,
    Vendor,
    audience_json,
    import_json,
    page,
)

PATH = f"/audiences/{AUDIENCE}"
RULE_ID = "11111111-0d44-4b50-8888-8dd25736052c"

SPEC = SandboxSettings(fanfare_unknown_fields="refuse")
BODIES: dict[str, Callable[[Any], list[Any]]] = {
    "POST /audiences": lambda body: bodies.validate(body, bodies.POST_AUDIENCE, SPEC),
    f"PUT {PATH}": lambda body: bodies.validate(body, bodies.PUT_AUDIENCE, SPEC),
    f"POST {PATH}/rules": lambda body: bodies.posted_rules(body, SPEC),
    f"PUT {PATH}/rules": lambda body: bodies.validate(body, bodies.PUT_RULES, SPEC),
    f"PUT {PATH}/rules/{RULE_ID}": lambda body: bodies.validate(body, bodies.PUT_RULE, SPEC),
    "POST /audiences/loyalty-tiers": lambda body: bodies.validate(body, bodies.loyalty_tiers(SPEC), SPEC),
}
"""Checks of request bodies, which the sandbox has from the vendor's API description."""

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
BIG_SPENDERS_JSON = {"field": "totalSpend", "operator": "BETWEEN", "values": [1, 99.5]}
EVERYTHING = {
    "description": "Who may buy first",
    "groupId": RULE_ID,
    "groupName": "Tiers",
    "groupType": "RFM",
    "iconName": "star",
    "metadata": {"owner": "crm", "n": [1, None]},
    "refreshIntervalSeconds": 3600,
}
NOT_AN_AUDIENCE = ({}, {"id": AUDIENCE}, {"data": audience_json()}, [], audience_json(id=EMAIL))
NOT_A_LIST = (
    {"data": None},
    {"data": {"id": 1}},
    {"audiences": []},
    {"data": [7]},
    {"data": [{"id": EMAIL}]},
)
NOT_A_RULE = ({}, [], {**RULE_JSON, "id": {"email": EMAIL}})


def settings(host: str, *, secret: str = KEY, **options: Any) -> FanfareSettings:
    made: FanfareSettings = FanfareSettings.from_options(host=host, key=secret, options=options)
    return made


def draft(kind: AudienceType = AudienceType.STATIC_LIST, **more: Any) -> AudienceDraft:
    return AudienceDraft(name="Fans", type=kind, **more)


def operation(call: Callable[[FanfareClient], Any], asked: str, **more: Any) -> Operation:
    subject = (
        f"Rule {RULE_ID}: " if RULE_ID in asked else f"Audience {AUDIENCE}: " if AUDIENCE in asked else ""
    )
    return Operation(call, asked, **{"subject": subject, **more})


def creation(made: AudienceDraft, body: dict[str, Any], **answer: Any) -> Operation:
    return Operation(
        lambda client: client.create_audience(made),
        "POST /audiences",
        answer=audience_json(**answer),
        sent={"name": "Fans", **body},
        subject="Audience 'Fans': ",
        odd=NOT_AN_AUDIENCE,
    )


OPERATIONS = {
    "list_audiences": operation(
        lambda client: list(client.list_audiences()),
        f"GET /audiences?first={PAGE_SIZE}",
        answer=page(audience_json()),
        odd=NOT_A_LIST,
    ),
    "first_audiences": operation(
        lambda client: client.first_audiences(),
        f"GET /audiences?first={PAGE_SIZE}",
        answer=page(audience_json(), end="a"),
        odd=NOT_A_LIST,
    ),
    "find_audience": operation(
        lambda client: client.find_audience("x", AudienceType.STATIC_LIST),
        f"GET /audiences?first={PAGE_SIZE}",
        answer=page(audience_json()),
        odd=NOT_A_LIST,
    ),
    "create_audience": creation(draft(), {"type": "STATIC_LIST"}),
    "create_audience by rules": creation(
        draft(
            AudienceType.DYNAMIC,
            rules=(
                BIG_SPENDERS,
                RuleDraft(field="city", operator=RuleOperator.EXISTS, values=(), position=2),
                RuleDraft(
                    field="vip", operator=RuleOperator.IN, values=(True, None, "yes"), group_id=RULE_ID
                ),
            ),
        ),
        {
            "type": "DYNAMIC",
            "rules": [
                BIG_SPENDERS_JSON,
                {"field": "city", "operator": "EXISTS", "values": [], "position": 2},
                {"field": "vip", "operator": "IN", "values": [True, None, "yes"], "groupId": RULE_ID},
            ],
        },
        type="DYNAMIC",
        rules=[RULE_JSON],
    ),
    "create_audience from a source": creation(
        draft(
            AudienceType.SYNCED_LIST,
            primary_sync_source=SyncSourceDraft(
                sync_source="klaviyo:list", sync_source_id="abc", source_data={"a": 1}
            ),
        ),
        {
            "type": "SYNCED_LIST",
            "primarySyncSource": {
                "syncSource": "klaviyo:list",
                "syncSourceId": "abc",
                "sourceData": {"a": 1},
            },
        },
        type="SYNCED_LIST",
    ),
    "create_audience with everything": creation(
        AudienceDraft.model_validate({"name": "Fans", "type": "STATIC_LIST", **EVERYTHING}),
        {"type": "STATIC_LIST", **EVERYTHING},
    ),
    "get_audience": operation(
        lambda client: client.get_audience(AUDIENCE),
        f"GET {PATH}",
        answer=audience_json(),
        odd=NOT_AN_AUDIENCE,
    ),
    "update_audience": operation(
        lambda client: client.update_audience(AUDIENCE, AudienceChanges(name="New", description=None)),
        f"PUT {PATH}",
        answer={name: value for name, value in audience_json().items() if name not in {"rules", "imports"}},
        sent={"name": "New", "description": None},
        odd=NOT_AN_AUDIENCE,
    ),
    "update_audience with everything": operation(
        lambda client: client.update_audience(AUDIENCE, AudienceChanges.model_validate(EVERYTHING)),
        f"PUT {PATH}",
        answer=audience_json(),
        sent=EVERYTHING,
    ),
    "archive_audience": operation(
        lambda client: client.archive_audience(AUDIENCE),
        f"DELETE {PATH}",
        answer=audience_json(archived=True),
        odd=NOT_AN_AUDIENCE,
    ),
    "count": operation(
        lambda client: client.count(AUDIENCE),
        f"GET {PATH}/count",
        answer={"audienceId": AUDIENCE, "count": 7},
        odd=({}, {"count": None}, {"count": EMAIL}, []),
    ),
    "status": operation(
        lambda client: client.status(AUDIENCE),
        f"GET {PATH}/status",
        answer=STATUS_JSON,
        odd=tuple(
            {name: value for name, value in STATUS_JSON.items() if name != missing}
            for missing in ("stale", "inProgress")
        ),
    ),
    "member_ids": operation(
        lambda client: list(client.member_ids(AUDIENCE)),
        f"GET {PATH}/members?first={PAGE_SIZE}",
        answer=page({"id": "con_1"}),
        odd=NOT_A_LIST[:-1],
    ),
    "count_members_like": operation(
        lambda client: client.count_members_like(AUDIENCE, emails=set(), phones=set()),
        f"GET {PATH}/members?first={PAGE_SIZE}",
        answer=page({"id": "con_1"}),
        odd=NOT_A_LIST[:-1],
    ),
    "list_group": operation(
        lambda client: client.list_group("group_1"),
        "GET /audiences/groups/group_1",
        answer=[audience_json()],
        subject="Group group_1: ",
        odd=NOT_A_LIST,
    ),
    "create_loyalty_tiers": operation(
        lambda client: client.create_loyalty_tiers(
            group_name="Tiers",
            attribute="totalOrders",
            tiers=[
                LoyaltyTier(name="Silver", order=1, start_value=10, end_value=99.5),
                LoyaltyTier(name="Gold", order=2, start_value=100, icon_name="star"),
            ],
        ),
        "POST /audiences/loyalty-tiers",
        answer={"tierGroup": {"id": "group_1"}, "audiences": [audience_json()]},
        sent={
            "groupName": "Tiers",
            "attribute": "totalOrders",
            "tiers": [
                {"name": "Silver", "order": 1, "startValue": 10, "endValue": 99.5},
                {"name": "Gold", "order": 2, "startValue": 100, "iconName": "star"},
            ],
        },
        subject="Group 'Tiers': ",
        odd=([], {"audiences": [{"id": EMAIL}]}),
    ),
    "create_loyalty_tiers without attribute": operation(
        lambda client: client.create_loyalty_tiers(
            group_name="Tiers", tiers=[LoyaltyTier(name="Gold", order=1, start_value=0)]
        ),
        "POST /audiences/loyalty-tiers",
        answer={},
        sent={"groupName": "Tiers", "tiers": [{"name": "Gold", "order": 1, "startValue": 0}]},
        subject="Group 'Tiers': ",
    ),
    "list_rules": operation(
        lambda client: client.list_rules(AUDIENCE),
        f"GET {PATH}/rules",
        answer=[RULE_JSON],
        odd=NOT_A_LIST,
    ),
    "add_rule": operation(
        lambda client: client.add_rule(AUDIENCE, BIG_SPENDERS),
        f"POST {PATH}/rules",
        answer=RULE_JSON,
        sent=BIG_SPENDERS_JSON,
        odd=NOT_A_RULE,
    ),
    "replace_rules": operation(
        lambda client: client.replace_rules(AUDIENCE, [BIG_SPENDERS]),
        f"PUT {PATH}/rules",
        answer=[RULE_JSON],
        sent={"rules": [BIG_SPENDERS_JSON]},
        odd=NOT_A_LIST,
    ),
    "get_rule": operation(
        lambda client: client.get_rule(AUDIENCE, RULE_ID),
        f"GET {PATH}/rules/{RULE_ID}",
        answer=RULE_JSON,
        odd=NOT_A_RULE,
    ),
    "update_rule": operation(
        lambda client: client.update_rule(AUDIENCE, RULE_ID, BIG_SPENDERS),
        f"PUT {PATH}/rules/{RULE_ID}",
        answer=RULE_JSON,
        sent=BIG_SPENDERS_JSON,
        odd=NOT_A_RULE,
    ),
    "delete_rule": operation(
        lambda client: client.delete_rule(AUDIENCE, RULE_ID),
        f"DELETE {PATH}/rules/{RULE_ID}",
        answer=RULE_JSON,
        any_json=True,
    ),
    "start_import": operation(
        lambda client: client.start_import(AUDIENCE),
        f"POST {PATH}/import",
        answer={**import_json(), "uploadUrl": "https://bucket.example/x?X-Amz-Signature=abc"},
        odd=({}, import_json(), {**import_json(), "uploadUrl": ""}),
    ),
    "get_import": operation(
        lambda client: client.get_import(AUDIENCE),
        f"GET {PATH}/import",
        answer=import_json(),
        odd=({}, [], import_json(id=EMAIL), import_json(errors=[{"row": {"email": EMAIL}}])),
        absorbs=frozenset({404}),
    ),
    "sync": operation(
        lambda client: client.sync(AUDIENCE),
        f"POST {PATH}/sync",
        answer={"success": True, "syncSourceId": "abc", "status": "PENDING"},
        odd=([],),
        absorbs=frozenset({409}),
    ),
}

FANFARE = Platform(
    name="Fanfare",
    vendor=Vendor,
    client=FanfareClient,
    settings=settings,
    operations=OPERATIONS,
    wrap=lambda answer: answer,
    refusal=lambda words: {"error": words},
    create="create_audience",
    others=frozenset({"hint", "renewal", "check_type", "find_import", "upload"}),
    renewal=("Rotating a secret key makes the old one invalid at once", "Password of the connection"),
    problems_of=BODIES,
)
