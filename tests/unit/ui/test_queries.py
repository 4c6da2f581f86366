"""Statements of the page, in the dialect of each database that Airflow supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite

from audience_onboarding.ui import queries
from audience_onboarding.ui.service import SORT_KEYS, sort_audiences

FOR_ONE_OR_ALL = (
    queries.audiences,
    queries.audience_entries,
    queries.segment_entries,
    queries.campaigns,
    queries.newest_runs,
)
OTHERS = (
    queries.task_failures,
    queries.approvals,
    queries.newest_segment_events,
    queries.segment_events,
    queries.extension_reports,
    queries.recent_loads,
    queries.load_keys,
    queries.loads,
    queries.recent_runs,
    queries.existing_dags,
)
STATEMENTS: list[Any] = [
    *(statement(one=one) for statement in FOR_ONE_OR_ALL for one in (False, True)),
    *(statement() for statement in OTHERS),
]


@pytest.mark.parametrize("dialect", [sqlite.dialect, postgresql.dialect, mysql.dialect])
def test_statements_compile_in_each_dialect(dialect: Callable[[], Any]) -> None:
    for statement in STATEMENTS:
        text = str(statement.compile(dialect=dialect())).upper()
        assert text.startswith(("SELECT", "(SELECT")), text
        assert "OVER (" not in text, text
        # MySQL rejects LIMIT in a subquery of IN.
        assert not [part for part in text.split(" IN (")[1:] if "LIMIT" in part.partition(")")[0]], text


def test_all_statements_are_covered() -> None:
    names = {
        name
        for name, value in vars(queries).items()
        if hasattr(value, "cache_info") and getattr(value, "__module__", "") == queries.__name__
    }

    assert names == {statement.__name__ for statement in (*FOR_ONE_OR_ALL, *OTHERS)}


def test_statements_are_built_once_and_keys_are_escaped() -> None:
    assert queries.newest_runs(one=True) is queries.newest_runs(one=True)
    assert queries.newest_runs(one=True) is not queries.newest_runs()
    assert queries.like_pattern("segment/a_b%c!/") == "segment/a!_b!%c!!/%"


def test_an_empty_table_can_be_sorted() -> None:
    sorts = [f"{sign}{sort}" for sort in SORT_KEYS for sign in ("", "-")]

    assert [sort_audiences([], sort) for sort in sorts] == [[]] * len(sorts)
