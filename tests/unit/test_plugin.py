"""The plugin: the pool that the DAGs name is there once a component has started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from sqlalchemy.dialects import mysql, postgresql, sqlite

from audience_onboarding import plugin
from audience_onboarding.orchestration.pools import CREATE_POOL
from audience_onboarding.plugin import AudienceOnboardingPlugin, on_starting
from tests.unit.definitions.conftest import changed

PROJECT = Path(__file__).resolve().parents[2]

CHECK = """
from airflow.utils.db import initdb

initdb()
import uuid
from types import SimpleNamespace

from airflow.jobs.job import Job
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from sqlalchemy import text

from audience_onboarding import plugin
from audience_onboarding.orchestration.pools import CREATE_POOL, connection_pool
from audience_onboarding.plugin import on_dag_run_running, on_starting

job = Job()


def pool(name=CREATE_POOL):
    with create_session() as session:
        found = Pool.get_pool(name, session=session)
        return None if found is None else (found.slots, found.include_deferred, bool(found.description))


def names():
    with create_session() as session:
        return sorted(found.pool for found in Pool.get_pools(session=session))


import sys

assert pool() is None, pool()
on_starting(object())
assert pool() is None, pool()
assert "audience_onboarding.pipelines.onboard" not in sys.modules
on_starting(job)
assert "audience_onboarding.pipelines.onboard" in sys.modules
assert pool() == (1, False, True), pool()
assert pool(connection_pool("of_a_definition")) == (8, False, True)
with create_session() as session:
    Pool.create_or_update_pool(CREATE_POOL, slots=0, description="ours", include_deferred=True, session=session)
on_starting(job)
assert pool() == (0, True, True), pool()

# Another component was quicker, after the look.
with create_session() as session:
    session.execute(plugin._insert_unless_there(Pool, session).values(
        pool=CREATE_POOL, slots=9, description="theirs", include_deferred=False))
assert pool() == (0, True, True), pool()

# A run starts: in the scheduler's transaction, which nobody else may commit.
with create_session() as session:
    session.execute(text("PRAGMA foreign_keys=OFF"))
    for number, (run, name) in enumerate([
        ("ours", connection_pool("crm")), ("ours", connection_pool("crm")), ("ours", "default_pool"),
        ("ours", "somebody_elses"), ("other", connection_pool("not_now")), ("ours", CREATE_POOL),
    ]):
        session.execute(TaskInstance.__table__.insert().values(
            id=uuid.UUID(int=number), dag_id="a_dag", run_id=run, task_id=f"t{number}", map_index=-1, pool=name,
            pool_slots=1, try_number=0))
before = names()
with create_session() as session:
    import sqlalchemy.orm

    sqlalchemy.orm.object_session = lambda of: of.session
    with prohibit_commit(session) as guard:
        run = SimpleNamespace(dag_id="a_dag", run_id="ours", session=session)
        on_dag_run_running(run, "started")
        on_dag_run_running(run, "started")
        guard.commit()
assert names() == sorted([*before, connection_pool("crm")]), names()
assert pool(connection_pool("crm")) == (8, False, True)
on_dag_run_running(SimpleNamespace(dag_id="a_dag", run_id="other", session=None), "started")
assert pool(connection_pool("not_now")) is None
print("all as it should be")
"""


FORGET = """
from airflow.utils.db import initdb

initdb()
import json
from datetime import datetime, timedelta, timezone

from airflow.models import Log
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from sqlalchemy import select, text

from audience_onboarding.plugin import on_dag_run_running, on_dag_run_success

HASH = "ab" * 32
now = datetime.now(timezone.utc)
people = {"email_sha256": [HASH], "audiences": ["a"]}


def run(run_id, dag_id="erase_person", state="running", conf=people, end=None):
    made = DagRun(dag_id=dag_id, run_id=run_id, run_type="manual", state=state, conf=dict(conf), run_after=now)
    made.end_date = end
    return made


def entry(dag_id, extra):
    return Log(event="trigger_dag_run", task_instance=None, owner="anna", dag_id=dag_id, extra=extra)


with create_session() as session:
    session.execute(text("PRAGMA foreign_keys=OFF"))
    session.add_all([
        run("ours"),
        run("other", dag_id="another_dag"),
        run("old", state="failed", end=now - timedelta(days=31)),
        run("new", state="failed", end=now - timedelta(days=29)),
        run("strange", conf={**people, "anna@example.com": "x"}),
        entry("erase_person", json.dumps({"conf": {"email_sha256": ["anna@example.com"]}, "method": "POST"})),
        entry("another_dag", json.dumps({"conf": {"email_sha256": [HASH]}})),
        entry("erase_person", None),
    ])


def conf(run_id):
    with create_session() as session:
        return session.scalar(select(DagRun).where(DagRun.run_id == run_id)).conf


def end(run_id, hook):
    # In the scheduler's transaction, which nobody else may commit.
    with create_session() as session, prohibit_commit(session) as guard:
        hook(session.scalar(select(DagRun).where(DagRun.run_id == run_id)), "said")
        guard.commit()


