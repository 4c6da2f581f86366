"""Conditional writes to S3, which s3transfer does not offer.

An object appears complete or not at all, and never over another one. Large content is a multipart upload with a
conditional completion; a failed one is aborted.

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
    AccountingError,
    AudienceOnboardingError,
    ConditionalWriteUnsupportedError,
    ConfigurationError,
    StorageUnavailableError,
)
from audience_onboarding.storage.s3_errors import NoSuchKey, PreconditionFailed, translate_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

CONTENT_ID = "content-id"
"""User metadata key (``x-amz-meta-content-id``) of the content's id: known before the bytes are, and equal if and only
if they are equal."""

MIB = 1024 * 1024
DEFAULT_PART_SIZE = 8 * MIB
MIN_PART_SIZE = 5 * MIB
MAX_PART_SIZE = 5 * 1024 * MIB
MAX_PARTS = 10_000
_MAX_METADATA = 2048
_PARTS_IN_FLIGHT = 2
_METADATA_KEY = re.compile(r"[a-z0-9-]+")

Chunks = Callable[[int], Iterator[bytes]]
"""Yields the content in chunks of the given size (the last may be smaller); the same bytes at each call."""


class ObjectExists(Exception):  # noqa: N818 (an outcome that callers handle, not an error of its own)
    """The key was written, or its object changed, before the conditional write."""


@dataclass(frozen=True)
class ExistingObject:
    """Result of a HEAD request.

    :param etag: with its quotes, as ``If-Match`` needs it.
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
        """Id of the content, ``None`` if another tool wrote the object."""
        return self.metadata.get(CONTENT_ID)


@dataclass(frozen=True)
class UploadResult:
    """Written object; ``parts`` is 0 for a plain PutObject."""

    key: str
    etag: str
    size: int
    parts: int


def head_object(client: S3Client, *, bucket: str, key: str) -> ExistingObject | None:
    """Return an object's metadata, ``None`` if it does not exist.

    :raises BucketNotFoundError: the bucket does not exist; asked separately, as a HEAD answers 404 to both.
    :raises StorageAccessError: permission denied.
    :raises StorageUnavailableError: the storage is not available.
    """
    try:
        with translate_errors("HeadObject", bucket=bucket, key=key):
            response = client.head_object(Bucket=bucket, Key=key)
    except NoSuchKey:
        pass
    else:
        metadata = {name.lower(): value for name, value in response.get("Metadata", {}).items()}
        return ExistingObject(
            key, response["ETag"], response["ContentLength"], response["LastModified"], metadata
        )
    with translate_errors("HeadBucket", bucket=bucket, key=key):
        client.head_bucket(Bucket=bucket)
    return None


def abort_incomplete_uploads(client: S3Client, *, bucket: str, key: str) -> int:
    """Abort the multipart uploads of exactly this key, left by a killed try, and return their number.

    :raises StorageAccessError: the credentials may not list or abort uploads.
    """
    upload_ids: list[str] = []
    with translate_errors("ListMultipartUploads", bucket=bucket, key=key):
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
            upload_ids += [upload["UploadId"] for upload in page.get("Uploads", []) if upload["Key"] == key]
    for upload_id in upload_ids:
        _abort(client, bucket, key, upload_id)
    if upload_ids:
        log.info("Aborted %d incomplete upload(s) of s3://%s/%s", len(upload_ids), bucket, key)
    return len(upload_ids)


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
    """Write an object if the key is free. Callers normally use :func:`.publish_object`.

    Content of one part is a conditional PutObject, larger content a multipart upload with a conditional completion. At
    most three parts are in memory: two in flight and one being built. On any error or interruption the upload is
    aborted before the error is raised.

    :param metadata: user metadata: keys of lower-case letters, digits and dashes, printable ASCII values, 2 KB in all.
    :param part_size: bytes, 5 MiB to 5 GiB; raised if ``size`` would need more than 10,000 parts.
    :param overwrite: overwrite the object with ``expected_etag``, and only that one (``If-Match``).
    :param expected_etag: ETag of the object to overwrite; ``None`` if the key was free.
    :param size: bytes, if known; checked before the object becomes visible.
    :param allow_unconditional: if the endpoint has no conditional writes, check the key again and then write. Two
        simultaneous writers can then overwrite each other.
    :raises ObjectExists: the condition did not hold.
    :raises ConditionalWriteUnsupportedError: the endpoint answered 501 to the condition. An endpoint that silently
        ignores conditions is not detected.
    :raises AccountingError: the content has not ``size`` bytes; nothing was written.
    :raises ConfigurationError: invalid metadata or part size.
    :raises BucketNotFoundError: the bucket does not exist.
    :raises StorageAccessError: the credentials may not write.
    :raises StorageUnavailableError: the storage is not available; the object may have been written.
    """
    write = _Write(
        client=client,
        bucket=bucket,
        key=key,
        condition={"IfMatch": expected_etag} if overwrite and expected_etag else {"IfNoneMatch": "*"},
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
                what=f"Invalid object metadata {name!r}",
                why="keys are lower-case letters, digits and dashes; values are printable ASCII",
                next_step="Correct or remove it",
            )
    if sum(len(name) + len(value) for name, value in metadata.items()) > _MAX_METADATA:
        raise ConfigurationError(
            what="Object metadata too large",
            why=f"S3 accepts {_MAX_METADATA} bytes",
            next_step="Remove some of it",
        )
    return dict(metadata)


