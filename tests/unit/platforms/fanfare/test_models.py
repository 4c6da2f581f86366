"""Answers of Fanfare, as types without personal data."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from audience_onboarding.platforms.fanfare.models import (
    MAX_ISSUE,
    MAX_SHOWN_ISSUES,
    Audience,
    AudienceChanges,
    AudienceDraft,
    AudienceStatus,
    AudienceType,
    Import,
    RowError,
    RuleDraft,
    RuleOperator,
    issue_text,
)
from sandbox.fanfare import bodies
from tests.unit.clients.contract import EMAIL, PHONE
from tests.unit.platforms.fanfare.conftest import audience_json, import_json

ISSUES: list[tuple[Any, str]] = [
    ({"expected": "string", "received": PHONE, "path": [{"key": "phone"}]}, "phone: expected string"),
    ({"expected": "string", "path": [{"key": "rows"}, {"key": 3}]}, "rows.3: expected string"),
    ({"expected": "string", "path": ["a", 0]}, "a.0: expected string"),
    ({"kind": "schema"}, "schema"),
    ({"field": "email", "type": "taken"}, "email: taken"),
    ({"path": "email", "type": "email"}, "email: email"),
    # Shapes that no page shows.
    ({}, "not accepted"),
    ({"received": EMAIL, "input": EMAIL, "message": EMAIL}, "not accepted"),
    ({"path": 3, "type": "x"}, "3: x"),
    ({"path": [None, {"key": None}, {"key": {"input": EMAIL}}], "type": "x"}, "x"),
    ({"expected": {"input": EMAIL}, "type": ["x"], "kind": 7}, "not accepted"),
    ({"field": {"input": EMAIL}, "type": "x"}, "x"),
    (f"{EMAIL} is no address", "<e-mail> is no address"),
    (f"{PHONE} is no number", "<number> is no number"),
    (None, "not accepted"),
    (7, "not accepted"),
    ([EMAIL], "not accepted"),
    ({"expected": f"not {EMAIL}"}, "expected not <e-mail>"),
]


def test_an_issue_says_what_was_expected_and_never_what_was_there() -> None:
    assert [issue_text(issue) for issue, _ in ISSUES] == [text for _, text in ISSUES]


def test_the_rule_operators_are_those_of_the_api_description() -> None:
    assert [operator.value for operator in RuleOperator] == list(bodies.OPERATORS)


def test_an_issue_is_short() -> None:
    assert len(issue_text("x" * 10_000)) == MAX_ISSUE
    for length in range(170, 201):
        assert "anna" not in issue_text(f"{'x' * (length - 1)} {EMAIL}")


def test_a_row_keeps_its_number_and_a_few_issues() -> None:
    found = Import.model_validate(
        import_json(
            errors=[
                {"row": 3, "issues": [{"type": "email", "input": EMAIL}] * 9, "data": {"email": EMAIL}},
                {"row": 4, "issues": None},
                {"row": 5},
            ]
        )
    )

    assert found.errors == (
        RowError(row=3, issues=("email",) * MAX_SHOWN_ISSUES),
        RowError(row=4),
        RowError(row=5),
    )
    assert "anna" not in repr(found)
    assert "anna" not in str(found.model_dump())


def test_the_errors_of_an_import_may_be_missing_but_not_odd() -> None:
    for errors in (None, []):
        assert not Import.model_validate(import_json(errors=errors)).errors
    for error in ("text", 7, None, {"issues": []}, {"row": "x"}, {"row": {"email": EMAIL}}):
        with pytest.raises(ValidationError) as caught:
            Import.model_validate(import_json(errors=[error]))

        # The client quotes the places only.
        assert {item["loc"][0] for item in caught.value.errors()} == {"errors"}


def test_an_id_can_stand_in_a_path() -> None:
    for bad in ("", "a/b", "../x", "a b", "a?b", None, {"id": 1}):
        with pytest.raises(ValidationError):
            Audience.model_validate(audience_json(id=bad))


def test_a_version_may_be_anything_that_can_be_compared() -> None:
    for version in (3, "v3", None):
        status = AudienceStatus.model_validate({"version": version, "stale": True, "inProgress": False})

        assert status.version == version


def test_only_what_was_given_is_sent() -> None:
    assert AudienceChanges(description=None).to_json() == {"description": None}
    assert AudienceChanges().to_json() == {}
    assert AudienceDraft.model_validate({"name": "x", "type": "DYNAMIC"}).to_json() == {
        "name": "x",
        "type": "DYNAMIC",
    }


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (AudienceDraft, {"name": "x"}),
        (AudienceDraft, {"type": "STATIC_LIST"}),
        (AudienceDraft, {"name": "", "type": "STATIC_LIST"}),
        (AudienceDraft, {"name": "x", "type": "STATIC"}),
        (AudienceDraft, {"name": "x", "type": "STATIC_LIST", "nmae": "y"}),
        (AudienceDraft, {"name": "x", "type": "DYNAMIC", "groupType": "OTHER"}),
        (AudienceDraft, {"name": "x", "type": "DYNAMIC", "rules": [{"field": "a", "operator": "LIKE", "values": []}]}),
        (AudienceChanges, {"rules": []}),
        (RuleDraft, {"field": "a", "operator": "IN"}),
        (RuleDraft, {"field": "", "operator": "IN", "values": []}),
        (RuleDraft, {"field": "a", "operator": "IN", "values": [{"b": 1}]}),
    ],
)  # fmt: skip
def test_what_the_vendor_would_not_take_is_not_sent(model: Any, value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(value)


def test_unknown_words_are_read_as_text_and_known_ones_as_enums() -> None:
    source = {"syncSource": "s", "syncSourceId": "1", "syncStatus": "PAUSED"}
    audience = Audience.model_validate(audience_json(type="SMART_LIST", primarySyncSource=source))

    assert audience.type == "SMART_LIST"
    assert audience.primary_sync_source is not None
    assert audience.primary_sync_source.sync_status == "PAUSED"
    words = {"STATIC": AudienceType.STATIC_LIST, "DYNAMIC": AudienceType.DYNAMIC}
    assert {word: Audience.model_validate(audience_json(type=word)).type for word in words} == words
