"""Before a process of a task is forked, all is imported that it would import itself, and nothing that a fork breaks."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding import preload
from audience_onboarding.crm import numbering

PROJECT = Path(__file__).resolve().parents[2]

PRELOADED = """
import json
import os
import sys

import airflow.sdk
from airflow.jobs.job import Job  # as in every component that starts

from audience_onboarding.preload import preload

preload()
threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
before = set(sys.modules)
{then}
print(json.dumps({{"threads": threads, "before": sorted(before), "later": sorted(set(sys.modules) - before)}}))
"""

AS_TASKS_PARSE = """
from pathlib import Path

from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
from audience_onboarding.pipelines import audience_dags

for dag_id in {dag_ids!r}:
    with _airflow_parsing_context_manager(dag_id=dag_id, task_id="upload"):
        assert dag_id in audience_dags(Path({project!r}))
"""

AS_A_TASK_SENDS = """
from datetime import date

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.source_options import SourceOptions, open_source
from audience_onboarding.crm.engine import prepare
from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3, Identifier
from audience_onboarding.storage.s3_upload import publish_object

s3_client("aws_of_ours")
source = open_source(SourceOptions.of({path!r}), date(2026, 11, 20), s3_client=None)
columns = {{Identifier.EMAIL: "E-mail", Identifier.PHONE: "Mobile"}}
with prepare(source, columns=columns, profile=DIGITAL_AUDIENCE_S3, country="NL") as load:
    assert load.report.rows_sent == 1
"""

AS_CELERY_STARTS = """
import sys

from airflow.configuration import conf
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery import Celery

config = conf.getimport("celery", "celery_config_options")
assert config == DEFAULT_CELERY_CONFIG
app = Celery("a_worker", config_source=config)
assert "audience_onboarding.pipelines.onboard" not in sys.modules
# What a worker calls before it has processes for tasks.
app.loader.init_worker()
assert "audience_onboarding.pipelines.onboard" in sys.modules
"""


def run(code: str, **env: str) -> str:
    """The output of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "plugins"), "PYTHONWARNINGS": "ignore", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules(then: str = "") -> tuple[int, set[str], set[str]]:
    """Threads and modules of a process that has preloaded, and what it imports after that."""
    connection = "aws://key:secret@/?region_name=eu-west-1"
    told = json.loads(run(PRELOADED.format(then=then), AIRFLOW_CONN_AWS_OF_OURS=connection).splitlines()[-1])
    return told["threads"], set(told["before"]), set(told["later"])


def test_a_fork_takes_it_all_along() -> None:
    threads, loaded, _ = modules()
    assert threads == 1
    assert not {"polars", "polars_hash", "numpy"} & loaded
    # Only the API server has a use for these, and they are big.
    assert not {"fastapi", "uvicorn", "audience_onboarding.ui.app"} & loaded
    assert set(preload.MODULES) <= loaded


def test_tasks_have_their_dags_without_importing_anything_for_them() -> None:
    keys = (
        "onboard_newsletter_nl",
        "activate_newsletter_nl",
        "onboard_presale_fans",
        "onboard_service_alerts",
    )
    _, _, later = modules(AS_TASKS_PARSE.format(dag_ids=keys, project=str(PROJECT)))
    # Of Airflow, a scheduler or a worker has the rest itself.
    assert not {
        module
        for module in later
        if module.startswith(("audience_onboarding", "airflow.providers", "airflow.sdk"))
    }


def test_a_task_that_sends_imports_little_but_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("E-mail,Mobile\njohn@example.com,0612345678\n")
    _, _, later = modules(AS_A_TASK_SENDS.format(path=str(path)))
    packages = {module.partition(".")[0] for module in later}
    assert "polars" in packages
    assert not {"boto3", "jinja2", "requests"} & packages
    assert not {module for module in later if module.startswith("airflow.providers")}
    ours = {module for module in later if module.startswith("audience_onboarding")}
    assert {module.rpartition(".")[0] for module in ours} == {"audience_onboarding.crm"}


def test_the_numbers_of_the_countries_served_are_worked_out() -> None:
    preload.preload()
    before = numbering.foreign_spellings.cache_info().misses
    for country in numbering.COUNTRIES_SERVED:
        numbering.foreign_spellings(numbering.calling_code(country))
    assert numbering.foreign_spellings.cache_info().misses == before


def test_what_cannot_be_imported_keeps_nothing_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preload, "MODULES", ("audience_onboarding.no_such_module",))
    with caplog.at_level(logging.INFO):
        preload.preload()
    assert "Not all that tasks need could be imported in advance" in caplog.text
    assert "no_such_module" in caplog.text


def of_compose(file: Any) -> Any:
    return file["services"]["airflow-worker"]["environment"]["AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS"]


def of_kubernetes(file: Any) -> Any:
    return file["config"]["celery"]["celery_config_options"]


@pytest.mark.parametrize(
    ("path", "option_of"),
    [("docker-compose.yaml", of_compose), ("deploy/kubernetes/values.yaml", of_kubernetes)],
)
def test_a_worker_of_celery_imports_it_too(path: str, option_of: Any) -> None:
    option = option_of(yaml.safe_load((PROJECT / path).read_text()))
    run(AS_CELERY_STARTS, AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS=option)
