"""Detect the delimiter, encoding and quote character of a delimited text file.

A guess that is nearly always right fails one night. So detection accepts only a unique answer; if two fit equally well,
it fails and asks for a declaration.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

from audience_onboarding.exceptions import SourceFormatError

AUTO = "auto"
"""A delimiter, encoding or quote character to detect."""

DELIMITERS = (",", ";", "\t", "|")
"""Delimiters that are detected."""

SAMPLE_SIZE = 256 * 1024
"""Bytes at the beginning of a file for detection."""

_MAX_RECORDS = 1000
_NAMES = {
    ",": "comma",
    ";": "semicolon",
    "\t": "tab",
    "|": "vertical bar",
    '"': "double quote",
    "'": "single quote",
}
_UTF16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_MANY_NULS = 0.3
_FEW_NULS = 0.05


@dataclass(frozen=True)
class Dialect:
    """Format of a file.

    :param delimiter: between fields.
    :param encoding: Python's name.
    :param quote: around fields with delimiters.
    """

    delimiter: str
    encoding: str
    quote: str


def sniff(
    sample: bytes, *, delimiter: str, encoding: str, quote: str, where: str, complete: bool = False
) -> Dialect:
    """Detect the values that are :data:`AUTO`.

    * The encoding: that of a byte order mark; else UTF-16 if every other byte is NUL; else UTF-8 if it decodes the
      sample; else ``cp1252``, the usual one of one byte per character.
    * The delimiter: of comma, semicolon, tab and vertical bar the one that is in the header and gives most records as
      many fields as the header. A comma if the header has none of them: a file of one column.
    * The quote: a double quote, unless only single quotes explain the records, or enclose all names.

    :param sample: the beginning of the decompressed file. It may end anywhere.
    :param where: name of the source, for messages.
    :param complete: the sample is the whole file.
    :raises SourceFormatError: no answer, or two that fit equally well.
    """
    if AUTO not in (delimiter, encoding, quote):
        return Dialect(delimiter, encoding, quote)
    if encoding == AUTO:
        encoding = _detect_encoding(sample, where, complete)
    if AUTO not in (delimiter, quote):
        return Dialect(delimiter, encoding, quote)
    text = _decode(sample, encoding, complete)
    delimiters = DELIMITERS if delimiter == AUTO else (delimiter,)
    # A delimiter cannot be the quote, too.
    quotes = [mark for mark in ('"', "'") if mark != delimiter] if quote == AUTO else [quote]
    best = [
        _detect_delimiter(text, [mark for mark in delimiters if mark != quotation], quotation, complete)
        for quotation in quotes
    ]
    answer = best[0]
    if len(best) > 1 and _single_quotes_win(*best):
        answer = best[1]
    if len(answer.delimiters) > 1:
        names = " and ".join(f"{mark!r} ({_NAMES[mark]})" for mark in answer.delimiters)
        raise SourceFormatError(
            what="The delimiter of the CRM file is ambiguous",
            where=where,
            why=f"{names} fit equally well",
            next_step="Set the delimiter of the source in the definition",
        )
    return Dialect(answer.delimiters[0], encoding, answer.quote)


# --- encoding ------------------------------------------------------------------------------------------------


def _detect_encoding(sample: bytes, where: str, complete: bool) -> str:
    if sample.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise _unknown_encoding(where, "it has a byte order mark of UTF-32", "Export it as UTF-8")
    for mark, name in _UTF16_MARKS.items():
        if sample.startswith(mark):
            return name
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if utf16 := _utf16_by_nuls(sample):
        return utf16
    if _decodes(sample, "utf-8", complete):
        return "utf-8"
    # Concatenated files: no encoding is right for all of it.
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    if sum(not character.isascii() for character in text) - wrong > wrong:
        raise _unknown_encoding(where, "most of it is UTF-8, but not all", "Export it as UTF-8 throughout")
    if 0 not in sample and _decodes(sample, "cp1252", complete):
        return "cp1252"
    raise _unknown_encoding(
        where,
        "it is neither UTF-8 nor UTF-16 nor Windows-1252",
        "Set the encoding of the source in the definition",
    )


def _unknown_encoding(where: str, why: str, next_step: str) -> SourceFormatError:
    return SourceFormatError(
        what="The encoding of the CRM file is unknown", where=where, why=why, next_step=next_step
    )


def _utf16_by_nuls(sample: bytes) -> str:
    """Return UTF-16 without a byte order mark: every other byte of Latin text is NUL."""
    pairs = len(sample) // 2
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    if second > _MANY_NULS * pairs and first <= _FEW_NULS * pairs:
        return "utf-16-le"
    if first > _MANY_NULS * pairs and second <= _FEW_NULS * pairs:
        return "utf-16-be"
    return ""


def _decodes(sample: bytes, encoding: str, complete: bool) -> bool:
    try:
        # The end of the sample may cut a character.
        codecs.getincrementaldecoder(encoding)().decode(sample, final=complete)
    except UnicodeDecodeError:
        return False
    return True


def _decode(sample: bytes, encoding: str, complete: bool) -> str:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    # Python 3.10's csv refuses NUL.
    return decoder.decode(sample, final=complete).lstrip("\ufeff").replace("\0", "\ufffd")


# --- delimiter and quote -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answer:
    """Records of the sample with one quote character.

    :param delimiters: the best ones; more than one if they fit equally well.
    :param fitting: records after the header with as many fields as the header.
    :param records: all records after the header.
    :param header: its fields.
    :param stray: records with a quote character inside a field: part of the text, or a wrong delimiter.
    :param used: a field needs its quotes.
    """

    quote: str
    delimiters: tuple[str, ...]
    fitting: int
    records: int
    header: tuple[str, ...]
    stray: int
    used: bool


def _detect_delimiter(text: str, delimiters: list[str], quote: str, complete: bool) -> _Answer:
    answers = [_parse_sample(text, delimiter, quote, complete) for delimiter in delimiters]
    # A delimiter must be in the header.
    split = [answer for answer in answers if len(answer.header) > 1]
    if not split:
        return answers[0]
    rank = max((answer.fitting, -answer.stray) for answer in split)
    best = [answer for answer in split if (answer.fitting, -answer.stray) == rank]
    return replace(best[0], delimiters=tuple(answer.delimiters[0] for answer in best))


def _parse_sample(text: str, delimiter: str, quote: str, complete: bool) -> _Answer:
    records = list(_records(text, delimiter, quote, complete))
    header = (records[0] if records else None) or []
    good = [record for record in records if record is not None]
    return _Answer(
        quote=quote,
        delimiters=(delimiter,),
        fitting=sum(record is not None and len(record) == len(header) for record in records[1:]),
        records=len(records[1:]),
        header=tuple(header),
        stray=sum(any(quote in field for field in record) for record in good),
        used=any(mark in field for record in good for field in record for mark in (delimiter, "\r", "\n")),
    )


def _records(text: str, delimiter: str, quote: str, complete: bool) -> Iterator[list[str] | None]:
    """Return the fields of the first complete records, without blank lines; ``None`` for broken quoting."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)
    last: list[str] | None = None
    pending = False
    count = 0
    while count < _MAX_RECORDS:
        row: list[str] | None = None
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error:
            pass
        if row == []:
            continue
        if pending:
            yield last
            count += 1
        last, pending = row, True
    # The last one may be cut off, unless it is the only one.
    if pending and (complete or not count or (last is not None and text.endswith(("\n", "\r")))):
        yield last


def _single_quotes_win(double: _Answer, single: _Answer) -> bool:
    if len(single.delimiters) > 1:
        return False
    wrapped = all(len(name) > 1 and name[0] == name[-1] == "'" for name in double.header)
    if double.header and wrapped:
        return True
    # Names such as 's-Gravenhage begin with one, so a double quote has precedence.
    return single.used and double.fitting < double.records and single.fitting == single.records
