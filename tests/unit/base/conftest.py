"""A connection to the plain platform, and a client that does as a test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import create_autospec

import pytest

from audience_onboarding.http import reset_clients
from tests.fakes import AssetStores
from tests.unit.base.bench import ASSET
from tests.unit.base.plain import HOST, KEY, PlainClient, PlainHook, PlainSettings


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No test sees the clients of another."""
    reset_clients()
    yield
    reset_clients()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(PlainClient, instance=True)
    made.settings = PlainSettings(base_url=HOST, key=KEY, portal_url="https://portal/{audience_id}")
    made.state_of.return_value = "ready"
    made.create_thing.return_value = "t-7"
    monkeypatch.setattr(PlainHook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def stores() -> AssetStores:
    """State stores that remember the audience ``t-7``."""
    made = AssetStores()
    made[ASSET].values["audience"] = {"id": "t-7", "account": HOST}
    return made