end("strange", on_dag_run_running)
assert conf("strange") == {**people, "unknown_fields_removed": 1}, conf("strange")
end("other", on_dag_run_success)
assert conf("other") == conf("ours") == people
end("ours", on_dag_run_success)
gone = {"email_sha256": [], "audiences": ["a"], "removed": {"email_sha256": 1}}
assert conf("ours") == gone, conf("ours")
assert conf("old") == gone, conf("old")
# Its tasks may still be cleared.
assert conf("new") == people, conf("new")
assert conf("other") == people
with create_session() as session:
    extras = {item.dag_id: item.extra for item in session.scalars(select(Log).where(Log.extra.is_not(None)))}
assert "anna" not in extras["erase_person"], extras
assert HASH in extras["another_dag"], extras
end("ours", on_dag_run_success)
print("all as it should be")
"""


def test_a_starting_component_makes_the_pool_and_leaves_one_that_is_there_alone(tmp_path: Path) -> None:
    env = environment(tmp_path)
    (tmp_path / "audiences").mkdir()
    (tmp_path / "audiences" / "good.yaml").write_text(yaml.safe_dump(changed(connection="of_a_definition")))
    (tmp_path / "audiences" / "broken.yaml").write_text("name: [")

    check(CHECK, env, tmp_path)


def test_the_end_of_an_erasure_leaves_no_hash_in_its_conf_and_in_the_audit_log(tmp_path: Path) -> None:
    check(FORGET, environment(tmp_path), tmp_path)


def environment(tmp_path: Path) -> dict[str, str]:
    """Of a process with a database of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AUDIENCE_ONBOARDING_DEFINITIONS": str(tmp_path / "audiences"),
        "PYTHONPATH": str(PROJECT / "plugins"),
        "PYTHONWARNINGS": "ignore",
    }
    return env


def check(code: str, env: dict[str, str], folder: Path) -> None:
    """Run a check in a process of its own, with a database of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=folder,
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


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        (postgresql.dialect(), "ON CONFLICT DO NOTHING"),
        (mysql.dialect(), "INSERT IGNORE INTO"),
        (sqlite.dialect(), "ON CONFLICT DO NOTHING"),
    ],
    ids=["postgresql", "mysql", "sqlite"],
)
def test_on_every_database_a_quicker_component_is_no_error(dialect: Any, words: str) -> None:
    from airflow.models.pool import Pool

    session = SimpleNamespace(get_bind=lambda: SimpleNamespace(dialect=dialect))
    statement = plugin._insert_unless_there(Pool, session).values(pool="x", slots=1, include_deferred=False)

    assert words in str(statement.compile(dialect=dialect))


def test_definitions_that_cannot_be_read_do_not_keep_airflow_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from audience_onboarding import definitions

    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(tmp_path / "nowhere"))
    assert plugin._pools_of_definitions() == set()

    def fail(folder: Path) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(definitions, "read_definitions", fail)
    assert plugin._pools_of_definitions() == set()


def test_airflow_finds_the_listener_in_the_plugin() -> None:
    from airflow.listeners.listener import ListenerManager

    (listener,) = AudienceOnboardingPlugin.listeners
    manager = ListenerManager()
    manager.add_listener(listener)

    assert manager.has_listeners
    for hook in (manager.hook.on_starting, manager.hook.on_dag_run_running):
        assert [item.plugin for item in hook.get_hookimpls()] == [plugin]


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


def test_the_masker_hides_what_is_typed_into_the_form_whatever_the_settings_say() -> None:
    from airflow._shared.secrets_masker import secrets_masker

    masker = secrets_masker._secrets_masker()
    before = list(masker.sensitive_variables_fields)
    masker.sensitive_variables_fields = ["password"]
    try:
        AudienceOnboardingPlugin.on_load()
        AudienceOnboardingPlugin.on_load()
        shown = secrets_masker.redact({"email_sha256": ["anna@example.com"], "audiences": ["a"]}, "conf")
        names = list(masker.sensitive_variables_fields)
    finally:
        masker.sensitive_variables_fields = before

    assert shown == {"email_sha256": ["***"], "audiences": ["a"]}
    assert names == ["password", "email_sha256", "phone_sha256", "personal_id_sha256"]


def test_an_airflow_without_such_a_masker_still_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow._shared.secrets_masker", None)

    AudienceOnboardingPlugin.on_load()


LOOK_AT_THE_PAGE = """
import sys
from audience_onboarding import plugin

(app,) = plugin.AudienceOnboardingPlugin.fastapi_apps
(view,) = plugin.AudienceOnboardingPlugin.external_views
print(app["url_prefix"], view["href"], view["url_route"], view["destination"])
print(sorted({"audience_onboarding.ui.app", "audience_onboarding.ui.view", "fastapi"} & set(sys.modules)))
"""


def test_the_plugin_brings_the_page_and_imports_none_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK_AT_THE_PAGE],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stdout.splitlines()[-2:] == [
        "/audience-onboarding audience-onboarding/ audiences nav",
        "[]",
    ], done.stdout + done.stderr


def test_an_address_of_the_page_counts_from_where_airflow_is_served() -> None:
    (view,) = AudienceOnboardingPlugin.external_views

    assert not any(view[name].startswith(("/", "http")) for name in ("href", "icon", "icon_dark_mode"))
