"""CRM files in S3."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import botocore.exceptions
import urllib3.exceptions

from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import SourceNotFoundError, StorageAccessError, StorageUnavailableError
from audience_onboarding.storage.s3_errors import NoSuchKey, PreconditionFailed, translate_errors
from audience_onboarding.storage.source_urls import (
    CHECK_PATH,
    WILDCARDS,
    ClientFactory,
    is_wild,
    matches,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

    from audience_onboarding.crm.sources.base import OpenSource, Source

_MIB = 1024 * 1024


@dataclass(frozen=True)
class S3Location:
    """Key, pattern, or prefix."""

    bucket: str
    key: str
    s3_client: ClientFactory

    @property
    def name(self) -> str:
        """URL of the location."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_single(self) -> bool:
        """Whether it is one key."""
        return bool(self.key) and not self.key.endswith("/") and not is_wild(self.key)

    def exists(self) -> bool:
        """Return whether there is at least one object; see :func:`.file_sources.source_exists` for the errors."""
        client = self.s3_client()
        if not self.is_single:
            return next(self._list(client), None) is not None
        try:
            with translate_errors("HeadObject", bucket=self.bucket, key=self.key):
                client.head_object(Bucket=self.bucket, Key=self.key)
        except NoSuchKey:
            # A sensor must not wait for hours for a file in a bucket that does not exist. The check may be denied.
            with suppress(StorageAccessError), translate_errors("HeadBucket", bucket=self.bucket, key=""):
                client.head_bucket(Bucket=self.bucket)
            return False
        return True

    def sources(self, options: SourceOptions) -> list[Source]:
        """Return the sources that read the objects, in the order of their keys."""
        client = self.s3_client()
        if self.is_single:
            return [S3Object(client, self.bucket, self.key).source(options)]
        objects = sorted(self._list(client), key=lambda item: item.key)
        # A key may contain wildcard characters.
        exact = [item for item in objects if item.key == self.key]
        return [item.source(options) for item in exact or objects]

    def _list(self, client: S3Client) -> Iterator[S3Object]:
        is_folder = not self.key or self.key.endswith("/")
        pattern = (f"{self.key}*" if is_folder else self.key).split("/")
        prefix = self.key[
            : next((at for at, char in enumerate(self.key) if char in WILDCARDS), len(self.key))
        ]
        pages = client.get_paginator("list_objects_v2")
        if any(map(is_wild, pattern[:-1])):
            listing = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        else:
            # Subfolders are not even listed.
            listing = pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        with translate_errors("ListObjectsV2", bucket=self.bucket, key=prefix):
            for page in listing:
                for item in page.get("Contents", []):
                    parts = item["Key"].split("/")
                    fits = len(parts) == len(pattern) and all(map(matches, parts, pattern))
                    # Some tools write an empty folder as a key that ends in a slash.
                    if parts[-1] and (fits or item["Key"] == self.key):
                        yield S3Object(client, self.bucket, item["Key"], item.get("ETag"))


class S3Object:
    """Object of which each ``open`` reads the same version.

    :param etag: from the listing, if there was one.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, etag: str | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self.key = key
        self._etag = etag

    @property
    def url(self) -> str:
        """URL of the object."""
        return f"s3://{self._bucket}/{self.key}"

    def source(self, options: SourceOptions) -> Source:
        """Return the source that reads the object."""
        format_ = options.get_format(self.key)
        if format_ == "csv":
            return options.open_csv(stream=self.open, label=self.url)
        return _CopiedTable(self, format_, options)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Stream the object.

        :raises SourceNotFoundError: not found.
        :raises StorageUnavailableError: storage not available, download interrupted, or object replaced.
        """
        body, size = self._get()
        try:
            yield io.BufferedReader(_CheckedBody(body, size, self.url), _MIB)
        finally:
            body.close()

    def _get(self) -> tuple[StreamingBody, int]:
        try:
            with translate_errors("GetObject", bucket=self._bucket, key=self.key):
                if self._etag:
                    response = self._client.get_object(Bucket=self._bucket, Key=self.key, IfMatch=self._etag)
                else:
                    response = self._client.get_object(Bucket=self._bucket, Key=self.key)
        except NoSuchKey:
            error: Exception = SourceNotFoundError(
                what="CRM file not found", where=self.url, next_step=CHECK_PATH
            )
        except PreconditionFailed:
            error = StorageUnavailableError(
                what="CRM file replaced during the load",
                where=self.url,
                next_step="The next try reads the new one",
            )
        else:
            self._etag = response["ETag"]
            return response["Body"], response["ContentLength"]
        raise error


class _CheckedBody(io.RawIOBase):
    """Body of an answer. An early end is an error, not the end of the file."""

    def __init__(self, body: StreamingBody, size: int, url: str) -> None:
        self._body = body
        self._size = size
        self._received = 0
        self._url = url

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        reason = ""
        block = b""
        try:
            block = self._body.read(len(target))
        except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
            reason = type(error).__name__
        self._received += len(block)
        if not block and not reason and self._received < self._size:
            reason = "connection closed"
        if reason:
            raise StorageUnavailableError(
                what="Download of the CRM file interrupted",
                where=self._url,
                why=f"{reason} after {self._received} of {self._size} bytes",
            )
        target[: len(block)] = block
        return len(block)


@dataclass(frozen=True)
class _CopiedTable:
    """Parquet file or workbook, copied to the private directory of the load for random access."""

    item: S3Object
    format: str
    options: SourceOptions

    @property
    def name(self) -> str:
        return self.item.url

    @contextmanager
    def open(self, columns: Sequence[str], workdir: Path) -> Iterator[OpenSource]:
        handle, name = tempfile.mkstemp(prefix="source-", dir=workdir)  # mode 0600
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as out, self.item.open() as body:
                shutil.copyfileobj(body, out, _MIB)
            with self.options.open_table(self.format, path, self.name).open(columns, workdir) as reading:
                yield reading
        finally:
            path.unlink(missing_ok=True)
