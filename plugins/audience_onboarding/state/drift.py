"""Differences between an audience at its vendor and its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any


@dataclass(frozen=True)
class Difference:
    """One field whose value at the vendor differs from the definition.

    :param what: ``audience`` or ``segment <name>``.
    :param field: name of the field; ``presence`` if the object is missing or unexpected.
    :param at_vendor: value at the vendor, ``None`` for none.
    :param in_definition: value of the definition, ``None`` for none.
    :param note: next step, or the reason why the API cannot fix it.
    :param apply: fixes it; ``None`` if the API cannot, or if a user has to decide.
    """

    what: str
    field: str
    at_vendor: str | None
    in_definition: str | None
    note: str = ""
    apply: Callable[[], object] | None = dataclass_field(default=None, compare=False)

    def to_dict(self, audience: str) -> dict[str, Any]:
        """Return a row of the report.

        :param audience: key of the definition.
        """
        return {
            "audience": audience,
            "what": self.what,
            "field": self.field,
            "at_vendor": self.at_vendor,
            "in_definition": self.in_definition,
            "can_be_applied": self.apply is not None,
            "note": self.note,
        }


GONE = "The vendor has deleted it; delete its stored record, so that the next load creates it again"


def of_audience(
    *,
    at_vendor: tuple[str | None, str | None],
    in_definition: tuple[str, str | None],
    update: Callable[[], object] | None,
    note: str = "",
) -> list[Difference]:
    """Compare name and description of an audience; a definition without a description has none to compare.

    :param at_vendor: name and description.
    :param in_definition: name and description.
    :param update: sets both; ``None`` if the API cannot.
    :param note: why it cannot.
    """
    return [
        Difference("audience", field, actual, expected, note, update)
        for field, actual, expected in zip(("name", "description"), at_vendor, in_definition, strict=True)
        if expected is not None and actual != expected
    ]
