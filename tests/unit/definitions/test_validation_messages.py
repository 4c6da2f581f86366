"""Messages of validation errors, of types of fields that not all models have yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from audience_onboarding.definitions.fields import Model, Name
from audience_onboarding.definitions.validation_messages import FieldRules, format_validation_errors
from audience_onboarding.definitions.yaml_loader import load_yaml


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
    ("text", "expected"),
    [
        (
            "targets: [{key: a, approval: {timeout_hour: 5}}]",
            ["1: targets[0].approval.timeout_hour: unknown field. Did you mean 'timeout_hours'?"],
        ),
        (
            "targets: [{key: a, approval: {timeout_hours: 0, users: [5]}}]",
            [
                "1: targets[0].approval.timeout_hours: must be more than 0",
                "1: targets[0].approval.users[0]: must be text. Quote it, because YAML reads it as a number",
            ],
        ),
        (
            "targets: [{key: a, approval: maybe}]",
            ["1: targets[0].approval: must be true or false or a mapping of fields"],
        ),
        ("targets: [{key: a}, {key: b}, {key: c}]", ["1: targets: must have at most 2 entries"]),
        ("by_key: {a: x}", ["1: by_key.a: must be a whole number"]),
        ("by_key: 5", ["1: by_key: must be a mapping of fields"]),
        ("when: latr", ["1: when: invalid value. Allowed: 'now', 'later'. Did you mean 'later'?"]),
        ("rate: 1", ["1: rate: must be less than 1"]),
        ("rate: 0", ["1: rate: must be more than 0"]),
    ],
)
def test_error_in_union_or_list_names_the_field(text: str, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    document, _ = load_yaml(path)
    assert document is not None

    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(document.to_plain())

    diagnostics = format_validation_errors(caught.value, Whole, document, rules=FieldRules())
    assert [str(diagnostic).removeprefix("a.yaml:") for diagnostic in diagnostics] == expected
