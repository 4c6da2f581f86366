"""Buckets of the simulated S3, and the detection of new objects in them.

The sandbox reads moto's own objects and sends no requests to its S3 port: a fault on that port must not affect the
vendors' background work or the admin API.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.utilities.utils import get_partition

_USER_METADATA = "x-amz-meta-"


class ObjectGoneError(Exception):
    """The object was deleted or replaced after it had been listed."""


@dataclass(frozen=True)
class ObjectInfo:
    """An object as a listing shows it; times have a precision of one second."""

    key: str
    etag: str
    size: int
    last_modified: datetime


@dataclass(frozen=True)
class ObjectContent:
    """Content of an object, and its user metadata."""

    metadata: dict[str, str]
    body: bytes


class Bucket:
    """A bucket. moto keeps its buckets per process, not per server."""

    def __init__(self, name: str, region: str) -> None:
        """Create the bucket.

        :raises FileExistsError: it exists, as another sandbox runs in this process.
        :raises moto.s3.exceptions.S3ClientError: invalid name.
        """
        if name in s3_backends.bucket_accounts:
            raise FileExistsError(f"Bucket {name} already exists: another sandbox runs in this process")
        self.name = name
        self._backend = s3_backends[DEFAULT_ACCOUNT_ID][get_partition(region)]
        self._bucket = self._backend.create_bucket(name, region)

    def list_objects(self) -> list[ObjectInfo]:
        """List the whole bucket, sorted by key."""
        return [
            ObjectInfo(key, _etag(stored), stored.size, _second(stored.last_modified))
            for key, stored in sorted(self._bucket.keys.items())
        ]

    def metadata(self, key: str) -> dict[str, str]:
        """Return the user metadata of an object; empty if it does not exist."""
        stored = self._bucket.keys.get(key)
        names = stored.metadata if stored is not None else {}
        return {
            name.removeprefix(_USER_METADATA): str(value)
            for name, value in names.items()
            if name.startswith(_USER_METADATA)
        }

    def read(self, info: ObjectInfo) -> ObjectContent:
        """Read the listed version of an object.

        :raises ObjectGoneError: that version no longer exists.
        """
        stored = self._bucket.keys.get(info.key)
        if stored is None or _etag(stored) != info.etag:
            raise ObjectGoneError(info.key)
        try:
            return ObjectContent(self.metadata(info.key), stored.value)
        except ValueError:
            # moto closes the buffer of a deleted object
            raise ObjectGoneError(info.key) from None

    def open_uploads(self) -> list[tuple[str, str]]:
        """Return key and upload id of each multipart upload that was neither completed nor aborted."""
        return [(upload.key_name, upload.id) for upload in list(self._bucket.multiparts.values())]

    def empty(self) -> None:
        """Delete all objects and uploads."""
        stored = [*self._bucket.keys.values(), *list(self._bucket.multiparts.values())]
        self._bucket.keys.clear()
        self._bucket.multiparts.clear()
        for item in stored:
            item.dispose()

    def delete(self) -> None:
        """Delete the bucket and its content."""
        self.empty()
        self._backend.delete_bucket(self.name)


def _etag(stored: Any) -> str:
    return str(stored.etag).strip('"')


def _second(timestamp: datetime) -> datetime:
    return timestamp.replace(microsecond=0, tzinfo=timezone.utc)


class BucketWatcher:
    """Finds new and overwritten objects by listing; never reads one."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._versions: dict[str, tuple[str, datetime]] = {}
        self._dirty = threading.Event()
        self._dirty.set()

    def touch(self) -> None:
        """Announce a write; without one :meth:`changes` does not list the bucket."""
        self._dirty.set()

    def changes(self) -> list[ObjectInfo]:
        """Return the objects written since the last call, sorted by LastModified and then key.

        Equal bytes written again within the same second are not a change.
        """
        if not self._dirty.is_set():
            return []
        # cleared before listing: the next call then finds a write that lands during the listing
        self._dirty.clear()
        versions = {info: (info.etag, info.last_modified) for info in self._bucket.list_objects()}
        fresh = [info for info, version in versions.items() if self._versions.get(info.key) != version]
        self._versions = {info.key: version for info, version in versions.items()}
        return sorted(fresh, key=lambda info: (info.last_modified, info.key))

    def clear(self) -> None:
        """Start again with a bucket that is about to be emptied: only later writes are changes."""
        self._versions.clear()
        self._dirty.clear()
