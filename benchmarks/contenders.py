"""Contenders: each method that turns the extract into hashes, in its own process.

    python -m benchmarks.contenders NAME SOURCE TARGET ROWS [PORT]

does it once and prints a line of JSON. The time is that of the work alone, after imports and with the file in the
page cache, for all alike. The peak of memory is that of the whole process, libraries included.
"""

# ruff: noqa: PLC0415 (imports are not timed, and each contender imports its own only)

from __future__ import annotations

import csv
import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
PART = 8 * MIB
SLICE = 200_000
"""Rows that pandas gets: it is slow, and its time grows with the rows."""


@dataclass(frozen=True)
class Task:
    """One run.

    :param source: the extract.
    :param target: a file that may be written, and is thrown away.
    :param rows: of the extract.
    :param port: where the sink listens.
    """

    source: Path
    target: Path
    rows: int
    port: int


@dataclass(frozen=True)
class Result:
    """Cost of one run.

    :param rows: that were read.
    :param seconds: of work.
    :param peak_mib: of memory, at the end of the process.
    :param sent: rows that came out.
    :param detail: further output of the contender.
    """

    rows: int
    seconds: float
    peak_mib: float
    sent: int
    detail: dict[str, Any]


Work = Callable[[Task], tuple[int, int, dict[str, Any]]]
"""Gives rows read, rows out, and details."""


# --- (a) and (e): the engine


def _prepared(task: Task) -> AbstractContextManager[Any]:
    from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, Identifier
    from audience_onboarding.crm.prepare import prepare
    from audience_onboarding.crm.sources.csv_file import CsvSource

    columns = {Identifier.EMAIL: "email", Identifier.PHONE: "phone"}
    return prepare(
        CsvSource(path=task.source),
        columns=columns,
        profile=DIGITAL_AUDIENCE_S3,
        spill_dir=task.target.parent,
    )


def _checked(load: Any, task: Task) -> tuple[int, int, dict[str, Any]]:
    """Counts of a load, which must be those of the extract: a fast engine that loses rows is no engine."""
    report = load.report
    if report.rows_read != task.rows or not 0.02 < report.duplicates / report.rows_read < 0.04:
        raise SystemExit(f"The engine read {report.rows_read} rows and found {report.duplicates} duplicates")
    return report.rows_read, report.rows_sent, report.to_dict()


def engine() -> Work:
    """Our engine with all its rules: all chunks made and thrown away, and the list of rejects."""
    import audience_onboarding.crm.prepare  # noqa: F401

    def work(task: Task) -> tuple[int, int, dict[str, Any]]:
        with _prepared(task) as load:
            size = sum(map(len, load.chunks(PART)))
            rejects = sum(map(len, load.rejects()))
            if size != load.size or not rejects:
                raise SystemExit(f"{size} of {load.size} bytes, {rejects} bytes of rejects")
            return _checked(load, task)

    return work


def engine_to_file() -> Work:
    """Prepare the rows and write a file: the baseline of the contenders, which also write one."""
    import audience_onboarding.crm.prepare  # noqa: F401

    def work(task: Task) -> tuple[int, int, dict[str, Any]]:
        with _prepared(task) as load, task.target.open("wb") as out:
            for chunk in load.chunks(PART):
                out.write(chunk)
            if not sum(map(len, load.rejects())):
                raise SystemExit("no rejects")
            return _checked(load, task)

    return work


def engine_to_s3() -> Work:
    """The same through the package's own upload and boto3, into an endpoint that swallows bytes."""
    import boto3
    from botocore.config import Config

    import audience_onboarding.crm.prepare  # noqa: F401
    from audience_onboarding.storage.s3_upload import publish_object

    def work(task: Task) -> tuple[int, int, dict[str, Any]]:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{task.port}",
            region_name="eu-west-1",
            aws_access_key_id="bench",
            aws_secret_access_key="bench",  # noqa: S106
            config=Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"}),
        )
        before = _swallowed(task.port)
        with _prepared(task) as load:
            published = publish_object(
                client,
                bucket="bench",
                key="onboard/audience=1/replace/bench.csv",
                content_id=load.content_id,
                size=load.size,
                chunks=load.chunks,
                part_size=PART,
            )
            if not sum(map(len, load.rejects())):
                raise SystemExit("no rejects")
            arrived = _swallowed(task.port) - before
            if arrived != load.size or published.unchanged:
                raise SystemExit(f"{arrived} of {load.size} bytes arrived")
            rows, sent, detail = _checked(load, task)
            return rows, sent, {**detail, "parts": published.parts}

    return work


