"""Presigned S3 URLs, signed with botocore and checked as S3 checks them; moto does not check them.

SigV4 in the query: algorithm, scope, signed headers, signature, and expiry by the machine's clock, by which clients
sign. The older SigV2 in the query: only the expiry. Signatures in an ``Authorization`` header are not verified.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_MAX_SECONDS: Final = 7 * 24 * 3600
_SCOPE_PARTS: Final = 5
_CSV: Final = "text/csv"


class S3RefusedError(Exception):
    """S3 refuses the request: HTTP status, S3's error code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class UploadAccess:
    """A bucket that only accepts presigned URLs, and the access key that signs them."""

    bucket: str
    access_key: str
    secret: str = field(repr=False)


class UploadUrls:
    """Signs URLs that accept one PUT of a CSV file."""

    def __init__(self, *, endpoint_url: str, region: str, access: UploadAccess) -> None:
        self._base = f"{endpoint_url}/{access.bucket}/"
        self._region = region
        self._credentials = Credentials(access.access_key, access.secret)

    def sign(self, key: str, lifetime: float) -> str:
        """Return a URL for ``key``; S3 counts whole seconds, so ``lifetime`` is rounded up."""
        seconds = min(_MAX_SECONDS, max(1, math.ceil(lifetime)))
        request = AWSRequest("PUT", self._base + quote(key), headers={"Content-Type": _CSV})
        S3SigV4QueryAuth(self._credentials, "s3", self._region, expires=seconds).add_auth(request)
        return str(request.url)


def is_presigned(query: Mapping[str, str]) -> bool:
    """Return whether a query carries a signature, of either version."""
    return "X-Amz-Algorithm" in query or "X-Amz-Signature" in query or "Signature" in query


def refuse_second_signature(environ: Mapping[str, Any]) -> None:
    """Refuse a presigned request that also has an ``Authorization`` header, of any kind.

    :raises S3RefusedError: it has one.
    """
    if environ.get("HTTP_AUTHORIZATION"):
        raise S3RefusedError(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
            "parameter or the Authorization header should be specified",
        )


def check(environ: Mapping[str, Any], secret: str, now: datetime) -> None:
    """Check a presigned request.

    :param environ: the WSGI environment, with the path as sent in ``RAW_URI``.
    :raises S3RefusedError: with the first violation.
    """
    pairs = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    query = dict(pairs)
    if "Signature" in query:
        _check_expiry(_epoch(query.get("Expires", "")), now)
        return
    signed_at, seconds, region, signed_headers = _parameters(query)
    _check_expiry(signed_at + timedelta(seconds=seconds), now)
    unsigned = [(name, value) for name, value in pairs if name != "X-Amz-Signature"]
    request = AWSRequest(
        environ["REQUEST_METHOD"],
        f"http://{environ.get('HTTP_HOST', '')}{str(environ['RAW_URI']).partition('?')[0]}"
        f"?{urlencode(unsigned, quote_via=quote, safe='-_.~')}",
        headers={name: _header(environ, name) for name in signed_headers},
    )
    request.context["timestamp"] = query["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials("", secret), "s3", region)
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if not hmac.compare_digest(expected, query["X-Amz-Signature"]):
        raise S3RefusedError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and "
            "signing method.",
        )


def _parameters(query: Mapping[str, str]) -> tuple[datetime, int, str, list[str]]:
    """Return signing time, lifetime in seconds, region and signed headers."""
    try:
        signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        seconds, scope = int(query["X-Amz-Expires"]), query["X-Amz-Credential"].split("/")
        signed_headers = query["X-Amz-SignedHeaders"].split(";")
        valid = (
            query["X-Amz-Algorithm"] == _ALGORITHM
            and 0 < seconds <= _MAX_SECONDS
            and len(scope) == _SCOPE_PARTS
            and query["X-Amz-Signature"]
            and scope[1] == query["X-Amz-Date"][:8]
            and scope[3:] == ["s3", "aws4_request"]
            and "host" in signed_headers
        )
        if valid:
            return signed_at, seconds, scope[2], signed_headers
    except (KeyError, ValueError):
        pass
    raise S3RefusedError(
        400, "AuthorizationQueryParametersError", "Error parsing the query parameters of the signature"
    )


def _epoch(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(text), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise S3RefusedError(403, "AccessDenied", "Invalid date (should be seconds since epoch)") from None


def _check_expiry(end: datetime, now: datetime) -> None:
    if now >= end:
        raise S3RefusedError(403, "AccessDenied", "Request has expired")


def _header(environ: Mapping[str, Any], name: str) -> str:
    variable = name.upper().replace("-", "_")
    return str(environ.get(variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}", ""))
