"""The vendor's JSON objects. Pages: Create New Audiences, Get Audiences, Update Static Audience."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from sandbox.clock import iso_ms
from sandbox.commbox.settings import CommBoxSettings
from sandbox.commbox.state import STATIC, Audience

Json = dict[str, Any]

ERRORS: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    429: "Too Many Requests \N{EN DASH} Rate limit exceeded",
    500: "Server Error",
}
"""Descriptions as the pages spell them; the others are the usual names."""


def stamp(moment: datetime, settings: CommBoxSettings) -> str:
    """Format a time."""
    text = iso_ms(moment)
    return text if settings.commbox_times == "zulu" else text.removesuffix("Z")


def answer(status: int | str, description: str, time: str, data: Any) -> Json:
    """A good answer."""
    return {"status": status, "description": description, "response_time": time, "data": data}


def error(status: int, time: str) -> Json:
    """An error answer."""
    description = ERRORS.get(status)
    if description is None:
        description = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    return {"status": status, "description": description, "response_time": time}


def audience(item: Audience, settings: CommBoxSettings) -> Json:
    """An audience of the list: static with user_count, dynamic without."""
    shown: Json = {"id": item.id, "name": item.name, "created_time": stamp(item.created, settings)}
    if item.type == STATIC and (item.user_count is not None or settings.commbox_pending_count == "zero"):
        shown["user_count"] = item.user_count or 0
    return {**shown, "type": item.type}
