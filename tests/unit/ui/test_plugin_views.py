"""App of the page, built on its first request."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from audience_onboarding.ui.plugin_views import LazyApp


def test_the_first_request_freezes_the_garbage_collector_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[int] = []
    requests: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        requests.append(scope)

    monkeypatch.setattr("audience_onboarding.ui.app.build_app", lambda: app)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(1))
    lazy: Any = LazyApp()

    for number in range(2):
        asyncio.run(lazy({"number": number}, None, None))

    assert requests == [{"number": 0}, {"number": 1}]
    assert frozen == [1]
