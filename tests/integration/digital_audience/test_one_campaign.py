"""Many new audiences that share a campaign start at the same second: one campaign, and nobody waits who need not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import DownstreamTasksSkipped

from audience_onboarding.base.pools import CREATE_POOL, connection_pool, slots_of
from audience_onboarding.pipelines import build_onboarding_dag
from audience_onboarding.platforms.digital_audience import tasks
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from scripts.local_stack import Sandbox
from tests.fakes import AssetStores, DictStore, task_context

pytestmark = pytest.mark.usefixtures("connections")

AUDIENCES = 6
OURS = connection_pool("digital_audience_default")


class Airflow:
    """Runs the first tasks of onboarding DAGs, each DAG in a thread, within the slots of their pools."""

    def __init__(self, stores: AssetStores) -> None:
        self.used: list[tuple[str, str]] = []
        """Task and pool of each task that was executed."""
        self._stores = stores
        self._lock = threading.Lock()
        self._slots: dict[str, threading.Semaphore] = {}

    def load_all(self, dags: list[DAG]) -> list[int]:
        """Load them at the same second: none creates anything before all have looked. Returns the audiences."""
        all_have_looked = threading.Barrier(len(dags))
        with ThreadPoolExecutor(len(dags)) as threads:
            return list(threads.map(lambda dag: self._load(dag, all_have_looked.wait), dags))

    def _load(self, dag: DAG, when_all_have_looked: Callable[[], object]) -> int:
        skipped: list[Any] = []
        context = self._context(dag)
        try:
            self._execute(dag, "lookup_audience", context)
        except DownstreamTasksSkipped as skip:
            skipped = list(skip.tasks)
        when_all_have_looked()
        campaign_id = context["ti"].pushed.get("campaign_id")
        if "ensure_campaign" not in skipped:
            campaign_id = self._execute(dag, "ensure_campaign", self._context(dag))
        if "ensure_audience" in skipped:
            return int(context["ti"].pushed["return_value"])
        return int(self._execute(dag, "ensure_audience", self._context(dag), campaign_id=campaign_id))

    def _context(self, dag: DAG) -> Any:
        context = task_context(stores=self._stores, dag_id=dag.dag_id)
        context["ti"].map_index = -1
        return context

    def _execute(self, dag: DAG, task_id: str, context: Any, **attributes: Any) -> Any:
        task: Any = dag.get_task(task_id)
        task.is_dry_run = False
        for name, value in attributes.items():
            setattr(task, name, value)
        with self._lock:
            self.used.append((task_id, task.pool))
            slots = self._slots.setdefault(task.pool, threading.Semaphore(slots_of(task.pool)))
        with slots:
            return task.execute(context)


def dags(folder: Path, *, first: int = 0) -> list[DAG]:
    return [
        build_onboarding_dag(
            DigitalAudienceDefinition.model_validate(
                {
                    "key": f"list_{number}",
                    "platform": "digital_audience",
                    "name": f"List {number}",
                    "owner": "tests",
                    "campaign": {"name": "Always-on"},
                    "source": {"path": "x.csv", "columns": {"email": "E-mail"}},
                }
            ),
            base=folder,
        )
        for number in range(first, first + AUDIENCES)
    ]


class Racing(AssetStores):
    """Stores in which nobody writes of the campaign before all have read, as far as the pools let them."""

    def __getitem__(self, asset: Any) -> DictStore:
        return self.stores.setdefault(asset.name, RacingStore(asset.name.startswith("campaign/")))


class RacingStore(DictStore):
    def __init__(self, is_raced_for: bool) -> None:
        super().__init__()
        self._all_have_read = threading.Barrier(AUDIENCES if is_raced_for else 1)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        # Once it is broken, it lets everybody through.
        with suppress(threading.BrokenBarrierError):
            self._all_have_read.wait(timeout=0.5)
        super().set(key, value, retention=retention)


def test_new_audiences_that_start_together_share_one_campaign(sandbox: Sandbox, tmp_path: Path) -> None:
    ids = Airflow(Racing()).load_all(dags(tmp_path))

    (campaign,) = sandbox.admin("campaigns")
    found = {item["id"]: item["campaign_id"] for item in sandbox.admin("audiences")}
    assert found == dict.fromkeys(ids, campaign["id"])
    assert len(found) == AUDIENCES


def test_it_is_the_one_slot_that_keeps_them_from_creating_several(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CREATE_POOL", OURS)

    Airflow(Racing()).load_all(dags(tmp_path))

    assert len(sandbox.admin("campaigns")) == AUDIENCES


def test_who_knows_the_audience_or_its_campaign_does_not_go_through_the_one_slot(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    stores = AssetStores()
    old, new = dags(tmp_path), dags(tmp_path, first=AUDIENCES)
    ids = Airflow(stores).load_all(old)

    again, others = Airflow(stores), Airflow(stores)
    assert again.load_all(old) == ids
    others.load_all(new)

    assert again.used == [("lookup_audience", OURS)] * AUDIENCES
    assert (
        sorted(others.used)
        == [("ensure_audience", OURS)] * AUDIENCES + [("lookup_audience", OURS)] * AUDIENCES
    )
    assert CREATE_POOL not in {pool for _, pool in again.used + others.used}
    assert len(sandbox.admin("campaigns")) == 1
    assert len(sandbox.admin("audiences")) == 2 * AUDIENCES
