"""A list as it was sent, kept to compare the next one with.

A snapshot is a Parquet file: a column per identifier, under its name, in the order of the vendor's file. Where the
vendor gets hashes the column holds their 32 bytes, and no raw value is in the snapshot; where it gets values as they
are the column holds those as text, so such a snapshot is as much personal data as the list. Null is what was not sent.
Rows are in the order in which they were sent.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl
import polars_hash as plh
from polars.io.plugins import register_io_source

from audience_onboarding.crm.output.crm_file import CrmFile
from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool
from audience_onboarding.crm.snapshots.subjects import SubjectHashes
from audience_onboarding.exceptions import (
    AccountingError,
    AudienceOnboardingError,
    ConfigurationError,
    SourceFormatError,
    SourceNotFoundError,
    TerminalError,
)

VERSION = 1
"""Of what a snapshot looks like. Raise it when older ones cannot be compared with any more."""

DIGEST_BYTES = 32

_METADATA = "audience_onboarding.snapshot"
_ROWS_AT_ONCE = 100_000
_TYPES: Mapping[str, pl.DataType] = {"sha256": pl.Binary(), "raw": pl.String()}
_START_ANEW = (
    "Load the list once with mode replace: it needs no snapshot, and leaves one that fits the definition"
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class SnapshotInfo:
    """What a snapshot says of itself.

    :param version: of the form, :data:`VERSION` when it was written.
    :param transforms: by the name of each identifier, in the order of the columns, ``sha256`` or ``raw``.
    :param rows: number of rows.
    :param content_id: of the file whose rows these are; empty where people were taken out since.
    """

    version: int
    transforms: Mapping[str, str]
    rows: int
    content_id: str


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was looked at, and fits.

    :param path: the file.
    :param layout: of its rows: values are final, so nothing is hashed again.
    :param info: what it says of itself.
    """

    path: Path
    encoder: CsvEncoder
    info: SnapshotInfo

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.info.rows

    def frames(self, pool: OrderedThreadPool) -> Iterator[pl.DataFrame]:
        """The rows as text, hashes in lower case.

        :raises SourceFormatError: it is damaged.
        """
        yield from pool.map(self._frame, range(0, self.rows, _ROWS_AT_ONCE))

    def _frame(self, start: int) -> pl.DataFrame:
        frame = _reading(
            self.path,
            lambda: _scan(self.path).select(self.encoder.names).slice(start, _ROWS_AT_ONCE).collect(),
        )
        if frame.height != min(_ROWS_AT_ONCE, self.rows - start):
            raise _broken(self.path, "it has other rows than it had before")
        hashed = [name for name, dtype in frame.schema.items() if dtype == pl.Binary]
        for name in hashed:
            if not frame.select((pl.col(name).bin.size() == DIGEST_BYTES).all()).item():
                raise _broken(self.path, f"column {name} holds what is no hash")
        return frame.with_columns(pl.col(name).bin.encode("hex") for name in hashed)


def final_encoder(encoder: CsvEncoder) -> CsvEncoder:
    """The layout of values that are as they are sent: hashes where hashes are sent."""
    return replace(
        encoder,
        hashed_already=frozenset(
            column.identifier for column in encoder.columns if column.transform == "sha256"
        ),
    )


def write_snapshot(file: CrmFile, path: Path) -> None:
    """Keep the rows of a file, in a Parquet file of mode 0600.

    Rows pass through, a few blocks at a time. The file appears under its name when it is complete; its directory
    should be a private one, as what a process that is killed leaves there is half a snapshot.

    :param file: what is sent.
    :param path: is overwritten.
    :raises TerminalError: it cannot be written.
    """
    hashed = [name for name, transform in _transforms(file.encoder).items() if transform == "sha256"]

    def frames() -> Iterator[pl.DataFrame]:
        for frame in file.frames():
            yield file.encoder.hashed(frame).with_columns(pl.col(name).str.decode("hex") for name in hashed)

    info = SnapshotInfo(VERSION, _transforms(file.encoder), file.rows, file.content_id)
    _write(frames, info, path)


