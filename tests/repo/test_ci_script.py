""".ci/run against a stand-in for the Makefile: what it lets through, and what it does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

CLOSING_LINE = "============ 1 passed in 0.01s ============"
PASSED = '<testcase classname="t" name="passed"/>'
SKIPPED = '<testcase classname="t" name="left_out"><skipped type="pytest.skip" message="no time"/></testcase>'
EXPECTED_FAILURE = (
    '<testcase classname="t" name="known"><skipped type="pytest.xfail" message="bug"/></testcase>'
)
MAKEFILE = """\
lint:
	@{lint}
docs:
	@{docs}
demo:
	@mkdir -p build; cp demo.json build/demo.json; {demo}
test:
	@cp report-0.xml build/test-report.xml; cp report-1.xml build/e2e-report.xml; echo "{closing_line}"; {test}
test-more:
	@cp report-2.xml build/more-report.xml; echo "{closing_line}"; {more}
test-browser:
	@cp report-3.xml build/browser-report.xml; echo "{closing_line}"; {browser}
test-distributed:
	@cp report-4.xml build/distributed-report.xml; echo "{closing_line}"; {distributed}
"""
REPORTS = 5


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A folder with the script, and a space in its name."""
    folder = tmp_path / "a check out"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy2(root / ".ci" / "run", folder / ".ci" / "run")
    return folder


def run(
    checkout: Path,
    *,
    cases: str = PASSED,
    result: str = '{"rows_sent": 2, "match_rates": {"DV360": 0.5}}',
    lint: str = "true",
    docs: str = "true",
    demo: str = "true",
    test: str = "true",
    more: str = "true",
    browser: str = "true",
    distributed: str = "true",
    report: int = 0,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    text = MAKEFILE.format(
        lint=lint,
        docs=docs,
        demo=demo,
        test=test,
        more=more,
        browser=browser,
        distributed=distributed,
        closing_line=CLOSING_LINE,
    )
    (checkout / "Makefile").write_text(text)
    (checkout / "demo.json").write_text(result)
    for number in range(REPORTS):
        content = cases if number == report else PASSED
        text = f"<testsuites><testsuite>{content}</testsuite></testsuites>"
        (checkout / f"report-{number}.xml").write_text(text)
    # Output to files: a process left behind would keep a pipe open.
    with (checkout / "out").open("w") as out:
        done = subprocess.run(
            [str(checkout / ".ci" / "run")],
            cwd=checkout.parent,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
                # Nothing is to be installed here, whatever this machine has.
                "CI_SKIP_INSTALL": "1",
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )
    done.stdout = (checkout / "out").read_text()
    return done


@pytest.mark.parametrize("cases", [PASSED, PASSED + EXPECTED_FAILURE])
def test_success_closes_with_the_line_of_pytest(checkout: Path, cases: str) -> None:
    done = run(checkout, cases=cases)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == CLOSING_LINE


@pytest.mark.parametrize("report", range(REPORTS))
def test_skipped_test_fails_the_run(checkout: Path, report: int) -> None:
    done = run(checkout, cases=PASSED + SKIPPED, report=report)
    assert done.returncode != 0
    assert "1 tests were skipped:\nt.left_out: no time" in done.stdout


@pytest.mark.parametrize("report", range(REPORTS))
def test_no_test_fails_the_run(checkout: Path, report: int) -> None:
    done = run(checkout, cases="", report=report)
    assert done.returncode != 0
    assert "No test was run: build/" in done.stdout


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ('{"a": 1, "b": {"c": [1, null]}}', "demo.json: b: c[1]"),
        ('{"segment_id": null}', "demo.json: segment_id"),
        ("{}", "everything"),
    ],
)
def test_incomplete_demo_fails_the_run(checkout: Path, result: str, message: str) -> None:
    done = run(checkout, result=result)
    assert done.returncode != 0
    assert f"The demo left something out: {message}" in done.stdout


def test_demo_without_a_result_fails_the_run(checkout: Path) -> None:
    assert run(checkout, demo="rm build/demo.json").returncode != 0


@pytest.mark.parametrize("target", ["lint", "docs", "demo", "test", "more", "browser", "distributed"])
def test_failing_target_fails_the_run(checkout: Path, target: str) -> None:
    settings: dict[str, Any] = {target: "exit 1"}
    assert run(checkout, **settings).returncode != 0


def test_a_missing_browser_is_installed(checkout: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*"):
            (programs / program.name).unlink(missing_ok=True)
            (programs / program.name).symlink_to(program)
    for name in ("chromium", "chromium-browser", "google-chrome", "apt-get"):
        (programs / name).unlink(missing_ok=True)
    (programs / "apt-get").write_text('#!/bin/sh\necho "apt-get $*"\n')
    (programs / "apt-get").chmod(0o755)

    done = run(checkout, PATH=str(programs), CHROMIUM="", CI_SKIP_INSTALL="")

    assert done.returncode == 0, done.stdout
    assert re.search(r"apt-get install -y -qq --no-install-recommends .*\bchromium\b", done.stdout)


def test_process_left_behind_is_ended_and_fails_the_run(checkout: Path) -> None:
    done = run(checkout, demo="setsid sleep 300 & echo $$! > pid")
    assert done.returncode != 0, done.stdout
    assert "processes left behind" in done.stdout
    assert "sleep 300" in done.stdout
    for _ in range(50):
        found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if is_sleep_of(path, checkout)]
        if not found:
            break
        time.sleep(0.1)
    assert not found


def is_sleep_of(cmdline: Path, checkout: Path) -> bool:
    try:
        return cmdline.read_bytes() == b"sleep\x00300\x00" and (cmdline.parent / "cwd").readlink() == checkout
    except OSError:
        return False
