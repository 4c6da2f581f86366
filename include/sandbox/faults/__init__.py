"""Fault injection: an order makes a fitting call fail, wait or get another answer, for any vendor and S3.

:mod:`~sandbox.faults.orders` defines the orders, :mod:`~sandbox.faults.book` assigns them to calls. The vendors' APIs
apply them in :mod:`~sandbox.faults.middleware`, S3 in :mod:`sandbox.s3_faults`. A call gets at most one fault, the
oldest that fits.
"""

from __future__ import annotations

from sandbox.faults.book import Fault, FaultBook
from sandbox.faults.middleware import FaultMiddleware
from sandbox.faults.orders import S3, FaultLine, FaultOrder
from sandbox.faults.transport import Connection

__all__ = ["S3", "Connection", "Fault", "FaultBook", "FaultLine", "FaultMiddleware", "FaultOrder"]
