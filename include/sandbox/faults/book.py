"""All orders, and which one a call gets."""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sandbox.clock import MovableClock
from sandbox.exchanges import Exchange, Exchanges
from sandbox.faults.orders import S3, FaultLine, FaultOrder
from sandbox.journal import FaultNote

API: Final = "api"
_SLICE: Final = 0.02


class Door(Protocol):
    """A port that can be closed so that connections are refused."""

    def close(self) -> None:
        """Refuse connections from now on, and end those that nothing is going on in."""
        ...

    def open(self) -> None:
        """Take connections again."""
        ...


class Wait:
    """A call that is held up. Call it before each short sleep for its length in seconds; 0 when it is over."""

    def __init__(self, seconds: float | None) -> None:
        """:param seconds: how long at most; None for as long as it takes."""
        self._end = None if seconds is None else time.monotonic() + seconds
        self._over = False
        self.dropped = False
        """The call is not to go on."""

    def __call__(self) -> float:
        if self._over:
            return 0.0
        return _SLICE if self._end is None else min(_SLICE, max(0.0, self._end - time.monotonic()))

    def end(self, *, drop: bool = False) -> None:
        """Let the call go on, or with ``drop`` not."""
        self.dropped, self._over = drop, True


@dataclass
class Fault:
    """An order in hand."""

    id: int
    order: FaultOrder
    skip: int
    left: int
    pattern: re.Pattern[str] | None = field(repr=False)
    first: int = 0
    """Number of the first exchange that it is for; 0 when that does not matter."""
    held: dict[int, Wait] = field(default_factory=dict)
    """Number of an exchange -> its wait."""
    refusing: bool = False
    generation: int = 0
    """How often the book had been cleared when it was ordered."""

    @property
    def door(self) -> str:
        """Name of the port that a refusal is about."""
        return S3 if self.order.vendor == S3 else API

    def fits(
        self, vendor: str, operation: str | None, method: str, paths: Sequence[str], exchange: int = 0
    ) -> bool:
        """Tell whether a call is one of those meant."""
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
        """Return what the journal is to say about a call that got this.

        :param status: the HTTP status the caller got instead of the vendor's; None when it got no other.
        """
        return FaultNote(id=self.id, action=self.order.action, when=self.order.when, status=status)


class FaultBook:
    """All orders not yet carried out. Thread-safe."""

    def __init__(self, exchanges: Exchanges | None = None) -> None:
        self.exchanges = exchanges or Exchanges(MovableClock(), 1000)
        self.doors: dict[str, Door] = {}
        self._faults: list[Fault] = []
        self._next_id = 1
        self._lock = threading.Lock()
        self._waits: weakref.WeakSet[Wait] = weakref.WeakSet()
        self._generation = 0
        self._dropped = 0
        """Generation after the latest :meth:`clear` that dropped the waiting calls."""

    # --- orders -----------------------------------------------------------------------------------------

    def add(self, order: FaultOrder) -> FaultLine:
        """Take an order."""
        with self._lock:
            pattern = re.compile(order.path) if order.path is not None else None
            fault = Fault(self._next_id, order, order.skip, order.times, pattern)
            if order.exchange is not None or order.action == "refuse":
                fault.first = self.exchanges.last + (order.exchange or 1)
            fault.generation = self._generation
            self._next_id += 1
            self._faults.append(fault)
        self._refuse_what_is_due()
        with self._lock:
            return _line(fault)

    def lines(self) -> list[FaultLine]:
        """Return what is left or going on, oldest first."""
        with self._lock:
            return [_line(fault) for fault in self._faults]

    def release(self, ident: int) -> int | None:
        """Let go on what an order holds, or end its refusal.

        :returns: how many calls were held, or refusals ended; None when there is no such order.
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
        """Forget all orders, let go on what waits, and take connections again.

        :param drop: what waits is ended instead, so that nothing of it arrives later.
        :returns: how many orders there were.
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

    def take(
        self, *, vendor: str, operation: str | None, method: str, paths: Sequence[str], exchange: int = 0
    ) -> Fault | None:
        """Return the fault that this call gets, and count it; None for a call that is left alone."""
        with self._lock:
            for fault in self._faults:
                if not fault.fits(vendor, operation, method, paths, exchange):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.left -= 1
                # what is held has to be found when it is to be released
                if not fault.left and fault.order.action != "hold":
                    self._faults.remove(fault)
                return fault
            return None

    def arrive(
        self,
        *,
        vendor: str,
        operation: str | None,
        method: str,
        path: str,
        query: str,
        paths: Sequence[str],
    ) -> tuple[Exchange, Fault | None]:
        """Number a call, and say which fault it gets."""
        exchange = self.exchanges.begin(
            vendor=vendor, operation=operation, method=method, path=path, query=query
        )
        return exchange, self.take(
            vendor=vendor, operation=operation, method=method, paths=paths, exchange=exchange.number
        )

    def before_answer(self, door: str) -> bool:
        """Close the ports that the next call is to find closed. To be called before any caller hears anything.

        :returns: whether the port ``door`` is closed, so that this connection must not be used again.
        """
        # without the lock: called for every answer, and a list is replaced or appended to, never half changed
        if not self._faults:
            return False
        self._refuse_what_is_due()
        with self._lock:
            return any(fault.refusing and fault.door == door for fault in self._faults)

    def hold(self, fault: Fault, exchange: int) -> Wait:
        """Begin to hold a call up; :meth:`let_go` has to follow."""
        wait = Wait(None if fault.order.action == "hold" else fault.order.seconds)
        with self._lock:
            self._waits.add(wait)
            if fault.generation != self._generation:
                # the orders were cleared between the call's arrival and now
                wait.end(drop=fault.generation < self._dropped)
            elif fault.order.action == "hold":
                fault.held[exchange] = wait
        return wait

    def let_go(self, fault: Fault, exchange: int) -> None:
        """Note that a call is no longer held up."""
        with self._lock:
            fault.held.pop(exchange, None)
            if not fault.left and not fault.held and fault in self._faults:
                self._faults.remove(fault)

    # --- refusing connections ---------------------------------------------------------------------------

    def _refuse_what_is_due(self) -> None:
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
            # not under the lock: the port is closed by another thread, which may be waiting for the lock
            if fault.door in self.doors:
                self.doors[fault.door].close()
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
            others = any(item.refusing and item.door == fault.door for item in self._faults)
        if not others and fault.door in self.doors:
            self.doors[fault.door].open()


def _line(fault: Fault) -> FaultLine:
    # what was given is told apart from what is only shown, or it would be checked as an order again
    return FaultLine.model_construct(
        fault.order.model_fields_set,
        **{
            **fault.order.model_dump(),
            "id": fault.id,
            "times": fault.left,
            "skip": fault.skip,
            "held": sorted(fault.held),
            "refusing": fault.refusing,
        },
    )
