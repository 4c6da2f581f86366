"""Operators and sensors that users import are shallow: a reader finds a method in a few files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from audience_onboarding.platform_registry import PLATFORMS
from tests.unit.base import plain

MAX_PROJECT_CLASSES = 4


def exported_tasks() -> list[type[BaseOperator]]:
    """All operators and sensors of all platforms."""
    modules = [import_module(f"audience_onboarding.platforms.{platform}") for platform in PLATFORMS]
    exported = [getattr(module, name) for module in modules for name in module.__all__]
    return [kind for kind in exported if issubclass(kind, BaseOperator)]


TASKS = [*exported_tasks(), plain.PlainOnboardOperator, plain.PlainListOperator, plain.PlainSensor]


def is_ours(kind: type) -> bool:
    return kind.__module__.startswith(("audience_onboarding", "tests"))


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
def test_a_task_class_is_shallow_and_has_one_project_base(kind: type[BaseOperator]) -> None:
    ours = [one for one in kind.__mro__ if is_ours(one)]

    assert len(ours) <= MAX_PROJECT_CLASSES, [one.__name__ for one in ours]
    for one in ours:
        assert len([base for base in one.__bases__ if is_ours(base)]) <= 1, one


@pytest.mark.filterwarnings("ignore:Task 'mapped' was never mapped")
def test_the_connection_id_of_a_vendor_comes_from_default_args_and_partial() -> None:
    arguments: dict[str, dict[str, Any]] = {
        "PlainOnboardOperator": {"source": "x", "columns": {}},
        "PlainListOperator": {},
        "PlainSensor": {},
    }
    for kind in TASKS[-3:]:
        with DAG("a_dag", schedule=None, default_args={"plain_conn_id": "ours"}):
            task: Any = kind(task_id="task", **arguments[kind.__name__])
            mapped: Any = kind.partial(task_id="mapped", plain_conn_id="theirs", **arguments[kind.__name__])
        assert task.plain_conn_id == task.hook.conn_id == "ours"
        assert mapped.kwargs["plain_conn_id"] == "theirs"
