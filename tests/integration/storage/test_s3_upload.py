from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, Identifier
from audience_onboarding.crm.prepare import CsvSource, prepare
from audience_onboarding.exceptions import (
    BucketNotFoundError,
    StorageUnavailableError,
    UploadConflictError,
)
from audience_onboarding.storage.s3_upload import PublishResult, publish_object
from audience_onboarding.storage.s3_write import (
    CONTENT_ID,
    ObjectExists,
    abort_incomplete_uploads,
    head_object,
    upload_once,
)
from tests.integration.storage.conftest import BUCKET, PART, make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.integration

KEY = "onboard/audience=69249/opt-in/20261116_000000.csv"
SMALL = b"email_sha256\r\nabc\r\n"
LARGE = b"0123456789abcdef" * (PART // 8 + 1)  # three parts
OTHER = b"email_sha256\r\nother\r\n"
CONTENTS = pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])


def chunks_of(content: bytes) -> Callable[[int], Iterator[bytes]]:
    return lambda size: (content[start : start + size] for start in range(0, len(content), size))


def publish(s3: S3Client, content: bytes, **settings: Any) -> PublishResult:
    arguments: dict[str, Any] = {
        "bucket": BUCKET,
        "key": KEY,
        "content_id": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "chunks": chunks_of(content),
        "part_size": PART,
        **settings,
    }
    return publish_object(s3, **arguments)


def stored(s3: S3Client, key: str = KEY) -> bytes:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def keys(s3: S3Client) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def open_uploads(s3: S3Client) -> list[str]:
    return [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


@CONTENTS
def test_new_object_and_the_same_content_again(s3: S3Client, content: bytes) -> None:
    result = publish(s3, content, metadata={"run-id": "r1"})
    assert stored(s3) == content
    seen = head_object(s3, bucket=BUCKET, key=KEY)
    assert seen is not None
    assert seen.size == result.size == len(content)
    assert seen.etag == result.etag
    assert seen.content_id == result.content_id
    assert seen.metadata == result.metadata == {"run-id": "r1", CONTENT_ID: result.content_id}
    assert (result.unchanged, result.overwritten) == (False, False)
    assert result.parts == (3 if content is LARGE else 0)
    written = s3.head_object(Bucket=BUCKET, Key=KEY)
    assert written["ContentType"] == "text/csv"
    assert open_uploads(s3) == []

    def untouched(_: int) -> Iterator[bytes]:
        raise AssertionError("the content was read")

    again = publish(s3, content, chunks=untouched, metadata={"run-id": "r2"}, overwrite=True)
    assert again.unchanged
    assert (again.etag, again.parts, again.metadata["run-id"]) == (result.etag, 0, "r1")
    assert s3.head_object(Bucket=BUCKET, Key=KEY)["LastModified"] == written["LastModified"]


@CONTENTS
def test_other_content_is_a_conflict_unless_it_supersedes(s3: S3Client, content: bytes) -> None:
    publish(s3, OTHER)
    with pytest.raises(UploadConflictError) as caught:
        publish(s3, content)
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)
    assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert stored(s3) == OTHER

    result = publish(s3, content, overwrite=True)
    assert (result.overwritten, result.unchanged) == (True, False)
    assert stored(s3) == content
    assert not publish(s3, content, key=f"{KEY}.new", overwrite=True).overwritten


def test_an_object_of_another_tool_is_a_conflict(s3: S3Client) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=SMALL)
    with pytest.raises(UploadConflictError, match="another tool"):
        publish(s3, SMALL)


@CONTENTS
def test_the_condition_holds_on_the_server(s3: S3Client, content: bytes) -> None:
    """Even where the first look saw nothing: the write itself is conditional."""
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=OTHER)
    for settings in ({}, {"overwrite": True, "expected_etag": '"0"'}):
        with pytest.raises(ObjectExists):
            upload_once(
                s3, bucket=BUCKET, key=KEY, chunks=chunks_of(content), metadata={}, part_size=PART, **settings
            )  # type: ignore[arg-type]
        assert stored(s3) == OTHER
        assert open_uploads(s3) == []


class Terminated(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, Terminated])
@pytest.mark.parametrize("good_parts", [2, 3])
def test_interrupted_half_way(s3: S3Client, error: type[BaseException], good_parts: int) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        for _ in range(good_parts):
            yield bytes(size)
        assert open_uploads(s3) == [KEY]
        raise error

    with pytest.raises(error):
        publish(s3, LARGE, chunks=chunks)
    assert open_uploads(s3) == []
    assert keys(s3) == []


