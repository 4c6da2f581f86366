"""Vendors' messages, cut: never through what would not be known for a person's afterwards."""

from __future__ import annotations

import time

import pytest

from audience_onboarding.http.redaction import MAX_MESSAGE, redacted, shortened

HASH = "5f4dcc3b5aa765d61d8327deb882cf99" * 2


@pytest.mark.parametrize(
    ("personal", "instead"),
    [
        ("anna.jansen@example.com", "<e-mail>"),
        ("+31 6 12345678", "<number>"),
        ("31612345678", "<number>"),
        (HASH, "<hash>"),
    ],
)
def test_it_is_cleaned_before_it_is_cut(personal: str, instead: str) -> None:
    for before in range(MAX_MESSAGE - len(personal) - 2, MAX_MESSAGE + 1):
        start = "x" * before

        assert shortened(f"{start} {personal} is taken") == f"{start} {instead} is taken"[:MAX_MESSAGE]


@pytest.mark.parametrize("length", [1, 5, 200])
def test_the_length_can_be_chosen(length: int) -> None:
    assert shortened("x" * 1_000, length) == "x" * length
    assert shortened("", length) == ""


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a'" * 500_000, "1 " * 500_000, "a.b-c_" * 200_000])
def test_a_message_without_end_takes_no_time(text: str) -> None:
    started = time.process_time()

    shortened(text)

    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "what_stays"),
    [
        ("mary-ann.o'brien@example.com is taken", "<e-mail> is taken"),
        ("'d'arc'o'brien@example.com' is taken", "'<e-mail>' is taken"),
        ("Row 3: 'anna@example.com', 'bo@example.com'", "Row 3: '<e-mail>', '<e-mail>'"),
        # Digits that only look like a date.
        ("0612-34-56-78 is no number", "<number> is no number"),
        ("2012-11-12-345 is no number", "<number> is no number"),
        ("on 2026-11-20, at 2026-11-20T03:00:00Z", "on 2026-11-20, at 2026-11-20T03:00:00Z"),
    ],
)
def test_a_name_with_an_apostrophe_and_a_number_like_a_date_are_taken_out(text: str, what_stays: str) -> None:
    assert redacted(text) == what_stays
