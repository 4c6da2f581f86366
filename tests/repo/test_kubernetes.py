"""deploy/kubernetes/values.yaml says the same as docker-compose.yaml, in the words of Airflow's Helm chart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.distributed.compose import interpolate

BY_SECRET = {
    "AIRFLOW__CORE__FERNET_KEY": ("fernetKeySecretName",),
    "AIRFLOW__API__SECRET_KEY": ("apiSecretKeySecretName",),
    "AIRFLOW__API_AUTH__JWT_SECRET": ("jwtSecretName",),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": ("data", "metadataSecretName"),
    "AIRFLOW__CELERY__RESULT_BACKEND": ("data", "resultBackendSecretName"),
    "AIRFLOW__CELERY__BROKER_URL": ("data", "brokerUrlSecretName"),
}
# Addresses and places, which differ in a cluster.
OTHER_VALUE = {
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__LOGGING__REMOTE_LOGGING",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER",
}
COMPONENTS = {
    "airflow-apiserver": "apiServer",
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dagProcessor",
    "airflow-triggerer": "triggerer",
    "airflow-worker": "workers.celery",
}
# Keys of the chart 1.22.0 that were looked up (parameter reference, templates, release notes). A key that is not among
# them may not exist, and Helm would not say so: look it up, then add it.
LOOKED_UP = {
    "airflowVersion", "allowPodLaunching", "apiSecretKeySecretName", "config", "createUserJob.defaultUser.enabled",
    "dags.gitSync.enabled", "dags.persistence.enabled", "data.brokerUrlSecretName", "data.metadataSecretName",
    "data.resultBackendSecretName", "env", "executor", "extraEnvFrom", "fernetKeySecretName", "flower.enabled",
    "images.airflow.pullPolicy", "images.airflow.repository", "images.airflow.tag", "ingress.apiServer.enabled",
    "jwtSecretName", "logs.persistence.enabled", "pgbouncer.enabled", "postgresql.enabled", "redis.enabled",
    "securityContexts.containers", "securityContexts.pod", "statsd.enabled", "triggerer.keda.enabled",
    "triggerer.persistence.enabled", "triggerer.persistence.size", "workers.celery.keda.enabled",
    "workers.celery.persistence.enabled", "workers.celery.persistence.size",
    "workers.celery.terminationGracePeriodSeconds",
    *(f"{name}.replicas" for name in COMPONENTS.values()),
    *(f"{name}.resources" for name in COMPONENTS.values()),
    *(f"{name}.podDisruptionBudget.{key}" for name in COMPONENTS.values() for key in ("enabled", "config")),
}  # fmt: skip


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "deploy" / "kubernetes" / "values.yaml").read_text()


@pytest.fixture(scope="module")
def values(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text))


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "docker-compose.yaml").read_text()))


def at(values: dict[str, Any], *path: str) -> Any:
    found: Any = values
    for part in path:
        found = found[part]
    return found


def default_of(value: object) -> str:
    """Return the value that Compose uses if .env does not set it."""
    return str(interpolate(str(value), {}))


def test_every_setting_of_compose_has_its_equal(values: dict[str, Any], compose: dict[str, Any]) -> None:
    environment: dict[str, Any] = compose["x-airflow-common"]["environment"]
    plain = {item["name"]: item["value"] for item in values["env"]}
    assert environment.keys() >= BY_SECRET.keys() | OTHER_VALUE
    for name, value in environment.items():
        if name in BY_SECRET:
            assert at(values, *BY_SECRET[name]).startswith("audience-onboarding-"), name
            assert name not in yaml.safe_dump(values)
        elif value is None:
            # Handed on from .env there, from the one secret here.
            assert "secretRef" in values["extraEnvFrom"]
        elif name == "AIRFLOW__CORE__EXECUTOR":
            assert values["executor"] == value
        elif name in plain:
            assert plain[name] == default_of(value), name
        else:
            _, section, key = name.split("__")
            there = values["config"][section.lower()][key.lower()]
            assert isinstance(there, str), f"{name}: YAML would write True for true into airflow.cfg"
            assert name in OTHER_VALUE or there == default_of(value), name
    settings = {
        f"AIRFLOW__{section}__{key}".upper() for section, keys in values["config"].items() for key in keys
    }
    assert settings | plain.keys() <= environment.keys()


def test_the_secret_of_variables_is_explained(text: str, compose: dict[str, Any]) -> None:
    handed_on = [name for name, value in compose["x-airflow-common"]["environment"].items() if value is None]
    assert [name for name in handed_on if name not in text] == []


def test_as_many_and_as_large(values: dict[str, Any], compose: dict[str, Any]) -> None:
    for service, path in COMPONENTS.items():
        deploy = compose["services"][service]["deploy"]
        limits = deploy["resources"]["limits"]
        here = at(values, *path.split("."))
        assert here["resources"]["limits"]["memory"] == f"{default_of(limits['memory'])}i", path
        assert here["resources"]["limits"]["cpu"] == default_of(limits["cpus"]), path
        assert here["replicas"] >= int(default_of(deploy.get("replicas", 1))), path
        if here["replicas"] > 1:
            assert here["podDisruptionBudget"] == {"enabled": True, "config": {"maxUnavailable": 1}}
    assert {values[name]["replicas"] for name in ("scheduler", "triggerer")} == {2}


def test_the_same_image(values: dict[str, Any], compose: dict[str, Any], root: Path) -> None:
    assert values["images"]["airflow"]["tag"] == compose["x-airflow-common"]["image"].rpartition(":")[2]
    argument = rf"^ARG AIRFLOW_IMAGE=apache/airflow:slim-{re.escape(values['airflowVersion'])}-"
    assert re.search(argument, (root / "Dockerfile").read_text(), re.M)


def test_no_container_runs_as_root(values: dict[str, Any], compose: dict[str, Any]) -> None:
    pod = values["securityContexts"]["pod"]
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == default_of(compose["x-airflow-common"]["user"])
    assert pod["runAsNonRoot"] is True
    container = values["securityContexts"]["containers"]
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}


def test_no_secret_and_no_well_known_user(values: dict[str, Any], text: str) -> None:
    assert not re.search(r"://[^/\s]*:[^/@\s]+@", text)
    assert not re.search(r"^\s*(password|fernetKey|apiSecretKey|jwtSecret|brokerUrl|pass):", text, re.M)
    assert values["createUserJob"]["defaultUser"]["enabled"] is False
    assert [values[name]["enabled"] for name in ("postgresql", "redis")] == [False, False]


def paths(value: Any, path: str = "") -> list[str]:
    if path in LOOKED_UP or not isinstance(value, dict):
        return [path]
    return [leaf for key, item in value.items() for leaf in paths(item, f"{path}.{key}".removeprefix("."))]


def test_only_keys_that_were_looked_up(values: dict[str, Any]) -> None:
    assert set(paths(values)) <= LOOKED_UP
