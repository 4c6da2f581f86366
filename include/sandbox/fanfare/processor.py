"""The vendor's background work: takes import files in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from sandbox.bucket import ObjectGoneError, ObjectInfo, ObjectStore
from sandbox.fanfare import VENDOR, issues
from sandbox.fanfare.files import ImportRefusedError, ParsedFile, parse, too_large
from sandbox.fanfare.state import COMPLETED, FAILED, PENDING, PROCESSING, Audience, FanfareState, Import
from sandbox.journal import Journal
from sandbox.settings import SettingsStore


class ImportProcessor:
    """Reads the object of an import once, when it is new, and sees the import through.

    Imports do not wait for each other.
    """

    prefix = "imports/"

    def __init__(
        self, *, state: FanfareState, store: ObjectStore, settings: SettingsStore, journal: Journal
    ) -> None:
        self._state = state
        self._store = store
        self._settings = settings
        self._journal = journal
        self._taken: set[str] = set()

    def reset(self) -> None:
        """Forget which imports have their file."""
        self._taken.clear()

    def take(self, changes: Sequence[ObjectInfo]) -> None:
        """Take new objects in."""
        for info in changes:
            found = self._state.import_of(info.key)
            if found is None:
                self._note(info, "refused", "no import has this key")
            elif found[1].id in self._taken:
                self._note(info, "ignored", "the import has its file already", audience=found[0])
            else:
                self._taken.add(found[1].id)
                self._begin(*found, info)

    def _begin(self, audience: Audience, item: Import, info: ObjectInfo) -> None:
        content = self._read(info)
        settings = self._settings.current
        parsed, reason = None, too_large(info.size, settings)
        if content is not None:
            try:
                parsed = parse(content, settings)
            except ImportRefusedError as refused:
                reason = str(refused)
        elif reason is None:
            # replaced within the moment; the newer version is found by the next look
            self._taken.discard(item.id)
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
        self._state.later(settings.fanfare_pending_delay, lambda: self._work(audience, item, parsed, reason))

    def _read(self, info: ObjectInfo) -> bytes | None:
        if too_large(info.size, self._settings.current):
            return None
        try:
            return self._store.read(info).body
        except ObjectGoneError:
            return None

    def _work(self, audience: Audience, item: Import, parsed: ParsedFile | None, reason: str | None) -> None:
        now, delay = self._state.clock.now(), self._settings.current.fanfare_import_delay
        with self._state.lock:
            if item.status != PENDING:
                return
            item.status, item.started, item.updated = PROCESSING, now, now
            item.due = now + timedelta(seconds=delay)
            if parsed:
                item.total = parsed.total
                # a failing import shows no consumer as processed
                item.good = len(parsed.profiles) if reason is None else 0
        self._state.later(delay, lambda: self._end(audience, item, parsed, reason))

    def _end(self, audience: Audience, item: Import, parsed: ParsedFile | None, reason: str | None) -> None:
        if reason is None and parsed is not None:
            self._state.add_members(audience, parsed.profiles)
        with self._state.lock:
            item.updated = self._state.clock.now()
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
        self._journal.object_event(
            vendor=VENDOR,
            key=info.key,
            etag=info.etag,
            size=info.size,
            last_modified=info.last_modified,
            outcome=outcome,
            reason=reason,
            audience_id=audience.id if audience else None,
            rows=rows,
            sha256=sha256,
        )
