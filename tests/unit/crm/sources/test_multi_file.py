"""Several files as one source: each finds its columns, counts its rows and is closed when it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from audience_onboarding.crm.sources.base import OpenSource
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.crm.sources.multi_file import MultiFileSource, file_names
from audience_onboarding.crm.sources.parquet_file import ParquetSource
from audience_onboarding.exceptions import EmptySourceError, MissingColumnError, SourceFormatError
from tests.unit.crm.reading import read


def csv(path: Path, text: str) -> CsvSource:
    path.write_text(text)
    return CsvSource(path=path)


def test_multi_file_source_files_have_own_columns_and_row_numbers(tmp_path: Path) -> None:
    sources = [
        csv(tmp_path / "1.csv", "email,x,phone\na,1,06\nb,2,07\n"),
        csv(tmp_path / "2.csv", "Phone,email,y\n08,c,3\n"),
        csv(tmp_path / "3.csv", "phone,email\n"),
        csv(tmp_path / "4.csv", "phone,email,x\n09,d,\n"),
    ]
    pl.DataFrame({"phone": [612345678], "email": ["e"]}).write_parquet(tmp_path / "5.parquet")
    result = read(
        MultiFileSource([*sources, ParquetSource(tmp_path / "5.parquet")], "folder/"),
        ["email", "phone"],
        tmp_path,
    )
    assert result.rows == [("a", "06"), ("b", "07"), ("c", "08"), ("d", "09"), ("e", "612345678")]
    assert result.numbers == [1, 2, 1, 1, 1]
    assert result.files == ["1.csv", "1.csv", "2.csv", "4.csv", "5.parquet"]
    assert result.unmapped == 1


def test_multi_file_source_missing_column_names_file(tmp_path: Path) -> None:
    good, bad = csv(tmp_path / "1.csv", "email\na\n"), csv(tmp_path / "2.csv", "mail\nb\n")
    for sources in ([good, bad], [bad, good]):
        with pytest.raises(MissingColumnError, match=r"2\.csv"):
            read(MultiFileSource(sources, "folder/"), ["email"], tmp_path)
    # An error in the first file comes before any row is read.
    with pytest.raises(MissingColumnError), MultiFileSource([bad, good], "folder/").open(["email"], tmp_path):
        pass


def test_multi_file_source_file_without_header_raises(tmp_path: Path) -> None:
    empty, full = csv(tmp_path / "1.csv", ""), csv(tmp_path / "2.csv", "email\na\n")
    # One that broke off is not to pass for a load without rows, which may be skipped.
    for sources in ([empty, full], [full, empty], [empty, empty, full]):
        with pytest.raises(SourceFormatError, match=r"One of several CRM files is empty.*1\.csv") as caught:
            read(MultiFileSource(sources, "folder/"), ["email"], tmp_path)
        assert caught.value.__context__ is None
    with pytest.raises(EmptySourceError, match=r"folder/.*none of the 2 files"):
        read(MultiFileSource([empty, empty], "folder/"), ["email"], tmp_path)


def test_multi_file_source_may_be_empty_skips_file(tmp_path: Path) -> None:
    def many(*texts: str, may_be_empty: set[int]) -> MultiFileSource:
        sources = [csv(tmp_path / f"{number}.csv", text) for number, text in enumerate(texts)]
        return MultiFileSource(sources, "days", frozenset(may_be_empty))

    full = "email\na\n"
    result = read(many("", full, "", full, may_be_empty={0, 2, 3}), ["email"], tmp_path)
    assert (result.rows, result.files) == ([("a",), ("a",)], ["1.csv", "3.csv"])
    with pytest.raises(SourceFormatError, match=r"One of several CRM files is empty.*2\.csv"):
        read(many("", full, "", may_be_empty={0}), ["email"], tmp_path)
    with pytest.raises(EmptySourceError, match="none of the 2 files"):
        read(many("", "", may_be_empty={0, 1}), ["email"], tmp_path)


@dataclass
class Counted:
    """A source that records whether it is open."""

    inner: CsvSource
    is_open: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.inner.name

    @contextmanager
    def open(self, wanted: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        with self.inner.open(wanted, workdir) as reading:
            self.is_open.add(self.name)
            try:
                yield reading
            finally:
                self.is_open.discard(self.name)


def counted(tmp_path: Path, number: int) -> tuple[list[Counted], set[str]]:
    is_open: set[str] = set()
    return [Counted(csv(tmp_path / f"{at}.csv", "email\na\n"), is_open) for at in range(number)], is_open


def test_multi_file_source_file_closes_after_its_last_block(tmp_path: Path) -> None:
    sources, is_open = counted(tmp_path, 4)
    most = 0
    with MultiFileSource(sources, "folder/").open(["email"], tmp_path) as reading:
        waiting = []
        for block in reading.blocks:
            # As the engine does, which reads a block while it takes the next ones.
            waiting.append(block)
            most = max(most, len(is_open))
            if len(waiting) > 1:
                waiting.pop(0).read()
        assert is_open == {str(tmp_path / "3.csv")}
        waiting.pop().read()
        assert not is_open
    assert most == 2


def test_multi_file_source_error_or_early_end_closes_all(tmp_path: Path) -> None:
    sources, is_open = counted(tmp_path, 3)

    def stop_in_the_second() -> None:
        with MultiFileSource(sources, "folder/").open(["email"], tmp_path) as reading:
            assert next(reading.blocks)
            assert next(reading.blocks)
            assert len(is_open) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_in_the_second()
    assert not is_open


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["s3://b/crm/1.csv", "s3://b/crm/2.csv"], ["1.csv", "2.csv"]),
        (["/in/a/crm.csv", "/in/b/crm.csv"], ["a/crm.csv", "b/crm.csv"]),
        (["/in/a/crm.csv", "/in/crm.csv"], ["a/crm.csv", "crm.csv"]),
        (["/in/a/1.csv", "/in/b/2.csv"], ["1.csv", "2.csv"]),
    ],
)
def test_file_names_are_short_and_distinct(names: list[str], short: list[str]) -> None:
    assert file_names(names) == short
