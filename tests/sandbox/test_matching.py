"""Whom the vendor knows, and what the three modes do to a set of members."""

from __future__ import annotations

import pytest

from sandbox.digital_audience.files import check_file
from sandbox.digital_audience.matching import Matcher, apply
from tests.sandbox.world import csv_bytes, sha

LOW, MIDDLE, HIGH = "00000000", "7fffffff", "ffffffff"


def identifier(first: str, last: str) -> str:
    return f"email_sha256={first}{'5' * 48}{last}"


@pytest.mark.parametrize(
    ("first", "percent", "matched"),
    [
        (LOW, 0, False),
        (LOW, 1, True),
        (MIDDLE, 50, True),
        ("80000000", 50, False),
        (HIGH, 99, False),
        (HIGH, 100, True),
    ],
)
def test_the_first_digits_decide_the_match(first: str, percent: float, matched: bool) -> None:
    assert Matcher(percent, 100).matches(identifier(first, HIGH)) is matched


@pytest.mark.parametrize(
    ("first", "last", "usable"),
    [(LOW, LOW, True), (LOW, HIGH, False), (HIGH, LOW, False)],
)
def test_usable_needs_a_match_and_the_last_digits(first: str, last: str, usable: bool) -> None:
    assert Matcher(50, 50).usable(identifier(first, last)) is usable


def test_raw_values_are_matched_by_their_hash_and_custom_ids_never() -> None:
    value = "38400000-8cf0-11bd-b23e-10b96e40000d"
    assert Matcher(100, 100).matches(f"aaid={value}")
    below = int(sha(value)[:8], 16) / 16**8 * 100
    assert Matcher(below + 0.001, 100).matches(f"aaid={value}")
    assert not Matcher(below - 0.001, 100).matches(f"aaid={value}")
    assert not Matcher(100, 100).matches("custom=crm-1")


def test_counts_add_up_and_repeat_exactly() -> None:
    rows = [f"{sha(f'mail {number % 150}')},{sha(f'phone {number}')}" for number in range(200)]
    checked = check_file([csv_bytes("email_sha256,phone_sha256", *rows)])
    counts = Matcher(60, 90).count(checked)
    assert counts == Matcher(60, 90).count(checked)
    assert (counts["EMAIL"].total, counts["EMAIL"].unique) == (200, 150)
    assert (counts["PHONE"].total, counts["PHONE"].unique) == (200, 200)
    for count in counts.values():
        assert 0 < count.usable < count.match < count.unique
        assert count.rate == pytest.approx(count.match / count.unique, abs=1e-4)
        assert count.rate == pytest.approx(0.6, abs=0.15)


def test_only_the_types_in_the_file_are_counted() -> None:
    checked = check_file([csv_bytes("email_sha256,phone_sha256,custom", f"{sha('a')},,x")])
    assert list(Matcher(100, 100).count(checked)) == ["EMAIL"]


def test_a_member_is_usable_through_any_of_its_identifiers() -> None:
    bad, good = identifier(HIGH, HIGH), identifier(LOW, LOW).replace("email", "phone")
    assert Matcher(50, 50).usable_members([(bad, good), (bad,), ("custom=1",)]) == 1


A, B, C = ("email=a", "phone=1"), ("email=b", "phone=2"), ("email=c",)


@pytest.mark.parametrize(
    ("mode", "upload", "after"),
    [
        ("opt-in", {B, C}, {A, B, C}),
        ("opt-out", {B}, {A}),
        # one shared identifier is enough
        ("opt-out", {("phone=2",)}, {A}),
        ("opt-out", {("email=b", "phone=1")}, set()),
        ("opt-out", {("email=z",)}, {A, B}),
        ("replace", {C}, {C}),
    ],
)
def test_modes(mode: str, upload: set[tuple[str, ...]], after: set[tuple[str, ...]]) -> None:
    assert apply(mode, frozenset({A, B}), upload) == after


def test_a_shared_postal_code_is_not_a_shared_address() -> None:
    def one(*row: str) -> set[tuple[str, ...]]:
        return check_file([csv_bytes("postal code,house number", *row)]).members

    assert len(apply("opt-out", frozenset(one("1234AB,1", "1234AB,2")), one("1234AB,1"))) == 1
