"""DuckDB expressions that answer plain values at once; all other values go to the reference functions.

A fast path may be as narrow as it likes, but must never accept what the reference refuses, nor give another
value. Tests hold that over generated and hostile values.

Expressions must stay plain: DuckDB turns a longer ``IN (...)`` into a join, and a join does not keep the order
of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import phonenumbers

_EMAIL = (
    r"[A-Za-z0-9_%{plus}-]+(\.[A-Za-z0-9_%{plus}-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{{2,}}"
)
_MAX_FAST_EMAIL = 63

# Optional: a spreadsheet took the number for a number and ate its zero.
_DUTCH_PREFIX = r"(0|31|\+31|0031|\+310|00310)?"
_DUTCH_NATIONAL_DIGITS = 9


@dataclass(frozen=True)
class FastPath:
    """SQL expressions of one column.

    :param tidied: over the raw field, which is never NULL; computed once.
    :param accept: over the column that holds ``tidied``: true only where the reference accepts the value.
    :param value: over the same column: what the reference returns then.
    """

    tidied: str
    accept: str
    value: str


def email(field: str, tidied: str, *, strip_plus_tag: bool) -> FastPath:
    """ASCII addresses of the common shape, with spaces around them at most.

    Accepted characters are all ASCII, for which ``lower`` of DuckDB and Python agree, and the length is within
    every limit at once.

    :param field: name of the column with the raw field.
    :param tidied: name of the column that will hold the tidied field.
    """
    pattern = _EMAIL.format(plus="" if strip_plus_tag else "+")
    return FastPath(
        tidied=f"trim({field})",
        accept=f"strlen({tidied}) <= {_MAX_FAST_EMAIL} AND regexp_full_match({tidied}, '{pattern}')",
        value=f"lower({tidied})",
    )


def phone(field: str, tidied: str, *, country: str) -> FastPath | None:
    """Dutch mobile and geographic numbers in every usual spelling; ``None`` for other countries.

    The numbering plan is that of the ``phonenumbers`` release at hand, so both roads change together.

    :param field: name of the column with the raw field.
    :param tidied: name of the column that will hold the tidied field.
    """
    if country != "NL":
        return None
    plan = phonenumbers.PhoneMetadata.metadata_for_region("NL")
    kinds = (plan.mobile, plan.fixed_line) if plan is not None else ()
    patterns = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    if not patterns or any("'" in pattern or "(?=" in pattern for pattern in patterns):
        return None
    national = f"right({tidied}, {_DUTCH_NATIONAL_DIGITS})"
    prefix = f"left({tidied}, length({tidied}) - {_DUTCH_NATIONAL_DIGITS})"
    return FastPath(
        tidied=rf"translate({field}, ' -./\()', '')",
        accept=(
            f"length({tidied}) >= {_DUTCH_NATIONAL_DIGITS} AND regexp_full_match({prefix}, '{_DUTCH_PREFIX}')"
            f" AND regexp_full_match({national}, '{'|'.join(patterns)}')"
        ),
        value=f"'31' || {national}",
    )
