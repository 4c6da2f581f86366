"""Fanfare's state and its changes. No operation is idempotent, and no name is unique."""

from __future__ import annotations

import itertools
import random
import secrets
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sandbox.api import ApiFailure, equal_keys
from sandbox.clock import iso_ms
from sandbox.fanfare.bodies import DYNAMIC, STATIC, SYNCED
from sandbox.fanfare.records import (
    PENDING,
    Audience,
    Consumer,
    Import,
    Organization,
    PlannedFailure,
    Rule,
    SyncSource,
)
from sandbox.fanfare.rules import meets
from sandbox.inventory import Creations
from sandbox.vendor import Services

Json = dict[str, Any]

SUCCESS: Final = "SUCCESS"
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_FOREIGN_ID: Final = "9d3c1a77-52f0-4b0e-8f0e-6c1b5a4d2e11"
_BATCH: Final = 2000


class FanfareState:
    """The vendor's whole state. Callers hold :attr:`lock`, except for :meth:`upsert` and :meth:`add_members`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._clock = services.clock
        self._settings = services.settings
        self.lock = threading.RLock()
        self.organizations: Sequence[Organization] = self._organizations()
        self.failures: list[PlannedFailure] = []
        self.created = Creations()
        # ids continue after a reset
        self._seq = itertools.count(1)
        self._stamp = 0

    def _organizations(self) -> Sequence[Organization]:
        start = self._settings.current
        return (
            Organization(start.fanfare_organization_id, "first", start.fanfare_secret_key),
            Organization(_FOREIGN_ID, "foreign", start.fanfare_foreign_secret_key),
        )

    def organization_with(self, key: str | None) -> Organization | None:
        """Return the organization with this secret key; None for an unknown key."""
        owners = [item for item in self.organizations if equal_keys(key, item.key)]
        return owners[0] if owners else None

    def rotate_key(self) -> str:
        """Replace the key of the first organization at once; return the new one."""
        self.organizations[0].key = f"sk_test_{secrets.token_hex(16)}"
        return self.organizations[0].key

    def new_id(self, prefix: str) -> str:
        """Return an id: a UUID in the spec, ``aud_01HXYZ...`` on the hand-written pages."""
        if self._settings.current.fanfare_docs_generation == "spec":
            return str(uuid.uuid4())
        return f"{prefix}_01{''.join(random.choices(_CROCKFORD, k=24))}"

    # --- audiences --------------------------------------------------------------------------------------

    def all_audiences(self) -> Iterator[Audience]:
        """Iterate over the audiences of all organizations, archived ones included."""
        for organization in self.organizations:
            yield from organization.audiences.values()

    def audiences(self, organization: Organization) -> list[Audience]:
        """Return the audiences that are not archived, oldest first."""
        return [item for item in organization.audiences.values() if not item.archived]

    def audience(self, organization: Organization, ident: str) -> Audience:
        """Return an audience.

        :raises ApiFailure: unknown, archived (unless the setting allows it), or of another organization.
        """
        audience = organization.audiences.get(ident)
        shown = self._settings.current.fanfare_archived_answer == "object"
        if audience is None or (audience.archived and not shown):
            raise ApiFailure(404, "Audience not found")
        return audience

    def create(self, organization: Organization, body: Json, type_: str) -> Audience:
        """Create an audience from a valid body."""
        now, ident = self._clock.now(), self.new_id("aud")
        audience = Audience(ident, next(self._seq), organization, body["name"], type_, now, {})
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
        """Change the fields that a valid body names."""
        audience.name = body.get("name", audience.name)
        self._set(audience, body)
        if type_ is not None and type_ != audience.type:
            audience.type = type_
            if type_ == DYNAMIC:
                self.refresh(audience)
        audience.updated = self._clock.now()

    def _set(self, audience: Audience, body: Json) -> None:
        columns = {"name", "type", "rules", "primarySyncSource"}
        audience.attributes.update({name: value for name, value in body.items() if name not in columns})

    def archive(self, audience: Audience) -> None:
        """Archive an audience."""
        audience.archived, audience.updated = True, self._clock.now()

    # --- rules ------------------------------------------------------------------------------------------

    def rule(self, body: Json) -> Rule:
        """Create a rule from a valid body."""
        return Rule(
            id=self.new_id("rule"),
            field=body["field"],
            operator=body["operator"],
            values=body["values"],
            group_id=body.get("groupId"),
            position=body.get("position"),
        )

    def refresh(self, audience: Audience) -> None:
        """Recompute the members of a dynamic audience, after the delay."""
        audience.changes += 1
        audience.version += 1
        target = audience.changes

        def done() -> None:
            with self.lock:
                # a later change has its own refresh
                if audience.type != DYNAMIC or target < audience.changes:
                    return
                everyone = audience.organization.consumers.values()
                audience.set_members(item for item in everyone if meets(_rule_fields(item), audience.rules))
                audience.refreshed = target
                audience.attributes["lastRefreshedAt"] = iso_ms(self._clock.now())

        self._services.later(self._settings.current.fanfare_refresh_delay, done)

    # --- consumers --------------------------------------------------------------------------------------

    def upsert(self, organization: Organization, profiles: Sequence[Json]) -> list[Consumer]:
        """Create or update consumers, identified by email, else by phone, else by externalId.

        Takes the lock for one batch at a time: a large file must not block the API.
        """
        consumers: list[Consumer] = []
        for start in range(0, len(profiles), _BATCH):
            with self.lock:
                now = self._clock.now()
                consumers += [
                    self._upsert(organization, profile, now) for profile in profiles[start : start + _BATCH]
                ]
        return consumers

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
        """Create or update consumers and add them to an audience; without ``keep``, replace its members."""
        consumers = self.upsert(audience.organization, profiles)
        with self.lock:
            audience.set_members(consumers, keep=keep)
            audience.updated = self._clock.now()
            self.refresh_dynamic(audience.organization)

    def refresh_dynamic(self, organization: Organization) -> None:
        """Refresh all dynamic audiences, after a change of consumers."""
        for audience in self.audiences(organization):
            if audience.type == DYNAMIC:
                self.refresh(audience)

    # --- imports ----------------------------------------------------------------------------------------

    def new_import(self, audience: Audience) -> Import:
        """Create an import.

        :raises ApiFailure: not a static list, or another import is under way.
        """
        settings, now = self._settings.current, self._clock.now()
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

    def import_with_key(self, key: str) -> tuple[Audience, Import] | None:
        """Return the import that an object belongs to."""
        for audience in self.all_audiences():
            for item in audience.imports:
                if item.s3_key == key:
                    return audience, item
        return None

    def planned_failure(self, audience: Audience) -> str | None:
        """Return the ordered reason to fail the import that starts now; None without an order."""
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
        """Start a sync.

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
        delay = self._settings.current.fanfare_sync_delay
        self._services.later(delay, lambda: self._end_sync(audience, source))
        return source

    def _end_sync(self, audience: Audience, source: SyncSource) -> None:
        result: Literal["SUCCESS", "FAILED"] = self._settings.current.fanfare_sync_result
        if result == SUCCESS:
            self.add_members(audience, source.profiles, keep=False)
        with self.lock:
            now = self._clock.now()
            audience.syncing, source.status, source.updated = False, result, now
            if result == SUCCESS:
                audience.last_synced, source.last_synced = now, iso_ms(now)

    def reset(self) -> None:
        """Return to the initial state."""
        with self.lock:
            self.organizations = self._organizations()
            self.failures.clear()
            self.created.clear()


def _rule_fields(consumer: Consumer) -> Json:
    return {"id": consumer.id, "createdAt": iso_ms(consumer.created), **consumer.profile}
