"""What the plugin hands to Airflow: the page's address, and an app that is built when somebody asks for it.

Each component of Airflow loads the plugin, and only the API server serves the page, so that nothing heavy is imported
here.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

URL_PREFIX = "/audience-onboarding"
"""Where the page is, below Airflow's own address."""

NAME = "Audiences"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class LazyApp:
    """An ASGI app that imports the real one with the first request."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        if self._app is None:
            from audience_onboarding.ui.app import build_app

            self._app = build_app()
            # The API server holds a million objects as long as it runs. A table of a thousand audiences is made of so
            # many that about one in fifteen sets off a collection, which looks through all of them.
            gc.collect()
            gc.freeze()
        await self._app(scope, receive, send)


def fastapi_app() -> dict[str, Any]:
    """The entry of ``fastapi_apps``."""
    return {"app": LazyApp(), "url_prefix": URL_PREFIX, "name": NAME}


def external_view() -> dict[str, Any]:
    """The entry of ``external_views``: the page in the navigation.

    Its addresses have no slash at their beginning: Airflow's page says what they count from, whatever the path is
    that Airflow is served at.
    """
    own = URL_PREFIX.removeprefix("/")
    return {
        "name": NAME,
        "href": f"{own}/",
        "destination": "nav",
        "url_route": "audiences",
        "nav_top_level": True,
        "icon": f"{own}/icon.svg",
        "icon_dark_mode": f"{own}/icon-dark.svg",
    }