def test_a_part_that_fails(s3: S3Client, s3_url: str) -> None:
    broken = make_client(s3_url)

    def fail(request: Any, **_: Any) -> None:
        if "partNumber=2" in request.url:
            request.url = "http://127.0.0.1:9/"  # nobody listens on the discard port

    broken.meta.events.register("before-send.s3.UploadPart", lambda request, **_: fail(request))
    with pytest.raises(StorageUnavailableError, match="UploadPart"):
        publish(broken, LARGE)
    assert open_uploads(s3) == []
    assert keys(s3) == []
    assert not publish(s3, LARGE).unchanged


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_a_lost_answer_leaves_no_second_upload(s3: S3Client, s3_url: str, *, is_interrupted: bool) -> None:
    """The client itself asks again for an upload of which it has not heard: then there are two."""
    impatient = make_client(s3_url)
    impatient.meta.events.register_first(
        "needs-retry.s3.CreateMultipartUpload", lambda attempts, **_: 0 if attempts == 1 else None
    )

    def chunks(size: int) -> Iterator[bytes]:
        for number, block in enumerate(chunks_of(LARGE)(size)):
            assert open_uploads(s3) == ([KEY, KEY] if number > 1 else [])
            if is_interrupted and number > 1:
                raise KeyboardInterrupt
            yield block

    with pytest.raises(KeyboardInterrupt) if is_interrupted else nullcontext():
        publish(impatient, LARGE, chunks=chunks)
    assert open_uploads(s3) == []
    assert keys(s3) == ([] if is_interrupted else [KEY])


def test_leftovers_are_aborted(s3: S3Client) -> None:
    for key in (KEY, KEY, f"{KEY}.other"):
        s3.create_multipart_upload(Bucket=BUCKET, Key=key)
    publish(s3, SMALL)
    assert open_uploads(s3) == [f"{KEY}.other"]
    assert abort_incomplete_uploads(s3, bucket=BUCKET, key=KEY) == 0
    # The server may carry out a request to begin an upload after the upload has finished.
    s3.create_multipart_upload(Bucket=BUCKET, Key=KEY)
    assert publish(s3, SMALL).unchanged
    assert open_uploads(s3) == [f"{KEY}.other"]
    for _ in range(3):
        s3.create_multipart_upload(Bucket=BUCKET, Key=KEY)
    assert abort_incomplete_uploads(s3, bucket=BUCKET, key=KEY) == 3
    assert open_uploads(s3) == [f"{KEY}.other"]


def test_two_writers_at_once(s3: S3Client, s3_url: str) -> None:
    start = threading.Barrier(4)
    results: list[PublishResult | BaseException] = []

    def write(content: bytes) -> None:
        client = make_client(s3_url)
        start.wait()
        try:
            results.append(publish(client, content))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in (SMALL, SMALL, OTHER, OTHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [result for result in results if isinstance(result, PublishResult) and not result.unchanged]
    same = [result for result in results if isinstance(result, PublishResult) and result.unchanged]
    conflicts = [result for result in results if isinstance(result, UploadConflictError)]
    assert (len(written), len(same), len(conflicts)) == (1, 1, 2)
    assert hashlib.sha256(stored(s3)).hexdigest() == written[0].content_id


def test_missing_bucket_and_key(s3: S3Client) -> None:
    assert head_object(s3, bucket=BUCKET, key=KEY) is None
    with pytest.raises(BucketNotFoundError, match="no-such-bucket"):
        publish(s3, SMALL, bucket="no-such-bucket")
    with pytest.raises(BucketNotFoundError):
        head_object(s3, bucket="no-such-bucket", key=KEY)
    with pytest.raises(BucketNotFoundError):
        upload_once(s3, bucket="no-such-bucket", key=KEY, chunks=chunks_of(LARGE), metadata={})


def test_a_refused_connection_is_transient() -> None:
    with pytest.raises(StorageUnavailableError):
        publish(make_client("http://127.0.0.1:9"), SMALL)


def test_a_prepared_load_in_parts_of_the_real_size(
    s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    path = tmp_path / "crm.csv"
    path.write_text("E-mail\n" + "".join(f"p{number}@x.example\n" for number in range(90_000)))
    columns = {Identifier.EMAIL: "E-mail"}
    with prepare(CsvSource(path), columns=columns, profile=DIGITAL_AUDIENCE_S3, memory_limit_mib=256) as load:
        settings = {"content_id": load.content_id, "size": load.size, "chunks": load.chunks}
        result = publish(s3, b"", part_size=5 * 1024 * 1024, **settings)
        assert result.parts == 2
        assert stored(s3) == b"".join(load.chunks(1000))
        assert publish(s3, b"", **settings, part_size=5 * 1024 * 1024).unchanged
