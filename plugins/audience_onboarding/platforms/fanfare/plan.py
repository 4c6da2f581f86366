"""What ``plan`` says of an audience on Fanfare, beyond what it says of all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from audience_onboarding.platforms.fanfare.definition import FanfareDefinition


def audience(definition: FanfareDefinition) -> str:
    """Which audience is loaded, and whether it may be created."""
    if definition.id is not None:
        return f"the existing one with id {definition.id}; none is created"
    return f"the one that is called {definition.name!r}; created if there is none"


def more(definition: FanfareDefinition, load_date: date | None) -> Iterator[tuple[str, str]]:  # noqa: ARG001 - as on all platforms
    """Further lines: none."""
    yield from ()
