"""Rules that confirm that the vendor has processed an upload. Pure: no I/O, no Airflow.

The vendor's pages name neither the state of success nor one of failure, so all of them are settings. The
pages document ``dataUpdated`` ("last successful data upload or refresh") and the history of uploads with mode and rows.
A state alone proves nothing: ``READY`` may be the state of the day before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from audience_onboarding.http import is_one_of
from audience_onboarding.platforms.digital_audience.definition import ConfirmationRules
from audience_onboarding.platforms.digital_audience.models import Audience, HistoryEntry


@dataclass(frozen=True)
class Baseline:
    """Vendor's values right before the upload.

    :param state: ``audienceState``.
    :param updated: time of the last change of the audience, ISO 8601.
    :param data_updated: time of the last successful data upload, ISO 8601.
    :param last_upload: time of the newest history entry, ISO 8601.
    """

    state: str | None = None
    updated: str | None = None
    data_updated: str | None = None
    last_upload: str | None = None

    @classmethod
    def of(cls, audience: Audience) -> Baseline:
        """Take the baseline of an audience as just loaded."""
        uploads = [entry.created for entry in audience.uploads() if entry.created]
        return cls(
            state=audience.audience_state,
            updated=_iso(audience.updated),
            data_updated=_iso(audience.data_updated),
            last_upload=_iso(uploads[-1]) if uploads else None,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Baseline:
        """Read the result of :meth:`to_dict`; missing values are ``None``."""
        values = values or {}
        return cls(**{name: values.get(name) for name in cls.__dataclass_fields__})

    def to_dict(self) -> dict[str, str]:
        """Return the values that are not ``None``, for JSON and object metadata."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Expectation:
    """Conditions that confirm an upload.

    :param baseline: the audience before the upload; an empty one accepts any data.
    :param mode: of our upload; ``None`` accepts any.
    :param rows: of our upload; ``None`` accepts any number.
    """

    baseline: Baseline = field(default_factory=Baseline)
    mode: str | None = None
    rows: int | None = None
    rules: ConfirmationRules = field(default_factory=ConfirmationRules)


class Verdict(str, Enum):
    """Meaning of an observation."""

    READY = "ready"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True)
class Evaluation:
    """A verdict with its reason, and our upload in the vendor's history, if listed."""

    verdict: Verdict
    reason: str
    upload: HistoryEntry | None = None
    known_state: bool = True


def evaluate(audience: Audience, expectation: Expectation) -> Evaluation:
    """Evaluate one observation of an audience."""
    state = audience.audience_state or ""
    baseline, rules = expectation.baseline, expectation.rules
    if is_one_of(state, rules.failure_states):
        if state == baseline.state and not _is_newer(audience.updated, baseline.updated):
            return Evaluation(Verdict.WAITING, f"{state} is left over from before the upload")
        return Evaluation(Verdict.FAILED, f"the audience is in state {state}")
    if not is_one_of(state, rules.success_states):
        is_known = is_one_of(state, rules.pending_states)
        return Evaluation(
            Verdict.WAITING, f"the audience is in state {state or 'unknown'}", known_state=is_known
        )
    newer = [entry for entry in audience.uploads() if _is_newer(entry.created, baseline.last_upload)]
    own_entry = next((entry for entry in reversed(newer) if _is_ours(entry, expectation)), None)
    if not _is_newer(audience.data_updated, baseline.data_updated) and rules.confirm_by != "history":
        return Evaluation(Verdict.WAITING, f"{state}, but with no data newer than before the upload")
    if own_entry is None and (rules.confirm_by == "history" or (newer and rules.confirm_by == "auto")):
        return Evaluation(Verdict.WAITING, f"{state}, but our upload is not in the vendor's history yet")
    return Evaluation(Verdict.READY, f"the audience is in state {state} with our upload", upload=own_entry)


def summary(audience: Audience, upload: HistoryEntry | None) -> dict[str, Any]:
    """Return the stored result of a wait: state, sizes and match rates; JSON, no personal data."""
    return {
        "audience_id": audience.id,
        "audience_state": audience.audience_state,
        "data_updated": _iso(audience.data_updated),
        "size": audience.crm_data.size if audience.crm_data else None,
        "total_rows": upload.total_rows if upload else None,
        "match_rates": dict(upload.match_rates) if upload else {},
        "data_set": {
            name: counts.model_dump(by_alias=True)
            for name, counts in (upload.data_set if upload else {}).items()
        },
    }


IDENTIFIERS = {
    "EMAIL": "email",
    "PHONE": "phone",
    "POSTALADDRESS": "postal_code",
    "SECURITYNUMBER": "personal_id",
    "AAID": "aaid",
}
"""Data types on the vendor's pages, mapped to the identifiers of definitions; the mapping is inferred."""


def rates_by_identifier(confirmation: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the match rates of :func:`summary` by identifier; ``None`` if the vendor reported none."""
    return {IDENTIFIERS.get(name, name.lower()): rate for name, rate in confirmation["match_rates"].items()}


def _is_ours(entry: HistoryEntry, expectation: Expectation) -> bool:
    return (expectation.mode is None or (entry.mode or "").lower() == expectation.mode.lower()) and (
        expectation.rows is None or entry.total_rows == expectation.rows
    )


def _is_newer(timestamp: datetime | None, before: str | None) -> bool:
    return timestamp is not None and (before is None or timestamp > datetime.fromisoformat(before))


def _iso(timestamp: datetime | None) -> str | None:
    return None if timestamp is None else timestamp.isoformat()
