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
    """Fail, instead of skip, on a machine on which the tests cannot run."""
    missing = missing_programs()
    assert not missing, f"Needs bubblewrap, iproute2, util-linux and curl; missing: {', '.join(missing)}"
    assert os.geteuid() == 0, "Network namespaces need root: run this in a virtual machine or a container"


def project(folder: Path) -> Path:
    """Make a folder with the Compose file and the folder that it mounts, as a user has it."""
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
