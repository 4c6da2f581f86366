"""Links and notes of tasks and DAGs, as Airflow's API server has them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from audience_onboarding.base.links import (
    AudiencePageLink,
    AudiencesPageLink,
    RejectsLink,
    StoredLink,
    with_links,
)
from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_activation_dag
from audience_onboarding.pipelines import factory as built
from audience_onboarding.state.store import audience_asset, campaign_asset
from audience_onboarding.urls import audience_page, audiences_page, dag_page, s3_object_url
from tests.unit.pipelines.conftest import definition, onboarding
from tests.unit.state.helpers import check

PROJECT = Path(__file__).resolve().parents[3]
BASE = "https://airflow.example/team"


@pytest.fixture(scope="module")
def all_dags() -> dict[str, DAG]:
    """The DAGs of the project's own definitions."""
    found = {**built.audience_dags(PROJECT), **built.maintenance_dags(PROJECT)}
    for dag in (
        built.resolve_ambiguous_create_dag(PROJECT),
        built.erase_dag(PROJECT),
        built.retire_dag(PROJECT),
        built.load_date_range_dag(PROJECT),
    ):
        found[dag.dag_id] = dag
    return found


@pytest.fixture(scope="module")
def tasks(all_dags: dict[str, DAG]) -> dict[str, Any]:
    """All tasks as the API server reads them from the database."""
    stored = {key: DagSerialization.from_dict(DagSerialization.to_dict(dag)) for key, dag in all_dags.items()}
    return {f"{key}.{task.task_id}": task for key, dag in stored.items() for task in dag.tasks}


def test_every_task_follows_our_rules_of_retrying(all_dags: dict[str, DAG]) -> None:
    assert len(all_dags) > 8
    for key, dag in all_dags.items():
        for task in dag.tasks:
            assert isinstance(task.retry_policy, OnboardingRetryPolicy), (key, task.task_id)


def test_dags_with_optional_parts_can_be_stored_and_are_the_same_each_time() -> None:
    told = {"notifier": "tests.notifiers.Kept", "late_after_hours": 26}
    asked = {"activation__targets__0__approval": {"assigned_users": ["anna"]}}

    def stored() -> list[str]:
        activation = build_activation_dag(definition(**asked, activation__targets__0__until="2026-12-31"))
        dags = (onboarding(alerts=told, audit={"conn_id": "dwh"}), activation)
        return [json.dumps(DagSerialization.to_dict(dag), sort_keys=True) for dag in dags]

    first = stored()
    assert first == stored()
    found = [DagSerialization.from_dict(json.loads(text)).dag_id for text in first]
    assert found == ["onboard_newsletter", "activate_newsletter"]


def test_the_note_of_every_task_has_its_work_its_repair_and_whether_to_clear_it(
    tasks: dict[str, Any],
) -> None:
    for name, task in tasks.items():
        text = task.doc_md or ""
        assert "**If it fails:**" in text, name
        assert "**Clear it?**" in text, name
        assert len(text) < 1_000, name
        assert "{" not in text, name


def test_every_task_leads_to_the_page_of_its_audience_or_of_all(tasks: dict[str, Any]) -> None:
    without = [
        name
        for name, task in tasks.items()
        # A task that never runs keeps no link.
        if not task.inherits_from_empty_operator
        and not {"Audience", "Audiences"} & {link.name for link in task.operator_extra_links}
    ]

    # Airflow's own operators: their link leads to the run, or there is a question to answer.
    assert without == ["retire_audience.approve", "load_date_range.trigger_onboarding"]


PORTALS = {
    "digital_audience": "Digital Audience portal",
    "fanfare": "Fanfare dashboard",
    "commbox": "CommBox console",
}


def test_tasks_that_call_a_vendor_have_a_link_to_its_portal(
    all_dags: dict[str, DAG], tasks: dict[str, Any]
) -> None:
    for platform, portal in PORTALS.items():
        key = next(key for key in all_dags if key.startswith("onboard_") and platform in all_dags[key].tags)
        links = {
            name.removeprefix(f"{key}."): [link.name for link in task.operator_extra_links]
            for name, task in tasks.items()
            if name.startswith(f"{key}.")
        }
        calls = ("lookup_", "ensure_audience", "find_", "upload", "wait_for_confirmation")
        asking = [name for name in links if name.startswith(calls)]

        assert len(asking) == (4 if "lookup_audience" in asking else 3)
        for name in (*asking, "record_load"):
            assert portal in links[name], (key, name)
        for name in ("upload", "record_load"):
            assert "Rejects" in links[name]
            assert ("S3 object" in links[name]) is (platform == "digital_audience")


def test_links_of_one_task_do_not_share_a_name_or_a_key(tasks: dict[str, Any]) -> None:
    for name, task in tasks.items():
        links = list(task.operator_extra_links)
        assert len({link.name for link in links}) == len(links), name
        assert len({link.xcom_key for link in links}) == len(links), name


