"""What the operators for Digital Audience share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.definitions.context import Context

from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.templated import is_missing, remote_number
from audience_onboarding.errors import ConfigurationError
from audience_onboarding.orchestration.ensure import remembered_id
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.orchestration.memory import AUDIENCE_KEY, memory_of


class DigitalAudienceOperator(BaseOperator):
    """What all operators for the vendor share.

    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :param asset: the asset whose state store remembers ids; without one, the task's own store does, which
        outlives retries and clears of one run, but not the run.
    """

    template_fields: Sequence[str] = ("digital_audience_conn_id",)

    def __init__(
        self,
        *,
        digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name,
        asset: Asset | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", OnboardingRetryPolicy())
        super().__init__(**kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id
        self.asset = asset
        if asset is not None and asset not in self.inlets:
            # An inlet, not an outlet: it may be remembered things about, but this is no event of it.
            self.inlets = [*self.inlets, asset]

    @cached_property
    def hook(self) -> DigitalAudienceHook:
        """The connection to the vendor."""
        return DigitalAudienceHook(self.digital_audience_conn_id)

    @property
    def _account(self) -> str:
        return self.hook.client.settings.base_url

    def _settle_hint(self) -> str:
        if self.asset is not None:
            return f"the state store of asset {self.asset.name!r} (REST: /api/v2/assets/<asset>/state-store/<key>)"
        return "this task's state store (REST: .../taskInstances/<task>/state-store/<key>)"

    def _audience_id(self, context: Context, given: Any) -> int:
        """``given``, or the id that the audience's asset remembers."""
        if not is_missing(given):
            return remote_number(given)
        known = (
            remembered_id(memory_of(context, self.asset), AUDIENCE_KEY, account=self._account)
            if self.asset is not None
            else None
        )
        if known is None:
            raise ConfigurationError(
                what="There is no audience yet",
                where="" if self.asset is None else self.asset.name,
                next_step="Run its onboarding DAG first, or give the audience's id",
            )
        return known
