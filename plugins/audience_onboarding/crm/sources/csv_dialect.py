"""What a delimited text file is written with, where the definition leaves that to us.

A guess that is right nearly always is wrong on some night. So this looks for what only one answer explains, and where
two explain the file equally well it stops and asks to declare it.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

from audience_onboarding.exceptions import SourceFormatError

AUTO = "auto"
"""A delimiter, an encoding or a quote character that is to be found out."""

DELIMITERS = (",", ";", "\t", "|")
"""The delimiters that are looked for."""

SAMPLE_SIZE = 256 * 1024
"""Bytes at the beginning of a file that are enough to look at."""

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
    """How a file is written.

    :param delimiter: between fields.
    :param encoding: Python's name.
    :param quote: around fields that hold delimiters.
    """

    delimiter: str
    encoding: str
    quote: str


def sniff(
    sample: bytes, *, delimiter: str, encoding: str, quote: str, where: str, complete: bool = False
) -> Dialect:
    """Find out what is :data:`AUTO`; leave the rest as it is.

    * The encoding: what a byte order mark says; else UTF-16 where every other byte is NUL; else UTF-8 if the sample
      is; else ``cp1252``, which is all that can be said of a file of one byte a character.
    * The delimiter: the one of comma, semicolon, tab and vertical bar that is in the header and gives most records as
      many fields as the header. A comma where the header has none of them: a file of one column.
    * The quote: a double quote, unless only single quotes make sense of the records, or are around all names.

    :param sample: the beginning of the file, unpacked. It may end anywhere.
    :param where: name of the source, for messages.
    :param complete: the sample is the whole file.
    :raises SourceFormatError: two answers are equally good, or none is.
    """
    if AUTO not in (delimiter, encoding, quote):
        return Dialect(delimiter, encoding, quote)
    found_encoding = _encoding(sample, where, complete) if encoding == AUTO else encoding
    if AUTO not in (delimiter, quote):
        return Dialect(delimiter, found_encoding, quote)
    text = _text(sample, found_encoding, complete)
    delimiters = DELIMITERS if delimiter == AUTO else (delimiter,)
    # A delimiter cannot be the quote, whichever of the two was declared.
    quotes = [mark for mark in ('"', "'") if mark != delimiter] if quote == AUTO else [quote]
    best = [
        _best(text, [mark for mark in delimiters if mark != quotation], quotation, complete)
        for quotation in quotes
    ]
    answer = best[0]
    if len(best) > 1 and _single_quotes_win(*best):
        answer = best[1]
    if len(answer.delimiters) > 1:
        names = " and ".join(f"{mark!r} ({_NAMES[mark]})" for mark in answer.delimiters)
        raise SourceFormatError(
            what="the delimiter of the CRM file cannot be told",
            where=where,
            why=f"{names} fit equally well",
            next_step="Set the delimiter of the source in the definition",
        )
    return Dialect(answer.delimiters[0], found_encoding, answer.quote)


# --- encoding ------------------------------------------------------------------------------------------------


def _encoding(sample: bytes, where: str, complete: bool) -> str:
    if sample.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise _unknown_encoding(where, "it begins with the byte order mark of UTF-32", "Export it as UTF-8")
    for mark, name in _UTF16_MARKS.items():
        if sample.startswith(mark):
            return name
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if utf16 := _utf16_by_nuls(sample):
        return utf16
    if _decodes(sample, "utf-8", complete):
        return "utf-8"
    # Two files that somebody put together: neither encoding is right for all of it.
    text = sample.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    if sum(not character.isascii() for character in text) - wrong > wrong:
        raise _unknown_encoding(where, "most of it is UTF-8, but not all", "Export it as UTF-8 throughout")
    if 0 not in sample and _decodes(sample, "cp1252", complete):
        return "cp1252"
    raise _unknown_encoding(
        where,
        "it is none of UTF-8, UTF-16 and Windows-1252",
        "Set the encoding of the source in the definition",
    )


def _unknown_encoding(where: str, why: str, next_step: str) -> SourceFormatError:
    return SourceFormatError(
        what="the encoding of the CRM file cannot be told", where=where, why=why, next_step=next_step
    )


def _utf16_by_nuls(sample: bytes) -> str:
    """Without a byte order mark: of Latin letters, digits and delimiters every other byte is NUL."""
    pairs = len(sample) // 2
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    if second > _MANY_NULS * pairs and first <= _FEW_NULS * pairs:
        return "utf-16-le"
    if first > _MANY_NULS * pairs and second <= _FEW_NULS * pairs:
        return "utf-16-be"
    return ""


def _decodes(sample: bytes, encoding: str, complete: bool) -> bool:
    try:
        # A character that the end of the sample cuts is none that is wrong.
        codecs.getincrementaldecoder(encoding)().decode(sample, final=complete)
    except UnicodeDecodeError:
        return False
    return True


def _text(sample: bytes, encoding: str, complete: bool) -> str:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    # Python 3.10's csv refuses NUL.
    return decoder.decode(sample, final=complete).lstrip("\ufeff").replace("\0", "\ufffd")


# --- delimiter and quote -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answer:
    """What one quote character makes of the sample.

    :param delimiters: those that fit best; more than one if they fit equally well.
    :param fitting: records after the header with as many fields as the header.
    :param records: all records after the header.
    :param header: its fields.
    :param stray: records with a quote character within a field. It may belong there, or the delimiter is wrong.
    :param used: some field is quoted, and has to be.
    """

    quote: str
    delimiters: tuple[str, ...]
    fitting: int
    records: int
    header: tuple[str, ...]
    stray: int
    used: bool


def _best(text: str, delimiters: list[str], quote: str, complete: bool) -> _Answer:
    answers = [_reference_result(text, delimiter, quote, complete) for delimiter in delimiters]
    # A delimiter that the header does not hold is none, whatever the rows hold.
    split = [answer for answer in answers if len(answer.header) > 1]
    if not split:
        return answers[0]
    rank = max((answer.fitting, -answer.stray) for answer in split)
    best = [answer for answer in split if (answer.fitting, -answer.stray) == rank]
    return replace(best[0], delimiters=tuple(answer.delimiters[0] for answer in best))


def _reference_result(text: str, delimiter: str, quote: str, complete: bool) -> _Answer:
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
    """Fields of the first records, ``None`` for broken quoting; no blank lines, and nothing that is cut off."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True)
    held: list[str] | None = None
    holds = False
    given = 0
    while given < _MAX_RECORDS:
        row: list[str] | None = None
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error:
            pass
        if row == []:
            continue
        if holds:
            yield held
            given += 1
        held, holds = row, True
    # The last one may be cut off, if it is not the only one.
    if holds and (complete or not given or (held is not None and text.endswith(("\n", "\r")))):
        yield held


def _single_quotes_win(double: _Answer, single: _Answer) -> bool:
    if len(single.delimiters) > 1:
        return False
    wrapped = all(len(name) > 1 and name[0] == name[-1] == "'" for name in double.header)
    if double.header and wrapped:
        return True
    # Names such as 's-Gravenhage begin with one: a double quote has the first word.
    return single.used and double.fitting < double.records and single.fitting == single.records
