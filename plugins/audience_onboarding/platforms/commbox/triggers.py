"""Waiting for CommBox in the triggerer. Triggers only GET; they change nothing."""

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
"""Seconds that the last look at the list may take to come; less than Airflow's own time-out leaves."""


def audiences_by_id(client: CommBoxClient) -> dict[str, Audience]:
    """One look at all audiences."""
    return {audience.id: audience for audience in client.list_audiences()}


class CommBoxUserCountTrigger(PollingTrigger[CommBoxClient]):
    """Fires when the list of audiences shows that an audience has the customers of our list.

    All waits of a triggerer for one account share one look at the list per interval.

    Arguments beside those of :class:`..base.triggers.PollingTrigger`:

    :param audience_id: which audience.
    :param rows: how many customers were sent; ``None``: any count will do.
    :param minimum_ratio: which part of them has to be counted, above 0 and up to 1.
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
        """Ask for the list, for this wait alone."""
        return self.evaluate(audiences_by_id(client))

    def align_interval(self, pause: float) -> float:
        """As it is: the look is everybody's, and comes in its own time."""
        return pause

    async def poll_after(self, client: CommBoxClient, *, pause: float) -> PollResult:
        """The shared look at the list; ``pause`` counts where the vendor asked for more than the interval.

        It comes on top then: the looks of the others know nothing of it.
        """
        looks = get_shared_poller(
            client.settings, lambda: asyncio.to_thread(audiences_by_id, client), interval=self.poll_interval
        )
        if pause > self.poll_interval:
            await asyncio.sleep(pause)
        try:
            # Also after the deadline, which a triggerer that was gone may have missed, there is a last look.
            left = max(LAST_POLL_TIMEOUT, self.deadline - time.time())
            audiences = await asyncio.wait_for(looks.next(), timeout=left)
        except asyncio.TimeoutError:
            # What came of the last look says more than that there was no time for another one.
            if isinstance(self._last, PollResult):
                return self._last
            raise self._last or TransientError(
                what="The time is over before the first look at the list"
            ) from None
        except TransientError as error:
            self._last = error
            raise
        self._last = self.evaluate(audiences)
        return self._last

    def evaluate(self, audiences: Mapping[str, Audience]) -> PollResult:
        """Judge one look at the list."""
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
            reason += "; if CommBox leaves some out for good, lower 'minimum_ratio'"
        return PollResult(f"{count} customers", reason)

    def _is_share(self, count: int, rows: int) -> bool:
        # Divided, not multiplied: 0.55 of 100 is 55.00000000000001 to a computer.
        return count < rows and count / rows >= self.minimum_ratio

    def trigger_kwargs(self) -> dict[str, Any]:
        """The arguments beside those of every wait."""
        return {"audience_id": self.audience_id, "rows": self.rows, "minimum_ratio": self.minimum_ratio}
