"""All DAGs of a folder of definitions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from audience_onboarding import pipelines
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.pipelines import audience_dags, check_definitions, maintenance_dags, onboard
from audience_onboarding.pipelines import factory as dags
from tests.unit.pipelines.conftest import changed

PROJECT = Path("/project")
GOOD_DAGS = {"onboard_newsletter", "activate_newsletter", "onboard_quiet"}


def parsing_for(monkeypatch: pytest.MonkeyPatch, dag_id: str | None) -> None:
    monkeypatch.setattr(dags, "get_parsing_context", lambda: SimpleNamespace(dag_id=dag_id, task_id=None))


def test_every_good_definition_has_its_dags(folder: Path) -> None:
    found = audience_dags(PROJECT)

    assert set(found) == GOOD_DAGS
    assert all(dag.dag_id == name for name, dag in found.items())


def test_a_task_builds_the_dags_of_its_own_definition_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newsletter = {"onboard_newsletter", "activate_newsletter"}
    for dag_id, most in (
        *((dag_id, newsletter) for dag_id in newsletter),
        ("onboard_quiet", {"onboard_quiet"}),
        ("onboard_gone", set()),
    ):
        parsing_for(monkeypatch, dag_id)
        found = set(audience_dags(PROJECT))
        assert most & {dag_id} <= found <= most
    # A DAG of another kind needs all.
    parsing_for(monkeypatch, "extend_segment_end_dates")
    assert len(audience_dags(PROJECT)) == 3


def test_the_forms_are_good_and_no_task_holds_a_copy_or_renders_an_empty_field(folder: Path) -> None:
    dags = audience_dags(PROJECT)
    for dag in dags.values():
        assert dag.params.validate()
        for task in dag.tasks:
            # Airflow would validate each copy, several times, whenever it parses the file.
            assert dict(task.params) == {}, task.task_id
            assert all(getattr(task, name) for name in task.template_fields), task.task_id
    upload: Any = dags["onboard_newsletter"].get_task("upload")
    assert {"source", "mode", "is_dry_run"} <= set(upload.template_fields)
    assert "bucket" not in upload.template_fields
    # Relative paths count from the folder above the definitions.
    assert f"{folder.parent}/crm/{{load_date}}.csv" in upload.source["path"]


def test_the_package_has_its_builders_by_name_and_no_others() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'build_another_dag'"):
        _ = pipelines.build_another_dag


LISTS_MODULES = """
import sys
from pathlib import Path
from audience_onboarding.pipelines import audience_dags

assert len(audience_dags(Path(sys.argv[1]))) == 3
print(*sys.modules)

from audience_onboarding.pipelines.alerts import check_notifier
from audience_onboarding.platform_registry import PLATFORMS, get_platform

