"""HTTP server with the scripted answers of one vendor."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.http.loopback import Action, Loopback, Reply, Seen


class ScriptedVendor:
    """Answers ``METHOD /path`` (with or without the query) as the test says, if the credentials are right."""

    unknown: Reply
    """Answer to every other request."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Seen], Action] | Action] = {}
        self.default: Action = self.unknown
        self.server = Loopback(self.answer)

    def refusal_of(self, seen: Seen) -> Action | None:
        """Return the answer to wrong credentials, ``None`` for right ones."""
        raise NotImplementedError

    def answer(self, seen: Seen) -> Action:
        if refusal := self.refusal_of(seen):
            return refusal
        asked = f"{seen.method} {seen.path}"
        found = self.answers.get(asked, self.answers.get(asked.partition("?")[0], self.default))
        return found(seen) if callable(found) else found

    @property
    def calls(self) -> list[Seen]:
        """All requests except logins."""
        return self.server.seen

    @property
    def asked(self) -> list[str]:
        """All requests except logins, as ``METHOD /path?query``."""
        return [f"{seen.method} {seen.path}" for seen in self.calls]


class BearerVendor(ScriptedVendor):
    """Vendor with a key."""

    key: str
    unauthorized: Reply

    def refusal_of(self, seen: Seen) -> Action | None:
        """Return the answer to a wrong key."""
        return None if seen.headers.get("Authorization") == f"Bearer {self.key}" else self.unauthorized
