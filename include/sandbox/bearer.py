"""Reading bearer keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from starlette.requests import Request


def bearer_key(request: Request) -> str | None:
    """Return the key of ``Authorization: Bearer <key>``; None when there is no such header."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def is_one_of(key: str | None, known: Iterable[str]) -> bool:
    """Tell whether ``key`` is among the known ones, in constant time each."""
    return key is not None and any(
        secrets.compare_digest(key.encode(), candidate.encode()) for candidate in known
    )
