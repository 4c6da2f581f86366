"""The audience operations of the Admin API, below ``/api`` and ``/api/v1``.

Operations are named in the way of the spec (``getAudiences``, ``postAudiences``); [I] those whose names are not on
a page are made of method and path as those are.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.app import CallDetails, call_details
from sandbox.bearer import bearer_key
from sandbox.clock import Clock
from sandbox.fanfare import API, VENDOR, bodies, views
from sandbox.fanfare.bodies import DYNAMIC, Field, type_of, validate
from sandbox.fanfare.paging import QueryError, read_query, take_page
from sandbox.fanfare.settings import FanfareSettings
from sandbox.fanfare.state import ApiFailure, Audience, Consumer, FanfareState, Organization, Rule
from sandbox.presigned import UploadUrls
from sandbox.ratelimit import Allowance, CallsPerMinute, retry_after
from sandbox.settings import SettingsStore
from sandbox.vendor import ErrorAnswer

Json = dict[str, Any]

OPERATIONS: Final[dict[str, tuple[str, str]]] = {
    "getAudiences": ("GET", "/audiences"),
    "postAudiences": ("POST", "/audiences"),
    "getAudiencesGroupsByGroupId": ("GET", "/audiences/groups/{group_id}"),
    "postAudiencesLoyaltyTiers": ("POST", "/audiences/loyalty-tiers"),
    "getAudiencesByAudienceId": ("GET", "/audiences/{audience_id}"),
    "putAudiencesByAudienceId": ("PUT", "/audiences/{audience_id}"),
    "deleteAudiencesByAudienceId": ("DELETE", "/audiences/{audience_id}"),
    "getAudiencesByAudienceIdCount": ("GET", "/audiences/{audience_id}/count"),
    "getAudiencesByAudienceIdStatus": ("GET", "/audiences/{audience_id}/status"),
    "getAudiencesByAudienceIdMembers": ("GET", "/audiences/{audience_id}/members"),
    "postAudiencesByAudienceIdSync": ("POST", "/audiences/{audience_id}/sync"),
    "getAudiencesByAudienceIdImport": ("GET", "/audiences/{audience_id}/import"),
    "postAudiencesByAudienceIdImport": ("POST", "/audiences/{audience_id}/import"),
    "getAudiencesByAudienceIdRules": ("GET", "/audiences/{audience_id}/rules"),
    "postAudiencesByAudienceIdRules": ("POST", "/audiences/{audience_id}/rules"),
    "putAudiencesByAudienceIdRules": ("PUT", "/audiences/{audience_id}/rules"),
    "getAudiencesByAudienceIdRulesByRuleId": ("GET", "/audiences/{audience_id}/rules/{rule_id}"),
    "putAudiencesByAudienceIdRulesByRuleId": ("PUT", "/audiences/{audience_id}/rules/{rule_id}"),
    "deleteAudiencesByAudienceIdRulesByRuleId": ("DELETE", "/audiences/{audience_id}/rules/{rule_id}"),
    "getConsumersByConsumerIdAudiences": ("GET", "/consumers/{consumer_id}/audiences"),
}
"""Operation -> method and path."""

_WITH_BODY: Final = frozenset(
    {
        "postAudiences",
        "postAudiencesLoyaltyTiers",
        "putAudiencesByAudienceId",
        "postAudiencesByAudienceIdRules",
        "putAudiencesByAudienceIdRules",
        "putAudiencesByAudienceIdRulesByRuleId",
    }
)
_MAY_HOLD_PEOPLE: Final = frozenset({"values", "metadata", "sourceData"})
_IDS: Final = {
    "audience_id": "audienceId",
    "rule_id": "ruleId",
    "group_id": "groupId",
    "consumer_id": "consumerId",
}
_REQUEST_ID: Final = "X-Request-Id"


@dataclass(frozen=True)
class Context:
    """What the routes work with."""

    state: FanfareState
    settings: SettingsStore
    clock: Clock
    urls: UploadUrls
    calls: CallsPerMinute


@dataclass(frozen=True)
class Call:
    """One call, let in and read."""

    context: Context
    organization: Organization
    settings: FanfareSettings
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    details: CallDetails

    @property
    def state(self) -> FanfareState:
        """The vendor's memory, locked while the call is worked on."""
        return self.context.state

    def audience(self) -> Audience:
        """Return the audience that the path names.

        :raises ApiFailure: there is none.
        """
        return self.state.audience(self.organization, self.params["audience_id"])

    def shown(self, audience: Audience, *, full: bool = True) -> Json:
        """Return an audience as JSON."""
        return views.audience(audience, self.context.clock.now(), self.settings, full=full)

    def check(self, fields: Mapping[str, Field]) -> Json:
        """Return the body.

        :raises ApiFailure: it is not valid.
        """
        self.refuse(validate(self.body, fields, self.settings))
        valid: Json = self.body
        return valid

    def refuse(self, found: list[Json]) -> None:
        """Refuse the call if there is anything wrong with it."""
        if found:
            raise ApiFailure(400, "Validation failed", found)


