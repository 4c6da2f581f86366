"""Parts that the vendors' APIs share: journal details, bearer keys, request bodies, failures, rate limits."""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, Literal, cast

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from sandbox.clock import Clock
from sandbox.journal import FaultNote

Json = dict[str, Any]
Endpoint = Callable[[Request], Awaitable[Response]]
_WINDOW: Final = timedelta(minutes=1)


class ApiFailure(Exception):  # noqa: N818  (an answer, not a bug)
    """An answer other than success: HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def build_app(title: str, no_route: Callable[[Request, HTTPException], Response]) -> FastAPI:
    """Build the empty application of a vendor.

    :param no_route: answers to unknown paths and wrong methods.
    """
    app = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    async def answer(request: Request, error: Exception) -> Response:
        return no_route(request, cast(HTTPException, error))

    app.add_exception_handler(HTTPException, answer)
    return app


@dataclass
class CallDetails:
    """Fields of the current call's journal entry that the vendor's code fills in."""

    vendor: str | None = None
    operation: str | None = None
    user: str | None = None
    status_code: int | None = None
    success: bool | None = None
    message: str | None = None
    ids: dict[str, int | str] = field(default_factory=dict)
    body: Any = None
    query: str | None = None
    """Replaces a query that holds personal data."""
    fault: FaultNote | None = None
    note: Callable[[int], None] = lambda _: None
    """Writes the entry now, with this HTTP status; later calls of it do nothing."""

    SCOPE_KEY: Final = "sandbox.call"


def call_details(scope: Scope) -> CallDetails:
    """Return the details of the current request, to be filled in."""
    details: CallDetails = scope[CallDetails.SCOPE_KEY]
    return details


async def read_json(request: Request) -> Any:
    """Return the JSON body of a request.

    :raises ApiFailure: another content type, or invalid JSON.
    """
    if media_type(request) != "application/json":
        raise ApiFailure(415, "Content-Type must be application/json")
    try:
        return json.loads(await request.body())
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise ApiFailure(400, "The body is not JSON") from None


def media_type(request: Request) -> str:
    """Return the media type of a request's body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


# --- keys and rate limits -------------------------------------------------------------------------------


def bearer_key(request: Request) -> str | None:
    """Return the key of ``Authorization: Bearer <key>``; None without such a header."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def equal_keys(key: str | None, expected: str) -> bool:
    """Compare two keys in constant time."""
    return key is not None and secrets.compare_digest(key.encode(), expected.encode())


@dataclass(frozen=True)
class Allowance:
    """State of a caller's rate limit after one call."""

    limit: int
    remaining: int
    reset: datetime
    allowed: bool
    wait: int
    """Whole seconds until :attr:`reset`, at least 1."""


class CallsPerMinute:
    """[I] A fixed window of one minute that starts with the first call after the previous window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[datetime, int]] = {}
        self._lock = threading.Lock()

    def count(self, caller: str, limit: int) -> Allowance:
        """Count a call; a refused call does not count."""
        now = self._clock.now()
        with self._lock:
            reset, used = self._windows.get(caller, (now, 0))
            if now >= reset:
                reset, used = now + _WINDOW, 0
            allowed = used < limit
            used += allowed
            self._windows[caller] = (reset, used)
        wait = max(1, math.ceil((reset - now).total_seconds()))
        return Allowance(limit, max(0, limit - used), reset, allowed, wait)

    def clear(self) -> None:
        """Drop all counts."""
        with self._lock:
            self._windows.clear()


def retry_after(form: Literal["seconds", "date"], wait: int, now: datetime) -> str:
    """Return the value of a Retry-After header: ``wait`` seconds, or that time as an HTTP date."""
    if form == "seconds":
        return str(wait)
    return format_datetime(now + timedelta(seconds=wait), usegmt=True)
