"""``make env`` writes secrets once, for the owner alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from scripts import make_env


def read(path: Path) -> dict[str, str]:
    """Read as Compose does: what is between single quotes is taken as it is."""
    values = {}
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, _, value = line.partition("=")
        assert value[0] == value[-1] == "'", line
        assert "'" not in value[1:-1], line
        values[name] = value[1:-1]
    return values


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def run(target: Path, *options: str) -> int:
    return make_env.main(["--output", str(target), *options])


def test_mode_is_owner_only(target: Path) -> None:
    assert run(target) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_secrets_are_long_enough(target: Path) -> None:
    run(target)
    values = read(target)
    assert Fernet(values["AIRFLOW_FERNET_KEY"].encode())
    assert len(values["AIRFLOW_JWT_SECRET"].encode()) >= 64
    for name in (
        "AIRFLOW_API_SECRET_KEY",
        "AIRFLOW_ADMIN_PASSWORD",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "SANDBOX_PASSWORD",
    ):
        assert len(values[name]) >= 32, name


def test_passwords_within_urls_need_no_quoting(target: Path) -> None:
    run(target)
    values = read(target)
    assert values["POSTGRES_PASSWORD"].isalnum()
    assert values["REDIS_PASSWORD"].isalnum()


def test_the_password_is_no_option_of_the_command_that_takes_it(target: Path) -> None:
    # Airflow's image: airflow users create --password "..."; one that begins with a dash is taken for an option.
    run(target)
    assert read(target)["AIRFLOW_ADMIN_PASSWORD"].isalnum()


def test_two_runs_share_no_secret(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    run(first)
    run(second)
    one, two = read(first), read(second)
    same = {name for name in one if one[name] == two[name]}
    assert same == {"AIRFLOW_UID", "AIRFLOW_PORT", "AIRFLOW_ADMIN_USERNAME"}


def test_existing_file_is_kept(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target.write_text("mine")
    assert run(target) == 1
    assert target.read_text() == "mine"
    assert "stays as it is" in capsys.readouterr().err
    assert list(target.parent.iterdir()) == [target]


def test_force_replaces_file_and_mode(target: Path) -> None:
    target.write_text("mine")
    target.chmod(0o644)
    assert run(target, "--force") == 0
    assert "AIRFLOW_JWT_SECRET" in read(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_no_secret_is_printed(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(target)
    out = capsys.readouterr()
    assert not [value for value in read(target).values() if len(value) >= 32 and value in out.out + out.err]


def test_sandbox_connections_fit_the_sandbox(target: Path) -> None:
    run(target, "--sandbox")
    values = read(target)
    assert values["COMPOSE_PROFILES"] == "sandbox"
    api = json.loads(values["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"])
    s3 = json.loads(values["AIRFLOW_CONN_AUDIENCE_S3"])
    assert api["password"] == s3["password"] == values["SANDBOX_PASSWORD"]
    assert api["conn_type"] == "digital_audience"
    assert s3["conn_type"] == "aws"


def test_example_explains_every_variable(root: Path, target: Path) -> None:
    run(target, "--sandbox")
    lines = (root / ".env.example").read_text().splitlines()
    explained = {line.lstrip("#").partition("=")[0] for line in lines if "=" in line}
    assert read(target).keys() <= explained
