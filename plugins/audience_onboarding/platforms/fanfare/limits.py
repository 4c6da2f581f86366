"""How much one import may hold.

Source: https://docs.fanfare.io/dashboard/audiences/import-consumers, which is about the dashboard; that the API has the
same limits is an inference.
"""

from __future__ import annotations

MAX_ROWS = 100_000
"""Rows of one import; the header is taken not to count."""

MAX_BYTES = 10_000_000
"""Bytes of one import. The page says "10 MB", of which this is the smaller reading."""
