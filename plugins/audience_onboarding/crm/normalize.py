"""The rules for each identifier, written to be read: the reference that the columnar engine must equal.

The engine answers plain values by itself and hands every other one to these functions, so they decide every
odd case. Messages and results never carry the value that was refused.

Sources: https://doc.digitalaudience.io/product-docs/documentation/crm-onboarding/2.-format-your-data and
https://doc.digitalaudience.io/product-docs/documentation/publisher-onboarding/onboarding-setup
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from audience_onboarding.crm.reasons import Reason


@dataclass(frozen=True)
class Rejected:
    """A value that is not used, and why."""

    reason: Reason


_HASHED = re.compile(r"[0-9A-Fa-f]{64}")
_PLUS_TAG = re.compile(r"\+[^@]+")

# Default-ignorable code points that are not of category Cf: joiners, fillers and variation selectors, which
# come in by copy and paste and cannot be seen.
_INVISIBLE = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    ]
)

_LOCAL_PUNCTUATION = frozenset("!#$%&'*+-/=?^_`{|}~")
_MAX_LOCAL_OCTETS = 64
_MAX_LABEL_OCTETS = 63
_MAX_ADDRESS_OCTETS = 254
_MIN_TLD_LENGTH = 2

_PHONE_SEPARATORS = frozenset("-./\\()[]\u2212\uff08\uff09\uff0e\uff0f\uff3b\uff3c\uff3d")
_MAX_PHONE_DIGITS = 20
_DUTCH_COUNTRY_CODE = 31
_DUTCH_DIGITS = 11


def sha256_hex(value: str) -> str:
    """SHA-256 of the UTF-8 bytes, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(value.encode("utf-8")).hexdigest()


def remove_blanks(value: str) -> str:
    """Remove white space and invisible characters, at the ends and inside.

    White space is what ``str.isspace`` says (no-break space included). Invisible characters are the Unicode
    category Cf (zero-width space, byte order mark, direction marks, soft hyphen) and the other
    default-ignorable code points.
    """
    if value.isascii() and value.isprintable():
        return value.replace(" ", "")
    return "".join(
        char
        for char in value
        if not char.isspace() and unicodedata.category(char) != "Cf" and ord(char) not in _INVISIBLE
    )


def normalize_email(value: str, *, strip_plus_tag: bool = False) -> str | Rejected:
    """Normalise an e-mail address: no white space, lower case.

    The shape is RFC 5321's dot-atom form: one ``@``, a local part of at most 64 octets without leading,
    trailing or double dots, a domain of at least two labels whose last one is not a number, 254 octets in
    all. Quoted local parts and address literals are refused: real ones are rarer than typing errors of that
    shape.

    Internationalised addresses (RFC 6531) are accepted: letters, digits and marks of any script, lower-cased
    by Unicode's rules and composed (NFC). Nothing is transliterated and domains are not turned into Punycode.
    Characters that Unicode calls compatibility variants (full-width letters, ligatures) are refused, because
    no mail system uses them and folding them would be a guess.

    :param value: the raw field.
    :param strip_plus_tag: remove the first ``+tag`` of the local part, as the vendor's mobile SDKs do.
    :return: the normalised address, or the reason why there is none.
    """
    address = remove_blanks(value)
    if not address:
        return Rejected(Reason.EMPTY)
    if _HASHED.fullmatch(address):
        return Rejected(Reason.ALREADY_HASHED)
    address = unicodedata.normalize("NFC", address.lower())
    if strip_plus_tag:
        address = _PLUS_TAG.sub("", address, count=1)
    return address if _is_email(address) else Rejected(Reason.INVALID_EMAIL)


def _is_email(address: str) -> bool:
    local, at, domain = address.partition("@")
    if not at or not local or "@" in domain or unicodedata.normalize("NFKC", address) != address:
        return False
    try:
        octets = len(address.encode("utf-8"))
    except UnicodeEncodeError:  # lone surrogates: cannot be hashed as UTF-8 either
        return False
    return octets <= _MAX_ADDRESS_OCTETS and _is_local(local) and _is_domain(domain)


def _is_local(local: str) -> bool:
    if len(local.encode("utf-8")) > _MAX_LOCAL_OCTETS:
        return False
    return all(
        atom and all(_is_word(char) or char in _LOCAL_PUNCTUATION for char in atom)
        for atom in local.split(".")
    )


def _is_domain(domain: str) -> bool:
    labels = domain.split(".")
    if len(labels) < 2 or len(labels[-1]) < _MIN_TLD_LENGTH or labels[-1].isdecimal():  # noqa: PLR2004 (dotted)
        return False
    return all(
        label
        and len(label.encode("utf-8")) <= _MAX_LABEL_OCTETS
        and label[0] != "-"
        and label[-1] != "-"
        and all(_is_word(char) or char == "-" for char in label)
        for label in labels
    )


def _is_word(char: str) -> bool:
    if char.isascii():
        return char.isalnum()
    return unicodedata.category(char) in {"Ll", "Lm", "Lo", "Mn", "Mc", "Nd"}


def normalize_phone(value: str, *, country: str = "NL") -> str | Rejected:
    """Normalise a phone number to its international digits without the plus, such as ``31612345678``.

    White space, invisible characters, plus, dashes of all kinds, dots, slashes, backslashes and brackets are
    taken out; digits of any script count. What remains must be digits with at most one plus in front. A
    number without ``+`` or ``00`` is one of ``country``; a leading zero that a spreadsheet ate is put back,
    as is a country code without plus. A ``(0)`` after the country code is dropped where the country does not
    dial it. The number must be valid by the numbering plan (``phonenumbers.is_valid_number``), and a Dutch
    one must have the vendor's 11 digits: short service numbers and machine SIMs (097) identify nobody.

    A field with letters (an extension, a name, two numbers with a word between them) is refused.

    :param value: the raw field.
    :param country: ISO 3166-1 alpha-2 code of numbers without country code.
    :return: the digits, or the reason why there are none.
    """
    text = remove_blanks(value)
    if not text:
        return Rejected(Reason.EMPTY)
    if _HASHED.fullmatch(text):
        return Rejected(Reason.ALREADY_HASHED)
    number = _digits(text)
    if number is None:
        return Rejected(Reason.INVALID_PHONE)
    candidates = [number]
    if "(0)" in text and number.startswith(("+", "00")):
        # Italy dials that zero, Denmark has none: try as written first, then without.
        without = _digits(text.replace("(0)", "", 1))
        candidates += [without] if without else []
    for candidate in candidates:
        digits = _valid_international(candidate, country)
        if digits is not None:
            return digits
    return Rejected(Reason.INVALID_PHONE)


def _digits(text: str) -> str | None:
    """Digits with an optional leading plus, ``None`` where anything else is left."""
    out: list[str] = []
    for char in text:
        if char.isdecimal():
            out.append(str(unicodedata.decimal(char)))
        elif char in "+\uff0b" and not out:
            out.append("+")
        elif char not in _PHONE_SEPARATORS and unicodedata.category(char) != "Pd":
            return None
    return "".join(out) if len(out) <= _MAX_PHONE_DIGITS else None


def _valid_international(number: str, country: str) -> str | None:
    import phonenumbers  # its metadata is heavy

    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    digits = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
    if parsed.country_code == _DUTCH_COUNTRY_CODE and len(digits) != _DUTCH_DIGITS:
        return None
    return digits
