"""Operators for Digital Audience's API. What creates something creates it once, see :mod:`..orchestration.ensure`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.exceptions import ConfigurationError, NotFoundError
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.platforms.digital_audience.models import PlatformAccount, Segment
from audience_onboarding.platforms.digital_audience.segment_names import SegmentName
from audience_onboarding.state.load_date import parse_load_date
from audience_onboarding.state.remote_ids import is_missing, parse_int_id
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    CAMPAIGN_KEY,
    segment_key,
    segment_keys_key,
)
from audience_onboarding.timestamps import parse_iso_datetime

log = logging.getLogger(__name__)

ACTIVATION = "activation"
"""XCom key of what is known of an activated segment."""


class DigitalAudienceOperator(PlatformOperator[DigitalAudienceHook, int]):
    """What all operators for the vendor share: ``digital_audience_conn_id`` and ``asset``."""

    template_fields: Sequence[str] = ("digital_audience_conn_id",)
    hook_class = DigitalAudienceHook
    read_id = staticmethod(parse_int_id)

    def __init__(
        self, *, digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id


class DigitalAudienceCreateCampaignOperator(DigitalAudienceOperator):
    """Create a campaign, unless it has been created before.

    The vendor has no list of campaigns and no idempotency keys. So when it is unclear whether a request was carried
    out, the task stops with ``AmbiguousCreateError`` until a person has looked.

    :param campaign_name: sent as ``name`` (templated).
    :param asset: the campaign's asset, where several DAGs share the campaign. The tasks that ensure it must not
        run at the same time: put them into a pool with one slot.
    :param is_dry_run: only say what would be done (templated).
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
        """Return the campaign's id, creating it where needed."""
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
    :param campaign_id: the campaign it belongs to (templated); ``None`` only for an audience that is there already.
    :param description: optional (templated).
    :param is_dry_run: only say what would be done (templated).
    :return: the audience's id, ``None`` in a dry run that would create it.

    Source: the vendor's "Create CRM audience" page, step 3. See
    :class:`DigitalAudienceCreateCampaignOperator` for what happens when the outcome is unclear.
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
        """Return the audience's id, creating it where needed."""
        campaign_id = None if is_missing(self.campaign_id) else parse_int_id(self.campaign_id)
        creation = self._creation(
            "audience",
            self.audience_name,
            create=lambda: (
                self.hook.client.create_crm_audience(
                    name=self.audience_name,
                    campaign_id=parse_int_id(campaign_id),
                    description=self.description,
                ).id
            ),
            sent={"name": self.audience_name, "campaignId": campaign_id or 0},
        )
        audience_id = self._ensure(context, AUDIENCE_KEY, creation, is_dry_run=self.is_dry_run)
        DigitalAudiencePortalLink.persist(self, self.hook.client.settings, audience_id=audience_id)
        return audience_id


