"""Base of the platforms' sensors: deferrable by default, so that waiting uses no worker slot."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.sensor import PokeReturnValue
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from audience_onboarding.base.hooks import PlatformHook
from audience_onboarding.base.metrics import (
    CONFIRMATION_TIME,
    MATCH_RATE,
    gauge,
    seconds_since,
    timing,
)
from audience_onboarding.base.retry_policy import (
    OnboardingRetryPolicy,
    fail_from_event,
    fail_on_terminal_error,
    to_fail_exception,
)
from audience_onboarding.base.triggers import PollingTrigger
from audience_onboarding.exceptions import (
    AudienceFailedError,
    AudienceOnboardingError,
    ConfigurationError,
    TerminalError,
    TransientError,
)
from audience_onboarding.state.remote_ids import Id, is_missing

Hook = TypeVar("Hook", bound=PlatformHook[Any])

DEFERRAL_GRACE = timedelta(minutes=2)
"""The trigger ends at the timeout and reports the last state. Airflow's own timeout of the deferral, which has no
state, is this much later. It applies only if the triggerer has failed."""


def resolve_audience_id(
    result: Mapping[str, Any] | None, audience_id: Any, *, read: Callable[[Any], Id], arguments: str
) -> Id:
    """Return the id of the audience to wait for: from an earlier task's result, else ``audience_id``.

    :param result: return value of the earlier task, if any.
    :param read: parses an id of the platform.
    :param arguments: the arguments of which the sensor needs one, for the message.
    :raises ConfigurationError: neither holds an id.
    """
    audience_id = result["audience_id"] if result else audience_id
    if is_missing(audience_id):
        raise ConfigurationError(
            what=f"Missing argument of the sensor: {arguments}",
            next_step="Set one of them, or check why the previous task returned no id",
        )
    return read(audience_id)


class PlatformSensor(BaseSensorOperator, Generic[Hook]):
    """Base of all sensors.

    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: maximum seconds between two polls; a deferred wait polls more often at first.
    :param timeout: seconds until it fails.
    :param audience_key: key of the task's definition, the audience tag of metrics; default the vendor's id.
    """

    hook_class: type[Hook]
    poke_before_defer: ClassVar[bool] = False
    """Whether a deferrable sensor polls once in the worker. Only for vendors without a login, which each worker would
    repeat, and whose early answer cannot confuse older data with the upload."""

    upload: Any = None
    """Return value of the upload task, for sensors that wait for a load."""

    def __init__(
        self,
        *,
        deferrable: bool = True,
        poke_interval: float = 60.0,
        timeout: float = timedelta(days=2).total_seconds(),
        audience_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", OnboardingRetryPolicy())
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.deferrable = deferrable
        self.audience_key = audience_key

    @cached_property
    def hook(self) -> Hook:
        """The hook, for the connection id in the vendor's argument ``<conn_type>_conn_id``."""
        return self.hook_class(getattr(self, self.hook_class.conn_name_attr))

    @property
    @abstractmethod
    def target_label(self) -> str:
        """Name of the awaited object, for messages."""

    def vendor_error(self, message: str) -> TerminalError:
        """Return the error for a failure that the vendor reports."""
        return AudienceFailedError(
            what=f"{self.target_label} failed", why=message, next_step="Check it in the vendor's portal"
        )

    @abstractmethod
    def trigger(self, *, deadline: float) -> PollingTrigger[Any]:
        """Return the trigger; poke mode uses only its ``poll``."""

    def persist_links(self) -> None:
        """Persist the portal link of the awaited object."""

    def early_result(self) -> dict[str, Any] | None:
        """Return the result if there is nothing to wait for, else ``None``."""
        return None

    @fail_on_terminal_error
    def execute(self, context: Context) -> Any:
        """Defer to the trigger; poke if not ``deferrable``."""
        self.persist_links()
        result = self.early_result()
        if result is not None:
            self.log.info("%s: there is nothing to wait for", self.target_label)
            return result
        if not self.deferrable:
            return super().execute(context)
        # If the vendor is already done, this saves the deferral and a second start of the task.
        poked = self.poke(context) if self.poke_before_defer else False
        if isinstance(poked, PokeReturnValue):
            return poked.xcom_value
        seconds = self._seconds()
        self.log.info("Waiting for %s in the triggerer", self.target_label)
        self.defer(
            trigger=self.trigger(deadline=time.time() + seconds),
            method_name="execute_complete",
            timeout=timedelta(seconds=seconds) + DEFERRAL_GRACE,
        )

    @fail_on_terminal_error
    def poke(self, context: Context) -> PokeReturnValue | bool:
        """Poll once, for poke and reschedule mode."""
        try:
            poll = self.trigger(deadline=float("inf")).poll(self.hook.client)
        except TransientError as error:
            self.log.warning("Poll failed; polling again: %s", error)
            return False
        if poll.event is None:
            self.log.info("Waiting for %s: %s", self.target_label, poll.reason)
            return False
        return PokeReturnValue(is_done=True, xcom_value=self.execute_complete(context, poll.event))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the result of the trigger's event.

        :raises AirflowFailException: the vendor reports a failure, or rejects the request.
        :raises AirflowSensorTimeout: the timeout has passed (``AirflowSkipException`` with ``soft_fail``).
        """
        # Airflow resumes the task in another process, without the links. An error here must not hide the event.
        with suppress(AirflowException, AudienceOnboardingError):
            self.persist_links()
        if event["status"] == "success":
            result: dict[str, Any] = event["result"]
            self.log.info("%s is done: %s", self.target_label, result)
            self._record_metrics(result)
            return result
        if event["status"] == "timeout":
            self._timed_out(event)
        if event["status"] == "failed":
            raise to_fail_exception(self.vendor_error(event["message"]))
        raise fail_from_event(event)

    def _record_metrics(self, result: Mapping[str, Any]) -> None:
        """Emit the metrics of a confirmed load."""
        if not self.upload:
            return
        tags = {
            "platform": self.hook.conn_type,
            "audience": self.audience_key or str(self.upload["audience_id"]),
        }
        seconds = seconds_since(self.upload.get("sent_at"))
        if seconds is not None:
            timing(CONFIRMATION_TIME, seconds, **tags)
        for identifier, rate in (result.get("match_rates") or {}).items():
            if rate is not None:
                gauge(MATCH_RATE, rate, **tags, identifier=identifier)

    def _timed_out(self, event: dict[str, Any]) -> NoReturn:
        message = (
            f"{self.target_label} timed out after {timedelta(seconds=self._seconds())}. The last state is "
            f"{event['state']}: {event['message']}. Check it in the vendor's portal, then clear this task to "
            "resume waiting; nothing is sent again"
        )
        raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)

    def _seconds(self) -> float:
        timeout = self.timeout
        return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
