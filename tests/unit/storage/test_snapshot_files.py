"""The folder of snapshots: whole files only, readable by their owner."""

from __future__ import annotations

import io
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.exceptions as boto
import pytest

from audience_onboarding.exceptions import (
    ConfigurationError,
    SourceNotFoundError,
    StorageAccessError,
    StorageUnavailableError,
)
from audience_onboarding.storage.snapshot_files import (
    delete_snapshot,
    fetch_snapshot,
    save_snapshot,
    snapshot_url,
)


class FakeS3:
    """A bucket in memory; ``refuses`` is a code and status for every call."""

    def __init__(self, refuses: tuple[str, int] | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses = refuses

    def _call(self, operation: str) -> None:
        if self.refuses:
            code, status = self.refuses
            raise boto.ClientError(
                {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
                operation,
            )

    def upload_fileobj(self, stream: Any, bucket: str, key: str, **_: Any) -> None:
        self._call("PutObject")
        self.objects[f"{bucket}/{key}"] = stream.read()

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self._call("GetObject")
        body = io.BytesIO(self.objects[f"{Bucket}/{Key}"])
        return {"Body": SimpleNamespace(iter_chunks=lambda size: iter([body.read()]))}

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        self._call("DeleteObject")
        self.objects.pop(f"{Bucket}/{Key}", None)


def no_s3() -> Any:
    raise AssertionError("there is no S3 here")


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "made.parquet"
    path.write_bytes(b"PAR1 x")
    return path


def test_the_same_list_of_a_day_has_the_same_name() -> None:
    assert (
        snapshot_url("s3://b/x/", load_date="2026-11-20", content_id="ab") == "s3://b/x/2026-11-20-ab.parquet"
    )


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_local_folder(tmp_path: Path, snapshot: Path, scheme: str) -> None:
    url = f"{scheme}{tmp_path}/state/newsletter/x.parquet"
    for _ in range(2):
        save_snapshot(snapshot, url, s3_client=no_s3)

    found = fetch_snapshot(url, tmp_path / "unused", s3_client=no_s3)
    assert found == tmp_path / "state" / "newsletter" / "x.parquet"
    assert found.read_bytes() == b"PAR1 x"
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700
    assert [*found.parent.iterdir()] == [found]
    for _ in range(2):
        delete_snapshot(url, s3_client=no_s3)
    assert [*found.parent.iterdir()] == []


def test_a_bucket(tmp_path: Path, snapshot: Path) -> None:
    s3: Any = FakeS3()
    url = "s3://ours/state/newsletter/x.parquet"

    save_snapshot(snapshot, url, s3_client=lambda: s3)
    found = fetch_snapshot(url, tmp_path, s3_client=lambda: s3)

    assert s3.objects == {"ours/state/newsletter/x.parquet": b"PAR1 x"}
    assert (found.name, found.read_bytes()) == ("x.parquet", b"PAR1 x")
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    delete_snapshot(url, s3_client=lambda: s3)
    assert s3.objects == {}


@pytest.mark.parametrize("url", ["/nowhere/x.parquet", "s3://ours/x.parquet"])
def test_a_missing_snapshot_is_reported_with_an_action(tmp_path: Path, url: str) -> None:
    s3: Any = FakeS3(refuses=("NoSuchKey", 404))

    with pytest.raises(SourceNotFoundError, match=r"x\.parquet.*mode replace"):
        fetch_snapshot(url, tmp_path, s3_client=lambda: s3)


@pytest.mark.parametrize(
    ("refuses", "error"),
    [(("AccessDenied", 403), StorageAccessError), (("SlowDown", 503), StorageUnavailableError)],
)
def test_errors_of_s3_are_reported(
    tmp_path: Path, snapshot: Path, refuses: tuple[str, int], error: type[Exception]
) -> None:
    s3: Any = FakeS3(refuses=refuses)
    url = "s3://ours/x.parquet"

    for act in (
        lambda: save_snapshot(snapshot, url, s3_client=lambda: s3),
        lambda: fetch_snapshot(url, tmp_path, s3_client=lambda: s3),
        lambda: delete_snapshot(url, s3_client=lambda: s3),
    ):
        with pytest.raises(error):
            act()


def test_where_nothing_can_be_written(tmp_path: Path, snapshot: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(ConfigurationError, match="Snapshot folder not writable"):
        save_snapshot(snapshot, str(tmp_path / "file" / "x.parquet"), s3_client=no_s3)
    with pytest.raises(ConfigurationError, match="Snapshot folder not writable"):
        delete_snapshot(str(tmp_path / "file" / "x.parquet"), s3_client=no_s3)
