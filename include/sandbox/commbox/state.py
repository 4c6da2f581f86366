"""What CommBox remembers: audiences. Names need not be unique."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from sandbox.clock import Clock
from sandbox.commbox.files import Customers
from sandbox.inventory import Creations
from sandbox.settings import SettingsStore
from sandbox.timeline import Timeline

STATIC: Final = "Static"
DYNAMIC: Final = "Dynamic"
Kind = Literal["Static", "Dynamic"]


class NoSuchAudienceError(Exception):
    """No audience has this id."""


class NotStaticError(Exception):
    """Only a static audience takes a file."""


@dataclass
class Audience:
    """An audience. Page: Get Audiences."""

    id: str
    name: str
    type: Kind
    created: datetime
    members: tuple[str, ...] = ()
    user_count: int | None = None
    """None until the first file has been taken in."""
    uploads: int = 0
    """Files accepted, whether or not their customers show already."""
    taken_in: int = 0
    """Number of the file that :attr:`members` are from."""
    files: list[tuple[str, int]] = field(default_factory=list)
    """SHA-256 and rows of each file accepted."""


class CommBoxState:
    """All of the vendor's memory. Take :attr:`lock` for anything that touches more than one field."""

    def __init__(self, clock: Clock, settings: SettingsStore, timeline: Timeline) -> None:
        self._clock = clock
        self._settings = settings
        self._timeline = timeline
        self.lock = threading.RLock()
        self.audiences: dict[str, Audience] = {}
        self.key_expired = False
        self.created = Creations()
        # never restarted, not even by a reset: a real vendor does not give an id out twice
        self._ids = itertools.count(312345)

    def create(self, name: str, customers: Customers) -> Audience:
        """Create a static audience; a second one of the same name is a second audience."""
        with self.lock:
            audience = Audience(str(next(self._ids)), name, STATIC, self._clock.now())
            self.audiences[audience.id] = audience
            self.created.add("audience", name)
            self._take_in(audience, customers)
            return audience

    def create_dynamic(self, name: str) -> Audience:
        """Create a dynamic audience, which the API cannot."""
        with self.lock:
            audience = Audience(str(next(self._ids)), name, DYNAMIC, self._clock.now())
            self.audiences[audience.id] = audience
            return audience

    def replace(self, ident: str, customers: Customers) -> Audience:
        """Replace all customers of a static audience.

        :raises NoSuchAudienceError: unknown id.
        :raises NotStaticError: the audience is dynamic.
        """
        with self.lock:
            audience = self.static(ident)
            self._take_in(audience, customers)
            return audience

    def static(self, ident: str) -> Audience:
        """Return a static audience.

        :raises NoSuchAudienceError: unknown id.
        :raises NotStaticError: the audience is dynamic.
        """
        audience = self.audiences.get(ident)
        if audience is None:
            raise NoSuchAudienceError(ident)
        if audience.type != STATIC:
            raise NotStaticError(ident)
        return audience

    def _take_in(self, audience: Audience, customers: Customers) -> None:
        audience.uploads += 1
        audience.files.append((customers.sha256, customers.rows))
        number = audience.uploads

        def show() -> None:
            with self.lock:
                # a later file may have been quicker, when the delay was shortened in between
                if audience.taken_in < number:
                    audience.taken_in = number
                    audience.members, audience.user_count = customers.phones, customers.user_count

        delay = self._settings.current.commbox_processing_delay
        if delay:
            self._timeline.schedule(self._clock.now() + timedelta(seconds=delay), show)
        else:
            show()

    def reset(self) -> None:
        """Forget everything."""
        with self.lock:
            self.audiences.clear()
            self.created.clear()
            self.key_expired = False
