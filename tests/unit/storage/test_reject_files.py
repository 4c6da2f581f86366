"""The list of rejects: where it goes, as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from audience_onboarding.exceptions import ConfigurationError, StorageAccessError
from audience_onboarding.storage.reject_files import rejects_url, write_rejects

BLOCKS = [b"file,row\n", b"", b"a,1\n" * 1000, b"b,2\n"]
CONTENT = b"".join(BLOCKS)


@pytest.mark.parametrize(
    ("folder", "run_id", "url"),
    [
        ("/rejects/news", "manual__1", "/rejects/news/2026-11-20-manual__1.csv"),
        ("s3://b/x/", "a:b+c/d~e é", "s3://b/x/2026-11-20-a-b-c-d-e--.csv"),
        ("/r", "x" * 250, f"/r/2026-11-20-{'x' * 200}.csv"),
    ],
)
def test_a_run_has_a_file_of_its_own_that_every_system_takes(folder: str, run_id: str, url: str) -> None:
    assert rejects_url(folder, load_date="2026-11-20", run_id=run_id) == url


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_is_for_its_owner_only_and_takes_the_place_of_an_older_one(
    tmp_path: Path, scheme: str
) -> None:
    path = tmp_path / "new" / "folder" / "x.csv"
    for blocks in ([b"older"], BLOCKS):
        write_rejects(f"{scheme}{path}", iter(blocks))

    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [*path.parent.iterdir()] == [path]


class EngineError(Exception):
    """The engine fails while it hands out the list."""


def broken() -> Iterator[bytes]:
    yield b"file,row\n"
    raise EngineError


def test_half_a_list_never_appears(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"older")

    with pytest.raises(EngineError):
        write_rejects(str(path), broken())

    assert path.read_bytes() == b"older"
    assert [*tmp_path.iterdir()] == [path]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigurationError, match=r"Writing the rejects failed, so nothing is sent.*file/x\.csv.*'rejects'"
    ):
        write_rejects(str(tmp_path / "file" / "x.csv"), iter(BLOCKS))
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(ConfigurationError, match="Writing the rejects failed"):
        write_rejects(str(tmp_path / "x.csv"), iter(BLOCKS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "x.csv"]
    for url in ("ftp://host/x.csv", "s3:///x.csv", "s3://b/x.csv"):
        with pytest.raises(ConfigurationError, match="Invalid path of the rejects"):
            write_rejects(url, iter(BLOCKS))


class Client:
    """As much of S3 as an upload needs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.uploads: list[tuple[str, str, bytes, Any]] = []

    def upload_fileobj(self, stream: Any, bucket: str, key: str, **more: Any) -> None:
        if self.error:
            raise self.error
        pieces = []
        while piece := stream.read(1500):
            pieces.append(piece)
        assert all(len(piece) == 1500 for piece in pieces[:-1])
        self.uploads.append((bucket, key, b"".join(pieces), more["ExtraArgs"]))


def test_a_list_is_streamed_to_s3() -> None:
    client: Any = Client()

    write_rejects("s3://ours/rejects/x.csv", iter(BLOCKS), s3_client=lambda: client)

    assert client.uploads == [("ours", "rejects/x.csv", CONTENT, {"ContentType": "text/csv; charset=utf-8"})]


def test_what_s3_refuses_is_an_error_of_ours() -> None:
    answer: Any = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    client: Any = Client(ClientError(answer, "PutObject"))

    with pytest.raises(StorageAccessError, match=r"s3://ours/x\.csv"):
        write_rejects("s3://ours/x.csv", iter(BLOCKS), s3_client=lambda: client)


def test_the_real_client_takes_such_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.stub import ANY, Stubber

    client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
    with Stubber(client) as stub:
        stub.add_response(
            "put_object",
            {},
            {
                "Bucket": "ours",
                "Key": "x.csv",
                "Body": ANY,
                "ContentType": "text/csv; charset=utf-8",
                "ChecksumAlgorithm": ANY,
            },
        )
        write_rejects("s3://ours/x.csv", iter(BLOCKS), s3_client=lambda: client)
        stub.assert_no_pending_responses()
