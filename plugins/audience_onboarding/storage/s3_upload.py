"""Writing one object exactly once.

The vendor scans a folder, so the appearance of the final key is the commit: nothing may show up there twice,
half, or over something else. Writes are therefore conditional (``If-None-Match: *``), large files are
multipart uploads that become visible as one, and what a failed or killed try leaves behind is aborted.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    AccountingError,
    AudienceOnboardingError,
    ConditionalWriteUnsupportedError,
    ConfigurationError,
    StorageAccessError,
    StorageUnavailableError,
    UploadConflictError,
)
from audience_onboarding.storage.s3_errors import NoSuchKey, PreconditionFailed, translate_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

CONTENT_ID = "content-id"
"""User metadata key (``x-amz-meta-content-id``) of what identifies the object's content: known before its bytes
are, and the same exactly where these are."""

MIB = 1024 * 1024
DEFAULT_PART_SIZE = 8 * MIB
MIN_PART_SIZE = 5 * MIB
MAX_PART_SIZE = 5 * 1024 * MIB
MAX_PARTS = 10_000
_MAX_METADATA = 2048
_PARTS_IN_FLIGHT = 2
_METADATA_KEY = re.compile(r"[a-z0-9-]+")

Chunks = Callable[[int], Iterator[bytes]]
"""Given a size in bytes: the content in chunks of that size, but for the last. The same bytes each call."""


class ObjectExists(Exception):  # noqa: N818 (an outcome that callers settle, not an error of its own)
    """The key was taken, or its object changed, between the look and the write."""


@dataclass(frozen=True)
class ExistingObject:
    """An object as HEAD sees it.

    :param etag: with its quotes, as ``If-Match`` wants it.
    :param size: bytes.
    :param metadata: user metadata, keys in lower case.
    """

    key: str
    etag: str
    size: int
    last_modified: datetime
    metadata: Mapping[str, str]

    @property
    def content_id(self) -> str | None:
        """Id of the content that the writer stored, ``None`` where another tool wrote the object."""
        return self.metadata.get(CONTENT_ID)


@dataclass(frozen=True)
class UploadResult:
    """What was written. ``parts`` is 0 for a plain PutObject."""

    key: str
    etag: str
    size: int
    parts: int


@dataclass(frozen=True)
class PublishResult:
    """How :func:`publish_object` ended.

    :param already_there: the key held the same content already, and nothing was written.
    :param superseded: an object was overwritten, as the caller allowed.
    :param parts: parts of the multipart upload; 0 for a plain PutObject and where nothing was written.
    :param metadata: user metadata of the object that is there now, by whomever it was written.
    """

    bucket: str
    key: str
    etag: str
    size: int
    content_id: str
    already_there: bool
    superseded: bool
    parts: int
    metadata: Mapping[str, str]


def head_object(client: S3Client, *, bucket: str, key: str) -> ExistingObject | None:
    """Look at an object; ``None`` where there is none.

    :raises BucketNotFoundError: there is no bucket either. A HEAD answers 404 to both, so the bucket is asked
        too.
    :raises StorageAccessError: the credentials may not look.
    :raises StorageUnavailableError: the storage is down.
    """
    try:
        with translate_errors("HeadObject", bucket=bucket, key=key):
            answer = client.head_object(Bucket=bucket, Key=key)
    except NoSuchKey:
        pass
    else:
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        return ExistingObject(key, answer["ETag"], answer["ContentLength"], answer["LastModified"], metadata)
    with translate_errors("HeadBucket", bucket=bucket, key=key):
        client.head_bucket(Bucket=bucket)
    return None


def abort_incomplete_uploads(client: S3Client, *, bucket: str, key: str) -> int:
    """Abort the open multipart uploads of exactly this key, left by a try that was killed; return their
    number.

    :raises StorageAccessError: the credentials may not list or abort uploads.
    """
    found: list[str] = []
    with translate_errors("ListMultipartUploads", bucket=bucket, key=key):
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
            found += [upload["UploadId"] for upload in page.get("Uploads", []) if upload["Key"] == key]
    for upload_id in found:
        _abort(client, bucket, key, upload_id)
    if found:
        log.info("Aborted %d unfinished upload(s) of s3://%s/%s", len(found), bucket, key)
    return len(found)


def _abort(client: S3Client, bucket: str, key: str, upload_id: str) -> None:
    gone = client.exceptions.NoSuchUpload  # aborted or completed meanwhile
    with translate_errors("AbortMultipartUpload", bucket=bucket, key=key), suppress(gone):
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)


def upload_once(  # noqa: PLR0913 (keyword-only, most with a default)
    client: S3Client,
    *,
    bucket: str,
    key: str,
    chunks: Chunks,
    metadata: Mapping[str, str],
    part_size: int = DEFAULT_PART_SIZE,
    overwrite: bool = False,
    expected_etag: str | None = None,
    size: int | None = None,
    allow_unconditional: bool = False,
    content_type: str = "text/csv",
) -> UploadResult:
    """Write an object if nobody else has. :func:`publish_object` is the usual way in.

    What fits one part is a conditional PutObject, anything larger a multipart upload with a conditional
    completion. At most three parts are in memory: two on their way and one being made. On any error or
    interruption the upload is aborted before the error goes on.

    :param chunks: gives the content.
    :param metadata: user metadata: lower-case keys of letters, digits and dashes, printable ASCII values, 2
        KB in all.
    :param part_size: bytes, 5 MiB to 5 GiB. Raised as needed where ``size`` would make more than 10,000
        parts.
    :param overwrite: overwrite the object whose ETag is ``expected_etag``, and only that one (``If-Match``).
    :param expected_etag: ETag of the object to overwrite; ``None`` where there was none.
    :param size: number of bytes, where known: checked before they become visible.
    :param allow_unconditional: where the endpoint cannot write conditionally, look once more and then write.
        Two writers at the same moment can then overwrite each other.
    :raises ObjectExists: the condition did not hold; the caller has to look again.
    :raises ConditionalWriteUnsupportedError: the endpoint answered 501 to the condition. An endpoint that
        ignores conditions without a word cannot be told apart.
    :raises AccountingError: there are not ``size`` bytes; nothing was written.
    :raises ConfigurationError: metadata or part size out of bounds.
    :raises BucketNotFoundError: no such bucket.
    :raises StorageAccessError: the credentials may not write.
    :raises StorageUnavailableError: the storage is down or busy; whether the object was written may be
        unknown.
    """
    condition = {"IfMatch": expected_etag} if overwrite and expected_etag else {"IfNoneMatch": "*"}
    write = _Write(
        client=client,
        bucket=bucket,
        key=key,
        condition=condition,
        allow_unconditional=allow_unconditional,
        size=size,
        settings={"Metadata": _checked_metadata(metadata), "ContentType": content_type},
    )
    blocks = chunks(_checked_part_size(part_size, size))
    first = next(blocks, b"")
    second = next(blocks, None)
    if second is None:
        return write.put(first)
    return write.multipart(chain((first, second), blocks))


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        if not _METADATA_KEY.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise ConfigurationError(
                what=f"the object metadata {name!r} is not allowed",
                why="keys are lower-case letters, digits and dashes; values are printable ASCII",
                next_step="Leave it out, or spell it so",
            )
    if sum(len(name) + len(value) for name, value in metadata.items()) > _MAX_METADATA:
        raise ConfigurationError(
            what=f"the object metadata is larger than {_MAX_METADATA} bytes",
            next_step="Leave some of it out; S3 takes no more",
        )
    return dict(metadata)


def _checked_part_size(part_size: int, size: int | None) -> int:
    if not MIN_PART_SIZE <= part_size <= MAX_PART_SIZE:
        raise ConfigurationError(
            what="the part size must be 5 MiB to 5 GiB",
            why=f"it is {part_size} bytes",
            next_step="Give another; these are S3's limits",
        )
    needed = -(-(size or 0) // MAX_PARTS)
    return max(part_size, -(-needed // MIB) * MIB)


@dataclass
class _Write:
    client: S3Client
    bucket: str
    key: str
    condition: dict[str, str]
    allow_unconditional: bool
    size: int | None
    settings: dict[str, Any]

    def put(self, body: bytes) -> UploadResult:
        self._check(len(body))
        etag = self._commit(
            "PutObject",
            lambda condition: self.client.put_object(
                Bucket=self.bucket, Key=self.key, Body=body, **self.settings, **condition
            ),
        )
        return UploadResult(self.key, etag, len(body), 0)

    def multipart(self, blocks: Iterator[bytes]) -> UploadResult:
        upload_id: str | None = None
        has_twins = True
        pool = ThreadPoolExecutor(_PARTS_IN_FLIGHT, thread_name_prefix="s3-upload")
        try:
            with translate_errors("CreateMultipartUpload", bucket=self.bucket, key=self.key):
                created = self.client.create_multipart_upload(
                    Bucket=self.bucket, Key=self.key, **self.settings
                )
            upload_id = created["UploadId"]
            # The client may have asked more than once: an answer that got lost was of an upload, too.
            has_twins = created["ResponseMetadata"].get("RetryAttempts", 0) > 0
            size, parts = self._send_parts(upload_id, blocks, pool)
            etag = self._commit(
                "CompleteMultipartUpload",
                lambda condition: self.client.complete_multipart_upload(
                    Bucket=self.bucket,
                    Key=self.key,
                    UploadId=str(upload_id),
                    MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
                    **condition,
                ),
            )
        except BaseException:
            # A part that arrives after the abort would stay, and be paid for, so those on their way come
            # first.
            pool.shutdown(wait=True, cancel_futures=True)
            self._abort_uploads(None if has_twins else upload_id)
            raise
        pool.shutdown(wait=True)
        if has_twins:
            self._abort_uploads(None)
        return UploadResult(self.key, etag, size, len(parts))

    def _send_parts(
        self, upload_id: str, blocks: Iterator[bytes], pool: ThreadPoolExecutor
    ) -> tuple[int, list[dict[str, Any]]]:
        size = 0
        parts: list[dict[str, Any]] = []
        in_flight: deque[Future[dict[str, Any]]] = deque()
        for number, block in enumerate(blocks, start=1):
            if number > MAX_PARTS:
                raise ConfigurationError(
                    what=f"the file makes more than {MAX_PARTS} parts",
                    where=f"s3://{self.bucket}/{self.key}",
                    next_step="Raise the part size",
                )
            size += len(block)
            if len(in_flight) == _PARTS_IN_FLIGHT:
                parts.append(in_flight.popleft().result())
            in_flight.append(pool.submit(self._send_part, upload_id, number, block))
        parts += [future.result() for future in in_flight]
        self._check(size)
        return size, parts

    def _send_part(self, upload_id: str, number: int, body: bytes) -> dict[str, Any]:
        with translate_errors("UploadPart", bucket=self.bucket, key=self.key):
            answer = self.client.upload_part(
                Bucket=self.bucket, Key=self.key, UploadId=upload_id, PartNumber=number, Body=body
            )
        part: dict[str, Any] = {"PartNumber": number, "ETag": answer["ETag"]}
        # The client adds a checksum to each part; where it did, the completion has to repeat it.
        part.update({name: value for name, value in answer.items() if name.startswith("ChecksumCRC32")})
        return part

    def _commit(self, operation: str, request: Callable[[dict[str, Any]], Any]) -> str:
        """Make the object visible, under the condition."""
        try:
            if operation == "CompleteMultipartUpload" and "IfMatch" in self.condition:
                # Minutes may have passed, and some endpoints ignore this condition here (moto 5.2 does).
                self._recheck()
            try:
                with translate_errors(operation, bucket=self.bucket, key=self.key):
                    return str(request(dict(self.condition))["ETag"])
            except ConditionalWriteUnsupportedError:
                if not self.allow_unconditional:
                    raise
            log.warning(
                "The endpoint of s3://%s/%s cannot write conditionally; writing after a look, as allowed",
                self.bucket,
                self.key,
            )
            self._recheck()
            with translate_errors(operation, bucket=self.bucket, key=self.key):
                return str(request({})["ETag"])
        except PreconditionFailed:
            raise ObjectExists(f"s3://{self.bucket}/{self.key}") from None
        except NoSuchKey:
            # If-Match on an object that was deleted since: the next try sees that and creates it.
            raise StorageUnavailableError(
                what="the object to overwrite was deleted meanwhile", where=f"s3://{self.bucket}/{self.key}"
            ) from None

    def _recheck(self) -> None:
        now = head_object(self.client, bucket=self.bucket, key=self.key)
        if (now.etag if now else None) != self.condition.get("IfMatch"):
            raise PreconditionFailed

    def _check(self, size: int) -> None:
        if self.size is not None and size != self.size:
            raise AccountingError(
                what="the bytes to upload are not those that were announced",
                where=f"s3://{self.bucket}/{self.key}",
                why=f"{size} of {self.size}",
                next_step="Nothing was written. This is a bug: please report it",
            )

    def _abort_uploads(self, upload_id: str | None) -> None:
        """Leave nothing open.

        :param upload_id: the one upload that there is; ``None`` where there may be some whose ids never arrived.
        """
        try:
            if upload_id is not None:
                _abort(self.client, self.bucket, self.key, upload_id)
            else:
                abort_incomplete_uploads(self.client, bucket=self.bucket, key=self.key)
        except AudienceOnboardingError as error:
            # What has brought us here matters more; the next try of the same key cleans up.
            log.warning("Could not abort the upload of s3://%s/%s: %s", self.bucket, self.key, error)


def publish_object(  # noqa: PLR0913 (keyword-only, most with a default)
    client: S3Client,
    *,
    bucket: str,
    key: str,
    content_id: str,
    size: int | None,
    chunks: Chunks,
    metadata: Mapping[str, str] | None = None,
    part_size: int = DEFAULT_PART_SIZE,
    overwrite: bool = False,
    overwrites: Callable[[ExistingObject], bool] | None = None,
    before_writing: Callable[[], object] | None = None,
    allow_unconditional: bool = False,
    content_type: str = "text/csv",
) -> PublishResult:
    """Bring this content under this key, once, whatever was tried before.

    * The key holds the same content (by ``content-id`` in its metadata): nothing is written, unless
      ``overwrites`` says so. What an earlier try left open is aborted.
    * It holds other content: :class:`UploadConflictError`, or overwritten where ``overwrite`` or ``overwrites``
      says so.
    * It holds nothing: written under ``If-None-Match: *``, after aborting what a killed try left. Where
      another writer wins the race, or an earlier try of ours did arrive after all, the two rules above
      decide.

    Credentials that may only write are enough for a new key: a look that is refused is skipped, because the
    condition protects the key all the same.

    :param content_id: what tells this content from any other, such as a SHA-256.
    :param size: bytes of the content, where they are known before.
    :param chunks: gives the content.
    :param metadata: more user metadata; ``content-id`` is added.
    :param part_size: bytes, 5 MiB to 5 GiB.
    :param overwrite: overwrite other content, provided that it is still what was there when we looked.
    :param overwrites: asked about the object that is there: whether it has to be written anew, also with the same
        content. As with ``overwrite``, only that very object is overwritten.
    :param before_writing: called when it is clear that something will be written, before it is.
    :param allow_unconditional: see :func:`upload_once`.
    :raises UploadConflictError: other content is there.
    :raises ConditionalWriteUnsupportedError: see :func:`upload_once`.
    :raises BucketNotFoundError: no such bucket.
    :raises StorageAccessError: the credentials may not write.
    :raises StorageUnavailableError: the storage is down or busy. A retry settles what is unknown.
    """
    target = _Target(client, bucket, key, content_id)
    existing = target.head(required=overwrite)
    is_anew = existing is not None and overwrites is not None and overwrites(existing)
    if existing is not None and not is_anew:
        if existing.content_id == content_id:
            target.cleanup()
            return target.already_there(existing)
        if not overwrite:
            raise target.conflict(existing)
    if before_writing is not None:
        before_writing()
    target.cleanup()
    metadata = {**(metadata or {}), CONTENT_ID: content_id}
    try:
        done = upload_once(
            client,
            bucket=bucket,
            key=key,
            chunks=chunks,
            metadata=metadata,
            part_size=part_size,
            overwrite=overwrite or is_anew,
            expected_etag=existing.etag if existing else None,
            size=size,
            allow_unconditional=allow_unconditional,
            content_type=content_type,
        )
    except ObjectExists:
        winner = target.current_object()
        if winner is not None and winner.content_id == content_id:
            return target.already_there(winner)
        raise target.conflict(winner) from None
    return PublishResult(
        bucket=bucket,
        key=key,
        etag=done.etag,
        size=done.size,
        content_id=content_id,
        already_there=False,
        superseded=existing is not None,
        parts=done.parts,
        metadata=metadata,
    )


@dataclass(frozen=True)
class _Target:
    client: S3Client
    bucket: str
    key: str
    content_id: str

    def head(self, *, required: bool) -> ExistingObject | None:
        try:
            return head_object(self.client, bucket=self.bucket, key=self.key)
        except StorageAccessError:
            if required:
                raise
            return None

    def cleanup(self) -> None:
        """Abort what earlier tries have left open, as far as the credentials and the endpoint let us see it."""
        unseen = ""
        try:
            abort_incomplete_uploads(self.client, bucket=self.bucket, key=self.key)
        except StorageAccessError:
            unseen = "The credentials may not list uploads"
        except ConditionalWriteUnsupportedError:
            unseen = "The endpoint cannot list uploads"
        if unseen:
            log.info("%s; unfinished ones of s3://%s/%s stay, if any", unseen, self.bucket, self.key)

    def current_object(self) -> ExistingObject | None:
        """The object that was there first; ``None`` where these credentials may not look at it."""
        try:
            found = head_object(self.client, bucket=self.bucket, key=self.key)
        except StorageAccessError:
            return None
        if found is None:
            raise StorageUnavailableError(
                what="the storage said that the key is taken, and now that it is free",
                where=f"s3://{self.bucket}/{self.key}",
            )
        return found

    def already_there(self, existing: ExistingObject) -> PublishResult:
        log.info("s3://%s/%s already holds this content; nothing written", self.bucket, self.key)
        return PublishResult(
            bucket=self.bucket,
            key=self.key,
            etag=existing.etag,
            size=existing.size,
            content_id=self.content_id,
            already_there=True,
            superseded=False,
            parts=0,
            metadata=existing.metadata,
        )

    def conflict(self, existing: ExistingObject | None) -> UploadConflictError:
        if existing is None:
            found = "an object that these credentials may not look at"
        else:
            stored = existing.content_id
            found = (
                f"an object of {existing.size} bytes, written {existing.last_modified:%Y-%m-%d %H:%M:%S %Z}, "
                + (f"content id {stored}" if stored else "by another tool (no content-id in its metadata)")
            )
        return UploadConflictError(
            what="the key is taken by other content",
            where=f"s3://{self.bucket}/{self.key}",
            why=f"there is {found}; ours is {self.content_id}",
            next_step="Find out which is right. To overwrite it, trigger the same load again "
            f"{OVERWRITE_HINT}",
        )
