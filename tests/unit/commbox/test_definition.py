"""The fields of a definition that are CommBox's own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.commbox.definition import DEFINITION, CommBoxDefinition

GOOD: dict[str, Any] = {
    "key": "alerts",
    "platform": "commbox",
    "name": "Service alerts",
    "owner": "crm-team",
    "allow_raw": True,
    "source": {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}},
}


def definition(**changes: Any) -> CommBoxDefinition:
    return CommBoxDefinition.model_validate({**GOOD, **changes})


def problem_of(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        definition(**changes)
    return str(caught.value)


def test_what_is_not_given() -> None:
    found = definition()

    assert DEFINITION is CommBoxDefinition
    assert (found.connection, found.id, found.wait.minimum_share) == ("commbox_default", None, 1.0)
    assert (found.mode, list(found.allowed_modes)) == ("replace", ["replace", "mirror"])
    assert found.found_by_name is True


def test_raw_values_have_to_be_meant() -> None:
    assert "phone numbers as they are, not hashed" in problem_of(allow_raw=False)
    with pytest.raises(ValidationError, match="allow_raw: true"):
        CommBoxDefinition.model_validate({name: value for name, value in GOOD.items() if name != "allow_raw"})


@pytest.mark.parametrize("columns", [{"email": "E"}, {"email": "E", "phone": "P"}])
def test_it_takes_phone_numbers_and_nothing_else(columns: dict[str, str]) -> None:
    problem = problem_of(source={"path": "x", "columns": columns})

    assert "takes 'phone', and nothing else" in problem


def test_its_audiences_have_no_description() -> None:
    assert "this platform's audiences have none" in problem_of(description="Who gets alerts")


@pytest.mark.parametrize("share", [0.01, 0.5, 1, 1.0])
def test_the_vendor_may_leave_some_out(share: float) -> None:
    assert definition(wait={"minimum_share": share}).wait.minimum_share == share


@pytest.mark.parametrize("share", [0, -0.5, 1.01, "most", None, float("nan")])
def test_a_share_is_a_part_of_the_whole(share: Any) -> None:
    assert "wait.minimum_share" in problem_of(wait={"minimum_share": share})


@pytest.mark.parametrize("audience_id", ["312345", 312345])
def test_an_audience_may_be_given(audience_id: Any) -> None:
    assert definition(id=audience_id).id == "312345"


@pytest.mark.parametrize("audience_id", ["", "a/b", "1 2", "{{ x }}"])
def test_an_id_that_is_none_is_refused(audience_id: str) -> None:
    assert "id" in problem_of(id=audience_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"upload": {"rows_per_import": 5}},
        {"upload": {"bucket": "x"}},
        {"campaign": {"name": "x"}},
        {"wait": {"success_states": ["x"]}},
    ],
)
def test_what_other_platforms_have_is_a_mistake_here(changes: dict[str, Any]) -> None:
    assert next(iter(changes)) in problem_of(**changes)


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_to_add_or_take_out_the_last_list_has_to_be_kept(mode: str) -> None:
    assert (
        f"upload.mode: on commbox, '{mode}' needs 'state', a folder for snapshots of what the audience holds; without "
        "it, allowed is 'replace', 'mirror'"
    ) in problem_of(upload={"mode": mode})
    assert definition(upload={"mode": mode}, state={"path": "state"}).mode == mode


def test_with_snapshots_there_are_all_modes() -> None:
    assert list(definition(state={"path": "state"}).allowed_modes) == [
        "replace",
        "mirror",
        "opt-in",
        "opt-out",
    ]


def test_each_list_is_made_of_the_last_confirmed_one() -> None:
    upload = {"wait_for_earlier_loads": "uploaded"}

    assert "upload.wait_for_earlier_loads: with 'state', it has to be 'confirmed'" in problem_of(
        upload=upload, state={"path": "state"}
    )
    assert definition(upload=upload).state is None
