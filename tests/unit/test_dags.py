"""The files under dags/ as Airflow's DAG processor sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError

from tests.unit.definitions.conftest import GOOD, changed

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"
GENERAL = {
    "extend_segment_end_dates", "set_segment_end_date", "check_drift", "resolve_ambiguous_create", "load_date_range",
    "erase_person", "retire_audience",
}  # fmt: skip
"""DAGs that belong to no single definition."""


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


def test_the_examples_have_their_dags(bag: DagBag) -> None:
    assert bag.import_errors == {}
    onboarding = {"newsletter_nl", "loyalty_members", "presale_fans", "service_alerts"}
    assert set(bag.dags) == GENERAL | {f"onboard_{key}" for key in onboarding} | {"activate_newsletter_nl"}


def test_every_dag_is_documented_and_its_form_is_usable(bag: DagBag) -> None:
    problems = []
    for dag_id, dag in bag.dags.items():
        good = {
            "tag": "audience-onboarding" in dag.tags,
            "documentation": bool(dag.doc_md and dag.description and dag.dag_display_name != dag_id),
            "owner": all(task.owner not in {"", "airflow"} for task in dag.tasks),
            "no catchup": not dag.catchup,
        }
        params = {name: dag.params.get_param(name) for name in dag.params}
        for name, param in params.items():
            help_text = param.schema.get("description_md") or "`"
            good[f"{name}: title"] = bool(param.schema.get("title"))
            # Airflow (3.3) draws code higher than a line of help, over the line before it.
            good[f"{name}: help without code"] = "`" not in help_text
            # The UI opens the fields that have no section, and folds all others.
            is_required = not param.has_value and "null" not in param.schema["type"]
            good[f"{name}: visible if required"] = not (is_required and "section" in param.schema)
        folded = ["section" in param.schema for param in params.values()]
        good["some fields visible, some folded"] = not all(folded) and (any(folded) or len(params) < 4)
        problems += [f"{dag_id}: {name}" for name, is_good in good.items() if not is_good]
    assert not problems, "\n".join(problems)


def test_dags_start_without_input_unless_a_person_has_to_decide(bag: DagBag) -> None:
    for dag in bag.dags.values():
        if dag.dag_id in {
            "resolve_ambiguous_create",
            "set_segment_end_date",
            "retire_audience",
            "load_date_range",
        }:
            with pytest.raises(ParamValidationError):
                dag.params.validate()
        else:
            dag.params.validate()


def test_the_form_of_the_history_offers_the_audiences(bag: DagBag) -> None:
    audiences = ["loyalty_members", "newsletter_nl", "presale_fans"]
    assert bag.dags["load_date_range"].params.get_param("audience").schema["enum"] == audiences


def test_every_dag_can_be_stored_and_is_the_same_each_time(
    bag: DagBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    def stored(loaded: DagBag) -> dict[str, str]:
        dags = loaded.dags.items()
        return {key: json.dumps(DagSerialization.to_dict(dag), sort_keys=True) for key, dag in dags}

    first = stored(bag)

    assert first
    # A difference would make a new version of the DAG with every parse.
    assert stored(load(None, monkeypatch)) == first


def test_broken_definitions_are_an_import_error_of_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(changed(owner="")), encoding="utf-8")
    (tmp_path / "torn.yaml").write_text("a: [", encoding="utf-8")

    bag = load(tmp_path, monkeypatch)

    assert set(bag.dags) == GENERAL | {"onboard_good", "activate_good"}
    assert bag.dags["load_date_range"].params.get_param("audience").schema["enum"] == ["good"]
    ((file, message),) = bag.import_errors.items()
    assert Path(file).name == "definition_errors.py"
    number = yaml.safe_dump(changed(owner="")).splitlines().index("owner: ''") + 1
    assert f"wrong.yaml:{number}: owner: must not be empty" in message
    assert "torn.yaml:1: invalid YAML: missing value" in message


def test_the_dags_are_as_thin_as_they_should_be() -> None:
    for path in DAGS.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 20, path.name
