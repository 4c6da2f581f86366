"""Digital Audience: the public client, hook, operators and sensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from audience_onboarding.lazy_imports import lazy_attributes
from audience_onboarding.platforms.contract import Erasure, Platform, Reconciliation, Retirement, Tasks

if TYPE_CHECKING:
    from audience_onboarding.platforms.digital_audience.approval import (
        DigitalAudienceApproveActivationOperator,
    )
    from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
    from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
    from audience_onboarding.platforms.digital_audience.definition import (
        ConfirmationRules,
        DigitalAudienceDefinition,
    )
    from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
    from audience_onboarding.platforms.digital_audience.operators import (
        DigitalAudienceCreateCampaignOperator,
        DigitalAudienceCreateCrmAudienceOperator,
        DigitalAudienceDeleteAudienceOperator,
        DigitalAudienceListPlatformAccountsOperator,
        DigitalAudienceLookupAudienceOperator,
        DigitalAudienceUpdateAudienceOperator,
    )
    from audience_onboarding.platforms.digital_audience.segment_operators import (
        DigitalAudienceActivateAudienceOperator,
        DigitalAudienceDeleteSegmentOperator,
        DigitalAudienceExtendSegmentEndDateOperator,
        DigitalAudienceListSegmentsOperator,
    )
    from audience_onboarding.platforms.digital_audience.sensors import (
        DigitalAudienceAudienceStateSensor,
        DigitalAudienceSegmentStatusSensor,
    )
    from audience_onboarding.platforms.digital_audience.upload import DigitalAudienceOnboardCrmToS3Operator

_MODULES = {
    "ConfirmationRules": "definition",
    "DigitalAudienceClient": "client",
    "DigitalAudienceHook": "hooks",
    "DigitalAudienceSettings": "connection",
    "DigitalAudienceActivateAudienceOperator": "segment_operators",
    "DigitalAudienceApproveActivationOperator": "approval",
    "DigitalAudienceCreateCampaignOperator": "operators",
    "DigitalAudienceCreateCrmAudienceOperator": "operators",
    "DigitalAudienceDeleteAudienceOperator": "operators",
    "DigitalAudienceDeleteSegmentOperator": "segment_operators",
    "DigitalAudienceExtendSegmentEndDateOperator": "segment_operators",
    "DigitalAudienceListPlatformAccountsOperator": "operators",
    "DigitalAudienceListSegmentsOperator": "segment_operators",
    "DigitalAudienceOnboardCrmToS3Operator": "upload",
    "DigitalAudienceLookupAudienceOperator": "operators",
    "DigitalAudienceUpdateAudienceOperator": "operators",
    "DigitalAudienceAudienceStateSensor": "sensors",
    "DigitalAudienceSegmentStatusSensor": "sensors",
}

__all__ = [
    "ConfirmationRules",
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
    "DigitalAudienceLookupAudienceOperator",
    "DigitalAudienceOnboardCrmToS3Operator",
    "DigitalAudienceSegmentStatusSensor",
    "DigitalAudienceSettings",
    "DigitalAudienceUpdateAudienceOperator",
]


__getattr__ = lazy_attributes(__name__, _MODULES)


class _DigitalAudience(Platform["DigitalAudienceDefinition"]):
    docs_url = "https://doc.digitalaudience.io/product-docs/"
    record_fields = ("bucket", "s3_key")

    @property
    def definition(self) -> type[DigitalAudienceDefinition]:
        from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition

        return DigitalAudienceDefinition

    def connection_type(self) -> dict[str, Any]:
        from audience_onboarding.platforms.digital_audience.connection import connection_type

        return connection_type()

    @property
    def tasks(self) -> Tasks[DigitalAudienceDefinition]:
        from audience_onboarding.platforms.digital_audience import tasks

        return tasks

    @property
    def reconciliation(self) -> Reconciliation[DigitalAudienceDefinition]:
        from audience_onboarding.platforms.digital_audience import reconcile

        return reconcile

    @property
    def erasure(self) -> Erasure[DigitalAudienceDefinition]:
        from audience_onboarding.platforms.digital_audience import erasure

        return erasure

    @property
    def retirement(self) -> Retirement[DigitalAudienceDefinition]:
        from audience_onboarding.platforms.digital_audience import retirement

        return retirement

    def match_rates(self, confirmation: Mapping[str, Any]) -> dict[str, float | None]:
        from audience_onboarding.platforms.digital_audience.confirmation import rates_by_identifier

        return rates_by_identifier(confirmation)


PLATFORM = _DigitalAudience()
"""The platform, as shared code uses it."""
