"""Why a value was not used, or a row not sent: the codes of every report."""

from __future__ import annotations

from enum import Enum


class RejectReason(str, Enum):
    """Reason codes. They are part of reports that people keep, so a code never changes its meaning."""

    EMPTY = "empty"
    """The field holds nothing but white space and invisible characters. Never counted as invalid."""

    ALREADY_HASHED = "already_hashed"
    """The field should be raw but holds 64 hexadecimal digits. Hashing it again would match nobody."""

    INVALID_EMAIL = "invalid_email"
    """Not the shape of an e-mail address, see :func:`audience_onboarding.crm.identifiers.normalize.normalize_email`."""

    INVALID_PHONE = "invalid_phone"
    """Not a phone number that exists, see :func:`audience_onboarding.crm.identifiers.normalize.normalize_phone`."""

    NOT_HASHED = "not_hashed"
    """The column is declared to hold hashes, but the field is no SHA-256 in hexadecimal digits."""

    EMPTY_HASH = "hash_of_nothing"
    """The SHA-256 of the empty string: somebody has hashed an empty field."""

    INVALID_PERSONAL_ID = "invalid_personal_id"
    """Not a Swedish personal identity number, see :func:`.normalize_personal_id`."""

    INVALID_DEVICE_ID = "invalid_device_id"
    """Not an advertising id, or the one of all zeros that devices give when tracking is off."""

    INVALID_TEXT = "invalid_text"
    """A postal part or an id of the advertiser's own that cannot be one: too long, with control characters, or a word
    for nothing such as ``NULL``."""

    NO_POSTAL_CODE = "no_postal_code"
    """Part of an address without a valid postal code, which has no meaning to the vendor."""

    NO_IDENTIFIER = "no_identifier"
    """Rows only: the fields that are not empty identify nobody."""

    MALFORMED_ROW = "malformed_row"
    """Rows only: another number of fields than the header, or broken quoting."""
