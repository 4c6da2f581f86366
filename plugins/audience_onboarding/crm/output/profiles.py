"""What a vendor's file looks like: columns, headers, what is done to a value, and the bytes around it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias


class Identifier(str, Enum):
    """What identifies a person. A definition maps each to the source column that holds it."""

    EMAIL = "email"
    PHONE = "phone"
    POSTAL_CODE = "postal_code"
    HOUSE_NUMBER = "house_number"
    EXTENSION = "extension"
    """What follows a house number."""
    APARTMENT = "apartment"
    STREET = "street"
    PERSONAL_ID = "personal_id"
    """The Swedish personal identity number."""
    AAID = "aaid"
    """Android advertising id."""
    IDFA = "idfa"
    """Apple advertising id."""
    CUSTOM = "custom"
    """The advertiser's own id of a person: of its CRM, its customer data platform, its user accounts."""


@dataclass(frozen=True)
class SourceColumn:
    """A column of the source.

    :param name: as in the header; case and white space do not matter, unless two columns differ by nothing else.
    :param hashed: it holds SHA-256 hashes of normalised values already.
    """

    name: str
    hashed: bool = False


Transform: TypeAlias = Literal["sha256", "raw"]
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
    :param compression: ``none`` or ``gzip``.
    :param identified_by: what identifies a person: sets of identifiers, of one of which all have to be there.
    :param required_by: identifiers that have no meaning without another one, and that other one.
    """

    name: str
    columns: tuple[ProfileColumn, ...]
    delimiter: str = ","
    line_ending: str = "\r\n"
    encoding: Literal["utf-8"] = "utf-8"
    hash_case: Literal["lower", "upper"] = "lower"
    strip_plus_tag: bool = False
    compression: Literal["none", "gzip"] = "none"
    identified_by: tuple[frozenset[Identifier], ...] = (
        frozenset([Identifier.EMAIL]),
        frozenset([Identifier.PHONE]),
        frozenset([Identifier.PERSONAL_ID]),
        frozenset([Identifier.AAID]),
        frozenset([Identifier.IDFA]),
        frozenset([Identifier.CUSTOM]),
        frozenset([Identifier.POSTAL_CODE, Identifier.HOUSE_NUMBER]),
        frozenset([Identifier.POSTAL_CODE, Identifier.STREET]),
    )
    required_by: tuple[tuple[Identifier, Identifier], ...] = tuple(
        (part, Identifier.POSTAL_CODE)
        for part in (Identifier.HOUSE_NUMBER, Identifier.EXTENSION, Identifier.APARTMENT, Identifier.STREET)
    )


DIGITAL_AUDIENCE_S3 = FileProfile(
    name="digital_audience_s3",
    columns=(
        ProfileColumn(Identifier.EMAIL, "email_sha256", "sha256"),
        ProfileColumn(Identifier.PHONE, "phone_sha256", "sha256"),
        ProfileColumn(Identifier.POSTAL_CODE, "postal code", "raw"),
        ProfileColumn(Identifier.HOUSE_NUMBER, "house number", "raw"),
        ProfileColumn(Identifier.EXTENSION, "extension", "raw"),
        ProfileColumn(Identifier.APARTMENT, "apartment", "raw"),
        ProfileColumn(Identifier.STREET, "street", "raw"),
        ProfileColumn(Identifier.PERSONAL_ID, "personal_id_sha256", "sha256"),
        ProfileColumn(Identifier.AAID, "aaid", "raw"),
        ProfileColumn(Identifier.IDFA, "idfa", "raw"),
        ProfileColumn(Identifier.CUSTOM, "custom", "raw"),
    ),
)
"""Digital Audience, update by S3: hashed CSV, UTF-8, comma, CRLF, header row.

Headers and format:
https://doc.digitalaudience.io/product-docs/documentation/updating-audiences/prepare-your-csv-file-for-data-updates

The vendor's pages disagree on hash case (CSV pages print upper case, its mobile SDKs lower case; no page
requires one) and on the ``+tag`` (the SDKs drop it, the CSV pages do not mention it). Lower case is what
every peer sends, and tags stay, as the CSV pages say; both are settings of the profile.

A hashed address (``address_sha256``) is not offered: one page accepts it, another says not to hash addresses, and
none gives the rule. A postal code counts as identifying only together with a house number or a street, since one
alone is a neighbourhood, although the page calls the house number optional.
"""

FANFARE_IMPORT = FileProfile(
    name="fanfare_import",
    columns=(
        ProfileColumn(Identifier.EMAIL, "email", "raw"),
        ProfileColumn(Identifier.PHONE, "phone", "raw", prefix="+"),
        ProfileColumn(Identifier.CUSTOM, "externalId", "raw"),
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
