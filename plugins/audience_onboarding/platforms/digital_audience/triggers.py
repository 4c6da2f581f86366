"""Triggers that poll Digital Audience. They only log in and send GET requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audience_onboarding.base.triggers import PollingTrigger, PollResult
from audience_onboarding.http import is_one_of
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.confirmation import (
    Baseline,
    Expectation,
    Verdict,
    evaluate,
    summary,
)
from audience_onboarding.platforms.digital_audience.definition import ConfirmationRules
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.models import Audience


def evaluate_audience(audience: Audience, expectation: Expectation) -> PollResult:
    """Evaluate a loaded audience."""
    evaluation = evaluate(audience, expectation)
    state = audience.audience_state or "unknown"
    if evaluation.verdict is Verdict.READY:
        return PollResult.success(state, summary(audience, evaluation.upload))
    if evaluation.verdict is Verdict.FAILED:
        return PollResult.failure(state, evaluation.reason)
    return PollResult(state, evaluation.reason, known=evaluation.known_state)


SEGMENT_RESULT = {
    "segment_id",
    "name",
    "audience_id",
    "account_id",
    "status",
    "active",
    "start_date",
    "end_date",
    "total_upload_count",
    "total_pending_count",
    "total_failed_count",
    "total_segment_upload_count",
}


class DigitalAudienceAudienceStateTrigger(PollingTrigger[DigitalAudienceClient]):
    """Trigger that fires when the vendor has processed an upload, or failed to.

    Arguments beside those of :class:`..base.triggers.PollingTrigger`:

    :param audience_id: the audience.
    :param baseline: the audience before the upload, see :class:`.confirmation.Baseline`.
    :param mode: of the upload; ``None``: any.
    :param rows: of the upload; ``None``: any number.
    :param rules: state names and evidence; as JSON in the database.
    """

    hook_class = DigitalAudienceHook

    def __init__(
        self,
        *,
        audience_id: int,
        baseline: dict[str, Any] | None = None,
        mode: str | None = None,
        rows: int | None = None,
        rules: ConfirmationRules | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audience_id = audience_id
        self.expectation = Expectation(
            baseline=Baseline.from_dict(baseline),
            mode=mode,
            rows=rows,
            rules=ConfirmationRules.model_validate(rules or {}),
        )
        self._fingerprint: bytes | None = None
        self._last_result = PollResult("unknown", "not polled yet")

    def poll(self, client: DigitalAudienceClient) -> PollResult:
        """Load the audience and evaluate it. An unchanged answer keeps its result: no clock is read."""
        changed = client.load_changed_audience(self.audience_id, previous=self._fingerprint)
        if changed is not None:
            self._fingerprint, audience = changed
            self._last_result = evaluate_audience(audience, self.expectation)
        return self._last_result

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments in addition to those of the base class."""
        expected = self.expectation
        rules = expected.rules.model_dump(mode="json", include=set(ConfirmationRules.model_fields))
        awaited = {"baseline": expected.baseline.to_dict(), "mode": expected.mode, "rows": expected.rows}
        return {"audience_id": self.audience_id, **awaited, "rules": rules}


class DigitalAudienceSegmentStatusTrigger(PollingTrigger[DigitalAudienceClient]):
    """Trigger that fires when a segment has one of the given statuses.

    Arguments beside those of :class:`..base.triggers.PollingTrigger`:

    :param segment_id: the segment.
    :param success_statuses: values of ``status`` that mean success, in any case.
    :param failure_statuses: values that mean failure.
    """

    hook_class = DigitalAudienceHook

    def __init__(
        self,
        *,
        segment_id: int,
        success_statuses: list[str] | tuple[str, ...] = ("Active",),
        failure_statuses: list[str] | tuple[str, ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.segment_id = segment_id
        self.success_statuses = tuple(success_statuses)
        self.failure_statuses = tuple(failure_statuses)

    def poll(self, client: DigitalAudienceClient) -> PollResult:
        """Load the segment and evaluate its status."""
        segment = client.load_segment(self.segment_id)
        status = segment.status or "unknown"
        reason = f"the segment is in status {status}"
        if is_one_of(status, self.success_statuses):
            return PollResult.success(status, segment.model_dump(mode="json", include=SEGMENT_RESULT))
        if is_one_of(status, self.failure_statuses):
            return PollResult.failure(status, reason)
        return PollResult(status, reason)

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments in addition to those of the base class."""
        return {
            "segment_id": self.segment_id,
            "success_statuses": list(self.success_statuses),
            "failure_statuses": list(self.failure_statuses),
        }
