"""Request bodies, validated with the fields of the spec. Page: POST /audiences and related ones."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sandbox.fanfare import issues
from sandbox.fanfare.settings import DocsGeneration, FanfareSettings

Json = dict[str, Any]
Check = Callable[[Any, Sequence[Json], FanfareSettings], list[Json]]

OPERATORS: Final = (
    "EQUALS",
    "NOT_EQUALS",
    "GREATER_THAN",
    "GREATER_THAN_OR_EQUAL",
    "LESS_THAN",
    "LESS_THAN_OR_EQUAL",
    "BETWEEN",
    "CONTAINS",
    "NOT_CONTAINS",
    "IN",
    "NOT_IN",
    "EXISTS",
    "NOT_EXISTS",
)
_ONLY_IN_SPEC: Final = frozenset({"BETWEEN", "EXISTS", "NOT_EXISTS"})
GROUP_TYPES: Final = ("SEGMENTED_VALUE", "RFM")
SYNC_STATES: Final = ("PENDING", "SUCCESS", "FAILED")
LOYALTY_ATTRIBUTES: Final = ("totalOrderValue", "totalOrders", "lifetimeSpend")

STATIC, DYNAMIC, SYNCED = "STATIC_LIST", "DYNAMIC", "SYNCED_LIST"
_HANDWRITTEN_STATIC: Final = "STATIC"
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})")


def type_word(type_: str, generation: DocsGeneration) -> str:
    """Return a generation's word for an audience type."""
    return _HANDWRITTEN_STATIC if (type_, generation) == (STATIC, "handwritten") else type_


def type_of(word: str) -> str:
    """Return the audience type for a word of either generation."""
    return STATIC if word == _HANDWRITTEN_STATIC else word


@dataclass(frozen=True)
class Field:
    """A field of a body."""

    check: Check
    required: bool = False
    nullable: bool = True


def validate(
    data: Any, fields: Mapping[str, Field], settings: FanfareSettings, path: Sequence[Json] = ()
) -> list[Json]:
    """Return all issues of ``data``."""
    if not isinstance(data, dict):
        return [issues.wrong("object", "Object", data, path)]
    problems: list[Json] = []
    for name, field in fields.items():
        if name not in data:
            problems += [issues.missing(name, data, path)] if field.required else []
        elif data[name] is not None or not field.nullable:
            problems += field.check(data[name], [*path, issues.step(name, data)], settings)
    if settings.fanfare_unknown_fields == "refuse":
        problems += [issues.unexpected(name, data, path) for name in data if name not in fields]
    return problems


def _is(type_: str, expected: str, test: Callable[[Any], bool]) -> Check:
    def check(value: Any, path: Sequence[Json], _: FanfareSettings) -> list[Json]:
        return [] if test(value) else [issues.wrong(type_, expected, value, path)]

    return check


def _text(at_least: int = 0) -> Check:
    def check(value: Any, path: Sequence[Json], _: FanfareSettings) -> list[Json]:
        if not isinstance(value, str):
            return [issues.wrong("string", "string", value, path)]
        if len(value) < at_least:
            return [issues.wrong("min_length", f">={at_least}", len(value), path, kind="validation")]
        return []

    return check


def _one_of(words: Callable[[FanfareSettings], Sequence[str]]) -> Check:
    def check(value: Any, path: Sequence[Json], settings: FanfareSettings) -> list[Json]:
        allowed = words(settings)
        if isinstance(value, str) and value in allowed:
            return []
        expected = f"({' | '.join(issues.shown(word) for word in allowed)})"
        return [issues.wrong("picklist", expected, value, path)]

    return check


def _list_of(item: Check, at_least: int = 0) -> Check:
    def check(value: Any, path: Sequence[Json], settings: FanfareSettings) -> list[Json]:
        if not isinstance(value, list):
            return [issues.wrong("array", "Array", value, path)]
        if len(value) < at_least:
            return [issues.wrong("min_length", f">={at_least}", len(value), path, kind="validation")]
        return [
            issue
            for at, one in enumerate(value)
            for issue in item(one, [*path, issues.step(at, value)], settings)
        ]

    return check


def _object_of(fields: Mapping[str, Field]) -> Check:
    def check(value: Any, path: Sequence[Json], settings: FanfareSettings) -> list[Json]:
        return validate(value, fields, settings, path)

    return check


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_STRING: Final = _text()
_NAME: Final = _text(1)
_NUMBER: Final = _is("number", "number", _is_number)
_OBJECT: Final = _is("object", "Object", lambda value: isinstance(value, dict))
_UUID: Final = _is("uuid", "uuid", _is_uuid)
_TIMESTAMP: Final = _is("iso_timestamp", "date-time", _is_time)
_SCALAR: Final = _is(
    "union", "(string | number | boolean | null)", lambda value: not isinstance(value, (dict, list))
)