def _write(rows: Callable[[], Iterator[pl.DataFrame]], info: SnapshotInfo, path: Path) -> None:
    failed: list[AudienceOnboardingError] = []

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, count: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        del predicate, count, size  # nothing is filtered below
        try:
            for made in rows():
                yield made if columns is None else made.select(columns)
        except AudienceOnboardingError as error:
            failed.append(error)
            raise

    schema = {name: _TYPES[transform] for name, transform in info.transforms.items()}
    problem = ""
    try:
        with _new_file(path) as unfinished:
            # Opened here: where the rows fail at once, Polars' own threads were seen to open the name later, when the
            # file was removed already.
            with unfinished.open("wb") as opened:
                register_io_source(frames, schema=schema).sink_parquet(
                    opened,
                    compression="zstd",
                    row_group_size=_ROWS_AT_ONCE,
                    statistics=False,
                    metadata={_METADATA: _description(info)},
                )
            height = _height(unfinished)
            if height != info.rows:
                raise AccountingError(
                    what="the snapshot has other rows than the file",
                    where=str(path),
                    why=f"{height} of {info.rows}",
                    next_step="It was not kept. This is a bug of the CRM engine: please report it",
                )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        problem = type(error).__name__
    if failed:
        raise failed[0]
    if problem:
        raise TerminalError(
            what="the snapshot cannot be written",
            where=str(path),
            why=f"it raised {problem}; the text is withheld because it may quote rows",
            next_step="Check that there is room for it, and that it may be written there",
        )


def count_matching_rows(path: Path, people: SubjectHashes) -> int:
    """How many rows of a snapshot hold one of the hashes of ``people``.

    What a snapshot holds as it is, is hashed for this, in memory.

    :raises SourceNotFoundError: it is not there.
    :raises SourceFormatError: it is damaged.
    :raises ConfigurationError: it is of another version.
    """
    info = read_info(path)
    return sum(int(is_one.sum()) for _, is_one in _judged(path, info, people))


def write_without_subjects(path: Path, people: SubjectHashes, to: Path) -> tuple[int, int]:
    """Write a snapshot anew, without the rows that hold one of the hashes of ``people``.

    :param path: the snapshot, which stays as it is.
    :param to: is overwritten; nothing is written where nobody is to be taken out.
    :return: number of rows before and after. Errors: see :func:`count_matching_rows` and :func:`write_snapshot`.
    """
    info = read_info(path)
    left = info.rows - count_matching_rows(path, people)
    if left == info.rows:
        return left, left

    def frames() -> Iterator[pl.DataFrame]:
        for frame, is_one in _judged(path, info, people):
            yield frame.filter(~is_one)

    # It is not the content of any file that was sent.
    _write(frames, replace(info, rows=left, content_id=""), to)
    return info.rows, left


def csv_without_subjects(path: Path, people: SubjectHashes, encoder: CsvEncoder) -> Iterator[bytes]:
    """The lines of the vendor's file that a snapshot would make without ``people``, header first, in pieces.

    :param layout: of the file; the snapshot has to fit it.
    """
    snapshot = open_snapshot(path, encoder)
    yield snapshot.encoder.header()
    hashed = [column.identifier.value for column in encoder.columns if column.transform == "sha256"]
    for frame, is_one in _judged(path, snapshot.info, people):
        left = frame.filter(~is_one).with_columns(pl.col(name).bin.encode("hex") for name in hashed)
        yield from snapshot.encoder.lines(left)


