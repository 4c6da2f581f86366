from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import pytest

from audience_onboarding.crm.sources.coercion import InexactError, format_value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", ""),
        (" 06 12 ", " 06 12 "),
        (0, "0"),
        (612345678, "612345678"),
        (-1, "-1"),
        (2**100, "1267650600228229401496703205376"),
        (True, "true"),
        (False, "false"),
        (31612345678.0, "31612345678"),
        (1e15, "1000000000000000"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (612345678.5, "612345678.5"),
        (float("nan"), None),
        (float("inf"), "inf"),
        (Decimal("612345678"), "612345678"),
        (Decimal("612345678.00"), "612345678"),
        (Decimal("6.12345678E+8"), "612345678"),
        (Decimal("1.50"), "1.5"),
        (Decimal("100"), "100"),
        (Decimal("0.00"), "0"),
        (Decimal("NaN"), None),
        (Decimal("-Infinity"), "-Infinity"),
        (datetime.date(2026, 11, 16), "2026-11-16"),
        (datetime.datetime(2026, 11, 16, 1, 2, 3), "2026-11-16T01:02:03"),  # noqa: DTZ001 - databases have such, too
        (datetime.datetime(2026, 11, 16, tzinfo=datetime.timezone.utc), "2026-11-16T00:00:00+00:00"),
        (datetime.time(1, 2), "01:02:00"),
        (b"a@x.example", "a@x.example"),
        (bytearray("é".encode()), "é"),
        (memoryview(b"x"), "x"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_format_value_each_type_returns_text(value: object, text: str | None) -> None:
    assert format_value(value) == text


def test_format_value_inexact_float_raises() -> None:
    assert format_value(2.0**53 - 1) == "9007199254740991"
    for value in (2.0**53, -(2.0**53), 1e300):
        with pytest.raises(InexactError):
            format_value(value)


def test_format_value_compound_raises() -> None:
    for value in ([1], (1,), {"a": 1}, {1}):
        with pytest.raises(TypeError):
            format_value(value)


def test_format_value_invalid_utf8_raises() -> None:
    with pytest.raises(UnicodeDecodeError):
        format_value(b"\xff")
