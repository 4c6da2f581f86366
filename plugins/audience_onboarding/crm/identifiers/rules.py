"""The rule of each identifier: its reference in plain Python, and the columnar fast path that spares most calls of it.

Importing this module brings in Polars and ``phonenumbers``; no DAG file does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import polars as pl

from audience_onboarding.crm.identifiers import normalize, vectorized
from audience_onboarding.crm.identifiers.normalize import Rejected
from audience_onboarding.crm.identifiers.vectorized import VectorRule
from audience_onboarding.crm.output.profiles import Identifier

__all__ = ["Rule", "VectorRule", "get_rule"]


@dataclass(frozen=True)
class Rule:
    """What is done to the values of one column.

    :param reference: decides every value; never raises.
    :param fast: answers the common values of a whole column, and never otherwise than the reference. Takes the raw
        String column. ``None``: there is no fast path.
    :param late: a short cut to the reference's answer for one raw value that the fast path has left over; ``None``
        where it knows none.
    """

    reference: Callable[[str], str | Rejected]
    fast: Callable[[pl.Expr], VectorRule] | None
    late: Callable[[str], str | None] | None = None


def get_rule(identifier: Identifier, *, country: str, strip_plus_tag: bool, hashed: bool = False) -> Rule:
    """The rule of a column.

    :param identifier: what the column holds.
    :param country: ISO 3166-1 alpha-2 code of phone numbers without country code.
    :param strip_plus_tag: drop the ``+tag`` of e-mail addresses.
    :param hashed: the column holds SHA-256 hashes of normalised values already.
    """
    if hashed:
        return Rule(normalize.normalize_hash, vectorized.hashed)
    reference: Callable[[str], str | Rejected]
    fast: Callable[[pl.Expr], VectorRule] | None
    late: Callable[[str], str | None] | None = None
    match identifier:
        case Identifier.EMAIL:
            reference = partial(normalize.normalize_email, strip_plus_tag=strip_plus_tag)
            fast = partial(vectorized.email, strip_plus_tag=strip_plus_tag)
        case Identifier.PHONE:
            reference = partial(normalize.normalize_phone, country=country)
            fast = partial(vectorized.phone, country=country)
            late = vectorized.phone_of_any_country
        case Identifier.PERSONAL_ID:
            reference, fast = normalize.normalize_personal_id, None
        case Identifier.AAID:
            reference = partial(normalize.normalize_device_id, platform="android")
            fast = partial(vectorized.device_id, platform="android")
        case Identifier.IDFA:
            reference = partial(normalize.normalize_device_id, platform="apple")
            fast = partial(vectorized.device_id, platform="apple")
        case Identifier.CUSTOM:
            reference, fast = normalize.normalize_custom, vectorized.custom
        case _:
            reference, fast = normalize.normalize_postal_part, vectorized.postal_part
    return Rule(reference, fast, late)
