"""Ids as the vendors spell them, and as templates leave them."""

from __future__ import annotations

from typing import Any

import pytest

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.state.remote_ids import is_missing, parse_int_id, parse_str_id
from tests.unit.state.helpers import check, check_refused

UUID = "123e4567-e89b-12d3-a456-426614174000"
NO_NUMBERS: list[Any] = [None, "", "None", "five", "5.0", 5.5, "-5", -5, "5 6", True, False, [5]]
NO_NUMBERS += [{"id": 5}, "²", UUID, "{{ x }}"]
NO_TEXTS: list[Any] = [None, "", " ", "None", " None ", True, False, "a b", "a/b", "../x", "a?b=c", "a#b"]
NO_TEXTS += ["a%2Fb", "a\nb", "é", "x" * 201, "{{ x }}", ["a"], {"id": "a"}, 5.5]


def test_an_empty_template_is_a_missing_id_and_everything_else_is_one() -> None:
    there = [0, "0", 7, "7", "none", " ", False, UUID, "x", [], {"id": 7}]
    check(is_missing, [(value, True) for value in (None, "", "None")] + [(value, False) for value in there])


def test_a_number_may_come_as_text() -> None:
    check(parse_int_id, [(7, 7), ("7", 7), (" 7\n", 7), ("007", 7), (0, 0), (2**63, 2**63)])
    assert type(parse_int_id("7")) is int


def test_an_id_that_is_text_stays_as_it_is() -> None:
    cases = [(UUID, UUID), ("aud_01H", "aud_01H"), (" aud_01H\n", "aud_01H"), (7, "7"), ("x" * 200,) * 2]
    check(parse_str_id, cases)


def test_anything_else_is_refused_as_a_number_and_as_a_part_of_a_path() -> None:
    check_refused(parse_int_id, NO_NUMBERS, ConfigurationError, "Invalid id")
    check_refused(parse_str_id, NO_TEXTS, ConfigurationError, "Invalid id")
    for value in ("five", [5]):
        with pytest.raises(ConfigurationError) as caught:
            parse_int_id(value)
        assert repr(value) in str(caught.value)
        assert "number" in caught.value.next_step
