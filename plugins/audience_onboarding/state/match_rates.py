"""Match-rate limits: a confirmed load is compared with earlier loads.

A load can pass every guard and still match no person: outdated phone numbers, addresses hashed in another spelling.
Only the vendor knows, after processing. No I/O, no Airflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from audience_onboarding.crm.guards import Ratio
from audience_onboarding.definitions.fields import Model
from audience_onboarding.exceptions import MatchRateError

if TYPE_CHECKING:
    from audience_onboarding.state.store import StateStore

MAX_HISTORY = 90
"""Number of stored loads, the newest by load date."""

RatedIdentifier = Literal["email", "phone", "postal_code", "personal_id", "aaid"]
"""Identifiers that a vendor reports match rates of; ``postal_code`` stands for addresses."""

MAX_WINDOW = 60


class MatchRateLimits(Model):
    """Limits of the match rates of a confirmed load."""

    window: int = Field(7, ge=1, le=MAX_WINDOW)
    """Number of earlier loads in the mean that a load is compared with."""
    min_history: int = Field(3, ge=1, le=MAX_WINDOW)
    """Minimum number of earlier loads for this comparison."""
    min_rate: Ratio | dict[RatedIdentifier, Ratio] | None = None
    """Minimum match rate: one for all identifiers, or one for each."""
    max_drop: Ratio | None = 0.2
    """Maximum drop of a match rate, relative to the mean."""
    max_rows_deviation: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Maximum deviation of the row count in both directions, relative to the mean."""
    min_rows: int = Field(100, ge=1)
    """Minimum rows of an upload. Smaller ones are neither checked nor part of the mean."""
    on_violation: Literal["warn", "fail"] = "warn"
    """Action if a load exceeds a limit: ``warn`` notifies only, ``fail`` also stops its activation."""

    @model_validator(mode="after")
    def _history_fits_window(self) -> MatchRateLimits:
        if self.min_history > self.window:
            raise ValueError("'min_history' must not be more than 'window'")
        return self

    @property
    def min_rates(self) -> Mapping[str, float]:
        """Minimum match rate by identifier."""
        if isinstance(self.min_rate, Mapping):
            return {str(name): rate for name, rate in self.min_rate.items()}
        return {} if self.min_rate is None else dict.fromkeys(get_args(RatedIdentifier), self.min_rate)


@dataclass(frozen=True)
class LoadStats:
    """Statistics of a confirmed load.

    :param load_date: ISO.
    :param is_range: a date range, for which only minimum rates apply, as it has another mix of people.
    :param rows_sent: rows of the list.
    :param rows: rows of the upload that the rates refer to; with ``mirror``, the changed rows.
    :param rates: by identifier, 0 to 1; ``None`` if the vendor reported none, which is not 0.
    """

    load_date: str
    is_range: bool
    rows_sent: int
    rows: int
    rates: Mapping[str, float | None]

    @property
    def known(self) -> dict[str, float]:
        """Rates that the vendor reported."""
        return {name: rate for name, rate in self.rates.items() if rate is not None}


def rates_key(mode: str) -> str:
    """Return the key of the rates of earlier loads. Each mode has its own, as its mix of people differs."""
    return f"match_rates.{mode}"


def evaluate_match_rates(
    stats: LoadStats, limits: MatchRateLimits, *, store: StateStore, mode: str, is_ignored: bool
) -> dict[str, Any]:
    """Evaluate a load, and store its rates for later loads.

    The rates of a blocked load are not stored: they would lower the mean until it matches them. Those of a load that
    the user lets pass are stored.

    :param store: of the audience.
    :param is_ignored: the run ignores violations.
    :return: for the record: the rates, the means to compare with, the violations (``findings``), and whether they block
        the load (``stops``).
    """
    entries = [entry for entry in store.get(rates_key(mode)) or [] if isinstance(entry, dict)]
    earlier = [] if stats.is_range else _earlier(entries, stats.load_date, limits)
    is_evaluated = bool(stats.known) and stats.rows >= limits.min_rows
    findings = list(_findings(stats, limits, earlier)) if is_evaluated else []
    stops = bool(findings) and limits.on_violation == "fail" and not is_ignored
    if not stats.is_range:
        kept = [entry for entry in entries if entry["load_date"] != stats.load_date]
        if is_evaluated and not stops:
            kept.append({"load_date": stats.load_date, "rows_sent": stats.rows_sent, "rates": stats.known})
        if kept != entries:
            store.set(rates_key(mode), sorted(kept, key=lambda entry: str(entry["load_date"]))[-MAX_HISTORY:])
    return {
        "rates": dict(stats.rates),
        "means": {name: round(mean, 4) for name in stats.known if (mean := _mean(earlier, name)) is not None},
        "compared_with": len(earlier),
        "judged": is_evaluated,
        "findings": findings,
        "ignored": is_ignored,
        "stops": stops,
    }


def raise_if_blocked(watched: Mapping[str, Any] | None) -> None:
    """Fail a load whose match rates block it.

    :param watched: result of :func:`evaluate_match_rates`, ``None`` without limits.
    :raises MatchRateError: the load violates a limit, and violations fail.
    """
    if watched is not None and watched["stops"]:
        raise MatchRateError(
            what="The load is confirmed, but its match rates violate a limit; it is not activated",
            why="; ".join(watched["findings"]),
            next_step="Check the source. If it is correct, run this load date again with 'Ignore match rates': nothing "
            "is sent twice, and the activation starts",
        )


def _earlier(entries: list[dict[str, Any]], load_date: str, limits: MatchRateLimits) -> list[dict[str, Any]]:
    before = [entry for entry in entries if entry["load_date"] < load_date]
    window = sorted(before, key=lambda entry: str(entry["load_date"]))[-limits.window :]
    return window if len(window) >= limits.min_history else []


def _mean(earlier: list[dict[str, Any]], name: str) -> float | None:
    rates = [entry["rates"][name] for entry in earlier if entry["rates"].get(name) is not None]
    return sum(rates) / len(rates) if rates else None


def _findings(stats: LoadStats, limits: MatchRateLimits, earlier: list[dict[str, Any]]) -> Iterator[str]:
    for name, rate in sorted(stats.known.items()):
        floor = limits.min_rates.get(name)
        if floor is not None and rate < floor:
            yield f"match_rates.min_rate: {_percent(rate)} of {name} match, minimum {_percent(floor)}"
        mean = _mean(earlier, name)
        if limits.max_drop is not None and mean and rate < mean * (1 - limits.max_drop):
            yield (
                f"match_rates.max_drop: {_percent(rate)} of {name} match, {_percent(1 - rate / mean)} less than the "
                f"mean of the last {len(earlier)} loads ({_percent(mean)}), maximum {_percent(limits.max_drop)}"
            )
    if limits.max_rows_deviation is not None and earlier:
        mean_rows = sum(entry["rows_sent"] for entry in earlier) / len(earlier)
        if abs(stats.rows_sent - mean_rows) > limits.max_rows_deviation * mean_rows:
            yield (
                f"match_rates.max_rows_deviation: {stats.rows_sent:,} rows were sent, the mean of the last "
                f"{len(earlier)} loads is {mean_rows:,.0f}, maximum deviation {_percent(limits.max_rows_deviation)}"
            )


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3g}%"
