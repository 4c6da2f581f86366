"""Reasons why a value is not used or a row is not sent, as in all reports, and their codes in columns."""

from __future__ import annotations

from enum import Enum


class RejectReason(str, Enum):
    """Reasons in reports. Reports are kept, so a value never changes its meaning."""

    EMPTY = "empty"
    """Only white space and invisible characters. Never counted as invalid."""

    ALREADY_HASHED = "already_hashed"
    """64 hexadecimal digits in an unhashed column. Hashed twice, they would match no one."""

    INVALID_EMAIL = "invalid_email"
    """Not an e-mail address, see :func:`.normalize_email`."""

    INVALID_PHONE = "invalid_phone"
    """Not a phone number that exists, see :func:`.normalize_phone`."""

    NOT_HASHED = "not_hashed"
    """Not a SHA-256 in hexadecimal digits, in a column declared as hashed."""

    EMPTY_HASH = "hash_of_nothing"
    """The SHA-256 of the empty string: an export has hashed an empty field."""

    INVALID_PERSONAL_ID = "invalid_personal_id"
    """Not a Swedish personal identity number, see :func:`.normalize_personal_id`."""

    INVALID_DEVICE_ID = "invalid_device_id"
    """Not an advertising id, or the all-zero id of a device with tracking turned off."""

    INVALID_TEXT = "invalid_text"
    """An invalid address part or custom id: too long, with control characters, or a null token such as ``NULL``."""

    NO_POSTAL_CODE = "no_postal_code"
    """Part of an address without a valid postal code, which has no meaning to the vendor."""

    NO_IDENTIFIER = "no_identifier"
    """Rows only: the filled fields identify no one."""

    MALFORMED_ROW = "malformed_row"
    """Rows only: another number of fields than the header, or broken quoting."""


VALID = 0
"""Code of a value that is used."""
CODES = {reason: code for code, reason in enumerate(RejectReason, start=1)}
REASON_NAMES = {code: reason.value for reason, code in CODES.items()}
EMPTY = CODES[RejectReason.EMPTY]
