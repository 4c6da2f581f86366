"""Fanfare: client, hook, operators, sensors. What is listed here is the public part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audience_onboarding.lazy import attributes_of

if TYPE_CHECKING:
    from audience_onboarding.fanfare.client import (
        FanfareClient,
    )
    from audience_onboarding.fanfare.hooks import (
        FanfareHook,
    )
    from audience_onboarding.fanfare.onboarding import (
        FanfareOnboardCrmOperator,
    )
    from audience_onboarding.fanfare.operators import (
        FanfareArchiveAudienceOperator,
        FanfareCreateAudienceOperator,
        FanfareListAudiencesOperator,
        FanfareReplaceRulesOperator,
        FanfareSyncAudienceOperator,
        FanfareUpdateAudienceOperator,
    )
    from audience_onboarding.fanfare.sensors import (
        FanfareAudienceStatusSensor,
        FanfareImportSensor,
    )
    from audience_onboarding.fanfare.settings import (
        FanfareSettings,
    )

_MODULES = {
    "FanfareArchiveAudienceOperator": "operators",
    "FanfareAudienceStatusSensor": "sensors",
    "FanfareClient": "client",
    "FanfareCreateAudienceOperator": "operators",
    "FanfareHook": "hooks",
    "FanfareImportSensor": "sensors",
    "FanfareListAudiencesOperator": "operators",
    "FanfareOnboardCrmOperator": "onboarding",
    "FanfareReplaceRulesOperator": "operators",
    "FanfareSettings": "settings",
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
