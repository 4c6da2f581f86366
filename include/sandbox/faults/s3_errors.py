"""S3's error answers. Page: Amazon S3 API Reference, Error responses: List of error codes, REST error response."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from sandbox.vendor import ErrorAnswer, phrase


class S3Error(NamedTuple):
    """Status and message of an error code."""

    status: int
    message: str


S3_ERRORS: Final[Mapping[str, S3Error]] = {
    "AccessDenied": S3Error(403, "Access Denied"),
    "ConditionalRequestConflict": S3Error(
        409,
        "A conflicting operation occurred. If using PutObject you can retry the request. If using multipart "
        "upload you should initiate another CreateMultipartUpload request and re-upload each part.",
    ),
    "ExpiredToken": S3Error(400, "The provided token has expired."),
    "InternalError": S3Error(500, "We encountered an internal error. Please try again."),
    "NoSuchBucket": S3Error(404, "The specified bucket does not exist."),
    "NoSuchKey": S3Error(404, "The specified key does not exist."),
    "NoSuchUpload": S3Error(
        404,
        "The specified multipart upload does not exist. The upload ID might not be valid, or the multipart upload "
        "might have been aborted or completed.",
    ),
    "PreconditionFailed": S3Error(412, "At least one of the preconditions that you specified did not hold."),
    "RequestTimeTooSkewed": S3Error(
        403, "The difference between the request time and the server's time is too large."
    ),
    "RequestTimeout": S3Error(
        400,
        "Your socket connection to the server was not read from or written to within the timeout period.",
    ),
    "ServiceUnavailable": S3Error(503, "Service is unable to handle request."),
    "SlowDown": S3Error(503, "Please reduce your request rate."),
}

_BY_STATUS: Final = {
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    500: "InternalError",
    503: "SlowDown",
}


def error_answer(
    status: int,
    *,
    code: str | None = None,
    message: str | None = None,
    bucket: str = "",
    key: str = "",
    upload_id: str | None = None,
) -> ErrorAnswer:
    """Return S3's XML for an error.

    :param code: S3's code; by default the usual one of the status.
    """
    code = code or _BY_STATUS.get(status) or phrase(status).replace(" ", "")
    documented = S3_ERRORS.get(code)
    request_id, host_id = secrets.token_hex(8).upper(), secrets.token_urlsafe(40)
    lines = {
        "Code": code,
        "Message": message or (documented.message if documented else phrase(status)),
        **_extra_elements(code, bucket, key, upload_id),
        "RequestId": request_id,
        "HostId": host_id,
    }
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in lines.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'.encode()
    headers = {"content-type": "application/xml", "x-amz-request-id": request_id, "x-amz-id-2": host_id}
    return ErrorAnswer(body, headers)


def _extra_elements(code: str, bucket: str, key: str, upload_id: str | None) -> dict[str, str]:
    """Return the elements that S3 adds for some codes."""
    now = datetime.now(timezone.utc)
    table = {
        "NoSuchBucket": {"BucketName": bucket},
        "NoSuchKey": {"Key": key},
        "NoSuchUpload": {"UploadId": upload_id or ""},
        "PreconditionFailed": {"Condition": "If-None-Match"},
        "ConditionalRequestConflict": {"Condition": "If-None-Match", "Key": key},
        "RequestTimeTooSkewed": {
            "RequestTime": (now - timedelta(hours=1)).strftime("%Y%m%dT%H%M%SZ"),
            "ServerTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "MaxAllowedSkewMilliseconds": "900000",
        },
    }
    return table.get(code, {})
