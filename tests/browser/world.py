"""Definitions and extracts of the Airflow that the browser tests share, written before it starts.

Airflow would parse a later definition two minutes later.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.e2e.stack import Stack, schedule

LOAD_DATE = date(2026, 11, 20)
PAGE_DAYS = [date(2026, 11, day) for day in range(17, 21)]
"""The loads that the Audiences page shows."""
HISTORY = [date(2026, 11, day) for day in range(10, 13)]

RESOLVE_CONNECTION, RESOLVE_STORAGE = "digital_audience_resolve", "resolve_s3"


def write(stack: Stack) -> None:
    """Write all of it; each file of tests has audiences of its own."""
    _audience_page(stack)
    _own_pages(stack)


def _audience_page(stack: Stack) -> None:
    """For the Audiences page."""
    stack.define(
        "subscribers",
        name="Newsletter subscribers",
        owner="crm-team",
        activation={"targets": [_target("DV360")]},
    )
    for number, day in enumerate(PAGE_DAYS):
        stack.extract("subscribers", day, rows=200 + 15 * number)
    stack.define("lookalikes", name="Spring campaign lookalikes", owner="brand-team")
    stack.extract("lookalikes", LOAD_DATE)


def _own_pages(stack: Stack) -> None:
    """For Airflow's own pages."""
    _define(
        stack,
        "loyalty_members",
        "Loyalty members",
        description="Members of the loyalty programme who opted in.",
    )
    _define(
        stack,
        "web_orders",
        "Web orders",
        # The schedule has ended, so that only manual runs start.
        schedule={**schedule("0 3 * * *", date(2026, 1, 1)), "end": date(2026, 11, 15)},
    )
    for day in HISTORY:
        stack.extract("web_orders", day)
    _define(
        stack,
        "spring_campaign",
        "Spring campaign",
        activation={"targets": [_target("DV360", approval=True), _target("Xandr", approval=True)]},
    )
    _define(stack, "shop_visitors", "Shop visitors", activation={"targets": [_target("DV360")]})
    _define(
        stack,
        "newsletter",
        "Newsletter readers",
        conn_id=RESOLVE_CONNECTION,
        upload={"aws_conn_id": RESOLVE_STORAGE},
    )
    _define(stack, "club_members", "Club members")
    _define(stack, "old_promotion", "Promotion of 2024")
    (stack.include / "audiences" / "broken.yaml").write_text(
        "platform: digital_audience\nname: Broken\nowner: crm-team\ncampaign: {id: 1}\nsource:\n"
        "  path: crm/{load_date}.csv\n  columns:\n    emial: E-mail\n",
        encoding="utf-8",
    )


def _target(platform: str, **more: Any) -> dict[str, Any]:
    return {
        "key": platform.lower(),
        "account": {"platform": platform, "name": "Example NL"},
        "segment_name": "{audience} on {platform}",
        "description": "People who may hear of our offers",
        "duration_days": 30,
        "poll_interval_seconds": 2,
        **more,
    }


def _define(stack: Stack, key: str, name: str, **changes: Any) -> None:
    stack.define(key, name=name, owner="crm-team", tags=["nl"], campaign={"name": name}, **changes)
    stack.extract(key, LOAD_DATE)
