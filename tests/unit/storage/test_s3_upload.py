"""Behaviour that a real S3 server cannot be made to show: no conditions, keys that may only write, lost races."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import botocore.exceptions as boto
import pytest

from audience_onboarding.exceptions import (
    AccountingError,
    ConditionalWriteUnsupportedError,
    ConfigurationError,
    StorageAccessError,
    StorageUnavailableError,
    UploadConflictError,
)
from audience_onboarding.storage import s3_write
from audience_onboarding.storage.s3_upload import PublishResult, publish_object
from audience_onboarding.storage.s3_write import CONTENT_ID, MIB, upload_once

CONTENT = b"email_sha256\r\nabc\r\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


def refusal(code: str, status: int, operation: str) -> boto.ClientError:
    return boto.ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )  # type: ignore[typeddict-item]


class NoSuchUploadError(boto.ClientError):
    pass


class FakeS3:
    """One key of one bucket. ``refuse`` maps an operation, or one with a condition, to a code and status."""

    def __init__(
        self, *, stored: bytes | None = None, refuse: dict[str, tuple[str, int]] | None = None
    ) -> None:
        self.stored = stored
        self.metadata = {CONTENT_ID: hashlib.sha256(stored).hexdigest()} if stored is not None else {}
        self.refuse = refuse or {}
        self.calls: list[str] = []
        self.parts: dict[int, bytes] = {}
        self.before_commit: Callable[[], None] = lambda: None
        self.exceptions = SimpleNamespace(NoSuchUpload=NoSuchUploadError)

    def store(self, content: bytes | None, metadata: dict[str, str]) -> None:
        """Change the object behind the back of an upload."""
        self.stored, self.metadata = content, metadata

    def _called(self, name: str, **arguments: Any) -> None:
        self.calls.append(name)
        condition = next((key for key in ("IfNoneMatch", "IfMatch") if key in arguments), "")
        for key in (name, f"{name} {condition}"):
            if key in self.refuse:
                raise refusal(*self.refuse[key], name)

    def _etag(self) -> str:
        return f'"{hashlib.md5(self.stored or b"", usedforsecurity=False).hexdigest()}"'

    def head_object(self, **_: Any) -> dict[str, Any]:
        self._called("head_object")
        if self.stored is None:
            raise refusal("404", 404, "HeadObject")
        return {
            "ETag": self._etag(),
            "ContentLength": len(self.stored),
            "LastModified": datetime(2026, 11, 16, tzinfo=timezone.utc),
            "Metadata": self.metadata,
        }

    def head_bucket(self, **_: Any) -> dict[str, Any]:
        self._called("head_bucket")
        return {}

    def get_paginator(self, _: str) -> Any:
        def paginate(**_: Any) -> Iterator[dict[str, Any]]:
            self._called("list_multipart_uploads")
            yield {"Uploads": []}

        return SimpleNamespace(paginate=paginate)

    def _commit(self, name: str, body: bytes, arguments: dict[str, Any]) -> dict[str, Any]:
        self.before_commit()
        self._called(name, **arguments)
        if arguments.get("IfNoneMatch") == "*" and self.stored is not None:
            raise refusal("PreconditionFailed", 412, name)
        if "IfMatch" in arguments and self.stored is None:
            raise refusal("NoSuchKey", 404, name)
        if "IfMatch" in arguments and arguments["IfMatch"] != self._etag():
            raise refusal("PreconditionFailed", 412, name)
        self.stored = body
        self.metadata = arguments.get("Metadata", self.metadata)
        return {"ETag": self._etag()}

    def put_object(self, **arguments: Any) -> dict[str, Any]:
        return self._commit("put_object", arguments["Body"], arguments)

    def create_multipart_upload(self, **arguments: Any) -> dict[str, Any]:
        self._called("create_multipart_upload")
        self.new_metadata = arguments["Metadata"]
        return {"UploadId": "u1", "ResponseMetadata": {"RetryAttempts": 0}}

    def upload_part(self, **arguments: Any) -> dict[str, Any]:
        self._called("upload_part")
        self.parts[arguments["PartNumber"]] = arguments["Body"]
        return {"ETag": f'"{arguments["PartNumber"]}"'}

    def complete_multipart_upload(self, **arguments: Any) -> dict[str, Any]:
        body = b"".join(self.parts[part["PartNumber"]] for part in arguments["MultipartUpload"]["Parts"])
        return self._commit("complete_multipart_upload", body, {**arguments, "Metadata": self.new_metadata})

    def abort_multipart_upload(self, **_: Any) -> None:
        self._called("abort_multipart_upload")


def chunks_of(content: bytes) -> Callable[[int], Iterator[bytes]]:
    return lambda size: (content[start : start + size] for start in range(0, len(content), size))


def publish(s3: FakeS3, content: bytes = CONTENT, **settings: Any) -> PublishResult:
    arguments = {
        "content_id": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "chunks": chunks_of(content),
        "part_size": 1024,
        **settings,
    }
    return publish_object(s3, bucket="b", key="k", **arguments)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow parts for which no test needs large contents."""
    for name in ("MIN_PART_SIZE", "MIB"):
        monkeypatch.setattr(s3_write, name, 1)


