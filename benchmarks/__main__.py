"""``make bench``: how fast the engine is, beside the loop that scripts usually are.

Writes ``build/bench.json``: name, value, unit, baseline, ratio (value / baseline). Machines differ and are noisy: only
the ratios of one run mean something. ``ROWS`` sets the number of rows, 500,000 by default.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from audience_onboarding.crm.engine import CsvSource, prepare
from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3, Identifier

ROUNDS = 3
PART = 8 * 1024 * 1024


def write_extract(path: Path, rows: int) -> None:
    """An extract of distinct people, written in the ways people write."""
    rng = random.Random(7)  # noqa: S311 - sample data
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "email", "phone"])
        for number in range(rows):
            phone = f"06{rng.randrange(10_000_000, 100_000_000)}"
            writer.writerow(
                [number, f"Person{number}@Example.com ", phone if number % 2 else f"+31 {phone[1:]}"]
            )


def engine(source: Path, target: Path) -> int:
    """Our engine, with all its rules."""
    columns = {Identifier.EMAIL: "email", Identifier.PHONE: "phone"}
    with (
        prepare(CsvSource(path=source), columns=columns, profile=DIGITAL_AUDIENCE_S3) as load,
        target.open("wb") as out,
    ):
        for chunk in load.chunks(PART):
            out.write(chunk)
        return load.report.rows_sent


def row_by_row(source: Path, target: Path) -> int:
    """The usual script: the csv module and hashlib, no rules, no deduplication."""
    with source.open(encoding="utf-8", newline="") as file, target.open("w", encoding="utf-8") as out:
        out.write("email_sha256,phone_sha256\r\n")
        rows = 0
        for row in csv.DictReader(file):
            email = row["email"].strip().lower()
            phone = row["phone"].replace(" ", "").replace("+", "").replace("-", "")
            phone = f"31{phone[1:]}" if phone.startswith("0") else phone
            hashes = (hashlib.sha256(value.encode()).hexdigest() for value in (email, phone))
            out.write(",".join(hashes) + "\r\n")
            rows += 1
    return rows


def rate(work: Callable[[Path, Path], int], source: Path, target: Path, rows: int) -> float:
    """Rows per second, of one round."""
    started = time.perf_counter()
    sent = work(source, target)
    seconds = time.perf_counter() - started
    if sent != rows:
        raise SystemExit(f"{work.__name__} sent {sent} of {rows} rows")
    return rows / seconds


def main() -> int:
    """Measure, print and write the figures."""
    rows = int(os.environ.get("ROWS", "500000"))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "extract.csv", Path(folder) / "out.csv"
        write_extract(source, rows)
        # Interleaved, so that a slow moment of the machine hits both.
        rounds = [
            (rate(engine, source, target, rows), rate(row_by_row, source, target, rows))
            for _ in range(ROUNDS)
        ]
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    figures = [
        {
            "name": f"CRM engine, {rows:,} rows, e-mail and phone, all rules",
            "value": round(ours),
            "unit": "rows/s",
            "baseline": {"name": "csv and hashlib row by row, no rules", "value": round(theirs)},
            "ratio": round(ours / theirs, 2),
        }
    ]
    report = Path("build") / "bench.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps(figures, indent=2) + "\n")
    for figure in figures:
        print(f"{figure['name']}: {figure['value']:,} {figure['unit']}, {figure['ratio']} x the baseline")
    print(f"Written to {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
