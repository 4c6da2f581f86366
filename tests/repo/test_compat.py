"""What ``make compat`` decides by itself; what it runs is the packages' own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from scripts import compat


def environment(which: str = "newest", python: str = sys.executable, uv: str = "uv") -> compat.Environment:
    return compat.Environment(python, "3.12", which, uv)


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "compat"
    folder.mkdir()
    monkeypatch.setattr(compat, "BUILD", folder)
    return folder


def fake_uv(folder: Path) -> str:
    """Resolves to the constraints, if there are some, else to versions that stand for the newest."""
    script = folder / "uv"
    script.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, re, sys\n"
        "arguments = sys.argv[1:]\n"
        "output = pathlib.Path(arguments[arguments.index('--output-file') + 1])\n"
        "names = re.findall(r'^([a-z0-9-]+)>=', pathlib.Path('requirements.txt').read_text(), re.M)\n"
        "lines = [f'{name}==999' for name in names] + ['something-else==5']\n"
        "if '--constraint' in arguments:\n"
        "    constraints = pathlib.Path(arguments[arguments.index('--constraint') + 1]).read_text()\n"
        "    lines = constraints.splitlines() + ['something-else==5']\n"
        "output.write_text('\\n'.join(lines) + '\\n')\n"
    )
    script.chmod(0o755)
    return str(script)


def test_the_running_python_is_found_and_an_unknown_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / f"python{version}").symlink_to(os.path.realpath(sys.executable))
    # As a shim of pyenv does for a version that is not active.
    (tmp_path / "python3.99").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "python3.99").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    assert compat.find_python(version) == str(tmp_path / f"python{version}")
    assert compat.find_python("3.99") is None
    assert compat.find_python("3.98") is None


def test_oldest_is_the_lower_bound_of_each_direct_dependency(tmp_path: Path) -> None:
    tried = environment("oldest", uv=fake_uv(tmp_path))
    tried.resolve()
    assert tried.result.versions["apache-airflow"] == "3.3.0"
    assert "something-else" not in tried.result.versions
    assert [step.name for step in tried.result.steps] == ["resolve"]


def test_every_direct_dependency_has_a_lower_bound() -> None:
    requirements = (compat.PROJECT / "requirements.txt").read_text()
    assert compat.lower_bounds_of(requirements).keys() == compat.names_of(requirements)
    assert compat.lower_bounds_of("# a>=1\nb-c>=2.0.1,<3\nd>=4 # why\n") == {"b-c": "2.0.1", "d": "4"}


def test_newest_is_not_held_by_bounds_or_lock(tmp_path: Path) -> None:
    tried = environment("newest", uv=fake_uv(tmp_path))
    tried.resolve()
    assert set(tried.result.versions.values()) == {"999"}


def test_a_step_that_fails_says_what_it_said(build: Path) -> None:
    tried = environment()
    with pytest.raises(compat.StepError):
        tried.step("hooks", [sys.executable, "-c", "print('so it is'); raise SystemExit(3)"])
    (step,) = tried.result.steps
    assert (step.passed, step.said) == (False, "so it is")
    assert "so it is" in tried.log.read_text()
    assert not tried.result.passed


def test_a_step_sees_no_setting_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environ = environment().clean_environ("/home")
    assert "AIRFLOW__CORE__EXECUTOR" not in environ
    assert "PYTHONPATH" not in environ
    assert environ["AIRFLOW_HOME"] == "/home"


def test_what_cannot_be_installed_is_not_tried_further(tmp_path: Path) -> None:
    result = environment(uv="false").run([])
    assert [step.name for step in result.steps] == ["resolve"]
    assert not result.passed


def test_a_missing_python_is_said_and_is_an_error_if_strict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compat, "find_python", lambda version: None)
    assert compat.main(["--only", "3.12-newest", "--strict"]) == 2
    assert "Python 3.12" in capsys.readouterr().err
    # Nothing was tried: that is no success either.
    monkeypatch.setattr(compat, "find_uv", lambda: "false")
    monkeypatch.setattr(compat, "PROJECT", compat.BUILD.parent)
    assert compat.main(["--only", "3.12-newest"]) == 1


def test_tests_are_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="10" failures="1" errors="2" skipped="3"/></testsuites>')
    assert compat.counts(report) == {"passed": 4, "failed": 3, "skipped": 3}


def test_table_and_report_tell_the_same() -> None:
    good = compat.Result("3.12", "newest", {"apache-airflow": "3.3.2"}, [compat.Step("tests", True, 2.4, "")])
    good.tests = {"passed": 7, "failed": 0, "skipped": 0}
    bad = compat.Result("3.13", "oldest", {}, [compat.Step("resolve", False, 1.0, "no")])
    lines = compat.table([good, bad]).splitlines()
    assert lines[2].startswith("| 3.12 | newest | 3.3.2 | - ")
    assert lines[2].endswith("| passed | 7 passed | 2 |")
    assert "FAILED: resolve" in lines[3]
    written = json.loads(compat.report([good, bad], ["3.10"]))
    assert [item["passed"] for item in written["environments"]] == [True, False]
    assert written["missing_pythons"] == ["3.10"]


def test_what_is_left_out_is_there() -> None:
    assert [path for path in compat.LEFT_OUT if not (compat.PROJECT / path).exists()] == []
