"""The vendor's JSON objects, field by field as the spec names them. Page: POST /audiences, its response."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sandbox.clock import iso_ms
from sandbox.fanfare import issues
from sandbox.fanfare.bodies import DYNAMIC, type_word
from sandbox.fanfare.paging import Page
from sandbox.fanfare.records import COMPLETED, Audience, Consumer, Import, Rule, SyncSource
from sandbox.fanfare.settings import FanfareSettings
from sandbox.fanfare.state import SUCCESS
from sandbox.vendor import phrase

Json = dict[str, Any]

_ATTRIBUTES: Final = (
    "description",
    "groupId",
    "groupName",
    "groupType",
    "iconName",
    "lastRefreshedAt",
    "metadata",
    "refreshIntervalSeconds",
)
_CODES: Final = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    429: "RATE_LIMITED",
}
"""[I] The page on error bodies names the field ``code``, not its values."""

NAMES: Final = ("email", "phone", "externalId", "firstName", "lastName", "fullName")
_CREATED_BY: Final = "api-key"


def _time(time: datetime | None) -> str | None:
    return None if time is None else iso_ms(time)


def _optional(fields: Json, settings: FanfareSettings) -> Json:
    if settings.fanfare_empty_fields == "null":
        return fields
    return {name: value for name, value in fields.items() if value is not None}


def audience(item: Audience, now: datetime, settings: FanfareSettings, *, full: bool = True) -> Json:
    """An audience; ``full`` with its rules and imports, which PUT and DELETE leave out."""
    source = item.sync_source
    shown: Json = {
        "archived": item.archived,
        "createdAt": iso_ms(item.created),
        "createdBy": _CREATED_BY,
        "id": item.id,
        "name": item.name,
        "organizationId": item.organization.id,
        "type": type_word(item.type, settings.fanfare_docs_generation),
    }
    if full:
        shown["imports"] = [import_(one, item, now, settings) for one in item.imports]
        shown["rules"] = [rule(one, item, settings) for one in item.rules]
    optional = {name: item.attributes.get(name) for name in _ATTRIBUTES}
    optional |= {
        "primaryExternalId": source.external_id if source else None,
        "primaryLastSyncedAt": source.last_synced if source else None,
        "primarySourceVendor": source.source.partition(":")[0] if source else None,
        "primarySyncSource": sync_source(source, item, settings) if source else None,
        "primarySyncSourceId": source.id if source else None,
        "updatedAt": _time(item.updated),
        "updatedBy": _CREATED_BY if item.updated else None,
    }
    return {**shown, **_optional(optional, settings)}


def sync_source(item: SyncSource, owner: Audience, settings: FanfareSettings) -> Json:
    """The primary sync source of an audience."""
    optional = {
        "lastSyncedAt": item.last_synced,
        "sourceData": item.source_data,
        "syncStatus": item.status,
        "updatedAt": _time(item.updated),
        "updatedBy": _CREATED_BY if item.updated else None,
    }
    return {
        "archived": False,
        "createdAt": iso_ms(item.created),
        "createdBy": _CREATED_BY,
        "id": item.id,
        "organizationId": owner.organization.id,
        "syncSource": item.source,
        "syncSourceId": item.external_id,
        **_optional(optional, settings),
    }


def rule(item: Rule, owner: Audience, settings: FanfareSettings) -> Json:
    """A rule."""
    return {
        "audienceId": owner.id,
        "field": item.field,
        "id": item.id,
        "operator": item.operator,
        "organizationId": owner.organization.id,
        "values": item.values,
        **_optional({"groupId": item.group_id, "position": item.position}, settings),
    }


def import_(item: Import, owner: Audience, now: datetime, settings: FanfareSettings) -> Json:
    """An import, without its uploadUrl. [I] ``progress`` runs from 0 to 100."""
    share = item.share(now)
    status = item.status
    if status == COMPLETED and settings.fanfare_docs_generation == "handwritten":
        status = SUCCESS
    optional = {
        "errors": item.errors,
        "totalConsumers": item.total,
        "updatedAt": _time(item.updated),
        "updatedBy": _CREATED_BY if item.updated else None,
    }
    return {
        "archived": False,
        "audienceId": owner.id,
        "createdAt": iso_ms(item.created),
        "createdBy": _CREATED_BY,
        "errorCount": item.error_count if item.status != "PROCESSING" else 0,
        "id": item.id,
        "organizationId": owner.organization.id,
        "processedConsumers": int(item.good * share),
        "progress": int(100 * share),
        "s3Key": item.s3_key,
        "status": status,
        **_optional(optional, settings),
    }


def consumer(item: Consumer, organization_id: str, settings: FanfareSettings) -> Json:
    """A consumer, with personal data. [I] Its fields, except verificationCode."""
    names = (*NAMES, "loyaltyPoints", "loyaltyTier", "metadata")
    optional = {name: item.profile.get(name) for name in names}
    return {
        "archived": False,
        "createdAt": iso_ms(item.created),
        "id": item.id,
        "organizationId": organization_id,
        "tags": item.profile.get("tags", []),
        "updatedAt": iso_ms(item.updated),
        "verificationCode": item.verification_code,
        **_optional(optional, settings),
    }


def status(item: Audience, settings: FanfareSettings) -> Json:
    """The status of an audience of any type."""
    optional = {
        "lastRefreshedAt": item.attributes.get("lastRefreshedAt"),
        "lastSyncedAt": _time(item.last_synced) or (item.sync_source and item.sync_source.last_synced),
        "pendingShards": int(item.stale) if item.type == DYNAMIC else None,
        "refreshIntervalSeconds": item.attributes.get("refreshIntervalSeconds"),
        "syncStatus": item.sync_source.status if item.sync_source else None,
    }
    return {
        "audienceId": item.id,
        "inProgress": item.in_progress,
        "stale": item.stale,
        "version": item.version,
        **_optional(optional, settings),
    }


def page(cut: Page[Any], data: list[Json], settings: FanfareSettings) -> Json:
    """A page of a list."""
    end = None if cut.is_last and settings.fanfare_last_page == "null" else cut.end
    return {"data": data, "pageInfo": {"startCursor": cut.start, "endCursor": end}}


def error(settings: FanfareSettings, status: int, message: str, problems: list[Json] | None = None) -> Json:
    """An error body, in the shape that the setting names."""
    invalid = problems is not None
    if settings.fanfare_error_shape == "spec":
        return {"error": "validation_error", "issues": problems} if invalid else {"error": message}
    details = [
        {"field": ".".join(str(one["key"]) for one in issue["path"]), "message": issue["message"]}
        for issue in problems or []
    ]
    name = phrase(status)
    if settings.fanfare_error_shape == "errors_page":
        if invalid:
            return {"error": "Validation failed", "details": details}
        return {"error": name, "message": message, "details": []}
    return {
        "error": name,
        "message": "Validation failed" if invalid else message,
        "code": "VALIDATION_ERROR" if invalid else _CODES.get(status, name.upper().replace(" ", "_")),
        "details": details,
    }


def too_many(wait: int) -> Json:
    """The body of a 429. Page: https://docs.fanfare.io/api/rate-limiting."""
    return {"error": "Rate limit exceeded", "retryAfter": wait}


def usual_error(settings: FanfareSettings, status: int) -> Json:
    """The usual body for a status."""
    messages = {401: "Unauthorized", 403: "User must be authenticated", 404: "Audience not found"}
    problems = [issues.whole("Invalid request", "request")] if status == 400 else None
    return error(settings, status, messages.get(status, phrase(status)), problems)
