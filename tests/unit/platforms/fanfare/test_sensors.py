"""The result of Fanfare's import sensor: all imports of a load together."""

from __future__ import annotations

from typing import Any

import pytest

from audience_onboarding.platforms.fanfare.sensors import FanfareImportSensor
from tests.fakes import task_context
from tests.unit.platforms.kits import FANFARE

ROW = {"row": 2, "issues": ["email: email"]}


def part(number: int, **changes: Any) -> dict[str, Any]:
    """An import that is through, as the upload keeps it."""
    return {
        "import_id": f"imp_{number}",
        "rows": 2,
        "import_status": "COMPLETED",
        "processed_consumers": 2,
        "error_count": 0,
        "row_errors": [],
        **changes,
    }


def success(**changes: Any) -> dict[str, Any]:
    """The trigger's event of the last import."""
    last = part(3, processed_consumers=1, **changes)
    del last["rows"]
    return {"status": "success", "result": {"members": 7, **last}}


def test_the_imports_of_a_load_are_added_up_and_refused_rows_are_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FANFARE.client(monkeypatch)
    before = [part(1, error_count=1, row_errors=[ROW]), part(2)]
    sensor = FanfareImportSensor(
        task_id="wait", upload={"audience_id": "aud_1", "import_id": "imp_3", "imports_before": before}
    )

    found = sensor.execute_complete(task_context(), success(error_count=1, row_errors=[ROW]))  # type: ignore[arg-type]

    row_errors = [{"import": 1, **ROW}, {"import": 3, **ROW}]
    assert found == {
        "audience_id": "aud_1",
        "members": 7,
        "import_status": "COMPLETED",
        "imports": 3,
        "processed_consumers": 5,
        "error_count": 2,
        "row_errors": row_errors,
    }
    assert f"[warning  ] Fanfare rejected 2 rows: {row_errors}" in capsys.readouterr().out


def test_one_import_without_errors_is_all_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FANFARE.client(monkeypatch)
    sensor = FanfareImportSensor(task_id="wait", audience_id="aud_1", import_id="imp_3")

    assert sensor.execute_complete(task_context(), success()) == {  # type: ignore[arg-type]
        "audience_id": "aud_1",
        "members": 7,
        "import_status": "COMPLETED",
        "imports": 1,
        "processed_consumers": 1,
        "error_count": 0,
        "row_errors": [],
    }
    assert "[warning" not in capsys.readouterr().out
