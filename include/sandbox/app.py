"""The HTTP application: the admin API and one mounted application per vendor, behind the journal.

A request passes, from outside in: :class:`~sandbox.faults.Connection`, :class:`JournalMiddleware`,
:class:`~sandbox.faults.FaultMiddleware`, the vendor's own application. So the journal records faults as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.api import CallDetails
from sandbox.faults import Connection, FaultBook, FaultMiddleware
from sandbox.journal import Journal
from sandbox.vendor import Vendor

ADMIN_PREFIX = "/_sandbox"


class JournalMiddleware:
    """Notes each call before its answer is complete, so that a caller with the answer finds the entry."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self._app = app
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"].startswith(ADMIN_PREFIX):
            await self._app(scope, receive, send)
            return
        details = scope[CallDetails.SCOPE_KEY] = CallDetails()
        method, path, query = scope["method"], _path_as_sent(scope), scope["query_string"].decode("latin-1")
        status = 0
        noted = False

        def note(http_status: int) -> None:
            nonlocal noted
            if noted:
                return
            noted = True
            good = 0 < http_status < HTTPStatus.BAD_REQUEST
            self._journal.api(
                vendor=details.vendor,
                operation=details.operation,
                method=method,
                path=path,
                query=query if details.query is None else details.query,
                user=details.user,
                http_status=http_status,
                status_code=details.status_code,
                success=good if details.success is None else details.success,
                message=details.message,
                ids=details.ids,
                body=details.body,
                fault=details.fault,
            )

        details.note = note

        async def note_end(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
            if message["type"] == "http.response.body" and not message.get("more_body"):
                note(status)
            await send(message)

        try:
            await self._app(scope, receive, note_end)
        finally:
            note(status or 500)


def _path_as_sent(scope: Scope) -> str:
    encoded = scope.get("raw_path")
    return encoded.decode("latin-1") if encoded else str(scope["path"])


def create_app(
    *, admin: APIRouter, vendors: Sequence[Vendor], journal: Journal, faults: FaultBook
) -> Connection:
    """Combine the admin API and the vendors."""
    # no pages of its own: everything outside /_sandbox belongs to the vendors
    app = FastAPI(title="sandbox", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(admin, prefix=ADMIN_PREFIX)
    # longest prefix first, or the vendor at the root would get every call
    for vendor in sorted(vendors, key=lambda vendor: -len(vendor.mount)):
        if vendor.mount:
            # a mount does not match its own prefix without a trailing slash
            app.router.routes.append(Route(vendor.mount, vendor.app))
        app.mount(vendor.mount, vendor.app, name=vendor.name)
    # the last one added is the outermost
    app.add_middleware(FaultMiddleware, book=faults, vendors=vendors, admin_prefix=ADMIN_PREFIX)
    app.add_middleware(JournalMiddleware, journal=journal)
    return Connection(app)
