"""Differences between what is at a vendor and what a definition says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any


@dataclass(frozen=True)
class Difference:
    """One thing that is at the vendor otherwise than the definition says.

    :param what: ``audience`` or ``segment <name>``.
    :param field: which of its fields; ``presence`` where it is missing, or should not be there.
    :param at_vendor: what is there, ``None`` for nothing.
    :param in_definition: what should be, ``None`` for nothing.
    :param note: what to do about it, or why it cannot be mended by the API.
    :param apply: mends it; ``None`` where the API cannot, or where it is for a person to decide.
    """

    what: str
    field: str
    at_vendor: str | None
    in_definition: str | None
    note: str = ""
    apply: Callable[[], object] | None = dataclass_field(default=None, compare=False)

    def to_dict(self, audience: str) -> dict[str, Any]:
        """As the report has it.

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


GONE = "It is gone at the vendor; what is remembered of it has to be deleted before it is created anew"


def of_audience(
    *,
    at_vendor: tuple[str | None, str | None],
    in_definition: tuple[str, str | None],
    update: Callable[[], object] | None,
    note: str = "",
) -> list[Difference]:
    """Name and description of an audience. A definition without a description has none to compare.

    :param at_vendor: name and description.
    :param in_definition: name and description.
    :param update: sets both; ``None`` where the API cannot.
    :param note: why it cannot.
    """
    found = []
    for name, there, wanted in zip(("name", "description"), at_vendor, in_definition, strict=True):
        if wanted is not None and there != wanted:
            found.append(Difference("audience", name, there, wanted, note, update))
    return found
