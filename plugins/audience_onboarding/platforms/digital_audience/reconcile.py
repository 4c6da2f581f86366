"""What can be unclear at Digital Audience, and how the vendor is asked about it."""

from __future__ import annotations

from airflow.sdk import Asset

from audience_onboarding.exceptions import NothingToSettleError
from audience_onboarding.platforms.digital_audience.activation_targets import naming_of, target_at_vendor
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.definition import (
    ActivationTarget,
    DigitalAudienceDefinition,
)
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.state.create_once import audience_id_of
from audience_onboarding.state.reconcile import NEXT, Found, Settleable, what_of
from audience_onboarding.state.remote_ids import number_id
from audience_onboarding.state.store import Memory, campaign_asset, segment_key


def settleable(definition: DigitalAudienceDefinition, asset: Asset) -> list[Settleable]:
    """Campaign and audience, unless the definition gives their ids, and the segment of each target.

    :param asset: the audience's.
    """

    def client() -> DigitalAudienceClient:
        return DigitalAudienceHook(definition.connection).client

    def account() -> str:
        return client().settings.account

    def audience(audience_id: int | str, _: Memory) -> Found:
        return Found(client().load_audience(number_id(audience_id)).name)

    found = []
    if definition.id is None and definition.campaign and definition.campaign.name:
        # The vendor's pages have no operation that shows a campaign, so there is no look.
        shared = campaign_asset(definition.platform, definition.connection, definition.campaign.name)
        found.append(Settleable("campaign", shared, number_id, account))
    if definition.id is None:
        found.append(Settleable("audience", asset, number_id, account, look=audience))
    for target in definition.activation.targets if definition.activation else ():
        if naming_of(definition, target).is_dated:
            # One for each load date; an unclear one is found by its name, and needs nobody to settle it.
            continue
        segments = _Segments(definition, target)
        what = str(what_of(segment_key(target.key)))
        found.append(Settleable(what, asset, number_id, account, look=segments.look, find=segments.find))
    return found


class _Segments:
    """The segments of an audience, as one target of its definition means them."""

    def __init__(self, definition: DigitalAudienceDefinition, target: ActivationTarget) -> None:
        self._definition = definition
        self._target = target

    @property
    def _client(self) -> DigitalAudienceClient:
        return DigitalAudienceHook(self._definition.connection).client

    def _audience_id(self, memory: Memory) -> int | None:
        return audience_id_of(
            self._definition.id, memory, account=lambda: self._client.settings.account, read=number_id
        )

    def look(self, segment_id: int | str, memory: Memory) -> Found:
        """The segment, if it is one of this audience."""
        segment = self._client.load_segment(number_id(segment_id))
        ours = self._audience_id(memory)
        if segment.audience_id != ours:
            raise NothingToSettleError(
                what=f"Segment {segment_id} belongs to audience {segment.audience_id}, not to {ours}",
                where=self._client.settings.account,
                next_step=NEXT,
            )
        return Found(segment.name)

    def find(self, memory: Memory) -> int | None:
        """The segment that is there by its name and account, the newest of several."""
        ours = self._audience_id(memory)
        if ours is None:
            return None
        client = self._client
        target = target_at_vendor(self._definition, self._target, client.load_platform_accounts())
        return next((segment.segment_id for segment in target.of(client.load_audience_segments(ours))), None)
