"""The three audience operations.

Pages: Create New Audiences, Get Audiences, Update Static Audience. They spell the resource ``/audiences`` and
``/Audiences``; both answer for all three, no other spelling does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.app import call_details
from sandbox.bearer import bearer_key, is_one_of
from sandbox.clock import Clock
from sandbox.commbox import VENDOR, views
from sandbox.commbox.files import FileRefusedError, read_file
from sandbox.commbox.state import CommBoxState, NoSuchAudienceError, NotStaticError
from sandbox.ratelimit import CallsPerMinute, retry_after
from sandbox.settings import SettingsStore
from sandbox.vendor import ErrorAnswer

_FILE: Final = "audience_file"
_NAME: Final = "name"


class ApiFailure(Exception):  # noqa: N818  (an answer, not a bug)
    """An answer other than success; the reason goes to the journal only, the pages show one description each."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


@dataclass(frozen=True)
class Context:
    """What the routes work with."""

    state: CommBoxState
    settings: SettingsStore
    clock: Clock
    calls: CallsPerMinute

    def time(self) -> str:
        """Return the time for an answer."""
        return views.stamp(self.clock.now(), self.settings.current)


Handler = Callable[[Request], Awaitable[Response]]


def build_app(context: Context) -> FastAPI:
    """Build the vendor's application."""
    app = FastAPI(title="CommBox", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    operations: dict[str, tuple[str, str, Handler]] = {
        "createAudience": ("POST", "", _create(context)),
        "getAudiences": ("GET", "", _list(context)),
        "updateStaticAudience": ("PUT", "/{ident}", _update(context)),
    }
    for name, (method, path, handler) in operations.items():
        operation = f"{VENDOR}.{name}"
        for resource in ("/audiences", "/Audiences"):
            endpoint = _endpoint(operation, handler, context)
            # FastAPI's own routes would read the form before the key is checked
            app.router.routes.append(
                Route(resource + path, endpoint, methods=[method], name=operation, include_in_schema=False)
            )

    async def failure(request: Request, error: Exception) -> Response:
        failed = cast(ApiFailure, error)
        details = call_details(request.scope)
        details.message = failed.reason
        return JSONResponse(
            views.error(failed.status, context.time()), failed.status, headers=failed.headers or None
        )

    async def no_route(request: Request, error: Exception) -> Response:
        refused = cast(HTTPException, error)
        details = call_details(request.scope)
        details.vendor = VENDOR
        details.message = details.message or str(refused.detail)
        return JSONResponse(
            views.error(refused.status_code, context.time()), refused.status_code, headers=refused.headers
        )

    app.add_exception_handler(ApiFailure, failure)
    app.add_exception_handler(HTTPException, no_route)
    return app


def error_answer(context: Context, status: int) -> ErrorAnswer:
    """Return the vendor's error body for a status."""
    body = json.dumps(views.error(status, context.time()), ensure_ascii=False)
    return ErrorAnswer(body.encode(), {"content-type": "application/json"})


def _endpoint(operation: str, handler: Handler, context: Context) -> Handler:
    async def endpoint(request: Request) -> Response:
        details = call_details(request.scope)
        details.vendor, details.operation = VENDOR, operation
        _admit(request, context)
        return await handler(request)

    return endpoint


def _admit(request: Request, context: Context) -> None:
    settings, key = context.settings.current, bearer_key(request)
    if is_one_of(key, [settings.commbox_expired_api_key]):
        raise ApiFailure(401, "API key has expired")
    if not is_one_of(key, [settings.commbox_api_key]):
        raise ApiFailure(401, "no API key" if key is None else "unknown API key")
    if context.state.key_expired:
        raise ApiFailure(401, "API key has expired")
    call_details(request.scope).user = "api key"
    if settings.commbox_rate_limit:
        allowance = context.calls.take("account", settings.commbox_rate_limit)
        if not allowance.allowed:
            form = settings.commbox_retry_after
            headers = (
                {}
                if form == "none"
                else {"Retry-After": retry_after(form, allowance.wait, context.clock.now())}
            )
            raise ApiFailure(429, "rate limit", headers)


async def _form(request: Request, allowed: set[str], context: Context) -> tuple[dict[str, str], bytes]:
    """Return the text fields and the file's bytes."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "multipart/form-data":
        raise ApiFailure(400, "Content-Type is not multipart/form-data")
    try:
        async with request.form() as form:
            return await _parts(request, form, allowed, context)
    except HTTPException as error:
        raise ApiFailure(400, f"form: {error.detail}") from None


async def _parts(
    request: Request, form: FormData, allowed: set[str], context: Context
) -> tuple[dict[str, str], bytes]:
    texts: dict[str, str] = {}
    files: dict[str, bytes] = {}
    seen = call_details(request.scope).body = {}
    for name, part in form.multi_items():
        if name in texts or name in files:
            raise ApiFailure(400, f"{name}: twice" if name in allowed else "an unknown field, twice")
        if isinstance(part, UploadFile):
            content = files[name] = await part.read()
            seen[name] = {
                "filename": part.filename,
                "content_type": part.content_type,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        else:
            texts[name] = part
            seen[name] = part if name == _NAME else {"text": len(part)}
    if _FILE in texts:
        raise ApiFailure(400, f"{_FILE}: text (a URL, a path, base64?), not a file part")
    if _FILE not in files:
        raise ApiFailure(400, f"{_FILE}: missing")
    if context.settings.current.commbox_unknown_fields == "refuse" and not (
        texts.keys() | files.keys() <= allowed
    ):
        raise ApiFailure(400, "a field that the page does not name")
    return texts, files[_FILE]


def _create(context: Context) -> Handler:
    async def create(request: Request) -> Response:
        texts, content = await _form(request, {_NAME, _FILE}, context)
        name = texts.get(_NAME, "")
        if not name.strip():
            raise ApiFailure(400, "name: missing")

        def work() -> str:
            customers = _read(content, context)
            return context.state.create(name, customers).id

        ident = await run_in_threadpool(work)
        call_details(request.scope).ids["audienceId"] = ident
        return JSONResponse(views.answer(201, "Audience created", context.time(), {"id": ident}), 201)

    return create


def _list(context: Context) -> Handler:
    async def list_all(_: Request) -> Response:
        with context.state.lock:
            settings = context.settings.current
            data = [views.audience(item, settings) for item in context.state.audiences.values()]
        # a string here, as on the page, and a number everywhere else
        return JSONResponse(views.answer("200", "Audiences retrieved", context.time(), data))

    return list_all


def _update(context: Context) -> Handler:
    async def update(request: Request) -> Response:
        ident = request.path_params["ident"]
        call_details(request.scope).ids["audienceId"] = ident
        # [I] what is there comes before what was sent
        _found(lambda: context.state.static(ident))
        _, content = await _form(request, {_FILE}, context)

        def work() -> Any:
            customers = _read(content, context)
            return _found(lambda: context.state.replace(ident, customers))

        await run_in_threadpool(work)
        return JSONResponse(views.answer(200, "Operation successful", context.time(), {"id": ident}))

    return update


def _read(content: bytes, context: Context) -> Any:
    try:
        return read_file(content, context.settings.current)
    except FileRefusedError as error:
        raise ApiFailure(400, str(error)) from None


def _found(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except NoSuchAudienceError:
        raise ApiFailure(HTTPStatus.NOT_FOUND, "no such audience") from None
    except NotStaticError:
        raise ApiFailure(400, "the audience is dynamic") from None
