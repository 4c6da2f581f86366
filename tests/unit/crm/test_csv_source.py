"""What a row is: a corpus of odd files with the outcome that each must have."""

from __future__ import annotations

import csv
import io
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience_onboarding.crm import csv_source
from audience_onboarding.errors import (
    AudienceOnboardingError,
    ConfigurationError,
    EmptySourceError,
    MissingColumnError,
    SourceFormatError,
    SourceNotFoundError,
)
from tests.unit.crm.loads import load

A, B, C = "a@x.example", "b@x.example", "c@x.example"
PHONE = "0612345678"

# name: (content, rows read, rows sent, malformed rows)
READABLE: dict[str, tuple[bytes, int, int, int]] = {
    "plain": (f"email,phone\n{A},{PHONE}\n{B},\n".encode(), 2, 2, 0),
    "crlf": (f"email,phone\r\n{A},{PHONE}\r\n{B},\r\n".encode(), 2, 2, 0),
    "carriage returns only": (f"email,phone\r{A},{PHONE}\r{B},\r".encode(), 2, 2, 0),
    "line ends of all kinds": (f"email,phone\r\n{A},{PHONE}\n{B},\r{C},\r\n".encode(), 3, 3, 0),
    "no line end at the end": (f"email,phone\n{A},{PHONE}\n{B},".encode(), 2, 2, 0),
    "no line end at the end, crlf": (f"email,phone\r\n{A},{PHONE}\r\n{B},".encode(), 2, 2, 0),
    "byte order mark": (f"\ufeffemail,phone\n{A},{PHONE}\n".encode(), 1, 1, 0),
    "byte order mark and quoted header": (f'\ufeff"email","phone"\n"{A}","{PHONE}"\n'.encode(), 1, 1, 0),
    "blank lines": (f"email,phone\n\n{A},\n\n\n{B},\n\n".encode(), 2, 2, 0),
    "blank lines, crlf": (f"email,phone\r\n\r\n{A},\r\n\r\n\r\n{B},\r\n\r\n".encode(), 2, 2, 0),
    "blank lines before the header": (f"\n\nemail,phone\n{A},\n".encode(), 1, 1, 0),
    "a line of spaces": (f"email,phone\n{A},\n   \n{B},\n".encode(), 3, 2, 1),
    "only delimiters": (f"email,phone\n,\n{A},\n".encode(), 2, 1, 0),
    "too few fields": (f"email,phone\n{A}\n{B},{PHONE}\n".encode(), 2, 1, 1),
    "too many fields": (f"email,phone\n{A},{PHONE},x\n{B},\n".encode(), 2, 1, 1),
    "one field more, but empty": (f"email,phone\n{A},{PHONE},\n{B},\n".encode(), 2, 1, 1),
    "one too few and one too many": (f"email,phone\n{A}\n{B},,\n{C},\n".encode(), 3, 1, 2),
    "short row at the end": (f"email,phone\n{A},\n{B}".encode(), 2, 1, 1),
    "quoted fields": (f'email,phone\n"{A}","{PHONE}"\n'.encode(), 1, 1, 0),
    "quoted delimiter": (f'email,note,phone\n{A},"x, y",\n'.encode(), 1, 1, 0),
    "quoted line end": (f'email,note,phone\n{A},"x\ny",\n{B},z,\n'.encode(), 2, 2, 0),
    "quoted line end, crlf": (f'email,note,phone\r\n{A},"x\r\ny",\r\n{B},z,\r\n'.encode(), 2, 2, 0),
    "quoted blank lines": (f'email,note,phone\n{A},"x\n\n\ny",\n'.encode(), 1, 1, 0),
    "doubled quotes": (f'email,note,phone\n{A},"say ""x"", y",\n'.encode(), 1, 1, 0),
    "field of one quote": (f'email,note,phone\n{A},"""",\n'.encode(), 1, 1, 0),
    "quoted empty fields": (f'email,phone\n"",""\n"{A}",""\n'.encode(), 2, 1, 0),
    "one quoted field on a line": (f'email,note,phone\n"q"\n{A},,\n""\n'.encode(), 3, 1, 2),
    "quote within a field": (f'email,note,phone\n{A},7" single,\n{B},,\n'.encode(), 2, 2, 0),
    "text after a quote": (f'email,note,phone\n{A},"x"y,\n{B},,\n'.encode(), 2, 1, 1),
    "space before a quote": (f'email,note,phone\n{A}, "x",\n{B},,\n'.encode(), 2, 2, 0),
    "space before a quote with a delimiter": (f'email,note,phone\n{A}, "x,y",\n{B},,\n'.encode(), 2, 1, 1),
    "space after a quote": (f'email,note,phone\n{A},"x" ,\n{B},,\n'.encode(), 2, 1, 1),
    "stray quote that a later one closes": (
        f'email,note,phone\n{A},"x,\n{B},,\n{C},y"z,\n'.encode(),
        3,
        2,
        1,
    ),
    "backslash is no escape": (f'email,note,phone\n{A},"x\\",\n{B},\\,\n'.encode(), 2, 2, 0),
    "hash is no comment": (f"email,phone\n#{A},\n{B},\n".encode(), 2, 2, 0),
    "the words null": (f"email,phone\nNULL,null\n{A},NULL\n".encode(), 2, 1, 0),
    "quoted header with a delimiter": (f'"a, b",email,phone\nx,{A},\n'.encode(), 1, 1, 0),
    "quoted header with a line end": (f'"a\nb",email,phone\nx,{A},\n'.encode(), 1, 1, 0),
    "same name twice, not wanted": (f"email,x,x,phone\n{A},1,2,\n".encode(), 1, 1, 0),
    "trailing delimiter on every line": (f"email,phone,\n{A},{PHONE},\n{B},,\n".encode(), 2, 2, 0),
    "empty names": (f",email,,phone\n1,{A},2,\n".encode(), 1, 1, 0),
    "a nul": (f"email,phone\nx\0{A},\n{B},\n".encode(), 2, 1, 0),
    "a vertical tab and other controls": (f"email,phone\n{A}\x0b,\x1f\n{B}\x0c,\n".encode(), 2, 2, 0),
    "unicode line separators are no line ends": (
        f"email,note,phone\n{A},x\u2028y\u0085z,\n".encode(),
        1,
        1,
        0,
    ),
    "header in another case": (f" EMAIL ,Pho Ne\n{A},\n".encode(), 1, 1, 0),
}

