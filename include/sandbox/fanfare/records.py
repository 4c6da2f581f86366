"""Fanfare's records: organizations, audiences with their rules and imports, consumers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]

PENDING, PROCESSING, COMPLETED, FAILED = "PENDING", "PROCESSING", "COMPLETED", "FAILED"


@dataclass(slots=True)
class Consumer:
    """A person. [I] The names of its fields; the page names personal data and ``verificationCode``."""

    id: str
    seq: int
    created: datetime
    updated: datetime
    profile: Json
    """Fields with a value, as an import file names them."""
    verification_code: str


@dataclass
class Rule:
    """A rule of an audience."""

    id: str
    field: str
    operator: str
    values: list[Any]
    group_id: str | None
    position: float | None


@dataclass
class Import:
    """An import of a file."""

    id: str
    s3_key: str
    created: datetime
    url_expires: datetime
    status: str = PENDING
    total: int | None = None
    good: int = 0
    error_count: int = 0
    errors: list[Json] | None = None
    started: datetime | None = None
    due: datetime | None = None
    updated: datetime | None = None
    reason: str | None = None
    """Reason of a failure, for the admin API; names lines and columns, never values."""

    def under_way(self, now: datetime) -> bool:
        """Return whether the import can still complete."""
        return self.status == PROCESSING or (self.status == PENDING and now < self.url_expires)

    def share(self, now: datetime) -> float:
        """Return the finished share, 0.0 to 1.0."""
        if self.status != PROCESSING or self.started is None or self.due is None:
            return 1.0 if self.status == COMPLETED else 0.0
        length = (self.due - self.started).total_seconds()
        return min(1.0, (now - self.started).total_seconds() / length) if length else 1.0


@dataclass
class SyncSource:
    """Source of a synced list."""

    id: str
    source: str
    external_id: str
    created: datetime
    last_synced: str | None
    source_data: Json | None
    status: str | None
    updated: datetime | None = None
    profiles: list[Json] = field(default_factory=list)
    """Result of the next sync; set by the admin API."""


@dataclass
class Audience:
    """An audience."""

    id: str
    seq: int
    organization: Organization
    name: str
    type: str
    created: datetime
    attributes: Json
    """description, groupId, groupName, groupType, iconName, lastRefreshedAt, metadata, refreshIntervalSeconds."""
    sync_source: SyncSource | None = None
    rules: list[Rule] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    members: dict[str, Consumer] = field(default_factory=dict)
    archived: bool = False
    updated: datetime | None = None
    version: int = 1
    last_synced: datetime | None = None
    changes: int = 0
    """Number of changes after which a dynamic audience needs a refresh."""
    refreshed: int = 0
    """Number of these changes that the latest refresh covers."""
    syncing: bool = False
    _sorted: tuple[int, list[Consumer]] | None = None

    @property
    def stale(self) -> bool:
        """Whether the members do not match the rules yet."""
        return self.refreshed < self.changes

    @property
    def in_progress(self) -> bool:
        """Whether the members are about to change."""
        return self.stale or self.syncing or any(item.status == PROCESSING for item in self.imports)

    def members_in_order(self) -> list[Consumer]:
        """Return the members, oldest consumer first."""
        if self._sorted is None or self._sorted[0] != self.version:
            self._sorted = self.version, sorted(self.members.values(), key=lambda item: item.seq)
        return self._sorted[1]

    def set_members(self, consumers: Iterable[Consumer], *, keep: bool = False) -> None:
        """Set the members; with ``keep``, add to the existing ones."""
        if not keep:
            self.members = {}
        self.members.update((consumer.id, consumer) for consumer in consumers)
        self.version += 1


@dataclass(eq=False)
class Organization:
    """An organization, which owns all other records."""

    id: str
    name: str
    key: str = field(repr=False)
    audiences: dict[str, Audience] = field(default_factory=dict)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    by_email: dict[str, Consumer] = field(default_factory=dict)
    by_phone: dict[str, Consumer] = field(default_factory=dict)
    by_external_id: dict[str, Consumer] = field(default_factory=dict)


@dataclass
class PlannedFailure:
    """An order of the admin API to fail imports."""

    audience_id: str | None
    skip: int
    times: int
    reason: str
