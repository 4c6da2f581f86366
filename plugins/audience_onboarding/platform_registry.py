"""Registry of the platforms.

A new platform is a package ``platforms/<name>`` with a :class:`~.platforms.contract.Platform`, and its name in here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audience_onboarding.platforms.contract import Platform

PLATFORMS = ("commbox", "digital_audience", "fanfare")


def get_platform(name: str) -> Platform[Any]:
    """Return a platform.

    :param name: one of :data:`PLATFORMS`.
    :raises ValueError: it is none of them.
    """
    if name not in PLATFORMS:
        raise ValueError(f"Unknown platform {name!r}. Use one of {', '.join(PLATFORMS)}")
    platform: Platform[Any] = import_module(f"audience_onboarding.platforms.{name}").PLATFORM
    return platform
