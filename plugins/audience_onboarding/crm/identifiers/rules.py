"""The rule of each identifier: its reference in plain Python, and the fast path that replaces most calls of it.

Importing this module imports Polars and ``phonenumbers``; no DAG file does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import polars as pl

from audience_onboarding.crm.identifiers import normalize, vectorized
from audience_onboarding.crm.identifiers.normalize import Rejected
from audience_onboarding.crm.identifiers.vectorized import VectorRule
from audience_onboarding.crm.output.profiles import Identifier

_DEVICE_IDS: dict[Identifier, Literal["android", "apple"]] = {
    Identifier.AAID: "android",
    Identifier.IDFA: "apple",
}


@dataclass(frozen=True)
class Rule:
    """Normalization and validation of one column.

    :param reference: decides on every value; never raises.
    :param fast_path: answers common values of a String column, exactly as the reference does; ``None``: no fast path.
    :param shortcut: returns the reference's answer for a value that the fast path left over; ``None`` if unknown.
    """

    reference: Callable[[str], str | Rejected]
    fast_path: Callable[[pl.Expr], VectorRule] | None
    shortcut: Callable[[str], str | None] | None = None


def get_rule(identifier: Identifier, *, country: str, strip_plus_tag: bool, hashed: bool = False) -> Rule:
    """Return the rule of a column.

    :param country: ISO 3166-1 alpha-2 code of phone numbers without country code.
    :param strip_plus_tag: drop the ``+tag`` of e-mail addresses.
    :param hashed: the column holds SHA-256 hashes of normalized values.
    """
    if hashed:
        return Rule(normalize.normalize_hash, vectorized.hashed)
    rules = {
        Identifier.EMAIL: Rule(
            partial(normalize.normalize_email, strip_plus_tag=strip_plus_tag),
            partial(vectorized.email, strip_plus_tag=strip_plus_tag),
        ),
        Identifier.PHONE: Rule(
            partial(normalize.normalize_phone, country=country),
            partial(vectorized.phone, country=country),
            vectorized.phone_of_any_country,
        ),
        Identifier.PERSONAL_ID: Rule(normalize.normalize_personal_id, None),
        Identifier.CUSTOM: Rule(normalize.normalize_custom, vectorized.custom),
    }
    for device, platform in _DEVICE_IDS.items():
        rules[device] = Rule(
            partial(normalize.normalize_device_id, platform=platform),
            partial(vectorized.device_id, platform=platform),
        )
    return rules.get(identifier, Rule(normalize.normalize_postal_part, vectorized.postal_part))
