"""Files of snapshots: in a folder of the owner, on disk or in S3, never where a vendor reads."""

from __future__ import annotations

import os
from pathlib import Path

from audience_onboarding.exceptions import SourceNotFoundError
from audience_onboarding.storage.file_writer import (
    PART_SIZE,
    local_path,
    not_writable,
    split_s3_url,
    write_file,
)
from audience_onboarding.storage.s3_errors import NoSuchKey, translate_errors
from audience_onboarding.storage.source_urls import ClientFactory

_NOT_WRITABLE = {
    "failure": "Snapshot folder not writable",
    "next_step": "Correct 'snapshots' in the definition, or the permissions of the folder",
}


def snapshot_url(folder: str, *, load_date: str, content_id: str) -> str:
    """Return the file of one list: the same list of the same date always has the same name.

    :param folder: a path or ``s3://bucket/prefix``.
    """
    return f"{folder.rstrip('/')}/{load_date}-{content_id}.parquet"


def save_snapshot(path: Path, url: str, *, s3_client: ClientFactory) -> None:
    """Copy a file to the folder, complete or not at all. An existing file of the same name is replaced.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :raises ConfigurationError: the folder is not writable.
    :raises AudienceOnboardingError: error of S3, see :func:`.translate_errors`.
    """
    with path.open("rb") as stream:
        write_file(url, stream, s3_client=s3_client, **_NOT_WRITABLE)


def fetch_snapshot(url: str, directory: Path, *, s3_client: ClientFactory) -> Path:
    """Return a snapshot as a local file of the same name.

    :param directory: a private one; a snapshot in S3 is copied there.
    :raises SourceNotFoundError: the snapshot does not exist.
    :raises AudienceOnboardingError: error of S3, see :func:`.translate_errors`.
    """
    address = split_s3_url(url)
    if address is None:
        path = local_path(url)
        if not path.is_file():
            raise _not_found(url)
        return path
    bucket, key = address
    path = directory / url.rpartition("/")[2]
    try:
        with translate_errors("GetObject", bucket=bucket, key=key):
            body = s3_client().get_object(Bucket=bucket, Key=key)["Body"]
            with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
                for block in body.iter_chunks(PART_SIZE):
                    out.write(block)
    except NoSuchKey:
        raise _not_found(url) from None
    return path


def delete_snapshot(url: str, *, s3_client: ClientFactory) -> None:
    """Delete a snapshot, if it exists.

    :raises ConfigurationError: the folder is not writable.
    :raises AudienceOnboardingError: error of S3, see :func:`.translate_errors`.
    """
    address = split_s3_url(url)
    if address is None:
        path = local_path(url)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise not_writable(path, error, **_NOT_WRITABLE) from None
        return
    bucket, key = address
    with translate_errors("DeleteObject", bucket=bucket, key=key):
        s3_client().delete_object(Bucket=bucket, Key=key)


def _not_found(url: str) -> SourceNotFoundError:
    return SourceNotFoundError(
        what="Snapshot of the last load not found",
        where=url,
        next_step="Restore it from a backup, or load the list once with mode replace, which needs no snapshot and "
        "writes one",
    )
