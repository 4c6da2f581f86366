"""What every platform client shares: one transport, one reading of failures, one client per process."""

from __future__ import annotations

from audience_onboarding.http.failures import error_for_status, parse_retry_after
from audience_onboarding.http.shared import SharedInstances
from audience_onboarding.http.transport import HttpTransport, TransportSettings

__all__ = [
    "HttpTransport",
    "SharedInstances",
    "TransportSettings",
    "error_for_status",
    "parse_retry_after",
]
