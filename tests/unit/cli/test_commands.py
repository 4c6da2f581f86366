# ruff: noqa: E501 - what is printed stands here as it is
"""``python -m audience_onboarding``: check, plan, schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding.cli import main
from audience_onboarding.definitions.schema import schemas
from tests.unit.definitions.conftest import GOOD, changed

PROJECT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 17, 12, 0, tzinfo=timezone.utc)
ALERTS = {
    "platform": "commbox",
    "name": "Alerts",
    "owner": "service-team",
    "allow_raw": True,
    "source": {"path": "s3://crm/{load_date:%Y%m%d}.csv", "columns": {"phone": "Phone"}},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUDIENCE_ONBOARDING_DEFINITIONS", "AUDIENCE_ONBOARDING_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "include" / "audiences"
    path.mkdir(parents=True)
    write(path, newsletter=GOOD, alerts=ALERTS)
    return path


def write(folder: Path, **definitions: Any) -> None:
    for key, content in definitions.items():
        (folder / f"{key}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


# --- check ----------------------------------------------------------------------------------------------------


def test_good_definitions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--folder", str(folder)]) == 0
    assert capsys.readouterr().out == f"2 definitions in {folder}, no problems\n"
    assert main(["check", "--folder", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_wrong_ones_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, wrong={**ALERTS, "retries": -1, "name": ""})

    assert main(["check", "--folder", str(folder)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "wrong.yaml:2: name: must not be empty",
        "wrong.yaml:5: retries: must be at least 0",
        f"2 problems in 1 file of {folder}; 2 of 3 definitions good",
        "See docs/troubleshooting.md#definitionerror",
    ]


def test_the_environment_is_that_of_the_option_or_of_the_variable(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {**ALERTS, "environments": {"staging": {"owner": "somebody"}}}
    del needed["owner"]
    write(folder, alerts=needed)
    command = ["check", "--folder", str(folder)]

    # What runs where no environment is chosen is wrong; who always chooses one says so.
    assert main(command) == 1
    assert main([*command, "--environment", "staging"]) == 0
    assert main([*command, "--environment", "stagging"]) == 1
    assert "did you mean 'staging'?" in capsys.readouterr().out
    monkeypatch.setenv("AUDIENCE_ONBOARDING_ENVIRONMENT", "staging")
    assert main(command) == 0


def test_a_folder_that_is_not_there_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--folder", str(tmp_path / "typo")]) == 1
    assert f"{tmp_path}/typo: the folder of the definitions is not there" in capsys.readouterr().out


def test_wrong_usage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    wrong = ["", "chek", "check --jason", "check a b", "schema --json", "plan nobody", "schema --folder typo"]
    assert {command: main(command.split()) for command in wrong} == dict.fromkeys(wrong, 2)


def test_help_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("check", "plan", "schema"))


def test_the_folder_is_found_from_anywhere_in_the_project(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = folder.parents[1]
    (project / "dags" / "deeper").mkdir(parents=True)
    for place in ("", "include", "include/audiences", "dags/deeper"):
        monkeypatch.chdir(project / place)
        assert main(["check"]) == 0
        assert capsys.readouterr().out.startswith("2 definitions in ")

    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(project / "dags"))
    assert main(["check"]) == 0
    assert capsys.readouterr().out == f"0 definitions in {project / 'dags'}, no problems\n"


def test_the_process_has_an_exit_code_and_no_traceback_on_a_closed_pipe(folder: Path) -> None:
    write(folder, **{f"wrong_{number}": {"platform": "x" * 50} for number in range(800)})
    command = f"{sys.executable} -m audience_onboarding check --folder '{folder}'"

    done = subprocess.run(
        ["sh", "-c", f"{command} >all; echo $?; {command} | head -1"],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    code, first = done.stdout.splitlines()
    assert (code, done.stderr) == ("1", "")
    assert first == (folder.parent / "all").read_text().splitlines()[0]


# --- plan -----------------------------------------------------------------------------------------------------


def planned(capsys: pytest.CaptureFixture[str], folder: Path, *more: str, now: datetime = NOW) -> Any:
    code = main(["plan", "--folder", str(folder), "--json", *more], now=now)
    assert code == 0
    return {item["key"]: item for item in json.loads(capsys.readouterr().out)}


def test_what_each_audience_would_do_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "crm").mkdir()
    (folder.parent / "crm" / "2026-11-18.csv").write_text("E-mail\n")

    assert main(["plan", "--folder", str(folder)], now=NOW) == 0
    assert (
        capsys.readouterr().out
        == f"""\
