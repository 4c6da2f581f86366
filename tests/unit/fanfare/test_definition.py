"""The fields of a definition that are Fanfare's own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.fanfare.definition import DEFINITION, FanfareDefinition

GOOD: dict[str, Any] = {
    "key": "fans",
    "platform": "fanfare",
    "name": "Presale fans",
    "owner": "crm-team",
    "allow_raw": True,
    "source": {"path": "crm/{load_date}.csv", "columns": {"email": "E-mail", "phone": "Phone"}},
}


def definition(**changes: Any) -> FanfareDefinition:
    return FanfareDefinition.model_validate({**GOOD, **changes})


def problem_of(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        definition(**changes)
    return str(caught.value)


def test_what_is_not_given() -> None:
    found = definition()

    assert DEFINITION is FanfareDefinition
    assert (found.connection, found.id, found.upload.rows_per_import) == ("fanfare_default", None, 100_000)
    assert found.mode == "opt-in"
    assert found.found_by_name is True


@pytest.mark.parametrize("allow_raw", [False, None])
def test_raw_values_have_to_be_meant(allow_raw: Any) -> None:
    changes = {} if allow_raw is None else {"allow_raw": allow_raw}
    given = {name: value for name, value in GOOD.items() if name != "allow_raw"}

    with pytest.raises(
        ValidationError, match=r"e-mail addresses and phone numbers as they are.*allow_raw: true"
    ):
        FanfareDefinition.model_validate({**given, **changes})


def test_lists_are_only_added_to() -> None:
    assert list(definition().allowed_modes) == ["opt-in"]


@pytest.mark.parametrize("mode", ["opt-out", "replace", "mirror"])
def test_a_mode_that_the_api_has_no_operation_for_is_refused_with_the_reason(mode: str) -> None:
    assert (
        f"upload.mode: fanfare has no '{mode}', as its API has no operation that takes people out of a list, an import "
        "only adds them; allowed is 'opt-in'"
    ) in problem_of(upload={"mode": mode})


def test_snapshots_would_be_kept_for_nothing() -> None:
    assert (
        "state: fanfare has no mode that compares a list with the one before; allowed is 'opt-in'"
    ) in problem_of(state={"path": "state"})


@pytest.mark.parametrize("rows", [1, 2, 99_999, 100_000])
def test_a_part_may_be_smaller_than_the_vendor_takes(rows: int) -> None:
    assert definition(upload={"rows_per_import": rows}).upload.rows_per_import == rows


@pytest.mark.parametrize("rows", [0, -1, 100_001, 1.5, "many", None])
def test_a_part_may_be_no_larger_and_no_less_than_a_row(rows: Any) -> None:
    assert "upload.rows_per_import" in problem_of(upload={"rows_per_import": rows})


@pytest.mark.parametrize("audience_id", ["aud_01HXYZ", "3c90c3cc-0d44-4b50-8888-8dd25736052a"])
def test_an_audience_may_be_given(audience_id: str) -> None:
    assert definition(id=audience_id).id == audience_id


@pytest.mark.parametrize("audience_id", ["", "a/b", "../x", "a b", "{{ x }}", True, ["a"]])
def test_an_id_that_is_none_is_refused(audience_id: Any) -> None:
    assert "id" in problem_of(id=audience_id)


@pytest.mark.parametrize("columns", [{"email": "E"}, {"phone": "P"}, {"email": "E", "phone": "P"}])
def test_one_identifier_is_enough(columns: dict[str, str]) -> None:
    assert definition(source={"path": "x", "columns": columns}).source.columns.by_identifier() == columns


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign": {"name": "x"}},
        {"activation": {}},
        {"upload": {"bucket": "x"}},
        {"wait": {"minimum_share": 0.9}},
        {"platform": "commbox"},
    ],
)
def test_what_other_platforms_have_is_a_mistake_here(changes: dict[str, Any]) -> None:
    assert next(iter(changes)) in problem_of(**changes)


def test_a_description_is_sent() -> None:
    assert definition(description="Who may buy first").description == "Who may buy first"
