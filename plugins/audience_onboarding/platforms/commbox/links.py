"""Links from a task to the vendor's console."""

from __future__ import annotations

from audience_onboarding.base.links import PortalLink


class CommBoxPortalLink(PortalLink):
    """The audience in CommBox's console; needs ``portal_url`` in the connection."""

    name = "CommBox console"