alerts: Alerts (commbox, connection commbox_default)
  next load  by hand only
  source     s3://crm/20261117.csv: not looked at: it is not on this machine
  mode       replace
  audience   the one that is called 'Alerts'; created if there is none
  hashed     nothing
  as it is   phone

newsletter: Newsletter (digital_audience, connection digital_audience_default)
  next load  2026-11-18, due 2026-11-18 03:00 Europe/Amsterdam
  source     {folder.parent}/crm/2026-11-18.csv: there
  mode       opt-in
  audience   created as 'Newsletter' in the campaign 'Always-on', which is created if need be, unless an earlier load has created it
  hashed     email
  as it is   nothing
  file       onboard/audience=<id>/opt-in/20261118_000000.csv
  activation dv360: 'Newsletter' on DV360, 'Example NL', for 30 days: until 2026-12-18 if it is created with the next load
  upkeep     segments that end within 7 days are extended to 30 days from then
"""
    )


def test_a_plan_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, folder, "newsletter")["newsletter"]

    assert (plan["load_date"], plan["due"]) == ("2026-11-18", "2026-11-18T03:00:00+01:00")
    assert plan["source_is_there"] is False
    assert plan["source_told"] == (
        "not there now (its folder is not there either); if it is not when it is due, the load would fail"
    )
    assert (plan["sent_hashed"], plan["sent_as_they_are"]) == (["email"], [])


def test_what_is_not_looked_at_is_not_said_to_be_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = {"query": "SELECT 1", "connection": "crm_db", "columns": {"phone": "Phone"}}
    write(folder, asked={**ALERTS, "name": "Asked", "source": query})

    plans = planned(capsys, folder)

    assert plans["alerts"]["source_is_there"] is plans["asked"]["source_is_there"] is None
    assert plans["asked"]["source"] == "query on connection crm_db"


SECRET = "jane.doe@example.com"
ROW = f"{SECRET},1001\n"


@pytest.mark.parametrize(
    ("files", "path", "fits", "told"),
    [
        ({"2026-11-18.csv": f"e-MAIL,Lid nummer\n{ROW}"}, None, True, "there"),
        (
            {"2026-11-18.csv": f"Mailadres,Lid nummer\n{ROW}"},
            None,
            False,
            "there, but the CRM file has no column 'E-mail'; it has 2 column(s): 'Mailadres', 'Lid nummer'",
        ),
        (
            {"2026-11-18.csv": ROW + ROW},
            None,
            False,
            "there, but the CRM file has no column 'E-mail'; the first line looks like data, not like column names; "
            "does the export write a header row?",
        ),
        (
            {"2026-11-18/b.csv": f"E-mail\n{SECRET}\n", "2026-11-18/a.csv": f"Mail\n{SECRET}\n"},
            "crm/{load_date}/",
            False,
            "there, but the CRM file has no column 'E-mail' (a.csv, the first of several); it has 1 column(s): 'Mail'",
        ),
        ({"2026-11-18.csv": ""}, None, None, "there, but the CRM file holds nothing to send; it has no line"),
        (
            {"2026-11-18.parquet": "PAR1"},
            "crm/{load_date}.parquet",
            None,
            "there, but the CRM file cannot be read as Parquet; it is damaged, cut off, encrypted, or no Parquet file",
        ),
    ],
    ids=["fits", "another name", "no header", "first of several", "empty", "damaged"],
)
def test_the_header_of_a_file_here_is_looked_at(
    files: dict[str, str],
    path: str | None,
    fits: bool | None,
    told: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if path is not None:
        write(folder, newsletter=changed(source={**GOOD["source"], "path": path}))
    for name, text in files.items():
        file = folder.parent / "crm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    plan = planned(capsys, folder, "newsletter")["newsletter"]

    assert (plan["source_is_there"], plan["columns_are_there"], plan["source_told"]) == (True, fits, told)
    assert SECRET not in json.dumps(plan)


WITHOUT_POLARS = """
import sys
from datetime import datetime
sys.modules["polars"] = None
from audience_onboarding.cli import main
sys.exit(main(["plan", "alerts"], now=datetime.fromisoformat(sys.argv[1])))
"""


def test_a_header_is_not_checked_where_the_engine_is_not_installed(folder: Path) -> None:
    (folder.parent / "crm").mkdir()
    (folder.parent / "crm" / "2026-11-17.csv").write_text("E-mail\n")
    write(folder, alerts={**ALERTS, "source": {**ALERTS["source"], "path": "crm/{load_date}.csv"}})

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POLARS, NOW.isoformat()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "plugins")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert ": there; its header was not looked at, as polars is not installed here" in done.stdout


def test_what_exists_is_used_and_a_mirror_sends_two_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        folder,
        newsletter=changed(
            id=7,
            upload={"mode": "mirror"},
            state={"path": "state"},
            file={"compression": "gzip"},
            activation=None,
        ),
        other=changed(campaign={"id": 5}),
    )

    plans = planned(capsys, folder)

    assert plans["newsletter"]["audience"] == "the existing one with id 7; none is created"
    assert plans["newsletter"]["more"] == [
        [
            "file",
            "onboard/audience=7/opt-out/20261118_000000.csv.gz, onboard/audience=7/opt-in/20261118_000000.csv.gz",
        ]
    ]
    assert "in the existing campaign 5" in plans["other"]["audience"]


def test_a_schedule_that_is_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, folder, "newsletter", now=datetime(2026, 12, 1, tzinfo=timezone.utc))["newsletter"]

    assert plan["when"] == "over: the last load date is 2026-11-20"
    assert (plan["load_date"], plan["due"], plan["source_is_there"]) == ("", "", None)


def test_a_plan_of_an_environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, alerts={**ALERTS, "environments": {"staging": {"connection": "commbox_staging"}}})

    plan = planned(capsys, folder, "alerts", "--environment", "staging")["alerts"]

    assert (plan["environment"], plan["connection"]) == ("staging", "commbox_staging")


def test_broken_and_unknown_definitions_do_not_stop_the_plan_of_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, wrong={**ALERTS, "retries": -1})
    command = ["plan", "--folder", str(folder)]

    assert main(command, now=NOW) == 1
    said = capsys.readouterr()
    assert said.out.count("\n  next load") == 2
    assert "wrong.yaml:5: retries: must be at least 0" in said.err

    assert main([*command, "wrong"], now=NOW) == 1
    said = capsys.readouterr()
    assert said.out == "wrong: not planned, as its definition is broken\n"
    assert "wrong.yaml:5: retries: must be at least 0" in said.err

    assert main([*command, "newsleter"], now=NOW) == 2
    assert capsys.readouterr().err == "newsleter: no such definition; did you mean 'newsletter'?\n"


# --- schema ---------------------------------------------------------------------------------------------------


def test_the_schemas_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["schema", "--folder", str(folder)]

    assert main([*command, "--check"]) == 1
    assert not list(folder.glob("*.json"))
    assert main(command) == 0
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")} == schemas()
    assert main([*command, "--check"]) == 0
    (folder / "schema.json").write_text("{}")
    assert main([*command, "--check"]) == 1
    assert "schema.json is out of date" in capsys.readouterr().out
    assert main(["check", "--folder", str(folder)]) == 0
