"""Fields of a definition that only Fanfare has."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.platforms.fanfare.definition import FanfareDefinition

GOOD: dict[str, Any] = {
    "key": "fans",
    "platform": "fanfare",
    "name": "Presale fans",
    "owner": "crm-team",
    "allow_unhashed": True,
    "source": {"path": "crm/{load_date}.csv", "columns": {"email": "E-mail", "phone": "Phone"}},
}


def definition(**changes: Any) -> FanfareDefinition:
    return FanfareDefinition.model_validate({**GOOD, **changes})


def problem_of(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        definition(**changes)
    return str(caught.value)


def test_defaults() -> None:
    found = definition()

    assert (found.conn_id, found.id, found.upload.rows_per_import) == ("fanfare_default", None, 100_000)
    assert found.mode == "opt-in"
    assert found.found_by_name is True


def test_unhashed_values_have_to_be_confirmed() -> None:
    message = "allow_unhashed: required, because this platform receives 'email', 'phone' unhashed"
    for given in (
        {**GOOD, "allow_unhashed": False},
        {n: value for n, value in GOOD.items() if n != "allow_unhashed"},
    ):
        with pytest.raises(ValidationError, match=message):
            FanfareDefinition.model_validate(given)


def test_the_only_mode_is_opt_in() -> None:
    assert list(definition().allowed_modes) == ["opt-in"]
    for mode in ("opt-out", "replace", "mirror"):
        assert (
            f"upload.mode: '{mode}' is not supported on fanfare, because its API cannot remove people from a list, an "
            "import only adds them. Allowed: 'opt-in'"
        ) in problem_of(upload={"mode": mode})
    assert (
        "snapshots: not supported, because no mode of fanfare compares lists. Allowed modes: 'opt-in'"
    ) in problem_of(snapshots={"path": "state"})


def test_the_rows_of_an_import_are_between_one_and_the_vendors_limit() -> None:
    for rows in (1, 2, 99_999, 100_000):
        assert definition(upload={"rows_per_import": rows}).upload.rows_per_import == rows
    for wrong in (0, -1, 100_001, 1.5, "many", None):
        assert "upload.rows_per_import" in problem_of(upload={"rows_per_import": wrong}), wrong


def test_the_id_of_an_audience_can_stand_in_a_path() -> None:
    for audience_id in ("aud_01HXYZ", "3c90c3cc-0d44-4b50-8888-8dd25736052a"):
        assert definition(id=audience_id).id == audience_id
    for wrong in ("", "a/b", "../x", "a b", "{{ x }}", True, ["a"]):
        assert "id" in problem_of(id=wrong), wrong


def test_one_identifier_is_enough_and_a_description_is_sent() -> None:
    for columns in ({"email": "E"}, {"phone": "P"}, {"email": "E", "phone": "P"}):
        found = definition(source={"path": "x", "columns": columns}, description="Who may buy first")

        assert found.source.columns.by_identifier() == columns
        assert found.description == "Who may buy first"


def test_fields_of_other_platforms_are_refused() -> None:
    for changes in (
        {"campaign": {"name": "x"}},
        {"activation": {}},
        {"upload": {"bucket": "x"}},
        {"wait": {"minimum_ratio": 0.9}},
        {"platform": "commbox"},
    ):
        assert next(iter(changes)) in problem_of(**changes)
