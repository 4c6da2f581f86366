"""Links from a task to what it is about."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.base.links import PortalLink, ShownLink
from tests.unit.base.plain import HOST, KEY, PlainPortalLink, PlainSettings


class OtherLink(ShownLink):
    """A link of another kind."""

    name = "Other"


def settings(portal_url: str) -> PlainSettings:
    return PlainSettings(base_url=HOST, key=KEY, portal_url=portal_url)


def shown(link: ShownLink, operator: Any) -> str:
    """What Airflow gets, at the end of the task's process."""
    return link.get_link(operator, ti_key=None)


def test_the_portals_link_is_shown() -> None:
    operator = SimpleNamespace()

    PlainPortalLink.show(operator, settings("https://portal/{audience_id}"), audience_id="a-7")

    assert shown(PlainPortalLink(), operator) == "https://portal/a-7"


@pytest.mark.parametrize(
    ("template", "ids"),
    [
        ("", {"audience_id": 7}),
        ("https://portal/{audience_id}", {}),
        ("https://portal/{audience_id}", {"audience_id": None}),
        ("https://portal/{audience_id}", {"import_id": 7}),
    ],
)
def test_without_a_template_or_an_id_there_is_no_link(template: str, ids: dict[str, Any]) -> None:
    operator = SimpleNamespace()

    PlainPortalLink.show(operator, settings(template), **ids)

    assert shown(PlainPortalLink(), operator) == ""


def test_a_link_that_fits_no_more_is_taken_away() -> None:
    operator = SimpleNamespace()

    PlainPortalLink.show(operator, settings("https://portal/{audience_id}"), audience_id=7)
    PlainPortalLink.show(operator, settings("https://portal/{audience_id}"), audience_id=None)

    assert shown(PlainPortalLink(), operator) == ""


@pytest.mark.parametrize("link", [PlainPortalLink(), OtherLink()])
def test_a_task_that_did_not_come_to_it_has_no_link(link: ShownLink) -> None:
    assert shown(link, SimpleNamespace()) == ""


def test_links_of_two_kinds_do_not_meet() -> None:
    operator = SimpleNamespace()

    OtherLink._show(operator, "https://other")

    assert shown(OtherLink(), operator) == "https://other"
    assert shown(PlainPortalLink(), operator) == ""
    assert issubclass(PlainPortalLink, PortalLink)
