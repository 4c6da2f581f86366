"""Redaction of personal data in vendors' messages, and where a message is cut."""

from __future__ import annotations

import time

import pytest

from audience_onboarding.http.redaction import MAX_MESSAGE, redact, redacted_excerpt

HASH = "5f4dcc3b5aa765d61d8327deb882cf99" * 2

REDACTED = {
    "anna@example.com is taken": "<e-mail> is taken",
    "Row 3: 'anna+news@sub.example.co.uk', invalid": "Row 3: '<e-mail>', invalid",
    "<anna@example.com>": "<<e-mail>>",
    "één@voorbeeld.nl": "<e-mail>",
    "a@b.nl, c@d.nl": "<e-mail>, <e-mail>",
    "mary-ann.o'brien@example.com is taken": "<e-mail> is taken",
    "'d'arc'o'brien@example.com' is taken": "'<e-mail>' is taken",
    "Row 3: 'anna@example.com', 'bo@example.com'": "Row 3: '<e-mail>', '<e-mail>'",
    "+31 6 12345678 is no number": "<number> is no number",
    "phone=31612345678": "phone=<number>",
    "(020) 794-1234 56": "(<number>",
    # Digits that only look like a date.
    "0612-34-56-78 is no number": "<number> is no number",
    "2012-11-12-345 is no number": "<number> is no number",
    f"hash {HASH} and {HASH.upper()}": "hash <hash> and <hash>",
}

KEPT = [
    "",
    "Audience 69249 is not known",
    "imp_01HXZ9 was imported on 2026-11-20",
    "since 2026-11-20T03:00:00Z",
    "since 2026-11-20 03:00:00.123Z",
    "on 2026-11-20, at 2026-11-20T03:00:00Z",
    "audience 123e4567-e89b-12d3-a456-426614174000 is locked",
    "100,000 rows at most, 10 MB",
    "Unexpected token < in JSON at position 0",
]


def test_addresses_numbers_and_hashes_are_redacted_and_ids_dates_and_counts_kept() -> None:
    wanted = {**REDACTED, **{text: text for text in KEPT}}

    assert {text: redact(text) for text in wanted} == wanted


@pytest.mark.parametrize(
    ("personal", "instead"),
    [
        ("anna.jansen@example.com", "<e-mail>"),
        ("+31 6 12345678", "<number>"),
        ("31612345678", "<number>"),
        (HASH, "<hash>"),
    ],
)
def test_a_message_is_redacted_before_it_is_cut(personal: str, instead: str) -> None:
    for before in range(MAX_MESSAGE - len(personal) - 2, MAX_MESSAGE + 1):
        start = "x" * before

        assert redacted_excerpt(f"{start} {personal} is taken") == f"{start} {instead} is taken"[:MAX_MESSAGE]


def test_the_length_can_be_chosen() -> None:
    for length in (1, 5, 200):
        assert redacted_excerpt("x" * 1_000, length) == "x" * length
        assert redacted_excerpt("", length) == ""


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a'" * 500_000, "1 " * 500_000, "a.b-c_" * 200_000])
def test_a_message_of_a_million_characters_is_not_read_to_its_end(text: str) -> None:
    started = time.process_time()

    redacted_excerpt(text)

    # CPU seconds of this process. To read all of it would take minutes.
    assert time.process_time() - started < 10
