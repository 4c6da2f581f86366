"""The HTTP application: the admin API, then one mounted application per vendor, with every call noted.

A request passes, from outside in: :class:`~sandbox.faults.Connection`, :class:`JournalMiddleware`,
:class:`~sandbox.faults.FaultMiddleware`, then the vendor's own application. So what a fault does to a call is in
the journal as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.faults import Connection, FaultBook, FaultMiddleware
from sandbox.journal import FaultNote, Journal
from sandbox.vendor import Vendor

ADMIN_PREFIX = "/_sandbox"
_CALL_KEY = "sandbox.call"


@dataclass
class CallDetails:
    """What the vendor's code tells the journal about the call in hand."""

    vendor: str | None = None
    operation: str | None = None
    user: str | None = None
    status_code: int | None = None
    success: bool | None = None
    message: str | None = None
    ids: dict[str, int | str] = field(default_factory=dict)
    body: Any = None
    query: str | None = None
    """Stands in for the query as sent, where that holds personal data."""
    fault: FaultNote | None = None
    note: Callable[[int], None] = lambda _: None
    """Write the entry now, with this HTTP status; later ones are then left out."""


def call_details(scope: Scope) -> CallDetails:
    """Return the details of the request in hand, to be filled in."""
    details: CallDetails = scope[_CALL_KEY]
    return details


class JournalMiddleware:
    """Notes each call before its answer is complete, so that who has the answer finds the entry."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self._app = app
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"].startswith(ADMIN_PREFIX):
            await self._app(scope, receive, send)
            return
        details = scope[_CALL_KEY] = CallDetails()
        method, path, query = scope["method"], _path_as_sent(scope), scope["query_string"].decode("latin-1")
        status = 0
        noted = False

        def note(http_status: int) -> None:
            nonlocal noted
            if noted:
                return
            noted = True
            self._journal.api(
                vendor=details.vendor,
                operation=details.operation,
                method=method,
                path=path,
                query=query if details.query is None else details.query,
                user=details.user,
                http_status=http_status,
                status_code=details.status_code,
                success=0 < http_status < HTTPStatus.BAD_REQUEST
                if details.success is None
                else details.success,
                message=details.message,
                ids=details.ids,
                body=details.body,
                fault=details.fault,
            )

        details.note = note

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            if message["type"] == "http.response.body" and not message.get("more_body"):
                note(status)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            note(status or 500)


def _path_as_sent(scope: Scope) -> str:
    raw = scope.get("raw_path")
    return raw.decode("latin-1") if raw else str(scope["path"])


def create_app(
    *, admin: APIRouter, vendors: Sequence[Vendor], journal: Journal, faults: FaultBook
) -> Connection:
    """Put admin API and vendors together."""
    # no pages of its own: everything outside /_sandbox belongs to the vendors
    app = FastAPI(title="sandbox", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(admin, prefix=ADMIN_PREFIX)
    for vendor in vendors:
        app.include_router(vendor.admin, prefix=ADMIN_PREFIX)
    # longest prefix first, or the vendor at the root would take everything
    for vendor in sorted(vendors, key=lambda vendor: -len(vendor.mount)):
        if vendor.mount:
            # a mount does not take its own prefix without a slash behind it
            app.router.routes.append(Route(vendor.mount, vendor.app))
        app.mount(vendor.mount, vendor.app, name=vendor.name)
    # the last one added is the outermost
    app.add_middleware(FaultMiddleware, book=faults, vendors=vendors, admin_prefix=ADMIN_PREFIX)
    app.add_middleware(JournalMiddleware, journal=journal)
    return Connection(app)
