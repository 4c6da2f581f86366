"""The vendor's twelve operations, each under every path its pages show.

The pages contradict themselves: headings and cURLs name different paths, some with ``/api`` in front, and letters in
different case. All of them answer here. No page shows answers to mistakes; the README lists the sandbox's choices.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.api import ApiFailure, CallDetails, Endpoint, build_app, call_details, read_json
from sandbox.digital_audience import VENDOR, bodies, views
from sandbox.digital_audience.processor import UploadProcessor
from sandbox.digital_audience.state import DigitalAudienceState, User
from sandbox.journal import Journal
from sandbox.settings import SandboxSettings
from sandbox.vendor import ErrorAnswer, Services, phrase

COOKIE: Final = "digitalAudience"
LOGIN_PATH: Final = "/account/login"

# [I] The pages only state that 0 typically means success.
INVALID, NOT_FOUND, NO_SESSION, LOGIN_FAILED, OTHER = 1, 2, 3, 4, 5
_STATUS_CODES: Final = {400: INVALID, 401: NO_SESSION, 404: NOT_FOUND, 415: INVALID}


def canonical_path(path: str) -> str:
    """Return the one spelling of a path: lower case, no ``/api`` in front, no slash at the end."""
    return path.lower().rstrip("/").removeprefix("/api") or "/"


def error_answer(status: int) -> ErrorAnswer:
    """[I] The envelope without data; no failing example is on any page."""
    code = _STATUS_CODES.get(status, OTHER)
    envelope = views.envelope(None, status_code=code, message=phrase(status))
    return ErrorAnswer(json.dumps(envelope).encode(), {"content-type": "application/json"})


class VendorPaths:
    """Replaces each spelling of a path by the canonical one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            scope = {**scope, "path": canonical_path(scope["path"])}
        await self._app(scope, receive, send)


@dataclass(frozen=True)
class Context:
    """Objects that the routes use."""

    services: Services
    state: DigitalAudienceState
    processor: UploadProcessor

    @property
    def settings(self) -> SandboxSettings:
        """The current settings."""
        return self.services.settings.current


@dataclass(frozen=True)
class Call:
    """One call with a valid session; the state is locked during the call."""

    context: Context
    user: User
    ident: int
    """Id in the path; 0 for a path without one."""
    body: Any
    """Result of the operation's reader."""
    ids: dict[str, int | str]
    """Ids for the journal."""

    @property
    def state(self) -> DigitalAudienceState:
        """The vendor's state."""
        return self.context.state

    def audience(self, ident: int, *, details: bool = False) -> Any:
        """Return an audience of the caller as JSON."""
        now = self.context.services.clock.now()
        return views.audience(
            self.state.audience(self.user, ident), now, self.context.settings, details=details
        )

    def segment(self, ident: int) -> Any:
        """Return a segment of the caller as JSON."""
        segment = self.state.segment(self.user, ident)
        parent = self.state.audience(self.user, segment.audience_id)
        return views.segment(segment, parent, self.context.services.clock.now())


Reader = Callable[[Request, CallDetails], Awaitable[Any]]
Handler = Callable[[Call], Any]


class Operation(NamedTuple):
    """An operation that requires a session; all except the login."""

    method: str
    paths: tuple[str, ...]
    read: Reader
    handler: Handler
    """Returns the answer's ``data``."""


OPERATIONS: Final[dict[str, Operation]] = {}


def build_routes(context: Context) -> FastAPI:
    """Build the vendor's application."""

    def no_route(request: Request, refused: HTTPException) -> Response:
        details = call_details(request.scope)
        details.vendor, details.success = VENDOR, False
        if refused.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            redirecting = context.settings.expired_session_answer == "redirect"
            if redirecting and request.scope["path"] == LOGIN_PATH and request.method == "GET":
                # target of the redirect: a page for people, with status 200
                details.success = True
                return HTMLResponse("<!doctype html><title>Log in</title><h1>Log in</h1>")
            details.operation = getattr(request.scope.get("route"), "name", None)
        # ASP.NET answers routing errors without a body, so there is no envelope to rely on
        return Response(status_code=refused.status_code, headers=refused.headers)

    app = build_app("Digital Audience", no_route)

    def add(name: str, method: str, paths: tuple[str, ...], endpoint: Endpoint) -> None:
        for path in paths:
            app.add_api_route(path, endpoint, methods=[method], name=name, response_model=None)

    add(Journal.LOGIN, "POST", (LOGIN_PATH,), _login_endpoint(context))
    for name, operation in OPERATIONS.items():
        add(name, operation.method, operation.paths, _endpoint(name, operation, context))
    app.add_middleware(VendorPaths)
    return app


