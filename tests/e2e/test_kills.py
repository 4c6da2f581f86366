"""SIGKILL for each process of Airflow, at the moments at which most is at stake.

What the vendors have in the end is the judge: nothing created twice, each object written once, exactly the people of
the extract. Each kill is made while the sandbox holds a call, so that it is known what had happened by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import pytest

from scripts.local_stack import Sandbox, wait_for
from tests.e2e.components import NOTICES_SOON, SeparateAirflow
from tests.e2e.runs import LOAD_DATE, hashed, member_emails
from tests.e2e.stack import CANARY_ADDRESS, QUICK, Stack

# Each test waits until Airflow has noticed that something is dead.
pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(600)]

ROWS = 20
UPLOAD = {"vendor": "s3", "operation": "PutObject", "path": ".*onboard/audience=.*"}
CREATE_CAMPAIGN = {"vendor": "digital_audience", "operation": "createCampaign"}
CREATE_AUDIENCE = {"vendor": "digital_audience", "operation": "createCrmAudience"}
NEVER = 86_400.0

# They are in host names, too, where an underscore may not be.
KEYS = (
    "taskbeforeupload",
    "taskafterupload",
    "workerupload",
    "taskcampaign",
    "taskaudience",
    "triggererupload",
    "triggererwaiting",
    "schedulerupload",
    "scheduleraloneupload",
    "schedulercampaign",
    "schedulerwaiting",
    "serverupload",
    "servercampaign",
    "serverwaiting",
)


HISTORY = "history"
HISTORY_DAYS = [date(2026, 11, day) for day in (17, 18, 19)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An Airflow and a sandbox of this file alone."""
    folder = tmp_path_factory.mktemp("kills")
    sandbox = Sandbox(folder, processing_delay=0.5, scan_interval=0.2)
    sandbox.start()
    try:
        airflow = SeparateAirflow(
            folder / "airflow",
            definitions=folder / "include" / "audiences",
            env={**QUICK, **NOTICES_SOON, **sandbox.connections()},
        )
        running = Stack(airflow, sandbox, folder / "include", sandbox)
        for key in KEYS:
            running.define(
                key,
                campaign={"name": f"Campaign {key}"},
                retries=3,
                retry_delay_seconds=1,
                wait={"poll_interval_seconds": 1},
            )
            running.extract(key, date.fromisoformat(LOAD_DATE), rows=ROWS)
        running.define(
            HISTORY,
            campaign={"name": f"Campaign {HISTORY}"},
            schedule={
                "cron": "0 3 * * *",
                "start": HISTORY_DAYS[0],
                "timezone": "UTC",
                "end": HISTORY_DAYS[-1],
            },
            retries=3,
            retry_delay_seconds=15,
            wait={"poll_interval_seconds": 1},
        )
        for number, day in enumerate(HISTORY_DAYS):
            running.extract(HISTORY, day, rows=ROWS + number)
        try:
            airflow.start()
            airflow.wait_for_dags(f"onboard_{HISTORY}", *(f"onboard_{key}" for key in KEYS))
            yield running
        finally:
            airflow.stop(timeout=0)
    finally:
        sandbox.stop()


@pytest.fixture(autouse=True)
def as_at_first(stack: Stack) -> Iterator[None]:
    """Whatever a test leaves behind, the next one finds nothing held and all components running."""
    yield
    stack.sandbox.admin("faults", method="DELETE")
    stack.sandbox.admin("settings", method="PATCH", json={"processing_delay": 0.5})
    airflow_of(stack).complete()


def airflow_of(stack: Stack) -> SeparateAirflow:
    """The Airflow of this file."""
    assert isinstance(stack.airflow, SeparateAirflow)
    return stack.airflow


def start(stack: Stack, key: str) -> tuple[str, str]:
    """Start the load of an audience."""
    dag_id = f"onboard_{key}"
    stack.airflow.unpause(dag_id)
    return dag_id, stack.airflow.trigger(dag_id, {"load_date": LOAD_DATE})


@contextmanager
def held(stack: Stack, call: dict[str, str], when: str, key: str) -> Iterator[tuple[str, str]]:
    """Start a load, and stop where the call has arrived at the vendor (``before``) or is done (``after``).

    On leaving, the call goes on, if its caller still lives.
    """
    stack.sandbox.admin("faults", method="POST", json={**call, "when": when, "action": "hold"})
    run = start(stack, key)

    def arrived() -> bool:
        assert stack.airflow.run(*run)["state"] in {"queued", "running"}, stack.airflow.task_states(*run)
        return any(item["held"] for item in stack.sandbox.admin("faults"))

    wait_for(arrived, f"The call that is to be held ({call})", timeout=180)
    yield run
    stack.sandbox.admin("faults", method="DELETE")


