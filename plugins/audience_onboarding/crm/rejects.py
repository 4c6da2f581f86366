"""What a list of rejects may show of a value that was not used: enough to see what is wrong, not whose it is."""

from __future__ import annotations

import re

from audience_onboarding.crm.output.profiles import Identifier

_TLD = re.compile(r"\.([A-Za-z]{2,6})\s*$")
_MAX_SHOWN = 20


def mask_value(identifier: Identifier, value: str) -> str:
    """A masked sample of a value.

    Of an e-mail address, the first character and the top-level domain stay (``j***@***.nl``); of a phone number, two
    characters and the number of digits (``06********``); of anything else, the first character.
    """
    text = " ".join(value.split())
    if not text:
        return ""
    start = text[:1] if text[0].isprintable() else "?"
    if "@" in text:
        tld = _TLD.search(text)
        return f"{start}***@***{'.' + tld[1].lower() if tld else ''}"
    if identifier is Identifier.PHONE and text[0] in "+0123456789":
        shown = text[:2] if text[:2].isascii() and text[:2].isprintable() else start
        more = len(text) - len(shown)
        return shown + "*" * min(more, _MAX_SHOWN) + ("..." if more > _MAX_SHOWN else "")
    return f"{start}***"
