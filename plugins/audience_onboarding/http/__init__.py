"""What every platform client shares: one transport, one reading of failures, one client per process and account."""

from __future__ import annotations

from audience_onboarding.http.base_client import ApiClient, forget_clients, json_of, no_json, shared_client
from audience_onboarding.http.bearer_client import BearerClient
from audience_onboarding.http.error_mapping import error_for_status, parse_retry_after
from audience_onboarding.http.multipart import FileContent, multipart_body
from audience_onboarding.http.observer import UNOBSERVED, Observer
from audience_onboarding.http.rate_limiter import Pace
from audience_onboarding.http.response_models import Answer, UtcDateTime, is_one_of, iso_moment, word
from audience_onboarding.http.settings import AccountSettings, BearerSettings
from audience_onboarding.http.shared import SharedInstances
from audience_onboarding.http.transport import Body, HttpTransport, TransportSettings

__all__ = [
    "UNOBSERVED",
    "AccountSettings",
    "Answer",
    "ApiClient",
    "BearerClient",
    "BearerSettings",
    "Body",
    "FileContent",
    "HttpTransport",
    "Observer",
    "Pace",
    "SharedInstances",
    "TransportSettings",
    "UtcDateTime",
    "error_for_status",
    "forget_clients",
    "is_one_of",
    "iso_moment",
    "json_of",
    "multipart_body",
    "no_json",
    "parse_retry_after",
    "shared_client",
    "word",
]