UNREADABLE: dict[str, tuple[bytes, type[AudienceOnboardingError]]] = {
    "nothing": (b"", EmptySourceError),
    "only a byte order mark": (b"\xef\xbb\xbf", EmptySourceError),
    "only blank lines": (b"\n\r\n\n", EmptySourceError),
    "header only": (b"email,phone\n", EmptySourceError),
    "header only, no line end": (b"email,phone", EmptySourceError),
    "header and blank lines": (b"email,phone\n\n\n", EmptySourceError),
    "nothing that can be sent": (b"email,phone\nx,y\n,\nz\n", EmptySourceError),
    "open quote at the end": (f'email,phone\n{A},\n"{B},\n'.encode(), SourceFormatError),
    "open quote in the last field": (f'email,phone\n{A},"'.encode(), SourceFormatError),
    "open quote long before the end": (
        f'email,phone\n"{A},\n'.encode() + f"{B},\n".encode() * 20_000,
        SourceFormatError,
    ),
    "open quote in the header": (f'email,"phone\n{A},\n'.encode(), SourceFormatError),
    "broken quoting in the header": (f'email,"pho"ne\n{A},\n'.encode(), SourceFormatError),
    "not utf-8": (f"email,phone\n{A},\n".encode() + b"\xff,\n", SourceFormatError),
    "cut utf-8": (f"email,phone\n{A},\n".encode() + b"\xc3", SourceFormatError),
    "utf-16 read as utf-8": (f"email,phone\n{A},\n".encode("utf-16"), SourceFormatError),
    "a workbook": (b"PK\x03\x04" + bytes(100), SourceFormatError),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), SourceFormatError),
    "a line without end": (f"email,phone\n{A},".encode() + b"1" * 1_100_000, SourceFormatError),
    "another delimiter": (f"email;phone\n{A};\n".encode(), MissingColumnError),
    "no such column": (f"mail,phone\n{A},\n".encode(), MissingColumnError),
    "a column twice": (f"email,phone,email\n{A},,\n".encode(), MissingColumnError),
    "two columns that nearly fit": (f"E mail,EMAIL,phone\n{A},,\n".encode(), MissingColumnError),
    "no header": (f"{A},{PHONE}\n{B},\n".encode(), MissingColumnError),
}


