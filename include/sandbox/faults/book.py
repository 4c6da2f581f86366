"""All fault orders, and their assignment to calls."""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from sandbox.clock import MovableClock
from sandbox.exchanges import Exchange, Exchanges
from sandbox.faults.orders import S3, FaultLine, FaultOrder
from sandbox.journal import FaultNote

API: Final = "api"
_SLICE: Final = 0.02


class Port(Protocol):
    """A port that can be closed so that connections are refused."""

    def close(self) -> None:
        """Refuse new connections, and end idle ones."""
        ...

    def open(self) -> None:
        """Accept connections again."""
        ...


class Wait:
    """Wait of a held call. Calling it returns the length of the next short sleep in seconds; 0 at the end."""

    def __init__(self, seconds: float | None) -> None:
        """:param seconds: maximum length; None for no maximum."""
        self._end = None if seconds is None else time.monotonic() + seconds
        self._over = False
        self.dropped = False
        """The call does not proceed."""

    def __call__(self) -> float:
        if self._over:
            return 0.0
        return _SLICE if self._end is None else min(_SLICE, max(0.0, self._end - time.monotonic()))

    def end(self, *, drop: bool = False) -> None:
        """Let the call proceed, or with ``drop`` not."""
        self.dropped, self._over = drop, True


@dataclass
class Fault:
    """An order that is not finished."""

    id: int
    order: FaultOrder
    skip: int
    left: int
    pattern: re.Pattern[str] | None = field(repr=False)
    first: int = 0
    """Number of the first exchange that it applies to; 0 for any."""
    held: dict[int, Wait] = field(default_factory=dict)
    """Number of an exchange -> its wait."""
    refusing: bool = False
    generation: int = 0
    """Number of times the book had been cleared before this order."""

    @property
    def port(self) -> str:
        """Name of the port that a refusal closes."""
        return S3 if self.order.vendor == S3 else API

    def fits(
        self, vendor: str, operation: str | None, method: str, paths: Sequence[str], exchange: int = 0
    ) -> bool:
        """Return whether the order applies to a call."""
        order = self.order
        if order.action == "refuse" or not self.left or exchange < self.first:
            return False
        if order.vendor is None and vendor == S3 and not self.first:
            return False
        return (
            order.vendor in {None, vendor}
            and (order.operation is None or order.operation == operation)
            and (order.method is None or order.method.upper() == method.upper())
            and (self.pattern is None or any(self.pattern.fullmatch(path) for path in paths))
        )

    def note(self, status: int | None = None) -> FaultNote:
        """Return the journal's note for a call that got this fault.

        :param status: HTTP status that the caller got in place of the vendor's; by default that of the order.
        """
        action, order = self.order.action, self.order
        if action == "answer" or (action == "change" and "status" in order.model_fields_set):
            status = order.status
        return FaultNote(id=self.id, action=action, when=order.when, status=status)

    def proceeds(self, wait: Wait, *, gone: bool) -> bool:
        """Return whether a call proceeds after its wait.

        :param gone: the caller has gone. The vendor's finished work is answered even then.
        """
        return not wait.dropped and (self.order.when == "after" or not (gone and self.order.ends_abandoned))


