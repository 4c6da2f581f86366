"""The columnar fast path may refuse to answer, but where it answers it must say what the reference says."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience_onboarding.crm import fast_path
from audience_onboarding.crm.normalize import normalize_email, normalize_phone

HOSTILE = (
    "\u0130\u0131\u00df\u03a3\u03c2\u017f\u212a\u200b\ufeff\u00a0\u202e\u200f\x00\x1f\x7f\u0301\u00e9"
    "\uff10\uff16\uff0b\uff20\uff0e\u2010\u2212\u00ad\U0001f600"
)
EMAILS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="abzAZ019@@..-_+% '" + HOSTILE, max_size=25),
    st.builds(
        "{}{}@{}.{}{}".format,
        st.sampled_from(["", " ", "\t", "\u200b", "\u00a0"]),
        st.text(alphabet="aZ0._+%-" + HOSTILE, min_size=1, max_size=70),
        st.text(alphabet="aZ0.-" + HOSTILE, min_size=1, max_size=70),
        st.sampled_from(["com", "nl", "x", "1", "c0m", "COM", "xn--p1ai"]),
        st.sampled_from(["", " ", "\r", ".", "\ufeff"]),
    ),
)
PHONES = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="0123456789+-() /\\.\t[]" + HOSTILE, max_size=20),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(
            ["0", "", "+31", "0031", "31", "+310", "+31(0)", "00310", "+", "++31", "+32", "000", "(0"]
        ),
        st.text(alphabet="0123456789 -", min_size=7, max_size=13),
        st.sampled_from(["", " ", ")", "x", "\u200b"]),
    ),
)


def fast(
    connection: duckdb.DuckDBPyConnection, path: fast_path.FastPath, values: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Values that the fast path answers, with its answers."""
    return iter(
        connection.execute(
            f"SELECT field, {path.value} FROM (SELECT field, {path.tidied} AS tidied FROM"  # noqa: S608
            f" (SELECT unnest($1::VARCHAR[]) AS field)) WHERE {path.accept}",
            [list(values)],
        ).fetchall()
    )


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": "1"})


@settings(max_examples=60, deadline=None)
@given(values=st.lists(EMAILS, min_size=1, max_size=60), strip_plus_tag=st.booleans())
def test_email_equals_reference(
    connection: duckdb.DuckDBPyConnection, values: list[str], strip_plus_tag: bool
) -> None:
    path = fast_path.email("field", "tidied", strip_plus_tag=strip_plus_tag)
    for value, answer in fast(connection, path, values):
        assert normalize_email(value, strip_plus_tag=strip_plus_tag) == answer


@settings(max_examples=60, deadline=None)
@given(values=st.lists(PHONES, min_size=1, max_size=60))
def test_phone_equals_reference(connection: duckdb.DuckDBPyConnection, values: list[str]) -> None:
    path = fast_path.phone("field", "tidied", country="NL")
    assert path is not None
    for value, answer in fast(connection, path, values):
        assert normalize_phone(value) == answer


def phone_corpus(size: int) -> list[str]:
    dice = random.Random(31)
    prefixes = [
        "0",
        "",
        "+31",
        "0031",
        "31",
        "+310",
        "+31(0)",
        "0031 (0)",
        "+",
        "+32",
        "1",
        "00",
        "+31 0",
        "(0)",
    ]
    spaces = ["", "", "", " ", "-", ".", "/", "\\", " - "]
    values = []
    for _ in range(size):
        # Every three-digit start, valid or not, and lengths around the right one.
        digits = f"{dice.randrange(1000):03d}" + "".join(
            dice.choices("0123456789", k=dice.choice([5, 6, 6, 6, 6, 8]))
        )
        cut = dice.randrange(1, 4)
        values.append(dice.choice(prefixes) + digits[:cut] + dice.choice(spaces) + digits[cut:])
    return values


def test_phone_equals_phonenumbers_over_a_corpus(connection: duckdb.DuckDBPyConnection) -> None:
    path = fast_path.phone("field", "tidied", country="NL")
    assert path is not None
    corpus = phone_corpus(30_000)
    answered = list(fast(connection, path, corpus))
    assert [(value, normalize_phone(value)) for value, _ in answered] == answered
    # The fast path is there for the common numbers: what it leaves to the reference should be mostly refused there.
    left = set(corpus) - {value for value, _ in answered}
    assert len(answered) > 6_000
    assert sum(isinstance(normalize_phone(value), str) for value in left) < len(corpus) * 0.05


def test_all_usual_dutch_spellings_are_fast(connection: duckdb.DuckDBPyConnection) -> None:
    path = fast_path.phone("field", "tidied", country="NL")
    assert path is not None
    values = ["+31614123456", "+31201234567", "0031201234567", "0612345678", "06-12345678", "06 12 34 56 78",
              "+31 (0)6 12345678", "0031(0)612345678", "020/1234567", "(020) 1234567", "06\\12345678",
              "31612345678", "612345678"]  # fmt: skip
    assert len(list(fast(connection, path, values))) == len(values)


@pytest.mark.parametrize("country", ["BE", "DE", "US"])
def test_other_countries_have_no_fast_path(country: str) -> None:
    assert fast_path.phone("field", "tidied", country=country) is None
