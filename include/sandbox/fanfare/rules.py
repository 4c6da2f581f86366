"""Evaluation of the rules of a dynamic audience.

[I] All rules of one ``groupId`` must hold; one such group is enough; rules without a ``groupId`` are a group. Fields
are the consumer's own (``metadata.x``, or an unknown name, refers to its metadata). Text is compared exactly, numbers
as numbers. A ``NOT_`` operator holds for a missing value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

Json = dict[str, Any]


class HasRule(Protocol):
    """The fields of a rule that decide."""

    field: str
    operator: str
    values: list[Any]
    group_id: str | None


def meets(consumer: Mapping[str, Any], rules: Iterable[HasRule]) -> bool:
    """Return whether a consumer, as a mapping of fields, meets the rules; False without rules."""
    groups: dict[str | None, bool] = {}
    for rule in rules:
        if groups.get(rule.group_id, True):
            groups[rule.group_id] = holds(rule.operator, _value(consumer, rule.field), rule.values)
    return any(groups.values())


def _value(consumer: Mapping[str, Any], field: str) -> Any:
    if field in consumer:
        return consumer[field]
    return (consumer.get("metadata") or {}).get(field.removeprefix("metadata."))


def holds(operator: str, value: Any, operands: list[Any]) -> bool:
    """Return whether one rule holds for the value of its field."""
    if operator.startswith("NOT_"):
        return not holds(operator.removeprefix("NOT_"), value, operands)
    if operator == "EXISTS" or value in (None, "", []):
        return value not in (None, "", [])
    if operator in _COMPARING:
        return _COMPARING[operator](value, operands[0])
    if operator == "BETWEEN":
        return _at_least(value, operands[0]) and _at_least(operands[1], value)
    if operator == "CONTAINS":
        return operands[0] in value if isinstance(value, list) else str(operands[0]) in str(value)
    return any(_equal(value, one) for one in operands)  # EQUALS, IN


def _pair(left: Any, right: Any) -> tuple[Any, Any]:
    try:
        return float(left), float(right)
    except (TypeError, ValueError):
        return str(left), str(right)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, list):
        return right in left
    first, second = _pair(left, right)
    return bool(first == second)


def _above(left: Any, right: Any) -> bool:
    first, second = _pair(left, right)
    return bool(first > second)


def _at_least(left: Any, right: Any) -> bool:
    return not _above(right, left)


_COMPARING: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "GREATER_THAN": _above,
    "GREATER_THAN_OR_EQUAL": _at_least,
    "LESS_THAN": lambda value, limit: _above(limit, value),
    "LESS_THAN_OR_EQUAL": lambda value, limit: _at_least(limit, value),
}
