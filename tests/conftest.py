"""No test sees the developer's own Airflow; the end-to-end tests start one of their own, for all processes (``-n``)."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

import tests.profiles  # noqa: F401 - loads the profile of Hypothesis

# Before anything imports Airflow: it reads these once.
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "AUDIENCE_ONBOARDING_"))]:
    del os.environ[_name]
_home = tempfile.mkdtemp(prefix="audience-onboarding-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ.update(
    {
        "AIRFLOW_HOME": _home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Airflow writes its log files where it likes to, and the tests like to read the log.
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{_home}/logs",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests that is long enough for every algorithm there is",
    }
)
# The tests talk to servers of their own on the loopback interface, whatever proxy this machine uses.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = "127.0.0.1,localhost"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Of ``-n auto``, half as many again as there are cores: many tests wait for servers. What a person says counts."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (os.cpu_count() or 1) * 3 // 2


_for_all = ExitStack()
_not_started = [True]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """In the process that hands out the tests: start the Airflow of the end-to-end tests once, if there are any."""
    # The page by itself asks no Airflow.
    asking = (node_id for node_id in ids if not node_id.startswith("tests/browser/page/"))
    folders = {node_id.split("/")[1] for node_id in asking} & {"e2e", "browser"}
    if _not_started and folders:
        # The other tests need none of its imports.
        from tests.e2e.shared import start_for_all

        _not_started.clear()
        # Else xdist puts the largest group first, and the tests that look back on all others somewhere in between.
        node.config.option.loadscopereorder = False
        _for_all.enter_context(start_for_all(node.workerinput["testrunuid"], folders))


def pytest_collection_finish() -> None:
    """Thousands of tests and all of Airflow: what is there now stays, and is not looked through again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """``make test ARGS="-k ..."`` runs pytest twice, and one of the two may hold nothing that fits."""
    _for_all.close()
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.keyword:
        session.exitstatus = pytest.ExitCode.OK
