"""What a list changes, by the snapshot of what the audience held after the last confirmed load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audience_onboarding.base.connections import s3_client
from audience_onboarding.crm.guards import WHOLE_LIST, WHOLE_LIST_MAX_SHRINK, Failure, Guards
from audience_onboarding.state.snapshot_ledger import Base, Kept, SnapshotBook
from audience_onboarding.state.store import Memory, days_of, load_identity

if TYPE_CHECKING:
    from audience_onboarding.crm.output.crm_file import CrmFile
    from audience_onboarding.crm.prepare import PreparedLoad

REPLACE = "replace"
MIRROR = "mirror"
OPT_IN = "opt-in"
OPT_OUT = "opt-out"

_BUDGET_SHARE = 4
"""A comparison takes this part of the memory; the load itself has the rest."""


@dataclass(frozen=True)
class StateFolder:
    """Where the snapshots of an audience lie.

    :param folder: a path or ``s3://bucket/prefix`` of the owner's, for this audience alone.
    :param aws_conn_id: a connection of type ``aws`` for an ``s3://`` folder.
    :param keep: how many confirmed snapshots are kept, 2 or more.
    """

    folder: str
    aws_conn_id: str = "aws_default"
    keep: int = 2

    def client(self) -> Any:
        """The S3 client, for an ``s3://`` folder."""
        return s3_client(self.aws_conn_id)


@dataclass
class Comparison:
    """What a load changes, and how to keep what comes of it.

    :param load: the load's identity.
    :param load_date: its day or range of days, see :func:`..orchestration.memory.days_text`.
    :param mode: its mode.
    :param base: what it was compared with.
    :param opt_in: of a whole list: rows to add, ``None`` for none.
    :param opt_out: of a whole list: values to take out, ``None`` for none.
    :param unchanged: of a whole list: rows that are there already.
    :param after: what the audience holds afterwards, ``None`` for nobody.
    :param adds: rows that are added, ``None`` where that is not known.
    :param removes: rows that are taken out, ``None`` where that is not known.
    :param keeps: whether it is known what the audience holds afterwards, so that there will be a snapshot of it.
    """

    load: str
    load_date: str
    mode: str
    base: Base
    opt_in: CrmFile | None = None
    opt_out: CrmFile | None = None
    unchanged: int | None = None
    after: CrmFile | None = None
    adds: int | None = None
    removes: int | None = None
    keeps: bool = True
    _book: SnapshotBook | None = field(default=None, repr=False)
    _state: StateFolder | None = field(default=None, repr=False)
    _workdir: Path | None = field(default=None, repr=False)

    @property
    def changes_nothing(self) -> bool:
        """Whether the audience is as it should be."""
        return self.adds == 0 and self.removes == 0

    @property
    def others_begun(self) -> list[Kept]:
        """Loads that were begun after the last confirmed one, and are not confirmed."""
        return [kept for kept in self.base.attempts if kept.load != self.load]

    @property
    def is_begun(self) -> bool:
        """Whether this very load was the last one to be begun, and is not confirmed."""
        return self._book is not None and any(kept.load == self.load for kept in self._book.begun[-1:])

    @property
    def is_confirmed(self) -> bool:
        """Whether this very load is the last confirmed one."""
        confirmed = None if self._book is None else self._book.confirmed
        return confirmed is not None and confirmed.load == self.load

    @property
    def snapshot(self) -> str | None:
        """Where the snapshot lies of what the audience holds after the load, as far as there is one."""
        if self._book is None:
            return None
        kept = [one for one in (self._book.confirmed, *self._book.begun) if one is not None]
        ours = [one for one in kept if one.load == self.load]
        if not ours and self.changes_nothing:
            ours = kept[:1]
        return ours[-1].url if ours else None

    def counts(self) -> dict[str, Any]:
        """For the record of the load."""
        known = {"added": self.adds, "removed": self.removes, "unchanged": self.unchanged}
        return {name: count for name, count in known.items() if count is not None}

    def failures(self, guards: Guards) -> list[Failure]:
        """Whether a whole list takes out more than it may; a list of other people is as long as the right one."""
        limit = guards.max_row_drop
        if limit == "by_mode":
            limit = WHOLE_LIST_MAX_SHRINK
        before = self.base.confirmed.rows if self.base.confirmed else 0
        if (
            self.mode not in WHOLE_LIST
            or limit is None
            or self.removes is None
            or before < guards.min_rows_for_ratios
            or self.removes <= limit * before
        ):
            return []
        return [
            Failure(
                "max_row_drop",
                f"{self.removes:,} of the {before:,} rows of the last confirmed load would be taken out, "
                f"{100 * self.removes / before:.3g}%, at most {100 * limit:.3g}% may be",
            )
        ]

    def begin(self, *, is_whole: bool) -> None:
        """Write the snapshot and say that the load is about to be sent. To do so again changes nothing.

        :param is_whole: what is sent leaves the audience as ``after`` says, whatever was in it.
        """
        from audience_onboarding.crm.snapshots.snapshot import write_snapshot
        from audience_onboarding.storage.snapshot_files import delete_snapshot, save_snapshot, snapshot_url

        book, state, workdir = self._book, self._state, self._workdir
        if book is None or state is None or workdir is None or not self.keeps or self.is_begun:
            return
        url = None
        if self.after is not None:
            url = snapshot_url(state.folder, load_date=self.load_date, content_id=self.after.content_id)
            left_over = book.announce(url)
            if left_over is not None:
                delete_snapshot(left_over, s3_client=state.client)
            path = workdir / "snapshot.parquet"
            write_snapshot(self.after, path)
            save_snapshot(path, url, s3_client=state.client)
            path.unlink()
        rows = 0 if self.after is None else self.after.rows
        kept = Kept(self.load, self.load_date, self.mode, url, rows)
        book.begin(kept, self.base, is_whole=is_whole)


