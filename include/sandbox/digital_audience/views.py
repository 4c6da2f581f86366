"""The vendor's JSON objects, field by field as its pages name them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sandbox.clock import iso
from sandbox.digital_audience.state import (
    NO_DATA,
    PROCESSING,
    Audience,
    Campaign,
    CrmData,
    Segment,
    TypeCounts,
    UploadEvent,
)
from sandbox.settings import SandboxSettings

Json = dict[str, Any]

# Only NODATA=5, New=0 and ONBOARDING=0 are on the pages; the other numbers are the sandbox's choice.
_NO_DATA_ID: Final = 5
_PROCESSING_ID: Final = 1
_READY_ID: Final = 2
_FAILURE_ID: Final = 9
_OTHER_STATE_ID: Final = 99

PENDING, ACTIVE, INACTIVE = "Pending", "Active", "Inactive"
_SEGMENT_STATUS_ID: Final = {PENDING: 0, ACTIVE: 1, INACTIVE: 2}
_NETHERLANDS: Final = 528


def envelope(data: Any, *, status_code: int = 0, message: str | None = None) -> Json:
    """Wrap ``data`` as every response of the vendor is wrapped. Page: Audience API, create response."""
    return {
        "data": data,
        "status": {"statusCode": status_code, "message": message},
        "success": status_code == 0,
    }


def segment_status(segment: Segment, now: datetime) -> str:
    """Return the segment's status; Active needs an upload to the platform and today within its dates."""
    if segment.end <= now:
        return INACTIVE
    return ACTIVE if segment.uploaded and segment.start <= now else PENDING


def campaign(item: Campaign) -> Json:
    """A campaign. [I] Its fields, as the page leaves the response empty."""
    return {
        "userId": item.user.id,
        "id": item.id,
        "name": item.name,
        "created": iso(item.created),
        "updated": iso(item.created),
    }


def audience(item: Audience, now: datetime, settings: SandboxSettings, *, details: bool = False) -> Json:
    """An audience; with ``details`` as loadAudienceById shows it. Page: Audience API."""
    segments = item.segments.values()
    activated = any(segment.uploaded for segment in segments)
    lives = any(segment_status(segment, now) == ACTIVE for segment in segments)
    return {
        "userId": item.user.id,
        "description": item.description,
        "campaignId": item.campaign.id,
        "campaignName": item.campaign.name,
        "dataUpdated": iso(item.data_updated) if item.data_updated else None,
        "startDate": iso(min(segment.start for segment in segments)) if segments else None,
        "endDate": iso(max(segment.end for segment in segments)) if segments else None,
        "activationStatus": "Active" if activated else "New",
        "activationStatusId": 1 if activated else 0,
        "lifetimeStatus": "Active" if lives else None,
        "lifetimeStatusId": 1 if lives else None,
        "tagCollection": None,
        "crmData": _crm_data(item.crm_data) if details and item.crm_data else None,
        "audienceState": item.state,
        "audienceStateId": _state_id(item.state, settings),
        "type": "ONBOARDING",
        "typeId": 0,
        "sourceAudienceId": None,
        "sourceAudienceTypeId": None,
        "canCreateLookalike": False,
        "hasSegments": bool(item.segments),
        "id": item.id,
        "name": item.name,
        "created": iso(item.created),
        "updated": iso(item.updated),
    }


def _state_id(state: str, settings: SandboxSettings) -> int:
    state_ids = {
        NO_DATA: _NO_DATA_ID,
        PROCESSING: _PROCESSING_ID,
        settings.ready_state: _READY_ID,
        settings.failure_state: _FAILURE_ID,
    }
    return state_ids.get(state, _OTHER_STATE_ID)


def _crm_data(item: CrmData) -> Json:
    return {
        "insightsState": "READY" if item.insights_ready else "PENDING",
        "insightsStateId": 1 if item.insights_ready else 0,
        "size": item.size,
        "history": {
            "totalEvents": item.total_events,
            "history": {key: _upload_event(event) for key, event in item.history.items()},
        },
    }


def _upload_event(item: UploadEvent) -> Json:
    return {
        "audienceId": item.audience_id,
        "mode": item.mode,
        "totalRows": item.total_rows,
        "created": iso(item.created),
        "dataSet": {kind: _type_counts(counts) for kind, counts in item.data_set.items()},
        "matchRates": {kind: counts.rate for kind, counts in item.data_set.items()},
    }


def _type_counts(item: TypeCounts) -> Json:
    return {
        "TOTAL": item.total,
        "UNIQUE": item.unique,
        "MATCH": item.match,
        "UMATCH": item.usable,
        "NOMATCH": item.unique - item.match,
    }


def segment(item: Segment, parent: Audience, now: datetime) -> Json:
    """A segment. Page: Segment API, Segment - Properties."""
    status = segment_status(item, now)
    members = len(parent.members)
    return {
        "segmentId": item.segment_id,
        "segmentRefId": item.record_id + 1_000_000 if item.uploaded else None,
        "categoryId": None,
        "description": item.description,
        "extend": False,
        "active": status == ACTIVE,
        "accountId": item.account.id,
        "audienceId": item.audience_id,
        "platformId": item.account.platform_id,
        "isRecurring": False,
        "isSystemGenerated": False,
        "country": _NETHERLANDS,
        "startDate": iso(item.start),
        "endDate": iso(item.end),
        "status": status,
        "statusId": _SEGMENT_STATUS_ID[status],
        "userName": item.user.name,
        "userId": item.user.id,
        "totalLogCount": item.log_count,
        "totalReadyCount": item.upload_count if item.uploaded else None,
        "totalProcessingCount": None,
        "totalPendingCount": 0 if item.uploaded else parent.usable_members,
        "totalUploadCount": item.upload_count,
        "totalFailedCount": 0 if item.uploaded else None,
        "totalNoDataCount": members - item.upload_count if item.uploaded else None,
        "totalSegmentUploadCount": item.uploads,
        "id": item.record_id,
        "name": item.name,
        "created": iso(item.created),
        "updated": iso(item.updated),
    }
