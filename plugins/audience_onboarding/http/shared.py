"""One client per process and account, so that there is one login and one connection pool."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

_all_instances: weakref.WeakSet[ProcessCache] = weakref.WeakSet()  # type: ignore[type-arg]


class ProcessCache(Generic[T]):
    """Keeps what is made once per key, for all threads of this process.

    A forked child starts empty: sockets and locks of its parent are of no use to it.
    """

    def __init__(self) -> None:
        # What is made may mask a secret, and in a triggerer (Airflow 3.3.2) that lets other waits have their turn in
        # the same thread, while this one holds the lock. Any other lock would stop all of them for good.
        self._lock = threading.RLock()
        self._instances: dict[Hashable, T] = {}
        _all_instances.add(self)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the instance for ``key``, making it where there is none yet."""
        with self._lock:
            if key not in self._instances:
                # Another of the same thread may have been quicker.
                self._instances.setdefault(key, make())
            return self._instances[key]

    def clear(self) -> None:
        """Forget all instances."""
        self._lock = threading.RLock()
        self._instances = {}


def _forget_everything() -> None:
    for instances in _all_instances:
        instances.clear()


os.register_at_fork(after_in_child=_forget_everything)
