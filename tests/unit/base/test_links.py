"""Links from a task to what it is about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base.links import PortalLink, StoredLink
from tests.unit.base.plain import HOST, KEY, PlainPortalLink, PlainSettings


class OtherLink(StoredLink):
    """A link of another kind."""

    name = "Other"


def settings(portal_url: str) -> PlainSettings:
    return PlainSettings(base_url=HOST, key=KEY, portal_url=portal_url)


def shown(link: StoredLink, operator: Any) -> str:
    """What Airflow gets, at the end of the task's process."""
    return link.get_link(operator, ti_key=None)


@pytest.mark.parametrize(
    ("template", "ids", "url"),
    [
        ("https://portal/{audience_id}", {"audience_id": "a-7"}, "https://portal/a-7"),
        ("", {"audience_id": 7}, ""),
        ("https://portal/{audience_id}", {}, ""),
        ("https://portal/{audience_id}", {"audience_id": None}, ""),
        ("https://portal/{audience_id}", {"import_id": 7}, ""),
    ],
)
def test_a_link_needs_a_template_and_an_id(template: str, ids: dict[str, Any], url: str) -> None:
    operator = SimpleNamespace()
    assert shown(PlainPortalLink(), operator) == ""

    # A link of an earlier call is removed.
    PlainPortalLink.persist(operator, settings("https://portal/{audience_id}"), audience_id=1)
    PlainPortalLink.persist(operator, settings(template), **ids)

    assert shown(PlainPortalLink(), operator) == url


def test_links_of_two_kinds_do_not_meet() -> None:
    operator = SimpleNamespace()

    assert shown(OtherLink(), operator) == ""
    OtherLink._persist(operator, "https://other")

    assert shown(OtherLink(), operator) == "https://other"
    assert shown(PlainPortalLink(), operator) == ""
    assert issubclass(PlainPortalLink, PortalLink)
