"""Digital Audience: client, hook, operators, sensors. What is listed here is the public part."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audience_onboarding.digital_audience.client import DigitalAudienceClient
    from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
    from audience_onboarding.digital_audience.onboarding import DigitalAudienceOnboardCrmToS3Operator
    from audience_onboarding.digital_audience.operators import (
        DigitalAudienceActivateAudienceOperator,
        DigitalAudienceCreateCampaignOperator,
        DigitalAudienceCreateCrmAudienceOperator,
        DigitalAudienceDeleteAudienceOperator,
        DigitalAudienceDeleteSegmentOperator,
        DigitalAudienceExtendSegmentEndDateOperator,
        DigitalAudienceListPlatformAccountsOperator,
        DigitalAudienceListSegmentsOperator,
        DigitalAudienceUpdateAudienceOperator,
    )
    from audience_onboarding.digital_audience.sensors import (
        DigitalAudienceAudienceStateSensor,
        DigitalAudienceSegmentStatusSensor,
    )
    from audience_onboarding.digital_audience.settings import DigitalAudienceSettings

_MODULES = {
    "DigitalAudienceClient": "client",
    "DigitalAudienceHook": "hooks",
    "DigitalAudienceSettings": "settings",
    "DigitalAudienceActivateAudienceOperator": "operators",
    "DigitalAudienceCreateCampaignOperator": "operators",
    "DigitalAudienceCreateCrmAudienceOperator": "operators",
    "DigitalAudienceDeleteAudienceOperator": "operators",
    "DigitalAudienceDeleteSegmentOperator": "operators",
    "DigitalAudienceExtendSegmentEndDateOperator": "operators",
    "DigitalAudienceListPlatformAccountsOperator": "operators",
    "DigitalAudienceListSegmentsOperator": "operators",
    "DigitalAudienceOnboardCrmToS3Operator": "onboarding",
    "DigitalAudienceUpdateAudienceOperator": "operators",
    "DigitalAudienceAudienceStateSensor": "sensors",
    "DigitalAudienceSegmentStatusSensor": "sensors",
}

__all__ = [
    "DigitalAudienceActivateAudienceOperator",
    "DigitalAudienceAudienceStateSensor",
    "DigitalAudienceClient",
    "DigitalAudienceCreateCampaignOperator",
    "DigitalAudienceCreateCrmAudienceOperator",
    "DigitalAudienceDeleteAudienceOperator",
    "DigitalAudienceDeleteSegmentOperator",
    "DigitalAudienceExtendSegmentEndDateOperator",
    "DigitalAudienceHook",
    "DigitalAudienceListPlatformAccountsOperator",
    "DigitalAudienceListSegmentsOperator",
    "DigitalAudienceOnboardCrmToS3Operator",
    "DigitalAudienceSegmentStatusSensor",
    "DigitalAudienceSettings",
    "DigitalAudienceUpdateAudienceOperator",
]


def __getattr__(name: str) -> Any:
    # The client works without Airflow, so the package must not import it on the way there.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
