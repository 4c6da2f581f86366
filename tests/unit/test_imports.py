"""Modules that each entry point imports, recorded by one child process that forks for each question."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding import preload
from tests.children import PLUGINS, PROJECT, child_env
from tests.unit.definitions.conftest import GOOD

CHILD = """
import json, os, sys, threading, traceback

for setup, questions in json.load(sys.stdin):
    exec(setup, {})
    threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()
    before = set(sys.modules)
    for name, code in questions.items():
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            continue
        scope, error = {}, ""
        try:
            exec(code, scope)
        except BaseException:
            error = traceback.format_exc()
        loaded = {module for module, value in sys.modules.items() if value is not None}
        answer = {"error": error, "found": scope.get("found"), "threads": threads}
        answer.update(before=sorted(before), loaded=sorted(loaded))
        with open(f"{sys.argv[1]}/{name}.json", "w") as file:
            json.dump(answer, file)
        os._exit(0)
"""

RUN = """
import io, sys
from audience_onboarding.cli import main
sys.stdin = io.StringIO("anna@example.com\\n")
found = main({arguments!r})
"""

RUN_WITHOUT_AIRFLOW = """
import sys
sys.modules["airflow"] = None
from audience_onboarding.cli import main
found = [main([command, "--folder", {folder!r}]) for command in ("check", "plan", "schema")]
"""

PARSE = """
import socket, sys
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
folder = Path({folder!r})
bag = DagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
found = {{"dags": len(bag.dags), "errors": bag.import_errors, "done": done,
    "modules": sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})}}
"""

LOAD_THE_DAGS = """
from pathlib import Path
from audience_onboarding.pipelines import audience_dags
found = len(audience_dags(Path({project!r})))
"""

CLIENT = """
from audience_onboarding.platforms.digital_audience import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
import audience_onboarding.crm.prepare, audience_onboarding.storage.s3_upload
"""

STEPS = """
import audience_onboarding.pipelines, audience_onboarding.platform_registry as platforms
found = [platforms.get_platform(name).tasks and name for name in platforms.PLATFORMS]
"""

CHECK_A_NOTIFIER = """
from audience_onboarding.pipelines.alerts import check_notifier
check_notifier("airflow.providers.smtp.notifications.smtp.SmtpNotifier")
"""

FIND_THE_PAGE = """
from audience_onboarding.plugin import AudienceOnboardingPlugin
(app,) = AudienceOnboardingPlugin.fastapi_apps
(view,) = AudienceOnboardingPlugin.external_views
found = [app["url_prefix"], view["href"], view["url_route"], view["destination"]]
"""

FIND_THE_PLUGIN = """
import sys
from airflow import plugins_manager
from airflow.settings import PLUGINS_FOLDER
sys.path.append(PLUGINS_FOLDER)
plugins, errors = plugins_manager._get_plugins()
found = [[plugin.name for plugin in plugins if plugin.name == "audience_onboarding"], errors]
"""

START_CELERY = """
import os, sys
os.environ["AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS"] = {option!r}
from airflow.configuration import conf
from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from celery import Celery
config = conf.getimport("celery", "celery_config_options")
assert config == DEFAULT_CELERY_CONFIG
app = Celery("a_worker", config_source=config)
assert "audience_onboarding.pipelines.onboard" not in sys.modules
# A worker calls this before it has processes for tasks.
app.loader.init_worker()
"""

PARSE_AS_TASKS = """
from pathlib import Path
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
from audience_onboarding.pipelines import audience_dags

for dag_id in (
    "onboard_newsletter_nl", "activate_newsletter_nl", "onboard_presale_fans", "onboard_service_alerts"
):
    with _airflow_parsing_context_manager(dag_id=dag_id, task_id="upload"):
        assert dag_id in audience_dags(Path({project!r}))
"""

SEND = """
from datetime import date
from audience_onboarding.base.connections import s3_client
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.base.source_options import open_source
from audience_onboarding.crm.prepare import prepare
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, Identifier
from audience_onboarding.storage.s3_upload import publish_object

