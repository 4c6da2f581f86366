"""docker-compose.yaml without Docker: its properties, and the reader that tests/distributed starts it with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cli import build_parser
from scripts import make_env
from tests.distributed.compose import (
    VARIABLE,
    ComposeError,
    interpolate,
    read_env_file,
    read_services,
    seconds,
)
from tests.repo.pages import ROOT

SHARED = (
    "CORE__FERNET_KEY", "API__SECRET_KEY", "API_AUTH__JWT_SECRET", "API_AUTH__JWT_ISSUER",
    "CORE__EXECUTION_API_SERVER_URL", "DATABASE__SQL_ALCHEMY_CONN", "CORE__SENSITIVE_VAR_CONN_NAMES",
)  # fmt: skip
COMPONENTS = {
    f"airflow-{name}" for name in ("apiserver", "dag-processor", "scheduler", "triggerer", "worker")
}
ONE_SHOT = {"airflow-init"}
FILE = ROOT / "docker-compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]


def test_services() -> None:
    assert SERVICES.keys() == COMPONENTS | ONE_SHOT | {"postgres", "redis", "sandbox"}
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"sandbox": ["sandbox"]}


def test_images_are_pinned_by_tag() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^ARG AIRFLOW_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert len(images) == len(SERVICES) + 1
    assert [image for image in images if not re.fullmatch(r".+:(slim-)?\d[^:]*", image)] == []


def test_published_ports_are_for_this_machine_only() -> None:
    ports = [str(port) for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_long_running_services_are_checked_and_restarted() -> None:
    for name, service in SERVICES.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            assert "healthcheck" not in service
        else:
            assert service["restart"] == "always", name
            assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys(), name


def test_health_checks_fit_the_component() -> None:
    for name, part in {
        "airflow-apiserver": "/api/v2/monitor/health",
        "airflow-scheduler": ":8974/health",
        "airflow-dag-processor": "DagProcessorJob",
        "airflow-triggerer": "TriggererJob",
        "airflow-worker": "celery_executor.app inspect ping",
    }.items():
        assert part in " ".join(SERVICES[name]["healthcheck"]["test"])
    assert SERVICES["airflow-scheduler"]["environment"]["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "true"


def test_components_share_their_secrets_and_wait_for_the_migration() -> None:
    for variable in SHARED:
        values = {SERVICES[name]["environment"][f"AIRFLOW__{variable}"] for name in COMPONENTS | ONE_SHOT}
        assert len(values) == 1, variable
    for name in COMPONENTS:
        assert SERVICES[name]["depends_on"]["airflow-init"]["condition"] == "service_completed_successfully"
        assert SERVICES[name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert SERVICES["airflow-init"]["environment"]["_AIRFLOW_DB_MIGRATE"] == "true"


def test_no_service_runs_as_root() -> None:
    ours = COMPONENTS | ONE_SHOT | {"sandbox"}
    assert {SERVICES[name]["user"] for name in ours} == {"${AIRFLOW_UID:-50000}:0"}
    assert not [name for name, service in SERVICES.items() if service.get("privileged")]


def test_mounted_folders_are_read_only() -> None:
    volumes = {volume for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {volume for volume in volumes if volume.startswith(".")} == {"./include:/opt/airflow/include:ro"}
    named = {volume.split(":")[0] for volume in volumes if not volume.startswith((".", "/"))}
    assert named == COMPOSE["volumes"].keys()


def leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, path)]
    return [(path, str(value))]


def test_no_secret_is_in_the_files() -> None:
    secret = re.compile(r"(password|passwd|secret|fernet|token|private)(?!s?_?names)", re.IGNORECASE)
    for path, value in leaves(COMPOSE):
        # A variable without a value is handed on from .env.
        if secret.search(path.rsplit(".", 1)[-1]) and value != "None":
            assert re.fullmatch(r"\$\{\w+:\?run make env\}", value), path
        if secret.search(value) and "=" in value:
            assert VARIABLE.search(value), path
        # user:password@host, with a password that is not a variable
        assert not re.search(r"://[^/$]*:[^$/@][^/@]*@", value), path
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        if not line.startswith("#") and secret.search(name):
            assert value == "''", name


def test_variables_are_those_of_make_env() -> None:
    text = "\n".join(line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    written = make_env.settings(sandbox=True, local=True).keys()
    required = {match["name"] for match in VARIABLE.finditer(text) if match["operator"] == ":?"}
    assert required >= {"AIRFLOW_JWT_SECRET", "POSTGRES_PASSWORD"}
    assert required <= written
    # Handed on as they are: optional connections, and a secrets backend of one's own.
    environment = COMPOSE["x-airflow-common"]["environment"]
    handed_on = {name for name, value in environment.items() if value is None}
    backend = {name for name in handed_on if name.startswith("AIRFLOW__SECRETS__")}
    assert backend
    assert handed_on - backend <= written
    for name in backend:
        assert re.search(rf"^#{name}=", (ROOT / ".env.example").read_text(), re.M), name
    # Compose reads these two itself.
    unused = {name for name in written if not re.search(rf"\b{name}\b", FILE.read_text())}
    assert unused <= {"COMPOSE_PROFILES", "COMPOSE_FILE"}


def test_sandbox_takes_its_options_and_publishes_its_ports() -> None:
    """The connections of ``make env`` to it are used by every load of the distributed tests."""
    given, unknown = build_parser().parse_known_args(SERVICES["sandbox"]["command"])
    assert unknown == []
    assert given.password == given.aws_secret_access_key == "${SANDBOX_PASSWORD:?run make env}"
    published = {port.rsplit(":", 1)[1] for port in SERVICES["sandbox"]["ports"]}
    assert published == {str(given.port), str(given.s3_port)}


def test_image_is_built_from_the_context_and_the_lock(pyproject: dict[str, Any]) -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", text, re.M) for word in line.split()
    }
    assert copied == kept
    assert [name for name in copied if not (ROOT / name).exists()] == []

    commands = [line for line in text.splitlines() if "pip install" in line]
    assert commands
    assert [line for line in commands if "--constraint /opt/airflow/requirements.lock" not in line] == []
    extras = {name for line in commands for name in re.findall(r"\[([a-z]+)\]", line)}
    assert extras == {"distributed", "sandbox"}
    assert extras <= pyproject["project"]["optional-dependencies"].keys()


def test_components_import_with_the_locked_versions() -> None:
    """Ranges that resolve are no proof: a release of Celery once broke the provider that allowed it."""
    script = (
        "import airflow.providers.celery.executors.celery_executor_utils, psycopg, psycopg2, redis\n"
        "import airflow.providers.fab.auth_manager.fab_auth_manager\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr


# --- the reader -----------------------------------------------------------------------------------------------


def test_variables_and_durations_are_read_as_compose_does() -> None:
    variables = {"SET": "value", "EMPTY": ""}
    for text, wanted in {
        "${SET:-default} ${EMPTY:-default} ${UNSET:-default}|${UNSET:-}": "value default default|",
        "${SET:?message}": "value",
        "${UNSET:-http://localhost:${PORT:-8080}}/x": "http://localhost:8080/x",
        '"$${HOSTNAME}"': '"${HOSTNAME}"',
        "nothing": "nothing",
    }.items():
        assert interpolate(text, variables) == wanted
    for text, message in {
        "${UNSET:?run make env}": "UNSET: run make env",
        "${EMPTY:?run make env}": "EMPTY: run make env",
        **dict.fromkeys(
            ("${SET", "${SET}", "$SET", "${1:-x}", "${SET:=x}", "5 $ each"), r"Unknown use of \$"
        ),
    }.items():
        with pytest.raises(ComposeError, match=message):
            interpolate({"a": [text]}, variables)
    assert (seconds("30s"), seconds("2m")) == (30, 120)
    for text in ("", "30", "s", "30 s", "1d"):
        with pytest.raises(ComposeError, match="Unknown duration"):
            seconds(text)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables that ``make env SANDBOX=1`` writes, read from the file."""
    written = make_env.settings(sandbox=True)
    (tmp_path / ".env").write_text(make_env.render(written))
    read = read_env_file(tmp_path / ".env")
    assert read == written
    return read


