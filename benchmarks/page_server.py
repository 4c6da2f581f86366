"""The API server for the benchmark of the Audiences page: Airflow's own app, with the number of SQL
statements in a header of each response.

Environment as of :func:`.page_data.environment`; prints its port, then a token.
"""

from __future__ import annotations

import contextvars
import os
import socket
import sys
from typing import Any

import uvicorn
from airflow import settings
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from sqlalchemy import event

STATEMENTS: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar("statements", default=None)


class CountStatements:
    """Counts the statements of each request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Forward the request and add the number of statements to the response."""
        count = [0]
        STATEMENTS.set(count)

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-statements", str(count[0]).encode())]
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)


def main() -> None:
    """Serve until the process is ended."""

    @event.listens_for(settings.engine, "before_cursor_execute")
    def _count(*_: Any) -> None:
        count = STATEMENTS.get()
        if count is not None:
            count[0] += 1

    app = create_app("core")
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="bench", role="admin"))
    listening = socket.create_server(("127.0.0.1", 0))
    out = os.fdopen(3, "w")
    print(listening.getsockname()[1], token, sep="\n", file=out, flush=True)
    config = uvicorn.Config(CountStatements(app), log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    sys.exit(main())
