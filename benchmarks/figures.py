"""Common parts of the benchmarks: entries of the report, and child processes."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

PYTHON_PATH = os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])
"""``PYTHONPATH`` of a child process: this package and the project's."""

Figure = dict[str, Any]
Entry = tuple[Figure, str]
"""A figure and its target. The target is printed and never asserted: people stop running a benchmark that fails."""


def figure(
    name: str,
    value: float,
    unit: str,
    baseline: tuple[str, float] | None = None,
    *,
    digits: int | None = None,
) -> Figure:
    """One entry of the report.

    :param baseline: name and value of the baseline, in the same unit.
    :param digits: after the point.
    """
    return {
        "name": name,
        "value": round(value, digits),
        "unit": unit,
        "baseline": {"name": baseline[0], "value": round(baseline[1], digits)} if baseline else None,
        "ratio": round(value / baseline[1], 3) if baseline and baseline[1] else None,
    }


def told(entry: Figure, wanted: str) -> str:
    """One line of text."""
    parts = [f"{entry['name']}: {entry['value']:,} {entry['unit']}".rstrip()]
    if entry["baseline"]:
        parts.append(f"{entry['ratio']:.2f} x {entry['baseline']['name']} ({entry['baseline']['value']:,})")
    return "; ".join([*parts, wanted] if wanted else parts)


def parse_datetime(text: str) -> datetime:
    """Parse a datetime in the format of Airflow's API and the sandbox."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
