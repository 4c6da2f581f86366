"""The containers are those of docker-compose.yaml: its commands, environments and mounts have their effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local_stack import wait_for
from tests.distributed.conftest import project
from tests.distributed.containers import Container, ContainerError
from tests.distributed.topology import Topology

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(600)]


@contextmanager
def started(
    folder: Path,
    *services: str,
    change: Callable[[dict[str, Any]], object] | None = None,
    timeout: float = 120,
) -> Iterator[Topology]:
    """Start some of the services, with a change of the file."""
    file = project(folder / "project") / "docker-compose.yaml"
    parsed = yaml.safe_load(file.read_text())
    if change is not None:
        change(parsed["services"])
        file.write_text(yaml.safe_dump(parsed))
    topology = Topology(folder / "run", files=[file], only=services)
    try:
        topology.up(timeout=timeout)
        yield topology
    finally:
        topology.down()


def output(container: Container, *command: str) -> list[str]:
    """Return the words that a command prints inside."""
    done = container.run(command)
    assert done is not None
    return done.stdout.split()


def test_redis_is_up_with_its_password_and_is_started_again(tmp_path: Path) -> None:
    with started(tmp_path, "redis") as topology:
        (redis,) = topology.of("redis")
        assert output(redis, "redis-cli", "config", "get", "appendonly") == ["appendonly", "yes"]
        assert "NOAUTH" in output(redis, "env", "-u", "REDISCLI_AUTH", "redis-cli", "ping")
        assert output(redis, "redis-cli", "set", "kept", "yes") == ["OK"]

        def appended() -> bool:
            files = (tmp_path / "run" / "volumes" / "redis-data").rglob("*.incr.aof")
            return any(b"kept" in file.read_bytes() for file in files)

        # Redis writes to the disk once a second.
        wait_for(appended, "The entry on the disk", timeout=60)
        redis.kill()
        wait_for(lambda: redis.starts == 2, "The restart", timeout=60)
        wait_for(redis.is_healthy, "The health of Redis", timeout=60)
        assert output(redis, "redis-cli", "get", "kept") == ["yes"]


def test_another_command_is_noticed(tmp_path: Path) -> None:
    def on_another_port(services: dict[str, Any]) -> None:
        services["redis"]["command"] = ["redis-server", "--port", "7000"]

    with (
        pytest.raises(ContainerError, match="redis: service_healthy did not happen"),
        started(tmp_path, "redis", change=on_another_port, timeout=15),
    ):
        pass


def test_another_command_of_airflow_is_noticed(tmp_path: Path) -> None:
    def no_such(services: dict[str, Any]) -> None:
        services["airflow-init"]["command"] = "no-such-command"
        del services["airflow-init"]["environment"]["_AIRFLOW_DB_MIGRATE"]
        del services["airflow-init"]["environment"]["_AIRFLOW_WWW_USER_CREATE"]

    with (
        pytest.raises(ContainerError, match=r"(?s)airflow-init-1 does not run.*no-such-command"),
        started(tmp_path, "postgres", "airflow-init", change=no_such),
    ):
        pass


def test_a_container_sees_its_mounts_and_has_no_privileges(tmp_path: Path) -> None:
    with started(tmp_path, "sandbox") as topology:
        (sandbox,) = topology.of("sandbox")
        assert output(sandbox, "id", "-u") == ["50000"]
        assert output(sandbox, "hostname") == ["sandbox-1"]
        assert "crm" in output(sandbox, "ls", "/opt/airflow/include")
        # Read-only, as the file says.
        assert "Read-only" in output(sandbox, "touch", "/opt/airflow/include/x")
        assert "such" in output(sandbox, "ls", str(tmp_path))


def test_two_topologies_can_be_up_at_once(tmp_path: Path) -> None:
    with started(tmp_path / "one", "redis") as one, started(tmp_path / "other", "redis") as other:
        assert one.address("redis") != other.address("redis")
        for topology in (one, other):
            assert output(topology.of("redis")[0], "redis-cli", "ping") == ["PONG"]
