"""Erasure of people from an audience: the parts that all platforms share.

The contract of a platform's own part is :class:`~..platforms.contract.Erasure`.
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
from audience_onboarding.state.snapshot_ledger import SnapshotLedger
from audience_onboarding.state.store import StateStore

if TYPE_CHECKING:
    from audience_onboarding.crm.snapshots.subjects import SubjectHashes

log = logging.getLogger(__name__)

Status = Literal["erased", "not_found", "not_applicable", "would_erase", "manual_action_required"]

CRM_FIRST_HINT = "Erase the person in the CRM first: its next extract would bring them back"


@dataclass(frozen=True)
class ErasureResult:
    """Result of an erasure in one audience.

    :param status: ``erased``; ``not_found``: none of the hashes is in the audience; ``not_applicable``: the audience
        has no column of these identifiers; ``would_erase``: a dry run; ``manual_action_required``: the API cannot do
        it.
    :param message: for the report; without personal data.
    :param counts: numbers to keep.
    """

    status: Status
    message: str
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"status": self.status, "message": self.message, **self.counts}


@dataclass(frozen=True)
class ErasureDeferral:
    """A wait in the triggerer.

    :param trigger: the trigger.
    :param seconds: time-out.
    :param after: name of the wait, for ``resume``.
    """

    trigger: Any
    seconds: float
    after: str


@dataclass
class ErasureJob:
    """One erasure in one audience.

    :param definition: of the audience.
    :param store: state store of the audience.
    :param progress: state store of this task; outlives its retries and clears.
    :param people: hashes of the people to erase. Never logged, returned or stored.
    :param snapshots: folder of the audience's snapshots, if there are any.
    :param run_after: time of the run, so that a retry does the same.
    :param run: DAG and run, for the metadata of files.
    :param is_dry_run: report only.
    :param ignore_snapshots: also if a snapshot shows that the person is not in the audience.
    """

    definition: Any
    store: StateStore
    progress: StateStore
    people: SubjectHashes
    snapshots: SnapshotLocation | None
    run_after: datetime
    run: Mapping[str, str]
    is_dry_run: bool = False
    ignore_snapshots: bool = False

    @property
    def key(self) -> str:
        """Key of the audience."""
        definition: AudienceDefinition = self.definition
        return definition.key

    def done(self, name: str) -> Any:
        """Return the value that an earlier try has noted under a name, ``None`` if there is none."""
        return self.progress.get(f"{name}.{self.key}")

    def note(self, name: str, value: Any) -> None:
        """Store a value for later tries."""
        self.progress.set(f"{name}.{self.key}", value)

    @property
    def utc(self) -> datetime:
        """Time of the run in UTC."""
        return self.run_after.astimezone(timezone.utc)


class SnapshotEraser:
    """Finds and erases people in the snapshots of an audience.

    :param audience_id: at the vendor.
    """

    def __init__(self, job: ErasureJob, audience_id: Any) -> None:
        self._job = job
        self._audience_id = audience_id

    @property
    def ledger(self) -> SnapshotLedger:
        """The current ledger."""
        return SnapshotLedger(self._job.store, self._audience_id)

    def count_rows(self) -> int | None:
        """Return the number of rows with one of the people, ``None`` if unknown."""
        from audience_onboarding.crm.runtime.spill_dir import private_directory
        from audience_onboarding.crm.snapshots.snapshot import count_matching_rows
        from audience_onboarding.storage.snapshot_files import fetch_snapshot

        location, ledger = self._job.snapshots, self.ledger
        if location is None or ledger.confirmed is None:
            return None
        # The vendor may have processed pending loads, too.
        urls = {kept.url for kept in (ledger.confirmed, *ledger.pending) if kept.url}
        most = 0
        with private_directory() as directory:
            for url in urls:
                try:
                    path = fetch_snapshot(url, directory, s3_client=location.client)
                except SourceNotFoundError as error:
                    log.warning("The audience's content is unknown: %s", error)
                    return None
                most = max(most, count_matching_rows(path, self._job.people))
        return most

    def erase(self) -> int:
        """Rewrite all snapshots in place, without the people. Idempotent.

        The load of each snapshot stays the same, so that a user who clears an old run does not bring the people back.

        :return: number of rows erased from the last confirmed one.
        """
        from audience_onboarding.crm.runtime.spill_dir import private_directory
        from audience_onboarding.storage.snapshot_files import delete_snapshot

        location, ledger = self._job.snapshots, self.ledger
        if location is None:
            return 0
        for url in ledger.to_delete:
            delete_snapshot(url, s3_client=location.client)
        confirmed = ledger.confirmed
        left: dict[str, int] = {}
        erased = 0
        with private_directory() as directory:
            for url in set(ledger.urls()) - set(ledger.to_delete):
                rows = self._erase_from(url, location, directory)
                if rows is None:
                    continue
                before, left[url] = rows
                if confirmed is not None and url == confirmed.url:
                    erased = before - left[url]
        # Read again: the rewrite takes time.
        ledger = self.ledger
        ledger.update_rows(left)
        ledger.mark_deleted()
        for url in {url for url, rows in left.items() if not rows} - set(ledger.urls()):
            delete_snapshot(url, s3_client=location.client)
        return erased

    def _erase_from(self, url: str, location: SnapshotLocation, directory: Path) -> tuple[int, int] | None:
        """Return the number of rows before and after, ``None`` if there is no such snapshot."""
        from audience_onboarding.crm.snapshots.snapshot import write_without_subjects
        from audience_onboarding.storage.snapshot_files import fetch_snapshot, save_snapshot

        try:
            path = fetch_snapshot(url, directory, s3_client=location.client)
        except SourceNotFoundError:
            # Announced and never written, or lost.
            return None
        to = directory / "without.parquet"
        before, after = write_without_subjects(path, self._job.people, to)
        if after < before:
            save_snapshot(to, url, s3_client=location.client)
        return before, after


def mapped_hashes(job: ErasureJob) -> SubjectHashes:
    """Return the hashes of identifiers that the audience's definition maps."""
    return job.people.only(job.definition.source.columns.by_identifier())


def not_applicable(job: ErasureJob) -> ErasureResult:
    """Return the result for an audience with none of the given identifiers."""
    mapped = ", ".join(job.definition.source.columns.by_identifier())
    given = ", ".join(job.people.counts()) or "nothing"
    return ErasureResult(
        "not_applicable",
        f"Its lists hold {mapped}, the run gives {given}: no matching identifier was ever sent there",
    )
