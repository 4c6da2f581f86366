from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from audience_onboarding.errors import BucketNotFoundError, SourceNotFoundError, StorageUnavailableError
from audience_onboarding.storage.sources import local_copy
from tests.integration.storage.conftest import BUCKET, make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("key", ["crm/2026-11-16.csv", "crm/with space?and#sign é.csv", "no-suffix"])
def test_objects_are_copied_and_removed(s3: S3Client, tmp_path: Path, key: str) -> None:
    content = b"email\n" + b"a@x.example\n" * 200_000
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    with local_copy(f"s3://{BUCKET}/{key}", s3_client=lambda: s3, spill_dir=tmp_path) as path:
        assert path.read_bytes() == content
        assert path.suffix == Path(key).suffix
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not list(tmp_path.iterdir())


def test_the_copy_goes_on_errors(s3: S3Client, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    with (
        pytest.raises(KeyboardInterrupt),
        local_copy(f"s3://{BUCKET}/k", s3_client=lambda: s3, spill_dir=tmp_path),
    ):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_missing_object_and_bucket(s3: S3Client, tmp_path: Path) -> None:
    with (
        pytest.raises(SourceNotFoundError, match=f"s3://{BUCKET}/none.csv"),
        local_copy(f"s3://{BUCKET}/none.csv", s3_client=lambda: s3, spill_dir=tmp_path),
    ):
        pass
    with (
        pytest.raises(BucketNotFoundError),
        local_copy("s3://no-such-bucket/none.csv", s3_client=lambda: s3, spill_dir=tmp_path),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_nobody_listens(tmp_path: Path) -> None:
    client = make_client("http://127.0.0.1:9")
    with (
        pytest.raises(StorageUnavailableError),
        local_copy("s3://b/k", s3_client=lambda: client, spill_dir=tmp_path),
    ):
        pass
