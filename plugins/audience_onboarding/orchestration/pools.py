"""Pools that the DAGs use."""

from __future__ import annotations

CREATE_POOL = "audience_onboarding_create"
"""One slot: what several audiences share (a campaign) is created by one task at a time, over all DAGs. The state
store has no compare-and-set, so nothing less would keep two DAGs from creating the same campaign."""

CREATE_POOL_DESCRIPTION = "One slot, never more: creates what several audiences share, one at a time."
