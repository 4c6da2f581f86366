"""CommBox: client, hook, operators, sensors. What is listed here is the public part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audience_onboarding.lazy_imports import attributes_of

if TYPE_CHECKING:
    from audience_onboarding.platforms.commbox.client import (
        CommBoxClient,
    )
    from audience_onboarding.platforms.commbox.connection import (
        CommBoxSettings,
    )
    from audience_onboarding.platforms.commbox.hooks import (
        CommBoxHook,
    )
    from audience_onboarding.platforms.commbox.operators import (
        CommBoxFindAudienceOperator,
        CommBoxListAudiencesOperator,
        CommBoxOnboardCrmOperator,
    )
    from audience_onboarding.platforms.commbox.sensors import (
        CommBoxUserCountSensor,
    )

_MODULES = {
    "CommBoxClient": "client",
    "CommBoxFindAudienceOperator": "operators",
    "CommBoxHook": "hooks",
    "CommBoxListAudiencesOperator": "operators",
    "CommBoxOnboardCrmOperator": "operators",
    "CommBoxSettings": "connection",
    "CommBoxUserCountSensor": "sensors",
}

__all__ = [
    "CommBoxClient",
    "CommBoxFindAudienceOperator",
    "CommBoxHook",
    "CommBoxListAudiencesOperator",
    "CommBoxOnboardCrmOperator",
    "CommBoxSettings",
    "CommBoxUserCountSensor",
]

__getattr__ = attributes_of(__name__, _MODULES)
