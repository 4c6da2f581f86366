"""Faults on order: a call that fits is answered differently, cut off or held up, whichever vendor it is for.

:mod:`~sandbox.faults.orders` says what can be ordered, :mod:`~sandbox.faults.book` which order a call gets. The
vendors' APIs get them from :mod:`~sandbox.faults.middleware`, S3 from :mod:`sandbox.s3_faults`. One call gets one fault
at most, the oldest that fits.
"""

from __future__ import annotations

from sandbox.faults.answers import answer_of
from sandbox.faults.book import Fault, FaultBook
from sandbox.faults.middleware import FaultMiddleware
from sandbox.faults.orders import S3, FaultLine, FaultOrder
from sandbox.faults.transport import Connection

__all__ = [
    "S3",
    "Connection",
    "Fault",
    "FaultBook",
    "FaultLine",
    "FaultMiddleware",
    "FaultOrder",
    "answer_of",
]
