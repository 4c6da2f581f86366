"""No test sees the developer's own Airflow; the end-to-end tests start one of their own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

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


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """``make test ARGS="-k ..."`` runs pytest twice, and one of the two may hold nothing that fits."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.keyword:
        session.exitstatus = pytest.ExitCode.OK
