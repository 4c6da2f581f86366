"""Where snapshots of lists lie: a folder of the owner's, on a disk or in S3, never a place where a vendor reads."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from audience_onboarding.exceptions import ConfigurationError, SourceNotFoundError
from audience_onboarding.storage.file_sources import split_url
from audience_onboarding.storage.s3_errors import NoSuchKey, translate_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Client = Callable[[], "S3Client"]
"""Makes the client; called for ``s3://`` only."""

_PART_SIZE = 8 * 1024 * 1024


def snapshot_url(folder: str, *, load_date: str, content_id: str) -> str:
    """The file of one list: the same list of the same day always has the same name.

    :param folder: a path or ``s3://bucket/prefix``.
    """
    return f"{folder.rstrip('/')}/{load_date}-{content_id}.parquet"


def save_snapshot(path: Path, url: str, *, s3_client: Client) -> None:
    """Put a file into the folder, in the place of one of the same name. It appears as a whole or not at all.

    :param path: the file, which stays.
    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :raises ConfigurationError: the folder cannot be written to.
    :raises AudienceOnboardingError: S3 says no, see :func:`.s3_errors.translate_errors`.
    """
    place = _place_in_s3(url)
    if place is None:
        _copy(path, _local(url))
        return
    from boto3.s3.transfer import TransferConfig

    bucket, key = place
    config = TransferConfig(multipart_threshold=_PART_SIZE, multipart_chunksize=_PART_SIZE, max_concurrency=2)
    with path.open("rb") as stream, translate_errors("PutObject", bucket=bucket, key=key):
        s3_client().upload_fileobj(stream, bucket, key, Config=config)


def fetch_snapshot(url: str, directory: Path, *, s3_client: Client) -> Path:
    """A snapshot as a local file, of the same name.

    :param directory: a private one; only what lies in S3 is copied there.
    :raises SourceNotFoundError: it is not there.
    :raises AudienceOnboardingError: S3 says no, see :func:`.s3_errors.translate_errors`.
    """
    place = _place_in_s3(url)
    if place is None:
        path = _local(url)
        if not path.is_file():
            raise _missing(url)
        return path
    bucket, key = place
    path = directory / url.rpartition("/")[2]
    try:
        with translate_errors("GetObject", bucket=bucket, key=key):
            body = s3_client().get_object(Bucket=bucket, Key=key)["Body"]
            with open(path, "wb", opener=_for_the_owner_only) as out:
                for block in body.iter_chunks(_PART_SIZE):
                    out.write(block)
    except NoSuchKey:
        raise _missing(url) from None
    return path


def delete_snapshot(url: str, *, s3_client: Client) -> None:
    """Delete one; nothing happens where there is none.

    :raises ConfigurationError: the folder cannot be written to.
    :raises AudienceOnboardingError: S3 says no, see :func:`.s3_errors.translate_errors`.
    """
    place = _place_in_s3(url)
    if place is None:
        path = _local(url)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(path, error) from None
        return
    bucket, key = place
    with translate_errors("DeleteObject", bucket=bucket, key=key):
        s3_client().delete_object(Bucket=bucket, Key=key)


def _local(url: str) -> Path:
    scheme, rest = split_url(url)
    return Path(rest if scheme == "file" else url)


def _place_in_s3(url: str) -> tuple[str, str] | None:
    """Bucket and key, ``None`` for a file."""
    scheme, rest = split_url(url)
    bucket, _, key = rest.partition("/")
    return (bucket, key) if scheme == "s3" else None


def _for_the_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _copy(path: Path, to: Path) -> None:
    try:
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=to.parent)  # mode 0600
    except OSError as error:
        raise _cannot_write(to, error) from None
    try:
        with os.fdopen(handle, "wb") as out, path.open("rb") as stream:
            shutil.copyfileobj(stream, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, to)
    except OSError as error:
        raise _cannot_write(to, error) from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _cannot_write(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        what="the folder of snapshots cannot be written to",
        where=str(path),
        why=error.strerror or type(error).__name__,
        next_step="Correct 'snapshots' in the definition, or the rights of the folder",
    )


def _missing(url: str) -> SourceNotFoundError:
    return SourceNotFoundError(
        what="the snapshot of the last load is not there",
        where=url,
        next_step="Bring it back from a backup, or load the list once with mode replace: it needs no snapshot, and "
        "leaves one",
    )
