"""deploy/kubernetes/values.yaml says the same as docker-compose.yaml, in the words of Airflow's Helm chart."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.distributed.compose import interpolate
from tests.repo.pages import ROOT

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

TEXT = (ROOT / "deploy" / "kubernetes" / "values.yaml").read_text()
VALUES = yaml.safe_load(TEXT)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
AIRFLOW = COMPOSE["x-airflow-common"]


def at(*path: str) -> Any:
    found: Any = VALUES
    for part in path:
        found = found[part]
    return found


def default_of(value: object) -> str:
    """Return the value that Compose uses if .env does not set it."""
    return str(interpolate(str(value), {}))


def test_every_setting_of_compose_has_its_equal() -> None:
    environment: dict[str, Any] = AIRFLOW["environment"]
    plain = {item["name"]: item["value"] for item in VALUES["env"]}
    assert environment.keys() >= BY_SECRET.keys() | OTHER_VALUE
    for name, value in environment.items():
        if name in BY_SECRET:
            assert at(*BY_SECRET[name]).startswith("audience-onboarding-"), name
            assert name not in yaml.safe_dump(VALUES)
        elif value is None:
            # Handed on from .env there, from the one secret here.
            assert "secretRef" in VALUES["extraEnvFrom"]
        elif name == "AIRFLOW__CORE__EXECUTOR":
            assert VALUES["executor"] == value
        elif name in plain:
            assert plain[name] == default_of(value), name
        else:
            _, section, key = name.split("__")
            there = VALUES["config"][section.lower()][key.lower()]
            assert isinstance(there, str), f"{name}: YAML would write True for true into airflow.cfg"
            assert name in OTHER_VALUE or there == default_of(value), name
    settings = {
        f"AIRFLOW__{section}__{key}".upper() for section, keys in VALUES["config"].items() for key in keys
    }
    assert settings | plain.keys() <= environment.keys()


def test_the_secret_of_variables_is_explained() -> None:
    handed_on = [name for name, value in AIRFLOW["environment"].items() if value is None]
    assert [name for name in handed_on if name not in TEXT] == []


def test_as_many_and_as_large() -> None:
    for service, path in COMPONENTS.items():
        deploy = COMPOSE["services"][service]["deploy"]
        limits = deploy["resources"]["limits"]
        here = at(*path.split("."))
        assert here["resources"]["limits"]["memory"] == f"{default_of(limits['memory'])}i", path
        assert here["resources"]["limits"]["cpu"] == default_of(limits["cpus"]), path
        assert here["replicas"] >= int(default_of(deploy.get("replicas", 1))), path
        if here["replicas"] > 1:
            assert here["podDisruptionBudget"] == {"enabled": True, "config": {"maxUnavailable": 1}}
    assert {VALUES[name]["replicas"] for name in ("scheduler", "triggerer")} == {2}


def test_the_same_image() -> None:
    assert VALUES["images"]["airflow"]["tag"] == AIRFLOW["image"].rpartition(":")[2]
    argument = rf"^ARG AIRFLOW_IMAGE=apache/airflow:slim-{re.escape(VALUES['airflowVersion'])}-"
    assert re.search(argument, (ROOT / "Dockerfile").read_text(), re.M)


def test_no_container_runs_as_root() -> None:
    pod = VALUES["securityContexts"]["pod"]
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == default_of(AIRFLOW["user"])
    assert pod["runAsNonRoot"] is True
    container = VALUES["securityContexts"]["containers"]
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}


def test_no_secret_and_no_well_known_user() -> None:
    assert not re.search(r"://[^/\s]*:[^/@\s]+@", TEXT)
    assert not re.search(r"^\s*(password|fernetKey|apiSecretKey|jwtSecret|brokerUrl|pass):", TEXT, re.M)
    assert VALUES["createUserJob"]["defaultUser"]["enabled"] is False
    assert [VALUES[name]["enabled"] for name in ("postgresql", "redis")] == [False, False]


def paths(value: Any, path: str = "") -> list[str]:
    if path in LOOKED_UP or not isinstance(value, dict):
        return [path]
    return [leaf for key, item in value.items() for leaf in paths(item, f"{path}.{key}".removeprefix("."))]


def test_only_keys_that_were_looked_up() -> None:
    assert set(paths(VALUES)) <= LOOKED_UP
