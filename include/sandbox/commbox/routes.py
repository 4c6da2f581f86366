"""The three audience operations, and their JSON.

Pages: Create New Audiences, Get Audiences, Update Static Audience. They spell the resource ``/audiences`` and
``/Audiences``; both answer for all three, no other spelling does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.api import (
    ApiFailure,
    CallsPerMinute,
    Endpoint,
    bearer_key,
    build_app,
    call_details,
    equal_keys,
    media_type,
    retry_after,
)
from sandbox.clock import iso_ms
from sandbox.commbox import VENDOR
from sandbox.commbox.files import Customers, FileRefusedError, read_file
from sandbox.commbox.state import STATIC, Audience, CommBoxState
from sandbox.settings import SandboxSettings
from sandbox.vendor import ErrorAnswer, Services, phrase

Json = dict[str, Any]

_FILE: Final = "audience_file"
_NAME: Final = "name"
_DESCRIPTIONS: Final = {429: "Too Many Requests \N{EN DASH} Rate limit exceeded", 500: "Server Error"}
"""Descriptions of errors as the pages spell them; the others are the usual names."""


class RateLimited(ApiFailure):
    """Too many calls."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__(429, "rate limit")
        self.headers = headers


@dataclass(frozen=True)
class Context:
    """Objects that the routes use."""

    services: Services
    state: CommBoxState
    calls: CallsPerMinute

    @property
    def settings(self) -> SandboxSettings:
        """The current settings."""
        return self.services.settings.current

    def format(self, time: datetime) -> str:
        """Format a time."""
        text = iso_ms(time)
        return text if self.settings.commbox_times == "zulu" else text.removesuffix("Z")

    def answer(self, status: int | str, description: str, **data: Any) -> Json:
        """Return the JSON of an answer; errors have no ``data``."""
        time = self.format(self.services.clock.now())
        return {"status": status, "description": description, "response_time": time, **data}

    def error(self, status: int, headers: Mapping[str, str] | None = None) -> Response:
        """Return an error answer; the pages show one description for each status."""
        content = self.answer(status, _DESCRIPTIONS.get(status, phrase(status)))
        return JSONResponse(content, status, headers=headers)


def build_routes(context: Context) -> FastAPI:
    """Build the vendor's application."""

    def no_route(request: Request, refused: HTTPException) -> Response:
        details = call_details(request.scope)
        details.vendor, details.message = VENDOR, str(refused.detail)
        return context.error(refused.status_code, refused.headers)

    app = build_app("CommBox", no_route)
    operations: dict[str, tuple[str, str, Endpoint]] = {
        "createAudience": ("POST", "", _create(context)),
        "getAudiences": ("GET", "", _list(context)),
        "updateStaticAudience": ("PUT", "/{ident}", _update(context)),
    }
    for name, (method, path, handler) in operations.items():
        operation = f"{VENDOR}.{name}"
        endpoint = _endpoint(operation, handler, context)
        for resource in ("/audiences", "/Audiences"):
            # FastAPI's own routes would read the form before the key is checked
            app.router.routes.append(Route(resource + path, endpoint, methods=[method], name=operation))
    return app


def error_answer(context: Context, status: int) -> ErrorAnswer:
    """Return the vendor's error body for a status."""
    return ErrorAnswer(bytes(context.error(status).body), {"content-type": "application/json"})


def _endpoint(operation: str, handler: Endpoint, context: Context) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        details = call_details(request.scope)
        details.vendor, details.operation = VENDOR, operation
        try:
            _authorize(request, context)
            return await handler(request)
        except ApiFailure as failed:
            # the reason goes to the journal only
            details.message = failed.message
            return context.error(failed.status, getattr(failed, "headers", None))

    return endpoint


def _authorize(request: Request, context: Context) -> None:
    settings, key = context.settings, bearer_key(request)
    if equal_keys(key, settings.commbox_expired_api_key):
        raise ApiFailure(401, "API key has expired")
    if not equal_keys(key, settings.commbox_api_key):
        raise ApiFailure(401, "no API key" if key is None else "unknown API key")
    if context.state.key_expired:
        raise ApiFailure(401, "API key has expired")
    call_details(request.scope).user = "api key"
    if settings.commbox_rate_limit:
        allowance = context.calls.count("account", settings.commbox_rate_limit)
        form = settings.commbox_retry_after
        now = context.services.clock.now()
        if not allowance.allowed:
            raise RateLimited(
                {} if form == "none" else {"Retry-After": retry_after(form, allowance.wait, now)}
            )


async def _form(request: Request, allowed: set[str], context: Context) -> tuple[dict[str, str], bytes]:
    """Return the text fields and the file's bytes."""
    if media_type(request) != "multipart/form-data":
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
    noted = call_details(request.scope).body = {}
    for name, part in form.multi_items():
        if name in texts or name in files:
            raise ApiFailure(400, f"{name}: twice" if name in allowed else "an unknown field, twice")
        if isinstance(part, UploadFile):
            content = files[name] = await part.read()
            noted[name] = {
                "filename": part.filename,
                "content_type": part.content_type,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        else:
            texts[name] = part
            noted[name] = part if name == _NAME else {"text": len(part)}
    if _FILE in texts:
        raise ApiFailure(400, f"{_FILE}: text (a URL, a path, base64?), not a file part")
    if _FILE not in files:
        raise ApiFailure(400, f"{_FILE}: missing")
    if context.settings.commbox_unknown_fields == "refuse" and not (texts.keys() | files.keys() <= allowed):
        raise ApiFailure(400, "a field that the page does not name")
    return texts, files[_FILE]


def _create(context: Context) -> Endpoint:
    async def create(request: Request) -> Response:
        texts, content = await _form(request, {_NAME, _FILE}, context)
        name = texts.get(_NAME, "")
        if not name.strip():
            raise ApiFailure(400, "name: missing")
        audience = await run_in_threadpool(lambda: context.state.create(name, _read(content, context)))
        call_details(request.scope).ids["audienceId"] = audience.id
        return JSONResponse(context.answer(201, "Audience created", data={"id": audience.id}), 201)

    return create


def _list(context: Context) -> Endpoint:
    async def list_all(_: Request) -> Response:
        with context.state.lock:
            data = [_audience(item, context) for item in context.state.audiences.values()]
        # the status is a string here, as on the page, and a number everywhere else
        return JSONResponse(context.answer("200", "Audiences retrieved", data=data))

    return list_all


def _audience(item: Audience, context: Context) -> Json:
    """Return an audience of the list: static with user_count, dynamic without."""
    shown: Json = {"id": item.id, "name": item.name, "created_time": context.format(item.created)}
    pending = context.settings.commbox_pending_count
    if item.type == STATIC and (item.user_count is not None or pending == "zero"):
        shown["user_count"] = item.user_count or 0
    return {**shown, "type": item.type}


def _update(context: Context) -> Endpoint:
    async def update(request: Request) -> Response:
        ident = request.path_params["ident"]
        call_details(request.scope).ids["audienceId"] = ident
        # [I] the id is checked before the form
        context.state.static(ident)
        _, content = await _form(request, {_FILE}, context)
        await run_in_threadpool(lambda: context.state.replace(ident, _read(content, context)))
        return JSONResponse(context.answer(200, "Operation successful", data={"id": ident}))

    return update


def _read(content: bytes, context: Context) -> Customers:
    try:
        return read_file(content, context.settings)
    except FileRefusedError as error:
        raise ApiFailure(400, str(error)) from None
