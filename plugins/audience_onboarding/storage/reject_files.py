"""Where the list of rejected rows and fields goes: a file of the user's own, never a place where a vendor reads."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.storage.file_sources import split_url

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MAX_NAME = 200
_PART_SIZE = 8 * 1024 * 1024


def rejects_url(folder: str, *, load_date: str, run_id: str) -> str:
    """The file of one load. Each run of a day has its own, and a retry overwrites that of the try before.

    :param folder: a path or ``s3://bucket/prefix``.
    """
    # Run ids hold colons and plus signs, which not every file system and tool takes.
    name = re.sub(r"[^A-Za-z0-9._-]", "-", run_id)[:_MAX_NAME]
    return f"{folder.rstrip('/')}/{load_date}-{name}.csv"


def write_rejects(
    url: str, blocks: Iterator[bytes], *, s3_client: Callable[[], S3Client] | None = None
) -> None:
    """Write the file, in the place of one of the same name. It appears as a whole or not at all.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :param s3_client: makes the client; called for ``s3://`` only.
    :raises ConfigurationError: the folder cannot be written to, or it is another kind of URL.
    :raises AudienceOnboardingError: S3 says no, see :func:`.s3_errors.translate_errors`.
    """
    scheme, rest = split_url(url)
    if scheme == "file":
        _write_local(Path(rest), blocks)
        return
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or s3_client is None:
        raise ConfigurationError(
            what="rejects go to a path, file:///path or s3://bucket/prefix",
            where=url,
            next_step="Correct 'rejects.path' of the definition",
        )
    _write_s3(s3_client(), bucket, key, blocks)


def _write_local(path: Path, blocks: Iterator[bytes]) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)  # mode 0600
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        with os.fdopen(handle, "wb") as out:
            for block in blocks:
                out.write(block)
        os.replace(name, path)
    except OSError as error:
        raise _cannot_write(path, error) from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _cannot_write(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        what="the list of rejects cannot be written, so nothing is sent",
        where=str(path),
        why=error.strerror or type(error).__name__,
        next_step="Correct 'rejects' in the definition, or the rights of the folder",
    )


def _write_s3(client: S3Client, bucket: str, key: str, blocks: Iterator[bytes]) -> None:
    from boto3.s3.transfer import TransferConfig

    from audience_onboarding.crm.sources.text_stream import buffered
    from audience_onboarding.storage.s3_errors import translate_errors

    config = TransferConfig(
        multipart_threshold=_PART_SIZE, multipart_chunksize=_PART_SIZE, max_concurrency=2, use_threads=True
    )
    with translate_errors("PutObject", bucket=bucket, key=key):
        client.upload_fileobj(
            buffered(blocks, _PART_SIZE),
            bucket,
            key,
            ExtraArgs={"ContentType": "text/csv; charset=utf-8"},
            Config=config,
        )
