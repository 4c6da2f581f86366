"""What there is at a vendor, in one form for all of them, for a judge. Never holds personal data, only hashes of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, Field

from sandbox.journal import JournalEntry, ObjectEvent, S3Request


class Created(BaseModel):
    """How often something of this name was created, whether or not it is still there."""

    kind: str = Field(description="campaign, audience, segment or import")
    parent: str | None = Field(description="id of the campaign or audience it belongs to")
    name: str
    times: int


class Item(BaseModel):
    """Something that is there now."""

    kind: str
    id: str
    parent: str | None = None
    name: str
    state: str | None = Field(default=None, description="in the vendor's words; null where it has none")
    end: str | None = Field(default=None, description="end date of a segment; ISO 8601, UTC")
    members: int | None = Field(default=None, description="null for what has no members")
    digest: str | None = Field(default=None, description="of all members: equal for equal sets")
    hashes: list[str] | None = Field(
        default=None,
        description="of each member, sorted: SHA-256 of its fields as 'name=value', joined by ';'",
    )


class AcceptedFile(BaseModel):
    """A file that the vendor took, told apart by audience, key and content."""

    audience_id: str | None
    key: str | None = Field(description="in the bucket; null for one that came by the API")
    mode: str | None
    sha256: str | None
    rows: int | None
    times: int = Field(description="how often exactly this was taken")


class Inventory(BaseModel):
    """What there is at one vendor."""

    created: list[Created] = Field(default_factory=list)
    items: list[Item] = Field(default_factory=list)
    files: list[AcceptedFile] = Field(default_factory=list)


class WrittenKey(BaseModel):
    """How often S3 wrote an object: each good PutObject, CopyObject and CompleteMultipartUpload."""

    bucket: str
    key: str
    times: int


class OpenUpload(BaseModel):
    """A multipart upload that was neither completed nor aborted."""

    bucket: str
    key: str
    upload_id: str


class StoredObject(BaseModel):
    """An object."""

    bucket: str
    key: str
    etag: str
    size: int


class State(BaseModel):
    """Answer of GET /_sandbox/state."""

    vendors: dict[str, Inventory]
    objects: list[StoredObject]
    written: list[WrittenKey]
    open_uploads: list[OpenUpload]
    under_way: int = Field(description="exchanges that have not ended")
    due: int = Field(description="things that a vendor has still to do, as far as it knows already")


class Creations:
    """Counts what is created. Not thread-safe: the owner's lock is held."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str | None, str]] = Counter()

    def add(self, kind: str, name: str, parent: object = None) -> None:
        """Count one."""
        self._counts[kind, None if parent is None else str(parent), name] += 1

    def lines(self) -> list[Created]:
        """Return the counts."""
        return [
            Created(kind=kind, parent=parent, name=name, times=times)
            for (kind, parent, name), times in self._counts.items()
        ]

    def clear(self) -> None:
        """Forget all."""
        self._counts.clear()


def member_hash(fields: Mapping[str, object]) -> str:
    """Return the hash of one member."""
    text = ";".join(f"{name}={value}" for name, value in sorted(fields.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def with_members(item: Item, members: Iterable[Mapping[str, object]], *, show: bool) -> Item:
    """Return an item with its members counted and, with ``show``, listed as hashes."""
    hashes = sorted(map(member_hash, members))
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return item.model_copy(
        update={"members": len(hashes), "digest": digest, "hashes": hashes if show else None}
    )


def count_files(files: Iterable[AcceptedFile]) -> list[AcceptedFile]:
    """Make equal files one, with the number of times."""
    counts: Counter[tuple[str | None, str | None, str | None, str | None, int | None]] = Counter()
    for one in files:
        counts[one.audience_id, one.key, one.mode, one.sha256, one.rows] += one.times
    return [
        AcceptedFile(audience_id=audience, key=key, mode=mode, sha256=sha256, rows=rows, times=times)
        for (audience, key, mode, sha256, rows), times in counts.items()
    ]


def files_of(entries: Iterable[JournalEntry], vendor: str) -> list[AcceptedFile]:
    """Return the files that a vendor took out of a bucket, as the journal has them."""
    return count_files(
        AcceptedFile(
            audience_id=None if entry.audience_id is None else str(entry.audience_id),
            key=entry.key,
            mode=entry.mode,
            sha256=entry.sha256,
            rows=entry.rows,
            times=1,
        )
        for entry in entries
        if isinstance(entry, ObjectEvent) and entry.vendor == vendor and entry.outcome == "accepted"
    )


def written_keys(entries: Iterable[JournalEntry]) -> list[WrittenKey]:
    """Return how often each object was written, as the journal has it."""
    writing = {"PutObject", "CopyObject", "CompleteMultipartUpload"}
    counts = Counter(
        (entry.bucket, entry.key)
        for entry in entries
        if isinstance(entry, S3Request) and entry.success and entry.operation in writing
    )
    return [WrittenKey(bucket=bucket, key=key, times=times) for (bucket, key), times in counts.items()]
