"""``make env`` writes secrets once, for the owner alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from scripts import make_env
from tests.repo.pages import ROOT


def run(target: Path, *options: str) -> dict[str, str]:
    """Write the file and read it as Compose does, which takes text between single quotes as it is."""
    assert make_env.main(["--output", str(target), *options]) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    values = {}
    for line in target.read_text().splitlines():
        if not line.startswith("#"):
            name, _, value = line.partition("=")
            assert value[0] == value[-1] == "'", line
            assert "'" not in value[1:-1], line
            values[name] = value[1:-1]
    return values


def test_secrets_are_long_fresh_and_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values, others = run(tmp_path / "1"), run(tmp_path / "2")
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}
    assert Fernet(values["AIRFLOW_FERNET_KEY"].encode())
    assert len(values["AIRFLOW_JWT_SECRET"].encode()) >= 64
    passwords = ("AIRFLOW_ADMIN_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
    for name in ("AIRFLOW_API_SECRET_KEY", "SANDBOX_PASSWORD", *passwords):
        assert len(values[name]) >= 32, name
    for name in passwords:
        # Part of a URL, or of "airflow users create --password", which takes one with a dash for an option.
        assert values[name].isalnum(), name
    same = {name for name in values if values[name] == others[name]}
    assert same == {"AIRFLOW_UID", "AIRFLOW_PORT", "AIRFLOW_ADMIN_USERNAME"}
    printed = "".join(capsys.readouterr())
    assert not [name for name in values.keys() - same if values[name] in printed]


def test_existing_file_is_kept_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / ".env"
    target.write_text("mine")
    target.chmod(0o644)
    assert make_env.main(["--output", str(target)]) == 1
    assert target.read_text() == "mine"
    assert "stays as it is" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [target]

    assert "AIRFLOW_JWT_SECRET" in run(target, "--force")


def test_sandbox_connections_fit_the_sandbox(tmp_path: Path) -> None:
    values = run(tmp_path / ".env", "--sandbox")
    assert values["COMPOSE_PROFILES"] == "sandbox"
    api = json.loads(values["AIRFLOW_CONN_DIGITAL_AUDIENCE_DEFAULT"])
    s3 = json.loads(values["AIRFLOW_CONN_AUDIENCE_S3"])
    assert api["password"] == s3["password"] == values["SANDBOX_PASSWORD"]
    assert (api["conn_type"], s3["conn_type"]) == ("digital_audience", "aws")

    lines = (ROOT / ".env.example").read_text().splitlines()
    assert values.keys() <= {line.lstrip("#").partition("=")[0] for line in lines if "=" in line}
