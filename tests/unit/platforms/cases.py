"""Tables of cases in one test: every case runs, and those that fail are reported together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest


@contextmanager
def every_case() -> Iterator[Callable[[object], AbstractContextManager[None]]]:
    """Yield a context manager for one case; raise at the end if any case has failed."""
    problems: list[str] = []

    @contextmanager
    def case(name: object) -> Iterator[None]:
        try:
            yield
        except (Exception, pytest.fail.Exception) as error:
            problems.append(f"{name}: {type(error).__name__}: {error}")

    yield case
    assert not problems, "\n".join(problems)
