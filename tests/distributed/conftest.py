"""The topology of docker-compose.yaml, started once for all tests of a module."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local_stack import PROJECT
from tests.distributed.burst import Burst, write_definitions
from tests.distributed.containers import missing_programs
from tests.distributed.topology import Topology

QUICK = Path(__file__).parent / "quick.yaml"


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    """What the tests need of the machine; a test that cannot run has failed."""
    missing = missing_programs()
    assert not missing, f"Needs bubblewrap, iproute2, util-linux and curl; there is no {', '.join(missing)}"
    assert os.geteuid() == 0, "Network namespaces need root: run this in a virtual machine or a container"


def project(folder: Path) -> Path:
    """A folder with the Compose file and what it mounts, as somebody has it who uses the package."""
    folder.mkdir(parents=True)
    shutil.copy2(PROJECT / "docker-compose.yaml", folder)
    shutil.copytree(PROJECT / "include", folder / "include", ignore=shutil.ignore_patterns("*.yaml"))
    return folder


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Burst:
    """Audiences that are all due at once, written but not started."""
    folder = project(tmp_path_factory.mktemp("distributed") / "project")
    return write_definitions(folder, int(os.environ.get("BURST") or 16))


@pytest.fixture(scope="module")
def topology(burst: Burst, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    """All services, two workers among them."""
    running = Topology(
        tmp_path_factory.mktemp("topology"),
        files=(burst.folder / "docker-compose.yaml", QUICK),
        variables={"AIRFLOW_WORKER_CONCURRENCY": "4"},
        scale={"airflow-worker": 2},
    )
    try:
        running.up()
        yield running
    finally:
        logs = PROJECT / "build" / "distributed-logs"
        shutil.rmtree(logs, ignore_errors=True)
        running.down()
        shutil.copytree(running.folder, logs, ignore=shutil.ignore_patterns("volumes", ".env"))
