"""Source rows in, the vendor's CSV out, every row accounted for.

DuckDB does the work in columns: rows are read, plain values normalised and hashed in one pass, and only what
has to be looked at by the reference functions is kept raw. Those values are taken once each, through
:mod:`audience_onboarding.crm.normalize`, and joined back. Duplicates fall away over the whole file, the first
row in file order stays, and the order of the file is kept, so the same input gives the same bytes however
many threads ran.

Memory is bounded by DuckDB's limit; what does not fit goes to a private directory (mode 0700) that is removed
when the context ends, however it ends. No message of DuckDB or the standard library is passed on or chained,
because they quote the data.
"""

# ruff: noqa: S608 - all SQL is built from constants and positions; paths and delimiters are quoted literals

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from audience_onboarding.crm import fast_path
from audience_onboarding.crm.csv_source import (
    MAX_RECORD,
    CsvSource,
    CsvText,
    find_columns,
    open_csv,
    rewrite,
    scan,
)
from audience_onboarding.crm.normalize import Rejected, normalize_email, normalize_phone, sha256_hex
from audience_onboarding.crm.private_directory import private_directory
from audience_onboarding.crm.profiles import FileProfile, Identifier, ProfileColumn
from audience_onboarding.crm.reasons import Reason
from audience_onboarding.crm.report import LoadReport
from audience_onboarding.errors import (
    AccountingError,
    ConfigurationError,
    EmptySourceError,
    TerminalError,
)

__all__ = ["CsvSource", "FilePart", "PreparedLoad", "prepare"]

_MIN_MEMORY_MIB = 128
_INTERRUPT_SECONDS = 0.05
_MIB_PER_THREAD = 128
_REFERENCE_BATCH = 10_000
_OUTPUT_BATCH = 50_000
_OK, _PENDING = 0, 255
_Reference = Callable[[str], str | Rejected]
_MakeFastPath = Callable[[str, str], fast_path.FastPath | None]
_CODES = {reason: number for number, reason in enumerate(Reason, start=1)}
_REASONS = {number: reason for reason, number in _CODES.items()}


class _DatabaseError(TerminalError):
    """DuckDB failed."""


@dataclass(frozen=True)
class FilePart:
    """A part of a load that is a file of its own.

    :param number: counts from 1.
    :param rows: without the header.
    :param body: header line and rows.
    """

    number: int
    rows: int
    body: bytes = field(repr=False)


class PreparedLoad:
    """One load, ready to be sent. Usable inside the ``with`` block of :func:`prepare` only.

    :ivar report: the counts.
    :ivar content_sha256: hexadecimal SHA-256 of exactly the bytes that :meth:`chunks` gives.
    :ivar size: number of those bytes.
    """

    report: LoadReport
    content_sha256: str
    size: int

    def __init__(self, work: _Work, report: LoadReport) -> None:
        self._work = work
        self.report = report
        digest = hashlib.sha256()
        self.size = 0
        for block in work.output():
            digest.update(block)
            self.size += len(block)
        self.content_sha256 = digest.hexdigest()

    def __repr__(self) -> str:
        return f"PreparedLoad(rows_sent={self.report.rows_sent}, content_sha256={self.content_sha256!r})"

    def chunks(self, size: int) -> Iterator[bytes]:
        """The file: header line and rows. Gives the same bytes each time.

        :param size: bytes of each chunk but the last, which may be shorter.
        """
        if size < 1:
            raise ValueError("size must be at least 1 byte")
        buffer = bytearray()
        for block in self._work.output():
            buffer += block
            while len(buffer) >= size:
                yield bytes(buffer[:size])
                del buffer[:size]
        if buffer:
            yield bytes(buffer)

    def parts(self, *, max_rows: int, max_bytes: int) -> Iterator[FilePart]:
        """The rows in order, as several files, each with a header. Gives the same parts each time.

        :param max_rows: of a part, the header not counted.
        :param max_bytes: of a part, the header included; a single row that is larger still is a part.
        """
        if max_rows < 1 or max_bytes < 1:
            raise ValueError("a part needs room for a row")
        header = self._work.header()
        rows: list[bytes] = []
        size, number = len(header), 1
        for row in self._work.rows():
            if rows and (len(rows) == max_rows or size + len(row) > max_bytes):
                yield FilePart(number, len(rows), header + b"".join(rows))
                rows, size, number = [], len(header), number + 1
            rows.append(row)
            size += len(row)
        yield FilePart(number, len(rows), header + b"".join(rows))


