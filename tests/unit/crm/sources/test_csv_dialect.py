"""Detection of delimiter, encoding and quote, and the errors if it fails."""

from __future__ import annotations

import codecs
from typing import Any

import pytest

from audience_onboarding.crm.sources.csv_dialect import SAMPLE_SIZE, Dialect, sniff
from audience_onboarding.exceptions import SourceFormatError


def find(sample: str | bytes, **settings: Any) -> Dialect:
    content = sample.encode() if isinstance(sample, str) else sample
    unknown = {"delimiter": "auto", "encoding": "auto", "quote": "auto", "complete": True}
    return sniff(content, where="s3://b/crm.csv", **{**unknown, **settings})


def test_sniff_declared_values_are_kept() -> None:
    declared = Dialect("^", "latin-1", "~")
    assert find(b"\x81;\xff\n", delimiter="^", encoding="latin-1", quote="~") == declared


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_sniff_delimiter_is_detected(delimiter: str, end: str) -> None:
    lines = ["email", "phone", "city"], ["a@x.example", "0612345678", "Delft"], ["", "", ""]
    text = end.join(delimiter.join(line) for line in lines)
    for sample in (text, text + end, end + text + end + end):
        for complete in (True, False):
            assert find(sample, complete=complete) == Dialect(delimiter, "utf-8", '"')


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("email\na@x.example\nb@x.example\n", ","),
        ("email\n", ","),
        ("email", ","),
        ("", ","),
        ("\n\n", ","),
        # The rows do not matter where the header has no delimiter: these rows are malformed.
        ("address\nDam 1, Amsterdam\nDam 2, Amsterdam\n", ","),
        ("email;phone\n", ";"),
        # Other delimiters in the fields.
        ("email;note\na@x.example;x, y\nb@x.example;z\n", ";"),
        ("email,note\na@x.example,x; y\n", ","),
        ('email;"name, first";x\na;"b, c";d\n', ";"),
        ('email;note\na@x.example;"x;y;z"\n', ";"),
        ('email;note\na@x.example;"x\ny,z"\nb;c\n', ";"),
        # In the header as well, but the rows decide.
        ("email;name, first;x\na@x.example;b;c\nd;e;f\n", ";"),
        ("email;a|b\nc;d\n", ";"),
        # Some malformed rows change nothing.
        ("email,phone;mobile\na,b\nc\nd,e,f\ng,h\n", ","),
        ("email;phone\na@x.example\nb@x.example\n", ";"),
    ],
)
def test_sniff_delimiter_in_unusual_files_is_detected(text: str, delimiter: str) -> None:
    assert find(text).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("id;amount,eur\n1;2,50\n3;4,50\n", ["comma", "semicolon"]),
        ("name, first;email\n", ["comma", "semicolon"]),
        ("a|b\tc\nd|e\tf\n", ["tab", "vertical bar"]),
        ("a,b;c\nd\n", ["comma", "semicolon"]),
    ],
)
def test_sniff_two_fitting_delimiters_raises(text: str, names: list[str]) -> None:
    with pytest.raises(SourceFormatError, match="delimiter of the CRM file is ambiguous") as caught:
        find(text)
    assert all(name in caught.value.why for name in names)
    assert caught.value.where == "s3://b/crm.csv"
    assert "Set the delimiter" in caught.value.next_step
    assert "amount" not in str(caught.value)
    assert find(text, delimiter=";").delimiter == ";"


def test_sniff_cut_off_record_is_ignored() -> None:
    # By the last line alone, a comma would fit.
    assert find("email;a,b;c\n1;2;3\nx,y", complete=False).delimiter == ";"
    with pytest.raises(SourceFormatError):
        find("email;a,b\n1;2\nx,y", complete=True)
    assert find('email;a,b\n1;2\n"x\n', complete=False).delimiter == ";"


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("email;note\na;b\n", '"'),
        ('"email";"note"\n"a";"b;c"\n', '"'),
        ("email;note\na;'b;c'\n'd';e\n", "'"),
        ("'email';'note'\n'a';'b'\n", "'"),
        ("'email';'note'\n", "'"),
        # No quotes but letters of a name.
        ("email;city\na;'s-Gravenhage\nb;'t Zand\n", '"'),
        ("email;name\na;O'Brien\nb;d'Arc\n", '"'),
        # Neither explains all rows.
        ("email;note\na;'b;c'\nd\n", '"'),
        ('email;note\na;"b\n', '"'),
    ],
)
def test_sniff_quote_is_detected(text: str, quote: str) -> None:
    assert find(text) == Dialect(";", "utf-8", quote)


def test_sniff_quote_differs_from_delimiter() -> None:
    assert find("a'b\nc'd\n", delimiter="'") == Dialect("'", "utf-8", '"')
    assert find("'a;b';c\n", quote="'") == Dialect(";", "utf-8", "'")


def test_sniff_one_quoted_column_is_detected() -> None:
    assert find("'email'\n'a@x.example'\n") == Dialect(",", "utf-8", "'")


TEXT = "naam;plaats\nJosé;Zürich\nAnne;Köln\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (b"email;phone\n", "utf-8"),
        (b"", "utf-8"),
        (b"email\0;phone\n1;2\n", "utf-8"),
        (TEXT.encode("cp1252"), "cp1252"),
        ("naam;prijs\nx;€ 5\n".encode("cp1252"), "cp1252"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF16_LE + "氏名;市\n山田;京都\n".encode("utf-16-le"), "utf-16-le"),
    ],
)
def test_sniff_encoding_is_detected(content: bytes, encoding: str) -> None:
    assert find(content).encoding == encoding
    if b";" in content:
        assert find(content).delimiter == ";"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp1252"])
def test_sniff_cut_character_is_ignored(encoding: str) -> None:
    content = ("naam;plaats\n" + "é;ü\n" * 20).encode(encoding)
    for size in range(30, len(content)):
        assert find(content[:size], complete=False) == Dialect(";", encoding, '"')
    # The same at the end of the file is no UTF-8, and no half of it either.
    assert find("naam\né".encode()[:-1]).encoding == "cp1252"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (TEXT.encode("utf-32"), "UTF-32"),
        (b"naam\n\x81\x8d\n", "neither UTF-8 nor UTF-16 nor Windows-1252"),
        (TEXT.encode() + "José\n".encode("cp1252"), "not all"),
    ],
)
def test_sniff_unknown_encoding_raises(content: bytes, why: str) -> None:
    with pytest.raises(SourceFormatError, match="encoding of the CRM file is unknown") as caught:
        find(content)
    assert why in caught.value.why


def test_sniff_wrong_declared_encoding_is_left_to_the_reader() -> None:
    assert find(TEXT.encode("cp1252"), encoding="utf-8") == Dialect(";", "utf-8", '"')


def test_sniff_long_sample_is_fast() -> None:
    line = b'"a@x.example";"x,y";0612345678\n'
    sample = (b"email;note;phone\n" + line * SAMPLE_SIZE)[:SAMPLE_SIZE]
    assert find(sample, complete=False) == Dialect(";", "utf-8", '"')


def test_sniff_unclosed_quote_is_tolerated() -> None:
    assert find("email;note\n" + 'a;"b\n' + "c;d\n" * 50_000, complete=False) == Dialect(";", "utf-8", '"')
