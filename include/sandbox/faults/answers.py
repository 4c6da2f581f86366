"""Ordered answers in place of the vendor's, and changes of the vendor's own answer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

from sandbox.api import retry_after
from sandbox.faults.orders import FaultOrder
from sandbox.vendor import ErrorAnswer, phrase

JSON: Final = "application/json"
HTML: Final = "text/html"
_EVERY: Final = "*"
_WAIT_FIELD: Final = "retryAfter"


def has_body(status: int) -> bool:
    """Return whether an answer of this status may have a body."""
    return status not in {204, 304}


def build_answer(order: FaultOrder, error: Callable[[int], ErrorAnswer]) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an ordered answer.

    :param error: returns the vendor's own answer for a status.
    """
    if not has_body(order.status):
        encoded, headers = b"", {}
    elif "body" in order.model_fields_set:
        text = isinstance(order.body, str)
        body = order.body if text else json.dumps(order.body)
        headers = {"content-type": "text/plain; charset=utf-8" if text else JSON}
        encoded = str(body).encode()
    elif order.page == "html":
        encoded, headers = _html_page(order.status), {"content-type": HTML}
    else:
        own = error(order.status)
        encoded, headers = own.body, dict(own.headers)
    if order.retry_after != "vendor":
        encoded = _set_wait(order, headers, encoded)
    headers.update({name.lower(): value for name, value in order.headers.items()})
    return order.status, headers, encoded


def _html_page(status: int) -> bytes:
    """Return the kind of page that a proxy sends in place of the server behind it."""
    title = f"{status} {phrase(status)}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def _set_wait(order: FaultOrder, headers: dict[str, str], body: bytes) -> bytes:
    """Set Retry-After, and the vendor's field for it in the body to the same value."""
    headers.pop("retry-after", None)
    wait = math.ceil(order.wait)
    if order.retry_after in {"seconds", "date"}:
        headers["retry-after"] = retry_after(order.retry_after, wait, datetime.now(timezone.utc))
    if "body" in order.model_fields_set or headers.get("content-type") != JSON:
        return body
    content = json.loads(body)
    if isinstance(content, dict) and _WAIT_FIELD in content:
        content[_WAIT_FIELD] = wait
        if order.retry_after == "none":
            del content[_WAIT_FIELD]
        return json.dumps(content).encode()
    return body


@dataclass(frozen=True)
class Changed:
    """The vendor's answer, changed."""

    status: int
    headers: list[tuple[str, str]]
    """Names in lower case; with a Content-Length unless the status has no body."""
    body: bytes
    closes: bool
    """The connection ends after the body, which is shorter than its Content-Length."""
    places: int
    """Number of places in the JSON that were changed or removed."""


def change(order: FaultOrder, status: int, headers: Mapping[str, str], body: bytes) -> Changed:
    """Change an answer.

    :param headers: names in lower case; values of a repeated header joined.
    """
    places = 0
    if order.set or order.remove:
        body, places = _change_json(body, order)
    status = order.status if "status" in order.model_fields_set else status
    removed = {"content-length", *(name.lower() for name in order.remove_headers)}
    kept = {name: value for name, value in headers.items() if name not in removed}
    kept.update({name.lower(): value for name, value in order.headers.items()})
    if not has_body(status):
        return Changed(status, list(kept.items()), b"", closes=False, places=places)
    length = len(body)
    if order.truncate:
        body = body[: length // 2]
        length = len(body) if order.truncate == "length" else length
    kept["content-length"] = str(length)
    return Changed(status, list(kept.items()), body, closes=length != len(body), places=places)


def _change_json(body: bytes, order: FaultOrder) -> tuple[bytes, int]:
    try:
        content = json.loads(body)
    except ValueError:
        return body, 0
    places = sum(_at(content, path.split("."), _setter(value)) for path, value in order.set.items())
    places += sum(_at(content, path.split("."), _remove) for path in order.remove)
    # an unchanged answer keeps the vendor's own spelling
    return (json.dumps(content).encode(), places) if places else (body, 0)


def _at(content: Any, path: list[str], action: Callable[[Any, Any], bool]) -> int:
    """Call ``action`` for each place that the path matches; return the number of changed places."""
    step, *rest = path
    keys = _keys(content, step)
    if not rest:
        # from the end, so that removals from a list do not move the places that follow
        return sum(action(content, key) for key in reversed(keys))
    return sum(_at(content[key], rest, action) for key in keys if _has(content, key))


def _keys(content: Any, step: str) -> list[Any]:
    if isinstance(content, dict):
        return list(content) if step == _EVERY else [step]
    if isinstance(content, list):
        if step == _EVERY:
            return list(range(len(content)))
        return [int(step)] if step.removeprefix("-").isdigit() else []
    return []


def _has(content: Any, key: Any) -> bool:
    if isinstance(content, list):
        return bool(-len(content) <= key < len(content))
    return bool(key in content)


def _setter(value: Any) -> Callable[[Any, Any], bool]:
    def set_value(holder: Any, key: Any) -> bool:
        if isinstance(holder, list) and not _has(holder, key):
            return False
        holder[key] = value
        return True

    return set_value


def _remove(holder: Any, key: Any) -> bool:
    if not _has(holder, key):
        return False
    del holder[key]
    return True
