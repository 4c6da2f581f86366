"""Recent uploads per audience, in order. S3 object metadata alone does not record upload order.

Kept in the state store of the audience; only the upload task writes it. An entry is written before the object and
marked after it. The object's metadata holds the token of the entry: after a crash in between, it shows whether the
object was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.state.store import (
    ERASURE_UPLOAD_LOG_KEY,
    LAST_LOAD_KEY,
    UPLOAD_LOG_KEY,
    StateStore,
    load_key,
    record_period,
)

TOKEN = "upload-token"  # noqa: S105 - the name of a metadata key
LIST_ID = "list-id"

KEPT_FOR = timedelta(days=2)
MAX_ENTRIES = 50
"""A backfill uploads many files a day, and stored values should stay small."""


@dataclass(frozen=True)
class UploadEntry:
    """An uploaded file.

    :param key: of the object.
    :param content_id: of the file.
    :param load: the load's :func:`~..state.store.load_identity`.
    :param load_date: its date, ISO; of a range, the last one.
    :param mode: the folder, as the vendor's history names it.
    :param rows: of the file.
    :param at: time of the upload, ISO 8601 in UTC.
    :param token: identifies the object that was written for this entry.
    :param baseline: state of the audience before, see :class:`.confirmation.Baseline`.
    :param is_through: whether it surely was written.
    """

    key: str
    content_id: str
    load: str
    load_date: str
    mode: str
    rows: int
    at: str
    token: str
    baseline: Mapping[str, str]
    is_through: bool = False

    @property
    def awaited(self) -> dict[str, Any]:
        """Arguments of a trigger that waits for this upload."""
        return {"baseline": dict(self.baseline), "mode": self.mode, "rows": self.rows}

    @property
    def replaces(self) -> bool:
        """Whether the load is a whole list."""
        return self.load.split()[1] in FULL_LIST_MODES


class UploadLog:
    """The recent uploads of an audience.

    :param store: the state store of the audience.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._entries = [UploadEntry(**entry) for entry in store.get(UPLOAD_LOG_KEY) or ()]
        self._erasures = load_erasure_uploads(store)

    def start(self, entry: UploadEntry) -> None:
        """Add an upload right before it is sent; drop older entries, except those of the last load."""
        limit = datetime.fromisoformat(entry.at) - KEPT_FOR
        last = self._entries[-1].load if self._entries else ""
        recent = [
            item for item in self._entries if datetime.fromisoformat(item.at) > limit or item.load == last
        ]
        self._entries = [*recent, entry][-MAX_ENTRIES:]
        self._save()

    def mark_written(self, token: str) -> None:
        """Record that an object was written."""
        for number, entry in enumerate(self._entries):
            if entry.token == token and not entry.is_through:
                self._entries[number] = replace(entry, is_through=True)
                self._save()

    def uploads_after(
        self, key: str, content_id: str, metadata: Mapping[str, str], load: str
    ) -> list[UploadEntry]:
        """Return files of loads other than ``load`` that were uploaded after the object that exists now."""
        start = 0
        for number, entry in enumerate(self._entries):
            written = entry.is_through or metadata.get(TOKEN) == entry.token
            if (entry.key, entry.content_id) == (key, content_id) and written:
                start = number + 1
        return [entry for entry in self._entries[start:] if entry.load != load]

    def contains(self, key: str, content_id: str, load: str) -> bool:
        """Return whether a file of a load surely was written, and no file of another load since."""
        # The entries after the last one of another load are those of this load.
        since = list(takewhile(lambda entry: entry.load == load, reversed(self._entries)))
        return any((entry.key, entry.content_id) == (key, content_id) and entry.is_through for entry in since)

    def same_day_uploads(self, now: datetime, *, key: str, load: str) -> list[UploadEntry]:
        """Return files of other loads, and of erasures, under other keys, uploaded on the same day.

        :param now: in UTC; its day counts.
        """
        return [
            entry
            for entry in sorted([*self._entries, *self._erasures], key=lambda entry: entry.at)
            if datetime.fromisoformat(entry.at).date() == now.date()
            and entry.key != key
            and entry.load != load
        ]

    def earlier_same_day_keys(self, token: str) -> list[str]:
        """Return the keys of files of other loads that were uploaded before this one on its day."""
        before = list(takewhile(lambda entry: entry.token != token, self._entries))
        if len(before) == len(self._entries):
            return []
        own = self._entries[len(before)]
        same_day = self.same_day_uploads(datetime.fromisoformat(own.at), key=own.key, load=own.load)
        return sorted({entry.key for entry in same_day if entry in before})

    def latest_load_date(self) -> str:
        """Return the latest load date in the audience's expected content, empty if unknown.

        The expected content is the last whole list, with all opt-ins and opt-outs since.
        """
        whole = [number for number, entry in enumerate(self._entries) if entry.replaces]
        counted = self._entries[whole[-1] :] if whole else self._entries
        return max((entry.load_date for entry in counted), default="")

    def is_empty(self) -> bool:
        """Return whether there was no upload since the log exists."""
        return not self._entries

    def _save(self) -> None:
        self._store.set(UPLOAD_LOG_KEY, [asdict(entry) for entry in self._entries])


def load_erasure_uploads(store: StateStore) -> list[UploadEntry]:
    """Return the recent files of erasures, in order."""
    return [UploadEntry(**entry) for entry in store.get(ERASURE_UPLOAD_LOG_KEY) or ()]


def record_erasure_upload(store: StateStore, upload: UploadEntry) -> None:
    """Add the file of an erasure right before it is sent, and drop older ones. Idempotent."""
    limit = datetime.fromisoformat(upload.at) - KEPT_FOR
    others = [
        entry
        for entry in load_erasure_uploads(store)
        if datetime.fromisoformat(entry.at) > limit and entry.key != upload.key
    ]
    store.set(ERASURE_UPLOAD_LOG_KEY, [asdict(entry) for entry in [*others, upload][-MAX_ENTRIES:]])


def find_later_confirmed(store: StateStore, *, period: str, mode: str, content_id: str) -> str | None:
    """Return the period of the last confirmed load if it is a whole list, and another one than this confirmed load.

    For audiences that were loaded before the log existed.
    """
    own, last = store.get(load_key(period, mode)), store.get(LAST_LOAD_KEY)
    if not isinstance(own, dict) or not isinstance(last, dict) or own.get("content_id") != content_id:
        return None
    latest = [record_period(last), *(str(last.get(name, "")) for name in ("mode", "content_id"))]
    return None if latest == [period, mode, content_id] or latest[1] not in FULL_LIST_MODES else latest[0]
