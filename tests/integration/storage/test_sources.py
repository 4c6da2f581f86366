from __future__ import annotations

import gzip
import io
import socketserver
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import zstandard

from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    BucketNotFoundError,
    SourceFormatError,
    SourceNotFoundError,
    StorageAccessError,
    StorageUnavailableError,
)
from audience_onboarding.storage.file_sources import resolve_source, source_exists
from tests.integration.storage.conftest import BUCKET, make_client
from tests.unit.crm.reading import column, read
from tests.unit.crm.workbooks import xlsx

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration

ROWS = 60_000


def text_of(rows: int) -> bytes:
    return b"email,phone\n" + b"".join(b"user%d@x.example,06%08d\n" % (n, n) for n in range(rows))


TEXT = text_of(ROWS)


def fill(s3: S3Client, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=f"email\n{key}\n".encode())


def find(s3: S3Client, key: str) -> Any:
    """Find one object."""
    return resolve_source(f"s3://{BUCKET}/{key}", s3_client=lambda: s3)


def test_text_is_streamed(s3: S3Client, tmp_path: Path) -> None:
    keys = {
        "crm/2026-11-16.csv": 200_000,
        "crm/with space?and#sign [é]*.csv": 9,
        "no-suffix": 9,
        "a//b.csv": 9,
    }
    for key, rows in keys.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=text_of(rows))
        source = find(s3, key)
        assert source.name == f"s3://{BUCKET}/{key}"
        with source.open(["email"], tmp_path) as reading:
            for block in reading.blocks:
                rows -= block.read().frame.height  # noqa: PLW2901
                assert not list(tmp_path.iterdir())
        assert rows == 0


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_compressed_text_is_unpacked_while_it_comes(s3: S3Client, tmp_path: Path, pack: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="crm.csv.x", Body=pack(TEXT))
    assert len(read(find(s3, "crm.csv.x"), ["phone"], tmp_path).rows) == ROWS
    s3.put_object(Bucket=BUCKET, Key="crm.csv.x", Body=pack(TEXT)[:-5])
    with pytest.raises(SourceFormatError, match=f"cut off.*s3://{BUCKET}/crm.csv.x"):
        read(find(s3, "crm.csv.x"), ["phone"], tmp_path)


def test_gzip_that_the_storage_knows_of(s3: S3Client, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="crm.csv", Body=gzip.compress(TEXT), ContentEncoding="gzip")
    assert len(read(find(s3, "crm.csv"), ["phone"], tmp_path).rows) == ROWS


def test_how_text_is_read(s3: S3Client, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="crm.csv", Body="naam;plaats\nJosé;Köln\n".encode("utf-16"))
    options = SourceOptions(delimiter="auto", encoding="auto", quote="auto")
    source = resolve_source(f"s3://{BUCKET}/crm.csv", s3_client=lambda: s3, options=options)
    assert read(source, ["plaats", "naam"], tmp_path).rows == [("Köln", "José")]


