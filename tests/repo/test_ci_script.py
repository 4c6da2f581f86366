"""``.ci/run`` with the real Makefile; a stub stands in for the Python of ``.venv``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.local_stack import wait_for
from tests.repo.pages import ROOT

CLOSING_LINE = "============ 1 passed in 0.01s ============"
PASSED = '<testcase classname="t" name="passed"/>'
SKIPPED = '<testcase classname="t" name="NAME"><skipped type="pytest.skip" message="no time"/></testcase>'
XFAILED = '<testcase classname="t" name="known"><skipped type="pytest.xfail" message="bug"/></testcase>'
STUB = f"""\
#!/bin/sh
mkdir -p build
echo "$*" >>calls
for word; do
    case $word in
    --junitxml=*)
        report=${{word#*=}}
        [ "$report" != "$EMPTY" ] || : >cases.xml
        echo "<testsuites><testsuite>$(cat cases.xml)</testsuite></testsuites>" |
            sed "s/NAME/$(basename "$report")/" >"$report" ;;
    *demo*)
        [ -z "$RESULT" ] || echo "$RESULT" >build/demo.json
        [ -z "$LEAVE" ] || {{ setsid sleep 300 & echo $! >pid; }} ;;
    esac
done
echo "{CLOSING_LINE}"
case "$*" in "${{FAIL:-nothing}}"*) exit 1 ;; esac
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its name, with the script and all that ``make`` looks at."""
    folder = tmp_path_factory.mktemp("ci") / "a check out"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in (".ci/run", "Makefile", "pyproject.toml", "requirements.lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").write_text(STUB)
    (folder / ".venv" / "bin" / "python").chmod(0o755)
    (folder / ".venv" / ".ready").touch()
    os.utime(folder / ".venv" / ".ready", (2**31 - 1, 2**31 - 1))
    return folder


def run(
    checkout: Path, *, cases: str = PASSED, result: str = '{"rows": 2, "rates": {"x": 0.5}}', **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the script, which installs nothing.

    :param cases: of each report of pytest.
    :param result: of the demo; empty for none.
    """
    shutil.rmtree(checkout / "build", ignore_errors=True)
    (checkout / "calls").unlink(missing_ok=True)
    (checkout / "cases.xml").write_text(cases)
    # Output to a file: a process left behind would keep a pipe open.
    with (checkout / "out").open("w") as out:
        done = subprocess.run(
            [str(checkout / ".ci" / "run")],
            cwd=checkout.parent,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
                "CI_SKIP_INSTALL": "1",
                "RESULT": result,
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
    done.stdout = (checkout / "out").read_text()
    return done


@pytest.fixture(scope="module")
def calls(checkout: Path) -> list[str]:
    """The programs that a run without failure starts, in their order."""
    done = run(checkout, cases=PASSED + XFAILED)
    assert done.returncode == 0, done.stdout
    assert "all passed in " in done.stdout
    assert " s  make test\n" in done.stdout
    return (checkout / "calls").read_text().splitlines()


@pytest.fixture(scope="module")
def reports(calls: list[str]) -> list[str]:
    found = list(dict.fromkeys(re.findall(r"--junitxml=(\S+)", "\n".join(calls))))
    assert found
    return found


def test_each_program_that_fails_fails_the_run(checkout: Path, calls: list[str]) -> None:
    for part in ("ruff check", "mypy", "mkdocs", "demo", "tests/unit", "tests/e2e", "tests/browser"):
        assert any(part in call for call in calls), part
    assert [call for call in dict.fromkeys(calls) if run(checkout, FAIL=call).returncode == 0] == []


def test_skipped_test_fails_the_run(checkout: Path, reports: list[str]) -> None:
    done = run(checkout, cases=PASSED + SKIPPED)

    assert done.returncode != 0
    assert f"{len(reports)} tests were skipped:\n" in done.stdout
    assert [name for name in reports if f"t.{Path(name).name}: no time" not in done.stdout] == []


def test_report_without_a_test_fails_the_run(checkout: Path, reports: list[str]) -> None:
    done = run(checkout, EMPTY=reports[-1])

    assert done.returncode != 0
    assert f"No test was run: {reports[-1]}" in done.stdout


def test_incomplete_demo_fails_the_run(checkout: Path) -> None:
    for result, message in {
        '{"a": 1, "b": {"c": [1, null]}}': "The demo left something out: demo.json: b: c[1]",
        '{"segment_id": null}': "The demo left something out: demo.json: segment_id",
        "{}": "The demo left something out: everything",
        "": "demo.json",
    }.items():
        done = run(checkout, result=result)
        assert done.returncode != 0, result
        assert message in done.stdout


def test_process_left_behind_is_ended_and_fails_the_run(checkout: Path) -> None:
    done = run(checkout, LEAVE="1")

    assert done.returncode != 0, done.stdout
    assert "processes left behind" in done.stdout
    assert "sleep 300" in done.stdout
    command = Path("/proc", (checkout / "pid").read_text().strip(), "cmdline")
    # Empty while no parent has read the exit code.
    wait_for(lambda: not command.exists() or not command.read_bytes(), "The end of the process", timeout=30)