def _operators(settings: FanfareSettings) -> Sequence[str]:
    # the hand-written pages name ten
    spec = settings.fanfare_docs_generation == "spec"
    return [word for word in OPERATORS if spec or word not in _ONLY_IN_SPEC]


def _types(settings: FanfareSettings) -> Sequence[str]:
    return [type_word(type_, settings.fanfare_docs_generation) for type_ in (DYNAMIC, STATIC, SYNCED)]


def _group_id(value: Any, path: Sequence[Json], settings: FanfareSettings) -> list[Json]:
    # the hand-written pages have ids of another form
    check = _UUID if settings.fanfare_docs_generation == "spec" else _NAME
    return check(value, path, settings)


_RULE_FIELDS: Final[dict[str, Field]] = {
    "field": Field(_NAME, required=True, nullable=False),
    "operator": Field(_one_of(_operators), required=True, nullable=False),
    "values": Field(_list_of(_SCALAR), required=True, nullable=False),
    "groupId": Field(_group_id),
    "position": Field(_NUMBER),
}


def _rule(value: Any, path: Sequence[Json], settings: FanfareSettings) -> list[Json]:
    return validate(value, _RULE_FIELDS, settings, path) or _check_value_count(value, path)


def _check_value_count(rule: Json, path: Sequence[Json]) -> list[Json]:
    """[I] Check the number of values for the operator."""
    operator, values = rule.get("operator"), rule.get("values")
    if values is None or operator is None:
        return []
    if operator == "BETWEEN":
        expected, fits = "2", len(values) == 2
    else:
        expected, fits = ">=1", bool(values) or operator in {"EXISTS", "NOT_EXISTS"}
    if fits:
        return []
    return [
        issues.wrong("length", expected, len(values), [*path, issues.step("values", rule)], kind="validation")
    ]


_SYNC_SOURCE: Final = _object_of(
    {
        "syncSource": Field(_NAME, required=True, nullable=False),
        "syncSourceId": Field(_NAME, required=True, nullable=False),
        "lastSyncedAt": Field(_TIMESTAMP),
        "sourceData": Field(_OBJECT),
        "syncStatus": Field(_one_of(lambda _: SYNC_STATES)),
    }
)
_COMMON: Final[dict[str, Field]] = {
    "description": Field(_STRING),
    "groupId": Field(_group_id),
    "groupName": Field(_STRING),
    "groupType": Field(_one_of(lambda _: GROUP_TYPES)),
    "iconName": Field(_STRING),
    "lastRefreshedAt": Field(_TIMESTAMP),
    "metadata": Field(_OBJECT),
    "refreshIntervalSeconds": Field(_NUMBER),
}
POST_AUDIENCE: Final[dict[str, Field]] = {
    "name": Field(_NAME, required=True, nullable=False),
    "type": Field(_one_of(_types), required=True, nullable=False),
    **_COMMON,
    "primarySyncSource": Field(_SYNC_SOURCE),
    "rules": Field(_list_of(_rule)),
}
PUT_AUDIENCE: Final[dict[str, Field]] = {
    "name": Field(_NAME, nullable=False),
    "type": Field(_one_of(_types), nullable=False),
    **_COMMON,
}
PUT_RULES: Final[dict[str, Field]] = {"rules": Field(_list_of(_rule), required=True, nullable=False)}
PUT_RULE: Final[dict[str, Field]] = {
    name: Field(field.check, nullable=field.nullable) for name, field in _RULE_FIELDS.items()
}
_TIER: Final = _object_of(
    {
        "name": Field(_NAME, required=True, nullable=False),
        "order": Field(_NUMBER, required=True, nullable=False),
        "startValue": Field(_NUMBER, required=True, nullable=False),
        "endValue": Field(_NUMBER),
        "iconName": Field(_STRING),
    }
)


def loyalty_tiers(settings: FanfareSettings) -> dict[str, Field]:
    """Body of POST /audiences/loyalty-tiers; only the hand-written page names the attributes."""
    handwritten = settings.fanfare_docs_generation == "handwritten"
    attribute = Field(_one_of(lambda _: LOYALTY_ATTRIBUTES), required=handwritten, nullable=False)
    return {
        "groupName": Field(_NAME, required=True, nullable=False),
        "attribute": attribute,
        "tiers": Field(_list_of(_TIER, 1), required=True, nullable=False),
    }


def posted_rules(data: Any, settings: FanfareSettings) -> list[Json]:
    """Check the body of POST rules: one rule object in the spec, an array of rules by hand."""
    check = _list_of(_rule, 1) if settings.fanfare_docs_generation == "handwritten" else _rule
    return check(data, [], settings)


def merged_rule(rule: Json) -> list[Json]:
    """Check a partly changed rule."""
    return _check_value_count(rule, [])