def test_our_file_is_read(environment: dict[str, str]) -> None:
    services = read_services([FILE], environment, profiles=["sandbox"])
    twice = {"airflow-scheduler", "airflow-triggerer"}
    wanted = {*COMPONENTS, *ONE_SHOT, "postgres", "redis", "sandbox"}
    assert {name: item.replicas for name, item in services.items()} == {
        name: 2 if name in twice else 1 for name in wanted
    }
    worker = services["airflow-worker"]
    assert worker.command == ("celery", "worker")
    assert worker.environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert environment["REDIS_PASSWORD"] in worker.environment["AIRFLOW__CELERY__BROKER_URL"]
    assert worker.environment["AIRFLOW_CONN_AUDIENCE_S3"] == environment["AIRFLOW_CONN_AUDIENCE_S3"]
    # Handed on only if it exists.
    assert "AIRFLOW__SECRETS__BACKEND" not in worker.environment
    assert worker.stop_grace_period == 120
    assert worker.depends_on["airflow-init"] == "service_completed_successfully"
    assert worker.health is not None
    assert worker.health.test[:2] == ("/bin/sh", "-c")
    assert worker.health.test[2].endswith('-d "celery@${HOSTNAME}"')
    assert {volume.target for volume in worker.volumes} == {"/opt/airflow/include", "/opt/airflow/logs"}
    assert services["airflow-init"].environment["_AIRFLOW_DB_MIGRATE"] == "true"
    # Without its profile, and with a secret missing.
    del environment["POSTGRES_PASSWORD"]
    with pytest.raises(ComposeError, match="POSTGRES_PASSWORD: run make env"):
        read_services([FILE], environment)
    assert "sandbox" not in read_services([FILE], {**environment, "POSTGRES_PASSWORD": "x"})


