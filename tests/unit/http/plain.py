"""Client of a made-up vendor, and helpers for errors and streamed bodies."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest

from audience_onboarding.exceptions import AudienceOnboardingError
from audience_onboarding.http import BearerClient, BearerSettings, StreamingBody
from tests.unit.http.loopback import Action, Seen

KEY = "sk_test_hunter22"

Error = TypeVar("Error", bound=AudienceOnboardingError)


def error_of(act: Callable[[], Any], kind: type[Error] = AudienceOnboardingError) -> Error:  # type: ignore[assignment]
    """Return the error that a call raises."""
    with pytest.raises(kind) as caught:
        act()
    return caught.value


def in_turn(*actions: Action) -> Callable[[Seen], Action]:
    """Answer with these, one after the other."""
    left = list(actions)
    return lambda seen: left.pop(0)


@dataclass(frozen=True, kw_only=True)
class Settings(BearerSettings):
    """The least that a platform adds."""

    vendor: ClassVar[str] = "Vendor"


class Client(BearerClient[Settings]):
    """The least that a platform adds."""

    renewal = "Ask for a new key"
    call = BearerClient._call

    def _message(self, answer: Any) -> str | None:
        return answer.get("words") if isinstance(answer, dict) else None


class Counted:
    """A body in pieces that counts how often it was begun."""

    def __init__(self, *pieces: bytes, error: BaseException | None = None) -> None:
        self.pieces = pieces
        self.error = error
        self.begun = 0

    def chunks(self) -> Iterator[bytes]:
        self.begun += 1
        yield from self.pieces
        if self.error is not None:
            raise self.error

    def body(self, size: int | None = None) -> StreamingBody:
        whole = sum(len(piece) for piece in self.pieces)
        return StreamingBody("text/csv", whole if size is None else size, self.chunks)


def parts_of(content_type: str, content: bytes) -> list[dict[str, Any]]:
    """Parts of a multipart body, as the standard library reads them."""
    whole = b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + content
    message = email.message_from_bytes(whole, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/form-data"
    assert not message.defects
    found = []
    for part in message.iter_parts():
        disposition = part["Content-Disposition"]
        assert not part.defects
        assert disposition.content_disposition == "form-data"
        found.append(
            {
                "name": disposition.params["name"],
                "filename": disposition.params.get("filename"),
                "type": part["Content-Type"] and str(part["Content-Type"]),
                "content": part.get_payload(decode=True),
            }
        )
    return found
