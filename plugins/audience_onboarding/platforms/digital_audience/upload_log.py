"""Which files were put for an audience of late, in order: what an object in the bucket cannot tell.

Kept in the memory of the audience; only the task that sends writes it. An entry is written before the object and
once more after it. The object's metadata carries the entry's token, so that after a crash in between it can be told
whether it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from audience_onboarding.crm.guards import WHOLE_LIST
from audience_onboarding.state.store import (
    ERASURE_UPLOAD_LOG_KEY,
    LAST_LOAD_KEY,
    UPLOAD_LOG_KEY,
    Memory,
    days_of,
    load_key,
)

TOKEN = "upload-token"  # noqa: S105 - the name of a metadata key
LIST_ID = "list-id"

KEPT_FOR = timedelta(days=2)
KEPT_AT_MOST = 50
"""Entries; a backfill puts many files a day, and what is stored should stay small."""


@dataclass(frozen=True)
class Put:
    """A file that was put.

    :param key: of the object.
    :param content_id: of the file.
    :param load: the load's :func:`..memory.load_identity`.
    :param load_date: its day, ISO; of a range of days, the last one.
    :param mode: the folder, for what the vendor's history says.
    :param rows: of the file.
    :param at: the moment, ISO 8601 in UTC.
    :param token: tells the object that was written for this entry from any other.
    :param baseline: what the vendor showed before.
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
    def replaces(self) -> bool:
        """Whether the load says who is in the audience."""
        return self.load.split()[1] in WHOLE_LIST


class Puts:
    """The files of late.

    :param memory: of the audience.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._entries = [Put(**entry) for entry in memory.get(UPLOAD_LOG_KEY) or ()]
        self._erasures = erasure_upload_log(memory)

    def begin(self, put: Put) -> None:
        """Note what is about to be put; older entries fall away, but for those of the last load."""
        limit = datetime.fromisoformat(put.at) - KEPT_FOR
        last = self._entries[-1].load if self._entries else ""
        self._entries = [
            entry for entry in self._entries if datetime.fromisoformat(entry.at) > limit or entry.load == last
        ]
        self._entries = [*self._entries, put][-KEPT_AT_MOST:]
        self._save()

    def went_through(self, token: str) -> None:
        """Note that an object was written."""
        if any(entry.token == token and not entry.is_through for entry in self._entries):
            self._entries = [
                replace(entry, is_through=True) if entry.token == token else entry for entry in self._entries
            ]
            self._save()

    def since(self, key: str, content_id: str, metadata: Mapping[str, str], load: str) -> list[Put]:
        """Files of other loads that were put after the object that is there now.

        :param key: of the object.
        :param content_id: of its content.
        :param metadata: of the object.
        :param load: that it belongs to.
        """
        start = 0
        for number, entry in enumerate(self._entries):
            written = entry.is_through or metadata.get(TOKEN) == entry.token
            if (entry.key, entry.content_id) == (key, content_id) and written:
                start = number + 1
        return [entry for entry in self._entries[start:] if entry.load != load]

    def has(self, key: str, content_id: str, load: str) -> bool:
        """Whether a file of a load surely was put, and nothing of another load since."""
        mine = [
            number
            for number, entry in enumerate(self._entries)
            if (entry.key, entry.content_id, entry.load) == (key, content_id, load) and entry.is_through
        ]
        return bool(mine) and all(entry.load == load for entry in self._entries[mine[-1] :])

    def on_the_day(self, now: datetime, *, key: str, load: str) -> list[Put]:
        """Files of other loads, and of erasures, under other keys, put on the same day.

        :param now: in UTC; its day counts.
        """
        return [
            entry
            for entry in sorted([*self._entries, *self._erasures], key=lambda entry: entry.at)
            if datetime.fromisoformat(entry.at).date() == now.date()
            and entry.key != key
            and entry.load != load
        ]

    def before_on_the_day(self, token: str) -> list[str]:
        """Keys of the files of other loads that were put before this one on its day."""
        place = next((number for number, entry in enumerate(self._entries) if entry.token == token), None)
        if place is None:
            return []
        own, before = self._entries[place], self._entries[:place]
        moment = datetime.fromisoformat(own.at)
        same_day = self.on_the_day(moment, key=own.key, load=own.load)
        return sorted({entry.key for entry in same_day if entry in before})

    def newest_day(self) -> str:
        """The newest day in what the audience is to hold by now: that of the last whole list, or of what was added or
        taken out since. Empty if nothing is known."""
        whole = [number for number, entry in enumerate(self._entries) if entry.replaces]
        counted = self._entries[whole[-1] :] if whole else self._entries
        return max((entry.load_date for entry in counted), default="")

    def is_empty(self) -> bool:
        """Whether nothing is known: no file was put since this is kept."""
        return not self._entries

    def _save(self) -> None:
        self._memory.set(UPLOAD_LOG_KEY, [asdict(entry) for entry in self._entries])


def erasure_upload_log(memory: Memory) -> list[Put]:
    """The files of erasures of late, in order."""
    return [Put(**entry) for entry in memory.get(ERASURE_UPLOAD_LOG_KEY) or ()]


def note_erasure_put(memory: Memory, put: Put) -> None:
    """Note the file of an erasure that is about to be put; older ones fall away. To do so again changes nothing."""
    limit = datetime.fromisoformat(put.at) - KEPT_FOR
    others = [
        entry
        for entry in erasure_upload_log(memory)
        if datetime.fromisoformat(entry.at) > limit and entry.key != put.key
    ]
    memory.set(ERASURE_UPLOAD_LOG_KEY, [asdict(entry) for entry in [*others, put][-KEPT_AT_MOST:]])


def confirmed_since(memory: Memory, *, days: str, mode: str, content_id: str) -> str | None:
    """The day of the last confirmed load, where it is another one than this, which was confirmed before, and says who
    is in the audience.

    For audiences that were loaded before puts were kept.
    """
    own, last = memory.get(load_key(days, mode)), memory.get(LAST_LOAD_KEY)
    if not isinstance(own, dict) or not isinstance(last, dict) or own.get("content_id") != content_id:
        return None
    its = [days_of(last), *(str(last.get(name, "")) for name in ("mode", "content_id"))]
    return None if its == [days, mode, content_id] or its[1] not in WHOLE_LIST else its[0]
