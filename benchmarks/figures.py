"""What the benchmarks have in common: entries of the report, and processes of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

Figure = dict[str, Any]
Entry = tuple[Figure, str]
"""A figure, and what is wanted of it. That is printed, and never asserted: a benchmark that fails is one that people
stop running."""


def figure(
    name: str,
    value: float,
    unit: str,
    baseline: tuple[str, float] | None = None,
    *,
    digits: int | None = None,
) -> Figure:
    """One entry of the report.

    :param baseline: name and value of what it is compared with, in the same unit.
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


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child process that imports this package and the project's."""
    path = os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "NO_PROXY": "127.0.0.1", **more}
