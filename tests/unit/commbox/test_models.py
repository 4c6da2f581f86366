"""What the vendor answers, as types."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.commbox.models import Audience, AudienceCreated, AudienceType
from tests.unit.commbox.conftest import dynamic, static


def test_both_kinds_of_the_page_are_read() -> None:
    fixed, filtered = Audience.model_validate(static()), Audience.model_validate(dynamic())

    assert (fixed.type, fixed.user_count) == (AudienceType.STATIC, 3)
    assert (filtered.type, filtered.user_count) == (AudienceType.DYNAMIC, None)


def test_fields_that_nobody_knows_are_left_out() -> None:
    assert "owner" not in Audience.model_validate(static(owner="anna@example.com")).model_dump()


@pytest.mark.parametrize(("given", "read"), [("312345", "312345"), (312345, "312345"), ("a-b_1", "a-b_1")])
def test_an_id_is_text(given: Any, read: str) -> None:
    assert AudienceCreated.model_validate({"id": given}).id == read


@pytest.mark.parametrize("bad", ["", "a/b", "1?x=2", "1 2", None, True, 1.5, ["1"], {"id": "1"}])
def test_an_id_can_stand_in_a_path(bad: Any) -> None:
    with pytest.raises(ValidationError):
        AudienceCreated.model_validate({"id": bad})


@pytest.mark.parametrize("missing", ["id", "name", "type"])
def test_what_an_audience_cannot_do_without(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Audience.model_validate({name: value for name, value in static().items() if name != missing})


def test_a_type_that_the_pages_do_not_name_stops_nobody() -> None:
    made = {"id": "1", "name": "List"}

    assert Audience.model_validate(made | {"type": "Hybrid"}).type == "Hybrid"
    assert Audience.model_validate(made | {"type": "Static"}).type is AudienceType.STATIC
