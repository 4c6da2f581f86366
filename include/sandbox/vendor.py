"""What the core needs from a simulated vendor. One vendor is one sub-package that builds one of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp

from sandbox.bucket import Bucket, BucketWatcher, ObjectInfo
from sandbox.inventory import Inventory


class ObjectConsumer(Protocol):
    """A vendor's reader of a bucket."""

    prefix: str
    """Keys that start with this are offered to this consumer only."""

    def take(self, changes: Sequence[ObjectInfo]) -> None:
        """Handle new or changed objects, sorted by LastModified and then key. Called by the worker thread."""
        ...


@dataclass(frozen=True)
class OwnBucket:
    """A bucket that belongs to the vendor alone; the customer only ever gets presigned addresses into it."""

    bucket: Bucket
    watcher: BucketWatcher
    consumers: Sequence[ObjectConsumer]


@dataclass(frozen=True)
class ErrorAnswer:
    """A vendor's own answer for an HTTP status, for faults that name no body."""

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
    consumers: Sequence[ObjectConsumer]
    """Its readers of the customer's bucket."""
    reset: Callable[[], None]
    """Forget everything, as after a start. Called while the worker stands still."""
    expire_sessions: Callable[[], int]
    """End all sessions; returns how many."""
    operation_of: Callable[[str, str], str | None]
    """Method and path below :attr:`mount` -> operation as the journal names it; None when there is none."""
    error: Callable[[int], ErrorAnswer]
    """HTTP status -> the vendor's own answer."""
    own_buckets: Sequence[OwnBucket] = ()
    has_sessions: bool = False
    """Whether :attr:`expire_sessions` ends what the vendor's callers rely on."""
    inventory: Callable[[bool], Inventory] = lambda _: Inventory()
    """What there is; with True, the hashes of all members as well."""


def operation_finder(routes: Sequence[BaseRoute]) -> Callable[[str, str], str | None]:
    """Return a function that finds the name of the route for a method and a path."""

    def find(method: str, path: str) -> str | None:
        scope = {"type": "http", "method": method, "path": path or "/", "root_path": "", "headers": []}
        for route in routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                name: str | None = getattr(route, "name", None)
                return name
        return None

    return find
