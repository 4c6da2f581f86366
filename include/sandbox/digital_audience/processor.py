"""The vendor's background work: reads what lands in the folders, and makes segments active."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sandbox.bucket import ObjectGoneError, ObjectInfo, ObjectStore
from sandbox.clock import Clock, iso
from sandbox.digital_audience import files
from sandbox.digital_audience.files import CheckedFile, FileRefusedError, UploadKey, check_file, parse_key
from sandbox.digital_audience.matching import Matcher, apply
from sandbox.digital_audience.state import PROCESSING, Audience, CrmData, DigitalAudienceState, UploadEvent
from sandbox.journal import Journal
from sandbox.settings import SettingsStore
from sandbox.timeline import Timeline

_CHUNK: Final = 1 << 20


@dataclass
class _Reading:
    """What came out of reading one object."""

    metadata: dict[str, str]
    sha256: str | None
    checked: CheckedFile | None
    refused: str | None


class UploadProcessor:
    """Reads uploads, one at a time per audience, in the order of LastModified and then key."""

    prefix = files.ROOT

    def __init__(
        self,
        *,
        state: DigitalAudienceState,
        store: ObjectStore,
        timeline: Timeline,
        clock: Clock,
        settings: SettingsStore,
        journal: Journal,
        vendor: str,
    ) -> None:
        self._state = state
        self._store = store
        self._timeline = timeline
        self._clock = clock
        self._settings = settings
        self._journal = journal
        self._vendor = vendor
        self._waiting: dict[int, deque[tuple[ObjectInfo, UploadKey]]] = {}
        self._busy: set[int] = set()

    def reset(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._busy.clear()

    # --- uploads ----------------------------------------------------------------------------------------

    def take(self, changes: Sequence[ObjectInfo]) -> None:
        """Queue new objects with their audience; refuse those that belong to none."""
        touched: dict[int, None] = {}
        for info in changes:
            if info.key.endswith("/") and info.size == 0:
                # consoles make a folder by writing an empty object; the pages tell people to make folders
                self._note(info, "ignored", "folder marker")
                continue
            try:
                key = parse_key(info.key)
            except FileRefusedError as refused:
                reading = self._read(info, check=False)
                self._note(info, "refused", str(refused), reading=reading)
                continue
            self._waiting.setdefault(key.audience_id, deque()).append((info, key))
            touched[key.audience_id] = None
        for audience_id in touched:
            self._next(audience_id)

    def _next(self, audience_id: int) -> None:
        waiting = self._waiting.get(audience_id)
        while waiting and audience_id not in self._busy:
            self._start(*waiting.popleft())
        if not waiting:
            self._waiting.pop(audience_id, None)

    def _audience(self, ident: int) -> Audience | None:
        """Return the audience, if its organisation is the one this bucket belongs to."""
        audience = self._state.audiences.get(ident)
        return audience if audience is not None and audience.user.owns_bucket else None

    def _exists(self, audience: Audience) -> bool:
        """Tell whether it was not deleted in the meantime."""
        return self._state.audiences.get(audience.id) is audience

    def _start(self, info: ObjectInfo, key: UploadKey) -> None:
        audience = self._audience(key.audience_id)
        if audience is None:
            self._note(info, "refused", "unknown audience id", key=key, reading=self._read(info, check=False))
            return
        picked_up = self._clock.now()
        with self._state.lock:
            before, crm_before = audience.state, audience.crm_data
            insights_before = crm_before.insights_ready if crm_before else False
            audience.state, audience.updated = PROCESSING, picked_up
            audience.crm_data = audience.crm_data or CrmData()
            audience.crm_data.insights_ready = False
        reading = self._read(info, check=True)
        if reading.checked is None and reading.refused is None:
            # replaced or deleted while it waited; a newer version is an event of its own
            with self._state.lock:
                audience.state, audience.crm_data = before, crm_before
                if crm_before:
                    crm_before.insights_ready = insights_before
            self._note(info, "refused", "replaced or deleted before it was read", key=key)
            return
        self._busy.add(audience.id)
        due = picked_up + timedelta(seconds=self._settings.current.processing_delay)
        checked = reading.checked
        if checked is not None:
            self._state.write_log(audience, "accepted", f"{key.mode}: {checked.rows} rows", info.key)
            self._note(info, "accepted", None, key=key, reading=reading)
            event = UploadEvent(audience.id, key.mode, checked.rows, picked_up, {})
            self._timeline.schedule(due, lambda: self._finish(audience, info, event, checked))
        else:
            reason = reading.refused or ""
            self._state.write_log(audience, "refused", reason, info.key)
            self._note(info, "refused", reason, key=key, reading=reading)
            self._timeline.schedule(due, lambda: self._fail(audience, info, reason))

    def _finish(self, audience: Audience, info: ObjectInfo, event: UploadEvent, checked: CheckedFile) -> None:
        if not self._exists(audience):
            self._release(audience)
            return
        settings = self._settings.current
        matcher = Matcher(settings.match_percent, settings.usable_percent)
        # counted before the lock is taken: a large file must not keep the API waiting
        members = apply(event.mode, audience.members, checked.members)
        event.data_set = matcher.count(checked)
        usable = matcher.usable_members(members)
        now = self._clock.now()
        with self._state.lock:
            crm = audience.crm_data = audience.crm_data or CrmData()
            crm.size, crm.total_events = len(members), crm.total_events + 1
            created = iso(event.created)
            crm.history[created if settings.history_key == "timestamp" else created[:10]] = event
            audience.members, audience.usable_members = members, usable
            audience.state = settings.ready_state
            audience.data_updated = audience.updated = now
            self._state.write_log(audience, "ready", f"{len(members)} members", info.key)
            for segment in audience.segments.values():
                if segment.uploaded:
                    self._upload_segment(segment.segment_id)
                else:
                    self.await_activation(segment.segment_id)
        insights_due = now + timedelta(seconds=settings.insights_delay)
        events = crm.total_events
        if insights_due <= now:
            self._insights_ready(audience, events)
        else:
            self._timeline.schedule(insights_due, lambda: self._insights_ready(audience, events))
        self._release(audience)

    def _insights_ready(self, audience: Audience, events: int) -> None:
        with self._state.lock:
            crm = audience.crm_data
            # a later upload has its own insights to wait for
            if crm is not None and crm.total_events == events and audience.state != PROCESSING:
                crm.insights_ready = True

    def _fail(self, audience: Audience, info: ObjectInfo, reason: str) -> None:
        with self._state.lock:
            audience.state = self._settings.current.failure_state
            audience.updated = self._clock.now()
            if audience.crm_data and audience.crm_data.total_events:
                audience.crm_data.insights_ready = True
            else:
                audience.crm_data = None
            self._state.write_log(audience, "failed", reason, info.key)
        self._release(audience)

    def _release(self, audience: Audience) -> None:
        self._busy.discard(audience.id)
        self._next(audience.id)

    def _read(self, info: ObjectInfo, *, check: bool) -> _Reading:
        try:
            content = self._store.read(info)
        except ObjectGoneError:
            return _Reading({}, None, None, None)
        checked, refused, body = None, None, content.body
        if check:
            chunks = (body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK))
            try:
                checked = check_file(chunks, quoting=self._settings.current.quoting)
            except FileRefusedError as error:
                refused = str(error)
        return _Reading(content.metadata, hashlib.sha256(body).hexdigest(), checked, refused)

    def _note(
        self,
        info: ObjectInfo,
        outcome: str,
        reason: str | None,
        *,
        key: UploadKey | None = None,
        reading: _Reading | None = None,
    ) -> None:
        checked = reading.checked if reading else None
        self._journal.object_event(
            vendor=self._vendor,
            key=info.key,
            etag=info.etag,
            size=info.size,
            last_modified=info.last_modified,
            metadata=reading.metadata if reading else {},
            outcome=outcome,
            reason=reason,
            audience_id=key.audience_id if key else None,
            mode=key.mode if key else None,
            rows=checked.rows if checked else None,
            sha256=reading.sha256 if reading else None,
        )

    # --- segments ---------------------------------------------------------------------------------------

    def await_activation(self, segment_id: int) -> None:
        """Have a segment uploaded to its platform after the delay, provided its audience has data."""
        with self._state.lock:
            segment = self._state.segments.get(segment_id)
            if segment is None or not self._state.audiences[segment.audience_id].has_data:
                return
        due = self._clock.now() + timedelta(seconds=self._settings.current.activation_delay)
        self._timeline.schedule(due, lambda: self._activate(segment_id))

    def _activate(self, segment_id: int) -> None:
        with self._state.lock:
            segment = self._state.segments.get(segment_id)
            if segment is not None and not segment.uploaded:
                self._upload_segment(segment_id)

    def _upload_segment(self, segment_id: int) -> None:
        segment = self._state.segments[segment_id]
        audience = self._state.audiences[segment.audience_id]
        segment.uploaded = True
        segment.upload_count = audience.usable_members
        segment.uploads += 1
        segment.log_count += 1
        segment.updated = self._clock.now()
        self._state.write_log(
            audience,
            "segment-uploaded",
            f"segment {segment_id}: {segment.upload_count} of {len(audience.members)}",
        )
