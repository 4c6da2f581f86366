"""Presets: names for sets of an order's fields. Other fields of the order override them."""

from __future__ import annotations

from typing import Any, Final

from sandbox.faults.s3_errors import S3_ERRORS

Fields = dict[str, Any]

_GENERAL: Final[dict[str, Fields]] = {
    "refuse": {"action": "refuse"},
    "reset": {"action": "reset"},
    "bad_gateway": {"status": 502, "page": "html"},
    "unavailable": {"status": 503, "page": "html"},
    "gateway_timeout": {"status": 504, "page": "html"},
    "rate_limited": {"status": 429, "retry_after": "none"},
    "rate_limited_seconds": {"status": 429, "retry_after": "seconds"},
    "rate_limited_date": {"status": 429, "retry_after": "date"},
    "session_expired": {"action": "expire"},
    "html_instead": {"status": 200, "page": "html", "when": "after"},
    "empty": {"status": 204, "body": "", "when": "after"},
    "truncated": {"action": "change", "truncate": "length"},
    "cut_off": {"action": "change", "truncate": "connection"},
}

_VENDORS: Final[dict[str, Fields]] = {
    # [I] no failing example is on any page: the envelope of the create response, with success inverted
    "success_false": {
        "vendor": "digital_audience",
        "status": 200,
        "body": {
            "data": None,
            "status": {"statusCode": 5, "message": "The request could not be completed"},
            "success": False,
        },
    },
    "unknown_audience_state": {
        "vendor": "digital_audience",
        "operation": "loadAudienceById",
        "action": "change",
        "set": {"data.audienceState": "ENRICHING", "data.audienceStateId": 77},
    },
    "audience_state_back": {
        "vendor": "digital_audience",
        "operation": "loadAudienceById",
        "action": "change",
        "set": {"data.audienceState": "PROCESSING", "data.audienceStateId": 1},
    },
    "audience_data_gone": {
        "vendor": "digital_audience",
        "operation": "loadAudienceById",
        "action": "change",
        "set": {
            "data.audienceState": "NODATA",
            "data.audienceStateId": 5,
            "data.dataUpdated": None,
            "data.crmData": None,
        },
    },
    "unknown_import_status": {
        "vendor": "fanfare",
        "operation": "fanfare.getAudiencesByAudienceIdImport",
        "action": "change",
        "set": {"status": "VALIDATING"},
    },
    "import_status_back": {
        "vendor": "fanfare",
        "operation": "fanfare.getAudiencesByAudienceIdImport",
        "action": "change",
        "set": {"status": "PENDING", "processedConsumers": 0, "progress": 0, "totalConsumers": None},
    },
    "user_count_behind": {
        "vendor": "commbox",
        "operation": "commbox.getAudiences",
        "action": "change",
        "set": {"data.*.user_count": 0},
    },
}


def _s3() -> dict[str, Fields]:
    named: dict[str, Fields] = {
        f"s3_{name}": {"vendor": "s3", "status": S3_ERRORS[code].status, "code": code}
        for name, code in {
            "internal_error": "InternalError",
            "slow_down": "SlowDown",
            "conditional_conflict": "ConditionalRequestConflict",
            "precondition_failed": "PreconditionFailed",
            "time_skewed": "RequestTimeTooSkewed",
            "access_denied": "AccessDenied",
            "no_such_bucket": "NoSuchBucket",
            "no_such_upload": "NoSuchUpload",
            "request_timeout": "RequestTimeout",
            "expired_token": "ExpiredToken",
        }.items()
    }
    named["s3_complete_error"] = {
        "vendor": "s3",
        "operation": "CompleteMultipartUpload",
        "status": 200,
        "code": "InternalError",
    }
    named["s3_reset_in_body"] = {"vendor": "s3", "action": "reset", "when": "during"}
    named["s3_without_etag"] = {"vendor": "s3", "action": "change", "remove_headers": ["etag"]}
    return named


PRESETS: Final[dict[str, Fields]] = {**_GENERAL, **_VENDORS, **_s3()}
