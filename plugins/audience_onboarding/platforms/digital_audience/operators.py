"""Operators for Digital Audience's API. Each create runs once, see :mod:`...state.create_once`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from airflow.sdk import DAG, Asset
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.state.create_once import stored_id
from audience_onboarding.state.remote_ids import is_missing, parse_int_id
from audience_onboarding.state.store import AUDIENCE_KEY, CAMPAIGN_KEY, get_state_store

CAMPAIGN_ID = "campaign_id"
"""XCom key of the campaign's id if only the campaign is known."""


class DigitalAudienceOperator(PlatformOperator[DigitalAudienceHook, int]):
    """Base of the vendor's operators, with the arguments ``digital_audience_conn_id`` and ``asset``."""

    template_fields: Sequence[str] = ("digital_audience_conn_id",)
    hook_class = DigitalAudienceHook
    read_id = staticmethod(parse_int_id)

    def __init__(
        self, *, digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id

    def _persist_portal_link(self, **ids: int | None) -> None:
        DigitalAudiencePortalLink.persist(self, self.hook.client.settings, **ids)


class DigitalAudienceCreateCampaignOperator(DigitalAudienceOperator):
    """Create a campaign, unless it has been created before.

    The vendor has no list of campaigns and no idempotency keys. After a request with an unknown outcome the task
    fails with ``AmbiguousCreateError`` until a user resolves it.

    :param campaign_name: sent as ``name`` (templated).
    :param asset: the campaign's asset if several DAGs share the campaign. The tasks that ensure it must not run
        concurrently: use a pool with one slot.
    :param is_dry_run: only log the create (templated).
    :return: the campaign's id, ``None`` in a dry run that would create it.

    Source: the vendor's "Create CRM audience" page, step 2.
    """

    template_fields: Sequence[str] = ("campaign_name", "is_dry_run", "digital_audience_conn_id")
    operator_extra_links = (AudiencePageLink(),)

    def __init__(self, *, campaign_name: str, is_dry_run: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_name = campaign_name
        self.is_dry_run = is_dry_run

    @fail_on_terminal_error
    def execute(self, context: Context) -> int | None:
        """Return the campaign's id; create the campaign if it does not exist."""
        creation = self._creation(
            "campaign",
            self.campaign_name,
            create=lambda: self.hook.client.create_campaign(self.campaign_name).id,
            sent={"name": self.campaign_name},
        )
        return self._ensure(context, CAMPAIGN_KEY, creation, is_dry_run=self.is_dry_run)


class DigitalAudienceCreateCrmAudienceOperator(DigitalAudienceOperator):
    """Create an audience for CRM data in a campaign, unless it has been created before.

    :param audience_name: sent as ``name`` (templated).
    :param campaign_id: the audience's campaign (templated); ``None`` only for an audience that already exists.
    :param description: optional (templated).
    :param is_dry_run: only log the create (templated).
    :return: the audience's id, ``None`` in a dry run that would create it.

    See :class:`DigitalAudienceCreateCampaignOperator` for a request with an unknown outcome.

    Source: the vendor's "Create CRM audience" page, step 3.
    """

    template_fields: Sequence[str] = (
        "audience_name",
        "campaign_id",
        "description",
        "is_dry_run",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    def __init__(
        self,
        *,
        audience_name: str,
        campaign_id: RemoteId | None,
        description: str | None = None,
        is_dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.campaign_id = campaign_id
        self.description = description
        self.is_dry_run = is_dry_run

    @fail_on_terminal_error
    def execute(self, context: Context) -> int | None:
        """Return the audience's id; create the audience if it does not exist."""
        campaign_id = None if is_missing(self.campaign_id) else parse_int_id(self.campaign_id)
        if self.stored_id(context, AUDIENCE_KEY) is None:
            self.check_not_lost(context)
        creation = self._creation(
            "audience",
            self.audience_name,
            create=lambda: self._create(parse_int_id(campaign_id)),
            sent={"name": self.audience_name, "campaignId": campaign_id or 0},
        )
        audience_id = self._ensure(context, AUDIENCE_KEY, creation, is_dry_run=self.is_dry_run)
        self._persist_portal_link(audience_id=audience_id)
        return audience_id

    def _create(self, campaign_id: int) -> int:
        client, name = self.hook.client, self.audience_name
        return client.create_crm_audience(name=name, campaign_id=campaign_id, description=self.description).id


class DigitalAudienceUpdateAudienceOperator(DigitalAudienceOperator):
    """Set name and description of an audience.

    :param audience_id: the audience (templated).
    :param audience_name: sent as ``name`` (templated).
    :param description: optional (templated).

    Source: the vendor's "Audience API" page, POST /audience/update.
    """

    template_fields: Sequence[str] = (
        "audience_id",
        "audience_name",
        "description",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    def __init__(
        self, *, audience_id: RemoteId, audience_name: str, description: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id
        self.audience_name = audience_name
        self.description = description

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:
        """Update the audience. Idempotent."""
        audience_id = self._audience_id(context, self.audience_id)
        self._persist_portal_link(audience_id=audience_id)
        self.hook.client.update_audience(audience_id, name=self.audience_name, description=self.description)


class DigitalAudienceDeleteAudienceOperator(DigitalAudienceOperator):
    """Delete an audience "and all connected data" at the vendor. This cannot be undone.

    :param audience_id: the audience (templated); required, as a stored id is never deleted.

    Source: the vendor's "Audience API" page, DELETE /audience/delete.
    """

    template_fields: Sequence[str] = ("audience_id", "digital_audience_conn_id")

    def __init__(self, *, audience_id: RemoteId, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Delete the audience."""
        self.hook.client.delete_audience(parse_int_id(self.audience_id))
        self.log.info("Deleted audience %s", self.audience_id)


class DigitalAudienceListPlatformAccountsOperator(DigitalAudienceOperator):
    """List the ad platform accounts of the user's organisation, without their access tokens.

    :return: the accounts as JSON objects, names in Python's spelling.

    Source: the vendor's "Organization API" page, GET /organisation/loadplatformaccounts.
    """

    @fail_on_terminal_error
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """List the accounts."""
        return [account.model_dump(mode="json") for account in self.hook.client.load_platform_accounts()]


class DigitalAudienceLookupAudienceOperator(DigitalAudienceOperator, SkipMixin):
    """Read the stored ids of audience and campaign, and skip the tasks that would create them.

    The operator only reads the state store, so any number of them may run concurrently. The tasks that create read it
    again themselves.

    :param campaign_asset: asset whose state store has the campaign's id; that of the audience is ``asset``.
    :param campaign_task_id: the task that creates the campaign. Skipped if campaign or audience has an id.
    :param audience_task_id: the task that creates the audience. Skipped if the audience has an id.
    :return: the audience's id, ``None`` if it has none. The campaign's id, if it is needed and stored, is the XCom
        :data:`CAMPAIGN_ID`.

    :raises AirflowFailException: the audience was retired, its state is lost, or an id belongs to another account.
    """

    # Airflow checks this when a skipped task is cleared by itself.
    _can_skip_downstream = True

    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    template_fields: Sequence[str] = ("digital_audience_conn_id",)

    def __init__(
        self, *, campaign_asset: Asset, campaign_task_id: str, audience_task_id: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_asset = campaign_asset
        self.campaign_task_id = campaign_task_id
        self.audience_task_id = audience_task_id
        # Without the inlet, Airflow denies the task access to the asset's state store.
        self.inlets = [*self.inlets, campaign_asset]

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:
        """Push the stored ids, and skip the tasks that are not needed.

        :raises DownstreamTasksSkipped: Airflow skips the tasks; this task succeeds.
        """
        ti = context["ti"]
        audience_id = self.stored_id(context, AUDIENCE_KEY)
        if audience_id is not None:
            self.log.info("The audience exists with id %s", audience_id)
            self._persist_portal_link(audience_id=audience_id)
            # Pushed and not returned: the exception of the skip ends the task.
            ti.xcom_push(key="return_value", value=audience_id)
            self._skip(context, self.campaign_task_id, self.audience_task_id)
            return
        self.check_not_lost(context)
        store = get_state_store(context, self.campaign_asset)
        campaign_id = stored_id(store, CAMPAIGN_KEY, account=self._account, read=self.read_id)
        if campaign_id is not None:
            self.log.info("The campaign exists with id %s; the audience has no id yet", campaign_id)
            ti.xcom_push(key=CAMPAIGN_ID, value=campaign_id)
            self._skip(context, self.campaign_task_id)
            return
        self.log.info("Neither the audience nor its campaign has an id yet")

    def _skip(self, context: Context, *task_ids: str) -> None:
        dag = cast("DAG", self.get_dag())
        self.skip(context["ti"], [dag.get_task(task_id) for task_id in task_ids])
