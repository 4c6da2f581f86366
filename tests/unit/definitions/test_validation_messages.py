"""What pydantic finds, in plain words: the kinds of fields that not all models have yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from audience_onboarding.definitions.models import Model, Name
from audience_onboarding.definitions.validation_messages import Fields, problems_in
from audience_onboarding.definitions.yaml_loader import read_yaml


class Approval(Model):
    timeout_hours: int = Field(24, gt=0)
    users: tuple[Name, ...] = ()


class Target(Model):
    key: str
    approval: bool | Approval = False


class Whole(Model):
    targets: tuple[Target, ...] = Field((), max_length=2)
    by_key: dict[str, int] = Field(default_factory=dict)
    when: Literal["now", "later"] | int = "now"
    rate: Annotated[float, Field(gt=0, lt=1)] | None = None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "targets: [{key: a, approval: {timeout_hour: 5}}]",
            ["1: targets[0].approval.timeout_hour: no such field; did you mean 'timeout_hours'?"],
        ),
        (
            "targets: [{key: a, approval: {timeout_hours: 0, users: [5]}}]",
            [
                "1: targets[0].approval.timeout_hours: must be more than 0",
                "1: targets[0].approval.users[0]: must be text; put it in quotes, as YAML takes it for a number",
            ],
        ),
        (
            "targets: [{key: a, approval: maybe}]",
            ["1: targets[0].approval: must be yes or no (true or false) or a group of fields"],
        ),
        ("targets: [{key: a}, {key: b}, {key: c}]", ["1: targets: must have at most 2 entries"]),
        ("by_key: {a: x}", ["1: by_key.a: must be a whole number"]),
        ("by_key: 5", ["1: by_key: must be a group of fields"]),
        ("when: latr", ["1: when: no such choice; allowed is 'now', 'later'; did you mean 'later'?"]),
        ("rate: 1", ["1: rate: must be less than 1"]),
        ("rate: 0", ["1: rate: must be more than 0"]),
    ],
)
def test_a_field_that_may_be_several_things(text: str, said: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    given, _ = read_yaml(path)
    assert given is not None

    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(given.plain())

    problems = problems_in(caught.value, Whole, given, fields=Fields())
    assert [str(problem).removeprefix("a.yaml:") for problem in problems] == said
