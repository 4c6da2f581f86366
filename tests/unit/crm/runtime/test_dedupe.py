"""Memory that is left in use after finding duplicates."""

from __future__ import annotations

import os
import re
from pathlib import Path

import polars as pl

from audience_onboarding.crm.runtime.dedupe import find_duplicates
from audience_onboarding.crm.runtime.frame_store import MIB, FrameStore

FRAMES, ROWS, FRAME_SIZE = 20, 100_000, 10 * MIB


def resident() -> int:
    """Bytes of memory that this process has, pages of mapped files included."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{os.getpid()}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def test_find_duplicates_few_of_many_rows_releases_frames(tmp_path: Path) -> None:
    """Each frame has one row that the first frame has, too. The peak of memory of long lists hangs on this."""
    values = FrameStore(tmp_path, "values", budget=0)
    prints = FrameStore(tmp_path, "prints", budget=0)
    for number in range(FRAMES):
        rows = pl.int_range(number * ROWS, (number + 1) * ROWS, eager=True).scatter(7, 7)
        names = pl.select(
            pl.lit("somebody-with-a-long-name-") + rows.cast(pl.String) + pl.lit("@" + "x" * 50)
        )
        values.add(names.select(pl.first().alias("email")))
        prints.add(pl.DataFrame({"fingerprint": rows.cast(pl.UInt64) * 2**40}))
    before = resident()

    found = find_duplicates(values, prints, budget=64 * MIB)

    assert found.count == FRAMES - 1
    assert all(places.to_list() == [7] for places in found.by_frame.values())
    assert resident() - before < 0.6 * FRAMES * FRAME_SIZE
