"""``kill -9`` in the middle of a load: nothing is published, and the next run leaves nothing behind.

    python -m tests.integration.storage.test_killed_load STAGE S3_URL SOURCE SPILL_DIRECTORY

is the process that is killed: it loads, and stops for ever at the stage that the test wants.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from audience_onboarding.crm import prepare
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, Identifier
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.storage import s3_write
from audience_onboarding.storage.s3_upload import PublishResult, publish_object
from scripts.local_stack import wait_for
from tests.children import PLUGINS, child_env
from tests.integration.killed import PROJECT
from tests.integration.storage.conftest import BUCKET, PART, make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

KEY = "onboard/audience=69249/replace/20261116_000000.csv"
ROWS = 2_000
PARTS = 3
PART_SIZE = 100 * 1024
READING, SENDING = "reading", "sending"


def load(client: S3Client, source: CsvSource, spill: Path) -> tuple[PublishResult, bytes]:
    """The load, from the extract to the object; and what it should have written."""
    with prepare.prepare(
        source,
        columns={Identifier.EMAIL: "email", Identifier.PHONE: "phone"},
        profile=DIGITAL_AUDIENCE_S3,
        spill_dir=spill,
        threads=1,
    ) as prepared:
        assert prepared.size is not None
        result = publish_object(
            client,
            bucket=BUCKET,
            key=KEY,
            content_id=prepared.content_id,
            size=prepared.size,
            chunks=prepared.chunks,
            part_size=PART_SIZE,
        )
        return result, b"".join(prepared.chunks(PART_SIZE))


# --- the process that is killed


class _Stuck:
    """A file of which the end never comes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        block = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(block)
        if not block:
            threading.Event().wait()
        return block

    def seekable(self) -> bool:
        return False


def main() -> None:
    """Load as :func:`load` does, but only so far."""
    stage, url, path, spill = sys.argv[1:]
    client = make_client(url)
    # So little memory that rows go to the disk at once, which is what must not stay there.
    prepare.MIB = 16  # type: ignore[attr-defined]
    s3_write.MIN_PART_SIZE, s3_write.MIB = PART, 1
    source = CsvSource(Path(path), block_size=PART)
    if stage == READING:

        @contextmanager
        def stuck() -> Iterator[Any]:
            with Path(path).open("rb") as file:
                yield _Stuck(file, os.path.getsize(path) - 1000)

        source = CsvSource(stream=stuck, block_size=PART)
    else:

        def hold(request: Any, **_: Any) -> None:
            if f"partNumber={PARTS}" in request.url:
                threading.Event().wait()

        client.meta.events.register("before-send.s3.UploadPart", hold)
    load(client, source, Path(spill))


@contextmanager
def killed_in(stage: str, url: str, path: Path, spill: Path, log: Path) -> Iterator[Callable[[], bool]]:
    """Start the process, and kill it with SIGKILL at the end of the block. Gives whether it still runs."""
    command = [
        sys.executable, "-m", "tests.integration.storage.test_killed_load", stage, url, str(path), str(spill)
    ]  # fmt: skip
    env = child_env(PROJECT, PLUGINS)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield lambda: process.poll() is None
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.wait()
    assert process.returncode == -signal.SIGKILL


# --- the tests


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    path = tmp_path / "crm.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("email,phone\n")
        file.writelines(f"Person{number}@X.example,06-{10_000_000 + number}\n" for number in range(ROWS))
    return path


@pytest.fixture
def spill(tmp_path: Path) -> Path:
    path = tmp_path / "spill"
    path.mkdir()
    return path


def uploads(s3: S3Client) -> set[str]:
    """Ids of the open uploads."""
    return {upload["UploadId"] for upload in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])}


def has_sent(s3: S3Client, before: Collection[str] = ()) -> bool:
    """Whether a part of an upload that was not there before is at the server."""
    return any(
        s3.list_parts(Bucket=BUCKET, Key=KEY, UploadId=upload).get("Parts")
        for upload in uploads(s3).difference(before)
    )


def spilled(spill: Path) -> list[Path]:
    """Files of rows."""
    return list(spill.glob("*/values-*"))


def keys(s3: S3Client) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def run_again(s3: S3Client, extract: Path, spill: Path) -> None:
    """The next run of the same load: everything as if nothing had happened."""
    (orphan,) = spill.iterdir()
    assert stat.S_IMODE(orphan.stat().st_mode) == 0o700
    result, content = load(s3, CsvSource(extract), spill)
    assert (result.unchanged, result.overwritten, result.parts) == (False, False, PARTS)
    assert keys(s3) == [KEY]
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == content
    assert content.count(b"\r\n") == ROWS + 1
    assert uploads(s3) == set()
    assert not list(spill.iterdir())


def test_killed_while_reading(s3: S3Client, s3_url: str, extract: Path, spill: Path, tmp_path: Path) -> None:
    with killed_in(READING, s3_url, extract, spill, tmp_path / "log") as runs:
        wait_for(
            lambda: not runs() or spilled(spill), "The first rows on the disk", timeout=120, interval=0.05
        )
    assert keys(s3) == []
    assert uploads(s3) == set()
    run_again(s3, extract, spill)


def test_killed_twice_while_sending(
    s3: S3Client, s3_url: str, extract: Path, spill: Path, tmp_path: Path
) -> None:
    """The second run cleans up after the first, and the third after the second."""
    aborted: set[str] = set()
    gone = spill / "none"

    def sends(runs: Callable[[], bool]) -> bool:
        return not runs() or has_sent(s3, aborted)

    for number in range(2):
        with killed_in(SENDING, s3_url, extract, spill, tmp_path / f"log-{number}") as runs:
            wait_for(partial(sends, runs), "The first part", timeout=120, interval=0.05)
        assert keys(s3) == []
        assert len(uploads(s3)) == 1
        assert uploads(s3).isdisjoint(aborted)
        assert not gone.exists()
        assert spilled(spill)
        aborted = uploads(s3)
        (gone,) = spill.iterdir()
    run_again(s3, extract, spill)


if __name__ == "__main__":
    main()
