"""Changes of a list against the snapshot of the audience's content after the last confirmed load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audience_onboarding.base.connections import s3_client
from audience_onboarding.crm.guards import FULL_LIST_MODES, GuardFailure, Guards
from audience_onboarding.state.snapshot_ledger import DiffBase, SnapshotLedger, SnapshotRef
from audience_onboarding.state.store import StateStore, load_identity, record_period

if TYPE_CHECKING:
    from audience_onboarding.crm.output.crm_file import CrmFile
    from audience_onboarding.crm.prepare import PreparedLoad

REPLACE = "replace"
MIRROR = "mirror"
OPT_IN = "opt-in"
OPT_OUT = "opt-out"

_BUDGET_SHARE = 4
"""A diff uses this part of the memory limit; the load itself has the rest."""


@dataclass(frozen=True)
class SnapshotLocation:
    """Folder for the snapshots of one audience.

    :param folder: a path or ``s3://bucket/prefix`` of the advertiser's own, for this audience alone.
    :param aws_conn_id: a connection of type ``aws`` for an ``s3://`` folder.
    :param retain: number of confirmed snapshots to keep, 2 or more.
    """

    folder: str
    aws_conn_id: str = "aws_default"
    retain: int = 2

    def client(self) -> Any:
        """Return the S3 client, for an ``s3://`` folder."""
        return s3_client(self.aws_conn_id)


