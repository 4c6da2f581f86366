"""What Fanfare remembers: organizations, audiences with their rules and imports, consumers.

Field names on the wire are in :mod:`sandbox.fanfare.views`. Nothing is idempotent and no name is unique.
"""

from __future__ import annotations

import itertools
import random
import secrets
import threading
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sandbox.bearer import is_one_of
from sandbox.clock import Clock, iso_ms
from sandbox.fanfare import rules as rule_book
from sandbox.fanfare.bodies import DYNAMIC, STATIC, SYNCED
from sandbox.inventory import Creations
from sandbox.settings import SettingsStore
from sandbox.timeline import Timeline

Json = dict[str, Any]

PENDING, PROCESSING, COMPLETED, FAILED = "PENDING", "PROCESSING", "COMPLETED", "FAILED"
SUCCESS: Final = "SUCCESS"
CREATED_BY: Final = "api-key"
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FOREIGN_ID: Final = "9d3c1a77-52f0-4b0e-8f0e-6c1b5a4d2e11"
_BATCH: Final = 2000


class ApiFailure(Exception):  # noqa: N818  (an answer, not a bug)
    """An answer other than success."""

    def __init__(self, status: int, message: str, issues: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.issues = status, message, issues


@dataclass(slots=True)
class Consumer:
    """A person. [I] The names of its fields; the page says personal data and ``verificationCode``."""

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
    """Why it failed; for the admin API."""

    def under_way(self, now: datetime) -> bool:
        """Tell whether something can still come of it."""
        return self.status == PROCESSING or (self.status == PENDING and now < self.url_expires)

    def share(self, now: datetime) -> float:
        """Return how much of it is done, 0.0 to 1.0."""
        if self.status != PROCESSING or self.started is None or self.due is None:
            return 1.0 if self.status == COMPLETED else 0.0
        length = (self.due - self.started).total_seconds()
        return min(1.0, (now - self.started).total_seconds() / length) if length else 1.0


@dataclass
class SyncSource:
    """Where a synced list comes from."""

    id: str
    source: str
    external_id: str
    created: datetime
    last_synced: str | None
    source_data: Json | None
    status: str | None
    updated: datetime | None = None
    profiles: list[Json] = field(default_factory=list)
    """What a sync brings; set by the admin API."""


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
    """Changes that a dynamic audience has to be refreshed for, ever."""
    refreshed: int = 0
    """How many of them it has been refreshed for."""
    syncing: bool = False
    _sorted: tuple[int, list[Consumer]] | None = None

    @property
    def stale(self) -> bool:
        """Whether the members are not yet those of the rules."""
        return self.refreshed < self.changes

    @property
    def in_progress(self) -> bool:
        """Whether something is being done to the members."""
        return self.stale or self.syncing or any(item.status == PROCESSING for item in self.imports)

    def members_in_order(self) -> list[Consumer]:
        """Return the members, oldest consumer first."""
        if self._sorted is None or self._sorted[0] != self.version:
            self._sorted = self.version, sorted(self.members.values(), key=lambda item: item.seq)
        return self._sorted[1]

    def set_members(self, consumers: Iterable[Consumer], *, keep: bool = False) -> None:
        """Put members in; with ``keep`` beside those that are there."""
        if not keep:
            self.members = {}
        self.members.update((consumer.id, consumer) for consumer in consumers)
        self.version += 1


@dataclass(eq=False)
class Organization:
    """An organization; everything belongs to one."""

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
    """An import that is to fail, by order of the admin API."""

    audience_id: str | None
    skip: int
    times: int
    reason: str


class FanfareState:
    """All of the vendor's memory. Take :attr:`lock` for anything that touches more than one field."""

    def __init__(self, clock: Clock, settings: SettingsStore, timeline: Timeline) -> None:
        self.clock = clock
        self._settings = settings
        self._timeline = timeline
        self.lock = threading.RLock()
        self.organizations: Sequence[Organization] = self._organizations()
        self.failures: list[PlannedFailure] = []
        self.created = Creations()
        # never restarted, not even by a reset
        self._seq = itertools.count(1)
        self._stamp = 0

    def _organizations(self) -> Sequence[Organization]:
        start = self._settings.current
        return (
            Organization(start.fanfare_organization_id, "first", start.fanfare_secret_key),
            Organization(_FOREIGN_ID, "foreign", start.fanfare_foreign_secret_key),
        )

    def organization_of(self, key: str | None) -> Organization | None:
        """Return whose secret key this is; None when it is nobody's."""
        found = None
        for organization in self.organizations:
            if is_one_of(key, [organization.key]):
                found = organization
        return found

    def rotate_key(self) -> str:
        """Give the first organization a new key; the old one ends at once."""
        self.organizations[0].key = f"sk_test_{secrets.token_hex(16)}"
        return self.organizations[0].key

    def new_id(self, prefix: str) -> str:
        """Return an id: a UUID in the spec, ``aud_01HXYZ...`` on the hand-written pages."""
        if self._settings.current.fanfare_docs_generation == "spec":
            return str(uuid.uuid4())
        return f"{prefix}_01{''.join(random.choices(_CROCKFORD, k=24))}"

    # --- audiences --------------------------------------------------------------------------------------

    def audiences(self, organization: Organization) -> list[Audience]:
        """Return the audiences that are not archived, oldest first."""
        return [item for item in organization.audiences.values() if not item.archived]

    def audience(self, organization: Organization, ident: str) -> Audience:
        """Return an audience.

        :raises ApiFailure: unknown, archived (unless the setting says so), or another organization's.
        """
        audience = organization.audiences.get(ident)
        shown = self._settings.current.fanfare_archived_answer == "object"
        if audience is None or (audience.archived and not shown):
            raise ApiFailure(404, "Audience not found")
        return audience

    def create(self, organization: Organization, body: Json, type_: str) -> Audience:
        """Create an audience from a valid body."""
        now = self.clock.now()
        audience = Audience(
            id=self.new_id("aud"),
            seq=next(self._seq),
            organization=organization,
            name=body["name"],
            type=type_,
            created=now,
            attributes={},
        )
        self._set(audience, body)
        source = body.get("primarySyncSource")
        if source:
            audience.sync_source = SyncSource(
                id=self.new_id("src"),
                source=source["syncSource"],
                external_id=source["syncSourceId"],
                created=now,
                last_synced=source.get("lastSyncedAt"),
                source_data=source.get("sourceData"),
                status=source.get("syncStatus"),
            )
        audience.rules = [self.rule(item) for item in body.get("rules") or []]
        organization.audiences[audience.id] = audience
        self.created.add("audience", audience.name)
        if audience.type == DYNAMIC:
            self.refresh(audience)
        return audience

    def update(self, audience: Audience, body: Json, type_: str | None) -> None:
        """Change what a valid body names."""
        audience.name = body.get("name", audience.name)
        self._set(audience, body)
        if type_ is not None and type_ != audience.type:
            audience.type = type_
            if type_ == DYNAMIC:
                self.refresh(audience)
        audience.updated = self.clock.now()

    def _set(self, audience: Audience, body: Json) -> None:
        apart = {"name", "type", "rules", "primarySyncSource"}
        audience.attributes.update({name: value for name, value in body.items() if name not in apart})

    def archive(self, audience: Audience) -> None:
        """Archive an audience."""
        audience.archived, audience.updated = True, self.clock.now()

    # --- rules ------------------------------------------------------------------------------------------

    def rule(self, body: Json) -> Rule:
        """Make a rule from a valid body."""
        return Rule(
            id=self.new_id("rule"),
            field=body["field"],
            operator=body["operator"],
            values=body["values"],
            group_id=body.get("groupId"),
            position=body.get("position"),
        )

    def refresh(self, audience: Audience) -> None:
        """Have the members of a dynamic audience found anew, after the delay."""
        audience.changes += 1
        audience.version += 1
        target = audience.changes

        def done() -> None:
            with self.lock:
                # a later change has its own refresh to wait for
                if audience.type != DYNAMIC or target < audience.changes:
                    return
                everyone = audience.organization.consumers.values()
                audience.set_members(
                    item for item in everyone if rule_book.meets(fields_of(item), audience.rules)
                )
                audience.refreshed = target
                audience.attributes["lastRefreshedAt"] = iso_ms(self.clock.now())

        self.later(self._settings.current.fanfare_refresh_delay, done)

    # --- consumers --------------------------------------------------------------------------------------

    def upsert(self, organization: Organization, profiles: Sequence[Json]) -> list[Consumer]:
        """Create or update consumers: found by email, else by phone, else by externalId.

        Takes the lock for some at a time: a large file must not keep the API waiting.
        """
        touched: list[Consumer] = []
        for start in range(0, len(profiles), _BATCH):
            with self.lock:
                now = self.clock.now()
                touched += [
                    self._upsert(organization, profile, now) for profile in profiles[start : start + _BATCH]
                ]
        return touched

    def _upsert(self, organization: Organization, profile: Json, now: datetime) -> Consumer:
        email = profile["email"].lower() if "email" in profile else None
        phone, external_id = profile.get("phone"), profile.get("externalId")
        consumer = (
            (organization.by_email.get(email) if email else None)
            or (organization.by_phone.get(phone) if phone else None)
            or (organization.by_external_id.get(external_id) if external_id else None)
        )
        if consumer is None:
            ident = self.new_id("con")
            code = f"{random.randrange(10**6):06}"
            consumer = Consumer(ident, next(self._seq), now, now, dict(profile), code)
            organization.consumers[ident] = consumer
        else:
            consumer.profile.update(profile)
            consumer.updated = now
        if email:
            organization.by_email[email] = consumer
        if phone:
            organization.by_phone[phone] = consumer
        if external_id:
            organization.by_external_id[external_id] = consumer
        return consumer

    def add_members(self, audience: Audience, profiles: Sequence[Json], *, keep: bool = True) -> None:
        """Create or update consumers and make them members."""
        consumers = self.upsert(audience.organization, profiles)
        with self.lock:
            audience.set_members(consumers, keep=keep)
            audience.updated = self.clock.now()
            self.consumers_changed(audience.organization)

    def consumers_changed(self, organization: Organization) -> None:
        """Have all dynamic audiences refreshed."""
        for audience in self.audiences(organization):
            if audience.type == DYNAMIC:
                self.refresh(audience)

    # --- imports ----------------------------------------------------------------------------------------

    def new_import(self, audience: Audience) -> Import:
        """Begin an import.

        :raises ApiFailure: the audience takes none, or not now.
        """
        settings, now = self._settings.current, self.clock.now()
        if audience.type != STATIC:
            raise ApiFailure(400, "Audience is not a static list")
        if settings.fanfare_parallel_imports == "conflict" and any(
            item.under_way(now) for item in audience.imports
        ):
            raise ApiFailure(409, "Import already in progress")
        # no two imports may share a key
        self._stamp = max(self._stamp + 1, int(now.timestamp() * 1000))
        item = Import(
            id=self.new_id("imp"),
            s3_key=f"imports/{audience.organization.id}/{audience.id}/{self._stamp}.csv",
            created=now,
            url_expires=now + timedelta(seconds=settings.fanfare_upload_url_lifetime),
        )
        audience.imports.append(item)
        self.created.add("import", audience.name, audience.id)
        return item

    def import_of(self, key: str) -> tuple[Audience, Import] | None:
        """Return the import that an object belongs to."""
        for organization in self.organizations:
            for audience in organization.audiences.values():
                for item in audience.imports:
                    if item.s3_key == key:
                        return audience, item
        return None

    def planned_failure(self, audience: Audience) -> str | None:
        """Return why the import that begins now is to fail; None when it is not."""
        for plan in self.failures:
            if plan.audience_id not in {None, audience.id}:
                continue
            if plan.skip:
                plan.skip -= 1
                continue
            plan.times -= 1
            if not plan.times:
                self.failures.remove(plan)
            return plan.reason
        return None

    # --- syncs ------------------------------------------------------------------------------------------

    def sync(self, audience: Audience) -> SyncSource:
        """Begin a sync.

        :raises ApiFailure: not a synced list, no source, or one is under way.
        """
        if audience.type != SYNCED:
            raise ApiFailure(400, "Audience is not a synced list")
        source = audience.sync_source
        if source is None:
            raise ApiFailure(400, "Audience has no sync source")
        if audience.syncing:
            raise ApiFailure(409, "Sync already in progress")
        audience.syncing, source.status = True, PENDING
        self.later(self._settings.current.fanfare_sync_delay, lambda: self._end_sync(audience, source))
        return source

    def _end_sync(self, audience: Audience, source: SyncSource) -> None:
        result: Literal["SUCCESS", "FAILED"] = self._settings.current.fanfare_sync_result
        if result == SUCCESS:
            self.add_members(audience, source.profiles, keep=False)
        with self.lock:
            now = self.clock.now()
            audience.syncing, source.status, source.updated = False, result, now
            if result == SUCCESS:
                audience.last_synced, source.last_synced = now, iso_ms(now)

    # --- the rest ---------------------------------------------------------------------------------------

    def later(self, delay: float, action: Any) -> None:
        """Do something after ``delay`` seconds; at once when that is 0."""
        if delay:
            self._timeline.schedule(self.clock.now() + timedelta(seconds=delay), action)
        else:
            action()

    def reset(self) -> None:
        """Forget everything."""
        with self.lock:
            self.organizations = self._organizations()
            self.failures.clear()
            self.created.clear()


def fields_of(consumer: Consumer) -> Json:
    """Return a consumer's fields for rules."""
    return {"id": consumer.id, "createdAt": iso_ms(consumer.created), **consumer.profile}
