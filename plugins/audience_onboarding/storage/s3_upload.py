"""Uploads an object exactly once.

The vendor scans a folder, so the appearance of the key is the commit: an object must not appear twice, incomplete, or
over another one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    ConditionalWriteUnsupportedError,
    StorageAccessError,
    StorageUnavailableError,
    UploadConflictError,
)
from audience_onboarding.storage.s3_write import (
    CONTENT_ID,
    DEFAULT_PART_SIZE,
    Chunks,
    ExistingObject,
    ObjectExists,
    abort_incomplete_uploads,
    head_object,
    upload_once,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishResult:
    """Result of :func:`publish_object`.

    :param unchanged: the key already had the content; nothing was written.
    :param overwritten: another object was overwritten, as the caller allowed.
    :param parts: of the multipart upload; 0 for a plain PutObject or if nothing was written.
    :param metadata: user metadata of the object, written by this or an earlier upload.
    """

    bucket: str
    key: str
    etag: str
    size: int
    content_id: str
    unchanged: bool
    overwritten: bool
    parts: int
    metadata: Mapping[str, str]


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
    must_overwrite: Callable[[ExistingObject], bool] | None = None,
    before_writing: Callable[[], object] | None = None,
    allow_unconditional: bool = False,
    content_type: str = "text/csv",
) -> PublishResult:
    """Store this content under this key, once, after any earlier tries.

    * The key has the same content (``content-id`` in its metadata): nothing is written, unless ``must_overwrite``
      returns true. Incomplete uploads are aborted.
    * The key has other content: :class:`UploadConflictError`, unless ``overwrite`` or ``must_overwrite`` allows it.
    * The key is free: incomplete uploads are aborted, and the object is written under ``If-None-Match: *``. If another
      writer or an earlier try was faster, the two rules above decide.

    Credentials without read permission are enough for a new key, as the condition protects the key.

    :param content_id: identity of the content, such as a SHA-256.
    :param metadata: more user metadata; ``content-id`` is added.
    :param overwrite: overwrite other content, if it has not changed since the check.
    :param must_overwrite: whether to overwrite the existing object, even with the same content; only that object is
        overwritten.
    :param before_writing: called right before something is written.

    The other parameters are those of :func:`upload_once`, and so are the errors, except :class:`ObjectExists`.

    :raises UploadConflictError: the key has other content.
    """
    target = _Target(client, bucket, key, content_id)
    existing = target.head(required=overwrite)
    forced = existing is not None and must_overwrite is not None and must_overwrite(existing)
    if existing is not None and not forced:
        if existing.content_id == content_id:
            target.cleanup()
            return target.unchanged(existing)
        if not overwrite:
            raise target.conflict(existing)
    if before_writing is not None:
        before_writing()
    target.cleanup()
    metadata = {**(metadata or {}), CONTENT_ID: content_id}
    try:
        upload = upload_once(
            client,
            bucket=bucket,
            key=key,
            chunks=chunks,
            metadata=metadata,
            part_size=part_size,
            overwrite=overwrite or forced,
            expected_etag=existing.etag if existing else None,
            size=size,
            allow_unconditional=allow_unconditional,
            content_type=content_type,
        )
    except ObjectExists:
        current = target.current_object()
        if current is not None and current.content_id == content_id:
            return target.unchanged(current)
        raise target.conflict(current) from None
    return PublishResult(
        bucket=bucket,
        key=key,
        etag=upload.etag,
        size=upload.size,
        content_id=content_id,
        unchanged=False,
        overwritten=existing is not None,
        parts=upload.parts,
        metadata=metadata,
    )


@dataclass(frozen=True)
class _Target:
    client: S3Client
    bucket: str
    key: str
    content_id: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def head(self, *, required: bool) -> ExistingObject | None:
        try:
            return head_object(self.client, bucket=self.bucket, key=self.key)
        except StorageAccessError:
            if required:
                raise
            return None

    def cleanup(self) -> None:
        """Abort incomplete uploads of earlier tries, if the credentials and the endpoint can list them."""
        try:
            abort_incomplete_uploads(self.client, bucket=self.bucket, key=self.key)
        except (StorageAccessError, ConditionalWriteUnsupportedError) as error:
            log.info("Incomplete uploads of %s, if any, stay: %s", self.url, error.what)

    def current_object(self) -> ExistingObject | None:
        """Return the object that was written first; ``None`` without read permission."""
        try:
            current = head_object(self.client, bucket=self.bucket, key=self.key)
        except StorageAccessError:
            return None
        if current is None:
            raise StorageUnavailableError(
                what="Contradictory answers of the object storage",
                where=self.url,
                why="the key was taken, then free",
            )
        return current

    def unchanged(self, existing: ExistingObject) -> PublishResult:
        log.info("%s already has this content; nothing written", self.url)
        return PublishResult(
            bucket=self.bucket,
            key=self.key,
            etag=existing.etag,
            size=existing.size,
            content_id=self.content_id,
            unchanged=True,
            overwritten=False,
            parts=0,
            metadata=existing.metadata,
        )

    def conflict(self, existing: ExistingObject | None) -> UploadConflictError:
        if existing is None:
            found = "an object that these credentials may not read"
        else:
            stored = existing.content_id
            found = (
                f"an object of {existing.size} bytes, written {existing.last_modified:%Y-%m-%d %H:%M:%S %Z}, "
                + (f"content id {stored}" if stored else "by another tool (no content-id in its metadata)")
            )
        return UploadConflictError(
            what="The key has other content",
            where=self.url,
            why=f"it is {found}; ours is {self.content_id}",
            next_step=f"Find out which is right. To overwrite it, trigger the same load again {OVERWRITE_HINT}",
        )
