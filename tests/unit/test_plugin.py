"""The plugin: pools for the DAGs, no hashes in finished runs, the address of the page."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from sqlalchemy import select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

from audience_onboarding import plugin
from audience_onboarding.base.pools import CREATE_POOL, connection_pool
from audience_onboarding.plugin import (
    AudienceOnboardingPlugin,
    on_dag_run_running,
    on_dag_run_success,
    on_starting,
)
from tests.metadata import airflow_on, create_database
from tests.unit.definitions.conftest import changed

HASH = "ab" * 32
PEOPLE = {"email_sha256": [HASH], "audiences": ["a"]}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_database(tmp_path_factory.mktemp("airflow") / "airflow.db")


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Iterator[Any]:
    """Airflow's sessions on a database of the test, in which rows may refer to nothing."""
    shutil.copy(empty_database, tmp_path / "airflow.db")
    with airflow_on(tmp_path / "airflow.db"):
        from airflow.utils.session import create_session

        @contextmanager
        def session() -> Iterator[Any]:
            with create_session() as made:
                made.execute(text("PRAGMA foreign_keys=OFF"))
                yield made

        yield session


def call(hook: Any, run: Any, session: Any) -> None:
    """Call a listener in the scheduler's transaction, which nothing else may commit."""
    from airflow.utils.sqlalchemy import prohibit_commit

    with prohibit_commit(session) as guard:
        hook(run, "a message")
        guard.commit()


def pool(session: Any, name: str = CREATE_POOL) -> tuple[int, bool, bool] | None:
    from airflow.models.pool import Pool

    with session() as opened:
        found = Pool.get_pool(name, session=opened)
        return None if found is None else (found.slots, found.include_deferred, bool(found.description))


def test_a_starting_component_makes_the_pools_and_leaves_existing_ones_alone(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.jobs.job import Job
    from airflow.models.pool import Pool

    preloads: list[int] = []
    monkeypatch.setattr(plugin, "preload", lambda: preloads.append(1))
    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(tmp_path))
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(changed(conn_id="of_a_definition")))
    (tmp_path / "broken.yaml").write_text("name: [")

    on_starting(object())
    assert (pool(database), preloads) == (None, [])
    on_starting(Job())
    assert (pool(database), preloads) == ((1, False, True), [1])
    assert pool(database, connection_pool("of_a_definition")) == (8, False, True)
    with database() as session:
        Pool.create_or_update_pool(
            CREATE_POOL, slots=0, description="ours", include_deferred=True, session=session
        )
    on_starting(Job())
    assert pool(database) == (0, True, True)
    # Another component was quicker, after the look.
    values = {"pool": CREATE_POOL, "slots": 9, "description": "theirs", "include_deferred": False}
    with database() as session:
        session.execute(plugin._insert_if_missing(Pool, session).values(**values))
    assert pool(database) == (0, True, True)


def test_a_starting_run_makes_the_missing_pools_of_its_tasks(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy.orm
    from airflow.models.pool import Pool
    from airflow.models.taskinstance import TaskInstance

    def names() -> list[str]:
        with database() as session:
            return sorted(found.pool for found in Pool.get_pools(session=session))

    tasks = [
        ("ours", connection_pool("crm")),
        ("ours", connection_pool("crm")),
        ("ours", "default_pool"),
        ("ours", "of_another_package"),
        ("other", connection_pool("not_now")),
        ("ours", CREATE_POOL),
    ]
    plain = {"dag_id": "a_dag", "map_index": -1, "pool_slots": 1, "try_number": 0}
    with database() as session:
        for number, (run, name) in enumerate(tasks):
            row = {"id": uuid.UUID(int=number), "run_id": run, "task_id": f"t{number}", "pool": name, **plain}
            session.execute(TaskInstance.__table__.insert().values(**row))
    before = names()
    monkeypatch.setattr(sqlalchemy.orm, "object_session", lambda of: of.session)
    with database() as session:
        run = SimpleNamespace(dag_id="a_dag", run_id="ours", session=session)
        call(lambda *both: (on_dag_run_running(*both), on_dag_run_running(*both)), run, session)

    assert names() == sorted([*before, connection_pool("crm"), CREATE_POOL])
    assert pool(database, connection_pool("crm")) == (8, False, True)
    on_dag_run_running(SimpleNamespace(dag_id="a_dag", run_id="other", session=None), "started")
    assert pool(database, connection_pool("not_now")) is None


def test_the_end_of_an_erasure_leaves_no_hash_in_its_conf_and_in_the_audit_log(database: Any) -> None:
    from airflow.models import Log
    from airflow.models.dagrun import DagRun

    now = datetime.now(timezone.utc)

    def run(run_id: str, *, dag_id: str = "erase_person", conf: Any = PEOPLE, days_ago: int = 0) -> Any:
        state = "failed" if days_ago else "running"
        made = DagRun(dag_id=dag_id, run_id=run_id, run_type="manual", state=state, conf=dict(conf))
        made.run_after = now
        made.end_date = now - timedelta(days=days_ago) if days_ago else None
        return made

    def entry(dag_id: str, extra: str | None) -> Any:
        event = "trigger_dag_run"
        return Log(event=event, task_instance=None, owner="anna", dag_id=dag_id, extra=extra)

    typed = {"conf": {"email_sha256": ["anna@example.com"]}, "method": "POST"}
    with database() as session:
        session.add_all(
            [
                run("ours"),
                run("other", dag_id="another_dag"),
                run("old", days_ago=31),
                run("new", days_ago=29),
                run("strange", conf={**PEOPLE, "anna@example.com": "x"}),
                entry("erase_person", json.dumps(typed)),
                entry("another_dag", json.dumps({"conf": {"email_sha256": [HASH]}})),
                entry("erase_person", None),
            ]
        )

    def after(hook: Any = None, run_id: str = "") -> dict[str, Any]:
        """Call the hook with a run; return the conf of all runs."""
        with database() as session:
            if hook:
                call(hook, session.scalar(select(DagRun).where(DagRun.run_id == run_id)), session)
        with database() as session:
            return {found.run_id: found.conf for found in session.scalars(select(DagRun))}

    strange = {**PEOPLE, "unknown_fields_removed": 1}
    assert after(on_dag_run_running, "strange")["strange"] == strange
    confs = after(on_dag_run_success, "other")
    assert confs["other"] == confs["ours"] == PEOPLE
    gone = {"email_sha256": [], "audiences": ["a"], "removed": {"email_sha256": 1}}
    # The tasks of the new failure may still be cleared.
    expected = {"ours": gone, "old": gone, "new": PEOPLE, "other": PEOPLE, "strange": strange}
    assert after(on_dag_run_success, "ours") == expected
    with database() as session:
        found = session.scalars(select(Log).where(Log.extra.is_not(None)))
        extras = {item.dag_id: item.extra for item in found}
    assert "anna" not in extras["erase_person"]
    assert HASH in extras["another_dag"]
    assert after(on_dag_run_success, "ours") == expected


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
    statement = plugin._insert_if_missing(Pool, session).values(pool="x", slots=1, include_deferred=False)

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


def test_an_address_of_the_page_counts_from_where_airflow_is_served() -> None:
    (view,) = AudienceOnboardingPlugin.external_views

    assert not any(view[name].startswith(("/", "http")) for name in ("href", "icon", "icon_dark_mode"))