@contextmanager
def compared(  # noqa: PLR0913
    load: PreparedLoad,
    *,
    state: StateFolder,
    memory: Memory,
    audience_id: Any,
    load_date: str,
    mode: str,
    memory_limit_mib: int,
    warn: Callable[[str], None],
) -> Iterator[Comparison]:
    """Compare a list with what the audience held after the last confirmed load.

    :param load: the list.
    :param state: where the snapshots lie.
    :param memory: of the audience.
    :param audience_id: at the vendor, ``None`` if there is none yet.
    :param load_date: of the load, see :func:`..orchestration.memory.days_text`.
    :param memory_limit_mib: of the whole load; a quarter of it is used.
    :param warn: told what is not as it should be.
    :raises SourceNotFoundError: the snapshot is not there. Not in mode ``replace``, which needs none.
    :raises SourceFormatError: it is damaged. As above.
    :raises ConfigurationError: it does not fit the definition any more. As above.
    :raises AudienceOnboardingError: the storage says no.
    """
    from audience_onboarding.crm.runtime.frame_store import MIB
    from audience_onboarding.crm.runtime.spill_dir import private_directory
    from audience_onboarding.crm.runtime.thread_pool import Workers
    from audience_onboarding.exceptions import ConfigurationError, SourceFormatError, SourceNotFoundError

    identity = load_identity(load_date, mode, load.content_id)
    book = SnapshotBook(memory, audience_id)
    with ExitStack() as stack:
        workdir = stack.enter_context(private_directory())
        workers = Workers()
        stack.callback(workers.close)
        found = Comparison(
            identity, load_date, mode, book.base_of(identity), _book=book, _state=state, _workdir=workdir
        )
        means = {"workdir": workdir, "workers": workers, "budget": memory_limit_mib * MIB // _BUDGET_SHARE}
        try:
            _fill_in(found, load, state, workdir, means)
        except (SourceNotFoundError, SourceFormatError, ConfigurationError) as error:
            if mode != REPLACE:
                raise
            warn(f"What this load changes is not known: {error}")
            found.after, found.adds, found.removes = load, None, None
        yield found


def _fill_in(
    found: Comparison, load: PreparedLoad, state: StateFolder, workdir: Path, means: dict[str, Any]
) -> None:
    from audience_onboarding.crm.snapshots.diff import difference, merged, removed
    from audience_onboarding.storage.snapshot_files import fetch_snapshot

    def path_of(kept: Kept | None) -> Path | None:
        if kept is None or kept.url is None:
            return None
        return fetch_snapshot(kept.url, workdir, s3_client=state.client)

    confirmed = found.base.confirmed
    previous = path_of(confirmed)
    if found.mode in WHOLE_LIST:
        attempts = [path for kept in found.base.attempts if (path := path_of(kept)) is not None]
        # An attempt that would leave nobody may have taken out everybody.
        is_empty = any(kept.url is None for kept in found.base.all())
        found.after = load
        if confirmed is None and found.mode == REPLACE:
            return
        change = difference(load, previous, attempts=attempts, **means)
        found.opt_in = load if is_empty else change.opt_in
        found.opt_out, found.unchanged = change.opt_out, 0 if is_empty else change.unchanged
        found.adds = 0 if found.opt_in is None else found.opt_in.rows
        found.removes = 0 if found.opt_out is None else found.opt_out.rows
    elif confirmed is None:
        found.keeps = False
    elif found.mode == OPT_OUT:
        found.adds = 0
        found.after = None if previous is None else removed(load, previous, **means)
        found.removes = confirmed.rows - (found.after.rows if found.after else 0)
    else:
        found.after = load if previous is None else merged(load, previous, **means)
        found.adds, found.removes = found.after.rows - confirmed.rows, 0


def confirm_snapshot(record: Mapping[str, Any], *, state: StateFolder, memory: Memory) -> None:
    """Take what a load has left for what the audience holds, and delete the snapshots that mean nothing any more.

    :param record: of the confirmed load.
    :param memory: of the audience.
    :raises AudienceOnboardingError: the storage says no.
    """
    from audience_onboarding.storage.snapshot_files import delete_snapshot

    identity = load_identity(days_of(record), record["mode"], record["content_id"])
    book = SnapshotBook(memory, record["audience_id"])
    for url in book.confirm(identity, keep=state.keep):
        delete_snapshot(url, s3_client=state.client)
    book.deleted()
