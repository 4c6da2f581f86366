"""Environment of the Python processes that tests start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PLUGINS = PROJECT / "plugins"
OF_THE_RUN = ("CLOCK_OFFSET", "PATH")
"""Variables that each process gets, however little else it gets."""


def child_env(
    *folders: Path | str, base: Mapping[str, str] | None = None, **variables: str
) -> dict[str, str]:
    """Return an environment in which a Python process finds ``folders`` and reads the clock of this run.

    :param folders: for ``PYTHONPATH``, before those of this process; ``plugins`` if left out.
    :param base: the other variables; this process's if left out.
    :param variables: that are added or replaced.
    """
    kept = {name: os.environ[name] for name in OF_THE_RUN if name in os.environ}
    path = [*map(str, folders or (PLUGINS,)), os.environ.get("PYTHONPATH", "")]
    return {
        **kept,
        **(os.environ if base is None else base),
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        **variables,
    }