def _checked_part_size(part_size: int, size: int | None) -> int:
    if not MIN_PART_SIZE <= part_size <= MAX_PART_SIZE:
        raise ConfigurationError(
            what=f"Invalid part size {part_size}",
            next_step="Give 5 MiB to 5 GiB, in bytes; these are S3's limits",
        )
    needed = -(-(size or 0) // MAX_PARTS)
    return max(part_size, -(-needed // MIB) * MIB)


@dataclass
class _Write:
    """One conditional write."""

    client: S3Client
    bucket: str
    key: str
    condition: dict[str, str]
    allow_unconditional: bool
    size: int | None
    settings: dict[str, Any]

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def put(self, body: bytes) -> UploadResult:
        self._check_size(len(body))
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
            # A retry of the client: the request whose answer was lost created an upload, too.
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
            # Parts in flight first: one that arrives after the abort would stay and be billed.
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
                    what=f"The file has more than {MAX_PARTS} parts",
                    where=self.url,
                    next_step="Raise the part size",
                )
            size += len(block)
            if len(in_flight) == _PARTS_IN_FLIGHT:
                parts.append(in_flight.popleft().result())
            in_flight.append(pool.submit(self._send_part, upload_id, number, block))
        parts += [future.result() for future in in_flight]
        self._check_size(size)
        return size, parts

    def _send_part(self, upload_id: str, number: int, body: bytes) -> dict[str, Any]:
        with translate_errors("UploadPart", bucket=self.bucket, key=self.key):
            response = self.client.upload_part(
                Bucket=self.bucket, Key=self.key, UploadId=upload_id, PartNumber=number, Body=body
            )
        part: dict[str, Any] = {"PartNumber": number, "ETag": response["ETag"]}
        # If the client added a checksum to the part, the completion must repeat it.
        part.update({name: value for name, value in response.items() if name.startswith("ChecksumCRC32")})
        return part

    def _commit(self, operation: str, request: Callable[[dict[str, Any]], Any]) -> str:
        """Make the object visible, under the condition, and return its ETag."""
        try:
            if operation == "CompleteMultipartUpload" and "IfMatch" in self.condition:
                # Minutes may have passed, and some endpoints ignore this condition here (moto 5.2 does).
                self._check_etag()
            try:
                with translate_errors(operation, bucket=self.bucket, key=self.key):
                    return str(request(dict(self.condition))["ETag"])
            except ConditionalWriteUnsupportedError:
                if not self.allow_unconditional:
                    raise
            log.warning(
                "The endpoint of %s has no conditional writes; writing unconditionally, as allowed", self.url
            )
            self._check_etag()
            with translate_errors(operation, bucket=self.bucket, key=self.key):
                return str(request({})["ETag"])
        except PreconditionFailed:
            raise ObjectExists(self.url) from None
        except NoSuchKey:
            # If-Match on an object that was deleted since: the next try finds the key free.
            raise StorageUnavailableError(
                what="The object to overwrite was deleted", where=self.url
            ) from None

    def _check_etag(self) -> None:
        current = head_object(self.client, bucket=self.bucket, key=self.key)
        if (current.etag if current else None) != self.condition.get("IfMatch"):
            raise PreconditionFailed

    def _check_size(self, size: int) -> None:
        if self.size is not None and size != self.size:
            raise AccountingError(
                what="Upload stopped before the commit",
                where=self.url,
                why=f"{size} bytes instead of the announced {self.size}",
                next_step="Nothing was written. This is a bug: please report it",
            )

    def _abort_uploads(self, upload_id: str | None) -> None:
        """Abort one upload; ``None``: all of the key, as the ids of some may be unknown."""
        try:
            if upload_id is not None:
                _abort(self.client, self.bucket, self.key, upload_id)
            else:
                abort_incomplete_uploads(self.client, bucket=self.bucket, key=self.key)
        except AudienceOnboardingError as error:
            # The original error matters more; the next try of the key cleans up.
            log.warning("Aborting the upload of %s failed: %s", self.url, error)
