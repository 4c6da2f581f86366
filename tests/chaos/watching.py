"""Everything that a flow lets others see, searched for what nobody may see."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from tests.chaos.flows import PEOPLE, RAW
from tests.chaos.judging import LEAK, Violation
from tests.small_airflow import Run, World

SIGNATURES = ("X-Amz-Signature=", "X-Amz-Credential=")
"""Parts of an address that lets anybody write who has it."""


def forbidden(secrets: Iterable[str]) -> tuple[str, ...]:
    """Texts that must be seen nowhere, in lower case.

    :param secrets: passwords and keys.
    """
    values = {email.lower() for people in PEOPLE.values() for email, _ in people}
    hashes = (hashlib.sha256(value.encode()).hexdigest() for value in values)
    return tuple(text.lower() for text in (*RAW, *hashes, *secrets, *SIGNATURES))


class Watch:
    """Keeps the log of all that runs in this process, and searches it.

    :param texts: what must not be seen, see :func:`forbidden`.
    """

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._texts = texts
        self._log = io.StringIO()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take all logs, the package's own from DEBUG on."""
        handler = logging.StreamHandler(self._log)
        handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
        root = logging.getLogger()
        before, level, configuration = root.handlers[:], root.level, structlog.get_config()
        root.handlers = [handler]
        root.setLevel(logging.INFO)
        logging.getLogger("audience_onboarding").setLevel(logging.DEBUG)
        structlog.configure(
            processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
            logger_factory=lambda *_: structlog.PrintLogger(self._log),  # type: ignore[arg-type]
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            root.handlers = before
            root.setLevel(level)
            logging.getLogger("audience_onboarding").setLevel(logging.NOTSET)
            structlog.configure(**configuration)

    def start(self) -> None:
        """Forget what was logged so far."""
        self._log.seek(0)
        self._log.truncate()

    @property
    def log(self) -> str:
        """What was logged."""
        return self._log.getvalue()

    def leaks(self, world: World, runs: Iterable[Run], *, log: str) -> list[Violation]:
        """Where something can be seen that must not be.

        :param log: of all processes that have run.
        """
        places: dict[str, Any] = {"log": log}
        for name, store in world.stores.items():
            places[f"state of {name}"] = repr(store.values)
        for run in runs:
            places[f"XComs of {run.run_id}"] = repr(run.xcoms)
            places[f"rendered fields of {run.run_id}"] = repr(run.rendered)
            places[f"events of {run.run_id}"] = repr(run.events)
            places[f"skip reasons of {run.run_id}"] = repr(run.skipped)
            places[f"errors of {run.run_id}"] = "".join(failure.seen for failure in run.tries)
        found = []
        for place, text in places.items():
            lower = text.lower()
            found += [
                Violation(LEAK, f"{place}: {_named(needle)}") for needle in self._texts if needle in lower
            ]
        return found


def _named(needle: str) -> str:
    """What was found, without showing it again."""
    return f"{needle[:3]}... ({len(needle)} characters)"
