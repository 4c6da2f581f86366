"""Whole files, good and bad, against a model that takes one row after the other.

The model shares the reference rules of single values with the engine and nothing else: it reads with ``csv.reader``,
hashes with hashlib, and finds duplicates by a set.
"""

from __future__ import annotations

import csv
import gzip
import io
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audience_onboarding.crm import prepare as engine
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, Identifier
from audience_onboarding.crm.prepare import prepare
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.exceptions import AudienceOnboardingError, EmptySourceError
from tests.unit.crm.loads import expected
from tests.unit.crm.malformed.check import in_drops

EMAIL, PHONE = "e-mail", "phone"
COLUMNS = {Identifier.EMAIL: EMAIL, Identifier.PHONE: PHONE}


def model(text: str, *, delimiter: str = ",", quote: str = '"') -> tuple[dict[str, Any], bytes, set[int]]:
    """Read and prepare a file that ``csv.writer`` has written, the slow and obvious way."""
    # csv refuses NUL on Python 3.10. No identifier has one, nor a replacement character.
    lines = io.StringIO(text.replace("\0", "\ufffd"), newline="")
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)
    header = next(reader)
    places = [header.index(EMAIL), header.index(PHONE)]
    return expected(
        [row[place] for place in places] if len(row) == len(header) else None for row in reader if row
    )


# --- tables

HOSTILE = [
    "\u0130", "\u0131", "\u00df", "\u1e9e", "\u03a3", "\u03c2", "\u03c3", "\u200b", "\u200d", "\ufeff",
    "\u00ad", "\u00a0", "\u3000", "\uff10", "\uff19", "\u0661", "\u00b2", "\u2460", "\u200f", "\u202e",
    "\u2066", "\0", "\x01", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "e\u0301", "\u00e9",
    "\ufb01", "\uff20", "\uff41", "\U0001f600", "\ufffd", "\ufffe", "\u0345", "\u1fb3", "\u2011", "\u2212",
    "\uff0b", "\u180e", "\u3164", "\ufe0f", "\U000e0100", '"', "'", ",", ";", "\t", "|", "\n", "\r", "\r\n",
    " ", "", "\\", "#", "=", "+", "-", "0", "@", ".",
]  # fmt: skip

NAMES = [
    "jan",
    "Jan",
    "JAN",
    " jan ",
    "piet.p",
    "\u0130da",
    "zo\u00eb",
    "jan+tag",
    "stra\u00dfe",
    "\u03a3\u03a3",
]
ADDRESSES = [f"{name}@x.example" for name in NAMES] + [
    "", "jan@x", "@", "n/a", "jan@x.example\n", "jan,piet@x.example", '"jan"@x.example', "a" * 64, "0" * 64,
    "jan@x.example;",
]  # fmt: skip
NUMBERS = [
    "0612345678", "+31612345678", "06-12345678", "06 1234 5678", "+31 (0)6 12345678", "0031612345678",
    "612345678", "0201234567", "", "0", "06123456", "+4915112345678", "6.12346E+08", "612345678.0", "n/a",
    "f" * 64, "\uff10\uff16\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
]  # fmt: skip

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)

NUL_WRITTEN_AS = "\ud800"
"""Python 3.10's csv.writer refuses NUL, so it is inserted afterwards. No cell has a surrogate."""


@st.composite
def spoiled(draw: st.DrawFn, values: Sequence[str]) -> str:
    """A value with a hostile part."""
    value = draw(st.sampled_from(values))
    place = draw(st.integers(0, len(value)))
    return value[:place] + draw(st.sampled_from(HOSTILE)) + value[place:]


