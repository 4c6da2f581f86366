"""Vendors without sockets and threads: fake bucket, manual clock, and a worker that is stepped by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.bucket import BucketWatcher, ObjectGoneError, ObjectInfo, OpenedObject
from sandbox.clock import ManualClock
from sandbox.digital_audience.processor import UploadProcessor
from sandbox.digital_audience.state import ActivationOrder, Audience, DigitalAudienceState, Segment
from sandbox.fanfare.processor import ImportProcessor
from sandbox.fanfare.state import Audience as FanfareAudience
from sandbox.fanfare.state import FanfareState, Import
from sandbox.journal import Journal, ObjectEvent
from sandbox.settings import SandboxSettings, SettingsStore
from sandbox.timeline import Timeline
from sandbox.worker import Worker


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def csv_bytes(header: str, *rows: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (header, *rows)).encode()


def emails(*names: str) -> bytes:
    return csv_bytes("email_sha256", *(sha(name) for name in names))


@dataclass
class FakeStore:
    """A bucket in a dict."""

    clock: ManualClock
    objects: dict[str, tuple[ObjectInfo, bytes, dict[str, str]]] = field(default_factory=dict)
    listings: int = 0
    opened: list[str] = field(default_factory=list)

    def put(self, key: str, body: bytes, modified: datetime | None = None, **metadata: str) -> ObjectInfo:
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        info = ObjectInfo(key, etag, len(body), modified or self.clock.now())
        self.objects[key] = (info, body, metadata)
        return info

    def list_objects(self) -> Sequence[ObjectInfo]:
        self.listings += 1
        return [self.objects[key][0] for key in sorted(self.objects)]

    def open(self, info: ObjectInfo) -> OpenedObject:
        self.opened.append(info.key)
        stored = self.objects.get(info.key)
        if stored is None or stored[0].etag != info.etag:
            raise ObjectGoneError(info.key)
        return OpenedObject(stored[2], iter([stored[1]]))


class World:
    """Digital Audience, to be stepped."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.settings = SettingsStore(SandboxSettings(**settings))
        self.journal = Journal(self.clock, limit=1000)
        self.store = FakeStore(self.clock)
        self.timeline = Timeline()
        self.state = DigitalAudienceState(self.clock, self.settings)
        self.processor = UploadProcessor(
            state=self.state,
            store=self.store,
            timeline=self.timeline,
            clock=self.clock,
            settings=self.settings,
            journal=self.journal,
            vendor="digital_audience",
        )
        self.watcher = BucketWatcher(self.store)
        self.worker = Worker(
            watcher=self.watcher,
            timeline=self.timeline,
            clock=self.clock,
            settings=self.settings,
            journal=self.journal,
        )
        self.worker.consumers = [self.processor]
        self.user, self.foreigner = self.state.users

    def audience(self, name: str = "list") -> Audience:
        campaign = self.state.create_campaign(self.user, "campaign")
        return self.state.create_audience(self.user, campaign.id, name, None)

    def segment(self, audience: Audience) -> Segment:
        now = self.clock.now()
        order = ActivationOrder(
            audience.id, 501, "segment", "", now - timedelta(days=1), now + timedelta(days=1)
        )
        segment = self.state.activate(self.user, order)
        self.processor.await_activation(segment.segment_id)
        return segment

    def upload(
        self, audience: Audience, body: bytes, *, mode: str = "opt-in", name: str = "20251215_000000"
    ) -> str:
        key = f"onboard/audience={audience.id}/{mode}/{name}.csv"
        self.store.put(key, body)
        self.watcher.touch()
        return key

    def step(self, advance: float = 0.0) -> None:
        self.clock.advance(advance)
        self.worker.step()

    def load(
        self, audience: Audience, body: bytes, *, mode: str = "opt-in", name: str = "20251215_000000"
    ) -> None:
        """Upload and see it through."""
        self.upload(audience, body, mode=mode, name=name)
        self.step()
        self.step(self.settings.current.processing_delay)

    def events(self) -> list[ObjectEvent]:
        return [entry for entry in self.journal.entries(kind="object")[0] if isinstance(entry, ObjectEvent)]


class FanfareWorld:
    """Fanfare, to be stepped."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.settings = SettingsStore(SandboxSettings(**settings))
        self.journal = Journal(self.clock, limit=1000)
        self.store = FakeStore(self.clock)
        self.timeline = Timeline()
        self.state = FanfareState(self.clock, self.settings, self.timeline)
        self.processor = ImportProcessor(
            state=self.state, store=self.store, settings=self.settings, journal=self.journal
        )
        self.watcher = BucketWatcher(self.store)
        self.worker = Worker(
            watcher=self.watcher,
            timeline=self.timeline,
            clock=self.clock,
            settings=self.settings,
            journal=self.journal,
        )
        self.worker.consumers = [self.processor]
        self.organization, self.foreign = self.state.organizations

    def audience(self, type_: str = "STATIC_LIST", **more: Any) -> FanfareAudience:
        return self.state.create(self.organization, {"name": "list", **more}, type_)

    def upload(self, item: Import, body: bytes) -> None:
        self.store.put(item.s3_key, body)
        self.watcher.touch()

    def step(self, advance: float = 0.0) -> None:
        self.clock.advance(advance)
        self.worker.step()

    def load(self, audience: FanfareAudience, body: bytes) -> Import:
        """Import a file and see it through."""
        item = self.state.new_import(audience)
        self.upload(item, body)
        self.step()
        settings = self.settings.current
        self.step(settings.fanfare_pending_delay)
        self.step(settings.fanfare_import_delay)
        return item

    def profiles(self, audience: FanfareAudience) -> list[dict[str, Any]]:
        return [consumer.profile for consumer in audience.members_in_order()]

    def events(self) -> list[ObjectEvent]:
        return [entry for entry in self.journal.entries(kind="object")[0] if isinstance(entry, ObjectEvent)]
