"""The imports of a load: what is kept, and what they come to together."""

from __future__ import annotations

import json
from typing import Any

from audience_onboarding.http import is_one_of
from audience_onboarding.platforms.fanfare.imports import (
    MAX_SHOWN_ROWS,
    Imports,
    Part,
    outcome,
    total,
)
from audience_onboarding.platforms.fanfare.models import Import
from tests.unit.platforms.fanfare.conftest import import_json


def imports(**changes: Any) -> Imports:
    return Imports(**{"audience_id": "aud_1", "content_id": "ab", "rows_per_import": 2, **changes})


def came_of_it(**changes: Any) -> dict[str, Any]:
    return {
        "import_id": "imp_1",
        "import_status": "COMPLETED",
        "processed_consumers": 2,
        "error_count": 0,
        "row_errors": [],
        **changes,
    }


def test_they_are_kept_as_json_and_come_back_the_same() -> None:
    before = imports(parts={2: Part("imp_2", 1), 1: Part("imp_1", 2, sent=True, outcome=came_of_it())})

    stored = json.loads(json.dumps(before.to_dict()))

    assert Imports.from_dict(stored) == before


def test_what_is_changed_later_is_not_kept() -> None:
    before = imports(parts={1: Part("imp_1", 2)})
    stored = before.to_dict()

    before.parts[1].sent = True

    assert stored["parts"]["1"]["sent"] is False


def test_an_invalid_record_is_nothing() -> None:
    fields = {"audience_id": "a", "content_id": "b", "rows_per_import": 1}
    parts: list[Any] = [[], {"one": {}}, {"1": {"import_id": "x"}}, {"1": {"id": "x", "rows": 1}}, {"1": 7}]
    values = [None, "text", 7, [], {}, {"parts": {}}, *({**fields, "parts": wrong} for wrong in parts)]

    assert [value for value in values if Imports.from_dict(value) is not None] == []


def test_parts_belong_to_a_content_a_division_and_an_audience() -> None:
    assert imports().is_about_same_as(imports(parts={1: Part("imp_1", 2)}))
    for changes in ({"audience_id": "aud_2"}, {"content_id": "cd"}, {"rows_per_import": 3}):
        assert not imports().is_about_same_as(imports(**changes))


def test_what_is_through_comes_in_order_and_only_before_a_part() -> None:
    found = imports(
        parts={
            10: Part("imp_10", 2, outcome={"a": 10}),
            2: Part("imp_2", 2, outcome={"a": 2}),
            1: Part("imp_1", 2, outcome={"a": 1}),
            3: Part("imp_3", 2, sent=True),
        }
    )

    assert found.done(before=3) == [
        {"import_id": "imp_1", "rows": 2, "a": 1},
        {"import_id": "imp_2", "rows": 2, "a": 2},
    ]
    assert [part["a"] for part in found.done(before=11)] == [1, 2, 10]


def test_a_status_is_compared_in_any_case() -> None:
    words = ("COMPLETED", "completed", "Success", "COMPLETE", "")

    found = [word for word in words if is_one_of(word, ("COMPLETED", "SUCCESS"))]

    assert found == ["COMPLETED", "completed", "Success"]


def test_of_an_import_the_counts_and_the_first_errors_are_kept() -> None:
    errors = [
        {"row": number, "issues": [{"type": "email", "input": "anna@example.com"}]} for number in range(50)
    ]

    kept = outcome(
        Import.model_validate(
            import_json(status="COMPLETED", processedConsumers=7, errorCount=50, errors=errors)
        )
    )

    assert kept["error_count"] == 50
    assert len(kept["row_errors"]) == MAX_SHOWN_ROWS
    assert kept["row_errors"][1] == {"row": 1, "issues": ["email"]}
    assert "anna" not in json.dumps(kept)


def test_an_import_that_counts_nothing() -> None:
    kept = outcome(Import.model_validate({"id": "imp_1", "status": "COMPLETED"}))

    assert (kept["processed_consumers"], kept["error_count"], kept["row_errors"]) == (None, 0, [])


def test_several_imports_are_added_up() -> None:
    row = {"row": 7, "issues": ["email"]}

    assert total(
        [
            came_of_it(processed_consumers=2, error_count=1, row_errors=[row]),
            came_of_it(),
            came_of_it(import_status="SUCCESS", processed_consumers=1, error_count=2, row_errors=[row]),
        ]
    ) == {
        "import_status": "SUCCESS",
        "imports": 3,
        "processed_consumers": 5,
        "error_count": 3,
        "row_errors": [{"import": 1, **row}, {"import": 3, **row}],
    }


def test_what_one_import_does_not_count_is_not_counted_at_all() -> None:
    found = total([came_of_it(), came_of_it(processed_consumers=None)])

    assert found["processed_consumers"] is None


def test_the_errors_of_many_imports_are_cut() -> None:
    rows = [{"row": number, "issues": []} for number in range(MAX_SHOWN_ROWS)]

    found = total([came_of_it(error_count=20, row_errors=rows)] * 3)

    assert (found["error_count"], len(found["row_errors"])) == (60, MAX_SHOWN_ROWS)
