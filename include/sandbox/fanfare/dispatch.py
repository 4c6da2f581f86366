"""Calls of Fanfare's API: authorization, rate limit, errors, and dispatch to the operations of ``routes``."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.api import (
    Allowance,
    ApiFailure,
    CallDetails,
    CallsPerMinute,
    Endpoint,
    bearer_key,
    build_app,
    call_details,
    read_json,
    retry_after,
)
from sandbox.fanfare import API, VENDOR, views
from sandbox.fanfare.bodies import DYNAMIC, Field, validate
from sandbox.fanfare.issues import InvalidRequest
from sandbox.fanfare.records import Audience, Organization
from sandbox.fanfare.settings import FanfareSettings
from sandbox.fanfare.state import FanfareState
from sandbox.presigned import UploadUrls
from sandbox.vendor import ErrorAnswer, Services

Json = dict[str, Any]

_PERSONAL: Final = frozenset({"values", "metadata", "sourceData"})
_IDS: Final = {
    "audience_id": "audienceId",
    "rule_id": "ruleId",
    "group_id": "groupId",
    "consumer_id": "consumerId",
}
_REQUEST_ID: Final = "X-Request-Id"


@dataclass(frozen=True)
class Context:
    """Objects that the routes use."""

    services: Services
    state: FanfareState
    urls: UploadUrls
    calls: CallsPerMinute


@dataclass(frozen=True)
class Call:
    """One authorized call."""

    context: Context
    organization: Organization
    settings: FanfareSettings
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    details: CallDetails

    @property
    def state(self) -> FanfareState:
        """The vendor's state, locked during the call."""
        return self.context.state

    def audience(self, *, dynamic: bool = False) -> Audience:
        """Return the audience that the path names.

        :raises ApiFailure: unknown, or with ``dynamic`` another type.
        """
        audience = self.state.audience(self.organization, self.params["audience_id"])
        if dynamic and audience.type != DYNAMIC:
            raise ApiFailure(400, "Audience is not dynamic")
        return audience

    def show(self, audience: Audience, *, full: bool = True) -> Json:
        """Return an audience as JSON."""
        return views.audience(audience, self.context.services.clock.now(), self.settings, full=full)

    def check(self, fields: Mapping[str, Field]) -> Json:
        """Return the body.

        :raises InvalidRequest: it is invalid.
        """
        self.refuse(validate(self.body, fields, self.settings))
        valid: Json = self.body
        return valid

    def refuse(self, problems: list[Json]) -> None:
        """Refuse the call if there are problems."""
        if problems:
            raise InvalidRequest(problems)


Handler = Callable[[Call], Any]


class Operation(NamedTuple):
    """An operation of the API."""

    method: str
    path: str
    has_body: bool
    handler: Handler


def build_routes(context: Context, operations: Mapping[str, Operation]) -> FastAPI:
    """Build the vendor's application; ``operations`` have the spec's names."""

    def no_route(request: Request, refused: HTTPException) -> Response:
        details = call_details(request.scope)
        details.vendor, details.message = VENDOR, str(refused.detail)
        settings = context.services.settings.current
        content = views.error(settings, refused.status_code, str(refused.detail))
        headers = {**(refused.headers or {}), _REQUEST_ID: str(uuid.uuid4())}
        return JSONResponse(content, refused.status_code, headers=headers)

    app = build_app("Fanfare", no_route)
    for name, operation in operations.items():
        full_name = f"{VENDOR}.{name}"
        endpoint = _endpoint(full_name, operation, context)
        for prefix in (API, f"{API}/v1"):
            route = Route(prefix + operation.path, endpoint, methods=[operation.method], name=full_name)
            app.router.routes.append(route)
    return app


def error_answer(context: Context, status: int) -> ErrorAnswer:
    """Return the vendor's error body for a status."""
    settings = context.services.settings.current
    headers = {"content-type": "application/json", _REQUEST_ID.lower(): str(uuid.uuid4())}
    content = views.usual_error(settings, status)
    if status == 429:
        wait = 30
        content = views.too_many(wait)
        now = context.services.clock.now()
        headers["retry-after"] = retry_after(settings.fanfare_retry_after, wait, now)
    return ErrorAnswer(json.dumps(content).encode(), headers)


def _endpoint(name: str, operation: Operation, context: Context) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        details = call_details(request.scope)
        details.vendor, details.operation = VENDOR, name
        details.ids.update({_IDS[key]: value for key, value in request.path_params.items()})
        settings: FanfareSettings = context.services.settings.current
        headers = {_REQUEST_ID: str(uuid.uuid4())}
        try:
            organization = _authorize(request, context, details)
            allowance = context.calls.count(organization.id, settings.fanfare_rate_limit)
            headers.update(_rate_headers(allowance))
            if not allowance.allowed:
                details.message = "rate limit"
                headers["Retry-After"] = retry_after(
                    settings.fanfare_retry_after, allowance.wait, context.services.clock.now()
                )
                return JSONResponse(views.too_many(allowance.wait), 429, headers=headers)
            if name in {one.strip() for one in settings.fanfare_forbidden.split(",")}:
                raise ApiFailure(403, "User must be authenticated")
            body = await read_json(request) if operation.has_body else None
            details.body = _without_people(body)
            query = dict(request.query_params)
            if "search" in query:
                details.query = "&".join(f"{key}=..." for key in query)
            call = Call(context, organization, settings, request.path_params, query, body, details)
            return JSONResponse(await run_in_threadpool(_locked, operation.handler, call), headers=headers)
        except ApiFailure as failed:
            problems = failed.issues if isinstance(failed, InvalidRequest) else None
            # names of the invalid fields, never their values
            names = [".".join(str(one["key"]) for one in issue["path"]) for issue in problems or []]
            details.message = ": ".join([failed.message, ", ".join(names)] if names else [failed.message])
            content = views.error(settings, failed.status, failed.message, problems)
            return JSONResponse(content, failed.status, headers=headers)

    return endpoint


def _locked(handler: Handler, call: Call) -> Any:
    with call.state.lock:
        return handler(call)


def _authorize(request: Request, context: Context, details: CallDetails) -> Organization:
    organization = context.state.organization_with(bearer_key(request))
    if organization is None:
        # one answer for all wrong keys, even for those of another form
        raise ApiFailure(401, "Unauthorized")
    details.user = organization.name
    return organization


def _rate_headers(allowance: Allowance) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
        "X-RateLimit-Reset": str(int(allowance.reset.timestamp())),
    }


def _without_people(body: Any) -> Any:
    if isinstance(body, dict):
        return {key: "..." if key in _PERSONAL else _without_people(value) for key, value in body.items()}
    return [_without_people(one) for one in body] if isinstance(body, list) else body