class DigitalAudienceUpdateAudienceOperator(DigitalAudienceOperator):
    """Set name and description of an audience.

    :param audience_id: which audience (templated).
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
        """Update it; doing so twice is harmless."""
        audience_id = self._audience_id(context, self.audience_id)
        DigitalAudiencePortalLink.persist(self, self.hook.client.settings, audience_id=audience_id)
        self.hook.client.update_audience(audience_id, name=self.audience_name, description=self.description)


@dataclass(frozen=True)
class SegmentPlan:
    """A segment as a run wants it: the same for each retry and clear of the run."""

    audience_id: int
    account: PlatformAccount
    name: str
    start: datetime
    end: datetime
    key: str
    """Under which it is remembered."""


class _SegmentOperator(DigitalAudienceOperator):
    """What the operators share that create a segment, or ask whether it may be created."""

    template_fields: Sequence[str] = (
        "segment_name",
        "description",
        "audience_id",
        "account_id",
        "platform",
        "account_name",
        "segment_start",
        "days",
        "until",
        "load_date",
        "digital_audience_conn_id",
    )

    def __init__(  # noqa: PLR0913
        self,
        *,
        segment_name: str,
        description: str,
        audience_id: RemoteId | None = None,
        account_id: RemoteId | None = None,
        platform: str | None = None,
        account_name: str | None = None,
        segment_start: str | None = None,
        days: int | str = 30,
        until: str | None = None,
        load_date: str | None = None,
        naming: SegmentName | None = None,
        target: str = "default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.segment_name = segment_name
        self.description = description
        self.audience_id = audience_id
        self.account_id = account_id
        self.platform = platform
        self.account_name = account_name
        self.segment_start = segment_start
        self.days = days
        self.until = until
        self.load_date = load_date
        self.naming = naming
        self.target = target

    def _plan(self, context: Context) -> SegmentPlan:
        """The segment that is wanted.

        :raises AirflowSkipException: its last day is over.
        """
        client = self.hook.client
        audience_id = self._audience_id(context, self.audience_id)
        start = self._start(context)
        end = start + timedelta(days=_whole_days(self.days))
        if self.until:
            last = _moment(self.until, "until")
            if start >= last:
                raise AirflowSkipException(
                    f"The target {self.target!r} was to run until {last.isoformat()}, which is over: it is let go"
                )
            end = min(end, last)
        account = client.find_platform_account(
            platform=self.platform,
            name=self.account_name,
            account_id=None if is_missing(self.account_id) else parse_int_id(self.account_id),
        )
        name, period = self.segment_name, ""
        if self.naming is not None:
            day = self._load_date() if self.naming.is_dated else None
            name = self.naming.of(day, platform=account.platform, account=account.name or "")
            period = self.naming.period(day)
        return SegmentPlan(audience_id, account, name, start, end, segment_key(self.target, period))

    def _load_date(self) -> date | None:
        return parse_load_date(self.load_date, where="load_date") if self.load_date else None

    def _existing(self, plan: SegmentPlan) -> int | None:
        fitting = [
            segment.segment_id
            for segment in self.hook.client.load_audience_segments(plan.audience_id)
            if segment.name == plan.name and segment.account_id == plan.account.id
        ]
        return max(fitting, default=None)

    def _start(self, context: Context) -> datetime:
        return _moment(self.segment_start, "segment_start") if self.segment_start else _due(context)


class DigitalAudienceActivateAudienceOperator(_SegmentOperator):
    """Activate an audience on a platform account, unless the segment is there already.

    The segments of the audience are looked at first: one of the same name on the same account is taken for ours. One
    that is over already was let go: the task is skipped.

    :param segment_name: sent as ``name`` (templated).
    :param description: sent as it is; the vendor wants one (templated).
    :param audience_id: which audience (templated); without one, the one that ``asset`` remembers.
    :param account_id: the platform account (templated), or
    :param platform: and
    :param account_name: to find it by; none or several fitting is a ``ConfigurationError`` that lists the choices.
    :param segment_start: ISO 8601 with time zone (templated); default the moment the run was due.
    :param days: how many days after that it ends (templated).
    :param until: ISO 8601 with time zone (templated): it never ends later, and once this is over the task is skipped.
    :param naming: gives the name instead of ``segment_name``, which then only shows the template.
    :param load_date: ``YYYY-MM-DD``, for a ``naming`` that wants it and for the record (templated).
    :param target: a name for this activation among several of the audience.
    :param approval: what :class:`.approval.DigitalAudienceApproveActivationOperator` has returned (templated): then no
        segment is created that was not approved.
    :return: the ``segmentId``; what else is known of the segment is the XCom :data:`ACTIVATION`.

    Source: the vendor's "Audience API" page, POST /audience/activate; "All fields are required".
    """

    template_fields: Sequence[str] = (*_SegmentOperator.template_fields, "approval")
    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    def __init__(self, *, approval: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approval = approval

    @fail_on_terminal_error
    def execute(self, context: Context) -> int | None:
        """Return the segment's id, creating the segment where needed.

        :raises AirflowSkipException: the segment is over, or its last day is.
        """
        client = self.hook.client
        plan = self._plan(context)
        created: list[int] = []

        def create() -> int:
            created.append(self._create(plan))
            return created[0]

        creation = self._creation(
            "segment",
            plan.name,
            find=lambda: self._existing(plan),
            create=create,
            sent={"audienceId": plan.audience_id, "accountId": plan.account.id, "name": plan.name},
        )
        self._note_period(context, plan.key)
        segment_id = self._ensure(context, plan.key, creation)
        if segment_id is None:
            return None
        DigitalAudiencePortalLink.persist(
            self, client.settings, audience_id=plan.audience_id, segment_id=segment_id
        )
        if not created:
            self._still_runs(segment_id, plan.key, context)
        approved = self._approved(context, plan.key)
        context["ti"].xcom_push(
            key=ACTIVATION,
            value={
                "audience_id": plan.audience_id,
                "segment_id": segment_id,
                "segment_name": plan.name,
                "target": self.target,
                "account_id": plan.account.id,
                "account_name": plan.account.name,
                "ad_platform": plan.account.platform,
                "created": bool(created),
                **({"load_date": self.load_date} if self.load_date else {}),
                **({"approved": approved} if approved else {}),
            },
        )
        return segment_id

    def _note_period(self, context: Context, key: str) -> None:
        """Keep the key of a period where it is found again: the memory cannot be asked which keys it has."""
        if key == segment_key(self.target):
            return
        store, place = self._state_store(context), segment_keys_key(self.target)
        known = store.get(place) or []
        if key not in known:
            store.set(place, [*known, key])

    def _create(self, plan: SegmentPlan) -> int:
        if isinstance(self.approval, Mapping) and not self.approval.get("approved"):
            raise ConfigurationError(
                what=f"The segment {plan.name!r} is gone, and nobody has approved of creating it again",
                where=f"target {self.target!r}",
                next_step="Clear the task that asks for the approval",
            )
        activation = self.hook.client.activate_audience(
            audience_id=plan.audience_id,
            account_id=plan.account.id,
            name=plan.name,
            description=self.description,
            start_date=plan.start,
            end_date=plan.end,
        )
        return activation.segment_id

    def _still_runs(self, segment_id: int, key: str, context: Context) -> None:
        try:
            end = self.hook.client.load_segment(segment_id).end_date
        except NotFoundError as error:
            raise NotFoundError(
                what=f"Segment {segment_id} is gone",
                where=error.where,
                why=error.why,
                next_step=f"To create it again, delete the key {key!r} in {self.state_store_hint()}. Clear this task",
            ) from None
        if end is not None and end <= _due(context):
            raise AirflowSkipException(
                f"Segment {segment_id} ended {end.isoformat()}; skipping. The DAG set_segment_end_date can extend it"
            )

    def _approved(self, context: Context, key: str) -> Any:
        """Who has approved of the segment and when, kept with it; ``None`` if nobody was asked."""
        store = self._state_store(context)
        record = store.get(key) or {}
        if isinstance(self.approval, Mapping) and self.approval.get("approved"):
            record["approved"] = {name: self.approval.get(name) for name in ("by", "at")}
            store.set(key, record)
        return record.get("approved")


class DigitalAudienceExtendSegmentEndDateOperator(DigitalAudienceOperator):
    """Move the end date of a segment forward. Doing so twice is harmless.

    :param segment_id: the ``segmentId`` (templated).
    :param new_end_date: ISO 8601 with time zone (templated).
    :param segment_name: for messages and the label of a mapped task (templated).
    :param allow_shorten: also move it back; otherwise an end that is later already stays.
    :param audience_id: whose segment it is, where the portal's link wants it (templated).
    :return: the end date before and after, ISO 8601.

    Source: the vendor's "Segment API" page, POST /segment/updateenddate.
    """

    template_fields: Sequence[str] = (
        "segment_id",
        "audience_id",
        "new_end_date",
        "segment_name",
        "digital_audience_conn_id",
    )
    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    def __init__(
        self,
        *,
        segment_id: RemoteId,
        new_end_date: str,
        segment_name: str = "",
        allow_shorten: bool = False,
        audience_id: RemoteId | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id
        self.segment_id = segment_id
        self.new_end_date = new_end_date
        self.segment_name = segment_name
        self.allow_shorten = allow_shorten

    @fail_on_terminal_error
    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Read the end date, and move it if it is not there yet."""
        DigitalAudiencePortalLink.persist(
            self,
            self.hook.client.settings,
            audience_id=None if is_missing(self.audience_id) else parse_int_id(self.audience_id),
            segment_id=parse_int_id(self.segment_id),
        )
        return move_end_date(
            self.hook.client,
            parse_int_id(self.segment_id),
            _moment(self.new_end_date, "new_end_date"),
            allow_shorten=self.allow_shorten,
        )


