"""The rules for each identifier, written to be read: the reference that the columnar engine must equal.

The engine answers plain values by itself and hands every other one to these functions, so they decide every
odd case. Each asks in this order: is there anything, is it hashed already, what is its normal form, is that valid?
None raises, whatever the text; results never carry the value that was refused. What each accepts and sends, with
examples: ``docs/reference/identifiers.md``.

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
    """A value that is not used, and why."""

    reason: RejectReason


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

# Nothing that is valid in the end is longer than this before it is composed (NFC), which takes quadratic time on
# long runs of combining marks.
_MAX_COMPOSED = 1024

_LOCAL_PUNCTUATION = frozenset("!#$%&'*+-/=?^_`{|}~")
_MAX_LOCAL_OCTETS = 64
_MAX_LABEL_OCTETS = 63
_MAX_ADDRESS_OCTETS = 254
_MIN_TLD_LENGTH = 2

_PHONE_SEPARATORS = frozenset("-./\\()[]\u2212\uff08\uff09\uff0e\uff0f\uff3b\uff3c\uff3d")
MAX_PHONE_DIGITS = 20
"""A leading plus included."""
OWN_CODE_DIGITS = 12
"""From this length on, digits that begin with the own country code are read as written with it."""
DUTCH_COUNTRY_CODE = 31
DUTCH_DIGITS = 11
"""Those of a Dutch number with its country code."""

_PERSONAL_ID = re.compile(r"(18|19|20)?([0-9]{2})([0-9]{2})([0-9]{2})([-+]?)([0-9]{3})([0-9])")
_COORDINATION_DAYS = 60
_YOUNGEST = 2025
_LAST_WITH_PLUS = 1940

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
ZERO_DEVICE_ID = "00000000-0000-0000-0000-000000000000"
"""What devices give when tracking is off."""

MAX_POSTAL_LENGTH = 100
MAX_CUSTOM_LENGTH = 255
NULL_TOKENS = frozenset(["null", "(null)", "nan", "none", "undefined", "n/a", "#n/a", "\\n"])
"""What exports write for an empty field, in lower case."""


EMPTY_HASH = hashlib.sha256(b"").hexdigest()
"""The SHA-256 of the empty string."""


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
    return "".join(char for char in value if not char.isspace() and not _is_invisible(char))


def _remove_invisible(value: str) -> str:
    return value if value.isascii() else "".join(char for char in value if not _is_invisible(char))


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or ord(char) in _INVISIBLE


def _nothing_or_hash(text: str) -> Rejected | None:
    """What each rule asks first: is there anything, is it hashed already?"""
    if not text:
        return Rejected(RejectReason.EMPTY)
    return Rejected(RejectReason.ALREADY_HASHED) if _HASHED.fullmatch(text) else None


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
    if refused := _nothing_or_hash(address):
        return refused
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
    number without ``+`` or what one dials to get abroad (``00``, from the US ``011``) is one of ``country``; a
    leading zero that a spreadsheet ate is put back, as is a plus before the own country code. A ``(0)`` after the
    country code is dropped where the country does not dial it. The number must be valid by the numbering plan
    (``phonenumbers.is_valid_number``), and a Dutch one must have the vendor's 11 digits: short service numbers and
    machine SIMs (097) identify nobody.

    Twelve or more digits that begin with the own country code are read as written with it, if that makes a valid
    number. Spreadsheets turn ``+4917012345678`` into ``4917012345678``, which ``phonenumbers`` alone takes for a
    number of the German town with area code 0491. No German number with an area code is that long without the
    country code; in the other countries served, the rule changes nothing.

    A field with letters (an extension, a name, two numbers with a word between them) is refused, and so is one that a
    program has made a floating-point number of (``1711234567.0``): with its zero, it could be somebody else's.

    :param value: the raw field.
    :param country: ISO 3166-1 alpha-2 code of numbers without country code.
    :return: the digits, or the reason why there are none.
    """
    text = remove_blanks(value)
    if refused := _nothing_or_hash(text):
        return refused
    number = _digits(text)
    if number is None or (text.endswith((".0", ".00")) and text.count(".") == 1):
        return Rejected(RejectReason.INVALID_PHONE)
    candidates = [number]
    if len(number) >= OWN_CODE_DIGITS and number.startswith(_country_code(country)):
        candidates.insert(0, f"+{number}")
    if "(0)" in text and number.startswith(("+", "00")):
        # Italy dials that zero, Denmark has none: try as written first, then without.
        without = _digits(text.replace("(0)", "", 1))
        candidates += [without] if without else []
    for candidate in candidates:
        digits = _valid_international(candidate, country)
        if digits is not None:
            return digits
    return Rejected(RejectReason.INVALID_PHONE)


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
    return "".join(out) if len(out) <= MAX_PHONE_DIGITS else None


