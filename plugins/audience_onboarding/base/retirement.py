"""Deleting an audience at its vendor: what is the same on every platform.

What a platform can do is in its own module ``retiring``, looked up by name (:mod:`..platforms`):

- ``look(definition, memory)``: what is there, see :class:`Seen`; changes nothing;
- ``delete(definition, memory, progress, seen)``: deletes exactly that, and may be called again after any failure. Gives
  what was done, in words;
- ``keys(definition, memory)``: keys of the audience's memory that are the platform's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from audience_onboarding.exceptions import NotFoundError, StaleApprovalError
from audience_onboarding.state.remote_ids import Id


@dataclass(frozen=True)
class SeenSegment:
    """A segment, as somebody saw it who approves its deletion.

    :param status: as the vendor spells it.
    :param end_date: ISO 8601.
    """

    id: int
    name: str
    status: str = ""
    end_date: str = ""

    @property
    def words(self) -> str:
        """For the approval."""
        more = ", ".join(word for word in (self.status, self.end_date and f"ends {self.end_date}") if word)
        return f"{self.name} ({self.id}{', ' if more else ''}{more})"


@dataclass(frozen=True)
class Seen:
    """An audience, as it is at the vendor.

    :param audience_id: its id there, ``None`` where there is none.
    :param name: its name there; empty where the vendor does not know it.
    :param members: how many it has, ``None`` where that is not known.
    :param segments: on ad platforms.
    :param is_there: whether the vendor knows it.
    :param by_hand: why the vendor's API cannot delete it; empty where it can.
    :param how: what deleting means there.
    """

    audience_id: int | str | None
    name: str = ""
    members: int | None = None
    segments: tuple[SeenSegment, ...] = ()
    is_there: bool = True
    by_hand: str = ""
    how: str = "It is deleted, and cannot be brought back."

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "segments": [asdict(segment) for segment in self.segments]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Seen:
        """Read what :meth:`to_dict` gave."""
        segments = tuple(SeenSegment(**item) for item in values["segments"])
        return cls(**{**values, "segments": segments})


def looked_at(audience_id: Id | None, see: Callable[[Id], Seen], *, is_given: bool) -> Seen:
    """What is there of an audience.

    :param audience_id: ``None`` where there is none yet.
    :param see: asks the vendor.
    :param is_given: whether the definition gives the id.
    :raises NotFoundError: the vendor does not know the id that the definition gives.
    """
    if audience_id is None:
        return Seen(None, is_there=False)
    try:
        return see(audience_id)
    except NotFoundError:
        if is_given:
            # A wrong one, for all that is known.
            raise
        return Seen(audience_id, is_there=False)


def check_same(approved: Seen, now: Seen) -> None:
    """Let pass what was approved, or less.

    :raises StaleApprovalError: there is something that nobody has approved.
    """
    known = {segment.id: segment.name for segment in approved.segments}
    added = [segment for segment in now.segments if known.get(segment.id) != segment.name]
    problem = ""
    if now.audience_id != approved.audience_id:
        problem = f"the audience is {now.audience_id} now, {approved.audience_id} was approved"
    elif now.is_there and now.name != approved.name:
        problem = f"the audience is called {now.name!r} now, {approved.name!r} was approved"
    elif added:
        problem = "not approved: " + ", ".join(segment.words for segment in added)
    if problem:
        raise StaleApprovalError(
            what="What is there is not what was approved",
            where=f"audience {approved.audience_id}",
            why=problem,
            next_step="Nothing more was deleted. Trigger the DAG again, which shows what is there now",
        )
