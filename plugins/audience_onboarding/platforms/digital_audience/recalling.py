"""The task that comes before the creations, and skips those of what is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from airflow.sdk import DAG, Asset
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.platforms.digital_audience.operators import DigitalAudienceOperator
from audience_onboarding.state.create_once import stored_id
from audience_onboarding.state.store import AUDIENCE_KEY, CAMPAIGN_KEY, get_state_store

CAMPAIGN_ID = "campaign_id"
"""XCom key of the campaign's id, where only that is known."""


class DigitalAudienceLookupAudienceOperator(DigitalAudienceOperator, SkipMixin):
    """Look whether audience and campaign are known, and skip the tasks after this one that would create them.

    It asks nobody but the memory and writes nothing into it, so that any number of these may run at the same time.
    What is known is never unlearned by looking twice: the tasks that create look again themselves.

    :param campaign_asset: the asset whose state store remembers the campaign; that of the audience is ``asset``.
    :param campaign_task_id: the task that creates the campaign. Skipped where campaign or audience is known.
    :param audience_task_id: the task that creates the audience. Skipped where the audience is known.
    :return: the audience's id, ``None`` where it is not known. The campaign's is the XCom :data:`CAMPAIGN_ID`, where
        that is needed and known.

    :raises AirflowFailException: the audience was retired, or an id belongs to another account.
    """

    # Airflow looks at this again where a task that was skipped is cleared by itself.
    _can_skip_downstream = True

    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    template_fields: Sequence[str] = ("digital_audience_conn_id",)

    def __init__(
        self,
        *,
        campaign_asset: Asset,
        campaign_task_id: str,
        audience_task_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_asset = campaign_asset
        self.campaign_task_id = campaign_task_id
        self.audience_task_id = audience_task_id
        # Without it, the task may not look into this one's memory.
        self.inlets = [*self.inlets, campaign_asset]

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:
        """Push what is known, and skip what need not be created.

        :raises DownstreamTasksSkipped: how Airflow is told what to skip; the task itself is a success.
        """
        ti = context["ti"]
        audience_id = self.stored_id(context, AUDIENCE_KEY)
        if audience_id is not None:
            self.log.info("The audience is there with id %s", audience_id)
            DigitalAudiencePortalLink.persist(self, self.hook.client.settings, audience_id=audience_id)
            # Not by returning it: skipping ends the task.
            ti.xcom_push(key="return_value", value=audience_id)
            self._skip(context, self.campaign_task_id, self.audience_task_id)
            return
        campaign_id = self._recalled_campaign(context)
        if campaign_id is not None:
            self.log.info("The campaign is there with id %s; the audience is not there yet", campaign_id)
            ti.xcom_push(key=CAMPAIGN_ID, value=campaign_id)
            self._skip(context, self.campaign_task_id)
            return
        self.log.info("Neither the audience nor its campaign is known yet")

    def _recalled_campaign(self, context: Context) -> int | None:
        store = get_state_store(context, self.campaign_asset)
        return stored_id(store, CAMPAIGN_KEY, account=self._account, read=self.read_id)

    def _skip(self, context: Context, *task_ids: str) -> None:
        dag = cast("DAG", self.get_dag())
        self.skip(context["ti"], [dag.get_task(task_id) for task_id in task_ids])
