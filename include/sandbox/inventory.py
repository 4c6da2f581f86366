"""Inventory of a vendor, in one form for all vendors, for tests to compare. Holds hashes, never personal data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from sandbox.journal import JournalEntry, ObjectEvent, S3Request

Json = dict[str, Any]
_T = TypeVar("_T")
_WRITES: Final = frozenset({"PutObject", "CopyObject", "CompleteMultipartUpload"})


class Item(BaseModel):
    """An object that exists now: campaign, audience, segment or import."""

    kind: str
    id: str
    parent: str | None = None
    name: str
    state: str | None = Field(default=None, description="the vendor's word; null if it has none")
    end: str | None = Field(default=None, description="end date of a segment; ISO 8601, UTC")
    members: int | None = Field(default=None, description="null for an object without members")
    digest: str | None = Field(default=None, description="of all members: equal for equal sets")
    hashes: list[str] | None = Field(
        default=None,
        description="of each member, sorted: SHA-256 of its fields as 'name=value', joined by ';'",
    )


class AcceptedFile(BaseModel):
    """A file that the vendor accepted, identified by audience, key and content."""

    model_config = ConfigDict(frozen=True)

    audience_id: str | None
    key: str | None = Field(default=None, description="in the bucket; null for a file sent to the API")
    mode: str | None = None
    sha256: str | None
    rows: int | None
    times: int = Field(default=1, description="how often exactly this file was accepted")


class Inventory(BaseModel):
    """Everything at one vendor."""

    created: list[Json] = Field(description="kind, parent, name and times of all creations so far")
    items: list[Item]
    files: list[AcceptedFile]


class Creations:
    """Counter of created objects. Not thread-safe: callers hold the owner's lock."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str | None, str]] = Counter()

    def add(self, kind: str, name: str, parent: object = None) -> None:
        """Count one; ``parent`` is the id of the campaign or audience it belongs to."""
        self._counts[kind, None if parent is None else str(parent), name] += 1

    def lines(self) -> list[Json]:
        """Return the counts, as :attr:`Inventory.created` has them."""
        return [
            {"kind": kind, "parent": parent, "name": name, "times": times}
            for (kind, parent, name), times in self._counts.items()
        ]

    def clear(self) -> None:
        """Drop all counts."""
        self._counts.clear()


def with_members(item: Item, members: Iterable[Mapping[str, object]], *, show: bool) -> Item:
    """Return an item with the number of its members and, with ``show``, their hashes."""
    texts = (";".join(f"{name}={value}" for name, value in sorted(fields.items())) for fields in members)
    hashes = sorted(hashlib.sha256(text.encode()).hexdigest() for text in texts)
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return item.model_copy(
        update={"members": len(hashes), "digest": digest, "hashes": hashes if show else None}
    )


def count_files(files: Iterable[AcceptedFile]) -> list[AcceptedFile]:
    """Merge equal files into one with the number of times."""
    return [file.model_copy(update={"times": times}) for file, times in Counter(files).items()]


def accepted_files(entries: Iterable[JournalEntry], vendor: str) -> list[AcceptedFile]:
    """Return the files that a vendor accepted from a bucket, according to the journal."""
    return count_files(
        AcceptedFile(
            audience_id=None if entry.audience_id is None else str(entry.audience_id),
            **{name: getattr(entry, name) for name in ("key", "mode", "sha256", "rows")},
        )
        for entry in entries
        if isinstance(entry, ObjectEvent) and entry.vendor == vendor and entry.outcome == "accepted"
    )


def written_keys(entries: Iterable[JournalEntry]) -> list[Json]:
    """Return the number of writes of each object, according to the journal."""
    counts = Counter(
        (entry.bucket, entry.key)
        for entry in entries
        if isinstance(entry, S3Request) and entry.success and entry.operation in _WRITES
    )
    return [{"bucket": bucket, "key": key, "times": times} for (bucket, key), times in counts.items()]


class MemberPage(BaseModel):
    """Query of an admin route for the members of an audience."""

    offset: int = Field(default=0, ge=0)
    limit: int | None = Field(default=None, ge=1)

    def cut(self, audience_id: object, members: Sequence[_T], show: Callable[[_T], object]) -> Json:
        """Return the answer: the number of all members, and those of the page."""
        end = None if self.limit is None else self.offset + self.limit
        page = [show(member) for member in members[self.offset : end]]
        return {"audience_id": audience_id, "count": len(members), "members": page}
