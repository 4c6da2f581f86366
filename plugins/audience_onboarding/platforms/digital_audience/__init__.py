"""Digital Audience: client, hook, operators, sensors. What is listed here is the public part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audience_onboarding.lazy_imports import attributes_of

if TYPE_CHECKING:
    from audience_onboarding.platforms.digital_audience.approval import (
        DigitalAudienceApproveActivationOperator,
    )
    from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
    from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
    from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
    from audience_onboarding.platforms.digital_audience.operators import (
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
    from audience_onboarding.platforms.digital_audience.recalling import DigitalAudienceRecallAudienceOperator
    from audience_onboarding.platforms.digital_audience.sensors import (
        DigitalAudienceAudienceStateSensor,
        DigitalAudienceSegmentStatusSensor,
    )
    from audience_onboarding.platforms.digital_audience.upload import DigitalAudienceOnboardCrmToS3Operator

_MODULES = {
    "DigitalAudienceClient": "client",
    "DigitalAudienceHook": "hooks",
    "DigitalAudienceSettings": "connection",
    "DigitalAudienceActivateAudienceOperator": "operators",
    "DigitalAudienceApproveActivationOperator": "approval",
    "DigitalAudienceCreateCampaignOperator": "operators",
    "DigitalAudienceCreateCrmAudienceOperator": "operators",
    "DigitalAudienceDeleteAudienceOperator": "operators",
    "DigitalAudienceDeleteSegmentOperator": "operators",
    "DigitalAudienceExtendSegmentEndDateOperator": "operators",
    "DigitalAudienceListPlatformAccountsOperator": "operators",
    "DigitalAudienceListSegmentsOperator": "operators",
    "DigitalAudienceOnboardCrmToS3Operator": "upload",
    "DigitalAudienceRecallAudienceOperator": "recalling",
    "DigitalAudienceUpdateAudienceOperator": "operators",
    "DigitalAudienceAudienceStateSensor": "sensors",
    "DigitalAudienceSegmentStatusSensor": "sensors",
}

__all__ = [
    "DigitalAudienceActivateAudienceOperator",
    "DigitalAudienceApproveActivationOperator",
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
    "DigitalAudienceRecallAudienceOperator",
    "DigitalAudienceSegmentStatusSensor",
    "DigitalAudienceSettings",
    "DigitalAudienceUpdateAudienceOperator",
]


__getattr__ = attributes_of(__name__, _MODULES)
