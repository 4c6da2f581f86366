"""Interface between the core and a simulated vendor. A vendor is a sub-package that builds a :class:`Vendor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp

from sandbox.bucket import BucketWatcher, ObjectInfo
from sandbox.clock import Clock, Timeline
from sandbox.inventory import Inventory
from sandbox.journal import Journal
from sandbox.settings import SettingsStore


@dataclass(frozen=True)
class Services:
    """Parts of the core that the vendors use."""

    clock: Clock
    settings: SettingsStore
    journal: Journal
    timeline: Timeline

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Run ``action`` after ``delay`` seconds; at once if that is 0."""
        if delay:
            self.timeline.schedule(self.clock.now() + timedelta(seconds=delay), action)
        else:
            action()


@dataclass(frozen=True)
class BucketReader:
    """A vendor's reader of a bucket; no bucket has two."""

    watcher: BucketWatcher
    prefix: str
    """Start of the keys that the vendor reads."""
    process: Callable[[Sequence[ObjectInfo]], None]
    """Processes new and changed objects, sorted by LastModified and then key. The worker thread calls it."""


@dataclass(frozen=True)
class ErrorAnswer:
    """A vendor's own answer for an HTTP status, for faults without a body."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""


@dataclass(frozen=True)
class Vendor:
    """One vendor, ready to be mounted."""

    name: str
    mount: str
    """Path prefix of its API; "" for the vendor that owns the root. The root is mounted last."""
    app: ASGIApp
    admin: APIRouter
    """Its part of the admin API, mounted under ``/_sandbox``."""
    reset: Callable[[], None]
    """Returns to the initial state. The core calls it while the worker does not run."""
    operation_of: Callable[[str, str], str | None]
    """Method and path below :attr:`mount` -> operation as the journal names it; None for no operation."""
    error: Callable[[int], ErrorAnswer]
    """HTTP status -> the vendor's own answer."""
    inventory: Callable[[bool], Inventory]
    """Everything at the vendor; with True, including the hashes of all members."""
    reader: BucketReader | None = None
    expire_sessions: Callable[[], int] | None = None
    """Ends all sessions and returns how many; None for a vendor without sessions."""


def phrase(status: int) -> str:
    """Return the usual name of an HTTP status; "Error" for an unknown one."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"


def operation_finder(routes: Sequence[BaseRoute]) -> Callable[[str, str], str | None]:
    """Return a function that finds the name of the route for a method and a path."""

    def find(method: str, path: str) -> str | None:
        scope = {"type": "http", "method": method, "path": path or "/", "root_path": "", "headers": []}
        matching = (route for route in routes if route.matches(scope)[0] is Match.FULL)
        return getattr(next(matching, None), "name", None)

    return find