Handler = Callable[[Call], Any]
Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(context: Context) -> FastAPI:
    """Build the vendor's application."""
    app = FastAPI(title="Fanfare", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for name, (method, path) in OPERATIONS.items():
        operation = f"{VENDOR}.{name}"
        endpoint = _endpoint(name, _HANDLERS[name], context)
        for prefix in (API, f"{API}/v1"):
            app.router.routes.append(Route(prefix + path, endpoint, methods=[method], name=operation))

    async def no_route(request: Request, error: Exception) -> Response:
        refused = cast(HTTPException, error)
        details = call_details(request.scope)
        details.vendor, details.message = VENDOR, str(refused.detail)
        content = views.error(context.settings.current, refused.status_code, str(refused.detail))
        headers = {**(refused.headers or {}), _REQUEST_ID: str(uuid.uuid4())}
        return JSONResponse(content, refused.status_code, headers=headers)

    app.add_exception_handler(HTTPException, no_route)
    return app


def error_answer(context: Context, status: int) -> ErrorAnswer:
    """Return the vendor's error body for a status."""
    settings = context.settings.current
    headers = {"content-type": "application/json", _REQUEST_ID.lower(): str(uuid.uuid4())}
    content = views.usual_error(settings, status)
    if status == 429:
        wait = 30
        content = views.too_many(wait)
        headers["retry-after"] = retry_after(settings.fanfare_retry_after, wait, context.clock.now())
    return ErrorAnswer(json.dumps(content).encode(), headers)


def _endpoint(name: str, handler: Handler, context: Context) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        details = call_details(request.scope)
        details.vendor, details.operation = VENDOR, f"{VENDOR}.{name}"
        details.ids.update({_IDS[key]: value for key, value in request.path_params.items()})
        settings: FanfareSettings = context.settings.current
        headers = {_REQUEST_ID: str(uuid.uuid4())}
        try:
            organization = _admit(request, context, details)
            allowance = context.calls.take(organization.id, settings.fanfare_rate_limit)
            headers.update(_rate_headers(allowance))
            if not allowance.allowed:
                details.message = "rate limit"
                headers["Retry-After"] = retry_after(
                    settings.fanfare_retry_after, allowance.wait, context.clock.now()
                )
                return JSONResponse(views.too_many(allowance.wait), 429, headers=headers)
            if details.operation in {one.strip() for one in settings.fanfare_forbidden.split(",")}:
                raise ApiFailure(403, "User must be authenticated")
            body = await _json(request) if name in _WITH_BODY else None
            details.body = _without_people(body)
            query = dict(request.query_params)
            if "search" in query:
                details.query = "&".join(f"{key}=..." for key in query)
            call = Call(context, organization, settings, request.path_params, query, body, details)
            return JSONResponse(await run_in_threadpool(_locked, handler, call), headers=headers)
        except ApiFailure as failed:
            # the names of what is wrong, never what was sent
            names = [".".join(str(one["key"]) for one in issue["path"]) for issue in failed.issues or []]
            details.message = ": ".join([failed.message, ", ".join(names)] if names else [failed.message])
            content = views.error(settings, failed.status, failed.message, failed.issues)
            return JSONResponse(content, failed.status, headers=headers)

    return endpoint


def _locked(handler: Handler, call: Call) -> Any:
    with call.state.lock:
        try:
            return handler(call)
        except QueryError as error:
            raise ApiFailure(400, "Validation failed", error.issues) from None


def _admit(request: Request, context: Context, details: CallDetails) -> Organization:
    key = bearer_key(request)
    organization = context.state.organization_of(key)
    if organization is None:
        # not even the form of the key: who has a wrong one learns nothing
        raise ApiFailure(401, "Unauthorized")
    details.user = organization.name
    return organization


def _rate_headers(allowance: Allowance) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
        "X-RateLimit-Reset": str(int(allowance.reset.timestamp())),
    }


async def _json(request: Request) -> Any:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise ApiFailure(415, "Content-Type must be application/json")
    try:
        return json.loads(await request.body())
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise ApiFailure(400, "The body is not JSON") from None


def _without_people(body: Any) -> Any:
    if isinstance(body, dict):
        return {
            key: "..." if key in _MAY_HOLD_PEOPLE else _without_people(value) for key, value in body.items()
        }
    return [_without_people(one) for one in body] if isinstance(body, list) else body


