"""Many audiences due at once on two workers, with faults of every component: each is onboarded exactly once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
import requests

from scripts.local_stack import AirflowApi, StackError, wait_for
from tests.distributed.burst import Audience, Burst, Vendors, problems
from tests.distributed.containers import Container
from tests.distributed.topology import Topology

pytestmark = [pytest.mark.distributed, pytest.mark.chaos, pytest.mark.timeout(5400)]

ENDED = {"success", "failed"}
CUT_SECONDS = 20.0  # longer than the timeout of a worker's requests
SECONDS_BETWEEN = 5.0  # from the end of a fault to the next one
ROUNDS = 6  # of clearing failed runs


class PatientApi(AirflowApi):
    """Client that repeats requests while the API server, or its database, is started again."""

    def api(self, path: str, **options: Any) -> Any:
        """Send a request; one that may have been carried out is not repeated."""
        is_change = options.get("method", "GET") != "GET"

        def answer() -> tuple[Any] | None:
            try:
                return (super(PatientApi, self).api(path, **options),)
            except (requests.ConnectionError, requests.Timeout, StackError) as error:
                is_sent = "NewConnectionError" not in str(error)
                is_refused = isinstance(error, StackError) and "answered with 5" not in str(error)
                if is_refused or (is_change and is_sent):
                    raise
            return None

        return wait_for(answer, f"An answer to {path}", timeout=300, interval=1)[0]


@pytest.fixture(scope="module")
def api(topology: Topology) -> AirflowApi:
    plain = topology.api()
    patient = PatientApi(plain.url)
    patient._session = plain._session
    return patient


@pytest.fixture(scope="module")
def vendors(topology: Topology) -> Vendors:
    return Vendors(f"http://{topology.address('sandbox')}:8100")


@pytest.fixture(scope="module")
def faults(topology: Topology, burst: Burst, api: AirflowApi, vendors: Vendors) -> list[str]:
    """Run the burst to its end, and return the faults that happened during it."""
    api.wait_for_dags(
        *(audience.dag_id for audience in burst.audiences), "resolve_ambiguous_create", timeout=300
    )
    api.unpause("resolve_ambiguous_create")
    burst.trigger(api)
    is_over = threading.Event()
    happened: list[str] = []
    causing = threading.Thread(target=fail_everything, args=(topology, burst, api, is_over, happened))
    causing.start()
    try:
        wait_for_all(burst, api)
        for _ in range(ROUNDS):
            if not look_after(burst, api, vendors):
                break
            wait_for_all(burst, api)
    finally:
        is_over.set()
        causing.join()
    return happened


def wait_for_all(burst: Burst, api: AirflowApi) -> None:
    """Wait until all runs have ended."""
    wait_for(
        lambda: set(burst.states(api).values()) <= ENDED,
        "The end of all runs",
        timeout=600 + 40 * len(burst.audiences),
        interval=5,
    )


def fail_everything(
    topology: Topology, burst: Burst, api: AirflowApi, is_over: threading.Event, done: list[str]
) -> None:
    """Cause one fault after another, each some seconds after the end of the last one."""
    workers = topology.of("airflow-worker")
    first = {name: topology.of(name)[0] for name in topology.services}
    faults = [
        ("kill -9 of a worker", workers[0], Container.kill),
        ("the network of the other worker is cut", workers[1], None),
        ("kill -9 of a triggerer", first["airflow-triggerer"], Container.kill),
        ("kill -9 of a scheduler", first["airflow-scheduler"], Container.kill),
        ("restart of Redis", first["redis"], Container.terminate),
        ("kill -9 of PostgreSQL", first["postgres"], Container.kill),
        ("kill -9 of the API server", first["airflow-apiserver"], Container.kill),
    ]

    def under_way() -> bool:
        running = sum(state == "running" for state in burst.states(api).values())
        return is_over.is_set() or running > len(burst.audiences) / 3

    # All during the loads, and no two at once.
    wait_for(under_way, "The first loads", timeout=300, interval=1)
    for name, container, fault in faults:
        if is_over.wait(SECONDS_BETWEEN):
            return
        starts = container.starts
        done.append(name)
        if fault is None:
            topology.network.cut(container.name)
            is_over.wait(CUT_SECONDS)
            topology.network.reconnect(container.name)
        else:
            fault(container)
            wait_for(
                lambda old=starts, one=container: one.starts > old, f"The restart after {name}", timeout=60
            )


def look_after(burst: Burst, api: AirflowApi, vendors: Vendors) -> bool:
    """Do what the messages of failed runs ask for; return whether any run had failed."""
    states = burst.states(api)
    for audience in (item for item in burst.audiences if states[item.key] == "failed"):
        run_id = burst.run(audience)
        for task in api.tasks(audience.dag_id, run_id):
            if task["state"] == "failed":
                log = api.log(audience.dag_id, run_id, task["task_id"], try_number=task["try_number"])
                if "AmbiguousCreateError" in log:
                    settle(audience, task["task_id"], api, vendors)
        api.clear(audience.dag_id, run_id, only_failed=True)
    return "failed" in states.values()


def settle(audience: Audience, task_id: str, api: AirflowApi, vendors: Vendors) -> None:
    """Fill in the form with what exists at the vendor."""
    is_campaign = task_id == "ensure_campaign"
    ids = vendors.campaigns() if is_campaign else vendors.audiences(audience)
    conf = {
        "audience": audience.key,
        "what": "campaign" if is_campaign else "audience",
        "outcome": "found" if ids else "not_created",
        "id": ids[0] if ids else None,
    }

    def is_settled() -> bool:
        run_id = api.trigger("resolve_ambiguous_create", conf)
        if api.wait_for_run("resolve_ambiguous_create", run_id) == "success":
            return True
        log = api.log("resolve_ambiguous_create", run_id, "resolve")
        assert "may still be in flight" in log, log
        return False

    # A request whose sender was killed counts as on its way for two minutes.
    wait_for(is_settled, f"The settlement of {audience.key}", timeout=300, interval=20)


def test_all_are_onboarded(faults: list[str], burst: Burst, api: AirflowApi) -> None:
    states = burst.states(api)
    assert {key: state for key, state in states.items() if state != "success"} == {}, faults


@pytest.mark.usefixtures("faults")
def test_each_audience_exists_once_with_its_members(burst: Burst, vendors: Vendors) -> None:
    assert problems(burst, vendors) == []


def test_all_faults_have_happened(faults: list[str], topology: Topology) -> None:
    assert len(faults) == 7, faults
    for service in ("postgres", "redis", "airflow-apiserver"):
        assert topology.of(service)[0].starts > 1, service


@pytest.mark.usefixtures("faults")
def test_the_work_was_shared(burst: Burst, api: AirflowApi, topology: Topology) -> None:
    runs = [(audience.dag_id, burst.run(audience)) for audience in burst.audiences]
    hosts = Counter(task["hostname"] for run in runs for task in api.tasks(*run) if task["hostname"])
    # Any task runs on any worker: no file on a local disk passes between them.
    assert hosts.keys() == {"airflow-worker-1", "airflow-worker-2"}
    assert min(hosts.values()) > 0.1 * sum(hosts.values())
    for worker in topology.of("airflow-worker"):
        imported = worker.log.read_text(errors="replace").count("Preloaded the modules")
        # A worker imports them once at each start.
        assert 1 <= imported <= worker.starts, worker.name


@pytest.mark.usefixtures("faults")
def test_logs_outlive_the_workers(burst: Burst, api: AirflowApi, topology: Topology) -> None:
    audience = burst.audiences[0]
    folder = topology.services["airflow-worker"].environment["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"]
    assert folder.startswith("s3://")
    log = api.log(audience.dag_id, burst.run(audience), "record_load", try_number=1)
    assert "is confirmed" in log
    assert folder in log
