"""Taking people out of an audience: what is the same on every platform.

What a platform can do is in its own module ``erasing``, looked up by name (:mod:`..platforms`):

- ``known_id(definition, memory)``: the audience's id at the vendor, ``None`` where there is no audience yet;
- ``begin(job)``: what to do first; may be called again at any time, and finds what it has done;
- ``go_on(job, after, event)``: what to do when something was waited for.

Both give an :class:`Outcome`, or a :class:`Waiting`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from audience_onboarding.base.snapshot_diff import SnapshotLocation
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import SourceNotFoundError
from audience_onboarding.state.snapshot_ledger import SnapshotBook
from audience_onboarding.state.store import Memory

if TYPE_CHECKING:
    from audience_onboarding.crm.snapshots.subjects import People

log = logging.getLogger(__name__)

Status = Literal["erased", "not_found", "not_applicable", "would_erase", "manual_action_required"]

IN_THE_CRM = "Erase the person in the CRM first: who is in its next extract comes back with it"


@dataclass(frozen=True)
class Outcome:
    """What has become of an erasure in one audience.

    :param status: ``erased``; ``not_found``: none of the hashes is in the audience; ``not_applicable``: the audience
        has no column of these identifiers; ``would_erase``: a dry run; ``manual_action_required``: the API
        cannot do it.
    :param said: in words, nobody's data.
    :param counts: numbers to keep.
    """

    status: Status
    said: str
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"status": self.status, "said": self.said, **self.counts}


@dataclass(frozen=True)
class Waiting:
    """Something to wait for in the triggerer.

    :param trigger: that waits.
    :param seconds: at most.
    :param after: tells ``go_on`` what was waited for.
    """

    trigger: Any
    seconds: float
    after: str


@dataclass
class ErasureJob:
    """One erasure in one audience.

    :param definition: of the audience.
    :param memory: of the audience.
    :param progress: of this task; outlives its retries and clears.
    :param people: whom to take out. Never logged, returned or stored.
    :param state: where the snapshots of the audience lie, if there are any.
    :param moment: of the run, so that a retry does the same.
    :param run: DAG and run, for metadata of what is sent.
    :param is_dry_run: only say what would be done.
    :param is_everywhere: also where a snapshot says that the person is not in the audience.
    """

    definition: Any
    memory: Memory
    progress: Memory
    people: People
    state: SnapshotLocation | None
    moment: datetime
    run: Mapping[str, str]
    is_dry_run: bool = False
    is_everywhere: bool = False

    @property
    def key(self) -> str:
        """Of the audience."""
        definition: AudienceDefinition = self.definition
        return definition.key

    def done(self, what: str) -> Any:
        """What was noted under a name by an earlier try, ``None`` if nothing was."""
        return self.progress.get(f"{what}.{self.key}")

    def note(self, what: str, value: Any) -> None:
        """Note something for later tries."""
        self.progress.set(f"{what}.{self.key}", value)

    @property
    def utc(self) -> datetime:
        """The moment in UTC."""
        return self.moment.astimezone(timezone.utc)


class HeldPeople:
    """Who is in an audience, as its snapshots say.

    :param audience_id: at the vendor.
    """

    def __init__(self, job: ErasureJob, audience_id: Any) -> None:
        self._job = job
        self._audience_id = audience_id

    @property
    def book(self) -> SnapshotBook:
        """As it is now."""
        return SnapshotBook(self._job.memory, self._audience_id)

    def rows(self) -> int | None:
        """How many rows hold one of the people, ``None`` where that is not known."""
        from audience_onboarding.crm.runtime.spill_dir import private_directory
        from audience_onboarding.crm.snapshots.snapshot import count_people
        from audience_onboarding.storage.snapshot_files import fetch_snapshot

        state, book = self._job.state, self.book
        if state is None or book.confirmed is None:
            return None
        # What was begun may have gone through, too.
        urls = {kept.url for kept in (book.confirmed, *book.begun) if kept.url}
        most = 0
        with private_directory() as directory:
            for url in urls:
                try:
                    path = fetch_snapshot(url, directory, s3_client=state.client)
                except SourceNotFoundError as error:
                    log.warning("Who is in the audience is not known: %s", error)
                    return None
                most = max(most, count_people(path, self._job.people))
        return most

    def take_out(self) -> int:
        """Write all snapshots anew without the people, each in its place. To do so again changes nothing.

        Whose load a snapshot is of stays as it is: an old run that is cleared must not bring the people back.

        :return: how many rows of the last confirmed one were taken out now.
        """
        from audience_onboarding.crm.runtime.spill_dir import private_directory
        from audience_onboarding.storage.snapshot_files import delete_snapshot

        state, book = self._job.state, self.book
        if state is None:
            return 0
        for url in book.to_delete:
            delete_snapshot(url, s3_client=state.client)
        confirmed = book.confirmed
        left: dict[str, int] = {}
        taken = 0
        with private_directory() as directory:
            for url in set(book.urls()) - set(book.to_delete):
                rows = self._take_out_of(url, state, directory)
                if rows is None:
                    continue
                before, left[url] = rows
                if confirmed is not None and url == confirmed.url:
                    taken = before - left[url]
        # Looked up again: this took its time.
        book = self.book
        book.recount(left)
        book.deleted()
        for url in {url for url, rows in left.items() if not rows} - set(book.urls()):
            delete_snapshot(url, s3_client=state.client)
        return taken

    def _take_out_of(self, url: str, state: SnapshotLocation, directory: Path) -> tuple[int, int] | None:
        from audience_onboarding.crm.snapshots.snapshot import write_without
        from audience_onboarding.storage.snapshot_files import fetch_snapshot, save_snapshot

        try:
            path = fetch_snapshot(url, directory, s3_client=state.client)
        except SourceNotFoundError:
            # Announced and never written, or lost: there is nobody in it.
            return None
        to = directory / "without.parquet"
        before, after = write_without(path, self._job.people, to)
        if after < before:
            save_snapshot(to, url, s3_client=state.client)
        return before, after


def mapped_hashes(job: ErasureJob) -> People:
    """Those hashes that are of identifiers which the audience's definition maps."""
    return job.people.only(job.definition.source.columns.by_identifier())


def nothing_mapped(job: ErasureJob) -> Outcome:
    """The audience has none of the identifiers that are given."""
    mapped = ", ".join(job.definition.source.columns.by_identifier())
    given = ", ".join(job.people.counts()) or "nothing"
    return Outcome(
        "not_applicable",
        f"Its lists hold {mapped}; what is given is {given}. So nothing of it was ever sent there",
    )
