"""Many audiences due at once, on two workers, while everything that can fail fails.

Each has to be onboarded, exactly once, with exactly its people.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from scripts.local_stack import PROJECT, AirflowApi, StackError, wait_for
from tests.distributed.burst import Audience, Burst, Vendors, problems
from tests.distributed.containers import Container
from tests.distributed.topology import Topology

pytestmark = [pytest.mark.distributed, pytest.mark.chaos, pytest.mark.timeout(5400)]

ENDED = {"success", "failed"}
CUT_SECONDS = 20.0
"""How long a worker is without the network: longer than its requests wait."""

SECONDS_BETWEEN = 5.0
"""Between the mending of a fault and the next one."""

ROUNDS = 6
"""How often somebody looks after the runs that have failed."""


class PatientApi(AirflowApi):
    """Asks again while the API server, or the database behind it, is being started again."""

    def api(self, path: str, **options: Any) -> Any:
        """As it is; what may have been carried out is not asked for twice."""
        is_change = options.get("method", "GET") != "GET"

        def answer() -> tuple[Any] | None:
            try:
                return (super(PatientApi, self).api(path, **options),)
            except requests.ConnectionError as error:
                if is_change and "NewConnectionError" not in str(error):
                    raise
            except (requests.Timeout, StackError) as error:
                if is_change or (isinstance(error, StackError) and "answered with 5" not in str(error)):
                    raise
            return None

        return wait_for(answer, f"An answer to {path}", timeout=300, interval=1)[0]


@dataclass
class Outcome:
    """What came of the burst."""

    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    ambiguous: int = 0
    cleared: int = 0
    first_states: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def api(topology: Topology) -> AirflowApi:
    """Airflow, as the first administrator."""
    plain = topology.api()
    patient = PatientApi(plain.url)
    patient._session = plain._session
    return patient


@pytest.fixture(scope="module")
def vendors(topology: Topology) -> Vendors:
    """The vendors."""
    return Vendors(f"http://{topology.address('sandbox')}:8100")


@pytest.fixture(scope="module")
def outcome(topology: Topology, burst: Burst, api: AirflowApi, vendors: Vendors) -> Outcome:
    """The burst, to its end."""
    api.wait_for_dags(*(audience.dag_id for audience in burst.audiences), "settle_create", timeout=300)
    api.unpause("settle_create")
    found = Outcome()
    began = time.monotonic()
    burst.trigger(api)
    is_over = threading.Event()
    faults = threading.Thread(target=fail_everything, args=(topology, burst, api, is_over, found.faults))
    faults.start()
    try:
        found.first_states = Counter(all_ended(burst, api).values())
        for _ in range(ROUNDS):
            if not look_after(burst, api, vendors, found):
                break
            all_ended(burst, api)
        found.seconds = time.monotonic() - began
    finally:
        is_over.set()
        faults.join()
    report = {**vars(found), "audiences": len(burst.audiences), "first_states": dict(found.first_states)}
    (PROJECT / "build").mkdir(exist_ok=True)
    (PROJECT / "build" / "distributed.json").write_text(json.dumps(report, indent=2))
    return found


def all_ended(burst: Burst, api: AirflowApi) -> dict[str, str]:
    """Wait until no run is under way, and return their states."""

    def ended() -> dict[str, str] | None:
        states = burst.states(api)
        return states if set(states.values()) <= ENDED else None

    return wait_for(ended, "The end of all runs", timeout=600 + 40 * len(burst.audiences), interval=5)


def fail_everything(
    topology: Topology, burst: Burst, api: AirflowApi, is_over: threading.Event, done: list[str]
) -> None:
    """One fault after another, each when the last one has been mended and the burst has gone on a little."""

    def killed(container: Container) -> Callable[[], None]:
        return container.kill

    def restarted(container: Container) -> Callable[[], None]:
        return container.terminate

    def cut(container: Container) -> Callable[[], None]:
        def off_and_on() -> None:
            topology.network.cut(container.name)
            is_over.wait(CUT_SECONDS)
            topology.network.mend(container.name)

        return off_and_on

    workers, triggerers = topology.of("airflow-worker"), topology.of("airflow-triggerer")
    faults = [
        ("kill -9 of a worker", workers[0], killed),
        ("the network of the other worker is cut", workers[1], cut),
        ("kill -9 of a triggerer", triggerers[0], killed),
        ("kill -9 of a scheduler", topology.of("airflow-scheduler")[0], killed),
        ("restart of Redis", topology.of("redis")[0], restarted),
        ("kill -9 of PostgreSQL", topology.of("postgres")[0], killed),
        ("kill -9 of the API server", topology.of("airflow-apiserver")[0], killed),
    ]
    # All within the time that the loads take, and none together with the one before.
    wait_for(lambda: is_over.is_set() or under_way(burst, api), "The first loads", timeout=300, interval=1)
    for name, container, way in faults:
        if is_over.wait(SECONDS_BETWEEN):
            return
        starts = container.starts
        way(container)()
        done.append(name)
        if way is not cut:
            wait_for(
                lambda old=starts, one=container: one.starts > old, f"The restart after {name}", timeout=60
            )


def under_way(burst: Burst, api: AirflowApi) -> bool:
    """Whether tasks of some audiences are at work."""
    return sum(state == "running" for state in burst.states(api).values()) > len(burst.audiences) / 3


def look_after(burst: Burst, api: AirflowApi, vendors: Vendors, outcome: Outcome) -> bool:
    """Do what the messages of failed runs ask for; returns whether there was anything to do."""
    states = burst.states(api)
    failed = [item for item in burst.audiences if states[item.key] == "failed"]
    for audience in failed:
        run_id = burst.run(audience)
        for task in api.tasks(audience.dag_id, run_id):
            if task["state"] == "failed":
                log = api.log(audience.dag_id, run_id, task["task_id"], try_number=task["try_number"])
                if "AmbiguousCreateError" in log:
                    settle(audience, task["task_id"], api, vendors)
                    outcome.ambiguous += 1
        api.clear(audience.dag_id, run_id, only_failed=True)
        outcome.cleared += 1
    return bool(failed)


def settle(audience: Audience, task_id: str, api: AirflowApi, vendors: Vendors) -> None:
    """Say in the form what is at the vendor."""
    is_campaign = task_id == "ensure_campaign"
    ids = vendors.campaigns() if is_campaign else vendors.audiences(audience)
    conf = {
        "audience": audience.key,
        "what": "campaign" if is_campaign else "audience",
        "outcome": "found" if ids else "not_created",
        "id": ids[0] if ids else None,
    }

    def is_settled() -> bool:
        run_id = api.trigger("settle_create", conf)
        if api.wait_for_run("settle_create", run_id) == "success":
            return True
        log = api.log("settle_create", run_id, "settle")
        assert "may still be on its way" in log, log
        return False

    # A request whose sender was killed counts as on its way for two minutes.
    wait_for(is_settled, f"The settlement of {audience.key}", timeout=300, interval=20)


def test_all_are_onboarded(outcome: Outcome, burst: Burst, api: AirflowApi) -> None:
    states = burst.states(api)
    assert {key: state for key, state in states.items() if state != "success"} == {}, outcome


def test_nothing_is_there_twice_and_nobody_is_missing(
    outcome: Outcome, burst: Burst, vendors: Vendors
) -> None:
    assert outcome.seconds
    assert problems(burst, vendors) == []


def test_all_that_can_fail_has_failed(outcome: Outcome, topology: Topology) -> None:
    assert len(outcome.faults) == 7, outcome.faults
    for service in ("postgres", "redis", "airflow-apiserver"):
        assert topology.of(service)[0].starts > 1, service


def test_the_work_was_shared(outcome: Outcome, burst: Burst, api: AirflowApi) -> None:
    assert outcome.seconds
    hosts = Counter(
        task["hostname"]
        for audience in burst.audiences
        for task in api.tasks(audience.dag_id, burst.run(audience))
        if task["hostname"]
    )
    # Any task runs on any worker: nothing passes between them over a local disk.
    assert hosts.keys() == {"airflow-worker-1", "airflow-worker-2"}
    assert min(hosts.values()) > 0.1 * sum(hosts.values())


def test_workers_import_what_tasks_need_once(outcome: Outcome, topology: Topology) -> None:
    assert outcome.seconds
    for worker in topology.of("airflow-worker"):
        imported = worker.log.read_text(errors="replace").count("what tasks need")
        # One that was killed is started again, and does so again.
        assert 1 <= imported <= worker.starts, worker.name


def test_logs_outlive_the_workers(
    outcome: Outcome, burst: Burst, api: AirflowApi, topology: Topology
) -> None:
    assert outcome.seconds
    audience = burst.audiences[0]
    (folder,) = {
        container.environment["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"]
        for container in topology.of("airflow-worker")
    }
    assert folder.startswith("s3://")
    log = api.log(audience.dag_id, burst.run(audience), "record_load", try_number=1)
    assert "is confirmed" in log
    assert folder in log
