"""Journal of the vendors' side: API calls, S3 writes and file events in one numbered list."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict
from itertools import takewhile
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, Field

from sandbox.bucket import ObjectInfo
from sandbox.clock import Clock, iso


class Entry(BaseModel):
    """Fields of every entry."""

    seq: int = Field(description="rises by one per entry, also across a reset")
    time: str = Field(description="ISO 8601, UTC")


Action = Literal["answer", "drop", "reset", "delay", "hold", "change", "expire", "refuse"]
When = Literal["before", "during", "after"]


class FaultNote(BaseModel):
    """The fault that a call got. The other fields of its entry describe the vendor's part."""

    id: int
    action: Action
    when: When
    status: int | None = Field(default=None, description="HTTP status the caller got in its place, if any")


class ApiCall(Entry):
    """One HTTP request to a vendor's API. Never holds a password or a cookie."""

    kind: Literal["api"] = "api"
    vendor: str | None = None
    operation: str | None = Field(default=None, description="canonical name; null for a path of no operation")
    method: str
    path: str = Field(description="as sent, before any normalisation")
    query: str = ""
    user: str | None = None
    http_status: int = Field(
        description="the vendor's; with a fault before the vendor, the fault's (0: no answer)"
    )
    status_code: int | None = Field(default=None, description="status.statusCode of the envelope")
    success: bool = Field(description="the envelope's success, or HTTP below 400 without an envelope")
    message: str | None = None
    ids: dict[str, int | str] = Field(default_factory=dict, description="vendor's name of the id -> id")
    body: Any = Field(
        default=None, description="body as parsed, without personal data; only name, size and hash of a file"
    )
    fault: FaultNote | None = None


class S3Request(Entry):
    """One S3 request that changes data."""

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
    message: str | None = Field(default=None, description="reason of a refusal")
    fault: FaultNote | None = None


class ObjectEvent(Entry):
    """A new or changed object, and its outcome."""

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
    rows: int | None = Field(default=None, description="data rows, without the header; null if unknown")
    sha256: str | None = Field(default=None, description="of the object's bytes; null if it was not read")


JournalEntry = ApiCall | S3Request | ObjectEvent
_OUTCOMES: Final = ("accepted", "refused", "ignored")
_NO_CALLS: Final = {"success": 0, "failure": 0}

_E = TypeVar("_E", ApiCall, S3Request, ObjectEvent)


class Journal:
    """Thread-safe list of entries with running counts."""

    LOGIN = "login"
    """Operation that :meth:`summary` counts as a login."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._entries: deque[JournalEntry] = deque(maxlen=limit)
        self._seq = 0
        self._lock = threading.Lock()
        self._operations: dict[str, dict[str, int]] = {}
        self._s3: dict[str, dict[str, int]] = {}
        self._objects = dict.fromkeys(_OUTCOMES, 0)

    def api(self, **fields: Any) -> None:
        """Record an API call; ``fields`` are those of :class:`ApiCall`."""
        with self._lock:
            entry = self._append(ApiCall, fields)
            _count(self._operations, entry.operation or "unknown", entry.success)

    def s3(self, **fields: Any) -> None:
        """Record an S3 request; ``fields`` are those of :class:`S3Request`."""
        with self._lock:
            entry = self._append(S3Request, fields)
            _count(self._s3, entry.operation, entry.success)

    def object_event(self, info: ObjectInfo, **fields: Any) -> None:
        """Record a file event; ``fields`` are those of :class:`ObjectEvent` that ``info`` lacks."""
        with self._lock:
            listed = {**asdict(info), "last_modified": iso(info.last_modified)}
            self._objects[self._append(ObjectEvent, {**listed, **fields}).outcome] += 1

    def _append(self, entry_type: type[_E], fields: dict[str, Any]) -> _E:
        self._seq += 1
        entry = entry_type(seq=self._seq, time=iso(self._clock.now()), **fields)
        self._entries.append(entry)
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

    def summary(self) -> dict[str, Any]:
        """Return the counts since the start or the last reset.

        ``operations`` and ``s3``: operation ("unknown" for none) -> counts by success; ``logins``: those of the
        login; ``objects``: file events by outcome; ``last_seq``.
        """
        with self._lock:
            return {
                "operations": {name: dict(count) for name, count in sorted(self._operations.items())},
                "logins": dict(self._operations.get(self.LOGIN, _NO_CALLS)),
                "objects": dict(self._objects),
                "s3": {name: dict(count) for name, count in sorted(self._s3.items())},
                "last_seq": self._seq,
            }

    def clear(self) -> None:
        """Drop entries and counts; the numbers continue, so that a reader's ``since`` stays valid."""
        with self._lock:
            self._entries.clear()
            self._operations.clear()
            self._s3.clear()
            self._objects = dict.fromkeys(_OUTCOMES, 0)


def _count(counts: dict[str, dict[str, int]], operation: str, success: bool) -> None:
    counts.setdefault(operation, dict(_NO_CALLS))["success" if success else "failure"] += 1
