"""Decisions of ``make compat``; the steps that it runs are the packages' own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts import compat

UV = f"""\
#!{sys.executable}
import pathlib, re, sys
arguments = dict(zip(sys.argv, sys.argv[1:]))
names = re.findall(r"^([a-z0-9-]+)>=", pathlib.Path("requirements.txt").read_text(), re.M)
lines = [f"{{name}}==999" for name in names]
if "--constraint" in arguments:
    lines = pathlib.Path(arguments["--constraint"]).read_text().splitlines()
pathlib.Path(arguments["--output-file"]).write_text("\\n".join([*lines, "something-else==5", ""]))
"""
"""Resolves to the constraints if there are some, else to 999, which stands for the newest version."""


def environment(which: str = "newest", uv: str = "uv") -> compat.Environment:
    return compat.Environment(sys.executable, "3.12", which, uv)


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "compat"
    folder.mkdir()
    monkeypatch.setattr(compat, "BUILD", folder)
    return folder


def test_the_running_python_is_found_and_an_unknown_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / f"python{version}").symlink_to(os.path.realpath(sys.executable))
    # A shim of pyenv for a version that is not active does the same.
    (tmp_path / "python3.99").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "python3.99").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    assert compat.find_python(version) == str(tmp_path / f"python{version}")
    assert compat.find_python("3.99") is None
    assert compat.find_python("3.98") is None


def test_oldest_takes_lower_bounds_and_newest_takes_no_bound(tmp_path: Path) -> None:
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    oldest, newest = (environment(which, str(tmp_path / "uv")) for which in ("oldest", "newest"))
    oldest.resolve()
    newest.resolve()
    assert oldest.result.versions["apache-airflow"] == "3.3.0"
    assert "something-else" not in oldest.result.versions
    assert [step.name for step in oldest.result.steps] == ["resolve"]
    assert set(newest.result.versions.values()) == {"999"}


def test_every_direct_dependency_has_a_lower_bound() -> None:
    requirements = (compat.PROJECT / "requirements.txt").read_text()
    assert compat.lower_bounds_of(requirements).keys() == compat.names_of(requirements)
    assert compat.lower_bounds_of("# a>=1\nb-c>=2.0.1,<3\nd>=4 # why\n") == {"b-c": "2.0.1", "d": "4"}


def test_failed_step_reports_its_output() -> None:
    tried = environment()
    with pytest.raises(compat.StepError):
        tried.step("hooks", [sys.executable, "-c", "print('so it is'); raise SystemExit(3)"])
    (step,) = tried.result.steps
    assert (step.passed, step.output) == (False, "so it is")
    assert "so it is" in tried.log.read_text()
    assert not tried.result.passed

    # Without a resolution, nothing is installed.
    result = environment(uv="false").run([])
    assert [step.name for step in result.steps] == ["resolve"]
    assert not result.passed


def test_a_step_sees_no_setting_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    environ = environment().clean_environ("/home")
    assert not environ.keys() & {"AIRFLOW__CORE__EXECUTOR", "PYTHONPATH"}
    assert environ["AIRFLOW_HOME"] == "/home"


def test_missing_python_is_reported_and_is_an_error_if_strict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compat, "find_python", lambda version: None)
    assert compat.main(["--only", "3.12-newest", "--strict"]) == 2
    assert "Python 3.12" in capsys.readouterr().err
    # A run that tried nothing is no success either.
    monkeypatch.setattr(compat, "find_uv", lambda: "false")
    monkeypatch.setattr(compat, "PROJECT", compat.BUILD.parent)
    assert compat.main(["--only", "3.12-newest"]) == 1


def test_tests_that_are_left_out_exist() -> None:
    assert [path for path in compat.SKIPPED_XCOM_KEY if not (compat.PROJECT / path).exists()] == []
