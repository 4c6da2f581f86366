"""Erasure from an audience of Fanfare: finds the people; a user removes them, as its API has no such operation.

Source: https://docs.fanfare.io/api/admin-api/audiences (members)
"""

from __future__ import annotations

from typing import Any

from audience_onboarding.base.erasure import ErasureJob, ErasureResult, mapped_hashes, not_applicable
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.definition import FanfareDefinition
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.models import AudienceType
from audience_onboarding.state.create_once import check_not_retired, get_audience_id
from audience_onboarding.state.remote_ids import parse_str_id
from audience_onboarding.state.store import StateStore


def _client(definition: FanfareDefinition) -> FanfareClient:
    return FanfareHook(definition.conn_id).client


def find_audience_id(definition: FanfareDefinition, store: StateStore) -> str | None:
    """Return the audience's id, ``None`` if there is none yet.

    :raises AudienceRetiredError: the audience was retired.
    """
    check_not_retired(store)
    audience_id = get_audience_id(
        definition.id, store, account=lambda: _client(definition).settings.account, read=parse_str_id
    )
    if audience_id is not None:
        return audience_id
    audience = _client(definition).find_audience(definition.name, AudienceType.STATIC_LIST)
    return None if audience is None else audience.id


def start(job: ErasureJob) -> ErasureResult:
    """Report whether one of them is a member."""
    definition: FanfareDefinition = job.definition
    hashes = mapped_hashes(job)
    if not hashes.count:
        return not_applicable(job)
    audience_id = find_audience_id(definition, job.store)
    if audience_id is None:
        return ErasureResult("not_found", "There is no audience yet")
    members, checked = _client(definition).count_members_like(
        audience_id, emails=hashes.of("email"), phones=hashes.of("phone")
    )
    if not members:
        return ErasureResult(
            "not_found", f"None of its {checked} members is one of them", {"members": checked}
        )
    return ErasureResult(
        "manual_action_required",
        f"{members} of its {checked} members are among them, and Fanfare's API has no operation that removes a "
        f"member from a list. Remove them in the dashboard (audience {definition.name!r}, {audience_id}), then clear "
        "this task: it checks again",
        {"members": checked, "found": members},
    )


def resume(job: ErasureJob, after: str, event: dict[str, Any]) -> ErasureResult:  # noqa: ARG001 - there is no wait
    """Check again."""
    return start(job)
