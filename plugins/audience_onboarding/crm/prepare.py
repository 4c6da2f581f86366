"""Source rows in, the vendor's CSV out, every row accounted for.

The source is read once, in blocks, by Polars on a few threads. Plain values are normalised in columns; only what has
to be looked at by the reference functions goes through :mod:`.crm.identifiers.normalize`, each value once.
Duplicates fall away over the whole file, the first row of the source stays, and the order is kept, so the same input
gives the same bytes however many threads ran.

What is kept between reading and sending is the normalised values, in memory as far as the limit goes and in a private
directory (mode 0700) beyond, which is removed when the context ends, however it ends. Hashing and formatting happen
while the file is sent: by then all guards have spoken, and the upload overlaps the work. Messages of Polars are never
passed on or chained, because they may quote the data.
"""

from __future__ import annotations

import csv
import io
import operator
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import polars as pl

from audience_onboarding.crm.identifiers.normalize import Rejected
from audience_onboarding.crm.identifiers.reject_reasons import RejectReason
from audience_onboarding.crm.identifiers.rules import Rule, get_rule
from audience_onboarding.crm.output.crm_file import CrmFile, FilePart, without
from audience_onboarding.crm.output.encoder import ContentId, CsvEncoder, fingerprint
from audience_onboarding.crm.output.profiles import FileProfile, Identifier, ProfileColumn, SourceColumn
from audience_onboarding.crm.rejects import mask_value
from audience_onboarding.crm.report import LoadReport
from audience_onboarding.crm.runtime.dedupe import find_duplicates
from audience_onboarding.crm.runtime.frame_store import MIB, FrameStore, spill
from audience_onboarding.crm.runtime.spill_dir import private_directory
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
from audience_onboarding.crm.sources.base import BlockReader, RowBatch, Source, empty_source_error
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.exceptions import (
    AccountingError,
    ConfigurationError,
    TerminalError,
)

__all__ = ["CrmFile", "CsvSource", "FilePart", "PreparedLoad", "Progress", "RejectsList", "prepare"]

PROGRESS_SECONDS = 5.0
"""Pause between two calls of ``progress``."""

_MIN_MEMORY_MIB = 128
_CACHED_VALUES = 100_000
_MAX_CACHED_LENGTH = 320
_OK = 0
_CODES = {reason: number for number, reason in enumerate(RejectReason, start=1)}
_REASONS = {number: reason for reason, number in _CODES.items()}
_REASON_NAMES = {number: reason.value for number, reason in _REASONS.items()}
_EMPTY = _CODES[RejectReason.EMPTY]
_MISMATCHES = (RejectReason.ALREADY_HASHED, RejectReason.NOT_HASHED)
REJECTS_HEADER = "file,row,field,outcome,reason,sample\n"


@dataclass(frozen=True)
class Progress:
    """How far a load is.

    :param rows: read so far.
    :param size: bytes of text, as far as the kind of source has such.
    :param seconds: since it began.
    """

    rows: int
    size: int
    seconds: float


