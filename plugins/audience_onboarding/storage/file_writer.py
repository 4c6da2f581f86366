"""Writes a whole file to a folder of the owner, on disk or in S3. It appears complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.storage.s3_errors import translate_errors
from audience_onboarding.storage.source_urls import ClientFactory, split_url

PART_SIZE = 8 * 1024 * 1024


def split_s3_url(url: str) -> tuple[str, str] | None:
    """Return bucket and key of an ``s3://`` URL, ``None`` for any other."""
    scheme, rest = split_url(url)
    bucket, _, key = rest.partition("/")
    return (bucket, key) if scheme == "s3" else None


def local_path(url: str) -> Path:
    """Return the path of a ``file://`` URL or of a plain path."""
    scheme, rest = split_url(url)
    return Path(rest if scheme == "file" else url)


def write_file(
    url: str,
    stream: BinaryIO,
    *,
    s3_client: ClientFactory,
    content_type: str = "",
    failure: str,
    next_step: str,
) -> None:
    """Write a stream to a file, which is replaced if it exists.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :param content_type: of an object in S3.
    :param failure: message of the error for a folder that is not writable.
    :param next_step: action in that error.
    :raises ConfigurationError: the folder is not writable.
    :raises AudienceOnboardingError: error of S3, see :func:`.translate_errors`.
    """
    address = split_s3_url(url)
    if address is None:
        try:
            _write_local(local_path(url), stream)
        except OSError as error:
            raise not_writable(local_path(url), error, failure=failure, next_step=next_step) from None
        return
    from boto3.s3.transfer import TransferConfig

    bucket, key = address
    config = TransferConfig(multipart_threshold=PART_SIZE, multipart_chunksize=PART_SIZE, max_concurrency=2)
    extra = {"ContentType": content_type} if content_type else None
    with translate_errors("PutObject", bucket=bucket, key=key):
        s3_client().upload_fileobj(stream, bucket, key, ExtraArgs=extra, Config=config)


def _write_local(path: Path, stream: BinaryIO) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as out:
            shutil.copyfileobj(stream, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def not_writable(path: Path, error: OSError, *, failure: str, next_step: str) -> ConfigurationError:
    """Return the error for a folder that is not writable."""
    why = error.strerror or type(error).__name__
    return ConfigurationError(what=failure, where=str(path), why=why, next_step=next_step)
