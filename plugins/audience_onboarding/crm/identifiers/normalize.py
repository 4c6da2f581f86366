"""Reference rules of the identifiers, one value at a time. The fast path (:mod:`.vectorized`) must equal them.

The fast path answers common values; all others come here. Each function checks in this order: empty, already hashed,
normal form, valid. None raises, for any text, and no result holds a rejected value. Accepted forms with examples:
``docs/reference/identifiers.md``.

Sources: https://doc.digitalaudience.io/product-docs/documentation/crm-onboarding/2.-format-your-data and
https://doc.digitalaudience.io/product-docs/documentation/publisher-onboarding/onboarding-setup
"""

from __future__ import annotations

import datetime
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from audience_onboarding.crm.identifiers.reject_reasons import RejectReason


@dataclass(frozen=True)
class Rejected:
    """A value that is not used, with the reason."""

    reason: RejectReason


_HASHED = re.compile(r"[0-9A-Fa-f]{64}")
_PLUS_TAG = re.compile(r"\+[^@]+")

# Default-ignorable code points outside category Cf: invisible joiners, fillers and variation selectors from copied
# text.
_INVISIBLE = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    ]
)

# Upper bound for any valid value before composition (NFC), which takes quadratic time on long runs of combining marks.
_MAX_COMPOSED = 1024

_LOCAL_PUNCTUATION = frozenset("!#$%&'*+-/=?^_`{|}~")
_MAX_LOCAL_OCTETS = 64
_MAX_LABEL_OCTETS = 63
_MAX_ADDRESS_OCTETS = 254
_MIN_TLD_LENGTH = 2

_PHONE_SEPARATORS = frozenset("-./\\()[]\u2212\uff08\uff09\uff0e\uff0f\uff3b\uff3c\uff3d")
MAX_PHONE_DIGITS = 20
"""With a leading plus."""
OWN_CODE_DIGITS = 12
"""Minimum length of digits that begin with the own country code to be read as written with it."""
DUTCH_COUNTRY_CODE = 31
DUTCH_DIGITS = 11
"""Length of a Dutch number with its country code."""

_PERSONAL_ID = re.compile(r"(18|19|20)?([0-9]{2})([0-9]{2})([0-9]{2})([-+]?)([0-9]{3})([0-9])")
_COORDINATION_DAYS = 60
_YOUNGEST = 2025
_LAST_WITH_PLUS = 1940

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
ZERO_DEVICE_ID = "00000000-0000-0000-0000-000000000000"
"""The id of a device with tracking turned off."""

MAX_POSTAL_LENGTH = 100
MAX_CUSTOM_LENGTH = 255
NULL_TOKENS = frozenset(["null", "(null)", "nan", "none", "undefined", "n/a", "#n/a", "\\n"])
"""Texts of exports for an empty field, in lower case."""

EMPTY_HASH = hashlib.sha256(b"").hexdigest()
"""The SHA-256 of the empty string."""


