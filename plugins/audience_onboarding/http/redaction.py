"""Vendors' messages without the personal data that they may quote."""

from __future__ import annotations

import re

_TELLING = re.compile(
    r"""
    (?P<kept>
        [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}            # an id
      | (?:19|20)\d{2}-[01]\d-[0-3]\d(?![\d-])                                 # a date
        (?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?Z?                            # or moment
    )
    | (?P<email>[^\s@<>"'`,;:()]+(?:'[^\s@<>"'`,;:()]+)*@[^\s@<>"'`,;:()]+)     # of an O'Brien, too
    | (?P<hash>\b[0-9a-f]{64}\b)
    | (?P<number>\+?\d(?:[\s()./-]{0,2}\d){8,})
    """,
    re.VERBOSE | re.IGNORECASE,
)
MAX_MESSAGE = 300
"""Characters of a vendor's message that go into an error: an answer that is a page of HTML helps nobody."""

_MAX_READ = 2_000
"""Characters that are looked at for it."""

_INSTEAD = {"email": "<e-mail>", "hash": "<hash>", "number": "<number>"}


def redact(text: str) -> str:
    """``text`` with what looks like an e-mail address, a hash or a phone number taken out; ids and dates stay."""
    return _TELLING.sub(lambda found: found[0] if found["kept"] else _INSTEAD[str(found.lastgroup)], text)


def redacted_excerpt(text: str, length: int = MAX_MESSAGE) -> str:
    """The start of a vendor's message, redact. Only then is it cut: half an address is not known for one."""
    return redact(text[:_MAX_READ])[:length]
