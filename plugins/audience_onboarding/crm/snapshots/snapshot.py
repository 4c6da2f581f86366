"""Snapshot of a sent list, with which the next list is compared.

A snapshot is a Parquet file with a column per identifier, under its name, in the order of the vendor's file. Columns
that are sent hashed hold the 32 bytes of the hash, and no unhashed value. Columns that are sent unhashed hold the text:
such a snapshot is as much personal data as the list. Null is a value that was not sent. Rows are in the order of the
file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import polars as pl
import polars_hash as plh
from polars.io.plugins import register_io_source

from audience_onboarding.crm.output.crm_file import CrmFile
from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.runtime.frame_store import POLARS_ERRORS
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
"""Version of the format. Raise it when older snapshots can no longer be compared."""

DIGEST_BYTES = 32

_METADATA = "audience_onboarding.snapshot"
_ROWS_PER_BLOCK = 100_000
_TYPES: Mapping[str, pl.DataType] = {"sha256": pl.Binary(), "raw": pl.String()}
_RECREATE_HINT = (
    "Load the list once with mode replace: it needs no snapshot, and writes one that fits the definition"
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class SnapshotInfo:
    """Metadata of a snapshot.

    :param version: of the format, :data:`VERSION` when it was written.
    :param transforms: by the name of each identifier, in the order of the columns, ``sha256`` or ``raw``.
    :param rows: number of rows.
    :param content_id: of the file with these rows; empty if people were erased since.
    """

    version: int
    transforms: Mapping[str, str]
    rows: int
    content_id: str


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that fits a list.

    :param path: the file.
    :param encoder: of its rows: hashed values are not hashed again.
    :param info: its metadata.
    """

    path: Path
    encoder: CsvEncoder
    info: SnapshotInfo

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.info.rows

    def frames(self, pool: OrderedThreadPool) -> Iterator[pl.DataFrame]:
        """Return the rows as text, hashes in lower case.

        :raises SourceFormatError: it is damaged.
        """
        return pool.map(self._frame, range(0, self.rows, _ROWS_PER_BLOCK))

    def _frame(self, start: int) -> pl.DataFrame:
        frame = _read_block(self.path, self.encoder.names, start)
        if frame.height != min(_ROWS_PER_BLOCK, self.rows - start):
            raise _broken(self.path, "its number of rows has changed")
        hashed = [name for name, dtype in frame.schema.items() if dtype == pl.Binary]
        for name in hashed:
            if not frame.select((pl.col(name).bin.size() == DIGEST_BYTES).all()).item():
                raise _broken(self.path, f"column {name} has a value that is not a hash")
        return frame.with_columns(pl.col(name).bin.encode("hex") for name in hashed)


def write_snapshot(file: CrmFile, path: Path) -> None:
    """Write the rows of a file, a few blocks at a time, to a Parquet file of mode 0600.

    The file gets its name when it is complete. Its directory should be private, because a killed process leaves an
    incomplete snapshot there.

    :param file: the file that is sent.
    :param path: is overwritten.
    :raises TerminalError: it cannot be written.
    """
    transforms = _get_transforms(file.encoder)
    hashed = _hashed_names(transforms)

    def frames() -> Iterator[pl.DataFrame]:
        for frame in file.frames():
            yield file.encoder.hashed(frame).with_columns(pl.col(name).str.decode("hex") for name in hashed)

    _write(frames, SnapshotInfo(VERSION, transforms, file.rows, file.content_id), path)


