"""Faults of the sandbox, as the tests of all platforms use them."""

from __future__ import annotations

from typing import Any

from scripts.local_stack import Sandbox


def fault(sandbox: Sandbox, vendor: str, method: str, path: str, **what: Any) -> None:
    """Let the next fitting call end differently.

    :param path: a regular expression for the whole path.
    :param what: fields of an order, as ``include/sandbox/README.md`` lists them: ``preset``, ``status``, ``action``,
        ``when``, ``times``, ``skip``, ...
    """
    order(sandbox, vendor=vendor, method=method, path=path, **what)


def order(sandbox: Sandbox, **what: Any) -> int:
    """Order a fault, and return its id."""
    return int(sandbox.admin("faults", method="POST", json=what)["id"])


def release(sandbox: Sandbox, ident: int) -> int:
    """Let go on what an order holds, and return how many calls that were."""
    return int(sandbox.admin(f"faults/{ident}/release", method="POST")["released"])


def exchanges(sandbox: Sandbox, since: int = 0) -> list[dict[str, Any]]:
    """Every exchange since the last reset, S3 and reads included, in the order of arrival."""
    found: list[dict[str, Any]] = sandbox.admin(f"exchanges?since={since}")["exchanges"]
    return found


def calls(sandbox: Sandbox, method: str, path_end: str) -> list[dict[str, Any]]:
    """The API calls of a method whose path ends so, oldest first."""
    entries = sandbox.admin("journal?kind=api")["entries"]
    return [item for item in entries if item["method"] == method and item["path"].endswith(path_end)]