LARGE = bytes(range(256)) * 9  # three parts of 1 KiB
CONTENTS = pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
NO_CONDITIONS = {
    "put_object IfNoneMatch": ("NotImplemented", 501),
    "complete_multipart_upload IfNoneMatch": ("NotImplemented", 501),
    "put_object IfMatch": ("NotImplemented", 501),
}


@CONTENTS
def test_an_endpoint_without_conditional_writes(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    s3 = FakeS3(refuse=NO_CONDITIONS)
    with pytest.raises(ConditionalWriteUnsupportedError):
        publish(s3, content)
    assert s3.stored is None
    assert ("abort_multipart_upload" in s3.calls) == (content is LARGE)

    result = publish(s3, content, allow_unconditional=True)
    assert s3.stored == content
    assert not result.unchanged
    assert s3.calls[-3:-1] == ["head_object", "head_bucket"]  # looked once more, right before
    assert "no conditional writes" in caplog.text
    assert publish(s3, content, allow_unconditional=True).unchanged
    assert publish(s3, b"other", allow_unconditional=True, overwrite=True).overwritten
    assert s3.stored == b"other"


def test_a_key_that_is_taken_and_then_free_is_tried_again() -> None:
    s3 = FakeS3(refuse={"put_object": ("PreconditionFailed", 412)})
    with pytest.raises(StorageUnavailableError, match=r"the key was taken, then free"):
        publish(s3)
    s3.refuse.clear()
    assert not publish(s3).unchanged


def test_a_key_of_ours_that_may_only_write_is_enough_for_a_new_object_only() -> None:
    write_only = {"head_object": ("403", 403), "list_multipart_uploads": ("AccessDenied", 403)}
    s3 = FakeS3(refuse=write_only)
    assert not publish(s3).unchanged
    assert s3.stored == CONTENT
    with pytest.raises(UploadConflictError, match="may not read"):
        publish(s3)
    with pytest.raises(StorageAccessError):
        publish(s3, b"other", overwrite=True)
    assert s3.stored == CONTENT


def test_the_race_is_lost_to_the_same_content() -> None:
    s3 = FakeS3()
    s3.before_commit = lambda: s3.store(CONTENT, {CONTENT_ID: SHA, "run-id": "other"})
    result = publish(s3)
    assert result.unchanged
    assert result.metadata["run-id"] == "other"


@pytest.mark.parametrize(
    ("before", "meanwhile", "settings", "error", "message"),
    [
        (None, b"other", {}, UploadConflictError, "another tool"),
        (None, b"other", {"overwrite": True}, UploadConflictError, "another tool"),
        (b"yesterday", b"other", {"overwrite": True}, UploadConflictError, "another tool"),
        (None, b"other", {"allow_unconditional": True}, UploadConflictError, ""),
        (CONTENT, b"other", {"must_overwrite": lambda existing: True}, UploadConflictError, ""),
        (b"yesterday", None, {"overwrite": True}, StorageUnavailableError, ""),
    ],
)
def test_the_race_is_lost(
    before: bytes | None,
    meanwhile: bytes | None,
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    s3 = FakeS3(stored=before, refuse=NO_CONDITIONS if "allow_unconditional" in settings else {})
    s3.before_commit = lambda: s3.store(meanwhile, {})
    with pytest.raises(error, match=message or None):
        publish(s3, **settings)
    assert s3.stored == meanwhile


def test_an_endpoint_without_a_list_of_uploads() -> None:
    s3 = FakeS3(refuse={"list_multipart_uploads": ("NotImplemented", 501)})
    publish(s3)
    assert s3.stored == CONTENT


@CONTENTS
def test_other_bytes_than_announced_never_become_visible(content: bytes) -> None:
    s3 = FakeS3()
    with pytest.raises(AccountingError):
        publish(s3, content, size=len(content) - 1)
    assert s3.stored is None
    assert not {"put_object", "complete_multipart_upload"} & set(s3.calls)


def test_interrupted_while_the_upload_is_created() -> None:
    s3 = FakeS3()

    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    s3.create_multipart_upload = interrupted  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        publish(s3, LARGE)
    assert s3.calls[-1] == "list_multipart_uploads"


def test_a_failing_abort_does_not_hide_the_error(caplog: pytest.LogCaptureFixture) -> None:
    s3 = FakeS3(refuse={"upload_part": ("SlowDown", 503), "abort_multipart_upload": ("AccessDenied", 403)})
    with pytest.raises(StorageUnavailableError, match="SlowDown"):
        publish(s3, LARGE)
    assert "Aborting the upload" in caplog.text


def test_at_most_three_parts_are_in_memory() -> None:
    s3 = FakeS3()
    given: list[int] = []

    def chunks(size: int) -> Iterator[bytes]:
        for number in range(12):
            # Those given out and not yet with the server: two on their way and the one that is asked for now.
            given.append(number - len(s3.parts))
            yield bytes(size)

    upload_once(s3, bucket="b", key="k", chunks=chunks, metadata={}, part_size=100)  # type: ignore[arg-type]
    assert max(given) <= 3


@pytest.mark.parametrize(
    "metadata",
    [{"name": "é"}, {"name": "a\nb"}, {"Name": "x"}, {"a_b": "x"}, {"": "x"}, {"name": "x" * 2100}],
)
def test_metadata_that_s3_does_not_take(metadata: dict[str, str]) -> None:
    s3 = FakeS3()
    with pytest.raises(ConfigurationError) as caught:
        publish(s3, metadata=metadata)
    assert "é" not in str(caught.value)
    assert "put_object" not in s3.calls


def test_part_sizes_are_checked_and_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for part_size in (0, 5 * MIB - 1, 5 * 1024 * MIB + 1):
        with pytest.raises(ConfigurationError, match="part size"):
            publish(FakeS3(), part_size=part_size)
    for size, used in {
        0: 8 * MIB,
        10_000 * 8 * MIB: 8 * MIB,
        10_000 * 8 * MIB + 1: 9 * MIB,
        5 * 1024 * 1024 * MIB: 525 * MIB,
    }.items():
        assert s3_write._checked_part_size(8 * MIB, size) == used


def test_too_many_parts_of_unknown_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_write, "MAX_PARTS", 2)
    s3 = FakeS3()
    with pytest.raises(ConfigurationError, match="more than 2 parts"):
        upload_once(s3, bucket="b", key="k", chunks=chunks_of(LARGE), metadata={}, part_size=1024)  # type: ignore[arg-type]
    assert s3.calls[-1] == "abort_multipart_upload"


# --- objects that have to be written again ------------------------------------------------------------------


def test_the_same_content_is_written_again_on_request() -> None:
    s3 = FakeS3(stored=CONTENT)

    result = publish(s3, must_overwrite=lambda existing: existing.content_id == SHA)

    assert (result.unchanged, result.overwritten) == (False, True)
    assert s3.calls[-1] == "put_object"


def test_a_caller_hears_before_each_write_and_only_then() -> None:
    told: list[str] = []
    for stored, overwrites in ((None, False), (CONTENT, False), (CONTENT, True)):
        s3 = FakeS3(stored=stored)
        publish(
            s3,
            must_overwrite=lambda existing, anew=overwrites: anew,  # type: ignore[misc]
            before_writing=lambda s3=s3: told.append("put_object" in s3.calls),  # type: ignore[misc]
        )

    assert told == [False, False]
