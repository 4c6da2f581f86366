"""Cursor paging. Page: https://docs.fanfare.io/api/pagination.md."""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sandbox.fanfare import issues

Json = dict[str, Any]
Key = tuple[Any, ...]
_T = TypeVar("_T")

DEFAULT_SIZE: Final = 20
MAX_SIZE: Final = 100


@dataclass(frozen=True)
class PageQuery:
    """The paging part of a query."""

    size: int
    backwards: bool
    after: Key | None
    before: Key | None
    sort_by: str
    descending: bool


@dataclass(frozen=True)
class Page(Generic[_T]):
    """A page of a list, with its cursors."""

    items: Sequence[_T]
    start: str | None
    end: str | None
    is_last: bool


def read_query(query: Mapping[str, str], sortable: Sequence[str]) -> PageQuery:
    """Read the paging part of a query. [I] Newest first by default, as the consumers page shows.

    :param sortable: allowed values of ``sortBy``, the default first.
    :raises InvalidRequest: a value is out of range, or ``first`` and ``last`` come together.
    """
    problems: list[Json] = []

    def bad(name: str, expected: str) -> None:
        path = [issues.step(name, dict(query))]
        problems.append(issues.wrong("query", expected, query.get(name), path, kind="validation"))

    sizes = {name: query[name] for name in ("first", "last") if name in query}
    for name, text in sizes.items():
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_SIZE):
            bad(name, f"1 to {MAX_SIZE}")
    if len(sizes) > 1:
        bad("last", "first or last, not both")
    sort_by = query.get("sortBy", sortable[0])
    if sort_by not in sortable:
        bad("sortBy", " | ".join(sortable))
    direction = query.get("sortDir", "desc").lower()
    if direction not in {"asc", "desc"}:
        bad("sortDir", "asc | desc")
    keys: dict[str, Key | None] = {}
    for name in ("after", "before"):
        keys[name] = _read_cursor(query[name], sort_by) if name in query else None
        if name in query and keys[name] is None:
            bad(name, "cursor")
    if problems:
        raise issues.InvalidRequest(problems)
    size = next((int(text) for text in sizes.values()), DEFAULT_SIZE)
    return PageQuery(size, "last" in query, keys["after"], keys["before"], sort_by, direction == "desc")


def cut_page(items: Sequence[_T], key: Callable[[_T], Key], query: PageQuery) -> Page[_T]:
    """Return a page of a list.

    :param items: all items, ascending by ``key``, which is unique.
    """
    low, high = 0, len(items)
    # in a descending query, the items after a cursor come before it in ``items``
    above, below = (query.before, query.after) if query.descending else (query.after, query.before)
    if above is not None:
        low = bisect_right(items, above, key=key)
    if below is not None:
        high = max(low, bisect_left(items, below, key=key))
    if query.backwards == query.descending:
        high = min(high, low + query.size)
    else:
        low = max(low, high - query.size)
    chosen = list(items[low:high])
    is_last = low == 0 if query.descending else high == len(items)
    if query.descending:
        chosen.reverse()
    if not chosen:
        return Page(chosen, None, None, True)
    start, end = (_cursor(key(item), query.sort_by) for item in (chosen[0], chosen[-1]))
    return Page(chosen, start, end, is_last)


def _cursor(key: Key, sort_by: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort_by, *key]).encode()).decode().rstrip("=")


def _read_cursor(text: str, sort_by: str) -> Key | None:
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        used_by, *key = json.loads(decoded)
    except (binascii.Error, UnicodeError, ValueError, TypeError):
        return None
    fits = used_by == sort_by and len(key) == 2 and isinstance(key[0], str) and isinstance(key[1], int)
    return tuple(key) if fits else None