def _answer(
    details: CallDetails,
    data: Any,
    *,
    http_status: int = 200,
    status_code: int = 0,
    message: str | None = None,
) -> JSONResponse:
    details.status_code, details.success, details.message = status_code, status_code == 0, message
    return JSONResponse(views.envelope(data, status_code=status_code, message=message), http_status)


def _failure(details: CallDetails, failed: ApiFailure) -> Response:
    code = _STATUS_CODES[failed.status]
    return _answer(details, None, http_status=failed.status, status_code=code, message=failed.message)


def _no_session(request: Request, details: CallDetails, context: Context) -> Response:
    form = context.settings.expired_session_answer
    message = "Session expired, please log in"
    if form == "redirect":
        details.success, details.message = False, message
        return RedirectResponse(f"{LOGIN_PATH}?ReturnUrl={quote(request.scope['path'])}", status_code=302)
    status = 200 if form == "envelope" else int(form)
    return _answer(details, None, http_status=status, status_code=NO_SESSION, message=message)


def _login_endpoint(context: Context) -> Endpoint:
    async def login(request: Request) -> Response:
        details = call_details(request.scope)
        details.vendor, details.operation = VENDOR, Journal.LOGIN
        try:
            # not for the journal: it holds a password
            body: bodies.Login = _validate(bodies.Login, await read_json(request))
        except ApiFailure as failed:
            return _failure(details, failed)
        opened = context.state.login(body.username, body.password)
        if opened is None:
            status = 200 if context.settings.failed_login_answer == "envelope" else 401
            message = "Wrong user name or password"
            return _answer(details, False, http_status=status, status_code=LOGIN_FAILED, message=message)
        token, session = opened
        details.user = session.user.name
        answer = _answer(details, True)
        lifetime = math.ceil((session.expires - context.services.clock.now()).total_seconds())
        answer.set_cookie(COOKIE, token, max_age=lifetime, httponly=True, samesite="lax")
        return answer

    return login


def _endpoint(name: str, operation: Operation, context: Context) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        details = call_details(request.scope)
        details.vendor, details.operation = VENDOR, name
        # before the body, as in ASP.NET: a caller without a session learns nothing about it
        user = context.state.user_with(request.cookies.get(COOKIE, ""))
        if user is None:
            return _no_session(request, details, context)
        details.user = user.name
        try:
            body = await operation.read(request, details)
            call = Call(context, user, request.path_params.get("ident", 0), body, details.ids)
            return _answer(details, await run_in_threadpool(_locked, operation.handler, call))
        except ApiFailure as failed:
            return _failure(details, failed)

    return endpoint


def _locked(handler: Handler, call: Call) -> Any:
    with call.state.lock:
        return handler(call)


# --- readers of bodies ----------------------------------------------------------------------------------


async def _nothing(_: Request, __: CallDetails) -> None:
    """Read no body."""


def _body(model: type[bodies.Body]) -> Reader:
    async def read(request: Request, details: CallDetails) -> Any:
        details.body = await read_json(request)
        return _validate(model, details.body)

    return read


async def _id_to_delete(request: Request, details: CallDetails) -> int:
    """Return the id from path, query or body: the page does not show its place."""
    ident: Any = request.path_params.get("ident")
    for name, value in request.query_params.items():
        if ident is None and name.lower() in {"audienceid", "id"}:
            ident = value
    if ident is None and await request.body():
        data = details.body = await read_json(request)
        fields = {str(name).lower(): value for name, value in data.items()} if isinstance(data, dict) else {}
        ident = fields.get("audienceid", fields.get("id"))
    if isinstance(ident, str) and ident.isascii() and ident.isdigit():
        ident = int(ident)
    if not isinstance(ident, int) or isinstance(ident, bool):
        raise ApiFailure(400, "audienceId: an integer is required")
    return ident


def _validate(model: type[bodies.Body], data: Any) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # names and reasons only: a value may be a password
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in error.errors()
        )
        raise ApiFailure(400, problems) from None


# --- operations -----------------------------------------------------------------------------------------


