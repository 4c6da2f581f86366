"""docker-compose.yaml, as far as it can be judged without Docker."""

from __future__ import annotations

import importlib.resources
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sandbox.cli import build_parser
from scripts import make_env

VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_a-z0-9]+)(?:(:?[-?+])((?:[^{}]|\$\{[^{}]*\})*))?\}")
SHARED = (
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API_AUTH__JWT_ISSUER",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES",
)
COMPONENTS = {
    "airflow-apiserver",
    "airflow-dag-processor",
    "airflow-scheduler",
    "airflow-triggerer",
    "airflow-worker",
}
ONE_SHOT = {"airflow-init"}


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docker-compose.yaml").read_text()


@pytest.fixture(scope="module")
def compose(text: str) -> dict[str, Any]:
    parsed = yaml.safe_load(text)
    assert isinstance(parsed, dict)
    return parsed


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    parsed = compose["services"]
    assert isinstance(parsed, dict)
    return parsed


def test_valid_by_the_compose_specification(compose: dict[str, Any]) -> None:
    # The schema of the specification, in the version that check-jsonschema ships.
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)] == []
    broken = {**compose, "services": {**compose["services"], "x": {"image": "x:1", "port": ["1:1"]}}}
    assert not validator.is_valid(broken)


def test_services(services: dict[str, dict[str, Any]]) -> None:
    assert services.keys() == COMPONENTS | ONE_SHOT | {"postgres", "redis", "sandbox"}
    assert [name for name, service in services.items() if "profiles" in service] == ["sandbox"]
    assert services["sandbox"]["profiles"] == ["sandbox"]


def test_images_are_pinned_by_tag(services: dict[str, dict[str, Any]], root: Path) -> None:
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^ARG AIRFLOW_IMAGE=(.+)$", (root / "Dockerfile").read_text(), re.M)
    assert len(images) == len(services) + 1
    for image in images:
        name, _, tag = image.rpartition(":")
        assert name, image
        assert re.match(r"(slim-)?\d", tag), image


def test_published_ports_are_for_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