@pytest.mark.parametrize("name", READABLE)
def test_readable(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, read, sent, malformed = READABLE[name]
    report, output = load(tmp_path / "x.csv", content, threads=2)
    assert (report.rows_read, report.rows_sent) == (read, sent)
    assert report.rejected_by_reason.get("malformed_row", 0) == malformed
    assert output.count(b"\r\n") == sent + 1
    # And the exact reader says the same.
    monkeypatch.setattr(csv_source._Structure, "plain", lambda structure, text: None)
    assert load(tmp_path / "x.csv", threads=2) == (report, output)


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable(tmp_path: Path, name: str) -> None:
    content, error = UNREADABLE[name]
    with pytest.raises(error) as caught:
        load(tmp_path / "x.csv", content)
    assert str(tmp_path / "x.csv") in str(caught.value)
    for secret in (A, B, PHONE):
        assert secret not in str(caught.value)


def outcome(path: Path, content: bytes, **settings: Any) -> object:
    try:
        return load(path, content, **settings)
    except AudienceOnboardingError as error:
        return str(error)


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(
            [",", ",", '"', '""', "\n", "\n", "\r\n", "\r", " ", "x", A, B, PHONE, '"q"', f'"{C}"', "é"]
        ),
        max_size=30,
    ).map("".join),
    threads=st.sampled_from([1, 2]),
)
def test_both_roads_agree_on_garbage(
    tmp_path_factory: pytest.TempPathFactory, text: str, threads: int
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "x.csv"
    content = f"email,phone\n{text}".encode()
    fast = outcome(path, content, threads=threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source._Structure, "plain", lambda structure, text: None)
        assert outcome(path, content, threads=threads) == fast


def test_usual_files_take_the_fast_road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the exact reader was used")

    monkeypatch.setattr(csv_source._Reader, "_exact", refuse)
    monkeypatch.setattr(csv_source._Reader, "exact_rows", refuse)
    names = ["plain", "crlf", "byte order mark", "byte order mark and quoted header", "blank lines", "quoted fields",
             "quoted delimiter", "quoted line end", "doubled quotes"]  # fmt: skip
    for name in names:
        load(tmp_path / "x.csv", READABLE[name][0])


@pytest.mark.parametrize("size", [1, 2, 7, 20])
def test_blocks_do_not_matter(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.csv"
    for content, *_ in READABLE.values():
        whole = outcome(path, content)
        assert outcome(path, content, source={"block_size": size}) == whole, (content, size)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_encodings(tmp_path: Path, encoding: str) -> None:
    text = "email,phone\nzoë@x.example,\n"
    report, output = load(tmp_path / "x.csv", text.encode(encoding), source={"encoding": encoding})
    assert report.rows_sent == 1
    assert output == load(tmp_path / "y.csv", text.encode())[1]


def test_utf_16_with_byte_order_mark_named_by_its_order(tmp_path: Path) -> None:
    content = "\ufeffemail,phone\na@x.example,\n".encode("utf-16-le")
    assert load(tmp_path / "x.csv", content, source={"encoding": "UTF-16LE"})[0].rows_sent == 1


@pytest.mark.parametrize("encoding", ["cp1252", "windows-1252", "latin-1", "ISO-8859-1", "iso8859-15"])
def test_single_byte_encodings(tmp_path: Path, encoding: str) -> None:
    text = "email;phone;naam\nzoë@x.example;;Zoë\n"
    source = {"encoding": encoding, "delimiter": ";"}
    report, output = load(tmp_path / "x.csv", text.encode(encoding), source=source)
    assert report.rows_sent == 1
    assert output == load(tmp_path / "y.csv", text.encode(), source={"delimiter": ";"})[1]


@pytest.mark.parametrize(
    ("encoding", "content", "line"),
    [
        ("utf-8", b"email,phone\na@x.example,\nb\xff@x.example,\n", 3),
        ("utf-8", b"email,phone\n" + b"a@x.example,\n" * 5000 + b"\xe9\n", 5002),
        ("cp1252", b"email,phone\na@x.example,\n\x81,\n", 3),
        ("utf-16-le", "email,phone\na@x.example,\n".encode("utf-16-le") + b"\x00\xd8x\x00", 3),
        ("utf-16-le", "email,phone\na@x.example,\n".encode("utf-16-le") + b"x", 3),
    ],
)
def test_wrong_encoding_names_the_line(tmp_path: Path, encoding: str, content: bytes, line: int) -> None:
    with pytest.raises(SourceFormatError, match=f"line {line} ") as caught:
        load(tmp_path / "x.csv", content, source={"encoding": encoding})
    # Unicode errors hold the data that they could not decode.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_open_quote_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="line 3 ") as caught:
        load(tmp_path / "x.csv", f'email,phone\n{A},\n"{B},\n{C},\n'.encode())
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "settings",
    [
        {"delimiter": ""},
        {"delimiter": ";;"},
        {"delimiter": "\n"},
        {"delimiter": "é"},
        {"quote": ","},
        {"encoding": "rot13"},
        {"encoding": "klingon"},
    ],
)
def test_impossible_settings(tmp_path: Path, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        csv_source.CsvSource(tmp_path / "x.csv", **settings)  # type: ignore[arg-type]


def test_a_stream_that_can_be_read_and_nothing_else(tmp_path: Path) -> None:
    content = f"email,phone\n{A},{PHONE}\n{B},\n".encode()

    class Drops:
        """Gives a byte at a time, and has no ``readinto``."""

        def __init__(self) -> None:
            self._stream = io.BytesIO(content)

        def read(self, size: int = -1) -> bytes:
            return self._stream.read(min(size, 1))

        def seek(self, offset: int, whence: int = 0) -> int:
            return self._stream.seek(offset, whence)

        def seekable(self) -> bool:
            return True

    source = {"stream": lambda: nullcontext(Drops()), "block_size": 30}
    assert load(tmp_path / "x.csv", source=source) == load(tmp_path / "y.csv", content)


@pytest.mark.parametrize("fields", [1, 2, 3])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("stretch", [1, 3, 1000])
def test_structure_is_seen_over_the_edges_of_stretches(
    fields: int, line_end: str, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "_STRETCH", stretch)
    structure = csv_source._Structure(csv_source.Dialect(",", "utf-8", '"'), fields)

    def rows(*records: str) -> tuple[int, int] | None:
        plain = structure.plain("".join(record + line_end for record in records).encode())
        return None if plain is None else (plain.rows, plain.lines)

    more = ",x" * (fields - 1)
    assert rows(f"a{more}", f"b{more}") == (2, 2)
    assert rows(f'"a,b"{more}', f'""{more}', f'"c""d"{more}', f"e{more}") == (4, 4)
    assert rows(f'"a{line_end}{line_end}b"{more}', f"c{more}") == (2, 4)
    for broken in (f"a{more},x", f'"a"b{more}', f' "a"{more}', f'"a{more}', f"a\rb{more}"):
        assert rows(f"a{more}", broken, f"b{more}") is None, broken


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "'"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    content = f"email,phone\n{A},{PHONE}\n".replace(",", delimiter).encode()
    assert load(tmp_path / "x.csv", content, source={"delimiter": delimiter})[0].rows_sent == 1


def test_another_quote(tmp_path: Path) -> None:
    content = f"email,note,phone\n{A},'x, ''y''',\n{B},\"z,\n".encode()
    assert load(tmp_path / "x.csv", content, source={"quote": "'"})[0].rows_sent == 2


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such file"):
        load(tmp_path / "x.csv")
    with pytest.raises(SourceNotFoundError, match="directory"):
        load(tmp_path)


def test_the_label_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="s3://bucket/key"):
        load(tmp_path / "x.csv", source={"label": "s3://bucket/key"})


@pytest.mark.parametrize(
    "name", ["a*b.csv", "a?b.csv", "a[b].csv", "a'b.csv", "date=2026-11-16.csv", "é.csv", "x.csv.gz"]
)
def test_odd_file_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-b.csv").write_bytes(b"email,phone\nother@x.example,\nmore@x.example,\n")
    assert load(tmp_path / name, f"email,phone\n{A},\n".encode())[0].rows_sent == 1


def test_the_exact_name_wins(tmp_path: Path) -> None:
    content = f"Email,email,phone\nx,{A},\n".encode()
    assert load(tmp_path / "x.csv", content)[0].rows_sent == 1


def test_missing_column_lists_the_names(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="'mail', 'phone'") as caught:
        load(tmp_path / "x.csv", f"mail,phone\n{A},\n".encode())
    assert "'email'" in str(caught.value)


@pytest.mark.parametrize("first", [f"{A},x", f"Jan,{PHONE}", "Jan,06 12 34 56 78", "e" * 3 + "1" * 61 + ",x"])
def test_a_first_line_of_data_is_not_printed(tmp_path: Path, first: str) -> None:
    with pytest.raises(MissingColumnError, match="looks like data") as caught:
        load(tmp_path / "x.csv", f"{first}\n{B},y\n".encode())
    for secret in first.split(","):
        if len(secret) > 1:
            assert secret not in str(caught.value)


def test_single_column(tmp_path: Path) -> None:
    from audience_onboarding.crm.profiles import Identifier

    content = f'email\n{A}\n\n""\n"{B}"\n   \n'.encode()
    report, output = load(tmp_path / "x.csv", content, columns={Identifier.EMAIL: "email"})
    assert report.rows_read == 4
    assert report.rows_sent == 2
    assert report.rejected_by_reason == {"no_identifier": 2}
    assert output.startswith(b"email_sha256\r\n")


def test_memory_stays_bounded_without_the_limit_of_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_source, "MAX_RECORD", 10_000)
    before = csv.field_size_limit(2**31 - 1)
    try:
        with pytest.raises(SourceFormatError, match="record at line 2"):
            load(tmp_path / "x.csv", f'email,phone\n"{A},\n'.encode() + f"{B},\n".encode() * 20_000)
    finally:
        csv.field_size_limit(before)