def waiting(stack: Stack, key: str) -> tuple[str, str]:
    """Start a load, and return when it waits for a vendor that does not come to an end."""
    stack.sandbox.admin("settings", method="PATCH", json={"processing_delay": NEVER})
    run = start(stack, key)
    wait_for(
        lambda: stack.airflow.task_states(*run).get("wait_for_confirmation") == "deferred",
        "The wait for the vendor",
        timeout=240,
    )
    # The trigger has begun to look.
    seen = looks(stack)
    wait_for(lambda: looks(stack) > seen, "A look of the trigger", timeout=60)
    return run


def looks(stack: Stack) -> int:
    """How often the vendor was asked for the state of an audience."""
    return len(stack.sandbox.admin("journal?operation=loadAudienceById")["entries"])


def finish_vendors_work(stack: Stack) -> None:
    """Let the vendor come to the end of what it has begun."""
    stack.sandbox.admin("work", method="POST", json={})


def succeeded(stack: Stack, run: tuple[str, str]) -> None:
    """Wait for the end, which is a success, and see that the vendor has exactly what it should."""
    assert stack.airflow.wait_for_run(*run, timeout=300) == "success", stack.airflow.task_states(*run)
    key = run[0].removeprefix("onboard_")
    there = created(stack, key)
    assert [kind for kind, _ in there] == ["campaign", "audience"]
    audience_id = there[1][1]
    state = stack.sandbox.admin("state")
    folder = f"onboard/audience={audience_id}/"
    written = [item["times"] for item in state["written"] if item["key"].startswith(folder)]
    assert written == [1]
    files = state["vendors"]["digital_audience"]["files"]
    assert [item["times"] for item in files if item["audience_id"] == audience_id] == [1]
    assert state["open_uploads"] == []
    people = [f"person{number}@{key}.example" for number in range(10_000_000, 10_000_000 + ROWS)]
    assert member_emails(stack.sandbox, audience_id) == hashed([*people, CANARY_ADDRESS])


def stopped(stack: Stack, run: tuple[str, str], task_id: str, kinds: list[str]) -> None:
    """Wait for the end, which is that it is not clear what was created, and see that it was created once."""
    assert stack.airflow.wait_for_run(*run, timeout=300) == "failed"
    (task,) = [item for item in stack.airflow.tasks(*run) if item["task_id"] == task_id]
    assert task["state"] == "failed"
    log = stack.airflow.log(*run, task_id, try_number=task["try_number"])
    assert "AmbiguousCreateError: It is not clear whether" in log
    assert [kind for kind, _ in created(stack, run[0].removeprefix("onboard_"))] == kinds


def created(stack: Stack, key: str) -> list[tuple[str, int]]:
    """What the vendor has of a load, each of it created once."""
    names = {"campaign": f"Campaign {key}", "audience": f"Audience {key}"}
    vendor = stack.sandbox.admin("state")["vendors"]["digital_audience"]
    for item in vendor["created"]:
        assert names.get(item["kind"]) != item["name"] or item["times"] == 1, item
    return [
        (kind, item["id"])
        for kind, name in names.items()
        for item in vendor["items"]
        if (item["kind"], item["name"]) == (kind, name)
    ]


def tries(stack: Stack, run: tuple[str, str], task_id: str) -> int:
    (task,) = [item for item in stack.airflow.tasks(*run) if item["task_id"] == task_id]
    number: int = task["try_number"]
    return number


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_task_is_killed_while_it_uploads(stack: Stack, when: str) -> None:
    with held(stack, UPLOAD, when, f"task{when}upload") as run:
        airflow_of(stack).kill_task(*run, "upload")
    succeeded(stack, run)
    assert tries(stack, run, "upload") == 2


@pytest.mark.parametrize(
    ("call", "task_id", "kinds"),
    [
        (CREATE_CAMPAIGN, "ensure_campaign", ["campaign"]),
        (CREATE_AUDIENCE, "ensure_audience", ["campaign", "audience"]),
    ],
    ids=["campaign", "audience"],
)
def test_the_task_is_killed_between_a_creation_and_its_id(
    stack: Stack, call: dict[str, str], task_id: str, kinds: list[str]
) -> None:
    with held(stack, call, "after", f"task{kinds[-1]}") as run:
        airflow_of(stack).kill_task(*run, task_id)
    stopped(stack, run, task_id, kinds)


def test_the_worker_is_killed_with_its_task_while_it_uploads(stack: Stack) -> None:
    """Nobody tells Airflow: it notices that it does not hear of the task any more."""
    with held(stack, UPLOAD, "before", "workerupload") as run:
        airflow_of(stack).kill_worker(*run, "upload")
    succeeded(stack, run)
    assert tries(stack, run, "upload") == 2