def test_one_host_without_celery(environment: dict[str, str]) -> None:
    assert "COMPOSE_FILE" not in make_env.settings(sandbox=False)
    files = make_env.settings(sandbox=True, local=True)["COMPOSE_FILE"].split(":")
    services = read_services([ROOT / name for name in files], environment, profiles=["sandbox"])
    assert not services.keys() & {"redis", "airflow-worker"}
    assert {service.replicas for service in services.values()} == {1}
    components = [service for name, service in services.items() if name.startswith("airflow-")]
    assert len(components) == 5
    assert {service.environment["AIRFLOW__CORE__EXECUTOR"] for service in components} == {"LocalExecutor"}
    # The second file removes nothing.
    assert len({service.environment["AIRFLOW__CORE__FERNET_KEY"] for service in components}) == 1


def test_errors_in_a_file_are_reported(tmp_path: Path) -> None:
    for change, message in (
        ({"port": ["1"]}, "'port' was unexpected"),
        ({"cap_add": ["ALL"]}, "redis: cap_add is not known here"),
        ({"volumes": ["cache:/data"]}, "Not declared: volumes cache"),
        ({"depends_on": {"db": {"condition": "service_healthy"}}}, "redis needs db, which is not started"),
    ):
        changed = {**SERVICES, "redis": {**SERVICES["redis"], **change}}
        (tmp_path / "docker-compose.yaml").write_text(yaml.safe_dump({**COMPOSE, "services": changed}))
        with pytest.raises(ComposeError, match=message):
            read_services([tmp_path / "docker-compose.yaml"], make_env.settings(sandbox=True))