def test_the_dag_of_an_audience_leads_to_its_page_and_its_other_dags(
    all_dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{BASE}/")
    dags = built.audience_dags(PROJECT)

    assert any(dag_id.startswith("activate_") for dag_id in dags)
    for dag_id, dag in dags.items():
        _, _, key = dag_id.partition("_")
        targets = re.findall(r"\]\((.*?)\)", dag.doc_md or "")
        assert f"{BASE}/audience-onboarding/#/audiences/{key}" in targets
        linked_dags = [target.removeprefix(f"{BASE}/dags/") for target in targets if "/dags/" in target]
        assert set(linked_dags) >= {
            f"onboard_{key}",
            "resolve_ambiguous_create",
            "erase_person",
            "retire_audience",
        }
        assert set(linked_dags) <= set(all_dags)
        assert (f"activate_{key}" in linked_dags) is (f"activate_{key}" in dags)
        assert any(target.startswith("https://") and BASE not in target for target in targets)


def test_the_dags_of_all_audiences_lead_to_the_page(all_dags: dict[str, DAG]) -> None:
    shared = [dag for key, dag in all_dags.items() if not key.startswith(("onboard_", "activate_"))]

    assert len(shared) == 7
    assert all("[All audiences](" in (dag.doc_md or "") for dag in shared)


# --- addresses ----------------------------------------------------------------------------------------------


def test_the_pages_lie_below_airflows_own_address() -> None:
    for base, expected in (
        ("", "/audience-onboarding/#/audiences/people"),
        ("http://localhost:8080", "http://localhost:8080/audience-onboarding/#/audiences/people"),
        ("https://a.example/team/", "https://a.example/team/audience-onboarding/#/audiences/people"),
    ):
        assert audience_page("people", base_url=base) == expected
        assert audiences_page(base_url=base) == expected.partition("#")[0]
    # No key breaks out of the address.
    assert audience_page("a/../b?c#d") == "/audience-onboarding/#/audiences/a%2F..%2Fb%3Fc%23d"
    assert dag_page("a b") == "/dags/a%20b"


class Task:
    """As far as links look at one."""

    def __init__(self, **attributes: Any) -> None:
        self.inlets: list[Any] = []
        self.outlets: list[Any] = []
        self.__dict__.update(attributes)


def shown(link: StoredLink, task: Any) -> str:
    return link.get_link(task, ti_key=None)


def test_a_task_for_one_audience_shows_its_page_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", BASE)
    people, others = (audience_asset("fanfare", key) for key in ("people", "others"))
    campaign = campaign_asset("digital_audience", "c", "Campaign")
    page = f"{BASE}/audience-onboarding/#/audiences/people"

    assert shown(AudiencePageLink(), Task(audience_key="people")) == page
    assert shown(AudiencePageLink(), Task(asset=people)) == page
    assert shown(AudiencePageLink(), Task(asset=campaign, audience_key="people")) == page
    assert shown(AudiencePageLink(), Task(inlets=[people], outlets=[people, campaign])) == page
    assert shown(AudiencePageLink(), Task(inlets=[people, others])) == ""
    assert shown(AudiencePageLink(), Task()) == ""
    task = Task(inlets=[people, others])
    AudiencePageLink.persist(task, "others")
    assert shown(AudiencePageLink(), task).endswith("/others")
    assert shown(AudiencesPageLink(), task) == f"{BASE}/audience-onboarding/"


class Ti:
    """Has what a task has shown."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        assert (task_ids, key) == ("upload", "_link_RejectsLink")
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def test_a_link_of_an_earlier_task_is_taken_over_if_there_is_one() -> None:
    def taken_over(value: Any) -> str:
        task = Task()
        RejectsLink().copy_from(task, Ti(value), task_id="upload")
        return shown(RejectsLink(), task)

    nothing: list[Any] = ["", None, 7, RuntimeError("no server")]
    check(taken_over, [("https://s3/x", "https://s3/x"), *((value, "") for value in nothing)])


def test_without_a_task_or_an_address_there_is_no_link() -> None:
    task = Task()
    AudiencePageLink.persist(None, "people")
    RejectsLink().copy_from(None, None, task_id="upload")

    # The disk of a worker has no address.
    RejectsLink.persist(task, "/data/rejects/x.csv", lambda: pytest.fail("no S3 is asked"))

    assert shown(RejectsLink(), task) == ""


def test_an_objects_address_holds_its_key_safely() -> None:
    page = s3_object_url(bucket="b", key="rejects/a b&c=1.csv", region="eu-west-1", endpoint=None)
    own = s3_object_url(bucket="b", key="a b", region=None, endpoint="http://minio:9000/")

    assert page == (
        "https://s3.console.aws.amazon.com/s3/object/b?prefix=rejects/a%20b%26c=1.csv&region=eu-west-1"
    )
    assert own == "http://minio:9000/b/a%20b"


def test_a_function_gets_links_and_stays_what_it_was() -> None:
    class Output:
        operator = Task()

    output = Output()

    assert with_links(output, AudiencePageLink(), audience_key="people") is output
    assert [link.name for link in output.operator.operator_extra_links] == ["Audience"]