class PreparedLoad(CrmFile):
    """One load, ready to be sent. Usable inside the ``with`` block of :func:`prepare` only.

    :ivar report: the counts.
    :ivar rejects_count: lines of :meth:`rejects`, the header not counted.
    """

    report: LoadReport
    rejects_count: int

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
        """What was not used, as CSV (UTF-8, line feeds): ``file,row,field,outcome,reason,sample``.

        ``row`` counts from 1 below the header, ``outcome`` is ``row`` for a rejected row and ``field`` for a field that
        is left empty in a row that is not rejected, ``sample`` is masked.
        """
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
    """Read, normalise, validate and dedupe a list, ready to be hashed and sent.

    :param source: the list.
    :param columns: by identifier, the source's column that holds it.
    :param profile: what the file to send looks like.
    :param country: ISO 3166-1 alpha-2 code of phone numbers without country code.
    :param memory_limit_mib: memory in MiB to keep within; rows beyond go to disk. At least 128, which is less than
        Python and Polars take by themselves: then no row stays in memory.
    :param threads: number of threads; by default the cores at hand.
    :param spill_dir: where to make the private directory; the system's temporary directory by default.
    :param progress: called every few seconds while reading.
    :param when_all_rejected: called with the list of rejects before ``EmptySourceError`` is raised for a source of
        which no row can be sent.
    :raises SourceNotFoundError: the source is not there.
    :raises SourceFormatError: it cannot be read.
    :raises MissingColumnError: a column is missing or ambiguous.
    :raises EmptySourceError: no row, or no row that can be sent.
    :raises ConfigurationError: arguments that do not fit together.
    :raises AccountingError: rows got lost: a bug, nothing is handed out.
    """
    fields = _fields(columns, profile, country)
    if memory_limit_mib < _MIN_MEMORY_MIB:
        raise ConfigurationError(what=f"the CRM engine needs at least {_MIN_MEMORY_MIB} MiB of memory")
    if threads is not None and threads < 1:
        raise ConfigurationError(what="the CRM engine needs at least one thread")
    pool = OrderedThreadPool(threads)
    try:
        with private_directory(spill_dir) as workdir:
            load = _LoadRun(source, fields, profile, workdir, pool, memory_limit_mib * MIB)
            failure = ""
            report: LoadReport | None = None
            try:
                report = load.run(progress, when_all_rejected)
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
                failure = type(error).__name__
            if report is None:
                raise TerminalError(
                    what="the CRM engine failed",
                    where=source.name,
                    why=f"Polars raised {failure}; its text is withheld because it may quote rows",
                    next_step="Check the free space of the spill directory; if that is fine, please report it",
                )
            yield PreparedLoad(load, report)
    finally:
        pool.close()


@dataclass(frozen=True)
class _Field:
    """How one column of the file comes about."""

    column: ProfileColumn
    source: SourceColumn
    rule: Rule

    @property
    def identifier(self) -> Identifier:
        return self.column.identifier

    @property
    def name(self) -> str:
        return self.column.identifier.value


def _fields(
    columns: Mapping[Identifier, str | SourceColumn], profile: FileProfile, country: str
) -> list[_Field]:
    import phonenumbers  # only for the list of countries

    if country not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigurationError(
            what="unknown country", why=repr(country), next_step="Use an ISO 3166-1 alpha-2 code such as NL"
        )
    unknown = set(columns) - {column.identifier for column in profile.columns}
    if unknown or not columns:
        names = ", ".join(sorted(key.value for key in unknown))
        raise ConfigurationError(
            what=f"the file {profile.name} has no column for {names}"
            if unknown
            else "the definition maps no column",
            next_step=f"Map any of: {', '.join(column.identifier.value for column in profile.columns)}",
        )
    if not any(identified <= set(columns) for identified in profile.identified_by):
        raise ConfigurationError(
            what="the mapped columns identify nobody",
            why=", ".join(sorted(key.value for key in columns)),
            next_step="Map an identifier such as email or phone; an address takes postal_code and house_number",
        )
    fields = []
    for column in profile.columns:
        if column.identifier not in columns:
            continue
        given = columns[column.identifier]
        source = SourceColumn(given) if isinstance(given, str) else given
        if source.hashed and column.transform != "sha256":
            raise ConfigurationError(
                what=f"{column.identifier.value} is sent as it is, so that its column cannot hold hashes",
                next_step=f"Map a column of the export with unhashed values, or leave {column.identifier.value} out",
            )
        rule = get_rule(
            column.identifier,
            country=country,
            strip_plus_tag=profile.strip_plus_tag,
            hashed=source.hashed,
        )
        fields.append(_Field(column, source, rule))
    return fields


@dataclass
class _BlockResult:
    """What came of one block. Holds customer data: never printed."""

    values: pl.DataFrame
    fingerprints: pl.DataFrame
    rows: int
    bytes_read: int
    size: int
    accepted_values: list[int]
    read_values: list[int]
    rejected: Counter[str]
    invalid: Counter[tuple[str, str]]
    unusable: Counter[tuple[str, str]]
    file: str
    rejects: str
    rejects_count: int
    mismatches: int

    def __repr__(self) -> str:
        return f"_BlockResult(rows={self.rows})"