def _country_code(country: str) -> str:
    import phonenumbers  # its metadata is heavy

    return str(phonenumbers.country_code_for_region(country))  # 0 if there is no such country


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
    """Normalise a Swedish personal identity number (personnummer, samordningsnummer) to ``YYYYMMDDNNNN``.

    The vendor's own rule is not public. Twelve digits are inferred: it is how the Swedish Tax Agency stores the
    number, so that people born a century apart do not share one.

    Ten or twelve digits, with or without ``-`` or ``+`` before the last four; white space, invisible characters and
    the kind of dash do not matter. The date must exist, coordination numbers (samordningsnummer) add 60 to its day,
    the birth number is 001 to 999, and the last digit is the checksum (Luhn, over ten digits).

    The century of ten digits does not depend on today, so that a file means the same whenever it is read. With ``-``
    or nothing it is the last year until 2025 with these digits: by law the sign becomes ``+`` in the year of the
    hundredth birthday, and who was born after 2025 is no customer for years to come. With ``+`` it is 19yy, and
    refused from 1941 on: whoever that was, born in 18yy, is not alive.

    https://www4.skatteverket.se/rattsligvagledning/edition/2020.9/330245.html

    :param value: the raw field.
    :return: the twelve digits, or the reason why there are none.
    """
    text = remove_blanks(value)
    if refused := _nothing_or_hash(text):
        return refused
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
    """The ASCII digit, minus or plus that a character stands for."""
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
    """Normalise an advertising id: a UUID in five groups, in lower case for Android and in upper case for Apple.

    The vendor says only that ids are sent raw. The case is inferred: it is what the systems print, and so what the
    vendor's SDKs have collected. Ids without hyphens are refused, as 32 hexadecimal digits are just as well an MD5.

    All zeros are what a device gives whose user does not want to be tracked
    (https://developer.apple.com/documentation/adsupport/asidentifiermanager/advertisingidentifier); they would match
    everybody.

    :param value: the raw field.
    :param platform: whose id it is.
    :return: the id, or the reason why there is none.
    """
    text = remove_blanks(value)
    if refused := _nothing_or_hash(text):
        return refused
    if not _UUID.fullmatch(text) or text == ZERO_DEVICE_ID:
        return Rejected(RejectReason.INVALID_DEVICE_ID)
    return text.upper() if platform == "apple" else text.lower()


def normalize_postal_part(value: str) -> str | Rejected:
    """Normalise a postal code, a house number, its extension, an apartment or a street.

    The vendor takes these raw and does not say how it compares them, so the text stays what it is: neither case nor
    spaces inside change. Only what cannot be seen does: white space at the ends goes, runs of it become one space,
    invisible characters go, and characters are composed (NFC).

    Refused are more than 100 characters, control characters, the replacement character (U+FFFD: somebody has decoded
    the text wrongly), hashes, and the words that exports write for an empty field, such as ``NULL``.

    :param value: the raw field.
    :return: the text, or the reason why there is none.
    """
    text = " ".join(_remove_invisible(value).split())
    if _HASHED.fullmatch(text.replace(" ", "")):
        return Rejected(RejectReason.ALREADY_HASHED)
    if len(text) > _MAX_COMPOSED:
        return Rejected(RejectReason.INVALID_TEXT)
    return _valid_text(unicodedata.normalize("NFC", text), MAX_POSTAL_LENGTH)


def normalize_custom(value: str) -> str | Rejected:
    """Normalise an id of the advertiser's own: white space at the ends and invisible characters go, nothing else.

    It must equal, to the letter, what the vendor got from the advertiser's site or app. 64 hexadecimal digits are as
    good an id as any.

    Refused are more than 255 characters, control characters, the replacement character (U+FFFD), and the words that
    exports write for an empty field: an id that thousands of people share identifies none of them.

    :param value: the raw field.
    :return: the id, or the reason why there is none.
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
    """Take a SHA-256 that was computed elsewhere: 64 hexadecimal digits of either case, given in lower case.

    :param value: the raw field.
    :return: the hash, or the reason why there is none.
    """
    text = remove_blanks(value)
    if not text:
        return Rejected(RejectReason.EMPTY)
    if not _HASHED.fullmatch(text):
        return Rejected(RejectReason.NOT_HASHED)
    text = text.lower()
    return Rejected(RejectReason.EMPTY_HASH) if text == EMPTY_HASH else text
