"""What holds for the operators and sensors of every platform."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.base.sensors import PlatformSensor
from audience_onboarding.platform_registry import PLATFORMS
from tests.fakes import task_context

VALUES: Mapping[str, Any] = {
    "columns": {"phone": "Phone"},
    "source": "/nowhere/{load_date}.csv",
    "new_end_date": "2026-12-20T00:00:00Z",
    "rules": [],
}
"""Values of arguments that want more than any text."""


def public(ending: str) -> list[Any]:
    found = []
    for platform in PLATFORMS:
        package = import_module(f"audience_onboarding.platforms.{platform}")
        names = [name for name in package.__all__ if name.endswith(ending)]
        found += [pytest.param(platform, getattr(package, name), id=name) for name in names]
    return found


TASKS = [*public("Operator"), *public("Sensor")]


def arguments_of(kind: type[BaseOperator]) -> dict[str, Any]:
    """Return the required arguments."""
    wanted = {
        name
        for base in kind.__mro__
        if base.__module__.startswith("audience_onboarding.") and "__init__" in vars(base)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
    return {name: VALUES.get(name, "7") for name in wanted}


def made(kind: Any, **more: Any) -> Any:
    return kind(**{"task_id": "t", **arguments_of(kind), **more})


def test_every_platform_has_an_operator_that_onboards_and_a_sensor_that_waits() -> None:
    kinds = {(param.values[0], "Sensor" in param.values[1].__name__) for param in TASKS}

    assert kinds == {(platform, is_sensor) for platform in PLATFORMS for is_sensor in (True, False)}


@pytest.mark.parametrize(("platform", "kind"), TASKS)
class TestEveryTask:
    def test_it_can_be_made_and_is_one_of_ours(self, platform: str, kind: Any) -> None:
        task = made(kind)

        assert isinstance(task, PlatformSensor if kind.__name__.endswith("Sensor") else PlatformOperator)
        assert kind.__doc__
        assert all(hasattr(task, name) for name in task.template_fields)
        if isinstance(task, PlatformOperator):
            mine = OnboardingRetryPolicy()
            assert isinstance(task.retry_policy, OnboardingRetryPolicy)
            assert made(kind, retry_policy=mine).retry_policy is mine

    def test_its_connection_can_be_given_in_every_way(self, platform: str, kind: Any) -> None:
        name = f"{platform}_conn_id"

        assert getattr(made(kind), name) == made(kind).hook.conn_id == f"{platform}_default"
        assert made(kind, **{name: "own"}).hook.conn_id == "own"
        assert name in kind.template_fields
        with DAG("a_dag", schedule=None, default_args={name: "of_the_dag"}):
            assert getattr(made(kind), name) == "of_the_dag"
        with DAG("another_dag", schedule=None):
            mapped = kind.partial(task_id="t", **{name: "own"}).expand_kwargs([arguments_of(kind)])
        assert mapped.partial_kwargs[name] == "own"

    def test_it_takes_its_arguments_by_name_only(self, platform: str, kind: Any) -> None:
        for base in kind.__mro__:
            if base.__module__.startswith("audience_onboarding.") and "__init__" in vars(base):
                kinds = {
                    parameter.kind
                    for name, parameter in inspect.signature(base.__init__).parameters.items()
                    if name != "self"
                }
                assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}

    def test_a_connection_that_cannot_be_used_fails_at_once_or_in_the_triggerer(
        self, platform: str, kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = f'{{"conn_type": "{platform}", "host": "ftp://nowhere", "login": "u", "password": "p"}}'
        monkeypatch.setenv(f"AIRFLOW_CONN_{platform.upper()}_DEFAULT", given)
        more = {"load_date": "2026-11-20", "allow_unhashed": True} if "columns" in arguments_of(kind) else {}

        with pytest.raises((AirflowFailException, TaskDeferred)) as caught:
            made(kind, **more).execute(task_context())

        if isinstance(caught.value, TaskDeferred):
            assert kind.__name__.endswith("Sensor")
        else:
            assert "ConfigurationError" in str(caught.value)
            assert "ftp://nowhere" in str(caught.value) or "bucket" in str(caught.value)
