"""Why a value was not used, or a row not sent: the codes of every report."""

from __future__ import annotations

from enum import Enum


class Reason(str, Enum):
    """Reason codes. They are part of reports that people keep, so a code never changes its meaning."""

    EMPTY = "empty"
    """The field holds nothing but white space and invisible characters. Never counted as invalid."""

    ALREADY_HASHED = "already_hashed"
    """The field should be raw but holds 64 hexadecimal digits. Hashing it again would match nobody."""

    INVALID_EMAIL = "invalid_email"
    """Not the shape of an e-mail address, see :func:`audience_onboarding.crm.normalize.normalize_email`."""

    INVALID_PHONE = "invalid_phone"
    """Not a phone number that exists, see :func:`audience_onboarding.crm.normalize.normalize_phone`."""

    NO_IDENTIFIER = "no_identifier"
    """Rows only: all identifier fields of the row are empty."""

    MALFORMED_ROW = "malformed_row"
    """Rows only: another number of fields than the header, or broken quoting."""
