"""Approval of a segment by a user before the vendor creates it. An existing segment needs none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.platforms.digital_audience.definition import Approval
from audience_onboarding.platforms.digital_audience.links import DigitalAudiencePortalLink
from audience_onboarding.platforms.digital_audience.segment_operators import SegmentPlan, _SegmentOperator
from audience_onboarding.state.store import LAST_LOAD_KEY, rejection_key
from audience_onboarding.timestamps import format_utc

_QUESTION = "question"


class DigitalAudienceApproveActivationOperator(_SegmentOperator, ApprovalOperator):
    """Ask a user whether a segment may be created, and wait for the answer without a worker slot.

    The arguments are those of the next task, :class:`.segment_operators.DigitalAudienceActivateAudienceOperator`. An
    existing segment needs no approval. Later runs do not ask again about a rejected segment, until the target changes,
    the form sets ``ask_again``, or this task is cleared.

    :param audience_name: shown to the user.
    :param rule: users that may answer, and the timeout.
    :return: ``asked``: whether a user was asked, ``approved``: the answer, ``by``: the user, ``at``: the datetime.
    """

    template_fields: Sequence[str] = (*_SegmentOperator.template_fields, "subject", "body")
    operator_extra_links = (DigitalAudiencePortalLink(), AudiencePageLink())

    def __init__(self, *, audience_name: str, rule: Approval | None = None, **kwargs: Any) -> None:
        rule = rule or Approval()
        users: Any = [{"id": user, "name": user} for user in rule.assigned_users]
        super().__init__(
            # execute() sets the details.
            subject=f"Activate {audience_name}?",
            assigned_users=users or None,
            response_timeout=timedelta(hours=rule.timeout_hours),
            defaults=self.REJECT if rule.on_timeout == "reject" else None,
            **kwargs,
        )
        self.audience_name = audience_name

    @fail_on_terminal_error
    def execute(self, context: Context) -> Any:
        """Ask for approval, unless the segment exists."""
        plan = self._plan(context)
        self._persist_portal_link(audience_id=plan.audience_id)
        segment_id = self.stored_id(context, plan.key) or self._existing(plan)
        if segment_id is not None:
            self.log.info("Segment %s exists; it needs no approval", segment_id)
            return {"asked": False}
        question = self._question(plan)
        self._skip_if_rejected(context, question)
        # Read by the process that receives the answer.
        context["task_state_store"].set(_QUESTION, question)
        self.subject = f"Activate {self.audience_name} on {plan.account.platform}?"
        self.body = self._body(plan, self._state_store(context).get(LAST_LOAD_KEY) or {})
        return ApprovalOperator.execute(self, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Store the answer; after a rejection, Airflow skips the later tasks.

        :raises AirflowFailException: no user answered in time, and the rule is to fail then.
        """
        store, key = self._state_store(context), rejection_key(self.target)
        chosen = list(event.get("chosen_options") or [])
        user = event.get("responded_by_user") or {}
        by = user.get("name") or user.get("id")
        at: Any = event.get("responded_at")
        at = at.isoformat() if hasattr(at, "isoformat") else at
        answer = {"asked": True, "approved": chosen == [self.APPROVE], "by": by, "at": at}
        if answer["approved"]:
            store.delete(key)
        elif chosen and by:
            question = context["task_state_store"].get(_QUESTION)
            store.set(key, {**answer, "question": question, "run_id": str(context["run_id"])})
        # After a rejection, Airflow's operator raises an exception that skips the later tasks, and returns nothing.
        context["ti"].xcom_push(key="return_value", value=answer)
        if chosen and not answer["approved"]:
            reason = f"{by} rejected it" if by else "no user answered in time"
            self.log.warning("The target %s is not activated: %s", self.target, reason)
        try:
            ApprovalOperator.execute_complete(self, context, event)
        except HITLTimeoutError:
            raise AirflowFailException(
                f"Timed out: no user approved the activation of {self.target!r} within {self.response_timeout}. Clear "
                "this task to ask again"
            ) from None
        return answer

    def _question(self, plan: SegmentPlan) -> dict[str, Any]:
        """Return the fields that identify a question: without the dates, which differ in each run."""
        return {
            "audience_id": plan.audience_id,
            "account_id": plan.account.id,
            "segment_name": plan.name,
            "description": self.description,
            "days": str(self.days),
            "until": self.until,
        }

    def _skip_if_rejected(self, context: Context, question: dict[str, Any]) -> None:
        rejection = self._state_store(context).get(rejection_key(self.target))
        if not rejection or rejection.get("question") != question:
            return
        if context["params"].get("ask_again") or rejection.get("run_id") == str(context["run_id"]):
            return
        raise AirflowSkipException(
            f"{rejection['by']} rejected it on {rejection['at']}, in run {rejection['run_id']}. To ask again, clear "
            "this task in that run, or trigger the DAG with 'Ask again'"
        )

    def _body(self, plan: SegmentPlan, load: dict[str, Any]) -> str:
        size = load.get("size")
        rates = load.get("match_rates") or {}
        rate_labels = (
            f"{name} {'unknown' if rate is None else f'{rate:.1%}'}" for name, rate in sorted(rates.items())
        )
        rows = {
            "Audience": f"{self.audience_name} ({plan.audience_id})",
            "Last load": load.get("load_date") or "none",
            "Members": "unknown" if size is None else f"{size:,}",
            "Match rates": ", ".join(rate_labels) or "unknown",
            "Account": f"{plan.account.name} on {plan.account.platform} ({plan.account.id})",
            "Segment": plan.name,
            "From": format_utc(plan.start),
            "To": format_utc(plan.end),
        }
        lines = [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
        return "\n".join(["| | |", "|---|---|", *lines])


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
