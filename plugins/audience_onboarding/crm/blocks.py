"""Normalize, validate and count one block of rows. Blocks run in several threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from audience_onboarding.crm.fields import Field
from audience_onboarding.crm.identifiers.normalize import Rejected
from audience_onboarding.crm.identifiers.reject_reasons import CODES, EMPTY, REASON_NAMES, VALID, RejectReason
from audience_onboarding.crm.identifiers.rules import Rule
from audience_onboarding.crm.output.encoder import CsvEncoder, fingerprint
from audience_onboarding.crm.rejects import RejectLines
from audience_onboarding.crm.sources.base import BlockReader, RowBatch

_CACHED_VALUES = 100_000
_MAX_CACHED_LENGTH = 320


@dataclass
class Counts:
    """Counts of one or more blocks. Values are counted by field, ``invalid`` and ``unusable`` by field and reason."""

    rows: int = 0
    bytes_read: int = 0
    mismatches: int = 0
    accepted_values: Counter[str] = field(default_factory=Counter)
    read_values: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    invalid: Counter[tuple[str, str]] = field(default_factory=Counter)
    unusable: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: set[str] = field(default_factory=set)

    def add(self, other: Counts) -> None:
        """Add the counts of a block."""
        for name, value in vars(other).items():
            if isinstance(value, int):
                setattr(self, name, getattr(self, name) + value)
            else:
                getattr(self, name).update(value)


@dataclass
class BlockResult:
    """Accepted rows, rejects and counts of one block. Holds customer data: never printed.

    :param size: bytes of the rows in the file.
    :param rejects: lines for the list of rejects.
    """

    values: pl.DataFrame
    fingerprints: pl.DataFrame
    size: int
    rejects: str
    rejects_count: int
    counts: Counts

    def __repr__(self) -> str:
        return f"BlockResult(rows={self.counts.rows})"


class BlockProcessor:
    """Processes the blocks of one load.

    :param fields: the mapped columns, in the order of the file.
    """

    def __init__(self, fields: Sequence[Field], encoder: CsvEncoder) -> None:
        self._fields = fields
        self._encoder = encoder
        self._profile = encoder.profile
        self._indexes = {each.identifier: index for index, each in enumerate(fields)}
        self._cache: list[dict[str, tuple[int, str | None]]] = [{} for _ in fields]

    def clear_cache(self) -> None:
        """Drop the cached results of the reference functions."""
        for cache in self._cache:
            cache.clear()

    def process(self, block: BlockReader) -> BlockResult:
        """Parse, normalize and validate a block.

        :raises SourceFormatError: it cannot be read.
        """
        rows = block.read()
        counts = Counts(bytes_read=rows.size, files={rows.file})
        values, codes = self._normalize(rows.frame, counts)
        counts.rows = values.height + len(rows.malformed)
        rejects = RejectLines(rows)
        if rows.malformed:
            counts.rejected[RejectReason.MALFORMED_ROW.value] = len(rows.malformed)
            rejects.add_rows(rows.malformed, RejectReason.MALFORMED_ROW)
        identified = self._rows_with_identifier(values, codes)
        if identified is not None:
            values = values.filter(identified)
            self._count_rejected(rows, codes, identified, counts, rejects)
        self._count_invalid(rows, codes, identified, counts, rejects)
        counts.unusable.update(counts.invalid)
        counts.mismatches = rejects.mismatches
        for each in self._fields:
            counts.accepted_values[each.name] = values.height - values[each.name].null_count()
        return BlockResult(
            values=values,
            fingerprints=values.select(fingerprint(self._encoder.names)),
            size=self._encoder.size(values),
            rejects=rejects.text(),
            rejects_count=rejects.count,
            counts=counts,
        )

    def _normalize(self, frame: pl.DataFrame, counts: Counts) -> tuple[pl.DataFrame, list[pl.Series | None]]:
        """Return the normalized values, and by field the codes of their reasons; ``None``: all are valid."""
        columns: list[pl.Series] = []
        codes: list[pl.Series | None] = []
        for index, each in enumerate(self._fields):
            text = frame[str(index)]
            answered, value = _apply_vector_rule(each.rule, text)
            code: pl.Series | None = None
            filled = frame.height
            if not answered.all():
                code, value, filled = self._apply_reference(index, answered, text, value)
            columns.append(value.alias(each.name))
            codes.append(code)
            counts.read_values[each.name] = filled
        return self._drop_dependents(pl.DataFrame(columns), codes), codes

    def _apply_reference(
        self, index: int, answered: pl.Series, text: pl.Series, value: pl.Series
    ) -> tuple[pl.Series, pl.Series, int]:
        """Normalize the values without an answer by the reference; return codes, values, filled fields."""
        code = pl.select(
            pl.when(answered).then(pl.lit(VALID, dtype=pl.UInt8)).otherwise(pl.lit(EMPTY, dtype=pl.UInt8))
        ).to_series()
        blank = text.null_count()
        pending = (~answered & text.is_not_null()).arg_true()
        if len(pending):
            cache, decide = self._cache[index], self._reference_result
            results = [cache.get(each) or decide(index, each) for each in text.gather(pending).to_list()]
            reasons = [result[0] for result in results]
            code = code.scatter(pending, pl.Series(reasons, dtype=pl.UInt8))
            value = value.scatter(pending, pl.Series([result[1] for result in results], dtype=pl.String))
            blank += reasons.count(EMPTY)
        return code, value, len(text) - blank

    def _reference_result(self, index: int, value: str) -> tuple[int, str | None]:
        rule = self._fields[index].rule
        outcome = (rule.shortcut(value) if rule.shortcut is not None else None) or rule.reference(value)
        result = (CODES[outcome.reason], None) if isinstance(outcome, Rejected) else (VALID, outcome)
        cache = self._cache[index]
        if len(cache) < _CACHED_VALUES and len(value) <= _MAX_CACHED_LENGTH:
            cache[value] = result
        return result

    def _drop_dependents(self, values: pl.DataFrame, codes: list[pl.Series | None]) -> pl.DataFrame:
        """Remove values without the identifier that they need, such as a street without a postal code."""
        for part, required in self._profile.required_by:
            if part not in self._indexes:
                continue
            index = self._indexes[part]
            name = self._fields[index].name
            if required in self._indexes:
                missing = values[self._fields[self._indexes[required]].name].is_null()
            else:
                missing = pl.repeat(True, values.height, eager=True, dtype=pl.Boolean)
            orphan = missing & values[name].is_not_null()
            if not orphan.any():
                continue
            code = codes[index]
            if code is None:
                code = pl.repeat(VALID, values.height, eager=True, dtype=pl.UInt8)
            codes[index] = code.scatter(orphan.arg_true(), CODES[RejectReason.NO_POSTAL_CODE])
            values = values.with_columns(pl.when(~orphan).then(pl.col(name)).alias(name))
        return values

    def _rows_with_identifier(
        self, values: pl.DataFrame, codes: Sequence[pl.Series | None]
    ) -> pl.Series | None:
        """Return which rows can be sent; ``None`` for all."""
        mapped = [group for group in self._profile.identified_by if group <= self._indexes.keys()]
        if any(all(codes[self._indexes[identifier]] is None for identifier in group) for group in mapped):
            return None
        identified = values.select(
            pl.any_horizontal(
                pl.all_horizontal(pl.col(identifier.value).is_not_null() for identifier in sorted(group))
                for group in mapped
            )
        ).to_series()
        return None if identified.all() else identified

    def _count_rejected(
        self,
        rows: RowBatch,
        codes: Sequence[pl.Series | None],
        identified: pl.Series,
        counts: Counts,
        rejects: RejectLines,
    ) -> None:
        """Count each row that cannot be sent under the reason of its first filled field."""
        indexes = (~identified).arg_true()
        numbers = rows.row_numbers().gather(indexes)
        first = pl.repeat(VALID, len(indexes), dtype=pl.UInt8, eager=True)
        for column, (each, code) in enumerate(zip(self._fields, codes, strict=True)):
            if code is None:
                continue
            rejected = code.gather(indexes)
            bad = (rejected != VALID) & (rejected != EMPTY)
            counts.unusable += rejects.add_fields(
                numbers.filter(bad),
                each,
                "row",
                rejected.filter(bad),
                rows.frame[str(column)].gather(indexes.filter(bad)),
            )
            first = first.zip_with((first != VALID) | ~bad, rejected)
        for code_of_row, count in first.value_counts().iter_rows():
            counts.rejected[REASON_NAMES.get(code_of_row, RejectReason.NO_IDENTIFIER.value)] += count
        rejects.add_rows(numbers.filter(first == VALID), RejectReason.NO_IDENTIFIER)

    def _count_invalid(
        self,
        rows: RowBatch,
        codes: Sequence[pl.Series | None],
        identified: pl.Series | None,
        counts: Counts,
        rejects: RejectLines,
    ) -> None:
        """Count the fields that are left empty in rows that can be sent."""
        numbers = rows.row_numbers()
        for column, (each, code) in enumerate(zip(self._fields, codes, strict=True)):
            if code is None:
                continue
            bad = (code != VALID) & (code != EMPTY)
            indexes = (bad if identified is None else bad & identified).arg_true()
            if len(indexes):
                counts.invalid += rejects.add_fields(
                    numbers.gather(indexes),
                    each,
                    "field",
                    code.gather(indexes),
                    rows.frame[str(column)].gather(indexes),
                )


def _apply_vector_rule(rule: Rule, text: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return which values the fast path answers, and its answers."""
    if rule.fast_path is None:
        return pl.repeat(False, len(text), eager=True, dtype=pl.Boolean), pl.repeat(
            None, len(text), eager=True, dtype=pl.String
        )
    column = pl.col("text")
    vector = rule.fast_path(column)
    accepted = vector.accept(pl.col("cleaned")).fill_null(value=False).alias("ok")
    frame = text.to_frame("text")
    if vector.is_clean is None:
        done = frame.select(cleaned=vector.cleaned).with_columns(accepted)
    else:
        done = frame.select(cleaned=column, ok=vector.is_clean(column).fill_null(value=False))
        others = (~done["ok"]).arg_true()
        if len(others):
            rest = frame.filter(~done["ok"]).select(cleaned=vector.cleaned).with_columns(accepted)
            done = pl.DataFrame([done[name].scatter(others, rest[name]) for name in ("cleaned", "ok")])
    values = done.select(pl.when("ok").then(vector.value(pl.col("cleaned"))))
    return done["ok"], values.to_series()
