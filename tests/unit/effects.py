"""Kill a task at each of the points at which it leaves something behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes import AssetStores, DictStore


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class Effects:
    """Counts what a task does to the world: writes to its state store, and requests that change something.

    :ivar names: what was done, in order.
    :ivar dies: the number (from 1) of the effect at which the process is killed, and whether that is before or after
        it has happened; ``None``: it lives.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.dies: tuple[int, str] | None = None

    def before(self, name: str) -> None:
        """About to happen."""
        self.names.append(name)
        if self.dies == (len(self.names), "before"):
            self.names.pop()
            raise Killed

    def after(self) -> None:
        """It has happened."""
        if self.dies == (len(self.names), "after"):
            raise Killed

    def counted(self, name: str, function: Callable[..., None]) -> Callable[..., None]:
        """Return a function that is an effect of this name."""

        def call(*arguments: Any, **more: Any) -> None:
            self.before(name)
            function(*arguments, **more)
            self.after()

        return call

    def kill(self, dies: tuple[int, str], task: Callable[[], object]) -> None:
        """Run a task that is killed at a point, then count from the next try on."""
        self.start(dies=dies)
        with pytest.raises(Killed):
            task()
        self.start()

    def start(self, *, dies: tuple[int, str] | None = None) -> None:
        """Count from here."""
        self.names.clear()
        self.dies = dies


def points(effects: int) -> Iterator[tuple[int, str]]:
    """Yield all points at which a task with so many effects may be killed."""
    for number in range(1, effects + 1):
        yield from ((number, "before"), (number, "after"))


class JsonStore(DictStore):
    """A state store that keeps text, as the real one does: what is changed after it was written, is not in it."""

    def __init__(self, effects: Effects) -> None:
        super().__init__()
        self._effects = effects

    def get(self, key: str) -> Any:
        text = self.values.get(key)
        return None if text is None else json.loads(text)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self._effects.before(f"set {key}")
        super().set(key, json.dumps(value), retention=retention)
        self._effects.after()

    def delete(self, key: str) -> None:
        self._effects.before(f"delete {key}")
        super().delete(key)
        self._effects.after()

    @property
    def content(self) -> dict[str, Any]:
        """All that is in it."""
        return {key: json.loads(text) for key, text in self.values.items()}


class JsonStores(AssetStores):
    """The state stores of all assets."""

    def __init__(self, effects: Effects | None = None) -> None:
        super().__init__()
        self.effects = effects or Effects()

    def __getitem__(self, asset: Any) -> JsonStore:
        found = self.stores.setdefault(asset.name, JsonStore(self.effects))
        assert isinstance(found, JsonStore)
        return found
