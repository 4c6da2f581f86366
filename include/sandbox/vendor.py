"""What the core needs from a simulated vendor. One vendor is one sub-package that builds one of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import APIRouter
from starlette.types import ASGIApp

from sandbox.bucket import ObjectInfo


class ObjectConsumer(Protocol):
    """A vendor's reader of the bucket."""

    prefix: str
    """Keys that start with this are offered to this consumer only."""

    def take(self, changes: Sequence[ObjectInfo]) -> None:
        """Handle new or changed objects, sorted by LastModified and then key. Called by the worker thread."""
        ...


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
    reset: Callable[[], None]
    """Forget everything, as after a start. Called while the worker stands still."""
    expire_sessions: Callable[[], int]
    """End all sessions; returns how many."""
