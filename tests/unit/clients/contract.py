"""Description of one vendor's API, for the tests that hold for all clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience_onboarding.http import ApiClient, ClientSettings
from tests.unit.http.vendor import ScriptedVendor

EMAIL, PHONE = "anna.o'brien@example.com", "+31612345678"


@dataclass(frozen=True)
class Operation:
    """One operation of a client.

    :param call: calls it.
    :param asked: ``METHOD /path?query`` of the request that the vendor's pages show.
    :param answer: a good answer, without an envelope.
    :param sent: JSON, or the parts of a multipart body; ``None``: no body.
    :param subject: start of the message of a refusal.
    :param odd: answers, without an envelope, that cannot be read.
    :param absorbs: statuses that are not an error here.
    :param any_json: whether every JSON is a good answer.
    """

    call: Callable[[Any], Any]
    asked: str
    answer: Any = None
    sent: Any = None
    subject: str = ""
    odd: Sequence[Any] = ()
    absorbs: frozenset[int] = frozenset()
    any_json: bool = False

    @property
    def method(self) -> str:
        return self.asked.partition(" ")[0]

    @property
    def mutating(self) -> bool:
        return self.method != "GET"

    @property
    def where(self) -> str:
        """Method and path, as messages name them."""
        return self.asked.partition("?")[0]


@dataclass(frozen=True)
class Platform:
    """One vendor.

    :param vendor: its scripted server.
    :param settings: makes settings from a host, and perhaps another ``secret`` and options.
    :param wrap: puts a good answer into the vendor's envelope.
    :param refusal: body of a refusal with these words.
    :param create: name of an operation that creates something.
    :param others: public attributes of the client that are not one request, with tests of their own.
    :param renewal: words of the error for wrong credentials.
    :param sends_key: whether requests carry a bearer key, and the ``X-RateLimit-*`` headers count.
    :param problems_of: independent checks of the bodies, by ``asked``; empty: none.
    """

    name: str
    vendor: type[ScriptedVendor]
    client: type[ApiClient[Any]]
    settings: Callable[..., ClientSettings]
    operations: Mapping[str, Operation]
    wrap: Callable[[Any], Any]
    refusal: Callable[[str], Any]
    create: str
    others: frozenset[str]
    renewal: Sequence[str]
    sends_key: bool = True
    problems_of: Mapping[str, Callable[[Any], Sequence[Any]]] = field(default_factory=dict)
