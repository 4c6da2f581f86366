"""What must hold after whatever has happened, judged by what the vendors really have."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from scripts.local_stack import Sandbox
from tests.chaos.flows import START, Flow

DUPLICATE, LOST, DOUBLED, UNASKED = "duplicate", "lost row", "doubled row", "unasked"
OPEN_UPLOAD, HANG, UNEXPLAINED, NEEDLESS, LEAK = (
    "open multipart upload",
    "hang",
    "unexplained failure",
    "needless stop",
    "leak",
)
KINDS = (DUPLICATE, LOST, DOUBLED, UNASKED, OPEN_UPLOAD, HANG, UNEXPLAINED, NEEDLESS, LEAK)
"""Everything that must not happen."""


@dataclass(frozen=True)
class Violation:
    """A promise that was broken.

    :param kind: one of :data:`KINDS`.
    :param text: what was seen; never data of a person.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Judge:
    """Looks at a sandbox.

    :param sandbox: which one.
    """

    sandbox: Sandbox

    def violations(self, flow: Flow, *, is_finished: bool, is_settled: bool = True) -> list[Violation]:
        """What is wrong at the vendor.

        :param flow: what has run.
        :param is_settled: whether all that was held up has arrived before the last run began.
        :param is_finished: whether it came to a good end; if not, some may be missing, but nothing may be too much.
        """
        state = self.sandbox.admin("state")
        has = state["vendors"][flow.platform]
        found = [
            Violation(DUPLICATE, f"{item['times']} times the {item['kind']} {item['name']!r}")
            for item in has["created"]
            # Several imports are one list; what they come to is judged by the members.
            if item["times"] > 1 and item["kind"] != "import"
        ]
        found += [
            Violation(DOUBLED, f"{item['key']} was written {item['times']} times")
            for item in state["written"]
            # To complete an upload twice, as botocore does without an answer, makes one object.
            if item["times"] > 1 and not flow.rows
        ]
        found += [
            Violation(DOUBLED, f"{item['key']} was taken in {item['times']} times")
            for item in has["files"]
            if item["times"] > 1 and item["key"] is not None
        ]
        found += self._segments(
            flow, [item for item in has["items"] if item["kind"] == "segment"], is_finished
        )
        if is_finished and is_settled:
            found += [
                Violation(OPEN_UPLOAD, f"an open upload of {item['key']}") for item in state["open_uploads"]
            ]
        if is_finished and flow.members is not None:
            for item in has["items"]:
                if item["kind"] == "audience":
                    found += _members(self._people(flow, item["id"]), _wanted(flow))
        return found

    @staticmethod
    def _segments(flow: Flow, segments: list[dict[str, Any]], is_finished: bool) -> list[Violation]:
        found = []
        is_activated = any(step.dag == "activate" for step in (*flow.past, flow.disturbed))
        if segments and not is_activated:
            found.append(Violation(UNASKED, "a segment that nobody asked for"))
        if is_finished and is_activated and len(segments) != 1:
            found.append(Violation(LOST, f"{len(segments)} segments"))
        if flow.disturbed.dag == "extend":
            wanted = START + timedelta(days=30)
            for item in segments:
                end = datetime.fromisoformat(item["end"].replace("Z", "+00:00"))
                if is_finished and end < wanted:
                    found.append(Violation(LOST, f"the segment ends {end}, not {wanted}"))
                if end > wanted:
                    found.append(Violation(DOUBLED, f"the segment ends {end}, after {wanted}"))
        return found

    def _people(self, flow: Flow, audience_id: str) -> list[str]:
        """The members of an audience, by the identifier that they are told apart by."""
        folder = "" if flow.platform == "digital_audience" else f"{flow.platform}/"
        members = self.sandbox.admin(f"{folder}audiences/{audience_id}/members")["members"]
        if flow.platform == "commbox":
            return list(members)
        return [value for item in members for name, value in item.items() if "mail" in name.lower()]

    def changes(self, since: int) -> list[str]:
        """What was changed at the vendor since an entry of the journal: creations and files, not logins."""
        entries = self.sandbox.admin(f"journal?since={since}")["entries"]
        return [
            f"{item['vendor']} {item.get('operation') or item.get('key')}"
            for item in entries
            if (
                item["kind"] == "api"
                and item["method"] != "GET"
                and item["operation"] not in {"login", None}
                and item["success"]
            )
            or (item["kind"] == "object" and item["outcome"] == "accepted")
        ]

    def last_entry(self) -> int:
        """Number of the journal's last entry."""
        return int(self.sandbox.admin("summary")["last_seq"])


def _wanted(flow: Flow) -> set[str]:
    """Who is to be in the audience, as the platform shows them."""
    assert flow.members is not None
    if flow.platform == "digital_audience":
        return {hashlib.sha256(value.encode()).hexdigest() for value in flow.members}
    return set(flow.members)


def _members(there: list[str], wanted: set[str]) -> list[Violation]:
    counted = Counter(there)
    found = []
    if missing := len(wanted - counted.keys()):
        found.append(Violation(LOST, f"{missing} of {len(wanted)} members are missing"))
    if too_many := len(counted.keys() - wanted):
        found.append(Violation(DOUBLED, f"{too_many} members are too many"))
    if twice := sum(count > 1 for count in counted.values()):
        found.append(Violation(DOUBLED, f"{twice} members are there twice"))
    return found
