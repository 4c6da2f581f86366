"""How the distributed tests read Compose files; what they say is what the Compose Specification says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import make_env
from tests.distributed.compose import ComposeError, interpolate, read_env_file, read_services, seconds

VARIABLES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$SET and ${SET}", "value and value"),
        ("${UNSET}$UNSET", ""),
        ("${SET:-default} ${EMPTY:-default} ${UNSET:-default}", "value default default"),
        ("${EMPTY-default}|${UNSET-default}", "|default"),
        ("${SET:+instead} ${EMPTY:+instead}|${EMPTY+instead}|${UNSET+instead}", "instead |instead|"),
        ("${SET:?message}", "value"),
        ("${EMPTY?message}", ""),
        ("${UNSET:-http://localhost:${PORT:-8080}}/x", "http://localhost:8080/x"),
        ('"$${HOSTNAME}"', '"${HOSTNAME}"'),
        ("nothing", "nothing"),
    ],
)
def test_interpolation(text: str, wanted: str) -> None:
    assert interpolate(text, VARIABLES) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${UNSET:?run make env}", "UNSET: run make env"),
        ("${EMPTY:?run make env}", "EMPTY: run make env"),
        ("${SET", "No closing brace"),
        ("${1}", "No name"),
        ("${SET:=x}", "Unknown operator"),
        ("5 $ each", "A single [$]"),
    ],
)
def test_interpolation_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ComposeError, match=message):
        interpolate(text, VARIABLES)


@pytest.mark.parametrize(
    ("text", "wanted"), [("30s", 30), ("2m", 120), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600)]
)
def test_durations(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "30", "s", "30 s", "1d"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ComposeError, match="Not a duration"):
        seconds(text)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What ``make env SANDBOX=1`` writes, read again."""
    file = tmp_path / ".env"
    written = make_env.settings(sandbox=True)
    file.write_text(make_env.render(written))
    read = read_env_file(file)
    assert read == written
    return read


def changed(root: Path, folder: Path, change: Any) -> Path:
    """A copy of docker-compose.yaml with a change."""
    parsed = yaml.safe_load((root / "docker-compose.yaml").read_text())
    change(parsed["services"])
    file = folder / "docker-compose.yaml"
    file.write_text(yaml.safe_dump(parsed))
    return file


def test_our_file(root: Path, environment: dict[str, str]) -> None:
    services = read_services([root / "docker-compose.yaml"], environment, profiles=["sandbox"])
    assert {name: service.replicas for name, service in services.items()} == {
        "postgres": 1,
        "redis": 1,
        "airflow-init": 1,
        "airflow-apiserver": 1,
        "airflow-scheduler": 2,
        "airflow-dag-processor": 1,
        "airflow-worker": 1,
        "airflow-triggerer": 2,
        "sandbox": 1,
    }
    worker = services["airflow-worker"]
    assert worker.command == ("celery", "worker")
    assert worker.environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert environment["REDIS_PASSWORD"] in worker.environment["AIRFLOW__CELERY__BROKER_URL"]
    assert worker.environment["AIRFLOW_CONN_AUDIENCE_S3"] == environment["AIRFLOW_CONN_AUDIENCE_S3"]
    # Handed on only if it is there.
    assert "AIRFLOW__SECRETS__BACKEND" not in worker.environment
    assert worker.stop_grace_period == 120
    assert worker.depends_on["airflow-init"].condition == "service_completed_successfully"
    assert worker.health is not None
    assert worker.health.test[:2] == ("/bin/sh", "-c")
    assert worker.health.test[2].endswith('-d "celery@${HOSTNAME}"')
    assert {volume.target for volume in worker.volumes} == {"/opt/airflow/include", "/opt/airflow/logs"}
    assert services["airflow-init"].environment["_AIRFLOW_DB_MIGRATE"] == "true"


def test_profiles(root: Path, environment: dict[str, str]) -> None:
    assert "sandbox" not in read_services([root / "docker-compose.yaml"], environment)


def test_one_host_without_celery(root: Path, environment: dict[str, str]) -> None:
    files = make_env.settings(sandbox=True, local=True)["COMPOSE_FILE"].split(":")
    services = read_services([root / name for name in files], environment, profiles=["sandbox"])
    assert not services.keys() & {"redis", "airflow-worker"}
    assert {service.replicas for service in services.values()} == {1}
    components = [service for name, service in services.items() if name.startswith("airflow-")]
    assert len(components) == 5
    assert {service.environment["AIRFLOW__CORE__EXECUTOR"] for service in components} == {"LocalExecutor"}
    # What is merged in takes nothing away.
    assert len({service.environment["AIRFLOW__CORE__FERNET_KEY"] for service in components}) == 1


def test_a_missing_secret_is_said(root: Path, environment: dict[str, str]) -> None:
    del environment["POSTGRES_PASSWORD"]
    with pytest.raises(ComposeError, match="POSTGRES_PASSWORD: run make env"):
        read_services([root / "docker-compose.yaml"], environment)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda services: services["redis"].update(port=["1"]), "'port' was unexpected"),
        (lambda services: services["redis"].update(cap_add=["ALL"]), "redis: cap_add is not known here"),
        (lambda services: services["redis"].update(volumes=["cache:/data"]), "'cache' is not declared"),
        (lambda services: services.pop("postgres"), "needs postgres, which is not started"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    root: Path, tmp_path: Path, environment: dict[str, str], change: Any, message: str
) -> None:
    with pytest.raises(ComposeError, match=message):
        read_services([changed(root, tmp_path, change)], environment)
