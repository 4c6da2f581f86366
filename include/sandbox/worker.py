"""The one background thread: looks into the bucket and lets due things happen."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from sandbox.bucket import BucketWatcher
from sandbox.clock import Clock
from sandbox.journal import Journal
from sandbox.settings import SettingsStore
from sandbox.timeline import Timeline
from sandbox.vendor import ObjectConsumer, OwnBucket

log = logging.getLogger(__name__)

_SCAN_SHARE = 4


class Worker:
    """Runs :meth:`step` over and over. Tests call :meth:`step` themselves."""

    def __init__(
        self,
        *,
        watcher: BucketWatcher,
        timeline: Timeline,
        clock: Clock,
        settings: SettingsStore,
        journal: Journal,
    ) -> None:
        self._watcher = watcher
        self._timeline = timeline
        self._clock = clock
        self._settings = settings
        self._journal = journal
        self.consumers: Sequence[ObjectConsumer] = ()
        self.own_buckets: Sequence[OwnBucket] = ()
        self.standing_still = threading.RLock()
        """Held while a step runs; whoever holds it knows that nothing happens in the background."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-worker", daemon=True)

    def wake(self) -> None:
        """Have the thread look again now (something was scheduled, or a setting changed)."""
        self._wake.set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current step."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def step(self, *, scan: bool = True) -> None:
        """Let due things happen and, with ``scan``, take new objects in."""
        with self.standing_still:
            self._timeline.run_due(self._clock.now())
            if scan:
                self._scan(self._watcher, self.consumers)
                for own in self.own_buckets:
                    self._scan(own.watcher, own.consumers)
                self._timeline.run_due(self._clock.now())

    def work(self, steps: int | None, *, scan: bool = True) -> int:
        """Take new objects in and do what is to come, due or not, one after the other.

        :param steps: how many things at most; None for all, also those that come of it.
        :returns: how many were done.
        """
        with self.standing_still:
            if scan:
                self.step()
            ran = 0
            while (steps is None or ran < steps) and self._timeline.run_next():
                ran += 1
            return ran

    @property
    def left(self) -> int:
        """How many things are still to come."""
        return len(self._timeline)

    def _scan(self, watcher: BucketWatcher, consumers: Sequence[ObjectConsumer]) -> None:
        changes = watcher.changes()
        if not changes:
            return
        taken = set()
        for consumer in consumers:
            mine = [info for info in changes if info.key.startswith(consumer.prefix)]
            taken.update(mine)
            if mine:
                consumer.take(mine)
        for info in changes:
            if info not in taken:
                self._journal.object_event(
                    key=info.key,
                    etag=info.etag,
                    size=info.size,
                    last_modified=info.last_modified,
                    outcome="ignored",
                    reason="no vendor reads this prefix",
                )

    def _run(self) -> None:
        next_scan = 0.0
        while not self._stop.is_set():
            self._wake.clear()
            began = time.monotonic()
            try:
                self.step(scan=began >= next_scan)
            except Exception:
                # the simulation has to go on: the next look may well work
                log.exception("sandbox worker step failed")
            interval = self._settings.current.scan_interval
            if began >= next_scan:
                # a scan may take at most a quarter of the time, so that a full bucket does not starve the API
                next_scan = began + max(interval, _SCAN_SHARE * (time.monotonic() - began))
            else:
                next_scan = min(next_scan, began + interval)
            self._wake.wait(self._pause(next_scan))

    def _pause(self, next_scan: float) -> float:
        pause = max(0.0, next_scan - time.monotonic())
        due = self._timeline.next_due()
        if due is not None:
            pause = min(pause, max(0.001, (due - self._clock.now()).total_seconds()))
        return pause
