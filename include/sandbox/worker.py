"""The one background thread: scans the buckets and runs the actions that are due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from sandbox.vendor import BucketReader, Services

log = logging.getLogger(__name__)

_SCAN_SHARE = 4


class Worker:
    """Runs :meth:`step` repeatedly."""

    def __init__(self, services: Services, readers: Sequence[BucketReader]) -> None:
        self._services = services
        self._readers = readers
        self.standing_still = threading.RLock()
        """Held while a step runs; its holder knows that nothing happens in the background."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-worker", daemon=True)

    def wake(self) -> None:
        """Start the next step now (an action was scheduled, or a setting changed)."""
        self._wake.set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current step."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def step(self, *, scan: bool = True) -> None:
        """Run due actions and, with ``scan``, process new objects."""
        with self.standing_still:
            self._run_due()
            if scan:
                for reader in self._readers:
                    self._scan(reader)
                self._run_due()

    def work(self, steps: int | None, *, scan: bool = True) -> int:
        """Process new objects and run pending actions one by one, whether or not they are due.

        :param steps: maximum number of actions; None for all, including those that they schedule.
        :returns: how many ran.
        """
        with self.standing_still:
            if scan:
                self.step()
            ran = 0
            while (steps is None or ran < steps) and self._services.timeline.run_next():
                ran += 1
            return ran

    def _run_due(self) -> None:
        now = self._services.clock.now()
        while self._services.timeline.run_next(until=now):
            pass

    def _scan(self, reader: BucketReader) -> None:
        changes = reader.watcher.changes()
        readable = [info for info in changes if info.key.startswith(reader.prefix)]
        if readable:
            reader.process(readable)
        for info in changes:
            if not info.key.startswith(reader.prefix):
                self._services.journal.object_event(
                    info, outcome="ignored", reason="no vendor reads this prefix"
                )

    def _run(self) -> None:
        next_scan = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            began = time.monotonic()
            try:
                self.step(scan=began >= next_scan)
            except Exception:
                # the simulation has to continue: the next step may succeed
                log.exception("sandbox worker step failed")
            interval = self._services.settings.current.scan_interval
            if began >= next_scan:
                # a scan may take at most a quarter of the time, so that a full bucket does not starve the API
                next_scan = began + max(interval, _SCAN_SHARE * (time.monotonic() - began))
            else:
                next_scan = min(next_scan, began + interval)
            self._wake.wait(self._delay(next_scan))

    def _delay(self, next_scan: float) -> float:
        delay = max(0.0, next_scan - time.monotonic())
        due = self._services.timeline.next_due()
        if due is None:
            return delay
        return min(delay, max(0.001, (due - self._services.clock.now()).total_seconds()))
