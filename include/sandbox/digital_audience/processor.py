"""The vendor's background work: processes uploaded files, and activates segments."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sandbox.bucket import Bucket, ObjectGoneError, ObjectInfo
from sandbox.clock import iso
from sandbox.digital_audience import VENDOR
from sandbox.digital_audience.files import (
    ROOT,
    CheckedFile,
    FileRefusedError,
    UploadKey,
    check_file,
    parse_key,
)
from sandbox.digital_audience.matching import Matcher, apply
from sandbox.digital_audience.state import PROCESSING, Audience, CrmData, DigitalAudienceState, UploadEvent
from sandbox.vendor import Services

_CHUNK: Final = 1 << 20


@dataclass
class _Reading:
    """Result of reading one object."""

    metadata: dict[str, str]
    sha256: str | None
    checked: CheckedFile | None
    refused: str | None


class UploadProcessor:
    """Reads uploads, one at a time per audience, in the order of LastModified and then key."""

    prefix = ROOT

    def __init__(self, services: Services, state: DigitalAudienceState, bucket: Bucket) -> None:
        self._services = services
        self._clock = services.clock
        self._settings = services.settings
        self._state = state
        self._bucket = bucket
        self._waiting: dict[int, deque[tuple[ObjectInfo, UploadKey]]] = {}
        self._busy: set[int] = set()

    def reset(self) -> None:
        """Drop the waiting uploads."""
        self._waiting.clear()
        self._busy.clear()

    # --- uploads ----------------------------------------------------------------------------------------

    def process(self, changes: Sequence[ObjectInfo]) -> None:
        """Queue new objects for their audience; refuse those without one."""
        audience_ids: dict[int, None] = {}
        for info in changes:
            if info.key.endswith("/") and info.size == 0:
                # S3 consoles create a folder by writing an empty object; the pages ask users to create folders
                self._note(info, "ignored", "folder marker")
                continue
            try:
                key = parse_key(info.key)
            except FileRefusedError as refused:
                reading = self._read(info, check=False)
                self._note(info, "refused", str(refused), reading=reading)
                continue
            self._waiting.setdefault(key.audience_id, deque()).append((info, key))
            audience_ids[key.audience_id] = None
        for audience_id in audience_ids:
            self._next(audience_id)

    def _next(self, audience_id: int) -> None:
        waiting = self._waiting.get(audience_id)
        while waiting and audience_id not in self._busy:
            self._start(*waiting.popleft())
        if not waiting:
            self._waiting.pop(audience_id, None)

    def _start(self, info: ObjectInfo, key: UploadKey) -> None:
        audience = self._state.audiences.get(key.audience_id)
        if audience is None or not audience.user.owns_bucket:
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
            # replaced or deleted while it waited; a newer version has its own event
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
            with self._state.lock:
                self._state.write_log(audience, "accepted", f"{key.mode}: {checked.rows} rows", info.key)
            self._note(info, "accepted", None, key=key, reading=reading)
            event = UploadEvent(audience.id, key.mode, checked.rows, picked_up, {})
            self._services.timeline.schedule(due, lambda: self._finish(audience, info, event, checked))
        else:
            reason = reading.refused or ""
            with self._state.lock:
                self._state.write_log(audience, "refused", reason, info.key)
            self._note(info, "refused", reason, key=key, reading=reading)
            self._services.timeline.schedule(due, lambda: self._fail(audience, info, reason))

    def _finish(self, audience: Audience, info: ObjectInfo, event: UploadEvent, checked: CheckedFile) -> None:
        if self._state.audiences.get(audience.id) is not audience:
            # deleted meanwhile
            self._release(audience)
            return
        settings = self._settings.current
        matcher = Matcher(settings.match_percent, settings.usable_percent)
        # before taking the lock: a large file must not block the API
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
        events = crm.total_events
        self._services.later(settings.insights_delay, lambda: self._insights_ready(audience, events))
        self._release(audience)

    def _insights_ready(self, audience: Audience, events: int) -> None:
        with self._state.lock:
            crm = audience.crm_data
            # a later upload has its own insights
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
            content = self._bucket.read(info)
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
        self._services.journal.object_event(
            info,
            vendor=VENDOR,
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
        """Upload a segment to its platform after the delay, if its audience has data."""
        with self._state.lock:
            segment = self._state.segments.get(segment_id)
            if segment is None or not self._state.audiences[segment.audience_id].has_data:
                return
        due = self._clock.now() + timedelta(seconds=self._settings.current.activation_delay)
        self._services.timeline.schedule(due, lambda: self._activate(segment_id))

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
