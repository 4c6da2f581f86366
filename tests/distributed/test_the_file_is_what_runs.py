"""What is started is what docker-compose.yaml says: with another command, environment or mount it is something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local_stack import wait_for
from tests.distributed.conftest import project
from tests.distributed.containers import ContainerError
from tests.distributed.topology import Topology

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(300)]


@contextmanager
def started(
    folder: Path,
    *services: str,
    change: Callable[[dict[str, Any]], object] | None = None,
    timeout: float = 120,
) -> Iterator[Topology]:
    """Some of the services, with a change of the file."""
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


def test_redis_is_up_with_its_password(tmp_path: Path) -> None:
    with started(tmp_path, "redis") as topology:
        (redis,) = topology.of("redis")
        done = redis.run(["redis-cli", "config", "get", "appendonly"])
        assert done is not None
        assert done.stdout.split() == ["appendonly", "yes"]
        refused = redis.run(["env", "-u", "REDISCLI_AUTH", "redis-cli", "ping"])
        assert refused is not None
        assert "NOAUTH" in refused.stdout


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


def test_a_container_sees_what_is_mounted_and_is_nobody_special(tmp_path: Path) -> None:
    with started(tmp_path, "sandbox") as topology:
        (sandbox,) = topology.of("sandbox")

        def output(*command: str) -> str:
            done = sandbox.run(command)
            assert done is not None
            return done.stdout.strip()

        assert output("id", "-u") == "50000"
        assert output("hostname") == "sandbox-1"
        assert "crm" in output("ls", "/opt/airflow/include").split()
        # Read-only, as the file says.
        assert "Read-only" in output("touch", "/opt/airflow/include/x")
        assert "No such file" in output("ls", str(tmp_path))


def test_two_can_be_up_at_once(tmp_path: Path) -> None:
    with started(tmp_path / "one", "redis") as one, started(tmp_path / "other", "redis") as other:
        assert one.address("redis") != other.address("redis")
        for topology in (one, other):
            done = topology.of("redis")[0].run(["redis-cli", "ping"])
            assert done is not None
            assert done.stdout.split() == ["PONG"]


def appended(folder: Path) -> bytes:
    """What Redis has on the disk of the last seconds."""
    files = (folder / "run" / "volumes" / "redis-data").rglob("*.incr.aof")
    return b"".join(file.read_bytes() for file in files)


def test_one_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with started(tmp_path, "redis") as topology:
        (redis,) = topology.of("redis")
        assert redis.run(["redis-cli", "set", "kept", "yes"]) is not None
        # Once a second what is new goes to the disk.
        wait_for(lambda: b"kept" in appended(tmp_path), "The entry on the disk", timeout=30)
        redis.kill()
        wait_for(lambda: redis.starts == 2, "The restart", timeout=30)
        topology.wait_until_healthy("redis", timeout=60)
        kept = redis.run(["redis-cli", "get", "kept"])
        assert kept is not None
        assert kept.stdout.strip() == "yes"
