"""The plugin: the pool that the DAGs name is there once a component has started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding import plugin
from audience_onboarding.orchestration.pools import CREATE_POOL
from audience_onboarding.plugin import AudienceOnboardingPlugin, on_starting

PROJECT = Path(__file__).resolve().parents[2]

CHECK = """
from airflow.utils.db import initdb

initdb()
from airflow.jobs.job import Job
from airflow.models.pool import Pool
from airflow.utils.session import create_session

from audience_onboarding.orchestration.pools import CREATE_POOL
from audience_onboarding.plugin import on_starting

job = Job()


def pool():
    with create_session() as session:
        found = Pool.get_pool(CREATE_POOL, session=session)
        return None if found is None else (found.slots, found.include_deferred, bool(found.description))


assert pool() is None, pool()
on_starting(object())
assert pool() is None, pool()
on_starting(job)
assert pool() == (1, False, True), pool()
with create_session() as session:
    Pool.create_or_update_pool(CREATE_POOL, slots=0, description="ours", include_deferred=True, session=session)
on_starting(job)
assert pool() == (0, True, True), pool()
print("all as it should be")
"""


def test_a_starting_component_makes_the_pool_and_leaves_one_that_is_there_alone(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(PROJECT / "plugins"),
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "all as it should be" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("component", [SimpleNamespace(job_type="SchedulerJob"), object(), None])
def test_what_is_no_job_does_not_touch_the_database(monkeypatch: pytest.MonkeyPatch, component: Any) -> None:
    from airflow.utils import session

    monkeypatch.setattr(session, "create_session", lambda **arguments: pytest.fail("no database"))

    on_starting(component)


def test_two_components_may_start_at_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.jobs.job import Job
    from airflow.models.pool import Pool
    from airflow.utils import session
    from sqlalchemy.exc import IntegrityError

    def taken(*arguments: Any, **more: Any) -> None:
        raise IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed"))

    monkeypatch.setattr(session, "create_session", contextlib.nullcontext)
    monkeypatch.setattr(Pool, "get_pool", lambda *arguments, **more: None)
    monkeypatch.setattr(Pool, "create_or_update_pool", taken)

    on_starting(Job.__new__(Job))


def test_airflow_finds_the_listener_in_the_plugin() -> None:
    from airflow.listeners.listener import ListenerManager

    (listener,) = AudienceOnboardingPlugin.listeners
    manager = ListenerManager()
    manager.add_listener(listener)

    assert manager.has_listeners
    assert [item.plugin for item in manager.hook.on_starting.get_hookimpls()] == [plugin]


def test_the_pool_has_the_name_that_the_tasks_give() -> None:
    assert CREATE_POOL == "audience_onboarding_create"


def test_the_plugins_folder_shows_airflow_the_plugin_and_nothing_else() -> None:
    code = (
        "import json, sys\n"
        "from airflow import plugins_manager\n"
        "from airflow.settings import PLUGINS_FOLDER\n"
        "sys.path.append(PLUGINS_FOLDER)\n"
        "plugins, errors = plugins_manager._get_plugins()\n"
        "names = [plugin.name for plugin in plugins if plugin.name == 'audience_onboarding']\n"
        "loose = sorted(set(sys.modules) & {'hooks', 'operators', 'client', 'errors', 'models', 'provider'})\n"
        "print('RESULT' + json.dumps([names, errors, loose]))\n"
    )
    env = {
        **os.environ,
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False, timeout=120
    )

    assert 'RESULT[["audience_onboarding"], {}, []]' in done.stdout, done.stdout + done.stderr