# --- audiences ------------------------------------------------------------------------------------------


def _get_audiences(call: Call) -> Any:
    audiences = call.state.audiences(call.organization)
    if call.settings.fanfare_docs_generation == "handwritten":
        # a bare array; those pages name no paging for it
        return [call.shown(item) for item in audiences]
    query = read_query(call.query, ("createdAt", "updatedAt", "name"))
    keys: dict[str, Callable[[Audience], tuple[str, int]]] = {
        "createdAt": lambda item: ("", item.seq),
        "updatedAt": lambda item: ((item.updated or item.created).isoformat(), item.seq),
        "name": lambda item: (item.name, item.seq),
    }
    key = keys[query.sort_by]
    found = take_page(sorted(audiences, key=key), key, query)
    return views.page(found, [call.shown(item) for item in found.items], call.settings)


def _post_audiences(call: Call) -> Any:
    body = call.check(bodies.POST_AUDIENCE)
    type_ = type_of(body["type"])
    if body.get("rules") and type_ != DYNAMIC:
        raise ApiFailure(400, "Audience is not dynamic")
    audience = call.state.create(call.organization, body, type_)
    call.details.ids["audienceId"] = audience.id
    return call.shown(audience)


def _get_group(call: Call) -> Any:
    wanted = call.params["group_id"]
    audiences = call.state.audiences(call.organization)
    return [call.shown(item) for item in audiences if item.attributes.get("groupId") == wanted]


def _post_loyalty_tiers(call: Call) -> Any:
    body = call.check(bodies.loyalty_tiers(call.settings))
    attribute = body.get("attribute", bodies.LOYALTY_ATTRIBUTES[0])
    group_id = call.state.new_id("grp")
    call.details.ids["groupId"] = group_id
    audiences = []
    for tier in sorted(body["tiers"], key=lambda one: one["order"]):
        limits = [tier["startValue"], tier.get("endValue")]
        open_ended = limits[1] is None
        audiences.append(
            call.state.create(
                call.organization,
                {
                    "name": tier["name"],
                    "groupId": group_id,
                    "groupName": body["groupName"],
                    "groupType": "SEGMENTED_VALUE",
                    "iconName": tier.get("iconName"),
                    "rules": [
                        {
                            "field": attribute,
                            "operator": "GREATER_THAN_OR_EQUAL" if open_ended else "BETWEEN",
                            "values": limits[:1] if open_ended else limits,
                            "position": tier["order"],
                        }
                    ],
                },
                DYNAMIC,
            )
        )
    group = {"id": group_id, "groupName": body["groupName"], "attribute": attribute, "tiers": body["tiers"]}
    return {"tierGroup": group, "audiences": [call.shown(item) for item in audiences]}


def _get_audience(call: Call) -> Any:
    return call.shown(call.audience())


def _put_audience(call: Call) -> Any:
    audience = call.audience()
    body = call.check(bodies.PUT_AUDIENCE)
    call.state.update(audience, body, type_of(body["type"]) if "type" in body else None)
    return call.shown(audience, full=False)


def _delete_audience(call: Call) -> Any:
    audience = call.audience()
    call.state.archive(audience)
    return call.shown(audience, full=False)


# --- members --------------------------------------------------------------------------------------------


def _get_count(call: Call) -> Any:
    audience = call.audience()
    count = {"audienceId": audience.id, "count": len(audience.members)}
    if call.settings.fanfare_docs_generation == "handwritten":
        return {**count, "source": "database"}
    return count


def _get_status(call: Call) -> Any:
    return views.status(call.audience(), call.settings)


def _get_members(call: Call) -> Any:
    audience = call.audience()
    query = read_query(call.query, ("createdAt", "updatedAt"))
    consumers = audience.members_in_order()
    search = call.query.get("search", "").lower()
    if search:
        consumers = [item for item in consumers if _mentions(item, search)]

    def created(item: Consumer) -> tuple[str, int]:
        return "", item.seq

    def updated(item: Consumer) -> tuple[str, int]:
        return item.updated.isoformat(), item.seq

    key = created
    if query.sort_by == "updatedAt":
        key, consumers = updated, sorted(consumers, key=updated)
    found = take_page(consumers, key, query)
    organization_id = call.organization.id
    data = [views.consumer(item, organization_id, call.settings) for item in found.items]
    return views.page(found, data, call.settings)


def _mentions(consumer: Consumer, search: str) -> bool:
    names = ("email", "phone", "externalId", "firstName", "lastName", "fullName")
    return any(search in str(consumer.profile.get(name, "")).lower() for name in names)