class DigitalAudienceDeleteAudienceOperator(DigitalAudienceOperator):
    """Delete an audience "and all connected data" at the vendor. There is no way back.

    :param audience_id: which audience (templated); it must be given, a remembered one is not deleted.

    Source: the vendor's "Audience API" page, DELETE /audience/delete.
    """

    template_fields: Sequence[str] = ("audience_id", "digital_audience_conn_id")

    def __init__(self, *, audience_id: RemoteId, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Delete it."""
        self.hook.client.delete_audience(parse_int_id(self.audience_id))
        self.log.info("Audience %s is deleted", self.audience_id)


class DigitalAudienceDeleteSegmentOperator(DigitalAudienceOperator):
    """Delete a segment at the vendor.

    :param segment_id: the ``segmentId`` (templated).

    Source: the vendor's "Segment API" page, DELETE /segment/{segmentid}.
    """

    template_fields: Sequence[str] = ("segment_id", "digital_audience_conn_id")

    def __init__(self, *, segment_id: RemoteId, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segment_id = segment_id

    @fail_on_terminal_error
    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Delete it."""
        self.hook.client.delete_segment(parse_int_id(self.segment_id))
        self.log.info("Segment %s is deleted", self.segment_id)


class DigitalAudienceListSegmentsOperator(DigitalAudienceOperator):
    """List the segments of an audience.

    :param audience_id: which audience (templated); without one, the one that ``asset`` remembers.
    :return: the segments as JSON objects, names in Python's spelling.

    Source: the vendor's "Segment API" page, GET /segment/audience:{audienceid}.
    """

    template_fields: Sequence[str] = ("audience_id", "digital_audience_conn_id")

    def __init__(self, *, audience_id: RemoteId | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id

    @fail_on_terminal_error
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List them."""
        segments: list[Segment] = self.hook.client.load_audience_segments(
            self._audience_id(context, self.audience_id)
        )
        return [segment.model_dump(mode="json") for segment in segments]


class DigitalAudienceListPlatformAccountsOperator(DigitalAudienceOperator):
    """List the ad platform accounts of the user's organisation, without their access tokens.

    :return: the accounts as JSON objects, names in Python's spelling.

    Source: the vendor's "Organization API" page, GET /organisation/loadplatformaccounts.
    """

    @fail_on_terminal_error
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """List them."""
        return [account.model_dump(mode="json") for account in self.hook.client.load_platform_accounts()]


def _due(context: Context) -> datetime:
    """The moment of the run, not of the clock: a retry asks for the same segment."""
    dag_run: Any = context["dag_run"]
    moment: datetime = dag_run.logical_date or dag_run.run_after
    return moment


def _moment(value: str, name: str) -> datetime:
    try:
        moment = parse_iso_datetime(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(
            what=f"{name} {value!r} is not a moment with a time zone",
            next_step="Give it in ISO 8601, for example 2026-12-31T23:59:59Z",
        )
    return moment


def _whole_days(value: int | str) -> int:
    try:
        days = int(value)
    except (TypeError, ValueError):
        days = 0
    if days < 1:
        raise ConfigurationError(
            what=f"{value!r} is not a number of days of at least 1", next_step="Give a whole number"
        )
    return days


def move_end_date(
    client: DigitalAudienceClient,
    segment_id: int,
    wanted: datetime,
    *,
    allow_shorten: bool = False,
    is_dry_run: bool = False,
) -> dict[str, Any]:
    """Move the end date of a segment, unless it is there already.

    :param allow_shorten: also move it back.
    :param is_dry_run: only say what would be done.
    :return: the end date before and after, ISO 8601.
    """
    before = client.load_segment(segment_id).end_date
    if before is not None and (before == wanted or (before > wanted and not allow_shorten)):
        log.info("Segment %s ends %s already; nothing to do", segment_id, before.isoformat())
        return _end_dates(segment_id, before, before, changed=False)
    if is_dry_run:
        log.info("Dry run: segment %s would end %s instead of %s", segment_id, wanted.isoformat(), before)
        return _end_dates(segment_id, before, wanted, changed=False)
    client.update_segment_end_date(segment_id, wanted)
    log.info("Segment %s now ends %s instead of %s", segment_id, wanted.isoformat(), before)
    return _end_dates(segment_id, before, wanted, changed=True)


def _end_dates(
    segment_id: RemoteId, before: datetime | None, after: datetime, *, changed: bool
) -> dict[str, Any]:
    return {
        "segment_id": segment_id,
        "end_date_before": before.isoformat() if before else None,
        "end_date": after.isoformat(),
        "changed": changed,
    }
