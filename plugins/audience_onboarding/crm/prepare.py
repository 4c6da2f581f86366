"""Prepare a load: source rows in, the vendor's CSV out, every row accounted for.

Polars reads the source once, in blocks, on a few threads. The fast path normalizes whole columns. The reference
functions of :mod:`.crm.identifiers.normalize` get only the values that it leaves over, each value once. Of equal rows
the first one of the source stays. The order is kept, so the same input gives the same bytes with any number of threads.

Between reading and sending, normalized values are in memory up to the limit, and beyond it in a private directory
(mode 0700), which is removed when the context ends. Hashing and encoding run during the upload, after all guards.
Messages of Polars are never passed on or chained, because they may quote rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from audience_onboarding.crm.blocks import BlockProcessor, BlockResult, Counts
from audience_onboarding.crm.fields import Field, build_fields
from audience_onboarding.crm.output.crm_file import CrmFile, FilePart, drop_rows
from audience_onboarding.crm.output.encoder import ContentId, CsvEncoder
from audience_onboarding.crm.output.profiles import FileProfile, Identifier, SourceColumn
from audience_onboarding.crm.rejects import RejectsList
from audience_onboarding.crm.report import LoadReport, accounting_error
from audience_onboarding.crm.runtime.dedupe import find_duplicates
from audience_onboarding.crm.runtime.frame_store import MIB, FrameStore, run_polars
from audience_onboarding.crm.runtime.spill_dir import private_directory
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
from audience_onboarding.crm.sources.base import Source, empty_source_error
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.exceptions import ConfigurationError

__all__ = ["CrmFile", "CsvSource", "FilePart", "PreparedLoad", "Progress", "RejectsList", "prepare"]

PROGRESS_SECONDS = 5.0
"""Interval between two calls of ``progress``."""

_MIN_MEMORY_MIB = 128


@dataclass(frozen=True)
class Progress:
    """Progress of a load.

    :param rows: read so far.
    :param size: bytes of text; 0 for a source without text.
    :param seconds: since the start.
    """

    rows: int
    size: int
    seconds: float


class PreparedLoad(CrmFile):
    """One load, ready to be sent. Valid inside the ``with`` block of :func:`prepare` only.

    :ivar report: the counts.
    :ivar rejects_count: lines of :meth:`rejects`, without the header.
    """

    def __init__(self, load: _LoadRun, report: LoadReport) -> None:
        super().__init__(
            load.encoder,
            load.values,
            load.pool,
            dropped=load.dropped,
            content_id=load.content_id,
            size=load.size,
        )
        self.report = report
        self.rejects_count = load.rejects.count
        self._rejects = load.rejects

    def rejects(self) -> Iterator[bytes]:
        """Return the list of rejects as CSV, see :meth:`.RejectsList.read`."""
        return self._rejects.read()


@contextmanager
def prepare(  # noqa: PLR0913
    source: Source,
    *,
    columns: Mapping[Identifier, str | SourceColumn],
    profile: FileProfile,
    country: str = "NL",
    memory_limit_mib: int = 1024,
    threads: int | None = None,
    spill_dir: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    when_all_rejected: Callable[[RejectsList], object] | None = None,
) -> Iterator[PreparedLoad]:
    """Read, normalize, validate and deduplicate a list, ready to be hashed and sent.

    :param source: the list.
    :param columns: by identifier, the source column that holds it.
    :param profile: the vendor's file.
    :param country: ISO 3166-1 alpha-2 code of phone numbers without country code.
    :param memory_limit_mib: memory limit in MiB; rows beyond it go to disk. Minimum 128, which Python and Polars use
        by themselves: then all rows go to disk.
    :param threads: number of threads; default: one per core.
    :param spill_dir: parent of the private directory; default: the system's temporary directory.
    :param progress: called every few seconds while reading.
    :param when_all_rejected: called with the list of rejects before ``EmptySourceError`` if no row can be sent.
    :raises SourceNotFoundError: the source does not exist.
    :raises SourceFormatError: it cannot be read.
    :raises MissingColumnError: a column is missing or ambiguous.
    :raises EmptySourceError: no row, or no row that can be sent.
    :raises ConfigurationError: the arguments contradict each other.
    :raises AccountingError: rows are missing in the counts: a bug, and no file is returned.
    """
    fields = build_fields(columns, profile, country)
    if memory_limit_mib < _MIN_MEMORY_MIB:
        raise ConfigurationError(what=f"The CRM engine needs at least {_MIN_MEMORY_MIB} MiB of memory")
    if threads is not None and threads < 1:
        raise ConfigurationError(what="The CRM engine needs at least one thread")
    pool = OrderedThreadPool(threads)
    try:
        with private_directory(spill_dir) as workdir:
            load = _LoadRun(source, fields, profile, workdir, pool, memory_limit_mib * MIB)
            report = run_polars(
                lambda: load.run(progress, when_all_rejected), "The CRM engine failed", source.name
            )
            yield PreparedLoad(load, report)
    finally:
        pool.close()


class _LoadRun:
    """One load: reading, duplicates, content id.

    :ivar dropped: duplicate rows by the index of their frame in ``values``.
    :ivar size: bytes of the file without the header.
    """

    def __init__(
        self,
        source: Source,
        fields: list[Field],
        profile: FileProfile,
        workdir: Path,
        pool: OrderedThreadPool,
        memory: int,
    ) -> None:
        self._source = source
        self._fields = fields
        self._workdir = workdir
        self._memory = memory
        self.pool = pool
        self.encoder = CsvEncoder(
            profile,
            tuple(each.column for each in fields),
            frozenset(each.identifier for each in fields if each.source.hashed),
        )
        self.values = FrameStore(workdir, "values", budget=int(memory * 0.3))
        self._fingerprints = FrameStore(workdir, "fingerprints", budget=int(memory * 0.06))
        self.rejects = RejectsList(workdir)
        self.dropped: dict[int, pl.Series] = {}
        self.content_id = ""
        self.size = 0

    def run(
        self,
        progress: Callable[[Progress], None] | None,
        when_all_rejected: Callable[[RejectsList], object] | None,
    ) -> LoadReport:
        """Read all rows and find the duplicates."""
        counts = Counts()
        blocks = BlockProcessor(self._fields, self.encoder)
        started = last = time.monotonic()
        with self._source.open([each.source.name for each in self._fields], self._workdir) as opened:
            for result in self.pool.map(blocks.process, opened.blocks):
                counts.add(result.counts)
                self._store(result)
                now = time.monotonic()
                if progress is not None and now - last >= PROGRESS_SECONDS:
                    last = now
                    progress(Progress(counts.rows, counts.bytes_read, now - started))
        blocks.clear_cache()
        if not counts.rows:
            raise empty_source_error(self._source.name, "it has a header row only")
        report = self._dedupe(counts, opened.unmapped)
        if not report.rows_sent:
            reasons = ", ".join(f"{reason} {count}" for reason, count in report.rejected_by_reason.items())
            if when_all_rejected is not None:
                when_all_rejected(self.rejects)
            raise empty_source_error(
                self._source.name,
                f"all {report.rows_read} rows were rejected: {reasons}",
                rows_read=report.rows_read,
            )
        self._compute_content_id()
        return report

    def _store(self, result: BlockResult) -> None:
        self.rejects.add(result.rejects, result.rejects_count)
        self.size += result.size
        if result.values.height:
            self.values.add(result.values)
            self._fingerprints.add(result.fingerprints)

    def _dedupe(self, counts: Counts, unmapped: int) -> LoadReport:
        duplicates = find_duplicates(self.values, self._fingerprints, budget=int(self._memory * 0.12))
        self.dropped = duplicates.by_frame
        sent = counts.accepted_values
        for frame in duplicates.frames:
            self.size -= self.encoder.size(frame)
            sent.subtract({each.name: frame.height - frame[each.name].null_count() for each in self._fields})
        accepted = sum(self.values.heights)
        rejected = sum(counts.rejected.values())
        if accepted + rejected != counts.rows:
            raise accounting_error(
                "Rows of the CRM file are missing",
                f"{accepted + rejected} of {counts.rows}",
                self._source.name,
            )
        return LoadReport(
            rows_read=counts.rows,
            rows_sent=accepted - duplicates.count,
            duplicates=duplicates.count,
            rejected=rejected,
            rejected_by_reason=dict(sorted(counts.rejected.items())),
            invalid_values=_nest(counts.invalid),
            unusable_values=_nest(counts.unusable),
            values_sent={each.name: sent[each.name] for each in self._fields},
            values_read={each.name: counts.read_values[each.name] for each in self._fields},
            hash_mismatches=counts.mismatches,
            ignored_columns=unmapped,
            files=max(1, len(counts.files)),
        )

    def _compute_content_id(self) -> None:
        content = ContentId(self.encoder)
        for index, frame in enumerate(self._fingerprints.all()):
            content.add(drop_rows(frame["fingerprint"], self.dropped.get(index)))
        self.content_id = content.hexdigest()
        self._fingerprints.clear()


def _nest(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (name, reason), count in sorted(counts.items()):
        nested.setdefault(name, {})[reason] = count
    return nested
