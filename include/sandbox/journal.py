"""What really happened at the vendor's side: API calls, S3 writes and file events in one numbered list."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from itertools import takewhile
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field

from sandbox.clock import Clock, iso


class Entry(BaseModel):
    """What all entries have in common."""

    seq: int = Field(description="rises by one per entry, also across a reset")
    time: str = Field(description="ISO 8601, UTC")


Action = Literal["answer", "drop", "reset", "delay", "hold", "change", "expire", "refuse"]
When = Literal["before", "during", "after"]


class FaultNote(BaseModel):
    """A fault that this call got. What the entry says besides is what the vendor did."""

    id: int
    action: Action
    when: When
    status: int | None = Field(default=None, description="HTTP status the caller got in its place, if any")


class ApiCall(Entry):
    """One HTTP request to a vendor's API. Never holds a password or a cookie."""

    kind: Literal["api"] = "api"
    vendor: str | None = None
    operation: str | None = Field(
        default=None, description="canonical name; null when no operation has this path"
    )
    method: str
    path: str = Field(description="as sent, before any normalisation")
    query: str = ""
    user: str | None = None
    http_status: int = Field(
        description="the vendor's; with a fault before the vendor, the fault's (0: no answer)"
    )
    status_code: int | None = Field(default=None, description="status.statusCode of the envelope")
    success: bool = Field(description="the envelope's success, or HTTP below 400 where there is no envelope")
    message: str | None = None
    ids: dict[str, int | str] = Field(default_factory=dict, description="vendor's name of the id -> id")
    body: Any = Field(
        default=None, description="body as parsed, without personal data; of a file only name, size and hash"
    )
    fault: FaultNote | None = None


class S3Request(Entry):
    """One S3 request that changes something (the sandbox's own are left out)."""

    kind: Literal["s3"] = "s3"
    operation: str
    method: str
    bucket: str = ""
    key: str
    http_status: int
    success: bool
    size: int | None = Field(default=None, description="Content-Length of the request, bytes")
    if_none_match: str | None = None
    presigned: bool = Field(default=False, description="the address itself carries a signature")
    authorization: bool = Field(default=False, description="an Authorization header came with it")
    message: str | None = Field(default=None, description="why the gate refused it")
    fault: FaultNote | None = None


class ObjectEvent(Entry):
    """An object that is new or changed, and what became of it."""

    kind: Literal["object"] = "object"
    vendor: str | None = None
    key: str
    etag: str
    size: int
    last_modified: str
    metadata: dict[str, str] = Field(default_factory=dict)
    outcome: Literal["accepted", "refused", "ignored"]
    reason: str | None = None
    audience_id: int | str | None = None
    mode: str | None = None
    rows: int | None = Field(default=None, description="data rows, without the header; null when not known")
    sha256: str | None = Field(default=None, description="of the object's bytes; null when it was not read")


JournalEntry = ApiCall | S3Request | ObjectEvent


class Count(BaseModel):
    """Calls counted by outcome."""

    success: int = 0
    failure: int = 0


class ObjectCount(BaseModel):
    """File events counted by outcome."""

    accepted: int = 0
    refused: int = 0
    ignored: int = 0


class Summary(BaseModel):
    """Counts since start or the last reset."""

    operations: dict[str, Count] = Field(
        description="canonical API operation -> counts; 'unknown' for no operation. Those of another vendor "
        "than Digital Audience begin with its name and a dot"
    )
    logins: Count
    objects: ObjectCount
    s3: dict[str, Count] = Field(description="mutating S3 operation -> counts")
    last_seq: int


_E = TypeVar("_E", ApiCall, S3Request, ObjectEvent)


class Journal:
    """Thread-safe list of entries with running counts."""

    LOGIN_OPERATION = "login"

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._entries: deque[JournalEntry] = deque(maxlen=limit)
        self._seq = 0
        self._lock = threading.Lock()
        self._operations: dict[str, Count] = {}
        self._s3: dict[str, Count] = {}
        self._objects = ObjectCount()

    def _append(self, make: Callable[[int, str], _E]) -> _E:
        self._seq += 1
        entry = make(self._seq, iso(self._clock.now()))
        self._entries.append(entry)
        return entry

    def api(self, **fields: Any) -> ApiCall:
        """Record an API call; ``fields`` are those of :class:`ApiCall`."""
        with self._lock:
            entry = self._append(lambda seq, time: ApiCall(seq=seq, time=time, **fields))
            _count(self._operations.setdefault(entry.operation or "unknown", Count()), entry.success)
            return entry

    def s3(self, **fields: Any) -> S3Request:
        """Record an S3 request; ``fields`` are those of :class:`S3Request`."""
        with self._lock:
            entry = self._append(lambda seq, time: S3Request(seq=seq, time=time, **fields))
            _count(self._s3.setdefault(entry.operation, Count()), entry.success)
            return entry

    def object_event(self, *, last_modified: datetime, **fields: Any) -> ObjectEvent:
        """Record a file event; ``fields`` are those of :class:`ObjectEvent`."""
        with self._lock:
            entry = self._append(
                lambda seq, time: ObjectEvent(seq=seq, time=time, last_modified=iso(last_modified), **fields)
            )
            setattr(self._objects, entry.outcome, getattr(self._objects, entry.outcome) + 1)
            return entry

    def entries(
        self,
        since: int = 0,
        operation: str | None = None,
        kind: str | None = None,
        vendor: str | None = None,
    ) -> tuple[list[JournalEntry], int]:
        """Return the entries with ``seq`` above ``since``, oldest first, and the highest ``seq`` so far."""
        with self._lock:
            newest = list(takewhile(lambda entry: entry.seq > since, reversed(self._entries)))
            last = self._seq
        newest.reverse()
        return [
            entry
            for entry in newest
            if (kind is None or entry.kind == kind)
            and (operation is None or getattr(entry, "operation", None) == operation)
            and (vendor is None or getattr(entry, "vendor", None) == vendor)
        ], last

    def summary(self) -> Summary:
        """Return the counts."""
        with self._lock:
            return Summary(
                operations={name: count.model_copy() for name, count in sorted(self._operations.items())},
                logins=self._operations.get(self.LOGIN_OPERATION, Count()).model_copy(),
                objects=self._objects.model_copy(),
                s3={name: count.model_copy() for name, count in sorted(self._s3.items())},
                last_seq=self._seq,
            )

    def clear(self) -> None:
        """Forget entries and counts; numbers go on, so that a reader's ``since`` stays valid."""
        with self._lock:
            self._entries.clear()
            self._operations.clear()
            self._s3.clear()
            self._objects = ObjectCount()


def _count(count: Count, success: bool) -> None:
    if success:
        count.success += 1
    else:
        count.failure += 1