def _judged(
    path: Path, info: SnapshotInfo, people: SubjectHashes
) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Blocks of rows as they are stored, and which of them hold one of the hashes."""
    tests = []
    for name, transform in info.transforms.items():
        wanted = sorted(people.of(name))
        if not wanted:
            continue
        if transform == "sha256":
            stored = pl.Series([bytes.fromhex(value) for value in wanted], dtype=pl.Binary)
            tests.append(pl.col(name).is_in(stored.implode()))
        else:
            tests.append(plh.col(name).chash.sha2_256().is_in(wanted))
    for start in range(0, info.rows, _ROWS_AT_ONCE):
        frame = _reading(path, partial(_block, path, list(info.transforms), start))
        if tests:
            is_one = frame.select(pl.any_horizontal(each.fill_null(value=False) for each in tests))
            yield frame, is_one.to_series()
        else:
            yield frame, pl.repeat(value=False, n=frame.height, eager=True)


def _block(path: Path, names: list[str], start: int) -> pl.DataFrame:
    return _scan(path).select(names).slice(start, _ROWS_AT_ONCE).collect()


def read_info(path: Path) -> SnapshotInfo:
    """What a snapshot says of itself.

    :raises SourceNotFoundError: it is not there.
    :raises SourceFormatError: it is no snapshot, or a damaged one.
    :raises ConfigurationError: it is of another version.
    """
    if not path.is_file():
        raise SourceNotFoundError(
            what="the snapshot of the last load is not there",
            where=str(path),
            next_step=f"Bring it back from a backup. {_START_ANEW}",
        )
    info = _info(path)
    if info is None:
        raise _broken(path, "it lacks the description that a snapshot has")
    if info.version != VERSION:
        raise ConfigurationError(
            what="the snapshot is of another version",
            where=str(path),
            why=f"it is of version {info.version}, this is version {VERSION}",
            next_step=_START_ANEW,
        )
    schema = _reading(path, lambda: _scan(path).collect_schema())
    if dict(schema) != {name: _TYPES.get(transform) for name, transform in info.transforms.items()}:
        raise _broken(path, "its columns are not those that it describes")
    if _height(path) != info.rows:
        raise _broken(path, "it has not as many rows as it says")
    return info


def open_snapshot(path: Path, encoder: CsvEncoder) -> Snapshot:
    """A snapshot to compare a list with.

    :param layout: of that list.
    :raises SourceNotFoundError: it is not there.
    :raises SourceFormatError: it is no snapshot, or a damaged one.
    :raises ConfigurationError: it has other identifiers, or has them hashed where they are sent as they are.
    """
    info = read_info(path)
    now = _transforms(encoder)
    if dict(info.transforms) != now:
        # Comparing what both have would be wrong: a row has changed when it has got a phone number.
        raise ConfigurationError(
            what="the snapshot of the last load does not fit the definition",
            where=str(path),
            why=f"it holds {_listed(info.transforms)}; the definition now sends {_listed(now)}",
            next_step=_START_ANEW,
        )
    return Snapshot(path, final_encoder(encoder), info)


def _transforms(encoder: CsvEncoder) -> dict[str, str]:
    return {column.identifier.value: column.transform for column in encoder.columns}


def _listed(transforms: Mapping[str, str]) -> str:
    kinds = {"sha256": "hashed", "raw": "as it is"}
    return ", ".join(f"{name} ({kinds.get(kind, 'in another way')})" for name, kind in transforms.items())


def _description(info: SnapshotInfo) -> str:
    return json.dumps(
        {
            "version": info.version,
            "transforms": dict(info.transforms),
            "rows": info.rows,
            "content_id": info.content_id,
        }
    )


def _info(path: Path) -> SnapshotInfo | None:
    """What a Parquet file says of itself as a snapshot; ``None`` where it is no snapshot."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        told = json.loads(_reading(path, lambda: _metadata(path))[_METADATA])
        return SnapshotInfo(
            int(told["version"]),
            {str(name): str(transform) for name, transform in told["transforms"].items()},
            int(told["rows"]),
            str(told["content_id"]),
        )
    return None


def _metadata(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        return pl.read_parquet_metadata(stream)


def _scan(path: Path) -> pl.LazyFrame:
    # A path is a path here, whatever characters are in it.
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def _height(path: Path) -> int:
    return _reading(path, lambda: int(_scan(path).select(pl.len()).collect().item()))


def _reading(path: Path, read: Callable[[], Result]) -> Result:
    try:
        return read()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        pass
    # Out here, as Polars may quote values.
    raise _broken(path, "it is damaged, cut off, or no Parquet file")


def _broken(path: Path, why: str) -> SourceFormatError:
    return SourceFormatError(
        what="the snapshot of the last load cannot be used",
        where=str(path),
        why=why,
        next_step=f"Bring it back from a backup. {_START_ANEW}",
    )


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """An empty file of mode 0600, that takes its name when all went well and is removed otherwise."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
