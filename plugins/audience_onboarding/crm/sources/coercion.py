"""Values that are no text, as the text that somebody would have typed.

Warehouses and workbooks keep phone numbers and ids as numbers: as whole ones, as decimals with two noughts, or, once
one of them is missing, as floating point. What comes out here are their digits.
"""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

EXACT_FLOAT = 2.0**53
"""From here on floating point no longer tells a whole number from its neighbours."""


class InexactError(Exception):
    """A whole number that floating point may have changed. It carries no data."""


def format_float(value: float, limit: float = EXACT_FLOAT) -> str | None:
    """Digits of a whole number, without an exponent; any other number as Python writes it. "Not a number" is nothing.

    :param limit: from which on a whole number cannot be trusted.
    :raises InexactError: it is a whole number beyond that.
    """
    if math.isnan(value):
        return None
    if math.isinf(value) or not value.is_integer():
        return repr(value)
    if abs(value) >= limit:
        raise InexactError
    return str(int(value))


def format_decimal(value: Decimal) -> str | None:
    """Digits without an exponent and without noughts at the end of the fraction. "Not a number" is nothing."""
    if not value.is_finite():
        return None if value.is_nan() else str(value)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_value(value: object) -> str | None:
    """Any value that a database gives, as text; ``None`` stays nothing.

    :raises InexactError: a whole number in floating point that may have been another one.
    :raises UnicodeDecodeError: bytes that are no UTF-8.
    :raises TypeError: a value of many parts, such as a list.
    """
    text: str | None
    if value is None or isinstance(value, str):
        text = value
    elif isinstance(value, bool):  # before int, which it is too
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
