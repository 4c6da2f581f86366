"""HTTP for the platform clients: transport, error mapping, rate limits, and one client per process and account."""

from __future__ import annotations

from audience_onboarding.http.base_client import (
    ApiClient,
    ProcessCache,
    describe_non_json,
    parse_json,
    reset_clients,
    shared_client,
)
from audience_onboarding.http.bearer_client import BearerClient
from audience_onboarding.http.error_mapping import error_for_status, parse_retry_after, redacted_excerpt
from audience_onboarding.http.multipart import FileContent, multipart_body
from audience_onboarding.http.observer import NULL_OBSERVER, ClientObserver
from audience_onboarding.http.rate_limiter import RateLimiter
from audience_onboarding.http.response_models import ResponseModel, UtcDateTime, is_one_of, vendor_value
from audience_onboarding.http.settings import BearerSettings, ClientSettings
from audience_onboarding.http.transport import HttpTransport, StreamingBody, TransportSettings

__all__ = [
    "NULL_OBSERVER",
    "ApiClient",
    "BearerClient",
    "BearerSettings",
    "ClientObserver",
    "ClientSettings",
    "FileContent",
    "HttpTransport",
    "ProcessCache",
    "RateLimiter",
    "ResponseModel",
    "StreamingBody",
    "TransportSettings",
    "UtcDateTime",
    "describe_non_json",
    "error_for_status",
    "is_one_of",
    "multipart_body",
    "parse_json",
    "parse_retry_after",
    "redacted_excerpt",
    "reset_clients",
    "shared_client",
    "vendor_value",
]
