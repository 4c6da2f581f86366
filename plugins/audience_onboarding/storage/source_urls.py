"""URLs of sources, and patterns in them."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


ClientFactory = Callable[[], "S3Client"]
"""Makes the client; called for ``s3://`` only."""

CHECK_PATH = "Check the path in the definition, and that the export of this date has run"

WILDCARDS = frozenset("*?[")
_HIDDEN = (".", "_")


def split_url(url: str) -> tuple[str, str]:
    """Return the scheme of a URL and the part after ``://``; ``file`` and the path for a path."""
    scheme, separator, rest = url.partition("://")
    return (scheme, rest) if separator else ("file", url)


def is_wild(text: str) -> bool:
    """Return whether a path or a part of it contains a wildcard."""
    return not WILDCARDS.isdisjoint(text)


def matches(name: str, pattern: str) -> bool:
    """Return whether one part of a path matches one part of a pattern."""
    if not is_wild(pattern):
        return name == pattern
    hidden = name.startswith(_HIDDEN) and not pattern.startswith(name[0])
    return not hidden and fnmatchcase(name, pattern)
