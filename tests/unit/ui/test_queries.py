"""The statements can be said to each database that Airflow works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite

from audience_onboarding.ui import queries
from audience_onboarding.ui.view import SORTS, in_order

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
@pytest.mark.parametrize("statement", STATEMENTS)
def test_each_database_understands_them(statement: Any, dialect: Callable[[], Any]) -> None:
    text = str(statement.compile(dialect=dialect())).upper()

    assert text.startswith(("SELECT", "(SELECT"))
    assert "OVER (" not in text
    # MySQL takes no limit in what IN is followed by.
    for part in text.split(" IN (")[1:]:
        assert "LIMIT" not in part.partition(")")[0]


def test_all_statements_are_looked_at() -> None:
    own = {
        name
        for name, value in vars(queries).items()
        if hasattr(value, "cache_info") and getattr(value, "__module__", "") == queries.__name__
    }

    assert own == {statement.__name__ for statement in (*FOR_ONE_OR_ALL, *OTHERS)}


def test_they_are_put_together_once() -> None:
    assert queries.newest_runs(one=True) is queries.newest_runs(one=True)
    assert queries.newest_runs(one=True) is not queries.newest_runs()


def test_a_key_is_no_pattern() -> None:
    assert queries.like("segment/a_b%c!/") == "segment/a!_b!%c!!/%"


@pytest.mark.parametrize("sort", SORTS)
def test_nothing_can_be_sorted(sort: str) -> None:
    assert in_order([], sort) == in_order([], f"-{sort}") == []
