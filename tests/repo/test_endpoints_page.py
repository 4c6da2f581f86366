"""The page about operations and tests names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.fanfare.client import FanfareClient

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "endpoints.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| .+ \| `(?P<method>\w+)` \| `(?P<test>test_\w+)` \|$", re.MULTILINE)

NO_OPERATIONS = {
    "find_audience", "check_type", "find_import", "load_audience", "check_static",
}  # fmt: skip
"""Public methods that are made of others."""


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "client", "folder"),
    [("Fanfare", FanfareClient, "fanfare"), ("CommBox", CommBoxClient, "commbox")],
)
def test_every_operation_of_a_client_has_its_row_and_its_test(title: str, client: type, folder: str) -> None:
    rows = {row["method"]: row["test"] for row in ROW.finditer(section(title))}
    methods = {
        name
        for name, value in vars(client).items()
        if not name.startswith("_") and callable(getattr(client, name))
    }
    tests = "".join(
        path.read_text(encoding="utf-8")
        for path in (PROJECT / "tests" / "integration" / folder).glob("test_*.py")
    )

    assert set(rows) == methods - NO_OPERATIONS
    assert [name for name in re.findall(r"`(test_\w+)`", section(title)) if f"def {name}(" not in tests] == []
