"""Fanfare: the audience part of its Admin API, imports by presigned URL, paging, rate limit."""

from typing import Final

VENDOR: Final = "fanfare"
MOUNT: Final = "/fanfare"
API: Final = "/api"
"""Below :data:`MOUNT`; the hand-written pages add ``/v1``."""