@contextmanager
def prepare(
    source: CsvSource,
    *,
    columns: Mapping[Identifier, str],
    profile: FileProfile,
    country: str = "NL",
    memory_limit_mib: int = 1024,
    threads: int | None = None,
    spill_dir: Path | None = None,
) -> Iterator[PreparedLoad]:
    """Read, normalise, validate, hash and dedupe a list.

    :param source: the list.
    :param columns: by identifier, the name of the source's column that holds it.
    :param profile: what the file to send looks like.
    :param country: ISO 3166-1 alpha-2 code of phone numbers without country code.
    :param memory_limit_mib: memory in MiB that DuckDB may use before it spills to disk, at least 128.
    :param threads: number of threads; by default the cores at hand, as far as the memory goes.
    :param spill_dir: where to make the private directory; the system's temporary directory by default.
    :raises SourceNotFoundError: the file is not there.
    :raises SourceFormatError: the file is not text in its encoding, or a quote is never closed.
    :raises MissingColumnError: a column is missing or ambiguous.
    :raises EmptySourceError: no row, or no row that can be sent.
    :raises ConfigurationError: arguments that do not fit together.
    :raises AccountingError: rows got lost: a bug, nothing is handed out.
    """
    rules = _rules(columns, profile, country)
    if memory_limit_mib < _MIN_MEMORY_MIB:
        raise ConfigurationError(what=f"the CRM engine needs at least {_MIN_MEMORY_MIB} MiB of memory")
    if threads is not None and threads < 1:
        raise ConfigurationError(what="the CRM engine needs at least one thread")
    with private_directory(spill_dir) as workdir:
        work = _Work(source, rules, profile, workdir)
        try:
            work.open(memory_limit_mib, threads or _default_threads(memory_limit_mib))
            yield PreparedLoad(work, work.run())
        finally:
            work.close()