@dataclass
class SnapshotDiff:
    """Changes that a load makes, and the snapshot that it leaves.

    :param load: the load's identity.
    :param period: its date or range of dates, see :func:`~..state.store.format_period`.
    :param mode: its mode.
    :param base: the states that it was compared with.
    :param opt_in: of a whole list: rows to add, ``None`` for none.
    :param opt_out: of a whole list: values to remove, ``None`` for none.
    :param unchanged: of a whole list: rows that the audience holds already.
    :param after: the audience's content afterwards, ``None`` if it is empty.
    :param adds: number of rows to add, ``None`` if unknown.
    :param removes: number of rows to remove, ``None`` if unknown.
    :param keeps: whether the content afterwards is known, so that there will be a snapshot of it.
    """

    load: str
    period: str
    mode: str
    base: DiffBase
    opt_in: CrmFile | None = None
    opt_out: CrmFile | None = None
    unchanged: int | None = None
    after: CrmFile | None = None
    adds: int | None = None
    removes: int | None = None
    keeps: bool = True
    _ledger: SnapshotLedger | None = field(default=None, repr=False)
    _location: SnapshotLocation | None = field(default=None, repr=False)
    _workdir: Path | None = field(default=None, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether the load changes nothing."""
        return self.adds == 0 and self.removes == 0

    @property
    def other_pending_loads(self) -> list[SnapshotRef]:
        """Other loads that were started after the last confirmed one and are not confirmed."""
        return [kept for kept in self.base.pending if kept.load != self.load]

    @property
    def is_pending(self) -> bool:
        """Whether this very load was the last one to start, and is not confirmed."""
        return self._ledger is not None and any(kept.load == self.load for kept in self._ledger.pending[-1:])

    @property
    def is_confirmed(self) -> bool:
        """Whether this very load is the last confirmed one."""
        confirmed = None if self._ledger is None else self._ledger.confirmed
        return confirmed is not None and confirmed.load == self.load

    @property
    def snapshot(self) -> str | None:
        """URL of the snapshot that the load leaves, ``None`` without one."""
        if self._ledger is None:
            return None
        kept = [one for one in (self._ledger.confirmed, *self._ledger.pending) if one is not None]
        own = [one for one in kept if one.load == self.load]
        if not own and self.is_empty:
            own = kept[:1]
        return own[-1].url if own else None

    def counts(self) -> dict[str, Any]:
        """Return the known numbers for the record of the load."""
        known = {"added": self.adds, "removed": self.removes, "unchanged": self.unchanged}
        return {name: count for name, count in known.items() if count is not None}

    def assume_empty_audience(self, load: PreparedLoad) -> None:
        """Fill in the changes of a load into an empty audience, which has no snapshot."""
        self.after, self.keeps, self.adds, self.removes = load, True, load.rows, 0

    def failures(self, guards: Guards) -> list[GuardFailure]:
        """Return the guard failure of a whole list that removes too many; a wrong list may have the right length."""
        limit = guards.row_drop_limit(self.mode)
        before = self.base.confirmed.rows if self.base.confirmed else 0
        if (
            self.mode not in FULL_LIST_MODES
            or limit is None
            or self.removes is None
            or before < guards.min_rows_for_ratios
            or self.removes <= limit * before
        ):
            return []
        return [
            GuardFailure(
                "max_row_drop",
                f"{self.removes:,} of the {before:,} rows of the last confirmed load would be taken out, "
                f"{100 * self.removes / before:.3g}%, at most {100 * limit:.3g}% may be",
            )
        ]

    def begin(self, *, is_whole: bool) -> None:
        """Write the snapshot and record the load as pending, right before it is sent. Idempotent.

        :param is_whole: the upload leaves the audience with exactly ``after``, regardless of its content before.
        """
        from audience_onboarding.crm.snapshots.snapshot import write_snapshot
        from audience_onboarding.storage.snapshot_files import delete_snapshot, save_snapshot, snapshot_url

        ledger, location, workdir = self._ledger, self._location, self._workdir
        if ledger is None or location is None or workdir is None or not self.keeps or self.is_pending:
            return
        url = None
        if self.after is not None:
            url = snapshot_url(location.folder, load_date=self.period, content_id=self.after.content_id)
            orphan = ledger.announce(url)
            if orphan is not None:
                delete_snapshot(orphan, s3_client=location.client)
            path = workdir / "snapshot.parquet"
            write_snapshot(self.after, path)
            save_snapshot(path, url, s3_client=location.client)
            path.unlink()
        rows = 0 if self.after is None else self.after.rows
        ledger.add_pending(
            SnapshotRef(self.load, self.period, self.mode, url, rows), self.base, is_whole=is_whole
        )


@contextmanager
def diff_with_snapshot(  # noqa: PLR0913
    load: PreparedLoad,
    *,
    location: SnapshotLocation,
    store: StateStore,
    audience_id: Any,
    period: str,
    mode: str,
    memory_limit_mib: int,
    warn: Callable[[str], None],
) -> Iterator[SnapshotDiff]:
    """Compare a list with the audience's content after the last confirmed load.

    :param load: the list.
    :param store: the state store of the audience.
    :param audience_id: at the vendor, ``None`` if there is none yet.
    :param period: of the load, see :func:`~..state.store.format_period`.
    :param memory_limit_mib: of the whole load; the diff uses a quarter of it.
    :param warn: logs that the changes are unknown.
    :raises SourceNotFoundError: the snapshot is missing. Not in mode ``replace``, which needs none.
    :raises SourceFormatError: it is damaged. As above.
    :raises ConfigurationError: it does not match the definition any more. As above.
    :raises AudienceOnboardingError: the storage rejects the request.
    """
    from audience_onboarding.crm.runtime.frame_store import MIB
    from audience_onboarding.crm.runtime.spill_dir import private_directory
    from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
    from audience_onboarding.exceptions import ConfigurationError, SourceFormatError, SourceNotFoundError

    identity = load_identity(period, mode, load.content_id)
    ledger = SnapshotLedger(store, audience_id)
    with ExitStack() as stack:
        workdir = stack.enter_context(private_directory())
        pool = OrderedThreadPool()
        stack.callback(pool.close)
        diff = SnapshotDiff(
            identity,
            period,
            mode,
            ledger.get_base(identity),
            _ledger=ledger,
            _location=location,
            _workdir=workdir,
        )
        resources = {
            "workdir": workdir, "pool": pool, "budget": memory_limit_mib * MIB // _BUDGET_SHARE
        }  # fmt: skip
        try:
            _compute(diff, load, location, workdir, resources)
        except (SourceNotFoundError, SourceFormatError, ConfigurationError) as error:
            if mode != REPLACE:
                raise
            warn(f"The changes of this load are unknown: {error}")
            diff.after, diff.adds, diff.removes = load, None, None
        yield diff


def _compute(
    diff: SnapshotDiff,
    load: PreparedLoad,
    location: SnapshotLocation,
    workdir: Path,
    resources: dict[str, Any],
) -> None:
    from audience_onboarding.crm.snapshots.diff import compare_lists, merge_lists, subtract_list
    from audience_onboarding.storage.snapshot_files import fetch_snapshot

    def fetch(kept: SnapshotRef | None) -> Path | None:
        if kept is None or kept.url is None:
            return None
        return fetch_snapshot(kept.url, workdir, s3_client=location.client)

    confirmed = diff.base.confirmed
    previous = fetch(confirmed)
    if diff.mode in FULL_LIST_MODES:
        attempts = [path for kept in diff.base.pending if (path := fetch(kept)) is not None]
        # A pending load that would leave the audience empty may have emptied it.
        may_be_empty = any(kept.url is None for kept in diff.base.all())
        diff.after = load
        if confirmed is None and diff.mode == REPLACE:
            return
        change = compare_lists(load, previous, attempts=attempts, **resources)
        diff.opt_in = load if may_be_empty else change.opt_in
        diff.opt_out, diff.unchanged = change.opt_out, 0 if may_be_empty else change.unchanged
        diff.adds = 0 if diff.opt_in is None else diff.opt_in.rows
        diff.removes = 0 if diff.opt_out is None else diff.opt_out.rows
    elif confirmed is None:
        diff.keeps = False
    elif diff.mode == OPT_OUT:
        diff.adds = 0
        diff.after = None if previous is None else subtract_list(load, previous, **resources)
        diff.removes = confirmed.rows - (diff.after.rows if diff.after else 0)
    else:
        diff.after = load if previous is None else merge_lists(load, previous, **resources)
        diff.adds, diff.removes = diff.after.rows - confirmed.rows, 0


def confirm_snapshot(record: Mapping[str, Any], *, location: SnapshotLocation, store: StateStore) -> None:
    """Make the snapshot of a confirmed load the current one, and delete those that are no longer needed.

    :param record: of the confirmed load.
    :param store: the state store of the audience.
    :raises AudienceOnboardingError: the storage rejects the request.
    """
    from audience_onboarding.storage.snapshot_files import delete_snapshot

    identity = load_identity(record_period(record), record["mode"], record["content_id"])
    ledger = SnapshotLedger(store, record["audience_id"])
    for url in ledger.confirm(identity, keep=location.retain):
        delete_snapshot(url, s3_client=location.client)
    ledger.mark_deleted()
