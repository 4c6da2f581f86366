from __future__ import annotations

from pathlib import Path

import pytest

from audience_onboarding.errors import ConfigurationError, SourceNotFoundError
from audience_onboarding.storage.sources import local_copy


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_local_files_are_used_where_they_are(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "crm?x#1.csv"
    path.touch()
    with local_copy(f"{prefix}{path}", s3_client=None) as local:
        assert local == path
    assert path.exists()


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="does not exist"), local_copy(str(tmp_path / "x.csv")):
        pass
    with pytest.raises(SourceNotFoundError, match="directory"), local_copy(str(tmp_path)):
        pass


@pytest.mark.parametrize(
    "url", ["ftp://host/x.csv", "https://host/x.csv", "s3://", "s3://bucket", "s3://bucket/", "s3:///key"]
)
def test_other_urls(url: str) -> None:
    with pytest.raises(ConfigurationError), local_copy(url):
        pass


def test_s3_needs_a_client() -> None:
    with pytest.raises(ConfigurationError, match="needs an S3 connection"), local_copy("s3://bucket/key"):
        pass
