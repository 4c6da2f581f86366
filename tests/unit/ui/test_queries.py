"""Statements of the page, in the dialect of each database that Airflow works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite

from audience_onboarding.ui import queries
from audience_onboarding.ui.service import SORTS, in_order

FOR_ONE_OR_ALL = (
    queries.audiences,
    queries.memory,
    queries.segments,
    queries.campaigns,
    queries.newest_runs,
)
OTHERS = (
    queries.stops,
    queries.approvals,
    queries.segment_news,
    queries.segment_history,
    queries.extension_reports,
    queries.last_loads,
    queries.load_keys,
    queries.loads,
    queries.recent_runs,
    queries.dags,
)
STATEMENTS: list[Any] = [
    *(statement(one=one) for statement in FOR_ONE_OR_ALL for one in (False, True)),
    *(statement() for statement in OTHERS),
]


@pytest.mark.parametrize("dialect", [sqlite.dialect, postgresql.dialect, mysql.dialect])
def test_each_database_understands_them(dialect: Callable[[], Any]) -> None:
    for statement in STATEMENTS:
        text = str(statement.compile(dialect=dialect())).upper()
        assert text.startswith(("SELECT", "(SELECT")), text
        assert "OVER (" not in text, text
        # MySQL takes no LIMIT in a subquery of IN.
        assert not [part for part in text.split(" IN (")[1:] if "LIMIT" in part.partition(")")[0]], text


def test_all_statements_are_looked_at() -> None:
    own = {
        name
        for name, value in vars(queries).items()
        if hasattr(value, "cache_info") and getattr(value, "__module__", "") == queries.__name__
    }

    assert own == {statement.__name__ for statement in (*FOR_ONE_OR_ALL, *OTHERS)}


def test_statements_are_built_once_and_keys_are_no_patterns() -> None:
    assert queries.newest_runs(one=True) is queries.newest_runs(one=True)
    assert queries.newest_runs(one=True) is not queries.newest_runs()
    assert queries.like("segment/a_b%c!/") == "segment/a!_b!%c!!/%"


def test_nothing_can_be_sorted() -> None:
    assert [in_order([], f"{sign}{sort}") for sort in SORTS for sign in ("", "-")] == [[]] * 2 * len(SORTS)
