"""Profiles of the vendors' files: columns, headers, transformations and CSV format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias


class Identifier(str, Enum):
    """Identifiers of a person. A definition maps each to a source column."""

    EMAIL = "email"
    PHONE = "phone"
    POSTAL_CODE = "postal_code"
    HOUSE_NUMBER = "house_number"
    EXTENSION = "extension"
    """Suffix of a house number."""
    APARTMENT = "apartment"
    STREET = "street"
    PERSONAL_ID = "personal_id"
    """The Swedish personal identity number."""
    AAID = "aaid"
    """Android advertising id."""
    IDFA = "idfa"
    """Apple advertising id."""
    CUSTOM = "custom"
    """The advertiser's own id of a person: from its CRM, customer data platform or user accounts."""


_ALONE = (
    *(Identifier.EMAIL, Identifier.PHONE, Identifier.PERSONAL_ID),
    *(Identifier.AAID, Identifier.IDFA, Identifier.CUSTOM),
)
"""Identifiers of which one is enough."""


@dataclass(frozen=True)
class SourceColumn:
    """A column of the source.

    :param name: as in the header; case and white space are ignored unless columns differ only in them.
    :param hashed: it holds SHA-256 hashes of normalized values.
    """

    name: str
    hashed: bool = False


Transform: TypeAlias = Literal["sha256", "raw"]
"""``sha256``: hexadecimal SHA-256 of the normalized value. ``raw``: the normalized value itself."""


@dataclass(frozen=True)
class ProfileColumn:
    """One column of the file.

    :param identifier: its values.
    :param header: literal header in the file.
    :param transform: ``sha256`` or ``raw``.
    :param prefix: of each value; only with ``raw``.
    """

    identifier: Identifier
    header: str
    transform: Transform
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.prefix and self.transform != "raw":
            raise ValueError("a column of hashes has no prefix")


@dataclass(frozen=True)
class FileProfile:
    """One vendor's file.

    The order of ``columns`` is the order in the file. A rejected row has the reason of its first filled field.

    :param name: for reports and messages.
    :param columns: columns that the vendor accepts; the file has those that the definition maps.
    :param delimiter: one character between fields.
    :param line_ending: at the end of each line, the last one included.
    :param encoding: only ``utf-8`` now.
    :param hash_case: ``lower`` or ``upper`` case of hexadecimal hashes.
    :param strip_plus_tag: drop ``+tag`` from the local part of e-mail addresses before hashing.
    :param compression: ``none`` or ``gzip``.
    :param identified_by: sets of identifiers; a row needs all of one set.
    :param required_by: pairs: an identifier, and the one without which it has no meaning.
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
        *(frozenset([identifier]) for identifier in _ALONE),
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

The vendor's pages disagree on hash case (CSV pages print upper case, its mobile SDKs lower case; no page requires
one) and on the ``+tag`` (the SDKs drop it, the CSV pages do not mention it). The profile sends lower case, as all
peers do, and keeps tags, as on the CSV pages; a definition can change both.

A hashed address (``address_sha256``) is not supported: one page accepts it, another forbids it, and none gives the
rule. A postal code identifies only with a house number or a street, as it alone is a neighbourhood, although the page
calls the house number optional.
"""

FANFARE_IMPORT = FileProfile(
    name="fanfare_import",
    columns=(
        ProfileColumn(Identifier.EMAIL, "email", "raw"),
        ProfileColumn(Identifier.PHONE, "phone", "raw", prefix="+"),
        ProfileColumn(Identifier.CUSTOM, "externalId", "raw"),
    ),
)
"""Fanfare, import of consumers: **unhashed contact data**; UTF-8, comma, header row, phone in E.164 with plus.

https://docs.fanfare.io/dashboard/audiences/import-consumers

The page states no line ending; CRLF is that of RFC 4180. E-mail addresses are sent in lower case without spaces, so
that one person is one consumer.
"""

COMMBOX_AUDIENCE = FileProfile(
    name="commbox_audience",
    columns=(ProfileColumn(Identifier.PHONE, "phone1", "raw"),),
)
"""CommBox, file of an audience: **unhashed phone numbers** in a column ``phone1``: full country code, digits only, as
in the example ``442079832100``.

https://help.commbox.io/apidocs/create-new-audiences

The page states no encoding, line ending or other columns; the file is UTF-8 with CRLF (RFC 4180).
"""
