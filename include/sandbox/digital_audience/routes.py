"""The vendor's twelve operations, each under every path its pages show.

The pages contradict themselves: headings and cURLs name different paths, some with ``/api`` in front, and
letters in different case. All of them answer here. Answers to mistakes are not on any page; see the README
for what was chosen.
"""

# no "from __future__ import annotations": FastAPI could not resolve annotations that name a function's locals
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar, cast
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.app import CallDetails, call_details
from sandbox.clock import Clock
from sandbox.digital_audience import bodies, views
from sandbox.digital_audience.processor import UploadProcessor
from sandbox.digital_audience.state import ActivationOrder, DigitalAudienceState, NotFoundError, User
from sandbox.journal import Journal
from sandbox.settings import SettingsStore
from sandbox.vendor import ErrorAnswer

COOKIE: Final = "digitalAudience"
VENDOR: Final = "digital_audience"
LOGIN_PATH: Final = "/account/login"

# [I] The pages only say that 0 typically means success.
INVALID, NOT_FOUND, NO_SESSION, LOGIN_FAILED, BROKEN = 1, 2, 3, 4, 5

OPERATIONS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    Journal.LOGIN_OPERATION: ("POST", ("/account/login",)),
    "createCampaign": ("POST", ("/campaign/create", "/campaign/createcampaign")),
    "createCrmAudience": (
        "POST",
        ("/audience/createcrmaudience", "/audience/create/api/audience/createcrmaudience"),
    ),
    "updateAudience": ("POST", ("/audience/update",)),
    "activateAudience": ("POST", ("/audience/activate",)),
    "loadAudienceById": ("GET", ("/audience/loadaudiencebyid/{ident:int}",)),
    "deleteAudience": ("DELETE", ("/audience/delete", "/audience/delete/{ident:int}")),
    "loadAudienceSegments": ("GET", ("/segment/audience:{ident:int}",)),
    "loadSegment": ("GET", ("/segment/{ident:int}", "/segment/loadsegmentbyid/{ident:int}")),
    "updateSegmentEndDate": ("POST", ("/segment/updateenddate",)),
    "deleteSegment": ("DELETE", ("/segment/{ident:int}",)),
    "loadPlatformAccounts": (
        "GET",
        ("/organistion/loadplatformaccounts", "/organisation/loadplatformaccounts"),
    ),
}
"""Operation -> method and paths, in lower case and without the ``/api`` that may stand in front."""

_BodyT = TypeVar("_BodyT", bound=bodies.Body)