s3_client("aws_of_ours")
source = open_source(SourceOptions.parse({path!r}), date(2026, 11, 20), s3_client=None)
columns = {{Identifier.EMAIL: "E-mail", Identifier.PHONE: "Mobile"}}
with prepare(source, columns=columns, profile=DIGITAL_AUDIENCE_S3, country="NL") as load:
    assert load.report.rows_sent == 1
"""

CELERY_OPTIONS = {
    "docker-compose.yaml": lambda file: file["services"]["airflow-worker"]["environment"][
        "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS"
    ],
    "deploy/kubernetes/values.yaml": lambda file: file["config"]["celery"]["celery_config_options"],
}


class Answer:
    """State of the process after one question.

    :ivar before: modules that were loaded before the question.
    :ivar later: modules that the question loaded.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.error, self.found, self.threads = told["error"], told["found"], told["threads"]
        self.before, self.loaded = set(told["before"]), set(told["loaded"])
        self.later = self.loaded - self.before
        self.packages = {name.partition(".")[0] for name in self.loaded}


Answers = dict[str, Answer]


def stages(folder: Path) -> list[tuple[str, dict[str, str]]]:
    """Setups of the child, each after the one before, and the questions that it answers in forks."""
    (folder / "definitions").mkdir()
    (folder / "definitions" / "good.yaml").write_text(yaml.safe_dump(GOOD))
    (folder / "list.csv").write_text("E-mail,Mobile\njohn@example.com,0612345678\n")
    options = {
        path: option_of(yaml.safe_load((PROJECT / path).read_text()))
        for path, option_of in CELERY_OPTIONS.items()
    }
    definitions = str(folder / "definitions")
    return [
        (
            "",
            {
                "crm": "import audience_onboarding.crm",
                "client": CLIENT,
                "storage": "import audience_onboarding.storage, audience_onboarding.storage.file_sources",
                **{
                    name: RUN.format(arguments=[name, "--folder", definitions])
                    for name in ("check", "plan", "schema")
                },
                "hash": RUN.format(arguments=["hash"]),
                "without_airflow": RUN_WITHOUT_AIRFLOW.format(folder=definitions),
            },
        ),
        (
            "import airflow.sdk",
            {
                "dags": LOAD_THE_DAGS.format(project=str(PROJECT)),
                "parse": PARSE.format(folder=str(PROJECT / "dags")),
                "steps": STEPS,
                "notifier": CHECK_A_NOTIFIER,
                "page": FIND_THE_PAGE,
                "plugin": FIND_THE_PLUGIN,
            },
        ),
        (
            "from airflow.jobs.job import Job  # as in every component that starts",
            {f"celery{n}": START_CELERY.format(option=option) for n, option in enumerate(options.values())},
        ),
        (
            "from audience_onboarding.preload import preload; preload()",
            {
                "preload": "",
                "parse_as_tasks": PARSE_AS_TASKS.format(project=str(PROJECT)),
                "send": SEND.format(path=str(folder / "list.csv")),
            },
        ),
    ]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Answers by the name of the question."""
    folder = tmp_path_factory.mktemp("imports")
    (folder / "answers").mkdir()
    asked = stages(folder)
    env = child_env(
        AIRFLOW_HOME=str(folder),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(PLUGINS),
        AIRFLOW_CONN_AWS_OF_OURS="aws://key:secret@/?region_name=eu-west-1",
        PYTHONWARNINGS="ignore",
    )
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder / "answers")],
        cwd=folder,
        env=env,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    paths = (folder / "answers").iterdir()
    found = {path.stem: Answer(json.loads(path.read_text())) for path in paths}
    assert set(found) == {name for _, questions in asked for name in questions}
    problems = [f"{name}: {answer.error}" for name, answer in found.items() if answer.error]
    assert not problems, "\n".join(problems)
    return found


def test_packages_are_light(answers: Answers) -> None:
    heavy = {"polars", "numpy", "boto3", "botocore", "phonenumbers", "airflow"}
    assert {name: answers[name].packages & heavy for name in ("crm", "storage")} == {
        "crm": set(),
        "storage": set(),
    }


def test_a_client_loads_no_airflow(answers: Answers) -> None:
    assert "airflow" not in answers["client"].packages


def test_commands_load_no_airflow_and_need_none(answers: Answers) -> None:
    heavy = {"airflow", "polars", "numpy", "boto3", "requests", "sqlalchemy"}
    for name in ("check", "plan", "schema"):
        assert (answers[name].found, answers[name].packages & heavy) == (0, set()), name
    assert (answers["hash"].found, "airflow" in answers["hash"].packages) == (0, False)
    assert answers["without_airflow"].found == [0, 0, 0]


def test_parsing_needs_neither_network_nor_connections_nor_variables(answers: Answers) -> None:
    found = answers["parse"].found
    assert (found["errors"], found["done"], found["dags"]) == ({}, [], 12)


def test_parsing_loads_nothing_that_only_tasks_need(answers: Answers) -> None:
    heavy = {
        "polars", "phonenumbers", "boto3", "botocore", "aiobotocore", "pandas", "pyarrow", "numpy", "openpyxl", "moto",
    }  # fmt: skip
    assert not heavy & set(answers["parse"].found["modules"])
    rooms = ("audience_onboarding.crm.prepare", "audience_onboarding.storage")
    assert not [
        name
        for name in answers["parse"].loaded
        if name in rooms or name.startswith(tuple(f"{room}." for room in rooms))
    ]


def test_loading_the_dags_of_audiences_loads_no_library_and_no_model(answers: Answers) -> None:
    # Every task begins with this.
    answer = answers["dags"]
    assert answer.found >= 5
    assert "audience_onboarding.platforms.digital_audience.operators" in answer.loaded
    assert not {"boto3", "polars", "phonenumbers", "airflow.models.dagrun"} & answer.loaded


def test_steps_load_no_backend_for_metrics_or_lineage(answers: Answers) -> None:
    backends = {
        "statsd", "datadog", "opentelemetry.sdk.metrics", "openlineage.client",
        "airflow.providers.openlineage.extractors",
    }  # fmt: skip
    assert answers["steps"].found
    assert not backends & answers["steps"].loaded


def test_checking_a_notifier_does_not_import_it(answers: Answers) -> None:
    assert not [name for name in answers["notifier"].loaded if "smtp" in name and "notifications" in name]


def test_the_plugin_brings_the_page_and_imports_none_of_it(answers: Answers) -> None:
    answer = answers["page"]
    assert answer.found == ["/audience-onboarding", "audience-onboarding/", "audiences", "nav"]
    assert not {"audience_onboarding.ui.app", "audience_onboarding.ui.service", "fastapi"} & answer.loaded


def test_the_plugins_folder_shows_airflow_the_plugin_and_nothing_else(answers: Answers) -> None:
    answer = answers["plugin"]
    assert answer.found == [["audience_onboarding"], {}]
    assert not {"hooks", "operators", "client", "errors", "models", "provider"} & answer.loaded


def test_a_celery_worker_imports_what_tasks_need(answers: Answers) -> None:
    for number, path in enumerate(CELERY_OPTIONS):
        assert "audience_onboarding.pipelines.onboard" in answers[f"celery{number}"].later, path


def test_preload_loads_what_a_fork_can_take_along(answers: Answers) -> None:
    answer = answers["preload"]
    assert answer.threads == 1
    assert not {"polars", "polars_hash", "numpy"} & answer.before
    # Only the API server uses these, and they are big.
    assert not {"fastapi", "uvicorn", "audience_onboarding.ui.app"} & answer.before
    assert set(preload.MODULES) <= answer.before


def test_tasks_find_their_dags_without_importing_anything(answers: Answers) -> None:
    # A scheduler or a worker has loaded the rest of Airflow.
    prefixes = ("audience_onboarding", "airflow.providers", "airflow.sdk")
    assert not [name for name in answers["parse_as_tasks"].later if name.startswith(prefixes)]


def test_a_task_that_sends_imports_little_but_the_engine(answers: Answers) -> None:
    later = answers["send"].later
    packages = {name.partition(".")[0] for name in later}
    assert "polars" in packages
    assert not {"boto3", "jinja2", "requests"} & packages
    assert not [name for name in later if name.startswith("airflow.providers")]
    ours = {name.split(".")[1] for name in later if name.startswith("audience_onboarding")}
    assert ours == {"crm"}
