"""The platforms of the package. A new one is a folder of this name, and a line in here.

The folder has these modules, which are looked up by name, so that nothing shared has to know a vendor:

- ``definition``: ``DEFINITION``, the model of its audience definitions;
- ``form``: ``connection_type()``, its connection as Airflow wants it described;
- ``tasks``: ``ensure``, ``send`` and ``wait``, the tasks of its onboarding DAG that are its own, and where the vendor
  tells match rates, ``rates``; ``VENDOR_PAGES``, where the vendor describes it, if anywhere;
- ``drift``: ``differences``, what at the vendor is not as the definition says;
- ``reconcile``: ``settleable``, what of an audience can be created without anybody knowing, and how to ask for it;
- ``erasure``: ``known_id``, ``begin`` and ``go_on``, how people are taken out of an audience, see :mod:`.base.erasure`;
- ``retirement``: ``look`` and ``delete``, how an audience is deleted, see :mod:`.base.retirement`;
- ``plan``: ``audience`` and ``more``, what the command ``plan`` says of its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

PLATFORMS = ("commbox", "digital_audience", "fanfare")


def part_of(platform: str, part: str) -> Any:
    """A module of a platform's folder.

    :param platform: one of :data:`PLATFORMS`.
    :param part: one of the modules above.
    """
    if platform not in PLATFORMS:
        raise ValueError(f"{platform!r} is none of {', '.join(PLATFORMS)}")
    return import_module(f"audience_onboarding.platforms.{platform}.{part}")
