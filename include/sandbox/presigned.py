"""Presigned S3 addresses: made with boto3, and checked the way S3 checks them, which moto does not.

Checked for SigV4 in the query: the algorithm, the scope, the signed headers, the signature over method, path,
query and signed headers, and the expiry, by the machine's clock as boto3 signs by it. For the older SigV2 in
the query: the expiry only. Signatures in an ``Authorization`` header are not verified.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_MAX_SECONDS: Final = 7 * 24 * 3600
_SCOPE_PARTS: Final = 5
CSV: Final = "text/csv"


class S3RefusedError(Exception):
    """S3 refuses the request: HTTP status, S3's error code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class UploadUrls:
    """Hands out addresses that take one PUT of a CSV file."""

    def __init__(self, *, endpoint_url: str, region: str, bucket: str, access_key: str, secret: str) -> None:
        self._bucket = bucket
        self._client: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
            ),
        )

    def make(self, key: str, lifetime: float) -> str:
        """Return an address for ``key``; S3 counts whole seconds, so ``lifetime`` is rounded up."""
        return self._client.generate_presigned_url(
            "put_object",
            Params={"Bucket": self._bucket, "Key": key, "ContentType": CSV},
            ExpiresIn=min(_MAX_SECONDS, max(1, math.ceil(lifetime))),
        )


def is_presigned(query: Mapping[str, str]) -> bool:
    """Tell whether a query carries a signature, of either version."""
    return "X-Amz-Algorithm" in query or "X-Amz-Signature" in query or "Signature" in query


def refuse_second_signature(environ: Mapping[str, Any]) -> None:
    """Refuse a presigned request that carries an ``Authorization`` header as well, of whatever kind.

    :raises S3RefusedError: it does.
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
    :raises S3RefusedError: with the first thing wrong.
    """
    pairs = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    query = dict(pairs)
    if "Signature" in query:
        _check_expiry(_epoch(query.get("Expires", "")), now)
        return
    signed_at, seconds, scope, signed_headers = _parameters(query)
    _check_expiry(signed_at + timedelta(seconds=seconds), now)
    canonical = "\n".join(
        [
            environ["REQUEST_METHOD"],
            str(environ["RAW_URI"]).partition("?")[0],
            "&".join(
                sorted(
                    f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}"
                    for k, v in pairs
                    if k != "X-Amz-Signature"
                )
            ),
            *(f"{name}:{_header(environ, name)}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            environ.get("HTTP_X_AMZ_CONTENT_SHA256", "UNSIGNED-PAYLOAD"),
        ]
    )
    to_sign = "\n".join(
        [_ALGORITHM, query["X-Amz-Date"], "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(expected, query["X-Amz-Signature"]):
        raise S3RefusedError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and "
            "signing method.",
        )


def _parameters(query: Mapping[str, str]) -> tuple[datetime, int, list[str], list[str]]:
    try:
        if query["X-Amz-Algorithm"] != _ALGORITHM:
            raise ValueError
        stamp = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        seconds, scope = int(query["X-Amz-Expires"]), query["X-Amz-Credential"].split("/")
        signed_headers = query["X-Amz-SignedHeaders"].split(";")
        if not 0 < seconds <= _MAX_SECONDS or len(scope) != _SCOPE_PARTS or not query["X-Amz-Signature"]:
            raise ValueError
        if scope[1] != query["X-Amz-Date"][:8] or scope[3:] != ["s3", "aws4_request"]:
            raise ValueError
        if "host" not in signed_headers:
            raise ValueError
    except (KeyError, ValueError):
        raise S3RefusedError(
            400, "AuthorizationQueryParametersError", "Error parsing the query parameters of the signature"
        ) from None
    return stamp, seconds, scope[1:], signed_headers


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
    value = environ.get(variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}", "")
    return " ".join(str(value).split())
