"""Fanfare: client, hook, operators, sensors. The public names are listed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audience_onboarding.lazy_imports import lazy_attributes
from audience_onboarding.platforms.contract import Erasure, Platform, Reconciliation, Retirement, Tasks

if TYPE_CHECKING:
    from audience_onboarding.platforms.fanfare.client import (
        FanfareClient,
    )
    from audience_onboarding.platforms.fanfare.connection import (
        FanfareSettings,
    )
    from audience_onboarding.platforms.fanfare.definition import FanfareDefinition
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

__getattr__ = lazy_attributes(__name__, _MODULES)


class _Fanfare(Platform["FanfareDefinition"]):
    docs_url = "https://docs.fanfare.io/api/admin-api/audiences"

    @property
    def definition(self) -> type[FanfareDefinition]:
        from audience_onboarding.platforms.fanfare.definition import FanfareDefinition

        return FanfareDefinition

    def connection_type(self) -> dict[str, Any]:
        from audience_onboarding.platforms.fanfare.connection import connection_type

        return connection_type()

    @property
    def tasks(self) -> Tasks[FanfareDefinition]:
        from audience_onboarding.platforms.fanfare import tasks

        return tasks

    @property
    def reconciliation(self) -> Reconciliation[FanfareDefinition]:
        from audience_onboarding.platforms.fanfare import reconcile

        return reconcile

    @property
    def erasure(self) -> Erasure[FanfareDefinition]:
        from audience_onboarding.platforms.fanfare import erasure

        return erasure

    @property
    def retirement(self) -> Retirement[FanfareDefinition]:
        from audience_onboarding.platforms.fanfare import retirement

        return retirement


PLATFORM = _Fanfare()
"""The platform, as shared code uses it."""
