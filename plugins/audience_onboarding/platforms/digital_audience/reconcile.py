"""Comparison of Digital Audience with the definitions and with unfinished creates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from airflow.sdk import Asset

from audience_onboarding.exceptions import ConfigurationError, NotFoundError, NothingToResolveError
from audience_onboarding.platforms.digital_audience.activation_targets import (
    ResolvedTarget,
    get_segment_naming,
    resolve_target,
)
from audience_onboarding.platforms.digital_audience.client import DigitalAudienceClient
from audience_onboarding.platforms.digital_audience.definition import (
    ActivationConfig,
    ActivationTarget,
    DigitalAudienceDefinition,
)
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.models import Segment
from audience_onboarding.platforms.digital_audience.segment_operators import move_end_date
from audience_onboarding.state.create_once import get_audience_id, stored_id
from audience_onboarding.state.drift import GONE, Difference, of_audience
from audience_onboarding.state.reconcile import RETRY_FORM_HINT, PendingCreate, RemoteObject, object_label
from audience_onboarding.state.remote_ids import parse_int_id
from audience_onboarding.state.store import (
    LAST_LOAD_KEY,
    StateStore,
    campaign_asset,
    rejection_key,
    segment_key,
)


def pending_creates(definition: DigitalAudienceDefinition, asset: Asset) -> list[PendingCreate]:
    """Campaign and audience, unless the definition gives their ids, and the segment of each target.

    :param asset: of the audience.
    """

    def client() -> DigitalAudienceClient:
        return DigitalAudienceHook(definition.conn_id).client

    def account() -> str:
        return client().settings.account

    def audience(audience_id: int | str, _: StateStore) -> RemoteObject:
        return RemoteObject(client().load_audience(parse_int_id(audience_id)).name)

    pending = []
    if definition.id is None and definition.campaign and definition.campaign.name:
        # The vendor's pages document no operation that reads a campaign.
        shared = campaign_asset(definition.platform, definition.conn_id, definition.campaign.name)
        pending.append(PendingCreate("campaign", shared, parse_int_id, account))
    if definition.id is None:
        pending.append(PendingCreate("audience", asset, parse_int_id, account, inspect=audience))
    for target in definition.activation.targets if definition.activation else ():
        if get_segment_naming(definition, target).is_dated:
            # One for each load date; an ambiguous create is resolved by the segment's name.
            continue
        segments = _Segments(definition, target)
        label = str(object_label(segment_key(target.key)))
        pending.append(
            PendingCreate(label, asset, parse_int_id, account, inspect=segments.inspect, find=segments.find)
        )
    return pending


@dataclass(frozen=True)
class _Segments:
    """Segments of an audience that belong to one target of its definition."""

    definition: DigitalAudienceDefinition
    target: ActivationTarget

    @property
    def _client(self) -> DigitalAudienceClient:
        return DigitalAudienceHook(self.definition.conn_id).client

    def inspect(self, segment_id: int | str, store: StateStore) -> RemoteObject:
        """The segment, if it is one of this audience."""
        segment = self._client.load_segment(parse_int_id(segment_id))
        audience_id = _audience_id(self.definition, store, self._client)
        if segment.audience_id != audience_id:
            raise NothingToResolveError(
                what=f"Segment {segment_id} belongs to audience {segment.audience_id}, not to {audience_id}",
                where=self._client.settings.account,
                next_step=RETRY_FORM_HINT,
            )
        return RemoteObject(segment.name)

    def find(self, store: StateStore) -> int | None:
        """Return the id of the newest segment with this name and account."""
        client = self._client
        audience_id = _audience_id(self.definition, store, client)
        if audience_id is None:
            return None
        target = resolve_target(self.definition, self.target, client.load_platform_accounts())
        return next(
            (
                segment.segment_id
                for segment in target.own_segments(client.load_audience_segments(audience_id))
            ),
            None,
        )


def differences(
    definition: DigitalAudienceDefinition,
    asset: Asset,  # noqa: ARG001 - the same for all platforms
    store: StateStore,
    now: datetime,
) -> list[Difference]:
    """Compare the audience and its segments; read-only. Return no difference while the audience has no id.

    :param asset: the audience's.
    :param store: of the audience.
    :param now: the datetime of the run.
    """
    client = DigitalAudienceHook(definition.conn_id).client
    audience_id = _audience_id(definition, store, client)
    if audience_id is None:
        return []
    try:
        audience = client.load_audience(audience_id)
    except NotFoundError:
        return [Difference("audience", "presence", None, str(audience_id), GONE)]
    result = of_audience(
        at_vendor=(audience.name, audience.description),
        in_definition=(definition.name, definition.description),
        # Without a description in the definition, the current one is sent: no page documents its omission.
        update=lambda: client.update_audience(
            audience_id,
            name=definition.name,
            description=audience.description if definition.description is None else definition.description,
        ),
    )
    if definition.activation is not None:
        segments = client.load_audience_segments(audience_id)
        result += _SegmentDrift(definition, definition.activation, client, store, now).differences(segments)
    return result


def _audience_id(
    definition: DigitalAudienceDefinition, store: StateStore, client: DigitalAudienceClient
) -> int | None:
    return get_audience_id(definition.id, store, account=lambda: client.settings.account, read=parse_int_id)


@dataclass(frozen=True)
class _SegmentDrift:
    definition: DigitalAudienceDefinition
    activation: ActivationConfig
    client: DigitalAudienceClient
    store: StateStore
    now: datetime

    def differences(self, segments: Sequence[Segment]) -> list[Difference]:
        """Return the differences of all targets, and the segments without a target."""
        accounts = self.client.load_platform_accounts()
        result: list[Difference] = []
        claimed: set[int] = set()
        is_complete = True
        for target in self.activation.targets:
            try:
                resolved = resolve_target(self.definition, target, accounts)
            except ConfigurationError as error:
                result.append(
                    Difference(f"target {target.key}", "account", None, _account(target), str(error))
                )
                is_complete = False
                continue
            stored_segment_id = stored_id(
                self.store, segment_key(target.key), account=self.client.settings.account, read=parse_int_id
            )
            own_segments = [
                item for item in segments if resolved.is_ours(item) or item.segment_id == stored_segment_id
            ]
            claimed |= {segment.segment_id for segment in own_segments}
            result += self._target_differences(resolved, own_segments, stored_segment_id)
        # If the account of a target is unknown, any segment may be its own.
        unclaimed = [item for item in segments if item.segment_id not in claimed] if is_complete else []
        note = "It belongs to no target. The package never deletes it"
        return result + [
            Difference(f"segment {item.name}", "presence", str(item.segment_id), None, note)
            for item in unclaimed
        ]

    def _target_differences(
        self, resolved: ResolvedTarget, own_segments: Sequence[Segment], stored_segment_id: int | None
    ) -> list[Difference]:
        if not own_segments:
            return self._missing(resolved, stored_segment_id)
        result: list[Difference] = []
        target, note = resolved.target, "The API cannot change it"
        newest = max(segment.segment_id for segment in own_segments)
        for segment in own_segments:
            label = f"segment {segment.name}"
            if not resolved.is_ours(segment):
                actual = f"{segment.name} on account {segment.account_id}"
                expected = f"{target.segment_name} on account {resolved.account.id}"
                result.append(Difference(label, "name", actual, expected, note))
            if segment.description is not None and segment.description != target.description:
                result.append(Difference(label, "description", segment.description, target.description, note))
            # Older segments of the target belong to earlier loads, and may have ended.
            result += self._end_differences(resolved, segment, is_newest=segment.segment_id == newest)
        return result

    def _missing(self, resolved: ResolvedTarget, stored_segment_id: int | None) -> list[Difference]:
        label, expected = f"segment {resolved.target.segment_name}", f"target {resolved.key}"
        if resolved.until is not None and resolved.until <= self.now:
            return []
        if stored_segment_id is not None:
            return [Difference(label, "presence", None, f"{expected}, segment {stored_segment_id}", GONE)]
        if self.store.get(rejection_key(resolved.key)) or not self.store.get(LAST_LOAD_KEY):
            # A user rejected it, or no load was confirmed yet.
            return []
        dag_id = f"activate_{self.definition.key}"
        return [Difference(label, "presence", None, expected, f"The DAG {dag_id} creates it")]

    def _end_differences(
        self, resolved: ResolvedTarget, segment: Segment, *, is_newest: bool
    ) -> list[Difference]:
        end, until = segment.end_date, resolved.until
        if end is None:
            return []
        if until is not None and end > until:
            note = "It ends later than 'until'. Only the DAG set_segment_end_date moves an end date back"
            return [self._end_date(segment, until, note)]
        if until is not None and (end == until or until <= self.now):
            # It expires as configured.
            return []
        if end <= self.now:
            note = "It has ended. The DAG set_segment_end_date gives it a new end date"
            return [self._end_date(segment, until, note)] if is_newest else []
        return self._not_extended(segment, end, until)

    def _not_extended(self, segment: Segment, end: datetime, until: datetime | None) -> list[Difference]:
        """Return a difference if the extension DAG should have extended the segment."""
        rule = self.activation.extend
        if rule is None:
            return []
        new_end = self.now + timedelta(days=rule.extend_by_days)
        if end >= min(self.now + timedelta(days=rule.within_days), new_end):
            return []
        new_end = min(new_end, until) if until else new_end
        note = "The DAG extend_segment_end_dates has not extended it"
        move = partial(move_end_date, self.client, segment.segment_id, new_end)
        return [self._end_date(segment, new_end, note, move)]

    @staticmethod
    def _end_date(
        segment: Segment, expected: datetime | None, note: str, apply: Callable[[], object] | None = None
    ) -> Difference:
        actual = segment.end_date.isoformat() if segment.end_date else None
        expected_text = expected.isoformat() if expected else None
        return Difference(f"segment {segment.name}", "end_date", actual, expected_text, note, apply)


def _account(target: ActivationTarget) -> str:
    account = target.account
    return str(account.id or " ".join(filter(None, (account.platform, account.name))))
