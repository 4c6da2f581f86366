"""Answers of CommBox, as types."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from pydantic import ValidationError

from audience_onboarding.platforms.commbox.models import Audience, AudienceCreated, AudienceType
from tests.unit.platforms.commbox.conftest import dynamic, static


def test_both_kinds_of_audience_on_the_page_are_read() -> None:
    fixed = Audience.model_validate(static(owner="anna@example.com"))
    filtered = Audience.model_validate(dynamic())

    assert (fixed.type, fixed.user_count) == (AudienceType.STATIC, 3)
    assert (filtered.type, filtered.user_count) == (AudienceType.DYNAMIC, None)
    # Unknown fields are left out.
    assert "owner" not in fixed.model_dump()


def test_a_time_may_lack_its_zone_and_a_count_may_be_text() -> None:
    # An option of the account adds the Z.
    for text in ("2026-02-11T12:00:00", "2026-02-11T12:00:00.000", "2026-02-11T13:00:00+01:00"):
        found = Audience.model_validate(static(created_time=text)).created_time
        assert found == datetime(2026, 2, 11, 12, tzinfo=timezone.utc)
    assert Audience.model_validate(static(created_time=None)).created_time is None
    counts = {0: 0, 3: 3, "4": 4, None: None}
    assert {count: Audience.model_validate(static(count=count)).user_count for count in counts} == counts


def test_an_id_is_text_that_can_stand_in_a_path() -> None:
    ids = {"312345": "312345", 312345: "312345", "a-b_1": "a-b_1"}

    assert {given: AudienceCreated.model_validate({"id": given}).id for given in ids} == ids
    assert {given: Audience.model_validate(static(given)).id for given in ids} == ids
    for bad in ("", "a/b", "1?x=2", "1 2", None, True, 1.5, ["1"], {"id": "1"}):
        with pytest.raises(ValidationError):
            AudienceCreated.model_validate({"id": bad})


@pytest.mark.parametrize("missing", ["id", "name", "type"])
def test_an_audience_needs_id_name_and_type(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Audience.model_validate({name: value for name, value in static().items() if name != missing})


def test_an_unknown_type_is_read_as_text() -> None:
    assert Audience.model_validate(static(type="Hybrid")).type == "Hybrid"