def cells(values: Sequence[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(values), st.sampled_from(values), spoiled(values), TEXT)


@dataclass(frozen=True)
class Table:
    """A file, and how it is written."""

    text: str
    delimiter: str
    quote: str
    encoding: str
    packed: bool
    block_size: int
    threads: int

    @property
    def content(self) -> bytes:
        """Its bytes."""
        content = self.text.encode(self.encoding)
        return gzip.compress(content, mtime=0) if self.packed else content

    def source(self, path: Path, *, is_dripping: bool) -> CsvSource:
        """The source: a file, or a stream that gives a few bytes at a time."""
        path.write_bytes(self.content)
        way: dict[str, Any] = {"stream": lambda: in_drops(self.content)} if is_dripping else {"path": path}
        return CsvSource(
            **way,
            delimiter=self.delimiter,
            quote=self.quote,
            encoding=self.encoding,
            block_size=self.block_size,
        )


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A table through ``csv.writer``."""
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", "'", " "]))
    quote = draw(st.sampled_from(['"', '"', '"', "'", "`"]).filter(lambda quote: quote != delimiter))
    others = draw(st.lists(st.sampled_from(["id", "name", "note", "", "a b", "q\nr"]), max_size=3))
    header = draw(st.permutations([EMAIL, PHONE, *others]))
    strategies = {EMAIL: cells(ADDRESSES), PHONE: cells(NUMBERS)}
    row = st.tuples(*(strategies.get(name, spoiled(["x", "12,5", "Jan"])) for name in header)).map(list)
    # Blank lines, and rows that are too short or too long.
    odd = st.one_of(
        st.just([]),
        row.map(lambda row: row[:-1]),
        row.map(lambda row: [*row, "x"]),
    )
    rows = draw(st.lists(st.one_of(row, row, row, row, odd), min_size=1, max_size=25))
    out = io.StringIO()
    end = draw(st.sampled_from(["\n", "\r\n", "\n", "\r\n", "\r"]))
    writer = csv.writer(
        out,
        delimiter=delimiter,
        quotechar=quote,
        lineterminator=end,
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    # Without quotes, csv.writer makes a line of one empty field, or of spaces, a thing of its own; and Python 3.10
    # and 3.11 do not quote line ends other than their own.
    for each in [header, *rows]:
        if end != "\r\n":
            each = [cell.replace("\r", " ") if end == "\n" else cell.replace("\n", " ") for cell in each]  # noqa: PLW2901
        writer.writerow([cell.replace("\0", NUL_WRITTEN_AS) for cell in each])
    text = out.getvalue().replace(NUL_WRITTEN_AS, "\0")
    if draw(st.booleans()):
        text = text.removesuffix(end)
    return Table(
        text=text,
        delimiter=delimiter,
        quote=quote,
        encoding=draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-be"])),
        packed=draw(st.booleans()),
        block_size=draw(st.sampled_from([1, 2, 3, 7, 16, 50, 101, 1000, 8 << 20])),
        threads=draw(st.sampled_from([1, 2, 3])),
    )


@pytest.mark.parametrize("is_dripping", [False, True])
@given(table=tables())
def test_engine_random_table_equals_the_model(
    tmp_path_factory: pytest.TempPathFactory, is_dripping: bool, table: Table
) -> None:
    folder = tmp_path_factory.mktemp("table")
    spill = folder / "spill"
    spill.mkdir()
    wanted, sent, rejected_rows = model(table.text, delimiter=table.delimiter, quote=table.quote)
    try:
        with prepare(
            table.source(folder / "x.csv", is_dripping=is_dripping),
            columns=COLUMNS,
            profile=DIGITAL_AUDIENCE_S3,
            threads=table.threads,
            memory_limit_mib=128,
            spill_dir=spill,
        ) as load:
            assert b"".join(load.chunks(997)) == sent
            assert {**load.report.to_dict(), "ignored_columns": 0} == wanted
            rejects = csv.DictReader(io.StringIO(b"".join(load.rejects()).decode(), newline=""))
            assert {int(line["row"]) for line in rejects if line["outcome"] == "row"} == rejected_rows
    except EmptySourceError:
        assert not wanted["rows_sent"]
    assert not list(spill.iterdir())


# --- text that is no table

PIECES = [
    ",", ",", ",", '"', '"', '""', "\n", "\n", "\n", "\r\n", "\r", " ", "\0", "x", "\u00e9", "\u2028",
    "\ufeff", "jan@x.example", "0612345678", '"piet@x.example"', "jan@x.example,0612345678\n", '"a\nb"',
    "\n\n",
]  # fmt: skip


def outcome(content: bytes, path: Path, **source: Any) -> object:
    """All observable results of a load."""
    path.write_bytes(content)
    threads = source.pop("threads", 1)
    try:
        with prepare(
            CsvSource(path, **source), columns=COLUMNS, profile=DIGITAL_AUDIENCE_S3, threads=threads
        ) as load:
            rejects = b"".join(load.rejects()).split(b"\n")
            return load.report, load.content_id, b"".join(load.chunks(1000)), sorted(rejects)
    except AudienceOnboardingError as error:
        return str(error)


@pytest.mark.parametrize("threads", [1, 2])
@given(
    text=st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    block_size=st.sampled_from([1, 2, 5, 11, 30, 60]),
)
@example(text='jan@x.example,"\n', block_size=11)
@example(text='"a"x,\njan@x.example,\n', block_size=1)
def test_engine_block_size_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, threads: int, text: str, block_size: int
) -> None:
    """The size of blocks, and the reader that reads a block, change nothing."""
    path = tmp_path_factory.mktemp("text") / "x.csv"
    content = f"{EMAIL},{PHONE}\n{text}".encode()
    whole = outcome(content, path)
    assert outcome(content, path, block_size=block_size, threads=threads) == whole


@given(
    rows=st.lists(st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(NUMBERS)), min_size=1, max_size=12),
    other=st.data(),
)
def test_content_id_equal_exactly_for_equal_bytes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], other: st.DataObject
) -> None:
    """Of two lists, it is the same exactly where the bytes are."""
    more = other.draw(
        st.one_of(
            st.permutations(rows),
            st.just([*rows, *rows]),
            st.just(rows[:-1] or rows),
            st.just([(email.upper(), f" {phone}") for email, phone in rows]),
        )
    )
    path = tmp_path_factory.mktemp("lists") / "x.csv"
    results = []
    for each, delimiter in ((rows, ","), (more, ";")):
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter).writerows([(EMAIL, PHONE), *each])
        results.append(outcome(out.getvalue().encode(), path, delimiter=delimiter))
    loads = [result for result in results if isinstance(result, tuple)]
    if len(loads) == 2:
        (_, id_one, bytes_one, _), (_, id_two, bytes_two, _) = loads
        assert (id_one == id_two) == (bytes_one == bytes_two)


# --- many rows


def written(rows: int) -> Iterator[tuple[str, str]]:
    """People in several spellings, one in seven twice, one in eleven bad."""
    for number in range(rows):
        person = number // 2 if number % 7 == 0 else number
        email = f"Person{person}@X.example" if number % 3 else f" person{person}@x.example "
        phone = f"06-{10_000_000 + person}" if number % 5 else f"+316{10_000_000 + person}"
        yield ("x" if number % 11 == 0 else email), ("" if number % 22 == 0 else phone)


@pytest.mark.parametrize("spilled", [False, True])
def test_engine_many_rows_equals_the_model(
    tmp_path: Path, spilled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over many blocks, in memory and on the disk, the bytes are the model's."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow((EMAIL, PHONE))
    writer.writerows(written(6_000))
    text = out.getvalue()
    wanted, sent, _ = model(text)
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    spill = tmp_path / "spill"
    spill.mkdir()
    if spilled:
        monkeypatch.setattr(engine, "MIB", 1024)  # a limit of 128 KB
    with prepare(
        CsvSource(path, block_size=16 * 1024),
        columns=COLUMNS,
        profile=DIGITAL_AUDIENCE_S3,
        memory_limit_mib=128,
        spill_dir=spill,
    ) as load:
        (private,) = spill.iterdir()
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert bool(list(private.glob("values-*"))) == spilled
        assert (private / "rejects.csv").exists()
        assert b"".join(load.chunks(100_000)) == sent
        assert load.report.duplicates == wanted["duplicates"] > 250
        assert load.report.rejected_by_reason == wanted["rejected_by_reason"]
        assert set(wanted["rejected_by_reason"]) == {"invalid_email"}
    assert not list(spill.iterdir())
