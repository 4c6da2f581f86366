"""Checks that hold for every file, good or bad."""

from __future__ import annotations

import csv
import io
import json
import pickle
import re
import traceback
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3
from audience_onboarding.crm.prepare import PreparedLoad, prepare
from audience_onboarding.crm.sources.base import Source
from audience_onboarding.exceptions import AudienceOnboardingError
from tests.unit.crm.malformed.case import CANARY, CANARY_DIGITS, Case, Fails, Gives

HEADER = re.compile(rb"(email_sha256|phone_sha256|email_sha256,phone_sha256)\r\n")
LINE = re.compile(rb"(?:[0-9a-f]{64})?(?:,(?:[0-9a-f]{64})?)?")
EMPTY_HASH = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
LONGEST_MESSAGE = 8_000


def observe(source: Source, case: Case, spill: Path, **settings: Any) -> tuple[Gives | Fails, str]:
    """Run one load, check it, and return its outcome and all texts that came of it."""
    spill.mkdir(exist_ok=True)
    outcome: Gives | Fails
    texts = ""
    failure: AudienceOnboardingError | None = None
    try:
        with prepare(
            source,
            columns=case.columns,
            profile=DIGITAL_AUDIENCE_S3,
            spill_dir=spill,
            **{"memory_limit_mib": 256, "threads": 1, **case.settings, **settings},
        ) as load:
            outcome, texts = _normalize_block(load)
    except AudienceOnboardingError as error:
        failure = error
    if failure is not None:
        outcome, texts = Fails(type(failure), str(failure)), error_texts(failure)
        again = pickle.loads(pickle.dumps(failure))
        assert (type(again), str(again)) == (type(failure), str(failure))
        assert len(str(failure)) < LONGEST_MESSAGE, "a message is something that people read"
    assert not list(spill.iterdir()), "something is left in the spill directory"
    return outcome, texts


def _normalize_block(load: PreparedLoad) -> tuple[Gives, str]:
    report = load.report
    assert report.rows_read == report.rows_sent + report.duplicates + report.rejected
    assert report.rejected == sum(report.rejected_by_reason.values())

    sent = b"".join(load.chunks(1000))
    assert sent == b"".join(load.chunks(1 << 20)), "the bytes depend on the size of the chunks"
    assert load.size == len(sent)
    header, end, body = sent.partition(b"\r\n")
    assert HEADER.fullmatch(header + end)
    lines = body.split(b"\r\n")
    assert lines.pop() == b"", "the last line has no end"
    assert len(lines) == report.rows_sent == load.rows == len(set(lines))
    assert all(LINE.fullmatch(line) and line.strip(b",") for line in lines)
    assert EMPTY_HASH not in sent
    assert sum(report.values_sent.values()) == sum(len(line.replace(b",", b"")) // 64 for line in lines)
    assert sum(part.rows for part in load.parts(max_rows=7, max_bytes=1000)) == report.rows_sent

    rejects = b"".join(load.rejects()).decode("utf-8")
    malformed = _check_rejects(rejects, load)
    outcome = Gives(
        report.rows_read,
        report.rows_sent,
        report.duplicates,
        dict(report.rejected_by_reason),
        {name: dict(reasons) for name, reasons in report.invalid_values.items()},
        malformed,
        report.hash_mismatches,
    )
    return outcome, "\n".join([rejects, repr(load), repr(report), json.dumps(report.to_dict())])


def _check_rejects(rejects: str, load: PreparedLoad) -> tuple[int, ...]:
    """Check the list of rejects against the report; return the numbers of the malformed rows."""
    report = load.report
    found = list(csv.DictReader(io.StringIO(rejects, newline=""), strict=True))
    assert len(found) == load.rejects_count
    rows = {(line["file"], int(line["row"])) for line in found if line["outcome"] == "row"}
    assert len(rows) == report.rejected
    assert all(1 <= row <= report.rows_read for _, row in rows)
    fields = Counter((line["field"], line["reason"]) for line in found if line["outcome"] == "field")
    assert fields == {
        (name, reason): count
        for name, reasons in report.invalid_values.items()
        for reason, count in reasons.items()
    }
    return tuple(sorted(int(line["row"]) for line in found if line["reason"] == "malformed_row"))


def error_texts(error: BaseException) -> str:
    """Return all texts of an error that may reach a log, a pickle or a debugger, with those of its chain."""
    texts = ["".join(traceback.format_exception(error)), repr(error)]
    visited: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or each in visited:
            continue
        visited.append(each)
        texts += [str(each), repr(each.args), repr(vars(each)), repr(getattr(each, "object", None))]
        pending += [each.__cause__, each.__context__]
    assert all(isinstance(each, AudienceOnboardingError) for each in visited), (
        "chained to an error of a library"
    )
    return "\n".join(texts)


def leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """Return the planted values that the text holds."""
    lower = text.casefold()
    return [secret for secret in (CANARY, CANARY_DIGITS, *secrets) if secret.casefold() in lower]


class _Drops:
    """A stream without ``readinto`` that gives a few bytes at a time, another number each time."""

    def __init__(self, content: bytes, is_seekable: bool) -> None:
        self._stream = io.BytesIO(content)
        self._number = 0
        self.readable = lambda: True
        self.seekable = lambda: is_seekable
        self.seek = self._stream.seek

    def read(self, size: int = -1, /) -> bytes:
        self._number += 1
        few = 1 + self._number * 7 % 61
        return self._stream.read(few if size < 0 else min(size, few))


def in_drops(content: bytes, *, is_seekable: bool = False) -> AbstractContextManager[BinaryIO]:
    """For ``CsvSource(stream=...)``."""
    return nullcontext(_Drops(content, is_seekable))  # type: ignore[arg-type]
