"""The clock of a test run: ``make test CLOCK=+400d`` moves it in every Python process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from scripts.moved_clock import sitecustomize
from tests.children import child_env

NOW = datetime(2026, 12, 1, tzinfo=timezone.utc)
CLOSE = 60.0

READ = """
import sqlite3, time
((seconds,),) = sqlite3.connect(":memory:").execute("SELECT strftime('%s', CURRENT_TIMESTAMP)")
assert abs(int(seconds) - time.time()) < 60
print(time.time())
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+400d", timedelta(days=400)),
        ("-1d", timedelta(days=-1)),
        ("2028-02-29T12:00", datetime(2028, 2, 29, 12, tzinfo=timezone.utc) - NOW),
        ("2026-12-01T01:00+01:00", timedelta(0)),
    ],
)
def test_offset(text: str, expected: timedelta) -> None:
    assert sitecustomize.offset(text, NOW) == expected.total_seconds()


@pytest.mark.parametrize("text", ["", "400", "tomorrow"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is Python's
        sitecustomize.offset(text, NOW)


def test_this_run_reads_the_clock_that_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "now").touch()
    # The file system keeps the machine's time.
    expected = (tmp_path / "now").stat().st_mtime + float(os.environ.get("CLOCK_OFFSET", "0"))

    child = subprocess.run(
        [sys.executable, "-c", READ], env=child_env(base={}), capture_output=True, text=True, check=True
    )

    assert time.time() == pytest.approx(expected, abs=CLOSE)
    assert float(child.stdout) == pytest.approx(expected, abs=CLOSE)


def test_children_of_a_moved_process_are_moved() -> None:
    folder = str(Path(sitecustomize.__file__).parent)
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {READ!r}], check=True)"

    child = subprocess.run(
        [sys.executable, "-c", nested],
        env=child_env(folder, CLOCK_OFFSET="864000"),
        capture_output=True,
        text=True,
        check=True,
    )

    here = time.time() - float(os.environ.get("CLOCK_OFFSET", "0"))
    assert float(child.stdout) == pytest.approx(here + 864_000, abs=CLOSE)
