"""The files under dags/ as Airflow's DAG processor sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError

from tests.unit.definitions.conftest import GOOD, changed

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"


def load(folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> DagBag:
    if folder is None:
        monkeypatch.delenv("AUDIENCE_ONBOARDING_DEFINITIONS", raising=False)
    else:
        monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(folder))
    return DagBag(str(DAGS), bundle_path=DAGS, bundle_name="dags-folder")


@pytest.fixture(scope="module")
def bag() -> DagBag:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return load(None, monkeypatch)


def all_dags(bag: DagBag) -> list[DAG]:
    return list(bag.dags.values())


def test_there_are_no_import_errors(bag: DagBag) -> None:
    assert bag.import_errors == {}


def test_the_examples_have_their_dags(bag: DagBag) -> None:
    assert set(bag.dags) == {
        "onboard_newsletter_nl",
        "activate_newsletter_nl",
        "onboard_loyalty_members",
        "onboard_presale_fans",
        "onboard_service_alerts",
        "extend_segment_end_dates",
        "extend_segment",
        "check_drift",
        "settle_create",
        "load_history",
        "erase_person",
        "retire_audience",
    }


def test_every_dag_has_tags_owner_and_documentation(bag: DagBag) -> None:
    for dag in all_dags(bag):
        assert "audience-onboarding" in dag.tags
        assert dag.doc_md, dag.dag_id
        assert dag.description, dag.dag_id
        assert dag.dag_display_name != dag.dag_id
        assert all(task.owner not in {"", "airflow"} for task in dag.tasks), dag.dag_id


def test_every_dag_can_be_started_without_filling_in_its_form(bag: DagBag) -> None:
    for dag in all_dags(bag):
        if dag.dag_id in {"settle_create", "extend_segment", "retire_audience"}:
            # They do what a person has decided, so there is nothing that could be meant by nothing.
            with pytest.raises(ParamValidationError):
                dag.params.validate()
        elif dag.dag_id != "load_history":
            dag.params.validate()


def test_every_field_of_a_form_has_a_title_and_help_that_can_be_read(bag: DagBag) -> None:
    for dag in all_dags(bag):
        for name in dag.params:
            schema = dag.params.get_param(name).schema
            assert schema.get("title"), (dag.dag_id, name)
            told = schema.get("description_md")
            assert told, (dag.dag_id, name)
            # Airflow (3.3) draws code higher than a line of help, over the line before it.
            assert "`" not in told, (dag.dag_id, name)


def test_a_range_of_days_cannot_be_guessed(bag: DagBag) -> None:
    form = bag.dags["load_history"].params

    with pytest.raises(ParamValidationError):
        form.validate()
    assert form.get_param("audience").schema["enum"] == [
        "loyalty_members",
        "newsletter_nl",
        "presale_fans",
    ]


def test_no_dag_catches_up_by_itself(bag: DagBag) -> None:
    assert not [dag.dag_id for dag in all_dags(bag) if dag.catchup]


def test_every_dag_can_be_stored_and_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    def stored() -> dict[str, str]:
        return {
            dag.dag_id: json.dumps(DagSerialization.to_dict(dag), sort_keys=True)
            for dag in all_dags(load(None, monkeypatch))
        }

    first = stored()

    assert first
    # A difference would make a new version of the DAG with every parse.
    assert stored() == first


def test_broken_definitions_are_an_import_error_of_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(changed(owner="")), encoding="utf-8")
    (tmp_path / "torn.yaml").write_text("a: [", encoding="utf-8")

    bag = load(tmp_path, monkeypatch)

    assert set(bag.dags) == {
        "onboard_good",
        "activate_good",
        "extend_segment_end_dates",
        "extend_segment",
        "check_drift",
        "load_history",
        "settle_create",
        "erase_person",
        "retire_audience",
    }
    assert bag.dags["load_history"].params.get_param("audience").schema["enum"] == ["good"]
    ((file, message),) = bag.import_errors.items()
    assert Path(file).name == "definition_errors.py"
    number = yaml.safe_dump(changed(owner="")).splitlines().index("owner: ''") + 1
    assert f"wrong.yaml:{number}: owner: must not be empty" in message
    assert "torn.yaml:1: not YAML: a value is missing" in message


# --- what parsing must not do -------------------------------------------------------------------------------


PARSE = """
import json, socket, sys
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
# With the first asset Airflow loads what its own providers know of assets, boto3 among it.
airflow.sdk.Asset("anything", uri="any://thing")
before = set(sys.modules)
done = []


def forbid(owner, name, what):
    def fail(*args, **kwargs):
        done.append(what)
        raise AssertionError(what)
    setattr(owner, name, fail)


forbid(socket.socket, "connect", "a connection was made")
forbid(socket, "getaddrinfo", "a name was looked up")
from airflow.sdk import BaseHook, Variable
from airflow.sdk.definitions.connection import Connection
forbid(Connection, "get", "a connection was read")
forbid(BaseHook, "get_connection", "a connection was read")
forbid(Variable, "get", "a variable was read")
from pathlib import Path
folder = Path(sys.argv[1])
bag = DagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
print("RESULT" + json.dumps(
    {
        "dags": sorted(bag.dags),
        "errors": bag.import_errors,
        "done": done,
        "modules": sorted({name.partition(".")[0] for name in set(sys.modules) - before}),
        "own": sorted(name for name in sys.modules if name.startswith("audience_onboarding")),
    }
))
"""


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    """What a process of its own, which has seen nothing yet, does to parse the DAGs."""
    env = {**os.environ, "PYTHONPATH": str(PROJECT / "plugins"), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(DAGS)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT"))
    return found


def test_parsing_needs_neither_network_nor_connections_nor_variables(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert parsed["done"] == []
    assert len(parsed["dags"]) == 12


@pytest.mark.parametrize(
    "heavy",
    [
        "polars",
        "phonenumbers",
        "boto3",
        "botocore",
        "aiobotocore",
        "pandas",
        "pyarrow",
        "numpy",
        "openpyxl",
        "moto",
    ],
)
def test_parsing_does_not_load_what_only_tasks_need(parsed: dict[str, Any], heavy: str) -> None:
    assert heavy not in parsed["modules"]


@pytest.mark.parametrize("room", ["audience_onboarding.crm.engine", "audience_onboarding.storage"])
def test_parsing_does_not_load_the_rooms_that_only_tasks_need(parsed: dict[str, Any], room: str) -> None:
    assert not [name for name in parsed["own"] if name == room or name.startswith(f"{room}.")]


def test_the_dags_are_as_thin_as_they_should_be() -> None:
    for path in DAGS.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 20, path.name


def test_what_a_person_looks_at_first_is_not_folded_away(bag: DagBag) -> None:
    """The UI opens the fields that have no section, and folds all others."""
    for dag in all_dags(bag):
        params = {name: dag.params.get_param(name) for name in dag.params}
        assert any("section" not in param.schema for param in params.values()), dag.dag_id
        for name, param in params.items():
            is_required = not param.has_value and "null" not in param.schema["type"]
            assert not (is_required and "section" in param.schema), f"{dag.dag_id}.{name}"
        assert any("section" in param.schema for param in params.values()) or len(params) < 4, dag.dag_id