def sha256_hex(value: str) -> str:
    """SHA-256 of the UTF-8 bytes, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(value.encode("utf-8")).hexdigest()


def remove_blanks(value: str) -> str:
    """Remove white space (``str.isspace``) and invisible characters, at the ends and inside.

    Invisible are the Unicode category Cf (zero-width space, byte order mark, direction marks, soft hyphen) and the
    other default-ignorable code points.
    """
    if value.isascii() and value.isprintable():
        return value.replace(" ", "")
    return "".join(char for char in value if not char.isspace() and not _is_invisible(char))


def _remove_invisible(value: str) -> str:
    return value if value.isascii() else "".join(char for char in value if not _is_invisible(char))


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or ord(char) in _INVISIBLE


def _reject_empty_or_hash(text: str) -> Rejected | None:
    if not text:
        return Rejected(RejectReason.EMPTY)
    return Rejected(RejectReason.ALREADY_HASHED) if _HASHED.fullmatch(text) else None


def normalize_email(value: str, *, strip_plus_tag: bool = False) -> str | Rejected:
    """Normalize an e-mail address: no white space, lower case.

    The form is the dot-atom of RFC 5321: one ``@``, a local part of at most 64 octets without leading, trailing or
    double dots, a domain of at least two labels of which the last is not a number, at most 254 octets. Quoted local
    parts and address literals are rejected: real ones are rarer than typing errors.

    Internationalized addresses (RFC 6531) are accepted: letters, digits and marks of any script, in Unicode's lower
    case and composed (NFC), without transliteration or Punycode. Compatibility variants of Unicode (full-width letters,
    ligatures) are rejected: mail systems do not use them, and folding them would be a guess.

    :param value: the field.
    :param strip_plus_tag: remove the first ``+tag`` of the local part, as the vendor's mobile SDKs do.
    :return: the normalized address, or the rejection.
    """
    address = remove_blanks(value)
    if rejected := _reject_empty_or_hash(address):
        return rejected
    if len(address) > _MAX_COMPOSED:
        return Rejected(RejectReason.INVALID_EMAIL)
    address = unicodedata.normalize("NFC", address.lower())
    if strip_plus_tag:
        address = _PLUS_TAG.sub("", address, count=1)
    return address if _is_email(address) else Rejected(RejectReason.INVALID_EMAIL)


def _is_email(address: str) -> bool:
    local, at, domain = address.partition("@")
    if not at or not local or "@" in domain or unicodedata.normalize("NFKC", address) != address:
        return False
    try:
        octets = len(address.encode("utf-8"))
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 to hash
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
    """Normalize a phone number to its international digits without the plus, such as ``31612345678``.

    White space, invisible characters, plus, dashes of all kinds, dots, slashes, backslashes and brackets are removed;
    digits of any script count. The rest must be digits with at most one leading plus. A number without ``+`` or the
    international prefix (``00``, ``011`` in the US) is one of ``country``; a leading zero or a plus that a spreadsheet
    removed is restored. A ``(0)`` after the country code is removed if the country does not dial it. The number must be
    valid (``phonenumbers.is_valid_number``), and a Dutch one must have the vendor's 11 digits: short service numbers
    and machine SIMs (097) identify no one.

    Twelve or more digits that begin with the own country code are read as written with it, if the number is valid.
    Spreadsheets change ``+4917012345678`` to ``4917012345678``, which ``phonenumbers`` alone reads as a number with
    area code 0491. No German number with an area code is that long without the country code; in the other countries
    served, the rule changes no number.

    A field with letters (an extension, a name, two numbers) is rejected, and so is a floating-point number
    (``1711234567.0``): with a leading zero, it may be the number of another person.

    :param value: the field.
    :param country: ISO 3166-1 alpha-2 code of numbers without country code.
    :return: the digits, or the rejection.
    """
    text = remove_blanks(value)
    if rejected := _reject_empty_or_hash(text):
        return rejected
    number = _digits(text)
    if number is None or (text.endswith((".0", ".00")) and text.count(".") == 1):
        return Rejected(RejectReason.INVALID_PHONE)
    candidates = [number]
    if len(number) >= OWN_CODE_DIGITS and number.startswith(_country_code(country)):
        candidates.insert(0, f"+{number}")
    if "(0)" in text and number.startswith(("+", "00")):
        # Italy dials that zero, Denmark has none: try with it first.
        shorter = _digits(text.replace("(0)", "", 1))
        candidates += [shorter] if shorter else []
    for candidate in candidates:
        digits = _valid_international(candidate, country)
        if digits is not None:
            return digits
    return Rejected(RejectReason.INVALID_PHONE)


def _digits(text: str) -> str | None:
    """Return the digits with an optional leading plus; ``None`` for any other text."""
    out: list[str] = []
    for char in text:
        if char.isdecimal():
            out.append(str(unicodedata.decimal(char)))
        elif char in "+\uff0b" and not out:
            out.append("+")
        elif char not in _PHONE_SEPARATORS and unicodedata.category(char) != "Pd":
            return None
    return "".join(out) if len(out) <= MAX_PHONE_DIGITS else None


def _country_code(country: str) -> str:
    import phonenumbers  # its metadata is heavy

    return str(phonenumbers.country_code_for_region(country))  # 0 for an unknown country


def _valid_international(number: str, country: str) -> str | None:
    import phonenumbers  # its metadata is heavy

    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    digits = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
    if parsed.country_code == DUTCH_COUNTRY_CODE and len(digits) != DUTCH_DIGITS:
        return None
    return digits


def normalize_personal_id(value: str) -> str | Rejected:
    """Normalize a Swedish personal identity number (personnummer, samordningsnummer) to ``YYYYMMDDNNNN``.

    The vendor does not publish its rule. Twelve digits are inferred: the Swedish Tax Agency stores the number so, and
    people born a century apart do not share one.

    Input is ten or twelve digits, with or without ``-`` or ``+`` before the last four. The kind of dash does not
    matter. The date must exist, coordination numbers (samordningsnummer) add 60 to the day, the birth number is 001 to
    999, and the last digit is the checksum (Luhn, over ten digits).

    The century of ten digits does not depend on the current date, so a file never changes its meaning. With ``-`` or no
    sign it is the last year until 2025 with these digits: by law the sign changes to ``+`` in the year of the hundredth
    birthday, and people born after 2025 are no customers yet. With ``+`` it is 19yy, rejected from 1941 on: a person
    born in 18yy is not alive.

    https://www4.skatteverket.se/rattsligvagledning/edition/2020.9/330245.html

    :param value: the field.
    :return: the twelve digits, or the rejection.
    """
    text = remove_blanks(value)
    if rejected := _reject_empty_or_hash(text):
        return rejected
    match = _PERSONAL_ID.fullmatch("".join(map(_plain_sign, text)))
    if match is None:
        return Rejected(RejectReason.INVALID_PERSONAL_ID)
    century, year, month, day, sign, birth_number, checksum = match.groups()
    full_year = f"{century}{year}" if century else _full_year(year, sign)
    rest = f"{month}{day}{birth_number}{checksum}"
    if (
        not full_year
        or birth_number == "000"
        or not _is_day(full_year, month, day)
        or not _is_luhn(year + rest)
    ):
        return Rejected(RejectReason.INVALID_PERSONAL_ID)
    return full_year + rest


def _plain_sign(char: str) -> str:
    """Return the ASCII digit, minus or plus for a character."""
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char == "\u2212" or unicodedata.category(char) == "Pd":
        return "-"
    return "+" if char == "\uff0b" else char


def _full_year(year: str, sign: str) -> str | None:
    if sign == "+":
        return f"19{year}" if int(f"19{year}") <= _LAST_WITH_PLUS else None
    return f"20{year}" if int(f"20{year}") <= _YOUNGEST else f"19{year}"


def _is_day(year: str, month: str, day: str) -> bool:
    number = int(day)
    if number > _COORDINATION_DAYS:
        number -= _COORDINATION_DAYS
    try:
        datetime.date(int(year), int(month), number)
    except ValueError:
        return False
    return True


def _is_luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::2])
    return (doubled + sum(map(int, digits[1::2]))) % 10 == 0


def normalize_device_id(value: str, *, platform: Literal["android", "apple"]) -> str | Rejected:
    """Normalize an advertising id: a UUID in five groups, in lower case for Android and in upper case for Apple.

    The vendor states only that ids are sent unhashed. The case is inferred: the vendor's SDKs collect the ids of the
    operating systems. Ids without hyphens are rejected: 32 hexadecimal digits may be an MD5.

    A device with tracking turned off has the id of all zeros
    (https://developer.apple.com/documentation/adsupport/asidentifiermanager/advertisingidentifier), which would match
    all of them.

    :param value: the field.
    :return: the id, or the rejection.
    """
    text = remove_blanks(value)
    if rejected := _reject_empty_or_hash(text):
        return rejected
    if not _UUID.fullmatch(text) or text == ZERO_DEVICE_ID:
        return Rejected(RejectReason.INVALID_DEVICE_ID)
    return text.upper() if platform == "apple" else text.lower()


def normalize_postal_part(value: str) -> str | Rejected:
    """Normalize a postal code, a house number, its extension, an apartment or a street.

    The vendor gets these unhashed and does not document its comparison, so the visible text does not change: white
    space is trimmed and collapsed, invisible characters are removed, and characters are composed (NFC).

    The rule rejects more than 100 characters, control characters, the replacement character (U+FFFD, from a wrong
    encoding), hashes, and :data:`NULL_TOKENS`.

    :param value: the field.
    :return: the text, or the rejection.
    """
    text = " ".join(_remove_invisible(value).split())
    if _HASHED.fullmatch(text.replace(" ", "")):
        return Rejected(RejectReason.ALREADY_HASHED)
    if len(text) > _MAX_COMPOSED:
        return Rejected(RejectReason.INVALID_TEXT)
    return _valid_text(unicodedata.normalize("NFC", text), MAX_POSTAL_LENGTH)


def normalize_custom(value: str) -> str | Rejected:
    """Normalize an id of the advertiser: trim white space and remove invisible characters only.

    It must equal the id that the vendor got from the advertiser's site or app. 64 hexadecimal digits are a valid id.

    The rule rejects more than 255 characters, control characters, the replacement character (U+FFFD), and
    :data:`NULL_TOKENS`: an id that many people share identifies none of them.

    :param value: the field.
    :return: the id, or the rejection.
    """
    return _valid_text(_remove_invisible(value).strip(), MAX_CUSTOM_LENGTH)


def _valid_text(text: str, max_length: int) -> str | Rejected:
    if not text:
        return Rejected(RejectReason.EMPTY)
    if (
        len(text) > max_length
        or text.lower() in NULL_TOKENS
        or any(char == "\ufffd" or unicodedata.category(char) in {"Cc", "Cs"} for char in text)
    ):
        return Rejected(RejectReason.INVALID_TEXT)
    return text


def normalize_hash(value: str) -> str | Rejected:
    """Normalize a SHA-256 that was computed elsewhere: 64 hexadecimal digits of either case, returned in lower case.

    :param value: the field.
    :return: the hash, or the rejection.
    """
    text = remove_blanks(value)
    if not text:
        return Rejected(RejectReason.EMPTY)
    if not _HASHED.fullmatch(text):
        return Rejected(RejectReason.NOT_HASHED)
    text = text.lower()
    return Rejected(RejectReason.EMPTY_HASH) if text == EMPTY_HASH else text
