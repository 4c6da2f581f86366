"""What the browser tests find in the Airflow that they share: definitions and extracts, written before it starts.

A definition that comes later is seen only when Airflow reads the file again, two minutes later.
"""

from __future__ import annotations

from datetime import date

from tests.e2e.stack import Stack

LOAD_DATE = date(2026, 11, 20)


def write(stack: Stack) -> None:
    """Write all of it; each file of tests has audiences of its own."""
    _audience_page(stack)


def _audience_page(stack: Stack) -> None:
    """For the Audiences page."""
    stack.define(
        "loyalty_members",
        name="Loyalty members",
        owner="crm-team",
        description="Members of the loyalty programme who opted in.",
        campaign={"name": "Loyalty"},
    )
    stack.extract("loyalty_members", LOAD_DATE)
