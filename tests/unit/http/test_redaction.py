"""Vendors' messages without what they quote of people."""

from __future__ import annotations

import pytest

from audience_onboarding.http.redaction import redacted

HASH = "5f4dcc3b5aa765d61d8327deb882cf99" * 2


@pytest.mark.parametrize(
    ("text", "what_stays"),
    [
        ("anna@example.com is taken", "<e-mail> is taken"),
        ("Row 3: 'anna+news@sub.example.co.uk', invalid", "Row 3: '<e-mail>', invalid"),
        ("<anna@example.com>", "<<e-mail>>"),
        ("één@voorbeeld.nl", "<e-mail>"),
        ("+31 6 12345678 is no number", "<number> is no number"),
        ("phone=31612345678", "phone=<number>"),
        ("(020) 794-1234 56", "(<number>"),
        (f"hash {HASH} and {HASH.upper()}", "hash <hash> and <hash>"),
        ("a@b.nl, c@d.nl", "<e-mail>, <e-mail>"),
    ],
)
def test_what_looks_like_a_person_is_taken_out(text: str, what_stays: str) -> None:
    assert redacted(text) == what_stays


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Audience 69249 is not known",
        "imp_01HXZ9 was imported on 2026-11-20",
        "since 2026-11-20T03:00:00Z",
        "since 2026-11-20 03:00:00.123Z",
        "audience 123e4567-e89b-12d3-a456-426614174000 is locked",
        "100,000 rows at most, 10 MB",
        "Unexpected token < in JSON at position 0",
    ],
)
def test_ids_dates_and_counts_stay(text: str) -> None:
    assert redacted(text) == text