def _write(rows: Callable[[], Iterator[pl.DataFrame]], info: SnapshotInfo, path: Path) -> None:
    errors: list[AudienceOnboardingError] = []

    def frames(
        columns: list[str] | None, predicate: pl.Expr | None, count: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        del predicate, count, size  # the sink filters nothing
        try:
            for frame in rows():
                yield frame if columns is None else frame.select(columns)
        except AudienceOnboardingError as error:
            errors.append(error)
            raise

    schema = {name: _TYPES[transform] for name, transform in info.transforms.items()}
    problem = ""
    try:
        with _new_file(path) as unfinished:
            # Opened here: if the rows fail at once, threads of Polars may open the name after the file was removed.
            with unfinished.open("wb") as opened:
                register_io_source(frames, schema=schema).sink_parquet(
                    opened,
                    compression="zstd",
                    row_group_size=_ROWS_PER_BLOCK,
                    statistics=False,
                    metadata={_METADATA: json.dumps(asdict(info))},
                )
            height = _count_rows(unfinished)
            if height != info.rows:
                raise AccountingError(
                    what="The snapshot has another number of rows than the file",
                    where=str(path),
                    why=f"{height} of {info.rows}",
                    next_step="The snapshot was removed. This is a bug of the CRM engine: please report it",
                )
    except (*POLARS_ERRORS, OSError) as error:
        problem = type(error).__name__
    if errors:
        raise errors[0]
    if problem:
        raise TerminalError(
            what="The snapshot cannot be written",
            where=str(path),
            why=f"{problem}; the text is withheld because it may quote rows",
            next_step="Check the free space and the permissions of its directory",
        )


def count_matching_rows(path: Path, subjects: SubjectHashes) -> int:
    """Return how many rows of a snapshot have one of the hashes. Unhashed values are hashed for this, in memory.

    :raises SourceNotFoundError: it does not exist.
    :raises SourceFormatError: it is damaged.
    :raises ConfigurationError: it has another version.
    """
    info = read_info(path)
    return sum(int(matches.sum()) for _, matches in _match_subjects(path, info, subjects))


def write_without_subjects(path: Path, subjects: SubjectHashes, to: Path) -> tuple[int, int]:
    """Write a copy of a snapshot without the rows that have one of the hashes.

    :param path: the snapshot, which does not change.
    :param to: is overwritten; not written if no row matches.
    :return: number of rows before and after. Errors: see :func:`count_matching_rows` and :func:`write_snapshot`.
    """
    info = read_info(path)
    left = info.rows - count_matching_rows(path, subjects)
    if left != info.rows:

        def frames() -> Iterator[pl.DataFrame]:
            for frame, matches in _match_subjects(path, info, subjects):
                yield frame.filter(~matches)

        # No content id: no file with these rows was sent.
        _write(frames, replace(info, rows=left, content_id=""), to)
    return info.rows, left


def csv_without_subjects(path: Path, subjects: SubjectHashes, encoder: CsvEncoder) -> Iterator[bytes]:
    """Return the vendor's file for a snapshot without some people, header first, in pieces.

    :param encoder: of the file; the snapshot must fit it.
    """
    snapshot = open_snapshot(path, encoder)
    yield snapshot.encoder.header()
    hashed = _hashed_names(snapshot.info.transforms)
    for frame, matches in _match_subjects(path, snapshot.info, subjects):
        left = frame.filter(~matches).with_columns(pl.col(name).bin.encode("hex") for name in hashed)
        yield from snapshot.encoder.lines(left)


def _match_subjects(
    path: Path, info: SnapshotInfo, subjects: SubjectHashes
) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Return blocks of stored rows, and which of them have one of the hashes."""
    tests: list[pl.Expr] = []
    for name, transform in info.transforms.items():
        hashes = sorted(subjects.of(name))
        if hashes and transform == "sha256":
            stored = pl.Series([bytes.fromhex(value) for value in hashes], dtype=pl.Binary)
            tests.append(pl.col(name).is_in(stored.implode()))
        elif hashes:
            tests.append(plh.col(name).chash.sha2_256().is_in(hashes))
    for start in range(0, info.rows, _ROWS_PER_BLOCK):
        frame = _read_block(path, list(info.transforms), start)
        if tests:
            matches = frame.select(
                pl.any_horizontal(test.fill_null(value=False) for test in tests)
            ).to_series()
        else:
            matches = pl.repeat(value=False, n=frame.height, eager=True)
        yield frame, matches


def read_info(path: Path) -> SnapshotInfo:
    """Return the metadata of a snapshot.

    :raises SourceNotFoundError: it does not exist.
    :raises SourceFormatError: it is not a snapshot, or damaged.
    :raises ConfigurationError: it has another version.
    """
    if not path.is_file():
        raise SourceNotFoundError(
            what="The snapshot of the last load does not exist",
            where=str(path),
            next_step=f"Restore it from a backup. {_RECREATE_HINT}",
        )
    info = _parse_metadata(path)
    if info is None:
        raise _broken(path, "it has no metadata of a snapshot")
    if info.version != VERSION:
        raise ConfigurationError(
            what="The snapshot has another version",
            where=str(path),
            why=f"it is of version {info.version}, this is version {VERSION}",
            next_step=_RECREATE_HINT,
        )
    schema = _read(path, lambda: _scan(path).collect_schema())
    if dict(schema) != {name: _TYPES.get(transform) for name, transform in info.transforms.items()}:
        raise _broken(path, "its columns differ from its metadata")
    if _count_rows(path) != info.rows:
        raise _broken(path, "its number of rows differs from its metadata")
    return info


def open_snapshot(path: Path, encoder: CsvEncoder) -> Snapshot:
    """Open a snapshot to compare a list with it.

    :param encoder: of that list.
    :raises SourceNotFoundError: it does not exist.
    :raises SourceFormatError: it is not a snapshot, or damaged.
    :raises ConfigurationError: it has other identifiers, or hashes one that the list sends unhashed.
    """
    info = read_info(path)
    current = _get_transforms(encoder)
    if dict(info.transforms) != current:
        # Comparing the common columns would be wrong: a row changes when it gets a phone number.
        raise ConfigurationError(
            what="The snapshot of the last load does not fit the definition",
            where=str(path),
            why=f"it holds {_format_transforms(info.transforms)}; "
            f"the definition now sends {_format_transforms(current)}",
            next_step=_RECREATE_HINT,
        )
    return Snapshot(path, final_encoder(encoder), info)


def final_encoder(encoder: CsvEncoder) -> CsvEncoder:
    """Return the encoder of rows in which values that are sent hashed are hashes already."""
    hashed = (column.identifier for column in encoder.columns if column.transform == "sha256")
    return replace(encoder, hashed_already=frozenset(hashed))


def _get_transforms(encoder: CsvEncoder) -> dict[str, str]:
    return {column.identifier.value: column.transform for column in encoder.columns}


def _hashed_names(transforms: Mapping[str, str]) -> list[str]:
    return [name for name, transform in transforms.items() if transform == "sha256"]


def _format_transforms(transforms: Mapping[str, str]) -> str:
    kinds = {"sha256": "hashed", "raw": "unhashed"}
    return ", ".join(f"{name} ({kinds.get(kind, 'unknown')})" for name, kind in transforms.items())


def _parse_metadata(path: Path) -> SnapshotInfo | None:
    """Return the metadata; ``None`` for a Parquet file that is not a snapshot."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        stored = json.loads(_read(path, lambda: _read_metadata(path))[_METADATA])
        return SnapshotInfo(
            int(stored["version"]),
            {str(name): str(transform) for name, transform in stored["transforms"].items()},
            int(stored["rows"]),
            str(stored["content_id"]),
        )
    return None


def _read_metadata(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        return pl.read_parquet_metadata(stream)


def _scan(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)  # no pattern in any path


def _read_block(path: Path, names: list[str], start: int) -> pl.DataFrame:
    return _read(path, lambda: _scan(path).select(names).slice(start, _ROWS_PER_BLOCK).collect())


def _count_rows(path: Path) -> int:
    return _read(path, lambda: int(_scan(path).select(pl.len()).collect().item()))


def _read(path: Path, read: Callable[[], Result]) -> Result:
    try:
        return read()
    except (*POLARS_ERRORS, OSError):
        pass
    # Outside the handler: Polars may quote values.
    raise _broken(path, "it is damaged, cut off, or not a Parquet file")


def _broken(path: Path, why: str) -> SourceFormatError:
    return SourceFormatError(
        what="The snapshot of the last load cannot be used",
        where=str(path),
        why=why,
        next_step=f"Restore it from a backup. {_RECREATE_HINT}",
    )


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """Create an empty file of mode 0600, rename it to its name on success, and remove it otherwise."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
