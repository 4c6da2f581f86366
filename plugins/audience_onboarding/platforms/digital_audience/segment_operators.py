"""Operators for the segments of an audience: activate, extend, delete, list."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.exceptions import ConfigurationError, NotFoundError
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.platforms.digital_audience.models import PlatformAccount
from audience_onboarding.platforms.digital_audience.operators import DigitalAudienceOperator
from audience_onboarding.platforms.digital_audience.segment_names import SegmentName
from audience_onboarding.state.load_date import parse_load_date
from audience_onboarding.state.remote_ids import is_missing, parse_int_id
from audience_onboarding.state.store import segment_key, segment_keys_key
from audience_onboarding.timestamps import parse_iso_datetime

log = logging.getLogger(__name__)

ACTIVATION = "activation"
"""XCom key of the details of an activated segment."""


@dataclass(frozen=True)
class SegmentPlan:
    """Segment to create: the same for each retry and clear of a run.

    :param key: of the state store.
    """

    audience_id: int
    account: PlatformAccount
    name: str
    start: datetime
    end: datetime
    key: str


class _SegmentOperator(DigitalAudienceOperator):
    """Base of the operators that create a segment or ask for its approval."""

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
        """Return the segment to create.

        :raises AirflowSkipException: the target's ``until`` has passed.
        """
        client = self.hook.client
        audience_id = self._audience_id(context, self.audience_id)
        start = (
            _parse_datetime(self.segment_start, "segment_start")
            if self.segment_start
            else _run_datetime(context)
        )
        end = start + timedelta(days=_parse_days(self.days))
        if self.until:
            last = _parse_datetime(self.until, "until")
            if start >= last:
                raise AirflowSkipException(f"Target {self.target!r} ended on {last.isoformat()}; skipping")
            end = min(end, last)
        account = client.find_platform_account(
            platform=self.platform,
            name=self.account_name,
            account_id=None if is_missing(self.account_id) else parse_int_id(self.account_id),
        )
        name, period = self.segment_name, ""
        if self.naming is not None:
            day: date | None = None
            if self.naming.is_dated and self.load_date:
                day = parse_load_date(self.load_date, where="load_date")
            name = self.naming.of(day, platform=account.platform, account=account.name or "")
            period = self.naming.period(day)
        return SegmentPlan(audience_id, account, name, start, end, segment_key(self.target, period))

    def _existing(self, plan: SegmentPlan) -> int | None:
        matches = [
            segment.segment_id
            for segment in self.hook.client.load_audience_segments(plan.audience_id)
            if segment.name == plan.name and segment.account_id == plan.account.id
        ]
        return max(matches, default=None)


class DigitalAudienceActivateAudienceOperator(_SegmentOperator):
    """Activate an audience on a platform account, unless the segment exists.

    The operator lists the audience's segments first and uses one of the same name on the same account. It skips the
    task if that segment has already ended.

    :param segment_name: sent as ``name`` (templated).
    :param description: sent unchanged; the vendor requires one (templated).
    :param audience_id: the audience (templated); default the id stored with ``asset``.
    :param account_id: the platform account (templated), or
    :param platform: and
    :param account_name: that select it; no match or several raise a ``ConfigurationError`` with the choices.
    :param segment_start: ISO 8601 with time zone (templated); default the logical date of the run.
    :param days: duration in days (templated).
    :param until: latest end, ISO 8601 with time zone (templated); the task is skipped once it has passed.
    :param naming: builds the name; ``segment_name`` then only shows the template.
    :param load_date: ``YYYY-MM-DD``, for a dated ``naming`` and for the record (templated).
    :param target: key of this activation target of the audience.
    :param approval: return value of :class:`.approval.DigitalAudienceApproveActivationOperator` (templated); with it,
        the operator only creates an approved segment.
    :return: the ``segmentId``; further details are the XCom :data:`ACTIVATION`.

    Source: the vendor's "Audience API" page, POST /audience/activate; "All fields are required".
    """

    template_fields: Sequence[str] = (*_SegmentOperator.template_fields, "approval")
    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    def __init__(self, *, approval: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approval = approval

    @fail_on_terminal_error
    def execute(self, context: Context) -> int | None:
        """Return the segment's id; create the segment if it does not exist.

        :raises AirflowSkipException: the segment has ended, or the target's ``until`` has passed.
        """
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
        self._store_period_key(context, plan.key)
        segment_id = self._ensure(context, plan.key, creation)
        if segment_id is None:
            return None
        self._persist_portal_link(audience_id=plan.audience_id, segment_id=segment_id)
        if not created:
            self._skip_if_ended(segment_id, plan.key, context)
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

    def _store_period_key(self, context: Context, key: str) -> None:
        """Store the key of a period's segment: the state store cannot list its keys."""
        if key == segment_key(self.target):
            return
        store, list_key = self._state_store(context), segment_keys_key(self.target)
        keys = store.get(list_key) or []
        if key not in keys:
            store.set(list_key, [*keys, key])

    def _create(self, plan: SegmentPlan) -> int:
        if isinstance(self.approval, Mapping) and not self.approval.get("approved"):
            raise ConfigurationError(
                what=f"Segment {plan.name!r} is gone, and creating it again is not approved",
                where=f"target {self.target!r}",
                next_step="Clear the approval task",
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

    def _skip_if_ended(self, segment_id: int, key: str, context: Context) -> None:
        try:
            end = self.hook.client.load_segment(segment_id).end_date
        except NotFoundError as error:
            raise NotFoundError(
                what=f"Segment {segment_id} is gone",
                where=error.where,
                why=error.why,
                next_step=f"To create it again, delete the key {key!r} in {self.state_store_hint()}. Clear this task",
            ) from None
        if end is not None and end <= _run_datetime(context):
            raise AirflowSkipException(
                f"Segment {segment_id} ended {end.isoformat()}; skipping. The DAG set_segment_end_date can extend it"
            )

    def _approved(self, context: Context, key: str) -> Any:
        """Store and return who approved the segment and when; ``None`` without an approval."""
        store = self._state_store(context)
        record = store.get(key) or {}
        if isinstance(self.approval, Mapping) and self.approval.get("approved"):
            record["approved"] = {name: self.approval.get(name) for name in ("by", "at")}
            store.set(key, record)
        return record.get("approved")


class DigitalAudienceExtendSegmentEndDateOperator(DigitalAudienceOperator):
    """Move the end date of a segment forward. Idempotent.

    :param segment_id: the ``segmentId`` (templated).
    :param new_end_date: ISO 8601 with time zone (templated).
    :param segment_name: for messages and the label of a mapped task (templated).
    :param allow_shorten: also move it back; by default a later end date is unchanged.
    :param audience_id: the segment's audience, if the portal link needs it (templated).
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
        """Read the end date, and move it if it differs."""
        segment_id = parse_int_id(self.segment_id)
        audience_id = None if is_missing(self.audience_id) else parse_int_id(self.audience_id)
        self._persist_portal_link(audience_id=audience_id, segment_id=segment_id)
        end = _parse_datetime(self.new_end_date, "new_end_date")
        return move_end_date(self.hook.client, segment_id, end, allow_shorten=self.allow_shorten)


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
        """Delete the segment."""
        self.hook.client.delete_segment(parse_int_id(self.segment_id))
        self.log.info("Deleted segment %s", self.segment_id)


class DigitalAudienceListSegmentsOperator(DigitalAudienceOperator):
    """List the segments of an audience.

    :param audience_id: the audience (templated); default the id stored with ``asset``.
    :return: the segments as JSON objects, names in Python's spelling.

    Source: the vendor's "Segment API" page, GET /segment/audience:{audienceid}.
    """

    template_fields: Sequence[str] = ("audience_id", "digital_audience_conn_id")

    def __init__(self, *, audience_id: RemoteId | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id

    @fail_on_terminal_error
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List the segments."""
        segments = self.hook.client.load_audience_segments(self._audience_id(context, self.audience_id))
        return [segment.model_dump(mode="json") for segment in segments]


def _run_datetime(context: Context) -> datetime:
    """Return the datetime of the run, not of the clock: a retry must request the same segment."""
    dag_run: Any = context["dag_run"]
    timestamp: datetime = dag_run.logical_date or dag_run.run_after
    return timestamp


def _parse_datetime(value: str, name: str) -> datetime:
    try:
        timestamp = parse_iso_datetime(value)
    except ValueError:
        timestamp = None
    if timestamp is None or timestamp.tzinfo is None:
        raise ConfigurationError(
            what=f"Invalid {name} {value!r}: not a datetime with a time zone",
            next_step="Use ISO 8601, for example 2026-12-31T23:59:59Z",
        )
    return timestamp


def _parse_days(value: int | str) -> int:
    try:
        days = int(value)
    except (TypeError, ValueError):
        days = 0
    if days < 1:
        raise ConfigurationError(
            what=f"Invalid number of days {value!r}", next_step="Use a whole number of at least 1"
        )
    return days


def move_end_date(
    client: DigitalAudienceClient,
    segment_id: int,
    end: datetime,
    *,
    allow_shorten: bool = False,
    is_dry_run: bool = False,
) -> dict[str, Any]:
    """Move the end date of a segment, unless it is already ``end`` or later.

    :param allow_shorten: also move it back.
    :param is_dry_run: only log the change.
    :return: the end date before and after, ISO 8601.
    """
    before = client.load_segment(segment_id).end_date
    changed = False
    if before is not None and (before == end or (before > end and not allow_shorten)):
        log.info("Segment %s already ends %s; nothing to do", segment_id, before.isoformat())
        end = before
    elif is_dry_run:
        log.info("Dry run: segment %s would end %s instead of %s", segment_id, end.isoformat(), before)
    else:
        client.update_segment_end_date(segment_id, end)
        log.info("Segment %s now ends %s instead of %s", segment_id, end.isoformat(), before)
        changed = True
    return {
        "segment_id": segment_id,
        "end_date_before": before.isoformat() if before else None,
        "end_date": end.isoformat(),
        "changed": changed,
    }
