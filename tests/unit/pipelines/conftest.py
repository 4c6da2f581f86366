"""Definitions to build DAGs from, and helpers that use a DAG as Airflow does."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import jinja2
import pytest
import yaml
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from airflow.sdk.execution_time.context import set_current_context

from audience_onboarding.pipelines import build_onboarding_dag
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from tests.fakes import AssetStores, DictStore
from tests.unit.definitions.conftest import GOOD, REMOVE, changed

__all__ = ["GOOD", "REMOVE", "changed", "definition", "function_of"]

BASE = Path("/project/include")
HOST = "https://vendor.example"
NO_FLAGS = [None, "yes", 1]
"""Values that no check box takes."""


def definition(key: str = "newsletter", **changes: Any) -> DigitalAudienceDefinition:
    """The good definition with changes."""
    return DigitalAudienceDefinition.model_validate({"key": key, **changed(**changes)})


def minimal(platform: str, key: str = "list", **changes: Any) -> Any:
    """A definition of any platform with what each of them needs."""
    raw = {
        "key": key,
        "platform": platform,
        "name": f"The {key}",
        "owner": "crm-team",
        "source": {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}},
        **({"campaign": {"name": "C"}} if platform == "digital_audience" else {"allow_unhashed": True}),
        **changes,
    }
    return get_platform(platform).definition.model_validate(raw)


def onboarding(**changes: Any) -> DAG:
    """The onboarding DAG of the good definition with changes."""
    return build_onboarding_dag(definition(**changes), base=BASE)


def function_of(dag: DAG, task_id: str) -> Callable[..., Any]:
    """The Python function of a task."""
    found: Callable[..., Any] = dag.get_task(task_id).python_callable  # type: ignore[attr-defined]
    return found


def run_task(dag: DAG, task_id: str, context: Any, *arguments: Any) -> Any:
    """Run the function of a task; Airflow's current context is this one."""
    with set_current_context(context):
        return function_of(dag, task_id)(*arguments)


def fill_in(dag: DAG, conf: Mapping[str, Any]) -> dict[str, Any]:
    """Validate the form as Airflow does before it makes a run, and return the params."""
    params = copy.deepcopy(dag.params)
    params.update(conf)
    return dict(params.validate())


def check_form(dag: DAG, fields: Mapping[str, tuple[list[Any], list[Any]]]) -> None:
    """Check that each field takes its first values as they are, and refuses the others."""
    problems = []
    for name, (good, bad) in fields.items():
        # A param keeps the value that it resolves.
        param = copy.deepcopy(dag.params.get_param(name))
        for value, is_good in [(value, True) for value in good] + [(value, False) for value in bad]:
            try:
                is_taken = param.resolve(value) == value
            except ParamValidationError:
                is_taken = False
            if is_taken != is_good:
                problems.append(f"{name}: {value!r} is {'taken' if is_taken else 'not taken as it is'}")
    assert not problems, "\n".join(problems)


def upstream_of(dag: DAG) -> dict[str, set[str]]:
    """The tasks of a DAG, and the tasks that each follows."""
    return {task.task_id: task.upstream_task_ids for task in dag.tasks}


def outlets_of(dag: DAG) -> dict[str, list[str]]:
    """The tasks that make events, and the names of their assets."""
    return {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets}


def rendered(template: str, **context: Any) -> str:
    return jinja2.Template(template).render(**context)


def remembering(values: dict[str, Any], key: str = "newsletter") -> AssetStores:
    """State stores in which the asset of an audience has these values."""
    stores = AssetStores()
    stores.stores[f"audience/{key}"] = DictStore(values)
    return stores


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client of Digital Audience, which answers nothing yet."""
    made = create_autospec(DigitalAudienceClient, instance=True)
    made.settings = DigitalAudienceSettings(base_url=HOST, user_name="u", password="p")
    monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of definitions that the builders read: two good ones and a broken one."""
    path = tmp_path / "include" / "audiences"
    path.mkdir(parents=True)
    (path / "newsletter.yaml").write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    (path / "quiet.yaml").write_text(yaml.safe_dump(changed(activation=REMOVE)), encoding="utf-8")
    (path / "broken.yaml").write_text("name: [", encoding="utf-8")
    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(path))
    return path
