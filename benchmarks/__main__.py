"""``make bench``: cost of the package, each figure next to a baseline of the same run.

Writes ``build/bench.json``, a list of figures: name, value, unit, baseline (name, value), ratio (value / baseline). Of
figures with nothing to compare them with, baseline and ratio are null.
Machines differ and are noisy: only the ratios of one run are comparable. docs/explanation/benchmarks.md describes the
comparisons and the settings that each part reads from the environment::

    python -m benchmarks [--only NAME ...] [--out FILE] [--folder FOLDER]

A name is that of a part, or of a contender of the engine: each named contender's rate and memory are then measured
alone. With ``--only`` the figures go to ``build/bench-only.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import burst, crm, page, parsing, runs, waiting
from benchmarks.figures import ROOT, Entry, told

PARTS: Mapping[str, Callable[[Path, Mapping[str, str]], Iterator[Entry]]] = {
    "crm": crm.figures,
    "page": page.figures,
    "parsing": parsing.figures,
    "waiting": waiting.figures,
    "runs": runs.figures,
    "burst": burst.figures,
}


def main() -> int:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the cost of the package"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[*PARTS, *crm.NAMES],
        default=[],
        help="run this one only (repeatable)",
    )
    parser.add_argument("--out", type=Path, help="file to write")
    parser.add_argument("--folder", type=Path, help="folder for temporary files")
    arguments = parser.parse_args()
    report: Path = arguments.out or ROOT / "build" / ("bench-only.json" if arguments.only else "bench.json")
    alone = [name for name in arguments.only if name in crm.NAMES]
    entries: list[Entry] = []
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as name:
        folder = Path(name)
        if alone:
            entries += crm.figures(folder, os.environ, only=alone)
        for part, figures in PARTS.items():
            if part in arguments.only or not arguments.only:
                print(f"== {part}", flush=True)
                entries += figures(folder, os.environ)
    print()
    for entry, wanted in entries:
        print(told(entry, wanted))
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps([entry for entry, _ in entries], indent=2) + "\n")
    print(f"Written to {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
