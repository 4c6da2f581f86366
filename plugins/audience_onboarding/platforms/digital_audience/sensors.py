"""Sensors for Digital Audience: deferrable by default, so that waiting uses no worker slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, XComArg
from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.openlineage import DatasetRef, audience_dataset, build_processing_facets
from audience_onboarding.base.sensors import PlatformSensor, resolve_audience_id
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    AudienceFailedError,
    SegmentFailedError,
    TerminalError,
)
from audience_onboarding.platforms.digital_audience.definition import ConfirmationRules
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.platforms.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
)
from audience_onboarding.state.remote_ids import parse_int_id


def audience_failed(subject: str, message: str) -> AudienceFailedError:
    """Return the error for a file that the vendor failed to process, with the vendor's reason."""
    return AudienceFailedError(
        what=f"{subject} failed",
        where="Digital Audience",
        why=message,
        next_step="The vendor's portal shows the reason in the audience's log; fix the file, then trigger "
        f"the load again {OVERWRITE_HINT}",
    )


class _DigitalAudienceSensor(PlatformSensor[DigitalAudienceHook]):
    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())
    hook_class = DigitalAudienceHook

    def __init__(
        self, *, digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id


class DigitalAudienceAudienceStateSensor(_DigitalAudienceSensor):
    """Wait until the vendor has processed an upload of an audience.

    Success needs more than a state, which may be left over from yesterday: data newer than ``baseline``, and where
    the vendor lists the upload, its mode and row count. Unknown states are waited on and logged once.

    :param upload: result of the upload operator (templated): audience, baseline, mode and rows. Without it, any data of
        the audience is success.
    :param audience_id: the audience, without ``upload`` (templated).
    :param rules: state names and evidence; default: :class:`.definition.ConfirmationRules`.
    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: maximum seconds between two polls, 60 by default; a deferred wait polls more often at first.
    :param timeout: seconds until it fails. Default two days: the vendor speaks of the next day.
    :return: state, sizes and match rates, see :func:`.confirmation.summary`.

    Source: the vendor's "Audience API" page, GET /audience/loadAudienceById.
    """

    template_fields: Sequence[str] = ("upload", "audience_id", "digital_audience_conn_id")

    def __init__(
        self,
        *,
        upload: Mapping[str, Any] | XComArg | None = None,
        audience_id: RemoteId | None = None,
        rules: ConfirmationRules | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.upload: Any = upload
        self.audience_id: Any = audience_id
        self.rules = rules or ConfirmationRules()

    @property
    def target_label(self) -> str:
        """Name of the awaited object, for messages."""
        return f"Audience {self._awaited_id}"

    @property
    def _awaited_id(self) -> int:
        return resolve_audience_id(
            self.upload, self.audience_id, read=parse_int_id, arguments="'upload' or 'audience_id'"
        )

    def vendor_error(self, message: str) -> TerminalError:
        """Return the error for a file that the vendor failed to process."""
        return audience_failed(self.target_label, message)

    def early_result(self) -> dict[str, Any] | None:
        """Return the stored result of a load that was not sent because it changes nothing."""
        return self.upload.get("confirmed") if self.upload else None

    def trigger(self, *, deadline: float) -> DigitalAudienceAudienceStateTrigger:
        """Return the trigger."""
        upload = self.upload or {}
        awaited = upload.get("awaited") or {"mode": upload.get("mode"), "rows": upload.get("rows_sent")}
        return DigitalAudienceAudienceStateTrigger(
            **awaited,
            conn_id=self.digital_audience_conn_id,
            audience_id=self._awaited_id,
            baseline=upload.get("baseline"),
            rules=self.rules,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def persist_links(self) -> None:
        """Store the link to the audience in the portal."""
        DigitalAudiencePortalLink.persist(self, self.hook.client.settings, audience_id=self._awaited_id)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002
        """Return the lineage from the objects in S3 to the audience, if OpenLineage's provider is installed."""
        upload = self.upload or {}
        keys = upload.get("s3_keys") or [upload.get("s3_key")]
        # The task created it; this process cannot request a connection from Airflow.
        client = vars(self.hook).get("client")
        if client is None or not all(keys):
            return None
        audience = audience_dataset(self.hook.conn_type, client.settings.account, self._awaited_id)
        files = [DatasetRef(f"s3://{upload['bucket']}", key) for key in keys]
        return build_processing_facets(files, audience)


class DigitalAudienceSegmentStatusSensor(_DigitalAudienceSensor):
    """Wait until a segment is active on its platform.

    :param segment_id: the ``segmentId`` that the activation returned (templated).
    :param success_statuses: values of ``status`` that mean success, in any case. ``Active`` is the only value that
        the vendor's pages state.
    :param failure_statuses: values that mean failure. Default none: the pages name none.
    :param asset: the segment's asset, which then has an event with status, dates and counts.
    :param details: further fields of the event (templated): XCom ``activation`` of the activation task.
    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: maximum seconds between two polls, 60 by default; a deferred wait polls more often at first.
    :param timeout: seconds until it fails. Default four days: the vendor speaks of two days on average.
    :return: status, dates and counts of the segment.

    Source: the vendor's "Segment API" page, GET /segment/{segmentid}.
    """

    template_fields: Sequence[str] = ("segment_id", "details", "digital_audience_conn_id")

    def __init__(
        self,
        *,
        segment_id: RemoteId,
        success_statuses: Sequence[str] = ("Active",),
        failure_statuses: Sequence[str] = (),
        asset: Asset | None = None,
        details: Mapping[str, Any] | XComArg | None = None,
        timeout: float = timedelta(days=4).total_seconds(),
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.asset = asset
        self.details: Any = details
        if asset is not None:
            self.outlets = [*self.outlets, asset]
        self.segment_id: Any = segment_id
        self.success_statuses = tuple(success_statuses)
        self.failure_statuses = tuple(failure_statuses)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the trigger's event, and add it to the asset's event."""
        result = super().execute_complete(context, event)
        if self.asset is not None:
            events = context["outlet_events"][self.asset]
            details = self.details or {}
            events.extra = {**result, **details}
            day = details.get("load_date")
            if day:
                # A manual run has no partition key, and an event without one triggers no partitioned DAG.
                events.add_partitions(day)
        return result

    @property
    def target_label(self) -> str:
        """Name of the awaited object, for messages."""
        return f"Segment {self.segment_id}"

    def persist_links(self) -> None:
        """Store the link to the segment in the portal."""
        DigitalAudiencePortalLink.persist(
            self,
            self.hook.client.settings,
            audience_id=(self.details or {}).get("audience_id"),
            segment_id=self.segment_id,
        )

    def vendor_error(self, message: str) -> TerminalError:
        """Return the error for a segment that its platform rejected."""
        return SegmentFailedError(
            what=f"{self.target_label} failed",
            where="Digital Audience",
            why=message,
            next_step="Check the segment in the vendor's portal",
        )

    def trigger(self, *, deadline: float) -> DigitalAudienceSegmentStatusTrigger:
        """Return the trigger."""
        return DigitalAudienceSegmentStatusTrigger(
            conn_id=self.digital_audience_conn_id,
            segment_id=parse_int_id(self.segment_id),
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )
