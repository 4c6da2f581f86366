"""The vendor's background work: processes import files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from sandbox.bucket import Bucket, ObjectGoneError, ObjectInfo
from sandbox.fanfare import VENDOR, issues
from sandbox.fanfare.files import ImportRefusedError, ParsedFile, parse, too_large
from sandbox.fanfare.records import COMPLETED, FAILED, PENDING, PROCESSING, Audience, Import
from sandbox.fanfare.state import FanfareState
from sandbox.vendor import Services


class ImportProcessor:
    """Reads the object of an import once, and runs the import. Imports do not wait for each other."""

    prefix = "imports/"

    def __init__(self, services: Services, state: FanfareState, bucket: Bucket) -> None:
        self._services = services
        self._state = state
        self._bucket = bucket
        self._started: set[str] = set()

    def reset(self) -> None:
        """Drop the list of imports that have their file."""
        self._started.clear()

    def process(self, changes: Sequence[ObjectInfo]) -> None:
        """Start the imports of new objects."""
        for info in changes:
            owner = self._state.import_with_key(info.key)
            if owner is None:
                self._note(info, "refused", "no import has this key")
            elif owner[1].id in self._started:
                self._note(info, "ignored", "the import already has its file", audience=owner[0])
            else:
                self._started.add(owner[1].id)
                self._start(*owner, info)

    def _start(self, audience: Audience, item: Import, info: ObjectInfo) -> None:
        content = self._read(info)
        settings = self._services.settings.current
        parsed, reason = None, too_large(info.size, settings)
        if content is not None:
            try:
                parsed = parse(content, settings)
            except ImportRefusedError as refused:
                reason = str(refused)
        elif reason is None:
            # the next scan finds the newer version
            self._started.discard(item.id)
            self._note(info, "ignored", "replaced before it was read", audience=audience)
            return
        digest = hashlib.sha256(content).hexdigest() if content is not None else None
        rows = parsed.total if parsed else None
        outcome = "accepted" if parsed else "refused"
        self._note(info, outcome, reason, audience=audience, rows=rows, sha256=digest)
        with self._state.lock:
            reason = reason or self._state.planned_failure(audience)
        if parsed and reason is None and parsed.error_count and settings.fanfare_row_errors == "fail":
            reason = f"{parsed.error_count} rows with errors"
        delay = settings.fanfare_pending_delay
        self._services.later(delay, lambda: self._run(audience, item, parsed, reason))

    def _read(self, info: ObjectInfo) -> bytes | None:
        if too_large(info.size, self._services.settings.current):
            return None
        try:
            return self._bucket.read(info).body
        except ObjectGoneError:
            return None

    def _run(self, audience: Audience, item: Import, parsed: ParsedFile | None, reason: str | None) -> None:
        now, delay = self._services.clock.now(), self._services.settings.current.fanfare_import_delay
        with self._state.lock:
            if item.status != PENDING:
                return
            item.status, item.started, item.updated = PROCESSING, now, now
            item.due = now + timedelta(seconds=delay)
            if parsed:
                item.total = parsed.total
                # a failing import shows no consumer as processed
                item.good = len(parsed.profiles) if reason is None else 0
        self._services.later(delay, lambda: self._end(audience, item, parsed, reason))

    def _end(self, audience: Audience, item: Import, parsed: ParsedFile | None, reason: str | None) -> None:
        if reason is None and parsed is not None:
            self._state.add_members(audience, parsed.profiles)
        with self._state.lock:
            item.updated = self._services.clock.now()
            if parsed:
                item.error_count, item.errors = parsed.error_count, parsed.errors or None
            if reason is None:
                item.status = COMPLETED
                return
            item.status, item.reason = FAILED, reason
            item.errors = [{"row": 0, "issues": [issues.whole(reason)]}, *(item.errors or [])]
            item.error_count = item.error_count or 1

    def _note(
        self,
        info: ObjectInfo,
        outcome: str,
        reason: str | None,
        *,
        audience: Audience | None = None,
        rows: int | None = None,
        sha256: str | None = None,
    ) -> None:
        self._services.journal.object_event(
            info,
            vendor=VENDOR,
            outcome=outcome,
            reason=reason,
            audience_id=audience.id if audience else None,
            rows=rows,
            sha256=sha256,
        )
