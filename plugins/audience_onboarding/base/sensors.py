"""The base of a platform's sensors: deferred by default, so that waiting holds no worker slot."""

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
"""The trigger ends by itself at the time-out, with the last state seen. Airflow's own time-out of a deferral, which
knows no state, comes this much later, for the case that the triggerer is gone."""


def resolve_audience_id(
    result: Mapping[str, Any] | None, given: Any, *, read: Callable[[Any], Id], wanted: str
) -> Id:
    """The audience that a sensor waits for: that of an earlier task's result, or the one that is given.

    :param result: what the task has returned, if it is there.
    :param read: reads an id as the platform spells them.
    :param wanted: the arguments of which the sensor needs one, for the message.
    :raises ConfigurationError: there is neither.
    """
    audience_id = result["audience_id"] if result else given
    if is_missing(audience_id):
        raise ConfigurationError(
            what=f"The sensor needs {wanted}",
            next_step="Give one of them, or look why the task before gave none",
        )
    return read(audience_id)


class PlatformSensor(BaseSensorOperator, Generic[Hook]):
    """What all sensors share.

    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: seconds between two looks at most; a deferred wait looks more often at first.
    :param timeout: seconds until it fails.
    :param audience_key: of the definition that the task works for, by which metrics tell the audience; without one,
        they take the vendor's id of it.
    """

    hook_class: type[Hook]
    poke_before_defer: ClassVar[bool] = False
    """Whether a deferrable sensor looks once from the worker. Only where a look takes no login, which each worker would
    need for itself, and where so early a look cannot take what was there before for what was sent."""

    upload: Any = None
    """What the sending task has returned, for sensors that wait for a load."""

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
        """What is waited for, for messages."""

    def vendor_error(self, message: str) -> TerminalError:
        """The error of a failure that the vendor reports."""
        return AudienceFailedError(
            what=f"{self.target_label} has failed", why=message, next_step="Look at it in the vendor's portal"
        )

    @abstractmethod
    def trigger(self, *, deadline: float) -> PollingTrigger[Any]:
        """The wait itself; the poke mode uses its single look."""

    def persist_links(self) -> None:
        """Show the portal's link of what is waited for."""

    def early_result(self) -> dict[str, Any] | None:
        """The result, where there is nothing to wait for."""
        return None

    @fail_on_terminal_error
    def execute(self, context: Context) -> Any:
        """Look, then wait in the triggerer; or poke, if not ``deferrable``."""
        self.persist_links()
        known = self.early_result()
        if known is not None:
            self.log.info("%s: there is nothing to wait for", self.target_label)
            return known
        if not self.deferrable:
            return super().execute(context)
        # A vendor that is done by now saves the way to the triggerer and a second start of this task.
        found = self.poke(context) if self.poke_before_defer else False
        if isinstance(found, PokeReturnValue):
            return found.xcom_value
        seconds = self._seconds()
        self.log.info("Waiting for %s in the triggerer", self.target_label)
        self.defer(
            trigger=self.trigger(deadline=time.time() + seconds),
            method_name="execute_complete",
            timeout=timedelta(seconds=seconds) + DEFERRAL_GRACE,
        )

    @fail_on_terminal_error
    def poke(self, context: Context) -> PokeReturnValue | bool:
        """One look, in poke and reschedule mode."""
        try:
            seen = self.trigger(deadline=float("inf")).poll(self.hook.client)
        except TransientError as error:
            self.log.warning("Looking again: %s", error)
            return False
        if seen.event is None:
            self.log.info("Waiting for %s: %s", self.target_label, seen.reason)
            return False
        return PokeReturnValue(is_done=True, xcom_value=self.execute_complete(context, seen.event))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Take up the trigger's event.

        :raises AirflowFailException: the vendor reports a failure, or refuses to be asked.
        :raises AirflowSensorTimeout: the time-out has passed (``AirflowSkipException`` with ``soft_fail``).
        """
        # This is another process than the one that has deferred. What was waited for matters more than a link to it.
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
        """Of a load that is confirmed."""
        if not self.upload:
            return
        whose = {
            "platform": self.hook.conn_type,
            "audience": self.audience_key or str(self.upload["audience_id"]),
        }
        seconds = seconds_since(self.upload.get("sent_at"))
        if seconds is not None:
            timing(CONFIRMATION_TIME, seconds, **whose)
        for identifier, rate in (result.get("match_rates") or {}).items():
            if rate is not None:
                gauge(MATCH_RATE, rate, **whose, identifier=identifier)

    def _timed_out(self, event: dict[str, Any]) -> NoReturn:
        message = (
            f"{self.target_label} was not done within {timedelta(seconds=self._seconds())}. The last state seen is "
            f"{event['state']}: {event['message']}. Look at it in the vendor's portal, then clear this task to "
            "wait on; nothing is sent again"
        )
        raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)

    def _seconds(self) -> float:
        timeout = self.timeout
        return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
