"""Fields of a definition that only CommBox has."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.platforms.commbox.definition import CommBoxDefinition

GOOD: dict[str, Any] = {
    "key": "alerts",
    "platform": "commbox",
    "name": "Service alerts",
    "owner": "crm-team",
    "allow_unhashed": True,
    "source": {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}},
}


def definition(**changes: Any) -> CommBoxDefinition:
    return CommBoxDefinition.model_validate({**GOOD, **changes})


def problem_of(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        definition(**changes)
    return str(caught.value)


def test_defaults() -> None:
    found = definition()

    assert (found.conn_id, found.id, found.wait.minimum_ratio) == ("commbox_default", None, 1.0)
    assert (found.mode, list(found.allowed_modes)) == ("replace", ["replace", "mirror"])
    assert found.found_by_name is True


def test_unhashed_values_have_to_be_confirmed() -> None:
    assert "this platform receives 'phone' unhashed" in problem_of(allow_unhashed=False)
    with pytest.raises(ValidationError, match="allow_unhashed: required"):
        CommBoxDefinition.model_validate(
            {name: value for name, value in GOOD.items() if name != "allow_unhashed"}
        )


def test_it_takes_phone_numbers_only_and_no_description() -> None:
    for columns in ({"email": "E"}, {"email": "E", "phone": "P"}):
        problem = problem_of(source={"path": "x", "columns": columns})
        assert "does not accept 'email'. Allowed: 'phone'" in problem
    assert "description: not supported" in problem_of(description="Who gets alerts")


def test_the_minimum_share_is_above_zero_and_at_most_one() -> None:
    for share in (0.01, 0.5, 1, 1.0):
        assert definition(wait={"minimum_ratio": share}).wait.minimum_ratio == share
    for wrong in (0, -0.5, 1.01, "most", None, float("nan")):
        assert "wait.minimum_ratio" in problem_of(wait={"minimum_ratio": wrong}), wrong


def test_the_id_of_an_audience_can_stand_in_a_path() -> None:
    for audience_id in ("312345", 312345):
        assert definition(id=audience_id).id == "312345"
    for wrong in ("", "a/b", "1 2", "{{ x }}"):
        assert "id" in problem_of(id=wrong), wrong


def test_fields_of_other_platforms_are_refused() -> None:
    for changes in (
        {"upload": {"rows_per_import": 5}},
        {"upload": {"bucket": "x"}},
        {"campaign": {"name": "x"}},
        {"wait": {"success_states": ["x"]}},
    ):
        assert next(iter(changes)) in problem_of(**changes)


def test_opt_in_and_opt_out_need_snapshots() -> None:
    for mode in ("opt-in", "opt-out"):
        assert (
            f"upload.mode: '{mode}' on commbox needs 'snapshots', a folder for snapshots of the audience. "
            "Without it, allowed: 'replace', 'mirror'"
        ) in problem_of(upload={"mode": mode})
        assert definition(upload={"mode": mode}, snapshots={"path": "state"}).mode == mode
    assert list(definition(snapshots={"path": "state"}).allowed_modes) == [
        "replace",
        "mirror",
        "opt-in",
        "opt-out",
    ]


def test_snapshots_need_confirmed_earlier_loads() -> None:
    upload = {"wait_for_earlier_loads": "uploaded"}

    assert "upload.wait_for_earlier_loads: must be 'confirmed' with 'snapshots'" in problem_of(
        upload=upload, snapshots={"path": "state"}
    )
    assert definition(upload=upload).snapshots is None
