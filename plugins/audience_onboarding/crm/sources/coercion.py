"""Format typed values of databases and workbooks as text.

Both store phone numbers and ids as numbers: integers, decimals with two zeros, or, in a column with missing values,
floating point. Their text is the digits.
"""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

EXACT_FLOAT = 2.0**53
"""Limit from which floating point does not distinguish neighbouring integers."""


class InexactError(Exception):
    """An integer that floating point may have changed. It carries no data."""


def format_float(value: float, limit: float = EXACT_FLOAT) -> str | None:
    """Return the digits of an integer without an exponent, another number as Python writes it, ``None`` for NaN.

    :param limit: from which an integer may be wrong.
    :raises InexactError: it is an integer beyond the limit.
    """
    if math.isnan(value):
        return None
    if math.isinf(value) or not value.is_integer():
        return repr(value)
    if abs(value) >= limit:
        raise InexactError
    return str(int(value))


def format_decimal(value: Decimal) -> str | None:
    """Return the digits without an exponent and without trailing zeros of the fraction; ``None`` for NaN."""
    if not value.is_finite():
        return None if value.is_nan() else str(value)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_value(value: object) -> str | None:
    """Format a value of a database; ``None`` stays ``None``.

    :raises InexactError: an integer in floating point that may be wrong.
    :raises UnicodeDecodeError: bytes that are not UTF-8.
    :raises TypeError: a compound value, such as a list.
    """
    text: str | None
    if value is None or isinstance(value, str):
        text = value
    elif isinstance(value, bool):  # before int: a bool is one
        text = "true" if value else "false"
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, float):
        text = format_float(value)
    elif isinstance(value, Decimal):
        text = format_decimal(value)
    elif isinstance(value, (datetime.date, datetime.time)):  # a datetime is a date
        text = value.isoformat()
    elif isinstance(value, (bytes, bytearray, memoryview)):
        text = bytes(value).decode("utf-8")
    elif isinstance(value, (list, tuple, dict, set, frozenset)):
        raise TypeError
    else:
        text = str(value)
    return text