def _post_sync(call: Call) -> Any:
    source = call.state.sync(call.audience())
    return {"success": True, "syncSourceId": source.id, "status": "PENDING"}


def _get_import(call: Call) -> Any:
    audience = call.audience()
    if not audience.imports:
        raise ApiFailure(404, "Import not found")
    item = audience.imports[-1]
    call.details.ids["importId"] = item.id
    return views.import_(item, audience, call.context.clock.now(), call.settings)


def _post_import(call: Call) -> Any:
    audience = call.audience()
    item = call.state.new_import(audience)
    call.details.ids["importId"] = item.id
    url = call.context.urls.make(item.s3_key, call.settings.fanfare_upload_url_lifetime)
    return {**views.import_(item, audience, call.context.clock.now(), call.settings), "uploadUrl": url}


def _get_consumer_audiences(call: Call) -> Any:
    ident = call.params["consumer_id"]
    if ident not in call.organization.consumers:
        raise ApiFailure(404, "Consumer not found")
    audiences = call.state.audiences(call.organization)
    return [call.shown(item) for item in audiences if ident in item.members]


# --- rules ----------------------------------------------------------------------------------------------


def _dynamic(call: Call) -> Audience:
    audience = call.audience()
    if audience.type != DYNAMIC:
        raise ApiFailure(400, "Audience is not dynamic")
    return audience


def _rule_of(call: Call, audience: Audience) -> Rule:
    for item in audience.rules:
        if item.id == call.params["rule_id"]:
            return item
    raise ApiFailure(404, "Rule not found")


def _get_rules(call: Call) -> Any:
    audience = call.audience()
    return [views.rule(item, audience, call.settings) for item in audience.rules]


def _post_rules(call: Call) -> Any:
    audience = _dynamic(call)
    call.refuse(bodies.posted_rules(call.body, call.settings))
    many = isinstance(call.body, list)
    added = [call.state.rule(item) for item in (call.body if many else [call.body])]
    audience.rules += added
    call.state.refresh(audience)
    shown = [views.rule(item, audience, call.settings) for item in added]
    return shown if many else shown[0]


def _put_rules(call: Call) -> Any:
    audience = _dynamic(call)
    body = call.check(bodies.PUT_RULES)
    audience.rules = [call.state.rule(item) for item in body["rules"]]
    call.state.refresh(audience)
    return _get_rules(call)


def _get_rule(call: Call) -> Any:
    audience = call.audience()
    return views.rule(_rule_of(call, audience), audience, call.settings)


def _put_rule(call: Call) -> Any:
    audience = _dynamic(call)
    item = _rule_of(call, audience)
    body = call.check(bodies.PUT_RULE)
    merged = {"field": item.field, "operator": item.operator, "values": item.values, **body}
    call.refuse(bodies.merged_rule(merged))
    item.field, item.operator, item.values = merged["field"], merged["operator"], merged["values"]
    item.group_id = body.get("groupId", item.group_id)
    item.position = body.get("position", item.position)
    call.state.refresh(audience)
    return views.rule(item, audience, call.settings)


def _delete_rule(call: Call) -> Any:
    audience = _dynamic(call)
    item = _rule_of(call, audience)
    audience.rules.remove(item)
    call.state.refresh(audience)
    return views.rule(item, audience, call.settings)


_HANDLERS: Final[dict[str, Handler]] = {
    "getAudiences": _get_audiences,
    "postAudiences": _post_audiences,
    "getAudiencesGroupsByGroupId": _get_group,
    "postAudiencesLoyaltyTiers": _post_loyalty_tiers,
    "getAudiencesByAudienceId": _get_audience,
    "putAudiencesByAudienceId": _put_audience,
    "deleteAudiencesByAudienceId": _delete_audience,
    "getAudiencesByAudienceIdCount": _get_count,
    "getAudiencesByAudienceIdStatus": _get_status,
    "getAudiencesByAudienceIdMembers": _get_members,
    "postAudiencesByAudienceIdSync": _post_sync,
    "getAudiencesByAudienceIdImport": _get_import,
    "postAudiencesByAudienceIdImport": _post_import,
    "getAudiencesByAudienceIdRules": _get_rules,
    "postAudiencesByAudienceIdRules": _post_rules,
    "putAudiencesByAudienceIdRules": _put_rules,
    "getAudiencesByAudienceIdRulesByRuleId": _get_rule,
    "putAudiencesByAudienceIdRulesByRuleId": _put_rule,
    "deleteAudiencesByAudienceIdRulesByRuleId": _delete_rule,
    "getConsumersByConsumerIdAudiences": _get_consumer_audiences,
}
