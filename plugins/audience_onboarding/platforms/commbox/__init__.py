"""CommBox: client, hook, operators, sensors. The public names are listed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audience_onboarding.lazy_imports import lazy_attributes
from audience_onboarding.platforms.contract import Erasure, Platform, Reconciliation, Retirement, Tasks

if TYPE_CHECKING:
    from audience_onboarding.platforms.commbox.client import (
        CommBoxClient,
    )
    from audience_onboarding.platforms.commbox.connection import (
        CommBoxSettings,
    )
    from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
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

__getattr__ = lazy_attributes(__name__, _MODULES)


class _CommBox(Platform["CommBoxDefinition"]):
    docs_url = "https://help.commbox.io/apidocs/get-audiences"

    @property
    def definition(self) -> type[CommBoxDefinition]:
        from audience_onboarding.platforms.commbox.definition import CommBoxDefinition

        return CommBoxDefinition

    def connection_type(self) -> dict[str, Any]:
        from audience_onboarding.platforms.commbox.connection import connection_type

        return connection_type()

    @property
    def tasks(self) -> Tasks[CommBoxDefinition]:
        from audience_onboarding.platforms.commbox import tasks

        return tasks

    @property
    def reconciliation(self) -> Reconciliation[CommBoxDefinition]:
        from audience_onboarding.platforms.commbox import reconcile

        return reconcile

    @property
    def erasure(self) -> Erasure[CommBoxDefinition]:
        from audience_onboarding.platforms.commbox import erasure

        return erasure

    @property
    def retirement(self) -> Retirement[CommBoxDefinition]:
        from audience_onboarding.platforms.commbox import retirement

        return retirement


PLATFORM = _CommBox()
"""The platform, as shared code uses it."""
