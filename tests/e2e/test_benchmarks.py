"""The benchmarks that need Airflow, as small as they can be: they measure nothing here, but they finish."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import parsing, waiting

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(600)]


def test_both_kinds_of_dags_are_parsed(tmp_path: Path) -> None:
    entries = [entry for entry, _ in parsing.figures(tmp_path, {"DEFINITIONS": "1 2", "ROUNDS": "1"})]

    assert [entry["name"].partition(",")[0] for entry in entries].count("Parse and serialize") == 4
    assert all(entry["value"] > 0 for entry in entries)


def test_all_audiences_are_polled_in_time_with_one_login(tmp_path: Path) -> None:
    entries = list(
        waiting.figures(
            tmp_path,
            {
                "AUDIENCES_WAITING": "20",
                "POLL_SECONDS": "2",
                "INTERVALS": "2",
                "WAITING_DATABASE": "sqlite",
            },
        )
    )

    values = {entry["name"].rpartition(": ")[2]: entry["value"] for entry, _ in entries}
    targets = {entry["name"].rpartition(": ")[2]: target for entry, target in entries if target}
    assert values["logins in all"] == 1
    # A busy machine may be late.
    assert 10 <= values["requests per interval"] <= 22
    assert values["processor time per interval"] > 0
    assert values["memory"] > 50
    assert all(entry["ratio"] is not None and entry["baseline"] for entry, _ in entries)
    assert set(targets) == {
        "lateness of a poll, 99th percentile",
        "processor time per interval",
        "logins in all",
    }
