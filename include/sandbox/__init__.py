"""Simulation of the vendors and their S3 bucket over real HTTP, in one process.

Written from the vendors' pages alone. It shares no code with the clients under ``plugins/``, and neither side may
import the other: only so can it reveal a misreading in the client.

Run it with ``python include/sandbox``, or inside a test with :func:`running_sandbox`.
"""

from sandbox.clock import Clock, ManualClock, MovableClock
from sandbox.runtime import Sandbox, SandboxHandle, SandboxStartError, running_sandbox
from sandbox.settings import SandboxSettings

__all__ = [
    "Clock",
    "ManualClock",
    "MovableClock",
    "Sandbox",
    "SandboxHandle",
    "SandboxSettings",
    "SandboxStartError",
    "running_sandbox",
]