def _default_threads(memory_limit_mib: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, memory_limit_mib // _MIB_PER_THREAD))


@dataclass(frozen=True)
class _Rule:
    """How one column of the file comes about."""

    column: ProfileColumn
    wanted: str
    reference: _Reference
    fast: _MakeFastPath

    @property
    def key(self) -> str:
        return self.column.identifier.value

    @property
    def hashed(self) -> bool:
        return self.column.transform == "sha256"


def _rules(columns: Mapping[Identifier, str], profile: FileProfile, country: str) -> list[_Rule]:
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
    made: dict[Identifier, tuple[_Reference, _MakeFastPath]] = {
        Identifier.EMAIL: (
            partial(normalize_email, strip_plus_tag=profile.strip_plus_tag),
            partial(fast_path.email, strip_plus_tag=profile.strip_plus_tag),
        ),
        Identifier.PHONE: (
            partial(normalize_phone, country=country),
            partial(fast_path.phone, country=country),
        ),
    }
    return [
        _Rule(column, columns[column.identifier], *made[column.identifier])
        for column in profile.columns
        if column.identifier in columns
    ]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _Work:
    """One load's database. Tables: ``staged`` (a row per source row), ``known_<identifier>`` and ``sent``."""

    def __init__(
        self, source: CsvSource, rules: Sequence[_Rule], profile: FileProfile, workdir: Path
    ) -> None:
        self._source = source
        self._rules = rules
        self._profile = profile
        self._workdir = workdir
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="crm-engine")
        self._rows_sent = 0

    # --- the database

    def open(self, memory_limit_mib: int, threads: int) -> None:
        text = open_csv(self._source, self._workdir)
        if text is None:
            raise self._empty("it has no line")
        self._text: CsvText = text
        self._positions = find_columns(text, [rule.wanted for rule in self._rules])
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "threads": str(threads),
                "memory_limit": f"{memory_limit_mib}MiB",
                "temp_directory": str(self._workdir / "spill"),
                "preserve_insertion_order": "true",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
        allowed = ", ".join(_literal(str(path)) for path in (text.path, self._workdir / "rows.csv"))
        self._run(f"SET allowed_paths = [{allowed}]")
        self._run("SET enable_external_access = false")
        self._run("SET lock_configuration = true")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._thread.shutdown()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise RuntimeError("the load is closed: use it inside the with block of prepare()")
        return self._connection.cursor()

    def _run(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        cursor = self._cursor()
        return self._guarded(cursor, lambda: cursor.execute(sql, parameters).fetchall())

    def _guarded(
        self, cursor: duckdb.DuckDBPyConnection, action: Callable[[], list[tuple[Any, ...]]]
    ) -> list[tuple[Any, ...]]:
        """Do something with a cursor, without its error texts, and so that a signal can end it at once."""
        # In the main thread DuckDB would notice a signal late and lose the exception that its handler raised.
        future = self._thread.submit(action)
        try:
            return future.result()
        except duckdb.Error as error:
            failure = type(error)
        except BaseException:
            # Again and again, because an interrupt is forgotten where the query is just about to start.
            while not future.cancel() and not future.done():
                cursor.interrupt()
                wait([future], timeout=_INTERRUPT_SECONDS)
            raise
        # Out here, so that DuckDB's error, which may quote rows, is not even the context of ours.
        if issubclass(failure, duckdb.OutOfMemoryException):
            raise ConfigurationError(
                what="the CRM engine ran out of memory or of room to spill",
                where=self._source.name,
                next_step="Raise the memory limit, lower the threads, or give the spill directory more room",
            )
        raise _DatabaseError(
            what="the CRM engine failed",
            where=self._source.name,
            why=f"DuckDB raised {failure.__name__}; its text is withheld because it may quote rows",
            next_step="Check the free space of the spill directory; if that is fine, please report it",
        )

    def _empty(self, why: str) -> EmptySourceError:
        return EmptySourceError(
            what="the CRM file holds nothing to send",
            where=self._source.name,
            why=why,
            next_step="Check the export of this date; nothing was sent",
        )

    # --- the steps

    def run(self) -> LoadReport:
        rows, malformed = self._stage()
        if not rows + malformed:
            raise self._empty("it has a header row only")
        for rule in self._rules:
            self._resolve(rule)
        report = self._dedupe(malformed)
        if report.rows_read != rows + malformed:
            raise AccountingError(
                what="rows of the CRM file got lost",
                where=self._source.name,
                why=f"{report.rows_read} of {rows + malformed}",
                next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
            )
        if not report.rows_sent:
            reasons = ", ".join(f"{reason} {count}" for reason, count in report.rejected_by_reason.items())
            raise self._empty(f"all {report.rows_read} rows were rejected: {reasons}")
        return report

    def _stage(self) -> tuple[int, int]:
        """Fill ``staged``; return the numbers of good and of malformed rows."""
        counted = scan(self._text)
        if counted is not None:
            width = len(self._text.header)
            relation = self._read_csv(
                self._text.path,
                delimiter=self._source.delimiter,
                quote=self._source.quote,
                names=[
                    f"v_{self._positions.index(index)}" if index in self._positions else f"skipped_{index}"
                    for index in range(width)
                ],
                header=True,
                # Within quoted line ends a reader that starts in the middle has to guess where a row starts.
                parallel=not counted.quoted_newlines,
            )
            inputs = [f"v_{self._positions.index(position)}" for position in self._positions]
            try:
                staged = self._create_staged(relation, inputs)
            except _DatabaseError:
                staged = -1  # DuckDB stumbled over the file: the exact reader decides what is wrong with it
            if staged == counted.rows:
                return counted.rows, 0
        rewritten = rewrite(self._text, self._positions, self._workdir)
        names = [f"v_{index}" for index in range(len(self._rules))]
        relation = self._read_csv(
            rewritten.path,
            delimiter=",",
            quote='"',
            names=names,
            header=False,
            parallel=True,
        )
        staged = self._create_staged(relation, names)
        if staged != rewritten.rows:
            raise AccountingError(
                what="rows of the CRM file got lost while reading",
                where=self._source.name,
                why=f"{staged} of {rewritten.rows}",
                next_step="Nothing was sent. This is a bug of the CRM engine: please report it",
            )
        return rewritten.rows, rewritten.malformed

    @staticmethod
    def _read_csv(
        path: Path,
        *,
        delimiter: str,
        quote: str,
        names: Sequence[str],
        header: bool,
        parallel: bool,
    ) -> str:
        columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in names)
        return (
            f"read_csv({_literal(str(path))}, auto_detect = false, columns = {{{columns}}},"
            f" header = {str(header).lower()}, delim = {_literal(delimiter)}, quote = {_literal(quote)},"
            f" escape = {_literal(quote)}, strict_mode = true, null_padding = false, compression = 'none',"
            f" max_line_size = {MAX_RECORD}, ignore_errors = false, parallel = {str(parallel).lower()},"
            " hive_partitioning = false)"
        )

    def _create_staged(self, relation: str, inputs: Sequence[str]) -> int:
        """One pass over the file: per identifier its value, its reason, and the raw field where that is pending."""
        fields, tidied, reasons, outputs = [], [], [], []
        for number, (rule, name) in enumerate(zip(self._rules, inputs, strict=True)):
            field, tidy, reason = f"field_{number}", f"tidied_{number}", f"reason_{number}"
            fast = rule.fast(field, tidy) or fast_path.FastPath(tidied=field, accept="false", value=tidy)
            fields.append(f"coalesce({name}, '') AS {field}")
            tidied.append(f"{fast.tidied} AS {tidy}")
            reasons.append(
                f"CASE WHEN {fast.accept} THEN {_OK} WHEN trim({field}) = '' THEN {_CODES[Reason.EMPTY]}"
                f" WHEN regexp_full_match(trim({field}), '[0-9A-Fa-f]{{64}}')"
                f" THEN {_CODES[Reason.ALREADY_HASHED]}"
                f" ELSE {_PENDING} END::UTINYINT AS {reason}"
            )
            value = f"unhex(sha256({fast.value}))" if rule.hashed else fast.value
            outputs += [
                reason,
                f"CASE WHEN {reason} = {_OK} THEN {value} END AS value_{number}",
                f"CASE WHEN {reason} = {_PENDING} THEN {field} END AS raw_{number}",
            ]
        # Nested, so that each expression is computed once. Projections only: with nothing else above the reader,
        # DuckDB keeps the order of the file, so that row ids of ``staged`` are positions.
        query = f"SELECT {', '.join(fields)} FROM {relation}"
        query = f"SELECT *, {', '.join(tidied)} FROM ({query})"
        query = f"SELECT *, {', '.join(reasons)} FROM ({query})"
        query = f"SELECT {', '.join(outputs)} FROM ({query})"
        self._run("DROP TABLE IF EXISTS staged")
        self._run(f"CREATE TABLE staged AS {query}")
        return int(self._run("SELECT count(*) FROM staged")[0][0])

    def _resolve(self, rule: _Rule) -> None:
        """Take each pending value once through the reference."""
        number = self._rules.index(rule)
        kind = "BLOB" if rule.hashed else "VARCHAR"
        self._run(f"CREATE TABLE known_{number} (raw VARCHAR, reason UTINYINT, value {kind})")
        pending = self._cursor()
        select = f"SELECT DISTINCT raw_{number} FROM staged WHERE raw_{number} IS NOT NULL"
        self._guarded(pending, lambda: pending.execute(select).fetchmany(0))
        converted = "unhex(unnest($3::VARCHAR[]))" if rule.hashed else "unnest($3::VARCHAR[])"
        insert = (
            f"INSERT INTO known_{number} SELECT unnest($1::VARCHAR[]), unnest($2::UTINYINT[]), {converted}"
        )
        while batch := self._guarded(pending, lambda: pending.fetchmany(_REFERENCE_BATCH)):
            raws = [raw for (raw,) in batch]
            answers = [rule.reference(raw) for raw in raws]
            codes = [_CODES[answer.reason] if isinstance(answer, Rejected) else _OK for answer in answers]
            values = [
                None if isinstance(answer, Rejected) else sha256_hex(answer) if rule.hashed else answer
                for answer in answers
            ]
            self._run(insert, [raws, codes, values])

    def _resolved(self) -> str:
        """A row per row of ``staged``: ``n`` its position, and per identifier ``reason_i`` and
        ``value_i``."""
        selected = ["staged.rowid AS n"]
        joins = []
        for number in range(len(self._rules)):
            selected += [
                f"coalesce(known_{number}.reason, staged.reason_{number}) AS reason_{number}",
                f"coalesce(known_{number}.value, staged.value_{number}) AS value_{number}",
            ]
            joins.append(f"LEFT JOIN known_{number} ON staged.raw_{number} = known_{number}.raw")
        return f"(SELECT {', '.join(selected)} FROM staged {' '.join(joins)})"

    def _dedupe(self, malformed: int) -> LoadReport:
        """Fill ``sent`` in the order of the file and count everything."""
        numbers = range(len(self._rules))
        good = " OR ".join(f"reason_{number} = {_OK}" for number in numbers)
        reason = " ".join(
            f"WHEN reason_{number} <> {_CODES[Reason.EMPTY]} THEN reason_{number}" for number in numbers
        )
        values = ", ".join(f"value_{number}" for number in numbers)
        self._run(f"CREATE VIEW resolved AS SELECT * FROM {self._resolved()}")
        accepted = 0
        rejected: dict[str, int] = {Reason.MALFORMED_ROW.value: malformed} if malformed else {}
        for is_good, code, count in self._run(
            f"SELECT {good} AS good, CASE WHEN {good} THEN {_OK} {reason}"
            f" ELSE {_CODES[Reason.NO_IDENTIFIER]} END AS code, count(*) FROM resolved GROUP BY ALL"
        ):
            if is_good:
                accepted += count
            else:
                rejected[_REASONS[code].value] = count
        self._run(
            f"CREATE TABLE sent AS SELECT {values}, min(n) AS n FROM resolved WHERE {good}"
            f" GROUP BY {values} ORDER BY n"
        )
        counts = self._run(
            f"SELECT count(*), {', '.join(f'count(value_{number})' for number in numbers)} FROM sent"
        )[0]
        self._rows_sent = counts[0]
        total_rejected = sum(rejected.values())
        return LoadReport(
            rows_read=accepted + total_rejected,
            rows_sent=counts[0],
            duplicates=accepted - counts[0],
            rejected=total_rejected,
            rejected_by_reason=dict(sorted(rejected.items())),
            invalid_values={
                rule.key: bad
                for number, rule in enumerate(self._rules)
                if (bad := self._invalid_values(number))
            },
            values_sent={rule.key: count for rule, count in zip(self._rules, counts[1:], strict=True)},
        )

    def _invalid_values(self, number: int) -> dict[str, int]:
        found = self._run(
            f"SELECT reason_{number}, count(*) FROM resolved"
            f" WHERE reason_{number} NOT IN ({_OK}, {_CODES[Reason.EMPTY]})"
            " AND n IN (SELECT n FROM sent) GROUP BY ALL"
        )
        return dict(sorted((_REASONS[code].value, count) for code, count in found))

    # --- the file

    def header(self) -> bytes:
        """The header line."""
        line = self._profile.delimiter.join(
            _quoted(rule.column.header, self._profile) for rule in self._rules
        )
        return (line + self._profile.line_ending).encode(self._profile.encoding)

    def output(self) -> Iterator[bytes]:
        """The bytes of the file in blocks of some MiB."""
        yield self.header()
        for batch in self._batches():
            # One string per block: no Python object per row.
            rows = self._run(f"SELECT string_agg({self._line()}, '' ORDER BY rowid) FROM sent WHERE {batch}")
            yield str(rows[0][0]).encode(self._profile.encoding)

    def rows(self) -> Iterator[bytes]:
        """The lines of the file, one by one, without the header."""
        for batch in self._batches():
            for (line,) in self._run(f"SELECT {self._line()} FROM sent WHERE {batch} ORDER BY rowid"):
                yield str(line).encode(self._profile.encoding)

    def _batches(self) -> Iterator[str]:
        """Conditions that go through ``sent``, whose row ids are the order of the file."""
        for start in range(0, self._rows_sent, _OUTPUT_BATCH):
            yield f"rowid >= {start} AND rowid < {start + _OUTPUT_BATCH}"

    def _line(self) -> str:
        fields = f" || {_literal(self._profile.delimiter)} || ".join(
            self._field(rule, number) for number, rule in enumerate(self._rules)
        )
        return " || ".join([fields, *(f"chr({ord(char)})" for char in self._profile.line_ending)])

    def _field(self, rule: _Rule, number: int) -> str:
        if rule.hashed:
            value = f"hex(value_{number})"
            return f"coalesce({value if self._profile.hash_case == 'upper' else f'lower({value})'}, '')"
        prefix = _literal(rule.column.prefix)
        special = " OR ".join(
            f"contains(value_{number}, {text})"
            for text in (_literal(self._profile.delimiter), "'\"'", "chr(10)", "chr(13)")
        )
        return (
            f"CASE WHEN value_{number} IS NULL THEN '' WHEN {special}"
            f" THEN '\"' || {prefix} || replace(value_{number}, '\"', '\"\"') || '\"'"
            f" ELSE {prefix} || value_{number} END"
        )


def _quoted(text: str, profile: FileProfile) -> str:
    if any(char in text for char in (profile.delimiter, '"', "\r", "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text
