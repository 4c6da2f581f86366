"""Deletion of an audience at its vendor: the parts that all platforms share.

The contract of a platform's own part is :class:`~..platforms.contract.Retirement`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audience_onboarding.exceptions import NotFoundError, StaleApprovalError
from audience_onboarding.state.remote_ids import Id


@dataclass(frozen=True)
class SegmentSummary:
    """A segment, as the approver of its deletion sees it.

    :param status: as the vendor spells it.
    :param end_date: ISO 8601.
    """

    id: int
    name: str
    status: str = ""
    end_date: str = ""

    @property
    def label(self) -> str:
        """Text for the approval."""
        more = ", ".join(part for part in (self.status, self.end_date and f"ends {self.end_date}") if part)
        return f"{self.name} ({self.id}{', ' if more else ''}{more})"


@dataclass(frozen=True)
class AudienceInventory:
    """An audience and its segments, as they are at the vendor.

    :param audience_id: its id there, ``None`` if there is none.
    :param name: its name there; empty if the vendor does not know it.
    :param members: number of members, ``None`` if unknown.
    :param segments: on ad platforms.
    :param exists: whether the vendor knows it.
    :param manual_action: why the vendor's API cannot delete it; empty if it can.
    :param consequence: the effect of a deletion there.
    """

    audience_id: int | str | None
    name: str = ""
    members: int | None = None
    segments: tuple[SegmentSummary, ...] = ()
    exists: bool = True
    manual_action: str = ""
    consequence: str = "It is deleted, and cannot be brought back."

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "segments": [asdict(segment) for segment in self.segments]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AudienceInventory:
        """Parse the result of :meth:`to_dict`."""
        segments = tuple(SegmentSummary(**item) for item in values["segments"])
        return cls(**{**values, "segments": segments})


def inspect_audience(
    audience_id: Id | None, load: Callable[[Id], AudienceInventory], *, is_given: bool
) -> AudienceInventory:
    """Return the audience as it is at the vendor.

    :param audience_id: ``None`` if there is none yet.
    :param load: loads it from the vendor.
    :param is_given: whether the definition gives the id.
    :raises NotFoundError: the vendor does not know the id that the definition gives.
    """
    if audience_id is None:
        return AudienceInventory(None, exists=False)
    try:
        return load(audience_id)
    except NotFoundError:
        if is_given:
            # The id may be wrong.
            raise
        return AudienceInventory(audience_id, exists=False)


def ensure_unchanged(approved: AudienceInventory, current: AudienceInventory) -> None:
    """Check that the audience holds only approved segments.

    :raises StaleApprovalError: there is something else.
    """
    known = {segment.id: segment.name for segment in approved.segments}
    added = [segment for segment in current.segments if known.get(segment.id) != segment.name]
    problem = ""
    if current.audience_id != approved.audience_id:
        problem = f"the audience is {current.audience_id} now, {approved.audience_id} was approved"
    elif current.exists and current.name != approved.name:
        problem = f"the audience is called {current.name!r} now, {approved.name!r} was approved"
    elif added:
        problem = "not approved: " + ", ".join(segment.label for segment in added)
    if problem:
        raise StaleApprovalError(
            what="The audience differs from the approved one",
            where=f"audience {approved.audience_id}",
            why=problem,
            next_step="Nothing more was deleted. Trigger the DAG again, which shows the current audience",
        )
