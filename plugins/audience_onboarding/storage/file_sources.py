"""Where the lists are: files here and on S3, one or several."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

from audience_onboarding.exceptions import ConfigurationError, SourceNotFoundError, StorageUnavailableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

    from audience_onboarding.crm.sources.base import Reading, Source

Format = Literal["auto", "csv", "parquet", "xlsx"]
FORMATS: tuple[Format, ...] = get_args(Format)
ClientMaker = Callable[[], "S3Client"]

_MIB = 1024 * 1024
_FORMATS: dict[str, Format] = {".parquet": "parquet", ".xlsx": "xlsx", ".xlsm": "xlsx", ".xls": "xlsx"}
_WILD = frozenset("*?[")
_HIDDEN = (".", "_")
_NAMES_SHOWN = 5
_CHECK = "Check the path in the definition and that the export of this date has run"


@dataclass(frozen=True)
class SourceSpec:
    """How a file is to be read.

    :param format: ``auto`` goes by the end of the name: ``.parquet``; ``.xlsx``, ``.xlsm``, ``.xls``; CSV otherwise.
    :param delimiter: of a CSV file, or ``auto``.
    :param encoding: of a CSV file, or ``auto``.
    :param quote: of a CSV file, or ``auto``.
    :param sheet: of a workbook: its name, or its place from 1; the first visible one where ``None``.
    """

    format: str = "auto"
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    sheet: str | int | None = None

    def get_format(self, name: str) -> str:
        """The format of a file with this name.

        :raises ConfigurationError: the format is not known.
        """
        if self.format == "auto":
            return _FORMATS.get(os.path.splitext(name)[1].lower(), "csv")
        if self.format not in FORMATS:
            raise ConfigurationError(
                what=f"{self.format!r} is no format of a source",
                next_step=f"Allowed are {', '.join(FORMATS)}",
            )
        return self.format


def resolve_source(
    url: str, *, s3_client: ClientMaker | None = None, spec: SourceSpec = SourceSpec()
) -> Source:
    """The file or files that a URL names, ready to be read.

    ``*``, ``?`` and ``[...]`` stand for characters within one part of the path, unless a file has exactly this name. A
    URL that ends in ``/`` is all files of the folder, but not those of folders in it. Neither finds names that begin
    with ``.`` or ``_`` (Spark's ``_SUCCESS``), unless the pattern does. Files are read in the order of their names.

    Text on S3 is streamed, never a file here. Parquet and workbooks, which are read from the end, are copied to the
    private directory of the load.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :param s3_client: makes the client; called for ``s3://`` only.
    :param spec: how to read it.
    :raises SourceNotFoundError: there is no such file. For a single object this comes when it is opened.
    :raises BucketNotFoundError: there is no such bucket.
    :raises StorageAccessError: the credentials may not list it, or read it.
    :raises StorageUnavailableError: the storage is down.
    :raises ConfigurationError: another kind of URL, or no client for ``s3://``.
    """
    place = _place(url, s3_client)
    sources = [file.source(spec) for file in place.files()]
    if not sources:
        raise SourceNotFoundError(
            what="the CRM file does not exist" if place.is_single else "no CRM file is there",
            where=url,
            why=list_siblings(url),
            next_step=_CHECK,
        )
    if len(sources) == 1:
        return sources[0]

    from audience_onboarding.crm.sources.multi_file import ManySources

    return ManySources(sources, url)


def source_exists(url: str, s3_client: ClientMaker | None = None) -> bool:
    """Whether the file is there, or at least one of a pattern or folder. Nothing is read.

    :param url: as for :func:`resolve_source`.
    :param s3_client: makes the client; called for ``s3://`` only.
    :raises SourceNotFoundError: something else is there, such as a folder in place of a file.
    :raises BucketNotFoundError: there is no such bucket.
    :raises StorageAccessError: the credentials may not look. S3 also answers so for an object that does not exist if
        they may not list the bucket.
    :raises StorageUnavailableError: the storage is down.
    :raises ConfigurationError: another kind of URL, or no client for ``s3://``.
    """
    return _place(url, s3_client).is_there()


def list_siblings(url: str) -> str:
    """What lies where a single file here is not: names of up to five files with the same ending, the last ones.

    :return: a few words; empty for anything but a single file here that has an ending.
    """
    scheme, path = split_url(url)
    folder, name = os.path.split(path)
    ending = os.path.splitext(name)[1]
    if scheme != "file" or not ending or _is_wild(path):
        return ""
    try:
        with os.scandir(folder or ".") as entries:
            found = sorted(
                entry.name for entry in entries if _fits(entry.name, f"*{ending}") and entry.is_file()
            )
    except FileNotFoundError:
        return "its folder is not there either"
    except OSError:
        return ""
    if not found:
        return f"its folder holds no {ending} file"
    shown = ", ".join(found[-_NAMES_SHOWN:])
    return f"its folder holds {shown}" + (
        f" and {len(found) - _NAMES_SHOWN:,} more before" if len(found) > _NAMES_SHOWN else ""
    )


def split_url(url: str) -> tuple[str, str]:
    """The scheme of a URL, and what comes after ``://``; ``file`` and the path for a path."""
    scheme, separator, rest = url.partition("://")
    return (scheme, rest) if separator else ("file", url)


def _place(url: str, s3_client: ClientMaker | None) -> _LocalPlace | _S3Place:
    scheme, rest = split_url(url)
    if scheme == "file":
        place: _LocalPlace | _S3Place = _LocalPlace(rest)
    else:
        bucket, slash, key = rest.partition("/")
        if scheme != "s3" or not bucket or not slash:
            raise ConfigurationError(
                what="a source must be a path, file:///path or s3://bucket/key",
                where=f"{scheme}://{rest}",
                next_step="Correct 'source.path' of the definition, or 'source' of the run",
            )
        if s3_client is None:
            raise ConfigurationError(
                what="a source on S3 needs an S3 connection",
                where=url,
                next_step="Name one in the definition",
            )
        place = _S3Place(bucket, key, s3_client)
    if not place.name:
        raise ConfigurationError(
            what="a source must have a path",
            where=url,
            next_step="Correct 'source.path' of the definition, or 'source' of the run",
        )
    if "**" in place.name:
        raise ConfigurationError(
            what="** has no meaning in the path of a source",
            where=url,
            next_step="Write one * for each folder",
        )
    return place


def _is_wild(text: str) -> bool:
    return not _WILD.isdisjoint(text)


def _fits(name: str, pattern: str) -> bool:
    """Whether one part of a path fits one of a pattern."""
    if not _is_wild(pattern):
        return name == pattern
    hidden = name.startswith(_HIDDEN) and not pattern.startswith(name[0])
    return not hidden and fnmatchcase(name, pattern)


# --- files here ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LocalFile:
    path: str

    def source(self, spec: SourceSpec) -> Source:
        format_ = spec.get_format(self.path)
        if format_ != "csv":
            return _table(format_, Path(self.path), self.path, spec)

        from audience_onboarding.crm.sources.csv_file import CsvSource

        return CsvSource(
            path=Path(self.path), delimiter=spec.delimiter, encoding=spec.encoding, quote=spec.quote
        )


@dataclass(frozen=True)
class _LocalPlace:
    """A path, a pattern, or a folder."""

    name: str

    @property
    def is_single(self) -> bool:
        return not self.name.endswith("/") and not _is_wild(self.name)

    def is_there(self) -> bool:
        return bool(self.files())

    def files(self) -> Sequence[_LocalFile]:
        try:
            return self._files()
        except OSError as error:
            problem = os.strerror(error.errno) if error.errno else "it cannot be looked at"
        raise SourceNotFoundError(
            what="the CRM file cannot be found", where=self.name, why=problem, next_step=_CHECK
        )

    def _files(self) -> Sequence[_LocalFile]:
        path = Path(self.name)
        if self.name.endswith("/"):
            return [_LocalFile(found) for found in sorted(_walk(path, ["*"]))]
        if path.is_file():  # whatever characters are in its name
            return [_LocalFile(self.name)]
        if path.is_dir():
            raise SourceNotFoundError(
                what="the CRM file does not exist",
                where=self.name,
                why="it is a directory",
                next_step=f"Correct the path, or end it in / to read all files in the directory. {_CHECK}",
            )
        if not _is_wild(self.name):
            return []
        parts = path.parts[1:] if path.anchor else path.parts
        return [_LocalFile(found) for found in sorted(_walk(Path(path.anchor), parts))]


def _walk(folder: Path, pattern: Sequence[str]) -> Iterator[str]:
    part, *rest = pattern
    if not _is_wild(part):
        below = folder / part
        if rest:
            yield from _walk(below, rest)
        elif below.is_file():
            yield str(below)
        return
    if not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if not _fits(entry.name, part):
            continue
        if rest and entry.is_dir():
            yield from _walk(folder / entry.name, rest)
        elif not rest and entry.is_file():
            yield str(folder / entry.name)


def _table(format_: str, path: Path, label: str, spec: SourceSpec) -> Source:
    if format_ == "parquet":
        from audience_onboarding.crm.sources.parquet_file import ParquetSource

        return ParquetSource(path, label)

    from audience_onboarding.crm.sources.excel_file import XlsxSource

    return XlsxSource(path, label, spec.sheet)


# --- objects on S3 -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _S3Place:
    """A key, a pattern, or a prefix."""

    bucket: str
    key: str
    s3_client: ClientMaker

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_single(self) -> bool:
        return bool(self.key) and not self.key.endswith("/") and not _is_wild(self.key)

    def is_there(self) -> bool:
        from audience_onboarding.storage.s3_errors import NoSuchKey, translate_errors

        client = self.s3_client()
        if not self.is_single:
            return next(self._listed(client), None) is not None
        try:
            with translate_errors("HeadObject", bucket=self.bucket, key=self.key):
                client.head_object(Bucket=self.bucket, Key=self.key)
        except NoSuchKey:
            pass
        else:
            return True
        # Nobody should wait for hours for a file in a bucket that does not exist.
        self._check_bucket(client)
        return False

    def _check_bucket(self, client: S3Client) -> None:
        from audience_onboarding.exceptions import StorageAccessError
        from audience_onboarding.storage.s3_errors import translate_errors

        try:
            with translate_errors("HeadBucket", bucket=self.bucket, key=""):
                client.head_bucket(Bucket=self.bucket)
        except StorageAccessError:
            pass  # then we may not know

    def files(self) -> Sequence[_S3Object]:
        client = self.s3_client()
        if self.is_single:
            return [_S3Object(client, self.bucket, self.key)]
        found = sorted(self._listed(client), key=lambda item: item.key)
        # Characters of a pattern may be those of a name.
        return [item for item in found if item.key == self.key] or found

    def _listed(self, client: S3Client) -> Iterator[_S3Object]:
        from audience_onboarding.storage.s3_errors import translate_errors

        is_folder = not self.key or self.key.endswith("/")
        pattern = (f"{self.key}*" if is_folder else self.key).split("/")
        prefix = self.key[: next((at for at, char in enumerate(self.key) if char in _WILD), len(self.key))]
        pages = client.get_paginator("list_objects_v2")
        if any(map(_is_wild, pattern[:-1])):
            listing = pages.paginate(Bucket=self.bucket, Prefix=prefix)
        else:
            # What is in folders below is not even listed.
            listing = pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        with translate_errors("ListObjectsV2", bucket=self.bucket, key=prefix):
            for page in listing:
                for item in page.get("Contents", []):
                    parts = item["Key"].split("/")
                    fits = len(parts) == len(pattern) and all(map(_fits, parts, pattern))
                    # What ends in a slash is how some tools write an empty folder.
                    if parts[-1] and (fits or item["Key"] == self.key):
                        yield _S3Object(client, self.bucket, item["Key"], item.get("ETag"))


class _S3Object:
    """An object that is the same one each time that it is opened.

    :param etag: of the object as it was listed, if it was.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, etag: str | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self.key = key
        self._etag = etag

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self.key}"

    def source(self, spec: SourceSpec) -> Source:
        format_ = spec.get_format(self.key)
        if format_ != "csv":
            return _Copied(self, format_, spec)

        from audience_onboarding.crm.sources.csv_file import CsvSource

        return CsvSource(
            stream=self.open,
            delimiter=spec.delimiter,
            encoding=spec.encoding,
            quote=spec.quote,
            label=self.url,
        )

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Its bytes, from the network.

        :raises SourceNotFoundError: there is no such object.
        :raises StorageUnavailableError: the storage is down, the download broke off, or there is another object by now.
        """
        body, size = self._get()
        try:
            yield io.BufferedReader(_Body(body, size, self.url), _MIB)
        finally:
            body.close()

    def _get(self) -> tuple[StreamingBody, int]:
        from audience_onboarding.storage.s3_errors import NoSuchKey, PreconditionFailed, translate_errors

        try:
            with translate_errors("GetObject", bucket=self._bucket, key=self.key):
                if self._etag:
                    answer = self._client.get_object(Bucket=self._bucket, Key=self.key, IfMatch=self._etag)
                else:
                    answer = self._client.get_object(Bucket=self._bucket, Key=self.key)
        except NoSuchKey:
            error: Exception = SourceNotFoundError(
                what="the CRM file does not exist", where=self.url, next_step=_CHECK
            )
        except PreconditionFailed:
            error = StorageUnavailableError(
                what="the CRM file was replaced while the load was reading",
                where=self.url,
                next_step="The next try reads the new one",
            )
        else:
            self._etag = answer["ETag"]
            return answer["Body"], answer["ContentLength"]
        raise error


class _Body(io.RawIOBase):
    """The body of an answer. One that ends too early is an error, not an end."""

    def __init__(self, body: StreamingBody, size: int, url: str) -> None:
        self._body = body
        self._size = size
        self._read = 0
        self._url = url

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        import botocore.exceptions
        import urllib3.exceptions

        target = memoryview(buffer).cast("B")
        broken = ""
        block = b""
        try:
            block = self._body.read(len(target))
        except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
            broken = type(error).__name__
        self._read += len(block)
        if not block and not broken and self._read < self._size:
            broken = "the connection was closed"
        if broken:
            raise StorageUnavailableError(
                what="the download of the CRM file broke off",
                where=self._url,
                why=f"{broken} after {self._read} of {self._size} bytes",
            )
        target[: len(block)] = block
        return len(block)


@dataclass(frozen=True)
class _Copied:
    """An object of a format that is read from several places at once: a copy in the private directory."""

    item: _S3Object
    format: str
    spec: SourceSpec

    @property
    def name(self) -> str:
        return self.item.url

    @contextmanager
    def open(self, wanted: Sequence[str], workdir: Path) -> Iterator[Reading]:
        handle, name = tempfile.mkstemp(prefix="source-", dir=workdir)  # nobody else may read it
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as out, self.item.open() as body:
                shutil.copyfileobj(body, out, _MIB)
            with _table(self.format, path, self.name, self.spec).open(wanted, workdir) as reading:
                yield reading
        finally:
            path.unlink(missing_ok=True)
