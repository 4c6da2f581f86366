"""What a vendor's file looks like: columns, headers, what is done to a value, and the bytes around it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Identifier(str, Enum):
    """What identifies a person. A definition maps each to the source column that holds it."""

    EMAIL = "email"
    PHONE = "phone"


Transform = Literal["sha256", "raw"]
"""``sha256``: hexadecimal SHA-256 of the normalised value. ``raw``: the normalised value itself."""


@dataclass(frozen=True)
class ProfileColumn:
    """One column of the file.

    :param identifier: what the column holds.
    :param header: literal header in the file.
    :param transform: ``sha256`` or ``raw``.
    :param prefix: put before a raw value.
    """

    identifier: Identifier
    header: str
    transform: Transform
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.prefix and self.transform != "raw":
            raise ValueError("a prefix would be put before a hash")


@dataclass(frozen=True)
class FileProfile:
    """One vendor's file.

    The order of ``columns`` is the order in the file. It also decides which field names the reason of a
    rejected row.

    :param name: name of the profile in reports and messages.
    :param columns: columns that the vendor knows. Those that a definition does not map are left out of the
        file.
    :param delimiter: one character between fields.
    :param line_ending: what ends each line, the last one included.
    :param encoding: encoding of the file; only ``utf-8`` now.
    :param hash_case: ``lower`` or ``upper`` case of hexadecimal hashes.
    :param strip_plus_tag: drop ``+tag`` from the local part of e-mail addresses before hashing.
    """

    name: str
    columns: tuple[ProfileColumn, ...]
    delimiter: str = ","
    line_ending: str = "\r\n"
    encoding: Literal["utf-8"] = "utf-8"
    hash_case: Literal["lower", "upper"] = "lower"
    strip_plus_tag: bool = False


DIGITAL_AUDIENCE_S3 = FileProfile(
    name="digital_audience_s3",
    columns=(
        ProfileColumn(Identifier.EMAIL, "email_sha256", "sha256"),
        ProfileColumn(Identifier.PHONE, "phone_sha256", "sha256"),
    ),
)
"""Digital Audience, update by S3: hashed CSV, UTF-8, comma, CRLF, header row.

Headers and format:
https://doc.digitalaudience.io/product-docs/documentation/updating-audiences/prepare-your-csv-file-for-data-updates

The vendor's pages disagree on hash case (CSV pages print upper case, its mobile SDKs lower case; no page
requires one) and on the ``+tag`` (the SDKs drop it, the CSV pages do not mention it). Lower case is what
every peer sends, and tags stay, as the CSV pages say; both are settings of the profile.
"""

FANFARE_IMPORT = FileProfile(
    name="fanfare_import",
    columns=(
        ProfileColumn(Identifier.EMAIL, "email", "raw"),
        ProfileColumn(Identifier.PHONE, "phone", "raw", prefix="+"),
    ),
)
"""Fanfare, import of consumers: **contact data as it is, not hashed**; UTF-8, comma, header row, phone in E.164 with
plus.

https://docs.fanfare.io/dashboard/audiences/import-consumers

Line endings are not stated; CRLF is what RFC 4180 says. E-mail addresses go out in lower case and without spaces, so
that one person is one consumer.
"""

COMMBOX_AUDIENCE = FileProfile(
    name="commbox_audience",
    columns=(ProfileColumn(Identifier.PHONE, "phone1", "raw"),),
)
"""CommBox, file of an audience: **phone numbers as they are, not hashed**, in a column ``phone1``: full country code,
digits only, as in the example ``442079832100``.

https://help.commbox.io/apidocs/create-new-audiences

The page states neither encoding nor line endings nor other columns: UTF-8 and CRLF (RFC 4180) are taken.
"""