class FaultBook:
    """All unfinished orders. Thread-safe."""

    def __init__(self, exchanges: Exchanges | None = None) -> None:
        self.exchanges = exchanges or Exchanges(MovableClock(), 1000)
        self.ports: dict[str, Port] = {}
        self._faults: list[Fault] = []
        self._next_id = 1
        self._lock = threading.Lock()
        self._waits: weakref.WeakSet[Wait] = weakref.WeakSet()
        self._generation = 0
        self._dropped = 0
        """Generation after the latest :meth:`clear` that dropped the waiting calls."""

    # --- orders -----------------------------------------------------------------------------------------

    def add(self, order: FaultOrder) -> FaultLine:
        """Accept an order."""
        with self._lock:
            pattern = re.compile(order.path) if order.path is not None else None
            fault = Fault(self._next_id, order, order.skip, order.times, pattern)
            if order.exchange is not None or order.action == "refuse":
                fault.first = self.exchanges.last + (order.exchange or 1)
            fault.generation = self._generation
            self._next_id += 1
            self._faults.append(fault)
        self._start_due_refusals()
        with self._lock:
            return _line(fault)

    def lines(self) -> list[FaultLine]:
        """Return the unfinished orders, oldest first."""
        with self._lock:
            return [_line(fault) for fault in self._faults]

    def release(self, ident: int) -> int | None:
        """Release the calls that an order holds, or end its refusal.

        :returns: number of held calls or ended refusals; None for an unknown order.
        """
        with self._lock:
            fault = next((item for item in self._faults if item.id == ident), None)
            if fault is None:
                return None
            held = list(fault.held.values())
        if fault.order.action == "refuse":
            refusing = fault.refusing
            self._end_refusal(fault)
            return int(refusing)
        for wait in held:
            wait.end()
        return len(held)

    def clear(self, *, drop: bool = False) -> int:
        """Remove all orders, release the waiting calls, and accept connections again.

        :param drop: end the waiting calls instead, so that none arrives later.
        :returns: number of removed orders.
        """
        with self._lock:
            faults = list(self._faults)
            self._faults.clear()
            self._generation += 1
            if drop:
                self._dropped = self._generation
            waits = list(self._waits)
        for wait in waits:
            wait.end(drop=drop)
        for fault in faults:
            self._end_refusal(fault)
        return len(faults)

    # --- calls ------------------------------------------------------------------------------------------

    def arrive(
        self, *, vendor: str, operation: str | None, method: str, path: str, query: str, paths: Sequence[str]
    ) -> tuple[Exchange, Fault | None]:
        """Number a call, and return the fault that it gets, if any.

        :param paths: spellings of the path that an order may match.
        """
        exchange = self.exchanges.begin(
            vendor=vendor, operation=operation, method=method, path=path, query=query
        )
        with self._lock:
            for fault in self._faults:
                if not fault.fits(vendor, operation, method, paths, exchange.number):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.left -= 1
                # a release needs the orders that hold a call
                if not fault.left and fault.order.action != "hold":
                    self._faults.remove(fault)
                return exchange, fault
        return exchange, None

    def before_answer(self, port: str) -> bool:
        """Close the ports that the next call must find closed. Call this before any caller gets its answer.

        :returns: whether ``port`` is closed, so that this connection must not be used again.
        """
        # without the lock: called for every answer, and a list is replaced or appended to, never half changed
        if not self._faults:
            return False
        self._start_due_refusals()
        with self._lock:
            return any(fault.refusing and fault.port == port for fault in self._faults)

    @contextmanager
    def hold(self, fault: Fault, exchange: int) -> Iterator[Wait]:
        """Hold a call for the length of a ``with`` block."""
        wait = Wait(None if fault.order.action == "hold" else fault.order.seconds)
        with self._lock:
            self._waits.add(wait)
            if fault.generation != self._generation:
                # the orders were cleared between the call's arrival and now
                wait.end(drop=fault.generation < self._dropped)
            elif fault.order.action == "hold":
                fault.held[exchange] = wait
        try:
            yield wait
        finally:
            with self._lock:
                fault.held.pop(exchange, None)
                if not fault.left and not fault.held and fault in self._faults:
                    self._faults.remove(fault)

    # --- refusing connections ---------------------------------------------------------------------------

    def _start_due_refusals(self) -> None:
        with self._lock:
            due = [
                fault
                for fault in self._faults
                if fault.order.action == "refuse"
                and not fault.refusing
                and fault.first <= self.exchanges.last + 1
            ]
            for fault in due:
                fault.refusing = True
        for fault in due:
            # not under the lock: another thread closes the port, and may wait for the lock
            if fault.port in self.ports:
                self.ports[fault.port].close()
            timer = threading.Timer(fault.order.seconds, self._end_refusal, [fault])
            timer.daemon = True
            timer.start()

    def _end_refusal(self, fault: Fault) -> None:
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)
            if not fault.refusing:
                return
            fault.refusing = False
            others = any(item.refusing and item.port == fault.port for item in self._faults)
        if not others and fault.port in self.ports:
            self.ports[fault.port].open()


def _line(fault: Fault) -> FaultLine:
    # model_construct, as validation would check the fields that are only shown as an order
    shown = {"id": fault.id, "times": fault.left, "skip": fault.skip, "held": sorted(fault.held)}
    fields = {**fault.order.model_dump(), **shown, "refusing": fault.refusing}
    return FaultLine.model_construct(fault.order.model_fields_set, **fields)
