"""Every exchange with a vendor or S3 since the last reset, reads included, numbered in the order of arrival."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, Field

from sandbox.clock import Clock, iso
from sandbox.journal import FaultNote

_SHOWN: Final = frozenset({"partNumber", "list-type", "first", "last", "sortBy", "sortDir"})
"""Harmless query values. The others may be signatures, personal data or ids of open uploads."""


class Exchange(BaseModel):
    """An item of GET /_sandbox/exchanges."""

    number: int = Field(description="1 for the first since the last reset")
    time: str = Field(description="of arrival; ISO 8601, UTC")
    vendor: str = Field(description="a vendor, or s3")
    operation: str | None = Field(description="as the journal names it; null for a path of no operation")
    method: str
    path: str = Field(description="as sent; for S3 /bucket/key")
    query: str = Field(default="", description="names, and the values that are harmless")
    status: int | None = Field(
        default=None, description="HTTP status the caller got; 0: no answer; null: under way"
    )
    fault: FaultNote | None = None
    changed: int | None = Field(default=None, description="places in the JSON answer that a fault changed")


class ExchangePage(BaseModel):
    """Answer of GET /_sandbox/exchanges."""

    exchanges: list[Exchange]
    last: int = Field(description="number of the latest; pass as 'since' to get only later ones")
    under_way: int = Field(description="exchanges that have not ended, including those before a reset")


class Exchanges:
    """Thread-safe list of exchanges."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._list: deque[Exchange] = deque(maxlen=limit)
        self._last = 0
        self._open = 0
        self._changed = threading.Condition()

    @property
    def last(self) -> int:
        """Number of the latest exchange; 0 if there is none."""
        return self._last

    def begin(self, *, vendor: str, operation: str | None, method: str, path: str, query: str) -> Exchange:
        """Note the arrival of a call."""
        time = iso(self._clock.now())
        with self._changed:
            self._last += 1
            self._open += 1
            exchange = Exchange.model_construct(
                number=self._last,
                time=time,
                vendor=vendor,
                operation=operation,
                method=method,
                path=path,
                query=_harmless(query),
            )
            self._list.append(exchange)
            return exchange

    def end(self, exchange: Exchange) -> None:
        """Note the end of an exchange; without a status, the caller got no answer."""
        with self._changed:
            if exchange.status is None:
                exchange.status = 0
            self._open -= 1
            self._changed.notify_all()

    def page(self, since: int = 0, vendor: str | None = None, operation: str | None = None) -> ExchangePage:
        """Return those with a number above ``since``."""
        with self._changed:
            exchanges = [
                item.model_copy()
                for item in self._list
                if item.number > since
                and (vendor is None or item.vendor == vendor)
                and (operation is None or item.operation == operation)
            ]
            return ExchangePage(exchanges=exchanges, last=self._last, under_way=self._open)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until nothing is under way; return whether that happened within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout)

    def clear(self) -> None:
        """Drop all exchanges; the next one is number 1."""
        with self._changed:
            self._list.clear()
            self._last = 0


def _harmless(query: str) -> str:
    return "&".join(
        name if not value else f"{name}={value if name in _SHOWN else '...'}"
        for name, value in parse_qsl(query, keep_blank_values=True)
    )
