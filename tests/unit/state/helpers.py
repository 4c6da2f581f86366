"""Tables of cases that report all failing cases together, and tests that run in an event loop."""

from __future__ import annotations

import asyncio
import functools
import gc
import re
from collections.abc import Callable, Coroutine, Iterable
from typing import Any


def _result(function: Callable[..., Any], given: Any) -> Any:
    try:
        return function(given)
    except Exception as error:
        return error


def check(function: Callable[[Any], Any], cases: Iterable[tuple[Any, Any]]) -> None:
    """Call the function with the first part of each case; its result is the second part."""
    found = [(given, expected, _result(function, given)) for given, expected in cases]
    assert found
    problems = [f"{given!r}: {got!r}, not {expected!r}" for given, expected, got in found if got != expected]
    assert not problems, "\n".join(problems)


def check_refused(
    function: Callable[[Any], Any],
    values: Iterable[Any],
    kind: type[Exception] | tuple[type[Exception], ...],
    message: Callable[[Any], str] | str = "",
) -> None:
    """Call the function with each value; it raises the error, with a message that the pattern finds."""
    problems = []
    for value in values:
        error = _result(function, value)
        pattern = message(value) if callable(message) else message
        if not (isinstance(error, kind) and re.search(pattern, str(error))):
            problems.append(f"{value!r}: {error!r}, not {kind} with {pattern!r}")
    assert not problems, "\n".join(problems)


def in_loop(test: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., None]:
    """Run a test in an event loop of its own, in which no error goes unseen."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        unseen: list[Any] = []

        async def watched() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
            await test(*args, **kwargs)
            gc.collect()
            await asyncio.sleep(0)

        asyncio.run(watched())
        gc.collect()
        assert unseen == []

    return run
