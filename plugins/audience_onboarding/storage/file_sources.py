"""CRM files, local or in S3, one or several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import ConfigurationError, SourceNotFoundError
from audience_onboarding.storage.source_urls import (
    CHECK_PATH,
    ClientFactory,
    is_wild,
    matches,
    split_url,
)

if TYPE_CHECKING:
    from audience_onboarding.crm.sources.base import Source
    from audience_onboarding.storage.s3_sources import S3Location

_NAMES_SHOWN = 5
_CORRECT_PATH = "Correct 'source.path' of the definition, or 'source' of the run"


def resolve_source(
    url: str, *, s3_client: ClientFactory | None = None, options: SourceOptions | None = None
) -> Source:
    """Return the file or files of a URL, ready to be read.

    ``*``, ``?`` and ``[...]`` match characters within one part of the path, unless a file has exactly this name. A URL
    that ends in ``/`` is all files of the folder, without subfolders. Neither matches names that begin with ``.`` or
    ``_`` (Spark's ``_SUCCESS``), unless the pattern does. Files are read in the order of their names.

    CSV in S3 is streamed. Parquet and workbooks, which are read from the end, are copied to the private directory of
    the load.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``.
    :param options: how to read it; its own path does not count.
    :raises SourceNotFoundError: not found. A single object is looked up when it is opened.
    :raises BucketNotFoundError: the bucket does not exist.
    :raises StorageAccessError: the credentials may not list or read it.
    :raises StorageUnavailableError: the storage is not available.
    :raises ConfigurationError: another kind of URL, or no client for ``s3://``.
    """
    location = _locate(url, s3_client)
    sources = location.sources(options or SourceOptions())
    if not sources:
        raise SourceNotFoundError(
            what="CRM file not found" if location.is_single else "No CRM file found",
            where=url,
            why=list_siblings(url),
            next_step=CHECK_PATH,
        )
    if len(sources) == 1:
        return sources[0]

    from audience_onboarding.crm.sources.multi_file import MultiFileSource

    return MultiFileSource(sources, url)


def source_exists(url: str, s3_client: ClientFactory | None = None) -> bool:
    """Return whether the file exists, or at least one of a pattern or folder. Nothing is read.

    :param url: as for :func:`resolve_source`.
    :raises SourceNotFoundError: the path is something else, such as a folder.
    :raises BucketNotFoundError: the bucket does not exist.
    :raises StorageAccessError: permission denied. S3 also answers so for an object that does not exist if the
        credentials may not list the bucket.
    :raises StorageUnavailableError: the storage is not available.
    :raises ConfigurationError: another kind of URL, or no client for ``s3://``.
    """
    return _locate(url, s3_client).exists()


def list_siblings(url: str) -> str:
    """Describe the folder of a missing local file: the last five names with the same extension.

    :return: empty for anything except a single local file with an extension.
    """
    scheme, path = split_url(url)
    folder, name = os.path.split(path)
    extension = os.path.splitext(name)[1]
    if scheme != "file" or not extension or is_wild(path):
        return ""
    try:
        with os.scandir(folder or ".") as entries:
            names = sorted(
                entry.name for entry in entries if matches(entry.name, f"*{extension}") and entry.is_file()
            )
    except FileNotFoundError:
        return "its folder does not exist either"
    except OSError:
        return ""
    if not names:
        return f"its folder has no {extension} file"
    shown = ", ".join(names[-_NAMES_SHOWN:])
    return f"its folder has {shown}" + (
        f" and {len(names) - _NAMES_SHOWN:,} earlier ones" if len(names) > _NAMES_SHOWN else ""
    )


def _locate(url: str, s3_client: ClientFactory | None) -> _LocalLocation | S3Location:
    scheme, rest = split_url(url)
    if scheme == "file":
        location: _LocalLocation | S3Location = _LocalLocation(rest)
    else:
        bucket, slash, key = rest.partition("/")
        if scheme != "s3" or not bucket or not slash:
            raise ConfigurationError(
                what="Invalid source",
                where=f"{scheme}://{rest}",
                why="it is not a path, file:///path or s3://bucket/key",
                next_step=_CORRECT_PATH,
            )
        if s3_client is None:
            raise ConfigurationError(
                what="A source in S3 needs an AWS connection",
                where=url,
                next_step="Set one in the definition",
            )
        from audience_onboarding.storage.s3_sources import S3Location

        location = S3Location(bucket, key, s3_client)
    if not location.name:
        raise ConfigurationError(what="The source has no path", where=url, next_step=_CORRECT_PATH)
    if "**" in location.name:
        raise ConfigurationError(
            what="** is not supported in the path of a source", where=url, next_step="Use one * per folder"
        )
    return location


@dataclass(frozen=True)
class _LocalLocation:
    """Path, pattern, or folder."""

    name: str

    @property
    def is_single(self) -> bool:
        return not self.name.endswith("/") and not is_wild(self.name)

    def exists(self) -> bool:
        return bool(self._names())

    def sources(self, options: SourceOptions) -> list[Source]:
        formats = [(name, options.get_format(name)) for name in self._names()]
        return [
            options.open_csv(path=Path(name))
            if format_ == "csv"
            else options.open_table(format_, Path(name), name)
            for name, format_ in formats
        ]

    def _names(self) -> list[str]:
        try:
            return self._find()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "it cannot be inspected"
        raise SourceNotFoundError(
            what="CRM file not found", where=self.name, why=reason, next_step=CHECK_PATH
        )

    def _find(self) -> list[str]:
        path = Path(self.name)
        if self.name.endswith("/"):
            return sorted(_walk(path, ["*"]))
        if path.is_file():  # a name may contain wildcard characters
            return [self.name]
        if path.is_dir():
            raise SourceNotFoundError(
                what="CRM file not found",
                where=self.name,
                why="it is a directory",
                next_step=f"Correct the path, or end it in / to read all files in the directory. {CHECK_PATH}",
            )
        if not is_wild(self.name):
            return []
        parts = path.parts[1:] if path.anchor else path.parts
        return sorted(_walk(Path(path.anchor), parts))


def _walk(folder: Path, pattern: Sequence[str]) -> Iterator[str]:
    part, *rest = pattern
    if not is_wild(part):
        below = folder / part
        if rest:
            yield from _walk(below, rest)
        elif below.is_file():
            yield str(below)
        return
    if not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if not matches(entry.name, part):
            continue
        if rest and entry.is_dir():
            yield from _walk(folder / entry.name, rest)
        elif not rest and entry.is_file():
            yield str(folder / entry.name)
