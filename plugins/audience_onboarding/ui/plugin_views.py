"""Entries of the Airflow plugin: the page in the navigation, and its app, built on the first request.

Every Airflow component loads the plugin but only the API server serves the page, so this module imports nothing heavy.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

URL_PREFIX = "/audience-onboarding"
"""Path of the page below Airflow's own URL."""

NAME = "Audiences"


class LazyApp:
    """ASGI app that imports the real one on the first request."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request."""
        if self._app is None:
            from audience_onboarding.ui.app import build_app

            self._app = build_app()
            # The API server holds a million long-lived objects. A table of 1,000 audiences allocates enough to trigger
            # a full garbage collection in about one of 15 requests, which would scan all of them.
            gc.collect()
            gc.freeze()
        await self._app(scope, receive, send)


def fastapi_app() -> dict[str, Any]:
    """Return the entry of ``fastapi_apps``."""
    return {"app": LazyApp(), "url_prefix": URL_PREFIX, "name": NAME}


def external_view() -> dict[str, Any]:
    """Return the entry of ``external_views``: the page in the navigation.

    Its paths have no leading slash: Airflow's page resolves them against the path that Airflow is served at.
    """
    prefix = URL_PREFIX.removeprefix("/")
    return {
        "name": NAME,
        "href": f"{prefix}/",
        "destination": "nav",
        "url_route": "audiences",
        "nav_top_level": True,
        "icon": f"{prefix}/static/icon.svg",
        "icon_dark_mode": f"{prefix}/static/icon-dark.svg",
    }
