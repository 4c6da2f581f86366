"""Fanfare: the audience part of its Admin API, imports by presigned address, paging, rate limit."""

from typing import Final

VENDOR: Final = "fanfare"
MOUNT: Final = "/fanfare"
API: Final = "/api"
"""Below :data:`MOUNT`; the newer pages have it without, the hand-written ones with ``/v1`` behind."""
