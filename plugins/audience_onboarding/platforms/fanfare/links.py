"""Links from a task to the vendor's dashboard."""

from __future__ import annotations

from audience_onboarding.base.links import PortalLink


class FanfarePortalLink(PortalLink):
    """The audience in Fanfare's dashboard; needs ``portal_url`` in the connection."""

    name = "Fanfare dashboard"
