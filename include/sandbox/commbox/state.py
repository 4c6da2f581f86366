"""CommBox's state: audiences. Names need not be unique."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from sandbox.api import ApiFailure
from sandbox.commbox.files import Customers
from sandbox.inventory import Creations
from sandbox.vendor import Services

STATIC: Final = "Static"
DYNAMIC: Final = "Dynamic"


@dataclass
class Audience:
    """An audience. Page: Get Audiences."""

    id: str
    name: str
    type: Literal["Static", "Dynamic"]
    created: datetime
    members: tuple[str, ...] = ()
    user_count: int | None = None
    """None until the first file has been processed."""
    uploads: int = 0
    """Number of accepted files, including those that are not processed yet."""
    processed: int = 0
    """Number of the file that :attr:`members` come from."""
    files: list[tuple[str, int]] = field(default_factory=list)
    """SHA-256 and rows of each accepted file."""


class CommBoxState:
    """The vendor's whole state. Take :attr:`lock` to access more than one field."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.lock = threading.RLock()
        self.audiences: dict[str, Audience] = {}
        self.key_expired = False
        self.created = Creations()
        # ids continue after a reset: a real vendor does not assign an id twice
        self._ids = itertools.count(312345)

    def create(self, name: str, customers: Customers) -> Audience:
        """Create a static audience; a second one of the same name is a second audience."""
        with self.lock:
            audience = self._add(name, STATIC)
            self.created.add("audience", name)
            self._load(audience, customers)
            return audience

    def create_dynamic(self, name: str) -> Audience:
        """Create a dynamic audience, which the API cannot."""
        with self.lock:
            return self._add(name, DYNAMIC)

    def _add(self, name: str, type_: Literal["Static", "Dynamic"]) -> Audience:
        audience = Audience(str(next(self._ids)), name, type_, self._services.clock.now())
        self.audiences[audience.id] = audience
        return audience

    def replace(self, ident: str, customers: Customers) -> None:
        """Replace all customers of a static audience.

        :raises ApiFailure: unknown or dynamic.
        """
        with self.lock:
            self._load(self.static(ident), customers)

    def static(self, ident: str) -> Audience:
        """Return a static audience.

        :raises ApiFailure: unknown or dynamic.
        """
        audience = self.audiences.get(ident)
        if audience is None:
            raise ApiFailure(404, "no such audience")
        if audience.type != STATIC:
            raise ApiFailure(400, "the audience is dynamic")
        return audience

    def _load(self, audience: Audience, customers: Customers) -> None:
        audience.uploads += 1
        audience.files.append((customers.sha256, customers.rows))
        number = audience.uploads

        def show() -> None:
            with self.lock:
                # a later file may have been processed first, after the delay was shortened
                if audience.processed < number:
                    audience.processed = number
                    audience.members, audience.user_count = customers.phones, customers.user_count

        self._services.later(self._services.settings.current.commbox_processing_delay, show)

    def reset(self) -> None:
        """Return to the initial state."""
        with self.lock:
            self.audiences.clear()
            self.created.clear()
            self.key_expired = False