def test_long_running_services_are_watched_and_restarted(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            assert "healthcheck" not in service
        else:
            assert service["restart"] == "always", name
            assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys(), name


def test_health_checks_fit_the_component(services: dict[str, dict[str, Any]]) -> None:
    def command(name: str) -> str:
        return " ".join(services[name]["healthcheck"]["test"])

    assert "/api/v2/monitor/health" in command("airflow-apiserver")
    assert ":8974/health" in command("airflow-scheduler")
    assert services["airflow-scheduler"]["environment"]["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "true"
    assert "DagProcessorJob" in command("airflow-dag-processor")
    assert "TriggererJob" in command("airflow-triggerer")
    assert "celery_executor.app inspect ping" in command("airflow-worker")


@pytest.mark.parametrize("name", SHARED)
def test_components_share_their_secrets(services: dict[str, dict[str, Any]], name: str) -> None:
    values = {services[service]["environment"][name] for service in COMPONENTS | ONE_SHOT}
    assert len(values) == 1


def test_components_run_after_the_migration(services: dict[str, dict[str, Any]]) -> None:
    for name in COMPONENTS:
        assert services[name]["depends_on"]["airflow-init"]["condition"] == "service_completed_successfully"
        assert services[name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["airflow-init"]["environment"]["_AIRFLOW_DB_MIGRATE"] == "true"


def test_nothing_runs_as_root(services: dict[str, dict[str, Any]]) -> None:
    ours = COMPONENTS | ONE_SHOT | {"sandbox"}
    assert {services[name]["user"] for name in ours} == {"${AIRFLOW_UID:-50000}:0"}
    assert not [name for name, service in services.items() if service.get("privileged")]


def test_mounted_folders_are_read_only(services: dict[str, dict[str, Any]]) -> None:
    volumes = [volume for service in services.values() for volume in service.get("volumes", [])]
    mounted = {volume for volume in volumes if volume.startswith(".")}
    assert {volume.split(":")[0] for volume in mounted} == {"./include"}
    assert [volume for volume in mounted if not volume.endswith(":ro")] == []


def test_named_volumes_are_declared(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    volumes = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert {volume for volume in volumes if not volume.startswith((".", "/"))} == compose["volumes"].keys()


def leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, path)]
    return [(path, str(value))]


def test_no_secret_is_written_down(compose: dict[str, Any], root: Path) -> None:
    secret = re.compile(r"(password|passwd|secret|fernet|token|private)(?!s?_?names)", re.IGNORECASE)
    for path, value in leaves(compose):
        # Without a value: handed on from .env.
        if secret.search(path.rsplit(".", 1)[-1]) and value != "None":
            assert re.fullmatch(r"\$\{\w+:\?run make env\}", value), path
        if secret.search(value) and "=" in value:
            assert VARIABLE.search(value), path
        # user:password@host, with a password that is not a variable
        assert not re.search(r"://[^/$]*:[^$/@][^/@]*@", value), path
    for line in (root / ".env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        if not line.startswith("#") and secret.search(name):
            assert value == "''" or name == "SANDBOX_PASSWORD", name


def test_every_variable_is_written_by_make_env_or_has_a_default(text: str, root: Path) -> None:
    written = make_env.settings(sandbox=True).keys()
    used = VARIABLE.findall(
        "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    )
    assert {name for name, _, _ in used} >= {"AIRFLOW_JWT_SECRET", "POSTGRES_PASSWORD", "AIRFLOW_PORT"}
    for name, operator, _ in used:
        if operator != ":-":
            assert name in written, name
            assert operator == ":?", name
    # Handed on as they are: optional connections, and a secrets backend of one's own.
    environment = yaml.safe_load(text)["x-airflow-common"]["environment"]
    handed_on = {name for name, value in environment.items() if value is None}
    backend = {name for name in handed_on if name.startswith("AIRFLOW__SECRETS__")}
    assert backend
    assert handed_on - backend <= written
    for name in backend:
        assert re.search(rf"^#{name}=", (root / ".env.example").read_text(), re.M), name


def test_nothing_is_written_by_make_env_in_vain(text: str) -> None:
    for name in make_env.settings(sandbox=True, local=True):
        # Two that Compose reads itself.
        assert name in {"COMPOSE_PROFILES", "COMPOSE_FILE"} or re.search(rf"\b{name}\b", text), name


def test_the_files_of_one_host_are_there(root: Path) -> None:
    named = make_env.settings(sandbox=False, local=True)["COMPOSE_FILE"].split(":")
    assert [name for name in named if not (root / name).is_file()] == []
    assert "COMPOSE_FILE" not in make_env.settings(sandbox=False)


def test_sandbox_is_where_the_connections_point(services: dict[str, dict[str, Any]]) -> None:
    given, unknown = build_parser().parse_known_args(services["sandbox"]["command"])
    assert unknown == []
    connections = make_env.sandbox_connections("chosen")
    api = json.loads(connections["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"])
    s3 = json.loads(connections["AIRFLOW_CONN_AUDIENCE_S3"])
    assert api["host"] == f"http://{given.advertise_host}:{given.port}"
    assert api["login"] == given.username
    assert given.password == given.aws_secret_access_key == "${SANDBOX_PASSWORD:?run make env}"
    assert s3["extra"]["endpoint_url"] == f"http://sandbox:{given.s3_port}"
    assert s3["extra"]["service_config"]["s3"]["bucket_name"] == given.bucket
    fanfare = json.loads(connections["AIRFLOW_CONN_FANFARE_DEFAULT"])
    commbox = json.loads(connections["AIRFLOW_CONN_COMMBOX_DEFAULT"])
    assert (fanfare["host"], commbox["host"]) == (f"{api['host']}/fanfare/api", f"{api['host']}/commbox")
    keys = (given.fanfare_secret_key, given.commbox_api_key)
    assert [key.replace(given.password, "chosen") for key in keys] == [
        fanfare["password"],
        commbox["password"],
    ]
    published = {port.rsplit(":", 1)[1] for port in services["sandbox"]["ports"]}
    assert published == {str(given.port), str(given.s3_port)}


def test_sandbox_defaults_that_the_connection_relies_on() -> None:
    from sandbox.settings import SandboxSettings

    s3 = json.loads(make_env.sandbox_connections("x")["AIRFLOW_CONN_AUDIENCE_S3"])
    assert s3["login"] == SandboxSettings().aws_access_key_id
    assert s3["extra"]["region_name"] == SandboxSettings().region


def test_dockerfile_copies_only_what_the_build_context_has(root: Path) -> None:
    kept = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", (root / "Dockerfile").read_text(), re.M)
        for word in line.split()
    }
    assert copied == kept
    assert [name for name in copied if not (root / name).exists()] == []


def test_image_installs_the_locked_versions(root: Path, pyproject: dict[str, Any]) -> None:
    commands = [
        line
        for line in (root / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
        if "pip install" in line
    ]
    assert commands
    assert [line for line in commands if "--constraint /opt/airflow/requirements.lock" not in line] == []
    extras = {name for line in commands for name in re.findall(r"\[([a-z]+)\]", line)}
    assert extras == {"distributed", "sandbox"}
    assert extras <= pyproject["project"]["optional-dependencies"].keys()


def test_the_lock_fits_what_the_components_import() -> None:
    # Ranges that resolve are no proof: a release of Celery once broke the provider that allowed it.
    modules = (
        "airflow.providers.celery.executors.celery_executor_utils",
        "airflow.providers.fab.auth_manager.fab_auth_manager",
        "psycopg",
        "psycopg2",
        "redis",
    )
    script = "\n".join(f"import {name}" for name in modules)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
