"""Ids as the vendors spell them, and as templates leave them."""

from __future__ import annotations

from typing import Any

import pytest

from audience_onboarding.errors import ConfigurationError
from audience_onboarding.orchestration.ids import is_missing, number_id, text_id

UUID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize("value", [None, "", "None"])
def test_what_a_template_makes_of_nothing_is_missing(value: Any) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", [0, "0", 7, "7", "none", " ", False, UUID, "x", [], {"id": 7}])
def test_everything_else_is_there(value: Any) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), ("7", 7), (" 7\n", 7), ("007", 7), (0, 0), (2**63, 2**63)]
)
def test_a_number_may_come_as_text(value: Any, number: int) -> None:
    assert number_id(value) == number
    assert type(number_id(value)) is int


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "None",
        "five",
        "5.0",
        5.5,
        "-5",
        -5,
        "5 6",
        True,
        False,
        [5],
        {"id": 5},
        "²",
        UUID,
        "{{ x }}",
    ],
    ids=repr,
)
def test_what_is_no_number_is_refused_as_a_number_id(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no id") as caught:
        number_id(value)

    assert repr(value) in str(caught.value)
    assert "number" in caught.value.next_step


@pytest.mark.parametrize(
    ("value", "text"),
    [(UUID, UUID), ("aud_01H", "aud_01H"), (" aud_01H\n", "aud_01H"), (7, "7"), ("x" * 200, "x" * 200)],
)
def test_an_id_that_is_text_stays_as_it_is(value: Any, text: str) -> None:
    assert text_id(value) == text


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "None",
        " None ",
        True,
        False,
        "a b",
        "a/b",
        "../x",
        "a?b=c",
        "a#b",
        "a%2Fb",
        "a\nb",
        "é",
        "x" * 201,
        "{{ x }}",
        ["a"],
        {"id": "a"},
        5.5,
    ],
    ids=repr,
)
def test_what_could_lead_elsewhere_in_a_path_is_no_id(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no id"):
        text_id(value)