[get_platform(name).tasks for name in PLATFORMS]
check_notifier("airflow.providers.smtp.notifications.smtp.SmtpNotifier")
print(*sys.modules)
"""


def test_parsing_loads_only_the_modules_that_it_needs(folder: Path) -> None:
    # Other modules take long to load, and every task begins with this.
    command = [sys.executable, "-c", LISTS_MODULES, str(folder.parents[1])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    by_these_dags, by_all = (set(line.split()) for line in done.stdout.splitlines()[-2:])

    assert "audience_onboarding.platforms.digital_audience.operators" in by_these_dags
    assert not by_these_dags & {"boto3", "polars", "phonenumbers", "airflow.models.dagrun"}
    # Backends of Airflow's metrics and lineage, and notifiers that are only looked for.
    backends = {"statsd", "datadog", "opentelemetry.sdk.metrics", "openlineage.client"}
    assert not by_all & {*backends, "airflow.providers.openlineage.extractors"}
    assert not [name for name in by_all if "smtp" in name and "notifications" in name]


def test_no_definition_takes_the_dags_of_the_others_with_it(folder: Path) -> None:
    for content in (
        {**changed(), "tags": ["x" * 101]},
        {**changed(), "wait": {"timeout_hours": 1e300}},
        {**changed(), "wait": {"timeout_hours": float("inf")}},
        changed(source__path="{load_date.week}"),
        "start: 2026-02-30",
    ):
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (folder / "odd.yaml").write_text(text, encoding="utf-8")

        assert set(audience_dags(PROJECT)) >= GOOD_DAGS, text
        with pytest.raises(DefinitionError, match=r"odd\.yaml"):
            check_definitions(PROJECT)


# --- audiences that are found by their names ----------------------------------------------------------------


SOURCE = {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}}
FOUND_BY_NAME = {"platform": "commbox", "name": "Service alerts", "allow_unhashed": True, "source": SOURCE}


def write(folder: Path, **definitions: dict[str, Any]) -> None:
    for key, changes in definitions.items():
        text = yaml.safe_dump({**FOUND_BY_NAME, "owner": "a-team", **changes})
        (folder / f"{key}.yaml").write_text(text, encoding="utf-8")


def test_of_several_definitions_of_one_audience_none_is_good(folder: Path) -> None:
    (folder / "broken.yaml").unlink()
    write(folder, one={}, two={"owner": "somebody-else"}, three={"name": "Other"})

    assert set(audience_dags(PROJECT)) == {*GOOD_DAGS, "onboard_three"}
    with pytest.raises(DefinitionError) as caught:
        check_definitions(PROJECT)
    message = str(caught.value)
    assert "2 audience definitions are invalid" in message
    for key in ("one", "two"):
        assert f"{key}.yaml:2: name: same name as " in message
    assert "commbox, connection commbox_default" in message
    assert "three" not in message


def test_definitions_of_different_audiences_do_not_meet(folder: Path) -> None:
    (folder / "broken.yaml").unlink()
    for one, two in (
        ({}, {"name": "Other"}),
        ({}, {"conn_id": "another_account"}),
        ({}, {"platform": "fanfare"}),
        ({}, {"id": "a-7"}),
        ({"id": "a-6"}, {"id": "a-7"}),
    ):
        write(folder, one=one, two=two)

        assert {"onboard_one", "onboard_two"} <= set(audience_dags(PROJECT)), (one, two)
        check_definitions(PROJECT)


def test_only_a_good_definition_on_a_platform_that_finds_audiences_by_name_takes_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, one={}, two={"retries": -1})
    # On Digital Audience each definition creates, and remembers, an audience of its own.
    (folder / "again.yaml").write_text(yaml.safe_dump(changed()), encoding="utf-8")

    assert {"onboard_one", "onboard_newsletter", "onboard_again"} <= set(audience_dags(PROJECT))
    parsing_for(monkeypatch, "onboard_one")
    assert set(audience_dags(PROJECT)) == {"onboard_one"}


def test_upkeep_leaves_platforms_without_end_dates_alone(folder: Path) -> None:
    write(folder, one={})

    choices = {
        key: dag.params.get_param("audience").schema["enum"] for key, dag in maintenance_dags(PROJECT).items()
    }

    assert choices == {
        "extend_segment_end_dates": [None, "newsletter"],
        "set_segment_end_date": ["newsletter"],
        "check_drift": [None, "newsletter", "one", "quiet"],
    }


# --- broken files -------------------------------------------------------------------------------------------


def test_all_broken_definitions_are_named(folder: Path) -> None:
    (folder / "other.yaml").write_text("owner: x", encoding="utf-8")

    with pytest.raises(DefinitionError) as caught:
        check_definitions(PROJECT)

    message = str(caught.value)
    for part in ("2 audience definitions are invalid", "broken.yaml", "other.yaml"):
        assert part in message
    assert "newsletter.yaml" not in message


def test_broken_defaults_are_reported_once_and_leave_no_dags(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.yaml").unlink()
    (folder / "_defaults.yaml").write_text("retires: 5\n", encoding="utf-8")

    assert audience_dags(PROJECT) == {}
    assert len([record for record in caplog.records if "_defaults.yaml:1: retires" in record.message]) == 1
    assert len(caplog.records) == 1
    with pytest.raises(DefinitionError) as caught:
        check_definitions(PROJECT)
    assert str(caught.value).count("retires") == 1


def test_a_folder_that_is_not_there_is_no_folder_without_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(tmp_path / "typo"))

    with pytest.raises(DefinitionError, match="typo"):
        check_definitions(PROJECT)


def test_a_failing_builder_or_a_missing_notifier_takes_only_its_own_dags_and_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.yaml").unlink()
    build = onboard.build_onboarding_dag

    def fails_for_one(definition: AudienceDefinition, **options: Any) -> Any:
        if definition.key == "newsletter":
            raise RuntimeError("Airflow does not like it")
        return build(definition, **options)

    def check_shown(message: str) -> None:
        assert set(audience_dags(PROJECT)) == {"onboard_quiet"}
        with pytest.raises(DefinitionError, match=rf"newsletter\.yaml: {message}"):
            check_definitions(PROJECT)

    with monkeypatch.context() as patched:
        patched.setattr(onboard, "build_onboarding_dag", fails_for_one)
        check_shown("RuntimeError: Airflow does not like it")
    missing = changed(alerts={"notifier": "tests.notifiers.Missing"})
    (folder / "newsletter.yaml").write_text(yaml.safe_dump(missing), encoding="utf-8")
    check_shown(r".*'tests\.notifiers' has no 'Missing'")
