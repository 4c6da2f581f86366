"""The audience operations of the Admin API, below ``/api`` and ``/api/v1``.

Operations have the spec's names (``getAudiences``, ``postAudiences``); [I] names that no page shows consist of method
and path in the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sandbox.api import ApiFailure
from sandbox.fanfare import bodies, views
from sandbox.fanfare.bodies import DYNAMIC, type_of
from sandbox.fanfare.dispatch import Call, Handler, Operation
from sandbox.fanfare.paging import cut_page, read_query
from sandbox.fanfare.records import Audience, Consumer, Rule

OPERATIONS: Final[dict[str, Operation]] = {}


def _operation(name: str, method: str, path: str, *, body: bool = False) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        OPERATIONS[name] = Operation(method, path, body, handler)
        return handler

    return register


# --- audiences ------------------------------------------------------------------------------------------


@_operation("getAudiences", "GET", "/audiences")
def _get_audiences(call: Call) -> Any:
    audiences = call.state.audiences(call.organization)
    if call.settings.fanfare_docs_generation == "handwritten":
        # a bare array, which those pages do not divide into pages
        return [call.show(item) for item in audiences]
    query = read_query(call.query, ("createdAt", "updatedAt", "name"))
    keys: dict[str, Callable[[Audience], tuple[str, int]]] = {
        "createdAt": lambda item: ("", item.seq),
        "updatedAt": lambda item: ((item.updated or item.created).isoformat(), item.seq),
        "name": lambda item: (item.name, item.seq),
    }
    key = keys[query.sort_by]
    page = cut_page(sorted(audiences, key=key), key, query)
    return views.page(page, [call.show(item) for item in page.items], call.settings)


@_operation("postAudiences", "POST", "/audiences", body=True)
def _post_audiences(call: Call) -> Any:
    body = call.check(bodies.POST_AUDIENCE)
    type_ = type_of(body["type"])
    if body.get("rules") and type_ != DYNAMIC:
        raise ApiFailure(400, "Audience is not dynamic")
    audience = call.state.create(call.organization, body, type_)
    call.details.ids["audienceId"] = audience.id
    return call.show(audience)


@_operation("getAudiencesGroupsByGroupId", "GET", "/audiences/groups/{group_id}")
def _get_group(call: Call) -> Any:
    audiences = call.state.audiences(call.organization)
    group_id = call.params["group_id"]
    return [call.show(item) for item in audiences if item.attributes.get("groupId") == group_id]


@_operation("postAudiencesLoyaltyTiers", "POST", "/audiences/loyalty-tiers", body=True)
def _post_loyalty_tiers(call: Call) -> Any:
    body = call.check(bodies.loyalty_tiers(call.settings))
    attribute = body.get("attribute", bodies.LOYALTY_ATTRIBUTES[0])
    group_id = call.state.new_id("grp")
    call.details.ids["groupId"] = group_id
    audiences = []
    for tier in sorted(body["tiers"], key=lambda one: one["order"]):
        limits = [tier["startValue"], tier.get("endValue")]
        rule = {"field": attribute, "operator": "BETWEEN", "values": limits, "position": tier["order"]}
        if limits[1] is None:
            rule.update(operator="GREATER_THAN_OR_EQUAL", values=limits[:1])
        audience = {
            "name": tier["name"],
            "groupId": group_id,
            "groupName": body["groupName"],
            "groupType": "SEGMENTED_VALUE",
            "iconName": tier.get("iconName"),
            "rules": [rule],
        }
        audiences.append(call.state.create(call.organization, audience, DYNAMIC))
    group = {"id": group_id, "groupName": body["groupName"], "attribute": attribute, "tiers": body["tiers"]}
    return {"tierGroup": group, "audiences": [call.show(item) for item in audiences]}


@_operation("getAudiencesByAudienceId", "GET", "/audiences/{audience_id}")
def _get_audience(call: Call) -> Any:
    return call.show(call.audience())


@_operation("putAudiencesByAudienceId", "PUT", "/audiences/{audience_id}", body=True)
def _put_audience(call: Call) -> Any:
    audience = call.audience()
    body = call.check(bodies.PUT_AUDIENCE)
    call.state.update(audience, body, type_of(body["type"]) if "type" in body else None)
    return call.show(audience, full=False)


@_operation("deleteAudiencesByAudienceId", "DELETE", "/audiences/{audience_id}")
def _delete_audience(call: Call) -> Any:
    audience = call.audience()
    call.state.archive(audience)
    return call.show(audience, full=False)


# --- members --------------------------------------------------------------------------------------------


@_operation("getAudiencesByAudienceIdCount", "GET", "/audiences/{audience_id}/count")
def _get_count(call: Call) -> Any:
    audience = call.audience()
    count = {"audienceId": audience.id, "count": len(audience.members)}
    if call.settings.fanfare_docs_generation == "handwritten":
        return {**count, "source": "database"}
    return count


@_operation("getAudiencesByAudienceIdStatus", "GET", "/audiences/{audience_id}/status")
def _get_status(call: Call) -> Any:
    return views.status(call.audience(), call.settings)


@_operation("getAudiencesByAudienceIdMembers", "GET", "/audiences/{audience_id}/members")
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
    page = cut_page(consumers, key, query)
    data = [views.consumer(item, call.organization.id, call.settings) for item in page.items]
    return views.page(page, data, call.settings)


def _mentions(consumer: Consumer, search: str) -> bool:
    return any(search in str(consumer.profile.get(name, "")).lower() for name in views.NAMES)


@_operation("postAudiencesByAudienceIdSync", "POST", "/audiences/{audience_id}/sync")
def _post_sync(call: Call) -> Any:
    source = call.state.sync(call.audience())
    return {"success": True, "syncSourceId": source.id, "status": "PENDING"}


@_operation("getAudiencesByAudienceIdImport", "GET", "/audiences/{audience_id}/import")
def _get_import(call: Call) -> Any:
    audience = call.audience()
    if not audience.imports:
        raise ApiFailure(404, "Import not found")
    item = audience.imports[-1]
    call.details.ids["importId"] = item.id
    return views.import_(item, audience, call.context.services.clock.now(), call.settings)


@_operation("postAudiencesByAudienceIdImport", "POST", "/audiences/{audience_id}/import")
def _post_import(call: Call) -> Any:
    audience = call.audience()
    item = call.state.new_import(audience)
    call.details.ids["importId"] = item.id
    url = call.context.urls.sign(item.s3_key, call.settings.fanfare_upload_url_lifetime)
    return {
        **views.import_(item, audience, call.context.services.clock.now(), call.settings),
        "uploadUrl": url,
    }


@_operation("getConsumersByConsumerIdAudiences", "GET", "/consumers/{consumer_id}/audiences")
def _get_consumer_audiences(call: Call) -> Any:
    ident = call.params["consumer_id"]
    if ident not in call.organization.consumers:
        raise ApiFailure(404, "Consumer not found")
    audiences = call.state.audiences(call.organization)
    return [call.show(item) for item in audiences if ident in item.members]


# --- rules ----------------------------------------------------------------------------------------------


def _find_rule(call: Call, audience: Audience) -> Rule:
    for item in audience.rules:
        if item.id == call.params["rule_id"]:
            return item
    raise ApiFailure(404, "Rule not found")


@_operation("getAudiencesByAudienceIdRules", "GET", "/audiences/{audience_id}/rules")
def _get_rules(call: Call) -> Any:
    audience = call.audience()
    return [views.rule(item, audience, call.settings) for item in audience.rules]


@_operation("postAudiencesByAudienceIdRules", "POST", "/audiences/{audience_id}/rules", body=True)
def _post_rules(call: Call) -> Any:
    audience = call.audience(dynamic=True)
    call.refuse(bodies.posted_rules(call.body, call.settings))
    many = isinstance(call.body, list)
    added = [call.state.rule(item) for item in (call.body if many else [call.body])]
    audience.rules += added
    call.state.refresh(audience)
    shown = [views.rule(item, audience, call.settings) for item in added]
    return shown if many else shown[0]


@_operation("putAudiencesByAudienceIdRules", "PUT", "/audiences/{audience_id}/rules", body=True)
def _put_rules(call: Call) -> Any:
    audience = call.audience(dynamic=True)
    body = call.check(bodies.PUT_RULES)
    audience.rules = [call.state.rule(item) for item in body["rules"]]
    call.state.refresh(audience)
    return _get_rules(call)


@_operation("getAudiencesByAudienceIdRulesByRuleId", "GET", "/audiences/{audience_id}/rules/{rule_id}")
def _get_rule(call: Call) -> Any:
    audience = call.audience()
    return views.rule(_find_rule(call, audience), audience, call.settings)


@_operation(
    "putAudiencesByAudienceIdRulesByRuleId", "PUT", "/audiences/{audience_id}/rules/{rule_id}", body=True
)
def _put_rule(call: Call) -> Any:
    audience = call.audience(dynamic=True)
    item = _find_rule(call, audience)
    body = call.check(bodies.PUT_RULE)
    merged = {"field": item.field, "operator": item.operator, "values": item.values, **body}
    call.refuse(bodies.merged_rule(merged))
    item.field, item.operator, item.values = merged["field"], merged["operator"], merged["values"]
    item.group_id = body.get("groupId", item.group_id)
    item.position = body.get("position", item.position)
    call.state.refresh(audience)
    return views.rule(item, audience, call.settings)


@_operation("deleteAudiencesByAudienceIdRulesByRuleId", "DELETE", "/audiences/{audience_id}/rules/{rule_id}")
def _delete_rule(call: Call) -> Any:
    audience = call.audience(dynamic=True)
    item = _find_rule(call, audience)
    audience.rules.remove(item)
    call.state.refresh(audience)
    return views.rule(item, audience, call.settings)
