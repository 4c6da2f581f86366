"""Sources as local files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from audience_onboarding.crm.private_directory import private_directory
from audience_onboarding.errors import (
    ConfigurationError,
    SourceNotFoundError,
    StorageUnavailableError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BLOCK = 1024 * 1024


@contextmanager
def local_copy(
    url: str,
    *,
    s3_client: Callable[[], S3Client] | None = None,
    spill_dir: Path | str | None = None,
) -> Iterator[Path]:
    """The source as a local file, for as long as the context lasts.

    A local file is used where it is. An object is streamed to a private directory (mode 0700) that is removed
    at the end, also on errors.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :param s3_client: makes the client; called for ``s3://`` only.
    :param spill_dir: where to make the private directory; the system's temporary directory by default.
    :raises SourceNotFoundError: no such file or object.
    :raises BucketNotFoundError: no such bucket.
    :raises StorageAccessError: the credentials may not read it.
    :raises StorageUnavailableError: the storage is down, or the download broke off.
    :raises ConfigurationError: another kind of URL, or no client for ``s3://``.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        yield _local(Path(rest) if separator else Path(url))
        return
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise ConfigurationError(
            what="a source must be a path, file:///path or s3://bucket/key", where=f"{scheme}://{rest}"
        )
    if s3_client is None:
        raise ConfigurationError(
            what="a source on S3 needs an S3 connection", where=url, next_step="Name one in the definition"
        )
    with private_directory(spill_dir) as directory:
        target = directory / f"source{Path(key).suffix}"
        _download(s3_client(), bucket, key, target)
        yield target


def _local(path: Path) -> Path:
    if path.is_file():
        return path
    raise SourceNotFoundError(
        what="the CRM file does not exist",
        where=str(path),
        why="it is a directory" if path.is_dir() else "",
        next_step="Check the path in the definition and that the export of this date has run",
    )


def _download(client: S3Client, bucket: str, key: str, target: Path) -> None:
    import urllib3.exceptions

    from audience_onboarding.storage.s3_errors import NoSuchKey, translated

    url = f"s3://{bucket}/{key}"
    size = 0
    broken = ""
    try:
        with translated("GetObject", bucket=bucket, key=key), target.open("wb") as out:
            answer = client.get_object(Bucket=bucket, Key=key)
            for block in answer["Body"].iter_chunks(_BLOCK):
                size += out.write(block)
        if size != answer["ContentLength"]:
            broken = f"{size} of {answer['ContentLength']} bytes"
    except NoSuchKey:
        raise SourceNotFoundError(
            what="the CRM file does not exist",
            where=url,
            next_step="Check the URL in the definition and that the export of this date has run",
        ) from None
    except urllib3.exceptions.HTTPError as error:
        broken = type(error).__name__
    if broken:
        raise StorageUnavailableError(what="the download of the CRM file broke off", where=url, why=broken)
