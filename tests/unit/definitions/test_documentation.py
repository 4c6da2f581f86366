"""The page about definitions keeps up with the models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.platforms import PLATFORMS, part_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "definitions.md"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def fields_of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for inner in models_in(field.annotation):
            yield from fields_of(inner)


MODELS: list[type[AudienceDefinition]] = [
    part_of(platform, "definition").DEFINITION for platform in PLATFORMS
]


@pytest.mark.parametrize("field", sorted({field for model in MODELS for field in fields_of(model)} - {"key"}))
def test_each_field_is_on_the_page(field: str) -> None:
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    # "`wait.poll_seconds`", "`.name`", "`targets[].key`", or as a whole in the second column.
    assert any(re.search(rf"(?<![a-z_]){field}(?![a-z_])", line) for line in table)