def _swallowed(port: int) -> int:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/swallowed", timeout=10) as answer:
        return int(answer.read())


# --- (b): the plain script


def row_by_row() -> Work:
    """``csv`` and ``hashlib``, a row at a time: no rules, no deduplication, no rejects."""

    def work(task: Task) -> tuple[int, int, dict[str, Any]]:
        separators = str.maketrans("", "", " +-.()/")
        sha256 = hashlib.sha256
        rows = 0
        with (
            task.source.open(encoding="utf-8", newline="") as file,
            task.target.open("w", encoding="utf-8", newline="") as out,
        ):
            reader = csv.reader(file)
            header = next(reader)
            at_email, at_phone = header.index("email"), header.index("phone")
            writer = csv.writer(out)
            writer.writerow(["email_sha256", "phone_sha256"])
            for row in reader:
                email = row[at_email].strip().lower()
                phone = row[at_phone].translate(separators)
                writer.writerow([sha256(email.encode()).hexdigest(), sha256(phone.encode()).hexdigest()])
                rows += 1
        return rows, rows, {}

    return work


# --- (c): the usual script with pandas


def pandas_apply() -> Work:
    """pandas with ``apply``, and phonenumbers for each phone, as published uploaders do; a slice of the extract."""
    import pandas as pd  # type: ignore[import-untyped]
    import phonenumbers

    def hashed(value: object) -> str:
        return hashlib.sha256(value.encode()).hexdigest() if isinstance(value, str) and value else ""

    def phone(value: object) -> str:
        if not isinstance(value, str):
            return ""
        try:
            parsed = phonenumbers.parse(value, "NL")
        except phonenumbers.NumberParseException:
            return ""
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")

    phone("0612345678")  # reads the metadata of the country, which is no work of the rows

    def work(task: Task) -> tuple[int, int, dict[str, Any]]:
        frame = pd.read_csv(task.source, dtype=str, nrows=SLICE)
        out = pd.DataFrame(
            {
                "email_sha256": frame["email"].str.strip().str.lower().apply(hashed),
                "phone_sha256": frame["phone"].apply(phone).apply(hashed),
            }
        )
        out.to_csv(task.target, index=False)
        return len(frame), len(out), {}

    return work


# --- (d): the lower bound


def scan_and_hash() -> Work:
    """Polars and polars-hash: scan, hash both columns as they stand, write; no rules, no checks."""
    import polars as pl
    import polars_hash as plh

    def work(task: Task) -> tuple[int, int, dict[str, Any]]:
        pl.scan_csv(task.source, infer_schema=False).select(
            email_sha256=plh.col("email").chash.sha2_256(),
            phone_sha256=plh.col("phone").chash.sha2_256(),
        ).sink_csv(task.target)
        return task.rows, task.rows, {}

    return work


CONTENDERS: dict[str, Callable[[], Work]] = {
    "engine": engine,
    "engine_to_file": engine_to_file,
    "engine_to_s3": engine_to_s3,
    "row_by_row": row_by_row,
    "pandas_apply": pandas_apply,
    "scan_and_hash": scan_and_hash,
}


def peak_mib() -> float:
    """Most memory that this process has had in use.

    ``VmHWM`` if /proc exists, else ``ru_maxrss``. On Linux ``ru_maxrss`` starts at the parent's value at the
    fork, so it may be too high, but hardly too low.
    """
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return most / MIB
    high_water = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    if high_water > most + 8 * MIB:  # the kernel counts pages in batches, so the two are never quite equal
        raise SystemExit(f"VmHWM {high_water} and ru_maxrss {most} cannot both be right")
    return high_water / MIB


def main() -> None:
    """Run one contender once."""
    name, source, target, rows, *port = sys.argv[1:]
    work = CONTENDERS[name]()
    task = Task(Path(source), Path(target), int(rows), int(port[0]) if port else 0)
    started = time.perf_counter()
    read, sent, detail = work(task)
    seconds = time.perf_counter() - started
    print(json.dumps(asdict(Result(read, seconds, peak_mib(), sent, detail))))


if __name__ == "__main__":
    main()
