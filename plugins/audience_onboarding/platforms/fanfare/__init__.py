"""Fanfare: client, hook, operators, sensors. What is listed here is the public part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audience_onboarding.lazy_imports import attributes_of

if TYPE_CHECKING:
    from audience_onboarding.platforms.fanfare.client import (
        FanfareClient,
    )
    from audience_onboarding.platforms.fanfare.connection import (
        FanfareSettings,
    )
    from audience_onboarding.platforms.fanfare.hooks import (
        FanfareHook,
    )
    from audience_onboarding.platforms.fanfare.operators import (
        FanfareArchiveAudienceOperator,
        FanfareCreateAudienceOperator,
        FanfareListAudiencesOperator,
        FanfareReplaceRulesOperator,
        FanfareSyncAudienceOperator,
        FanfareUpdateAudienceOperator,
    )
    from audience_onboarding.platforms.fanfare.sensors import (
        FanfareAudienceStatusSensor,
        FanfareImportSensor,
    )
    from audience_onboarding.platforms.fanfare.upload import (
        FanfareOnboardCrmOperator,
    )

_MODULES = {
    "FanfareArchiveAudienceOperator": "operators",
    "FanfareAudienceStatusSensor": "sensors",
    "FanfareClient": "client",
    "FanfareCreateAudienceOperator": "operators",
    "FanfareHook": "hooks",
    "FanfareImportSensor": "sensors",
    "FanfareListAudiencesOperator": "operators",
    "FanfareOnboardCrmOperator": "upload",
    "FanfareReplaceRulesOperator": "operators",
    "FanfareSettings": "connection",
    "FanfareSyncAudienceOperator": "operators",
    "FanfareUpdateAudienceOperator": "operators",
}

__all__ = [
    "FanfareArchiveAudienceOperator",
    "FanfareAudienceStatusSensor",
    "FanfareClient",
    "FanfareCreateAudienceOperator",
    "FanfareHook",
    "FanfareImportSensor",
    "FanfareListAudiencesOperator",
    "FanfareOnboardCrmOperator",
    "FanfareReplaceRulesOperator",
    "FanfareSettings",
    "FanfareSyncAudienceOperator",
    "FanfareUpdateAudienceOperator",
]

__getattr__ = attributes_of(__name__, _MODULES)
