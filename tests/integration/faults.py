"""Faults of the sandbox, as the tests of all platforms use them."""

from __future__ import annotations

from typing import Any

from scripts.local_stack import Sandbox


def fault(sandbox: Sandbox, vendor: str, method: str, path: str, **what: Any) -> None:
    """Let the next fitting call end differently.

    :param path: a regular expression for the whole path.
    :param what: ``status``, ``body``, ``headers``, ``when`` (``before`` or ``after``), ``action`` (``answer``,
        ``drop``, ``delay``), ``seconds``, ``times``, ``skip``.
    """
    body = {"vendor": vendor, "method": method, "path": path, **what}
    sandbox.admin("faults", method="POST", json=body)


def calls(sandbox: Sandbox, method: str, path_end: str) -> list[dict[str, Any]]:
    """The API calls of a method whose path ends so, oldest first."""
    entries = sandbox.admin("journal?kind=api")["entries"]
    return [item for item in entries if item["method"] == method and item["path"].endswith(path_end)]
