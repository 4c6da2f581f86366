"""Trigger that polls CommBox. It only sends GET requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from audience_onboarding.base.polling import get_shared_poller
from audience_onboarding.base.triggers import PollingTrigger, PollResult
from audience_onboarding.exceptions import TransientError
from audience_onboarding.http import vendor_value
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.models import Audience

LAST_POLL_TIMEOUT = 90.0
"""Maximum seconds of the last poll; less than the grace period before Airflow's own timeout."""


def audiences_by_id(client: CommBoxClient) -> dict[str, Audience]:
    """List all audiences, by id."""
    return {audience.id: audience for audience in client.list_audiences()}


class CommBoxUserCountTrigger(PollingTrigger[CommBoxClient]):
    """Trigger that fires when ``user_count`` of an audience includes the uploaded customers.

    All triggers of a triggerer for one account share one request per interval. Arguments in addition to those of
    :class:`..base.triggers.PollingTrigger`:

    :param audience_id: the audience.
    :param rows: number of uploaded customers; ``None`` accepts any count.
    :param minimum_ratio: minimum share of them that must be counted, above 0 and up to 1.
    """

    hook_class = CommBoxHook

    def __init__(
        self, *, audience_id: str, rows: int | None = None, minimum_ratio: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id
        self.rows = rows
        self.minimum_ratio = minimum_ratio
        self._last: PollResult | TransientError | None = None

    def poll(self, client: CommBoxClient) -> PollResult:
        """List the audiences for this trigger alone."""
        return self.evaluate(audiences_by_id(client))

    def align_interval(self, interval: float) -> float:
        """Return the interval unchanged: the shared poller has its own schedule."""
        return interval

    async def poll_after(self, client: CommBoxClient, *, delay: float) -> PollResult:
        """Wait for the shared poll; first for ``delay`` if the vendor asked for more than the interval.

        That delay is added to the shared poller's interval, as other triggers poll without it.
        """
        poller = get_shared_poller(
            client.settings, lambda: asyncio.to_thread(audiences_by_id, client), interval=self.poll_interval
        )
        if delay > self.poll_interval:
            await asyncio.sleep(delay)
        try:
            # One last poll even after the deadline, which may have passed while the triggerer was down.
            left = max(LAST_POLL_TIMEOUT, self.deadline - time.time())
            audiences = await asyncio.wait_for(poller.next(), timeout=left)
        except asyncio.TimeoutError:
            # The previous result is more useful than this timeout.
            if isinstance(self._last, PollResult):
                return self._last
            raise self._last or TransientError(what="Timed out before the first list of audiences") from None
        except TransientError as error:
            self._last = error
            raise
        self._last = self.evaluate(audiences)
        return self._last

    def evaluate(self, audiences: Mapping[str, Audience]) -> PollResult:
        """Evaluate one list of audiences."""
        audience = audiences.get(self.audience_id)
        if audience is None:
            return PollResult("not listed", f"audience {self.audience_id} is not in the list")
        count = audience.user_count
        if count is None:
            return PollResult(
                "no count", f"the list shows no user_count for this {vendor_value(audience.type)} audience"
            )
        if self.rows is None or count == self.rows or self._is_share(count, self.rows):
            result = {"audience_id": audience.id, "audience_name": audience.name, "user_count": count}
            return PollResult.success(f"{count} customers", result)
        reason = f"user_count is {count:,}, {self.rows:,} were sent"
        if count < self.rows:
            reason += "; if CommBox omits some permanently, lower 'minimum_ratio'"
        return PollResult(f"{count} customers", reason)

    def _is_share(self, count: int, rows: int) -> bool:
        # Divided, not multiplied: 0.55 * 100 is 55.00000000000001 as a float.
        return count < rows and count / rows >= self.minimum_ratio

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments in addition to those of the base class."""
        return {"audience_id": self.audience_id, "rows": self.rows, "minimum_ratio": self.minimum_ratio}
