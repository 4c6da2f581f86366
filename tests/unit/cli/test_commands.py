# ruff: noqa: E501 - what is printed stands here as it is
"""``python -m audience_onboarding``: check, plan, schema."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from audience_onboarding.cli import main
from audience_onboarding.definitions.json_schema import schemas
from tests.children import child_env
from tests.unit.definitions.conftest import GOOD, changed

PROJECT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 17, 12, 0, tzinfo=timezone.utc)
ALERTS = {
    "platform": "commbox",
    "name": "Alerts",
    "owner": "service-team",
    "allow_unhashed": True,
    "source": {"path": "s3://crm/{load_date:%Y%m%d}.csv", "columns": {"phone": "Phone"}},
}


class Commands:
    """Calls the commands with a folder of two good definitions."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        folder.mkdir(parents=True)
        self.write(newsletter=GOOD, alerts=ALERTS)

    def write(self, **definitions: Any) -> None:
        for key, content in definitions.items():
            (self.folder / f"{key}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def write_extract(self, name: str, text: str) -> None:
        path = self.folder.parent / "crm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def __call__(self, command: str, *more: str, now: datetime = NOW) -> tuple[int, str, str]:
        """Return the exit code, the output and the errors."""
        code = main([command, "--folder", str(self.folder), *more], now=now)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def plans(self, *more: str, now: datetime = NOW) -> Any:
        """Return the plans by key."""
        code, out, _ = self("plan", "--json", *more, now=now)
        assert code == 0
        return {item["key"]: item for item in json.loads(out)}


@pytest.fixture
def commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    for name in ("AUDIENCE_ONBOARDING_DEFINITIONS", "AUDIENCE_ONBOARDING_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return Commands(tmp_path / "include" / "audiences", capsys)


# --- check ----------------------------------------------------------------------------------------------------


def test_good_definitions(commands: Commands) -> None:
    assert commands("check") == (0, f"2 definitions in {commands.folder}, no problems\n", "")
    code, out, _ = commands("check", "--json")
    assert (code, json.loads(out)) == (0, [])


def test_wrong_ones_are_counted(commands: Commands) -> None:
    commands.write(wrong={**ALERTS, "retries": -1, "name": ""})

    code, out, _ = commands("check")

    assert code == 1
    assert out.splitlines() == [
        "wrong.yaml:2: name: must not be empty",
        "wrong.yaml:5: retries: must be at least 0",
        f"2 problems in 1 file of {commands.folder}; 2 of 3 definitions valid",
        "See docs/how-to/troubleshooting.md#definitionerror",
    ]


def test_the_environment_is_that_of_the_option_or_of_the_variable(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {**ALERTS, "environments": {"staging": {"owner": "team-b"}}}
    del needed["owner"]
    commands.write(alerts=needed)

    # A definition that is incomplete without an environment is wrong unless one is chosen.
    assert commands("check")[0] == 1
    assert commands("check", "--environment", "staging")[0] == 0
    code, out, _ = commands("check", "--environment", "stagging")
    assert code == 1
    assert "Did you mean 'staging'?" in out
    monkeypatch.setenv("AUDIENCE_ONBOARDING_ENVIRONMENT", "staging")
    assert commands("check")[0] == 0


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--folder", str(tmp_path / "typo")]) == 1
    assert f"{tmp_path}/typo: folder not found" in capsys.readouterr().out


def test_wrong_usage_and_help(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(commands.folder)

    wrong = ["", "chek", "check --jason", "check a b", "schema --json", "plan nobody", "schema --folder typo"]
    assert {command: main(command.split()) for command in wrong} == dict.fromkeys(wrong, 2)
    capsys.readouterr()
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("check", "plan", "schema"))


def test_the_folder_is_found_from_anywhere_in_the_project(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = commands.folder.parents[1]
    (project / "dags" / "deeper").mkdir(parents=True)
    for place in ("", "include", "include/audiences", "dags/deeper"):
        monkeypatch.chdir(project / place)
        assert main(["check"]) == 0
        assert capsys.readouterr().out.startswith("2 definitions in ")

    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(project / "dags"))
    assert main(["check"]) == 0
    assert capsys.readouterr().out == f"0 definitions in {project / 'dags'}, no problems\n"


def test_the_process_has_an_exit_code_and_no_traceback_on_a_closed_pipe(commands: Commands) -> None:
    folder = commands.folder
    commands.write(**{f"wrong_{number}": {"platform": "x" * 50} for number in range(800)})
    command = f"{sys.executable} -m audience_onboarding check --folder '{folder}'"

    done = subprocess.run(
        ["sh", "-c", f"{command} >all; echo $?; {command} | head -1"],
        cwd=folder.parent,
        env=child_env(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    code, first = done.stdout.splitlines()
    assert (code, done.stderr) == ("1", "")
    assert first == (folder.parent / "all").read_text().splitlines()[0]


# --- plan -----------------------------------------------------------------------------------------------------


def test_the_next_load_of_each_audience(commands: Commands) -> None:
    commands.write_extract("2026-11-18.csv", "E-mail\n")

    code, out, _ = commands("plan")

    assert code == 0
    assert (
        out
        == f"""\
alerts: Alerts (commbox, connection commbox_default)
  next load  manual only
  source     s3://crm/20261117.csv: not checked: it is not on this machine
  mode       replace
  audience   found by its name 'Alerts'; created if missing
  hashed     nothing
  unhashed   phone

newsletter: Newsletter (digital_audience, connection digital_audience_default)
  next load  2026-11-18, due 2026-11-18 03:00 Europe/Amsterdam
  source     {commands.folder.parent}/crm/2026-11-18.csv: found
  mode       opt-in
  audience   'Newsletter', created by the first load; campaign 'Always-on', created if missing
  hashed     email
  unhashed   nothing
  file       onboard/audience=<id>/opt-in/20261118_000000.csv
  activation dv360: 'Newsletter' on DV360, 'Example NL', for 30 days: until 2026-12-18 if it is created with the next load
  extension  segments that end within 7 days, to 30 days from then
"""
    )


def test_a_plan_as_json(commands: Commands) -> None:
    plan = commands.plans("newsletter")["newsletter"]

    assert (plan["load_date"], plan["due"]) == ("2026-11-18", "2026-11-18T03:00:00+01:00")
    assert plan["source_exists"] is False
    assert plan["source_status"] == (
        "not found (its folder does not exist either); if still missing when it is due, the load would fail"
    )
    assert (plan["sent_hashed"], plan["sent_unhashed"]) == (["email"], [])

    over = commands.plans("newsletter", now=datetime(2026, 12, 1, tzinfo=timezone.utc))["newsletter"]
    assert over["when"] == "ended: the last load date is 2026-11-20"
    assert (over["load_date"], over["due"], over["source_exists"]) == ("", "", None)


def test_a_source_elsewhere_is_neither_there_nor_missing(commands: Commands) -> None:
    query = {"query": "SELECT 1", "conn_id": "crm_db", "columns": {"phone": "Phone"}}
    commands.write(asked={**ALERTS, "name": "Asked", "source": query})

    plans = commands.plans()

    assert plans["alerts"]["source_exists"] is plans["asked"]["source_exists"] is None
    assert plans["asked"]["source"] == "query on connection crm_db"


SECRET = "jane.doe@example.com"
ROW = f"{SECRET},1001\n"


@pytest.mark.parametrize(
    ("files", "path", "fits", "told"),
    [
        ({"2026-11-18.csv": f"e-MAIL,Lid nummer\n{ROW}"}, None, True, "found"),
        (
            {"2026-11-18.csv": f"Mailadres,Lid nummer\n{ROW}"},
            None,
            False,
            "found, but the CRM file has no column 'E-mail'; it has 2 column(s), and none has a "
            "similar name. Its first line must contain the column names",
        ),
        (
            {"2026-11-18.csv": ROW + ROW},
            None,
            False,
            "found, but the CRM file has no column 'E-mail'; it has 2 column(s), and none has a "
            "similar name. Its first line must contain the column names",
        ),
        (
            {"2026-11-18/b.csv": f"E-mail\n{SECRET}\n", "2026-11-18/a.csv": f"Mail\n{SECRET}\n"},
            "crm/{load_date}/",
            False,
            "found, but the CRM file has no column 'E-mail' (a.csv, the first of several); it has 1 column(s); did you "
            "mean 'Mail'?",
        ),
        ({"2026-11-18.csv": ""}, None, None, "found, but the CRM file has no row to send; it has no line"),
        (
            {"2026-11-18.parquet": "PAR1"},
            "crm/{load_date}.parquet",
            None,
            "found, but the CRM file cannot be read as Parquet; it is damaged, cut off, encrypted, or not a Parquet file",
        ),
    ],
    ids=["fits", "another name", "no header", "first of several", "empty", "damaged"],
)
def test_the_header_of_a_local_file_is_checked(
    commands: Commands, files: dict[str, str], path: str | None, fits: bool | None, told: str
) -> None:
    if path is not None:
        commands.write(newsletter=changed(source={**GOOD["source"], "path": path}))
    for name, text in files.items():
        commands.write_extract(name, text)

    plan = commands.plans("newsletter")["newsletter"]

    assert (plan["source_exists"], plan["columns_found"], plan["source_status"]) == (True, fits, told)
    assert SECRET not in json.dumps(plan)


WITHOUT_POLARS = """
import sys
from datetime import datetime
sys.modules["polars"] = None
from audience_onboarding.cli import main
sys.exit(main(["plan", "alerts"], now=datetime.fromisoformat(sys.argv[1])))
"""


def test_a_header_is_not_checked_where_the_engine_is_not_installed(commands: Commands) -> None:
    commands.write_extract("2026-11-17.csv", "E-mail\n")
    commands.write(alerts={**ALERTS, "source": {**ALERTS["source"], "path": "crm/{load_date}.csv"}})

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POLARS, NOW.isoformat()],
        cwd=commands.folder,
        env=child_env(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert ": found; header not checked, as polars is not installed" in done.stdout


def test_existing_ids_mirrors_and_environments_are_planned(commands: Commands) -> None:
    mirror = {
        "upload": {"mode": "mirror"},
        "snapshots": {"path": "state"},
        "output_file": {"compression": "gzip"},
    }
    commands.write(
        newsletter=changed(id=7, activation=None, **mirror),
        other=changed(campaign={"id": 5}),
        alerts={**ALERTS, "environments": {"staging": {"conn_id": "commbox_staging"}}},
    )

    plans = commands.plans("--environment", "staging")

    assert plans["newsletter"]["audience"] == "existing, id 7; never created"
    file = "onboard/audience=7/{}/20261118_000000.csv.gz"
    assert plans["newsletter"]["details"] == [["file", f"{file.format('opt-out')}, {file.format('opt-in')}"]]
    assert "existing campaign 5" in plans["other"]["audience"]
    alerts = plans["alerts"]
    assert (alerts["environment"], alerts["connection"]) == ("staging", "commbox_staging")


def test_broken_and_unknown_definitions_do_not_stop_the_plan_of_the_others(commands: Commands) -> None:
    commands.write(wrong={**ALERTS, "retries": -1})

    code, out, err = commands("plan")
    assert (code, out.count("\n  next load")) == (1, 2)
    assert "wrong.yaml:5: retries: must be at least 0" in err
    code, out, err = commands("plan", "wrong")
    assert (code, out) == (1, "wrong: not planned, invalid definition\n")
    assert "wrong.yaml:5: retries: must be at least 0" in err
    message = "newsleter: definition not found; did you mean 'newsletter'?\n"
    assert commands("plan", "newsleter") == (2, "", message)


# --- schema ---------------------------------------------------------------------------------------------------


def test_the_schemas_are_written(commands: Commands) -> None:
    folder = commands.folder

    assert commands("schema", "--check")[0] == 1
    assert not list(folder.glob("*.json"))
    assert commands("schema")[0] == 0
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")} == schemas()
    assert commands("schema", "--check")[0] == 0
    (folder / "schema.json").write_text("{}")
    code, out, _ = commands("schema", "--check")
    assert code == 1
    assert "schema.json is out of date" in out
    assert commands("check")[0] == 0
