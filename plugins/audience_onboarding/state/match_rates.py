"""Watching match rates: a confirmed load is compared with the loads before it.

A load can pass every guard and still match nobody: other phone numbers than people have, addresses hashed in another
spelling. Only the vendor knows, and only afterwards. Pure: no I/O, no Airflow.
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

KEPT = 90
"""Loads that are remembered, the newest by load date."""


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
    """What is judged of a confirmed load.

    :param load_date: ISO.
    :param is_range: it is a range of days, which is held to the floors only: its mix of people is another one.
    :param rows_sent: rows of the list.
    :param rows: rows of the upload that the rates are of; of a ``mirror``, those that have changed.
    :param rates: by identifier, 0 to 1; ``None`` where the vendor told none, which is not 0.
    """

    load_date: str
    is_range: bool
    rows_sent: int
    rows: int
    rates: Mapping[str, float | None]

    @property
    def known(self) -> dict[str, float]:
        """The rates that the vendor told."""
        return {name: rate for name, rate in self.rates.items() if rate is not None}


def rates_key(mode: str) -> str:
    """The key of the rates of earlier loads. Each mode has its own: those that leave are other people."""
    return f"match_rates.{mode}"


def evaluate_match_rates(
    seen: LoadStats, limits: MatchRateLimits, *, store: StateStore, mode: str, is_ignored: bool
) -> dict[str, Any]:
    """Judge a load, and remember its rates for the loads after it.

    A load that is stopped is not remembered: it would pull down the mean until nothing is noticed any more. One that
    is let through is, whatever its rates.

    :param store: of the audience.
    :param mode: of the load.
    :param is_ignored: the run says that it is to be let through.
    :return: for the record: the rates, the means that they were compared with, what is wrong (``findings``), whether
        that ``stops`` it.
    """
    entries = [entry for entry in store.get(rates_key(mode)) or [] if isinstance(entry, dict)]
    earlier = [] if seen.is_range else _earlier(entries, seen.load_date, limits)
    is_judged = bool(seen.known) and seen.rows >= limits.min_rows
    findings = list(_findings(seen, limits, earlier)) if is_judged else []
    stops = bool(findings) and limits.on_violation == "fail" and not is_ignored
    if not seen.is_range:
        kept = [entry for entry in entries if entry["load_date"] != seen.load_date]
        if is_judged and not stops:
            kept.append({"load_date": seen.load_date, "rows_sent": seen.rows_sent, "rates": seen.known})
        if kept != entries:
            store.set(rates_key(mode), sorted(kept, key=lambda entry: str(entry["load_date"]))[-KEPT:])
    return {
        "rates": dict(seen.rates),
        "means": {name: round(mean, 4) for name in seen.known if (mean := _mean(earlier, name)) is not None},
        "compared_with": len(earlier),
        "judged": is_judged,
        "findings": findings,
        "ignored": is_ignored,
        "stops": stops,
    }


def raise_if_blocked(watched: Mapping[str, Any] | None) -> None:
    """Keep a load from what comes after it.

    :param watched: what :func:`watch` has given, ``None`` if nothing is watched.
    :raises MatchRateError: it is outside the limits, and these stop it.
    """
    if watched is not None and watched["stops"]:
        raise MatchRateError(
            what="The load is confirmed, but too few of its people match, so it is not activated",
            why="; ".join(watched["findings"]),
            next_step="Look into the source. If it is right as it is, run this load date again with 'Ignore match "
            "rates': nothing is sent twice, and the activation starts",
        )


def _earlier(entries: list[dict[str, Any]], load_date: str, limits: MatchRateLimits) -> list[dict[str, Any]]:
    before = sorted((entry for entry in entries if entry["load_date"] < load_date), key=_date_of)
    found = before[-limits.window :]
    return found if len(found) >= limits.min_history else []


def _date_of(entry: Mapping[str, Any]) -> str:
    return str(entry["load_date"])


def _mean(earlier: list[dict[str, Any]], name: str) -> float | None:
    rates = [entry["rates"][name] for entry in earlier if entry["rates"].get(name) is not None]
    return sum(rates) / len(rates) if rates else None


def _findings(seen: LoadStats, limits: MatchRateLimits, earlier: list[dict[str, Any]]) -> Iterator[str]:
    for name, rate in sorted(seen.known.items()):
        floor = limits.min_rates.get(name)
        if floor is not None and rate < floor:
            yield f"match_rates.min_rate: {_percent(rate)} of {name} match, at least {_percent(floor)} have to"
        mean = _mean(earlier, name)
        if limits.max_drop is not None and mean and rate < mean * (1 - limits.max_drop):
            yield (
                f"match_rates.max_drop: {_percent(rate)} of {name} match, {_percent(1 - rate / mean)} less than the "
                f"mean of the last {len(earlier)} loads ({_percent(mean)}), at most {_percent(limits.max_drop)} less "
                "may be"
            )
    if limits.max_rows_deviation is not None and earlier:
        usual = sum(entry["rows_sent"] for entry in earlier) / len(earlier)
        if abs(seen.rows_sent - usual) > limits.max_rows_deviation * usual:
            yield (
                f"match_rates.max_rows_deviation: {seen.rows_sent:,} rows were sent, the mean of the last "
                f"{len(earlier)} loads is {usual:,.0f}, at most {_percent(limits.max_rows_deviation)} more or fewer "
                "may be"
            )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
