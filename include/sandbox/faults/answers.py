"""What is answered in the vendor's place, and how the vendor's own answer is changed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any, Final

from sandbox.faults.orders import FaultOrder
from sandbox.ratelimit import retry_after
from sandbox.vendor import ErrorAnswer

JSON: Final = "application/json"
HTML: Final = "text/html"
_EVERY: Final = "*"
_BODY_IN: Final = "retryAfter"


def has_body(status: int) -> bool:
    """Tell whether an answer of this status may carry a body."""
    return status not in {204, 304}


def answer_of(
    order: FaultOrder, error: Callable[[int], ErrorAnswer], now: datetime | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an ordered answer.

    :param error: gives the vendor's own answer for a status.
    :param now: for a Retry-After that is a date; the machine's clock if left out.
    """
    if not has_body(order.status):
        encoded, headers = b"", {}
    elif "body" in order.model_fields_set:
        text = isinstance(order.body, str)
        body = order.body if text else json.dumps(order.body)
        headers = {"content-type": "text/plain; charset=utf-8" if text else JSON}
        encoded = str(body).encode()
    elif order.page == "html":
        encoded, headers = html_page(order.status), {"content-type": HTML}
    else:
        own = error(order.status)
        encoded, headers = own.body, dict(own.headers)
    if order.retry_after != "vendor":
        encoded = _say_wait(order, headers, encoded, now or datetime.now(timezone.utc))
    headers.update({name.lower(): value for name, value in order.headers.items()})
    return order.status, headers, encoded


def html_page(status: int) -> bytes:
    """Return the kind of page that a proxy sends in the place of the server behind it."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    title = f"{status} {phrase}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def _say_wait(order: FaultOrder, headers: dict[str, str], body: bytes, now: datetime) -> bytes:
    """Set Retry-After, and what a vendor's body says of it, so that the two agree."""
    headers.pop("retry-after", None)
    wait = math.ceil(order.wait)
    if order.retry_after == "seconds":
        headers["retry-after"] = retry_after("seconds", wait, now)
    elif order.retry_after == "date":
        headers["retry-after"] = retry_after("date", wait, now)
    if "body" in order.model_fields_set or headers.get("content-type") != JSON:
        return body
    content = json.loads(body)
    if isinstance(content, dict) and _BODY_IN in content:
        content[_BODY_IN] = wait
        if order.retry_after == "none":
            del content[_BODY_IN]
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
    """The connection ends behind the body, which is shorter than its Content-Length says."""
    places: int
    """Places in the JSON that were changed or taken out."""


def change(order: FaultOrder, status: int, headers: Mapping[str, str], body: bytes) -> Changed:
    """Change an answer.

    :param headers: names in lower case. What occurs twice has to be joined before.
    """
    places = 0
    if order.set or order.remove:
        body, places = _change_json(body, order)
    status = order.status if "status" in order.model_fields_set else status
    gone = {name.lower() for name in order.remove_headers}
    kept = {name: value for name, value in headers.items() if name not in gone and name != "content-length"}
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
    places = sum(_at(content, path.split("."), _putter(value)) for path, value in order.set.items())
    places += sum(_at(content, path.split("."), _take) for path in order.remove)
    # an answer that is not touched stays as the vendor wrote it
    return (json.dumps(content).encode(), places) if places else (body, 0)


def _at(content: Any, path: list[str], do: Callable[[Any, Any], bool]) -> int:
    """Do something wherever the path leads; return at how many places it was done."""
    step, *rest = path
    keys = _keys(content, step)
    if not rest:
        # from the end, so that what is taken out of a list moves nothing that is still to come
        return sum(do(content, key) for key in reversed(keys))
    return sum(_at(content[key], rest, do) for key in keys if _holds(content, key))


def _keys(content: Any, step: str) -> list[Any]:
    if isinstance(content, dict):
        return list(content) if step == _EVERY else [step]
    if isinstance(content, list):
        if step == _EVERY:
            return list(range(len(content)))
        return [int(step)] if step.removeprefix("-").isdigit() else []
    return []


def _holds(content: Any, key: Any) -> bool:
    if isinstance(content, list):
        return bool(-len(content) <= key < len(content))
    return bool(key in content)


def _putter(value: Any) -> Callable[[Any, Any], bool]:
    def put(holder: Any, key: Any) -> bool:
        if isinstance(holder, list) and not _holds(holder, key):
            return False
        holder[key] = value
        return True

    return put


def _take(holder: Any, key: Any) -> bool:
    if not _holds(holder, key):
        return False
    del holder[key]
    return True
