"""Sensors for Digital Audience: deferred by default, so that waiting holds no worker slot."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from typing import Any, NoReturn

from airflow.sdk import BaseSensorOperator, XComArg
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.digital_audience.readiness import (
    DEFAULT_FAILURE_STATES,
    DEFAULT_PENDING_STATES,
    DEFAULT_SUCCESS_STATES,
    ConfirmBy,
)
from audience_onboarding.digital_audience.templated import RemoteId, is_missing, remote_number
from audience_onboarding.digital_audience.triggers import (
    DigitalAudienceAudienceStateTrigger,
    DigitalAudienceSegmentStatusTrigger,
    _PollingTrigger,
)
from audience_onboarding.errors import (
    AudienceFailedError,
    AudienceOnboardingError,
    ConfigurationError,
    SegmentFailedError,
    TerminalError,
    TransientError,
)
from audience_onboarding.orchestration.failures import failure_of, terminal_errors_fail

DEFERRAL_GRACE = timedelta(minutes=2)
"""The trigger ends by itself at the time-out, with the last state seen. Airflow's own time-out of a deferral, which
knows no state, comes this much later, for the case that the triggerer is gone."""


class _DigitalAudienceSensor(BaseSensorOperator):
    template_fields: Sequence[str] = ("digital_audience_conn_id",)
    operator_extra_links = (DigitalAudiencePortalLink(),)

    def __init__(
        self,
        *,
        digital_audience_conn_id: str = DigitalAudienceHook.default_conn_name,
        deferrable: bool = True,
        poke_interval: float = 60.0,
        timeout: float = timedelta(days=2).total_seconds(),
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.digital_audience_conn_id = digital_audience_conn_id
        self.deferrable = deferrable

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is waited for, for messages."""

    @abstractmethod
    def failure(self, message: str) -> TerminalError:
        """The error of a failure that the vendor reports."""

    @abstractmethod
    def trigger(self, *, deadline: float) -> _PollingTrigger:
        """The wait itself; the poke mode uses its single look."""

    @cached_property
    def hook(self) -> DigitalAudienceHook:
        """The connection to the vendor."""
        return DigitalAudienceHook(self.digital_audience_conn_id)

    def show_links(self) -> None:
        """Show the portal's link of what is waited for."""

    @terminal_errors_fail
    def execute(self, context: Context) -> Any:
        """Wait in the triggerer; or poke, if not ``deferrable``."""
        self.show_links()
        if not self.deferrable:
            return super().execute(context)
        seconds = self._seconds()
        # No look from here: it would be a login in each worker process, where the triggerer shares one.
        self.log.info("Waiting for %s in the triggerer", self.subject)
        self.defer(
            trigger=self.trigger(deadline=time.time() + seconds),
            method_name="execute_complete",
            timeout=timedelta(seconds=seconds) + DEFERRAL_GRACE,
        )

    @terminal_errors_fail
    def poke(self, context: Context) -> PokeReturnValue | bool:
        """One look, in poke and reschedule mode."""
        try:
            seen = self.trigger(deadline=float("inf")).look(self.hook.client)
        except TransientError as error:
            self.log.warning("Looking again: %s", error)
            return False
        if seen.event is None:
            self.log.info("Waiting for %s: %s", self.subject, seen.reason)
            return False
        return PokeReturnValue(is_done=True, xcom_value=self.execute_complete(context, seen.event))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Take up the trigger's event.

        :raises AirflowFailException: the vendor reports a failure, or refuses to be asked.
        :raises AirflowSensorTimeout: the time-out has passed (``AirflowSkipException`` with ``soft_fail``).
        """
        # This is another process than the one that has deferred. What was waited for matters more than a link to it.
        with suppress(AirflowException, AudienceOnboardingError):
            self.show_links()
        if event["status"] == "success":
            result: dict[str, Any] = event["result"]
            self.log.info("%s is done: %s", self.subject, result)
            return result
        if event["status"] == "timeout":
            self._timed_out(event)
        if event["status"] == "failed":
            raise failure_of(self.failure(event["message"]))
        raise AirflowFailException(f"{event['error']}: {event['message']}")

    def _timed_out(self, event: dict[str, Any]) -> NoReturn:
        message = (
            f"{self.subject} was not done within {timedelta(seconds=self._seconds())}. The last state seen is "
            f"{event['state']}: {event['message']}. Look at it in the vendor's portal, then clear this task to "
            "wait on; nothing is sent again"
        )
        raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)

    def _seconds(self) -> float:
        timeout = self.timeout
        return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


class DigitalAudienceAudienceStateSensor(_DigitalAudienceSensor):
    """Wait until an audience has taken in an upload.

    Success needs more than a state, which may be left over from yesterday: data newer than ``baseline``, and where
    the vendor lists the upload, its mode and row count. Unknown states are waited on and logged once.

    :param upload: what the onboarding operator has returned (templated): gives audience, baseline, mode and rows.
        Without it, any data that the audience has is success.
    :param audience_id: which audience, where there is no ``upload`` (templated).
    :param success_states: values of ``audienceState`` that mean success, in any case. Default ``READY``: the
        vendor's pages name none.
    :param failure_states: values that mean failure. Default ``FAILED`` and ``ERROR``: inferred as well.
    :param pending_states: values that mean "not yet". ``NODATA`` and ``PROCESSING`` are stated.
    :param confirm_by: ``auto``, ``data_updated`` or ``history``, see :class:`.readiness.Expectation`.
    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: seconds between two looks at most, 60 by default; a deferred wait looks more often at first.
    :param timeout: seconds until it fails. Default two days: the vendor speaks of the next day.
    :return: state, sizes and match rates, see :func:`.readiness.summary`.

    Source: the vendor's "Audience API" page, GET /audience/loadAudienceById.
    """

    template_fields: Sequence[str] = ("upload", "audience_id", "digital_audience_conn_id")

    def __init__(
        self,
        *,
        upload: Mapping[str, Any] | XComArg | None = None,
        audience_id: RemoteId | None = None,
        success_states: Sequence[str] = DEFAULT_SUCCESS_STATES,
        failure_states: Sequence[str] = DEFAULT_FAILURE_STATES,
        pending_states: Sequence[str] = DEFAULT_PENDING_STATES,
        confirm_by: ConfirmBy = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.upload: Any = upload
        self.audience_id: Any = audience_id
        self.success_states = tuple(success_states)
        self.failure_states = tuple(failure_states)
        self.pending_states = tuple(pending_states)
        self.confirm_by: ConfirmBy = confirm_by

    @property
    def subject(self) -> str:
        """What is waited for."""
        return f"Audience {self._waited_for}"

    @property
    def _waited_for(self) -> int:
        audience_id = self.upload["audience_id"] if self.upload else self.audience_id
        if is_missing(audience_id):
            raise ConfigurationError(what="The sensor needs 'upload' or 'audience_id'")
        return remote_number(audience_id)

    def failure(self, message: str) -> TerminalError:
        """The vendor could not take in the file."""
        return AudienceFailedError(
            what=f"{self.subject} has failed",
            where="Digital Audience",
            why=message,
            next_step="The vendor's portal shows the reason in the audience's log; mend the file, then run the "
            "load with 'supersede'",
        )

    def trigger(self, *, deadline: float) -> DigitalAudienceAudienceStateTrigger:
        """The wait itself."""
        upload = self.upload or {}
        return DigitalAudienceAudienceStateTrigger(
            digital_audience_conn_id=self.digital_audience_conn_id,
            audience_id=self._waited_for,
            baseline=upload.get("baseline"),
            mode=upload.get("mode"),
            rows=upload.get("rows_sent"),
            success_states=self.success_states,
            failure_states=self.failure_states,
            pending_states=self.pending_states,
            confirm_by=self.confirm_by,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def show_links(self) -> None:
        """Show the link to the audience in the portal."""
        DigitalAudiencePortalLink.show(self, self.hook.client.settings, audience_id=self._waited_for)


class DigitalAudienceSegmentStatusSensor(_DigitalAudienceSensor):
    """Wait until a segment is active on its platform.

    :param segment_id: the ``segmentId`` that the activation returned (templated).
    :param success_statuses: values of ``status`` that mean success, in any case. ``Active`` is the only value that
        the vendor's pages state.
    :param failure_statuses: values that mean failure. Default none: the pages name none.
    :param digital_audience_conn_id: a connection of type ``digital_audience`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: seconds between two looks at most, 60 by default; a deferred wait looks more often at first.
    :param timeout: seconds until it fails. Default four days: the vendor speaks of two days on average.
    :return: status, dates and counts of the segment.

    Source: the vendor's "Segment API" page, GET /segment/{segmentid}.
    """

    template_fields: Sequence[str] = ("segment_id", "digital_audience_conn_id")

    def __init__(
        self,
        *,
        segment_id: RemoteId,
        success_statuses: Sequence[str] = ("Active",),
        failure_statuses: Sequence[str] = (),
        timeout: float = timedelta(days=4).total_seconds(),
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.segment_id: Any = segment_id
        self.success_statuses = tuple(success_statuses)
        self.failure_statuses = tuple(failure_statuses)

    @property
    def subject(self) -> str:
        """What is waited for."""
        return f"Segment {self.segment_id}"

    def failure(self, message: str) -> TerminalError:
        """The platform did not take the segment."""
        return SegmentFailedError(
            what=f"{self.subject} has failed",
            where="Digital Audience",
            why=message,
            next_step="Look at the segment in the vendor's portal",
        )

    def trigger(self, *, deadline: float) -> DigitalAudienceSegmentStatusTrigger:
        """The wait itself."""
        return DigitalAudienceSegmentStatusTrigger(
            digital_audience_conn_id=self.digital_audience_conn_id,
            segment_id=remote_number(self.segment_id),
            success_statuses=self.success_statuses,
            failure_statuses=self.failure_statuses,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )
