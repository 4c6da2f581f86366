"""Reading a source from end to end, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audience_onboarding.crm.sources.base import Source


@dataclass
class Read:
    """Content of a source."""

    rows: list[tuple[str | None, ...]]
    numbers: list[int]
    files: list[str]
    unmapped: int
    heights: list[int]


def read(source: Source, wanted: Sequence[str], workdir: Path) -> Read:
    """Read all of it."""
    result = Read([], [], [], 0, [])
    with source.open(wanted, workdir) as reading:
        for block in reading.blocks:
            rows = block.read()
            assert rows.frame.columns == [str(index) for index in range(len(wanted))]
            assert {str(dtype) for dtype in rows.frame.dtypes} == {"String"}
            result.rows += rows.frame.rows()
            result.numbers += rows.row_numbers().to_list()
            result.files += [rows.file] * rows.frame.height
            result.heights.append(rows.frame.height)
        result.unmapped = reading.unmapped
    return result


def column(source: Source, name: str, workdir: Path) -> list[Any]:
    """The values of one column."""
    return [row[0] for row in read(source, [name], workdir).rows]