def _operation(name: str, method: str, *paths: str, read: Reader = _nothing) -> Callable[[Handler], Handler]:
    """Register an operation.

    :param paths: in lower case, and without the ``/api`` that may be in front.
    """

    def register(handler: Handler) -> Handler:
        OPERATIONS[name] = Operation(method, paths, read, handler)
        return handler

    return register


@_operation(
    "createCampaign",
    "POST",
    "/campaign/create",
    "/campaign/createcampaign",
    read=_body(bodies.CreateCampaign),
)
def _create_campaign(call: Call) -> Any:
    campaign = call.state.create_campaign(call.user, call.body.name)
    call.ids["campaignId"] = campaign.id
    return views.campaign(campaign) if call.context.settings.campaign_answer == "object" else campaign.id


@_operation(
    "loadPlatformAccounts",
    "GET",
    "/organistion/loadplatformaccounts",
    "/organisation/loadplatformaccounts",
)
def _load_platform_accounts(call: Call) -> Any:
    return [account.fields for account in call.state.accounts_of(call.user)]


@_operation(
    "createCrmAudience",
    "POST",
    "/audience/createcrmaudience",
    "/audience/create/api/audience/createcrmaudience",
    read=_body(bodies.CreateCrmAudience),
)
def _create_crm_audience(call: Call) -> Any:
    body: bodies.CreateCrmAudience = call.body
    call.ids["campaignId"] = body.campaignid
    audience = call.state.create_audience(call.user, body.campaignid, body.name, body.description)
    call.ids["audienceId"] = audience.id
    return call.audience(audience.id)


@_operation("updateAudience", "POST", "/audience/update", read=_body(bodies.UpdateAudience))
def _update_audience(call: Call) -> Any:
    body: bodies.UpdateAudience = call.body
    call.ids["audienceId"] = body.id
    call.state.update_audience(call.user, body.id, body.name, body.description)
    return call.audience(body.id) if call.context.settings.undocumented_data == "object" else True


@_operation("activateAudience", "POST", "/audience/activate", read=_body(bodies.Activate))
def _activate_audience(call: Call) -> Any:
    body: bodies.Activate = call.body
    call.ids.update(audienceId=body.audienceid, accountId=body.accountid)
    segment = call.state.activate(call.user, body)
    call.ids["segmentId"] = segment.segment_id
    call.context.processor.await_activation(segment.segment_id)
    return {"flowId": segment.flow_id, "segmentId": segment.segment_id}


@_operation("loadAudienceById", "GET", "/audience/loadaudiencebyid/{ident:int}")
def _load_audience_by_id(call: Call) -> Any:
    call.ids["audienceId"] = call.ident
    return call.audience(call.ident, details=True)


@_operation(
    "deleteAudience", "DELETE", "/audience/delete", "/audience/delete/{ident:int}", read=_id_to_delete
)
def _delete_audience(call: Call) -> Any:
    call.ids["audienceId"] = call.body
    call.state.delete_audience(call.user, call.body)
    return True


@_operation("loadAudienceSegments", "GET", "/segment/audience:{ident:int}")
def _load_audience_segments(call: Call) -> Any:
    call.ids["audienceId"] = call.ident
    return [call.segment(ident) for ident in call.state.audience(call.user, call.ident).segments]


@_operation("loadSegment", "GET", "/segment/{ident:int}", "/segment/loadsegmentbyid/{ident:int}")
def _load_segment(call: Call) -> Any:
    call.ids["segmentId"] = call.ident
    call.ids["audienceId"] = call.state.segment(call.user, call.ident).audience_id
    return call.segment(call.ident)


@_operation("updateSegmentEndDate", "POST", "/segment/updateenddate", read=_body(bodies.UpdateEndDate))
def _update_segment_end_date(call: Call) -> Any:
    body: bodies.UpdateEndDate = call.body
    call.ids["segmentId"] = body.segmentid
    segment = call.state.segment(call.user, body.segmentid)
    call.ids["audienceId"] = segment.audience_id
    if body.enddate <= segment.start:
        raise ApiFailure(400, "endDate is not after the segment's startDate")
    segment.end, segment.updated = body.enddate, call.context.services.clock.now()
    return True if call.context.settings.undocumented_data == "true" else call.segment(body.segmentid)


@_operation("deleteSegment", "DELETE", "/segment/{ident:int}")
def _delete_segment(call: Call) -> Any:
    call.ids["segmentId"] = call.ident
    call.ids["audienceId"] = call.state.delete_segment(call.user, call.ident).audience_id
    return True