class RejectsList:
    """The list of rejects, in a file of the private directory.

    :ivar count: lines, the header not counted.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "rejects.csv"
        self.count = 0

    def add(self, text: str, count: int) -> None:
        """Add lines.

        :raises ConfigurationError: the disk is full.
        """
        if not count:
            return
        spill(lambda: self._append(text), self._path.parent)
        self.count += count

    def _append(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as out:
            out.write(text)

    def read(self) -> Iterator[bytes]:
        """The list as CSV, see :meth:`PreparedLoad.rejects`."""
        yield REJECTS_HEADER.encode()
        if self.count:
            with self._path.open("rb") as stream:
                while block := stream.read(MIB):
                    yield block


@dataclass
class _LoadRun:
    """One load."""

    source: Source
    fields: Sequence[_Field]
    profile: FileProfile
    workdir: Path
    pool: OrderedThreadPool
    memory: int

    dropped: dict[int, pl.Series] = field(default_factory=dict)
    content_id: str = ""
    size: int = 0

    def __post_init__(self) -> None:
        self.encoder = CsvEncoder(
            self.profile,
            tuple(each.column for each in self.fields),
            frozenset(each.identifier for each in self.fields if each.source.hashed),
        )
        self.values = FrameStore(self.workdir, "values", budget=int(self.memory * 0.3))
        self.fingerprints = FrameStore(self.workdir, "fingerprints", budget=int(self.memory * 0.06))
        self.rejects = RejectsList(self.workdir)
        self._answers: list[dict[str, tuple[int, str | None]]] = [{} for _ in self.fields]

    # --- reading

    def run(
        self,
        progress: Callable[[Progress], None] | None,
        when_all_rejected: Callable[[RejectsList], object] | None,
    ) -> LoadReport:
        """Read everything, and find the duplicates."""
        totals = _Counters(len(self.fields))
        started = last = time.monotonic()
        with self.source.open([each.source.name for each in self.fields], self.workdir) as reading:
            for taken in self.pool.map(self._process_block, reading.blocks):
                self._store(taken, totals)
                now = time.monotonic()
                if progress is not None and now - last >= PROGRESS_SECONDS:
                    last = now
                    progress(Progress(totals.rows, totals.bytes_read, now - started))
            totals.ignored = reading.ignored
        for known in self._answers:
            known.clear()
        if not totals.rows:
            raise empty_source_error(self.source.name, "it has a header row only")
        report = self._dedupe(totals)
        if not report.rows_sent:
            reasons = ", ".join(f"{reason} {count}" for reason, count in report.rejected_by_reason.items())
            if when_all_rejected is not None:
                when_all_rejected(self.rejects)
            raise empty_source_error(
                self.source.name,
                f"all {report.rows_read} rows were rejected: {reasons}",
                rows_read=report.rows_read,
            )
        self._compute_content_id()
        return report

    def _store(self, taken: _BlockResult, totals: _Counters) -> None:
        totals.add(taken)
        self.rejects.add(taken.rejects, taken.rejects_count)
        self.size += taken.size
        if taken.values.height:
            self.values.add(taken.values)
            self.fingerprints.add(taken.fingerprints)

    # --- one block, in a worker

    def _process_block(self, block: BlockReader) -> _BlockResult:
        rows = block.read()
        frame, codes, read = self._normalize_block(rows.frame)
        identified = self._rows_with_identifier(frame, codes)
        accepted = frame
        rejected: Counter[str] = Counter()
        if rows.malformed:
            rejected[RejectReason.MALFORMED_ROW.value] = len(rows.malformed)
        invalid: Counter[tuple[str, str]] = Counter()
        unusable: Counter[tuple[str, str]] = Counter()
        rejects = _RejectLines(rows)
        rejects.add_rows(rows.malformed, RejectReason.MALFORMED_ROW)
        if identified is not None:
            accepted = frame.filter(identified)
            unusable = self._count_rejected(rows, codes, identified, rejected, rejects)
        self._count_invalid(rows, codes, identified, invalid, rejects)
        unusable.update(invalid)
        return _BlockResult(
            values=accepted,
            fingerprints=accepted.select(fingerprint(self.encoder.names)),
            rows=frame.height + len(rows.malformed),
            bytes_read=rows.size,
            size=self.encoder.size(accepted),
            accepted_values=[accepted.height - accepted[each.name].null_count() for each in self.fields],
            read_values=read,
            rejected=rejected,
            invalid=invalid,
            unusable=unusable,
            file=rows.file,
            rejects=rejects.text(),
            rejects_count=rejects.count,
            mismatches=rejects.mismatches,
        )

    def _normalize_block(self, raw: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.Series | None], list[int]]:
        """Normalised values; codes of the reasons where not all are plain; numbers of fields that are not empty."""
        columns: list[pl.Series] = []
        codes: list[pl.Series | None] = []
        read: list[int] = []
        for number, each in enumerate(self.fields):
            text = raw[str(number)]
            plain, value = _apply_vector_rule(each.rule, text)
            code: pl.Series | None = None
            filled = raw.height
            if not plain.all():
                code, value, filled = self._apply_reference(number, plain, text, value)
            columns.append(value.alias(each.name))
            codes.append(code)
            read.append(filled)
        return self._drop_dependents(pl.DataFrame(columns), codes), codes, read

    def _apply_reference(
        self, number: int, plain: pl.Series, text: pl.Series, value: pl.Series
    ) -> tuple[pl.Series, pl.Series, int]:
        """Take what is not plain through the reference."""
        code = pl.select(
            pl.when(plain).then(pl.lit(_OK, dtype=pl.UInt8)).otherwise(pl.lit(_EMPTY, dtype=pl.UInt8))
        ).to_series()
        blank = text.null_count()
        pending = (~plain & text.is_not_null()).arg_true()
        if len(pending):
            known, decide = self._answers[number], self._reference_result
            answers = [known.get(raw) or decide(number, raw) for raw in text.gather(pending).to_list()]
            reasons = [answer[0] for answer in answers]
            code = code.scatter(pending, pl.Series(reasons, dtype=pl.UInt8))
            value = value.scatter(pending, pl.Series([answer[1] for answer in answers], dtype=pl.String))
            blank += reasons.count(_EMPTY)
        return code, value, len(text) - blank

    def _reference_result(self, number: int, raw: str) -> tuple[int, str | None]:
        rule = self.fields[number].rule
        outcome = (rule.late(raw) if rule.late is not None else None) or rule.reference(raw)
        answer = (_CODES[outcome.reason], None) if isinstance(outcome, Rejected) else (_OK, outcome)
        known = self._answers[number]
        if len(known) < _CACHED_VALUES and len(raw) <= _MAX_CACHED_LENGTH:
            known[raw] = answer
        return answer

    def _drop_dependents(self, values: pl.DataFrame, codes: list[pl.Series | None]) -> pl.DataFrame:
        """Leave out what has no meaning without another identifier that is not there."""
        places = {each.identifier: number for number, each in enumerate(self.fields)}
        for part, other in self.profile.required_by:
            if part not in places:
                continue
            number = places[part]
            name = self.fields[number].name
            if other in places:
                missing = values[self.fields[places[other]].name].is_null()
            else:
                missing = pl.repeat(True, values.height, eager=True, dtype=pl.Boolean)
            orphan = missing & values[name].is_not_null()
            if not orphan.any():
                continue
            code = codes[number]
            if code is None:
                code = pl.repeat(_OK, values.height, eager=True, dtype=pl.UInt8)
            orphans = orphan.arg_true()
            codes[number] = code.scatter(orphans, _CODES[RejectReason.NO_POSTAL_CODE])
            values = values.with_columns(pl.when(~orphan).then(pl.col(name)).alias(name))
        return values

    def _rows_with_identifier(
        self, values: pl.DataFrame, codes: Sequence[pl.Series | None]
    ) -> pl.Series | None:
        """Which rows can be sent; ``None`` for all."""
        names = {each.identifier: each.name for each in self.fields}
        places = {each.identifier: number for number, each in enumerate(self.fields)}
        ways = [way for way in self.profile.identified_by if way <= names.keys()]
        if any(all(codes[places[identifier]] is None for identifier in way) for way in ways):
            return None
        identified = values.select(
            pl.any_horizontal(
                pl.all_horizontal(pl.col(names[identifier]).is_not_null() for identifier in sorted(way))
                for way in ways
            )
        ).to_series()
        return None if identified.all() else identified

    def _count_rejected(
        self,
        rows: RowBatch,
        codes: Sequence[pl.Series | None],
        identified: pl.Series,
        rejected: Counter[str],
        rejects: _RejectLines,
    ) -> Counter[tuple[str, str]]:
        """Count the rows that cannot be sent by the reason of their first field that is not empty; return the counts
        of all such fields."""
        unusable: Counter[tuple[str, str]] = Counter()
        indexes = (~identified).arg_true()
        numbers = rows.row_numbers().gather(indexes)
        # Of each of these rows, the first code that is neither of a good nor of an empty field.
        first = pl.repeat(_OK, len(indexes), dtype=pl.UInt8, eager=True)
        for number, (each, code) in enumerate(zip(self.fields, codes, strict=True)):
            if code is None:
                continue
            found = code.gather(indexes)
            bad = (found != _OK) & (found != _EMPTY)
            unusable += rejects.add_fields(
                numbers.filter(bad),
                each,
                "row",
                found.filter(bad),
                rows.frame[str(number)].gather(indexes.filter(bad)),
            )
            first = first.zip_with((first != _OK) | ~bad, found)
        for code, count in first.value_counts().iter_rows():
            rejected[_REASONS[code].value if code else RejectReason.NO_IDENTIFIER.value] += count
        rejects.add_rows(numbers.filter(first == _OK), RejectReason.NO_IDENTIFIER)
        return unusable

    def _count_invalid(
        self,
        rows: RowBatch,
        codes: Sequence[pl.Series | None],
        identified: pl.Series | None,
        invalid: Counter[tuple[str, str]],
        rejects: _RejectLines,
    ) -> None:
        """Count the fields that are left empty in rows that can be sent."""
        numbers = rows.row_numbers()
        for number, (each, code) in enumerate(zip(self.fields, codes, strict=True)):
            if code is None:
                continue
            bad = (code != _OK) & (code != _EMPTY)
            indexes = (bad if identified is None else bad & identified).arg_true()
            if not len(indexes):
                continue
            invalid += rejects.add_fields(
                numbers.gather(indexes),
                each,
                "field",
                code.gather(indexes),
                rows.frame[str(number)].gather(indexes),
            )

    # --- the whole

    def _dedupe(self, totals: _Counters) -> LoadReport:
        duplicates = find_duplicates(self.values, self.fingerprints, budget=int(self.memory * 0.12))
        self.dropped = duplicates.by_frame
        sent = list(totals.accepted_values)
        for frame in duplicates.frames:
            self.size -= self.encoder.size(frame)
            for number, each in enumerate(self.fields):
                sent[number] -= frame.height - frame[each.name].null_count()
        accepted = sum(self.values.heights)
        rejected = sum(totals.rejected.values())
        if accepted + rejected != totals.rows:
            raise AccountingError(
                what="rows of the CRM file got lost",
                where=self.source.name,
                why=f"{accepted + rejected} of {totals.rows}",
                next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
            )
        return LoadReport(
            rows_read=totals.rows,
            rows_sent=accepted - duplicates.count,
            duplicates=duplicates.count,
            rejected=rejected,
            rejected_by_reason=dict(sorted(totals.rejected.items())),
            invalid_values=_nested(totals.invalid),
            unusable_values=_nested(totals.unusable),
            values_sent={each.name: count for each, count in zip(self.fields, sent, strict=True)},
            values_read={
                each.name: count for each, count in zip(self.fields, totals.read_values, strict=True)
            },
            hash_mismatches=totals.mismatches,
            ignored_columns=totals.ignored,
            files=max(1, len(totals.files)),
        )

    def _compute_content_id(self) -> None:
        identity = ContentId(self.encoder)
        for index in range(len(self.fingerprints)):
            prints = self.fingerprints.get(index)["fingerprint"]
            identity.add(without(prints, self.dropped.get(index)))
        self.content_id = identity.hexdigest()
        self.fingerprints.clear()


def _apply_vector_rule(rule: Rule, text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Which values of a column the fast path answers, and with what."""
    if rule.fast is None:
        return pl.repeat(False, len(text), eager=True, dtype=pl.Boolean), pl.repeat(
            None, len(text), eager=True, dtype=pl.String
        )
    column = pl.col("text")
    way = rule.fast(column)
    accepted = way.accept(pl.col("tidied")).fill_null(value=False).alias("ok")
    frame = text.to_frame("text")
    if way.plain is None:
        done = frame.select(tidied=way.tidied).with_columns(accepted)
    else:
        done = frame.select(tidied=column, ok=way.plain(column).fill_null(value=False))
        others = (~done["ok"]).arg_true()
        if len(others):
            rest = frame.filter(~done["ok"]).select(tidied=way.tidied).with_columns(accepted)
            done = pl.DataFrame([done[name].scatter(others, rest[name]) for name in ("tidied", "ok")])
    values = done.select(pl.when("ok").then(way.value(pl.col("tidied"))))
    return done["ok"], values.to_series()