def test_the_triggerer_is_killed_during_an_upload(stack: Stack) -> None:
    with held(stack, UPLOAD, "after", "triggererupload") as run:
        airflow_of(stack).kill("triggerer", with_children=True)
    # The wait finds no triggerer.
    wait_for(
        lambda: stack.airflow.task_states(*run).get("wait_for_confirmation") == "deferred",
        "The wait",
        timeout=120,
    )
    airflow_of(stack).begin("triggerer")
    succeeded(stack, run)


def test_the_triggerer_is_killed_during_a_wait(stack: Stack) -> None:
    run = waiting(stack, "triggererwaiting")
    airflow_of(stack).kill("triggerer", with_children=True)
    finish_vendors_work(stack)
    airflow_of(stack).begin("triggerer")
    succeeded(stack, run)


def test_the_scheduler_is_killed_with_its_tasks_during_an_upload(stack: Stack) -> None:
    with held(stack, UPLOAD, "after", "schedulerupload") as run:
        airflow_of(stack).kill("scheduler", with_children=True)
        airflow_of(stack).begin("scheduler")
    succeeded(stack, run)


def test_the_scheduler_is_killed_alone_during_an_upload(stack: Stack) -> None:
    """Its task goes on, while the next scheduler takes it for lost and starts it again."""
    with held(stack, UPLOAD, "before", "scheduleraloneupload") as run:
        airflow_of(stack).kill("scheduler", with_children=False)
        airflow_of(stack).begin("scheduler")
    succeeded(stack, run)


def test_the_scheduler_is_killed_between_a_creation_and_its_id(stack: Stack) -> None:
    with held(stack, CREATE_CAMPAIGN, "after", "schedulercampaign") as run:
        airflow_of(stack).kill("scheduler", with_children=True)
        airflow_of(stack).begin("scheduler")
    stopped(stack, run, "ensure_campaign", ["campaign"])


def test_the_scheduler_is_killed_during_a_wait(stack: Stack) -> None:
    run = waiting(stack, "schedulerwaiting")
    airflow_of(stack).kill("scheduler", with_children=True)
    finish_vendors_work(stack)
    airflow_of(stack).begin("scheduler")
    succeeded(stack, run)


def test_the_api_server_is_killed_during_an_upload(stack: Stack) -> None:
    with held(stack, UPLOAD, "after", "serverupload") as run:
        airflow_of(stack).kill("api-server", with_children=True)
    airflow_of(stack).begin("api-server")
    succeeded(stack, run)


def test_the_api_server_is_killed_between_a_creation_and_its_id(stack: Stack) -> None:
    """The task has the id, and nowhere to put it. It may be there again in time, and then all is well."""
    with held(stack, CREATE_CAMPAIGN, "after", "servercampaign") as run:
        airflow_of(stack).kill("api-server", with_children=True)
    airflow_of(stack).begin("api-server")
    if stack.airflow.wait_for_run(*run, timeout=300) == "success":
        succeeded(stack, run)
    else:
        stopped(stack, run, "ensure_campaign", ["campaign"])


def test_the_api_server_is_killed_during_a_wait(stack: Stack) -> None:
    run = waiting(stack, "serverwaiting")
    airflow_of(stack).kill("api-server", with_children=True)
    finish_vendors_work(stack)
    airflow_of(stack).begin("api-server")
    succeeded(stack, run)


def test_the_task_of_the_first_day_of_a_backfill_is_killed(stack: Stack) -> None:
    """The later days start before its next try, and must not be in its way."""
    dag_id = f"onboard_{HISTORY}"
    hold = {**UPLOAD, "when": "before", "action": "hold"}
    stack.sandbox.admin("faults", method="POST", json=hold)
    body = {
        "dag_id": dag_id,
        "from_date": f"{HISTORY_DAYS[0]}T00:00:00Z",
        "to_date": f"{HISTORY_DAYS[-1]}T23:59:00Z",
        "max_active_runs": 10,
    }
    stack.airflow.api("backfills", method="POST", json=body)
    stack.airflow.unpause(dag_id)
    wait_for(
        lambda: any(item["held"] for item in stack.sandbox.admin("faults")), "The first upload", timeout=240
    )
    runs = sorted(stack.airflow.runs(dag_id), key=lambda run: str(run["partition_key"]))
    # All the others wait for it.
    wait_for(
        lambda: all(
            stack.airflow.task_states(dag_id, run["dag_run_id"])["wait_for_prerequisites"] == "deferred"
            for run in runs[1:]
        ),
        "The later days",
        timeout=240,
    )
    airflow_of(stack).kill_task(dag_id, runs[0]["dag_run_id"], "upload")
    stack.sandbox.admin("faults", method="DELETE")
    for run in runs:
        assert stack.airflow.wait_for_run(dag_id, run["dag_run_id"], timeout=150) == "success"
