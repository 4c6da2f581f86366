"""Guards: limits that a load must keep before anything of it is sent.

A readable source may still be the wrong one: half an export, a renamed column, hashes in place of addresses. Such a
load would match no one, or empty an audience. Each guard limits one count of the load. The error lists all failed
guards with their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from audience_onboarding.crm.identifiers.reject_reasons import RejectReason
from audience_onboarding.crm.output.profiles import Identifier
from audience_onboarding.exceptions import GuardError

if TYPE_CHECKING:
    from audience_onboarding.crm.report import LoadReport

FULL_LIST_MODES = frozenset({"replace", "mirror"})
"""Modes in which the list is the audience, so that people missing from it are removed."""

DEFAULT_MAX_ROW_DROP = 0.5
"""``max_row_drop`` of these modes, unless it is set."""

SPARSE_IDENTIFIERS = frozenset({Identifier.EXTENSION.value, Identifier.APARTMENT.value})
"""Columns that are empty for most people."""

_SHOWN_REASONS = 3


@dataclass(frozen=True)
class GuardFailure:
    """A failed guard.

    :param setting: its name.
    :param numbers: the count and its limit. No data.
    """

    setting: str
    numbers: str

    def __str__(self) -> str:
        return f"guards.{self.setting}: {self.numbers}"


def _between_0_and_1(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("must be between 0 and 1. For 30 percent, write 0.3")
    return value


Ratio = Annotated[
    float,
    AfterValidator(_between_0_and_1),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
"""0.3 is 30 percent."""


class Guards(BaseModel):
    """Limits that a load must meet before it is uploaded. ``null`` disables a limit."""

    # Part of a definition, see definitions.fields.Model.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    null_is_a_value: ClassVar[bool] = True

    min_rows: Annotated[int, Field(ge=1)] | None = 1
    """Minimum rows to upload."""
    max_row_drop: Ratio | None = None
    """Maximum drop in row count, relative to the last confirmed load (0.5 = 50 %). Default: 0.5 for modes ``replace``
    and ``mirror``, in which a short list removes people, and no limit for the others."""
    max_rejected_ratio: Ratio | None = 0.3
    """Maximum ratio of rejected rows."""
    max_invalid_ratio: Ratio | None = 0.5
    """Maximum ratio of invalid values among the values of an identifier."""
    min_filled_ratio: Ratio | None = 0.01
    """Minimum ratio of rows with a value of an identifier."""
    max_hash_mismatch_ratio: Ratio | None = 0.01
    """Maximum ratio of hashes in columns of plain values, or of plain values in columns of hashes."""
    min_rows_for_ratios: int = Field(100, ge=1)
    """Minimum rows for checks of ratios, except ``max_hash_mismatch_ratio``. For ``max_row_drop``, the rows of the last
    confirmed load count."""
    on_empty: Literal["fail", "skip"] = "fail"
    """Action of a load whose source has no rows: fail, or skip the tasks of the run."""

    def row_drop_limit(self, mode: str) -> float | None:
        """Return the limit of ``max_row_drop`` for a mode, ``None`` for no limit."""
        if "max_row_drop" in self.model_fields_set:
            return self.max_row_drop
        return DEFAULT_MAX_ROW_DROP if mode in FULL_LIST_MODES else None

    def failures(self, report: LoadReport, *, mode: str, last_rows: int | None) -> list[GuardFailure]:
        """Return the failed guards.

        :param report: counts of the load.
        :param mode: of the load.
        :param last_rows: rows of the last confirmed load that is comparable; ``None`` without one.
        """
        failures = [*self._check_rows(report), *self._check_row_drop(report, mode, last_rows)]
        if report.rows_read >= self.min_rows_for_ratios:
            failures += [
                *self._check_rejected(report),
                *self._check_invalid(report),
                *self._check_filled(report),
            ]
        return [*failures, *self._check_hashes(report)]

    def _check_rows(self, report: LoadReport) -> Iterator[GuardFailure]:
        if self.min_rows is not None and report.rows_sent < self.min_rows:
            yield GuardFailure("min_rows", f"{report.rows_sent:,} rows to send, minimum {self.min_rows:,}")

    def _check_row_drop(self, report: LoadReport, mode: str, last_rows: int | None) -> Iterator[GuardFailure]:
        limit = self.row_drop_limit(mode)
        if limit is None or last_rows is None or last_rows < self.min_rows_for_ratios:
            return
        fewer = last_rows - report.rows_sent
        if fewer > limit * last_rows:
            yield GuardFailure(
                "max_row_drop",
                f"{report.rows_sent:,} rows to send, the last confirmed load had {last_rows:,}: "
                f"{_percent(fewer / last_rows)} fewer, maximum {_percent(limit)}",
            )

    def _check_rejected(self, report: LoadReport) -> Iterator[GuardFailure]:
        limit, rows = self.max_rejected_ratio, report.rows_read
        if limit is not None and report.rejected > limit * rows:
            yield GuardFailure(
                "max_rejected_ratio",
                f"{report.rejected:,} of {rows:,} rows rejected ({_percent(report.rejected / rows)}), maximum "
                f"{_percent(limit)}; {_format_reasons(report.rejected_by_reason)}",
            )

    def _check_invalid(self, report: LoadReport) -> Iterator[GuardFailure]:
        limit = self.max_invalid_ratio
        if limit is None:
            return
        for identifier, filled in report.values_read.items():
            reasons = report.unusable_values.get(identifier, {})
            invalid = sum(reasons.values())
            if invalid > limit * filled:
                yield GuardFailure(
                    "max_invalid_ratio",
                    f"{invalid:,} of {filled:,} values of {identifier} are invalid ({_percent(invalid / filled)}), "
                    f"maximum {_percent(limit)}; {_format_reasons(reasons)}",
                )

    def _check_filled(self, report: LoadReport) -> Iterator[GuardFailure]:
        rows = report.rows_read - report.rejected_by_reason.get(RejectReason.MALFORMED_ROW.value, 0)
        limit = self.min_filled_ratio
        if limit is None or rows == 0:
            return
        for identifier, filled in report.values_read.items():
            if identifier not in SPARSE_IDENTIFIERS and filled < limit * rows:
                yield GuardFailure(
                    "min_filled_ratio",
                    f"the column of {identifier} is filled in {filled:,} of {rows:,} rows ({_percent(filled / rows)}), "
                    f"minimum {_percent(limit)}",
                )

    def _check_hashes(self, report: LoadReport) -> Iterator[GuardFailure]:
        limit, filled = self.max_hash_mismatch_ratio, sum(report.values_read.values())
        if limit is not None and report.hash_mismatches > limit * filled:
            yield GuardFailure(
                "max_hash_mismatch_ratio",
                f"{report.hash_mismatches:,} of {filled:,} values ({_percent(report.hash_mismatches / filled)}) are "
                "hashes in an unhashed column, or unhashed in a column of hashes, maximum "
                f"{_percent(limit)}; 'hashed: true' declares a column of hashes",
            )


def build_guard_error(failures: list[GuardFailure]) -> GuardError:
    """Return the error for failed guards."""
    return GuardError(
        what=f"{len(failures)} of the guards stop this load, nothing is sent"
        if len(failures) > 1
        else "A guard stops this load, nothing is sent",
        why="; ".join(map(str, failures)),
        next_step="Check the source. If it is correct, change the setting in the definition, or "
        "trigger this load again with 'Ignore guards', which is under 'Exceptions' in its form",
    )


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3g}%"


def _format_reasons(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_REASONS]
    more = len(counts) - len(most)
    return ", ".join(f"{reason} {count:,}" for reason, count in most) + (f" and {more} more" if more else "")