class _Counters:
    """Counts of all blocks so far."""

    def __init__(self, fields: int) -> None:
        self.rows = 0
        self.bytes_read = 0
        self.mismatches = 0
        self.accepted_values = [0] * fields
        self.read_values = [0] * fields
        self.rejected: Counter[str] = Counter()
        self.invalid: Counter[tuple[str, str]] = Counter()
        self.unusable: Counter[tuple[str, str]] = Counter()
        self.files: set[str] = set()
        self.ignored: tuple[str, ...] = ()

    def add(self, taken: _BlockResult) -> None:
        self.rows += taken.rows
        self.bytes_read += taken.bytes_read
        self.accepted_values = [
            a + b for a, b in zip(self.accepted_values, taken.accepted_values, strict=True)
        ]
        self.read_values = [a + b for a, b in zip(self.read_values, taken.read_values, strict=True)]
        self.rejected.update(taken.rejected)
        self.invalid.update(taken.invalid)
        self.unusable.update(taken.unusable)
        self.files.add(taken.file)
        self.mismatches += taken.mismatches


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (name, reason), count in sorted(counts.items()):
        nested.setdefault(name, {})[reason] = count
    return nested


class _RejectLines:
    """Lines of the list of rejects that come of one block.

    Thousands of a block may be refused, mostly for one of a few texts. This is work of Python, for which all threads
    wait: so it is done for many lines at once, and once per text.
    """

    def __init__(self, rows: RowBatch) -> None:
        self._file = rows.file
        self._lines: list[tuple[str, int, str, str, str, str]] = []
        self.mismatches = 0

    @property
    def count(self) -> int:
        return len(self._lines)

    def add_rows(self, numbers: Iterable[int], reason: RejectReason) -> None:
        """Add rows that are rejected as a whole."""
        self._lines += [(self._file, number, "", "row", reason.value, "") for number in numbers]

    def add_fields(
        self, numbers: pl.Series, each: _Field, outcome: str, codes: pl.Series, texts: pl.Series
    ) -> Counter[tuple[str, str]]:
        """Add values that are refused; gives their counts by field and reason.

        :param numbers: of the rows.
        :param outcome: ``row`` or ``field``.
        :param codes: of the reasons.
        :param texts: what is refused.
        """
        reasons = [_REASON_NAMES[code] for code in codes.to_list()]
        shown = texts.to_list()
        samples = {text: mask_value(each.identifier, text) for text in set(shown)}
        self._lines += zip(
            repeat(self._file),
            numbers.to_list(),
            repeat(each.name),
            repeat(outcome),
            reasons,
            map(samples.__getitem__, shown),
            strict=False,  # some of them repeat without end
        )
        counts = Counter(reasons)
        self.mismatches += sum(counts[reason.value] for reason in _MISMATCHES)
        return Counter({(each.name, reason): count for reason, count in counts.items()})

    def text(self) -> str:
        """In the order of the source."""
        lines = sorted(self._lines, key=operator.itemgetter(1))
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(lines)
        return out.getvalue()
