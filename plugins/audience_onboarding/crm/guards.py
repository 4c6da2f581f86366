"""Guards: what has to hold of a load before anything of it is sent.

A source that is there and can be read may still be the wrong one: half an export, a column that somebody renamed,
hashes where addresses should be. Such a load would be "successful" and match nobody, or empty an audience. A guard is
a limit to one of the counts of a load; the ones that a load breaks are told all at once, with the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from audience_onboarding.crm.identifiers.reject_reasons import Reason
from audience_onboarding.crm.output.profiles import Identifier
from audience_onboarding.exceptions import GuardError

if TYPE_CHECKING:
    from audience_onboarding.crm.report import LoadReport

WHOLE_LIST = frozenset({"replace", "mirror"})
"""Modes in which a list says who is in the audience, so that whoever is missing from it is taken out."""

WHOLE_LIST_MAX_SHRINK = 0.5
"""What ``by_mode`` means there."""

SELDOM_FILLED = frozenset({Identifier.EXTENSION.value, Identifier.APARTMENT.value})
"""Columns that are empty for most people, and rightly so."""

_REASONS_TOLD = 3


@dataclass(frozen=True)
class Failure:
    """A guard that a load breaks.

    :param setting: its name.
    :param numbers: what was found, and what may be. Counts only, never data.
    """

    setting: str
    numbers: str

    def __str__(self) -> str:
        return f"guards.{self.setting}: {self.numbers}"


@dataclass(frozen=True)
class Guards:
    """The limits. ``None`` turns one off.

    :param min_rows: rows to send at least.
    :param max_row_drop: which part fewer rows than the last confirmed load may be sent. ``by_mode`` is 0.5 for
        ``replace`` and ``mirror``, where a short list takes people out, and off for the others.
    :param max_rejected_ratio: which part of the rows may be rejected.
    :param max_invalid_ratio: of each identifier, which part of the fields that are not empty may be invalid.
    :param min_filled_ratio: of each identifier, which part of the rows has to have something in its column.
    :param max_hash_mismatch_ratio: which part of the fields that are not empty may be hashes where plain values are
        expected, or the other way round.
    :param min_rows_for_ratios: lists of fewer rows are not judged by ``max_row_drop`` (where it is the last load that
        counts), ``max_rejected_ratio``, ``max_invalid_ratio`` and ``min_filled_ratio``: of three people, one wrong
        address is a third.
    :param on_empty: whether a source without a single row is an error (``fail``) or nothing to do (``skip``).
    :raises ValueError: a limit that cannot be.
    """

    min_rows: int | None = 1
    max_row_drop: float | Literal["by_mode"] | None = "by_mode"
    max_rejected_ratio: float | None = 0.3
    max_invalid_ratio: float | None = 0.5
    min_filled_ratio: float | None = 0.01
    max_hash_mismatch_ratio: float | None = 0.01
    min_rows_for_ratios: int = 100
    on_empty: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        shares = (
            self.max_rejected_ratio,
            self.max_invalid_ratio,
            self.min_filled_ratio,
            self.max_hash_mismatch_ratio,
            None if self.max_row_drop == "by_mode" else self.max_row_drop,
        )
        if any(share is not None and not 0 <= share <= 1 for share in shares):
            raise ValueError("a share is between 0 and 1")
        if (self.min_rows is not None and self.min_rows < 1) or self.min_rows_for_ratios < 1:
            raise ValueError("a number of rows is at least 1")
        if self.on_empty not in ("fail", "skip"):
            raise ValueError("on_empty is 'fail' or 'skip'")

    def check(self, report: LoadReport, *, mode: str, last_rows: int | None) -> None:
        """Let a load pass, or not.

        :param report: its counts.
        :param mode: what it does to the audience.
        :param last_rows: rows of the last confirmed load that it can be compared with, ``None`` if there is none.
        :raises GuardError: names all guards that it breaks, with the numbers.
        """
        failures = self.failures(report, mode=mode, last_rows=last_rows)
        if failures:
            raise guard_error(failures)

    def failures(self, report: LoadReport, *, mode: str, last_rows: int | None) -> list[Failure]:
        """The guards that a load breaks, none if it may pass. Arguments as for :meth:`check`."""
        found = [*self._rows(report), *self._shrink(report, mode, last_rows)]
        if report.rows_read >= self.min_rows_for_ratios:
            found += [*self._rejected(report), *self._invalid(report), *self._filled(report)]
        return [*found, *self._hashes(report)]

    def _rows(self, report: LoadReport) -> Iterator[Failure]:
        if self.min_rows is not None and report.rows_sent < self.min_rows:
            yield Failure(
                "min_rows", f"{report.rows_sent:,} rows to send, at least {self.min_rows:,} have to be"
            )

    def _shrink(self, report: LoadReport, mode: str, last_rows: int | None) -> Iterator[Failure]:
        limit = self.max_row_drop
        if limit == "by_mode":
            limit = WHOLE_LIST_MAX_SHRINK if mode in WHOLE_LIST else None
        if limit is None or last_rows is None or last_rows < self.min_rows_for_ratios:
            return
        fewer = last_rows - report.rows_sent
        if fewer > limit * last_rows:
            yield Failure(
                "max_row_drop",
                f"{report.rows_sent:,} rows to send, the last confirmed load had {last_rows:,}: "
                f"{_percent(fewer / last_rows)} fewer, at most {_percent(limit)} fewer may be",
            )

    def _rejected(self, report: LoadReport) -> Iterator[Failure]:
        limit, rows = self.max_rejected_ratio, report.rows_read
        if limit is not None and report.rejected > limit * rows:
            yield Failure(
                "max_rejected_ratio",
                f"{report.rejected:,} of {rows:,} rows rejected ({_percent(report.rejected / rows)}), at most "
                f"{_percent(limit)} may be; {_reasons(report.rejected_by_reason)}",
            )

    def _invalid(self, report: LoadReport) -> Iterator[Failure]:
        limit = self.max_invalid_ratio
        if limit is None:
            return
        for identifier, filled in report.values_read.items():
            reasons = report.unusable_values.get(identifier, {})
            invalid = sum(reasons.values())
            if invalid > limit * filled:
                yield Failure(
                    "max_invalid_ratio",
                    f"{invalid:,} of {filled:,} values of {identifier} are invalid ({_percent(invalid / filled)}), at "
                    f"most {_percent(limit)} may be; {_reasons(reasons)}",
                )

    def _filled(self, report: LoadReport) -> Iterator[Failure]:
        rows = report.rows_read - report.rejected_by_reason.get(Reason.MALFORMED_ROW.value, 0)
        limit = self.min_filled_ratio
        if limit is None or rows == 0:
            return
        for identifier, filled in report.values_read.items():
            if identifier not in SELDOM_FILLED and filled < limit * rows:
                yield Failure(
                    "min_filled_ratio",
                    f"the column of {identifier} is filled in {filled:,} of {rows:,} rows ({_percent(filled / rows)}), "
                    f"at least {_percent(limit)} have to be",
                )

    def _hashes(self, report: LoadReport) -> Iterator[Failure]:
        limit, filled = self.max_hash_mismatch_ratio, sum(report.values_read.values())
        if limit is not None and report.hash_mismatches > limit * filled:
            yield Failure(
                "max_hash_mismatch_ratio",
                f"{report.hash_mismatches:,} of {filled:,} values ({_percent(report.hash_mismatches / filled)}) are "
                "hashes in a column of plain values, or plain values in a column of hashes, at most "
                f"{_percent(limit)} may be; 'hashed: true' says which columns hold hashes",
            )


def guard_error(failures: list[Failure]) -> GuardError:
    """The error of a load that breaks these guards."""
    return GuardError(
        what=f"{len(failures)} of the guards stop this load, nothing is sent"
        if len(failures) > 1
        else "A guard stops this load, nothing is sent",
        why="; ".join(map(str, failures)),
        next_step="Look into the source. If it is right as it is, change the setting in the definition, or "
        "trigger this load again with 'Ignore guards', which is under 'Exceptions' in its form",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _reasons(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_REASONS_TOLD]
    more = len(counts) - len(most)
    return ", ".join(f"{reason} {count:,}" for reason, count in most) + (f" and {more} more" if more else "")
