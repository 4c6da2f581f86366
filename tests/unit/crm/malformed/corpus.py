"""All of them."""

from __future__ import annotations

from tests.unit.crm.malformed.case import Case
from tests.unit.crm.malformed.encodings import ENCODINGS
from tests.unit.crm.malformed.headers import EMPTY, HEADERS
from tests.unit.crm.malformed.other_kinds import ARCHIVES, KINDS
from tests.unit.crm.malformed.sizes import BORDERS, SIZES
from tests.unit.crm.malformed.structure import DELIMITERS, LINE_ENDS, QUOTES, ROWS
from tests.unit.crm.malformed.values import EMAILS, HASHES, PHONES, SPREADSHEETS, WHOLE

CORPUS: list[Case] = [
    *EMPTY,
    *HEADERS,
    *ROWS,
    *LINE_ENDS,
    *QUOTES,
    *DELIMITERS,
    *ENCODINGS,
    *KINDS,
    *ARCHIVES,
    *SPREADSHEETS,
    *PHONES,
    *EMAILS,
    *HASHES,
    *WHOLE,
    *SIZES,
]
"""Each a file of its own."""

CORPUS_OF_BORDERS: list[Case] = BORDERS
"""A few faults, each at many places."""