class ApiFailure(Exception):  # noqa: N818  (an answer, not a bug)
    """An answer other than success."""

    def __init__(self, http_status: int, status_code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.http_status, self.status_code, self.message, self.data = http_status, status_code, message, data


class NoSession(Exception):  # noqa: N818  (an answer, not a bug)
    """The request carries no valid session cookie."""


def usual_path(path: str) -> str:
    """Return the one spelling of a path: lower case, no ``/api`` in front, no slash at the end."""
    return path.lower().rstrip("/").removeprefix("/api") or "/"


def error_answer(status: int) -> ErrorAnswer:
    """[I] The envelope without data; no failing example is on any page."""
    known = {400: INVALID, 401: NO_SESSION, 404: NOT_FOUND}
    message = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    envelope = views.envelope(None, status_code=known.get(status, BROKEN), message=message)
    return ErrorAnswer(json.dumps(envelope).encode(), {"content-type": "application/json"})


class VendorPaths:
    """Makes all spellings of a path one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            scope = {**scope, "path": usual_path(scope["path"])}
        await self._app(scope, receive, send)


@dataclass(frozen=True)
class Context:
    """What the routes work with."""

    state: DigitalAudienceState
    processor: UploadProcessor
    settings: SettingsStore
    clock: Clock


def _details(request: Request) -> CallDetails:
    return call_details(request.scope)


Details = Annotated[CallDetails, Depends(_details)]


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


async def _json(request: Request) -> Any:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise ApiFailure(415, INVALID, "Content-Type must be application/json")
    try:
        return json.loads(await request.body())
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise ApiFailure(400, INVALID, "The body is not JSON") from None


def _read(model: type[_BodyT], data: Any) -> _BodyT:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # names and reasons only: what was sent may be a password
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in error.errors()
        )
        raise ApiFailure(400, INVALID, problems) from None


def build_app(context: Context) -> FastAPI:
    """Build the vendor's application."""
    app = FastAPI(
        title="Digital Audience", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    _add_error_answers(app, context)
    handlers = {**_account_handlers(context), **_audience_handlers(context), **_segment_handlers(context)}
    for name, (method, paths) in OPERATIONS.items():
        for path in paths:
            app.add_api_route(
                path,
                handlers[name],
                methods=[method],
                name=name,
                dependencies=[Depends(_naming(name))],
                response_model=None,
            )
    app.add_middleware(VendorPaths)
    return app


def _naming(operation: str) -> Callable[[Request], Awaitable[None]]:
    async def name(request: Request) -> None:
        details = call_details(request.scope)
        details.vendor, details.operation = VENDOR, operation

    return name


def _session(context: Context) -> Callable[[Request], Awaitable[User]]:
    async def user(request: Request) -> User:
        found = context.state.user_of(request.cookies.get(COOKIE, ""))
        if found is None:
            raise NoSession
        call_details(request.scope).user = found.name
        return found

    return user


def _body(
    model: type[_BodyT], user: Callable[[Request], Awaitable[User]]
) -> Callable[..., Awaitable[_BodyT]]:
    # the session comes first, as it does in ASP.NET: a stranger learns nothing about the body
    async def read(request: Request, _: Annotated[User, Depends(user)]) -> _BodyT:
        data = await _json(request)
        call_details(request.scope).body = data
        return _read(model, data)

    return read


def _add_error_answers(app: FastAPI, context: Context) -> None:
    async def failure(request: Request, error: Exception) -> Response:
        failed = cast(ApiFailure, error)
        return _answer(
            call_details(request.scope),
            failed.data,
            http_status=failed.http_status,
            status_code=failed.status_code,
            message=failed.message,
        )

    async def not_found(request: Request, error: Exception) -> Response:
        return _answer(
            call_details(request.scope), None, http_status=404, status_code=NOT_FOUND, message=str(error)
        )

    async def no_session(request: Request, _: Exception) -> Response:
        details = call_details(request.scope)
        way = context.settings.current.expired_session_answer
        message = "Session expired, please log in"
        if way == "redirect":
            details.success, details.message = False, message
            return RedirectResponse(f"{LOGIN_PATH}?ReturnUrl={quote(request.scope['path'])}", status_code=302)
        return _answer(
            details,
            None,
            http_status=200 if way == "envelope" else int(way),
            status_code=NO_SESSION,
            message=message,
        )

    async def no_route(request: Request, error: Exception) -> Response:
        refused = cast(HTTPException, error)
        details = call_details(request.scope)
        details.vendor, details.success = VENDOR, False
        path = request.scope["path"]
        if refused.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            redirecting = context.settings.current.expired_session_answer == "redirect"
            if redirecting and path == LOGIN_PATH and request.method == "GET":
                # where the redirect leads: a page for people, with status 200
                details.success = True
                return HTMLResponse("<!doctype html><title>Log in</title><h1>Log in</h1>")
            details.operation = getattr(request.scope.get("route"), "name", None)
        # ASP.NET answers routing errors without a body, so there is no envelope to rely on
        return Response(status_code=refused.status_code, headers=refused.headers)

    app.add_exception_handler(ApiFailure, failure)
    app.add_exception_handler(NotFoundError, not_found)
    app.add_exception_handler(NoSession, no_session)
    app.add_exception_handler(HTTPException, no_route)


Handlers = dict[str, Callable[..., Any]]


def _account_handlers(context: Context) -> Handlers:
    state = context.state
    user_of = _session(context)
    Caller = Annotated[User, Depends(user_of)]  # noqa: N806  (a type)

    async def login(request: Request, details: Details) -> Response:
        body = _read(bodies.Login, await _json(request))
        opened = state.login(body.username, body.password)
        if opened is None:
            way = context.settings.current.failed_login_answer
            raise ApiFailure(
                200 if way == "envelope" else 401, LOGIN_FAILED, "Wrong user name or password", data=False
            )
        token, session = opened
        details.user = session.user.name
        answer = _answer(details, True)
        lifetime = math.ceil((session.expires - context.clock.now()).total_seconds())
        answer.set_cookie(COOKIE, token, max_age=lifetime, httponly=True, samesite="lax")
        return answer

    def create_campaign(
        user: Caller,
        body: Annotated[bodies.CreateCampaign, Depends(_body(bodies.CreateCampaign, user_of))],
        details: Details,
    ) -> Response:
        campaign = state.create_campaign(user, body.name)
        details.ids["campaignId"] = campaign.id
        by_object = context.settings.current.campaign_answer == "object"
        return _answer(details, views.campaign(campaign) if by_object else campaign.id)

    def load_platform_accounts(user: Caller, details: Details) -> Response:
        return _answer(details, [views.account(account) for account in state.accounts_of(user)])

    return {
        Journal.LOGIN_OPERATION: login,
        "createCampaign": create_campaign,
        "loadPlatformAccounts": load_platform_accounts,
    }


def _audience_handlers(context: Context) -> Handlers:
    state, settings, clock = context.state, context.settings, context.clock
    user_of = _session(context)
    Caller = Annotated[User, Depends(user_of)]  # noqa: N806  (a type)

    def create_crm_audience(
        user: Caller,
        body: Annotated[bodies.CreateCrmAudience, Depends(_body(bodies.CreateCrmAudience, user_of))],
        details: Details,
    ) -> Response:
        details.ids["campaignId"] = body.campaignid
        audience = state.create_audience(user, body.campaignid, body.name, body.description)
        details.ids["audienceId"] = audience.id
        return _answer(details, views.audience(audience, clock.now(), settings.current))

    def update_audience(
        user: Caller,
        body: Annotated[bodies.UpdateAudience, Depends(_body(bodies.UpdateAudience, user_of))],
        details: Details,
    ) -> Response:
        details.ids["audienceId"] = body.id
        audience = state.update_audience(user, body.id, body.name, body.description)
        by_object = settings.current.undocumented_data == "object"
        return _answer(
            details, views.audience(audience, clock.now(), settings.current) if by_object else True
        )

    def activate_audience(
        user: Caller,
        body: Annotated[bodies.Activate, Depends(_body(bodies.Activate, user_of))],
        details: Details,
    ) -> Response:
        details.ids.update(audienceId=body.audienceid, accountId=body.accountid)
        order = ActivationOrder(
            body.audienceid, body.accountid, body.name, body.description, body.startdate, body.enddate
        )
        segment = state.activate(user, order)
        details.ids["segmentId"] = segment.segment_id
        context.processor.await_activation(segment.segment_id)
        return _answer(details, {"flowId": segment.flow_id, "segmentId": segment.segment_id})

    def load_audience_by_id(user: Caller, ident: int, details: Details) -> Response:
        details.ids["audienceId"] = ident
        with state.lock:
            audience = state.audience(user, ident)
            return _answer(details, views.audience(audience, clock.now(), settings.current, details=True))

    async def audience_to_delete(request: Request, _: Caller) -> int:
        # the page does not show how the id is passed, so every usual way will do
        given: Any = request.path_params.get("ident")
        for name, value in request.query_params.items():
            if given is None and name.lower() in {"audienceid", "id"}:
                given = value
        if given is None and await request.body():
            data = await _json(request)
            call_details(request.scope).body = data
            named = (
                {str(name).lower(): value for name, value in data.items()} if isinstance(data, dict) else {}
            )
            given = named.get("audienceid", named.get("id"))
        if isinstance(given, str) and given.isascii() and given.isdigit():
            given = int(given)
        if not isinstance(given, int) or isinstance(given, bool):
            raise ApiFailure(400, INVALID, "audienceId: an integer is required")
        return given

    def delete_audience(
        user: Caller, ident: Annotated[int, Depends(audience_to_delete)], details: Details
    ) -> Response:
        details.ids["audienceId"] = ident
        state.delete_audience(user, ident)
        return _answer(details, True)

    return {
        "createCrmAudience": create_crm_audience,
        "updateAudience": update_audience,
        "activateAudience": activate_audience,
        "loadAudienceById": load_audience_by_id,
        "deleteAudience": delete_audience,
    }


def _segment_handlers(context: Context) -> Handlers:
    state, settings, clock = context.state, context.settings, context.clock
    user_of = _session(context)
    Caller = Annotated[User, Depends(user_of)]  # noqa: N806  (a type)

    def load_audience_segments(user: Caller, ident: int, details: Details) -> Response:
        details.ids["audienceId"] = ident
        with state.lock:
            audience, now = state.audience(user, ident), clock.now()
            return _answer(
                details, [views.segment(segment, audience, now) for segment in audience.segments.values()]
            )

    def load_segment(user: Caller, ident: int, details: Details) -> Response:
        details.ids["segmentId"] = ident
        with state.lock:
            segment = state.segment(user, ident)
            details.ids["audienceId"] = segment.audience_id
            return _answer(
                details, views.segment(segment, state.audience(user, segment.audience_id), clock.now())
            )

    def update_end_date(
        user: Caller,
        body: Annotated[bodies.UpdateEndDate, Depends(_body(bodies.UpdateEndDate, user_of))],
        details: Details,
    ) -> Response:
        details.ids["segmentId"] = body.segmentid
        with state.lock:
            segment = state.segment(user, body.segmentid)
            details.ids["audienceId"] = segment.audience_id
            if body.enddate <= segment.start:
                raise ApiFailure(400, INVALID, "endDate is not after the segment's startDate")
            segment.end, segment.updated = body.enddate, clock.now()
            if settings.current.undocumented_data == "true":
                return _answer(details, True)
            return _answer(
                details, views.segment(segment, state.audience(user, segment.audience_id), clock.now())
            )

    def delete_segment(user: Caller, ident: int, details: Details) -> Response:
        details.ids["segmentId"] = ident
        details.ids["audienceId"] = state.delete_segment(user, ident).audience_id
        return _answer(details, True)

    return {
        "loadAudienceSegments": load_audience_segments,
        "loadSegment": load_segment,
        "updateSegmentEndDate": update_end_date,
        "deleteSegment": delete_segment,
    }
