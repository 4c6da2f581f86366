"""Activation targets of a definition, resolved at the vendor: account, segments, last day. Without Airflow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from audience_onboarding.platforms.digital_audience.client import choose_account
from audience_onboarding.platforms.digital_audience.definition import (
    ActivationTarget,
    DigitalAudienceDefinition,
)
from audience_onboarding.platforms.digital_audience.models import PlatformAccount, Segment
from audience_onboarding.platforms.digital_audience.segment_names import SegmentName


@dataclass(frozen=True)
class ResolvedTarget:
    """Activation target with its platform account.

    :param target: the target in the definition.
    :param account: the matching account at the vendor.
    :param naming: names of its segments.
    :param until: end of the target; later, its segments are not extended.
    """

    target: ActivationTarget
    account: PlatformAccount
    naming: SegmentName
    until: datetime | None

    @property
    def key(self) -> str:
        """Key of the target."""
        return self.target.key

    def is_ours(self, segment: Segment) -> bool:
        """Whether a segment of the audience is one of this target's."""
        return segment.account_id == self.account.id and self.naming.fits(
            segment.name, platform=self.account.platform, account=self.account.name or ""
        )

    def own_segments(self, segments: Iterable[Segment]) -> list[Segment]:
        """The segments of this target, newest first."""
        own = [segment for segment in segments if self.is_ours(segment)]
        return sorted(own, key=lambda segment: segment.segment_id, reverse=True)


def get_segment_naming(definition: DigitalAudienceDefinition, target: ActivationTarget) -> SegmentName:
    """Return the naming of a target's segments."""
    return SegmentName(target.segment_name, definition.name, definition.key, target.key)


def resolve_target(
    definition: DigitalAudienceDefinition, target: ActivationTarget, accounts: Sequence[PlatformAccount]
) -> ResolvedTarget:
    """Return a target with the matching account.

    :param accounts: of the organisation.
    :raises ConfigurationError: no account matches, or several do; the message lists the choices.
    """
    ref = target.account
    account = choose_account(accounts, platform=ref.platform, name=ref.name, account_id=ref.id)
    until = target.end_of_last_day(definition.timezone)
    return ResolvedTarget(target, account, get_segment_naming(definition, target), until)
