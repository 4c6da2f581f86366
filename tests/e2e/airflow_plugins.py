"""What the Airflow of the end-to-end tests imports: a notifier that needs no network, and a database of one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier

CONNECTION = "audience_tests_db"


class FileNotifier(BaseNotifier):
    """Appends what it is told to a file, a line of JSON each.

    :param path: of the file.
    :param subject: templated.
    :param text: templated.
    :param fields: more of it, templated.
    """

    template_fields = ("subject", "text", "fields")

    def __init__(self, *, path: str, subject: str, text: str, fields: dict[str, str] | None = None) -> None:
        super().__init__()
        self.path = path
        self.subject = subject
        self.text = text
        self.fields = fields or {}

    def notify(self, context: Any) -> None:
        """Write the line."""
        line = json.dumps({"subject": self.subject, "text": self.text, **self.fields})
        with Path(self.path).open("a", encoding="utf-8") as out:
            out.write(f"{line}\n")


class BrokenNotifier(BaseNotifier):
    """Has no network."""

    def notify(self, context: Any) -> None:
        """Fail."""
        raise ConnectionError("there is no network")


def get_provider_info() -> dict[str, Any]:
    """A provider for SQLite, which is not installed here."""
    return {
        "package-name": "audience-tests",
        "name": "Audience tests",
        "description": "SQLite for the end-to-end tests",
        "connection-types": [
            {"connection-type": "sqlite", "hook-class-name": "tests.unit.base.databases.SqliteHook"}
        ],
    }


def install_into(folder: Path) -> None:
    """Make a folder of ``PYTHONPATH`` one in which the provider is installed."""
    info = folder / "audience_tests-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: audience-tests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[apache_airflow_provider]\nprovider_info = {__name__}:get_provider_info\n"
    )