def parquet() -> bytes:
    out = io.BytesIO()
    pl.DataFrame({"email": ["a"], "phone": [612345678.0]}).write_parquet(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("key", "content"),
    [("x.parquet", parquet()), ("x.xlsx", xlsx([["email", "phone"], ["a", 612345678]]))],
)
def test_tables_are_copied_to_the_private_directory_for_as_long_as_it_takes(
    s3: S3Client, tmp_path: Path, key: str, content: bytes
) -> None:
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    source = resolve_source(f"s3://{BUCKET}/{key}", s3_client=lambda: s3)
    assert source.name == f"s3://{BUCKET}/{key}"
    with source.open(["email"], tmp_path):
        (copy,) = tmp_path.iterdir()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert copy.read_bytes() == content
    assert not list(tmp_path.iterdir())
    assert read(source, ["email", "phone"], tmp_path).rows == [("a", "612345678")]
    s3.put_object(Bucket=BUCKET, Key=key, Body=content[:-20])
    source = resolve_source(f"s3://{BUCKET}/{key}", s3_client=lambda: s3)
    with pytest.raises(SourceFormatError, match=f"s3://{BUCKET}/{key}"):
        read(source, ["email"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_patterns_and_folders(s3: S3Client, tmp_path: Path) -> None:
    hidden = ("crm/_SUCCESS", "crm/.crc", "crm/sub/deep.csv")
    fill(s3, "crm/2.csv", "crm/10.csv", "crm/a b.csv", *hidden, "top.csv")
    s3.put_object(Bucket=BUCKET, Key="crm/", Body=b"")  # how the console makes a folder
    files = ["crm/10.csv", "crm/2.csv", "crm/a b.csv"]
    patterns = {
        "crm/*.csv": files,
        "crm/?.csv": ["crm/2.csv"],
        "crm/[0-9]*": ["crm/10.csv", "crm/2.csv"],
        "crm/": files,
        "crm/_*": ["crm/_SUCCESS"],
        "*/sub/*.csv": ["crm/sub/deep.csv"],
        "c*/*": files,
        "": ["top.csv"],
        "*": ["top.csv"],
        "crm/2.csv": ["crm/2.csv"],
    }
    for pattern in patterns:
        assert source_exists(f"s3://{BUCKET}/{pattern}", lambda: s3), pattern
    assert {pattern: column(find(s3, pattern), "email", tmp_path) for pattern in patterns} == patterns


def test_missing_sources_and_buckets(s3: S3Client, tmp_path: Path) -> None:
    fill(s3, "crm/x.txt", "none.csv.part")
    for place in ("none.csv", "none/", "*.csv", "none/*/x.csv"):
        url = f"s3://{BUCKET}/{place}"
        assert not source_exists(url, lambda: s3)
        with pytest.raises(SourceNotFoundError) as caught:
            read(resolve_source(url, s3_client=lambda: s3), ["email"], tmp_path)
        assert caught.value.where == url

        url = f"s3://no-such-bucket/{place}"
        with pytest.raises(BucketNotFoundError):
            source_exists(url, lambda: s3)
        with pytest.raises(BucketNotFoundError):
            read(resolve_source(url, s3_client=lambda: s3), ["email"], tmp_path)


def test_a_refused_connection_is_transient(tmp_path: Path) -> None:
    client = make_client("http://127.0.0.1:9")
    for url in ("s3://b/k", "s3://b/k/", "s3://b/*"):
        with pytest.raises(StorageUnavailableError):
            source_exists(url, lambda: client)
        with pytest.raises(StorageUnavailableError):
            read(resolve_source(url, s3_client=lambda: client), ["email"], tmp_path)


def test_an_object_is_the_same_one_each_time(s3: S3Client, tmp_path: Path) -> None:
    fill(s3, "crm/1.csv", "crm/2.csv")
    one = resolve_source(f"s3://{BUCKET}/crm/1.csv", s3_client=lambda: s3)
    assert column(one, "email", tmp_path) == ["crm/1.csv"]
    assert column(one, "email", tmp_path) == ["crm/1.csv"]
    many = resolve_source(f"s3://{BUCKET}/crm/", s3_client=lambda: s3)
    s3.put_object(Bucket=BUCKET, Key="crm/2.csv", Body=b"email\nnew\n")
    s3.put_object(Bucket=BUCKET, Key="crm/1.csv", Body=b"email\nnew\n")
    for source in (one, many):
        with pytest.raises(StorageUnavailableError, match="replaced during"):
            read(source, ["email"], tmp_path)
    assert column(resolve_source(f"s3://{BUCKET}/crm/", s3_client=lambda: s3), "email", tmp_path) == [
        "new",
        "new",
    ]


# --- storage that does not keep its word ----------------------------------------------------------------------


@contextmanager
def storage(answers: Sequence[bytes]) -> Iterator[S3Client]:
    """Gives these answers to one request each, and hangs up after it."""
    left = list(answers)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(left.pop(0))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield make_client(f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()


def answer(body: bytes, *, promised: int | None = None, status: str = "200 OK") -> bytes:
    size = len(body) if promised is None else promised
    return (
        f'HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\nETag: "e"\r\n\r\n'.encode()
        + body
    )


@pytest.mark.parametrize("key", ["x.csv", "x.parquet"])
@pytest.mark.parametrize("cut", [0, 5, 100_000, len(TEXT) - 1])
def test_a_download_that_breaks_off_may_be_tried_again(tmp_path: Path, key: str, cut: int) -> None:
    with storage([answer(TEXT[:cut], promised=len(TEXT))]) as client:
        source = resolve_source(f"s3://b/{key}", s3_client=lambda: client)
        with pytest.raises(
            StorageUnavailableError, match=f"interrupted.*s3://b/{key}.*of {len(TEXT)} bytes"
        ) as caught:
            read(source, ["email"], tmp_path)
    assert "x.example" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("status", "error"),
    [("403 Forbidden", StorageAccessError), ("503 Slow Down", StorageUnavailableError)],
)
def test_refusals(tmp_path: Path, status: str, error: type[AudienceOnboardingError]) -> None:
    for url in ("s3://b/k", "s3://b/k/"):
        with storage([answer(b"", status=status)]) as client, pytest.raises(error):
            read(resolve_source(url, s3_client=lambda client=client: client), ["email"], tmp_path)  # type: ignore[misc]
        with storage([answer(b"", status=status)]) as client, pytest.raises(error):
            source_exists(url, lambda client=client: client)  # type: ignore[misc]


def test_a_missing_object_where_the_bucket_may_not_be_looked_at() -> None:
    with storage([answer(b"", status="404 Not Found"), answer(b"", status="403 Forbidden")]) as client:
        assert not source_exists("s3://b/k", lambda: client)


def test_more_objects_than_one_page_lists(tmp_path: Path) -> None:
    pages = [
        answer(
            f"<ListBucketResult><IsTruncated>{str(number == 1).lower()}</IsTruncated><NextContinuationToken>t"
            f'</NextContinuationToken><Contents><Key>crm/{number}.csv</Key><ETag>"e"</ETag></Contents>'
            "</ListBucketResult>".encode()
        )
        for number in (1, 2)
    ]
    with storage([*pages, answer(b"email\na\n"), answer(b"email\nb\n")]) as client:
        source = resolve_source("s3://b/crm/", s3_client=lambda: client)
        assert column(source, "email", tmp_path) == ["a", "b"]
