"""Looking into the bucket over the S3 protocol, and telling what is new."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

INTERNAL_ACCESS_KEY = "sandbox-internal"
"""Access key of the sandbox itself: its requests are kept out of the journal."""

_CHUNK = 1 << 20


class ObjectGoneError(Exception):
    """The object was deleted or replaced after it had been listed."""


@dataclass(frozen=True)
class ObjectInfo:
    """An object as a listing shows it."""

    key: str
    etag: str
    size: int
    last_modified: datetime

    @property
    def version(self) -> tuple[str, datetime]:
        """What changes when the object is written again, even with the same bytes (per second)."""
        return self.etag, self.last_modified


@dataclass(frozen=True)
class OpenedObject:
    """An object being read."""

    metadata: dict[str, str]
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class OpenUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: datetime = field(compare=False)


class ObjectStore(Protocol):
    """The parts of S3 the vendor's processor needs; tests give a fake one."""

    def list_objects(self) -> Sequence[ObjectInfo]:
        """List the whole bucket."""
        ...

    def open(self, info: ObjectInfo) -> OpenedObject:
        """Read the version that was listed.

        :raises ObjectGoneError: that version is no longer there.
        """
        ...


class Bucket:
    """The bucket, over HTTP, as the vendor would see it."""

    def __init__(self, *, endpoint_url: str, name: str, region: str) -> None:
        self.name = name
        self.region = region
        # path addressing: the endpoint is an IP address or a container's name, never a bucket's own host
        self._client: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=INTERNAL_ACCESS_KEY,
            aws_secret_access_key=INTERNAL_ACCESS_KEY,
            config=Config(
                connect_timeout=5,
                read_timeout=60,
                retries={"total_max_attempts": 2},
                s3={"addressing_style": "path"},
            ),
        )

    def exists(self) -> bool:
        """Tell whether the bucket is already there."""
        try:
            self._client.head_bucket(Bucket=self.name)
        except ClientError:
            return False
        return True

    def create(self) -> None:
        """Create the bucket."""
        if self.region == "us-east-1":
            self._client.create_bucket(Bucket=self.name)
        else:
            self._client.create_bucket(
                Bucket=self.name,
                CreateBucketConfiguration={"LocationConstraint": self.region},  # type: ignore[typeddict-item]
            )

    def empty(self) -> None:
        """Delete all objects and abort all uploads."""
        for info in self.list_objects():
            self._client.delete_object(Bucket=self.name, Key=info.key)
        for upload in self.open_uploads():
            with suppress(ClientError):
                self._client.abort_multipart_upload(
                    Bucket=self.name, Key=upload.key, UploadId=upload.upload_id
                )

    def delete(self) -> None:
        """Delete the bucket and all that is in it."""
        self.empty()
        self._client.delete_bucket(Bucket=self.name)

    def list_objects(self) -> list[ObjectInfo]:
        """List the whole bucket."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [
            ObjectInfo(item["Key"], item["ETag"].strip('"'), item["Size"], item["LastModified"])
            for page in pages
            for item in page.get("Contents", [])
        ]

    def metadata(self, key: str) -> dict[str, str]:
        """Return the user metadata of an object; empty when it is gone."""
        try:
            return dict(self._client.head_object(Bucket=self.name, Key=key)["Metadata"])
        except ClientError:
            return {}

    def open(self, info: ObjectInfo) -> OpenedObject:
        """Read the version that was listed.

        :raises ObjectGoneError: that version is no longer there.
        """
        try:
            answer = self._client.get_object(Bucket=self.name, Key=info.key, IfMatch=f'"{info.etag}"')
        except ClientError as error:
            raise ObjectGoneError(info.key) from error
        return OpenedObject(dict(answer["Metadata"]), answer["Body"].iter_chunks(_CHUNK))

    def open_uploads(self) -> list[OpenUpload]:
        """List the multipart uploads that were neither completed nor aborted."""
        answer = self._client.list_multipart_uploads(Bucket=self.name)
        return [
            OpenUpload(item["Key"], item["UploadId"], item["Initiated"]) for item in answer.get("Uploads", [])
        ]


class BucketWatcher:
    """Finds new and overwritten objects by listing; never reads one."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: dict[str, tuple[str, datetime]] = {}
        self._dirty = threading.Event()
        self._dirty.set()

    def touch(self) -> None:
        """Say that something was written: without it the next look does not even list."""
        self._dirty.set()

    def changes(self) -> list[ObjectInfo]:
        """Return what is new since the last call, sorted by LastModified and then key."""
        if not self._dirty.is_set():
            return []
        # cleared before listing: a write that lands during the listing is then seen by the next one
        self._dirty.clear()
        listed = self._store.list_objects()
        fresh = [info for info in listed if self._known.get(info.key) != info.version]
        self._known = {info.key: info.version for info in listed}
        return sorted(fresh, key=lambda info: (info.last_modified, info.key))

    def forget(self) -> None:
        """Begin anew with a bucket that is about to be emptied: only what is written after this is new."""
        self._known.clear()
        self._dirty.clear()
