"""Sensor for CommBox: deferrable by default, so that waiting uses no worker slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import XComArg

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.sensors import PlatformSensor, resolve_audience_id
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.links import CommBoxPortalLink
from audience_onboarding.platforms.commbox.triggers import CommBoxUserCountTrigger
from audience_onboarding.state.remote_ids import parse_str_id


class CommBoxUserCountSensor(PlatformSensor[CommBoxHook]):
    """Wait until the list of audiences counts the customers that were sent.

    The vendor's pages document no state and no job, only ``user_count``. An older list of the same length cannot be
    distinguished from the upload. The pages do not document whether the upload is asynchronous.

    :param upload: return value of the upload operator (templated): audience and count.
    :param audience_id: the audience if there is no ``upload`` (templated); then any count is success.
    :param minimum_ratio: minimum share of the uploaded customers that must be counted, above 0 and up to 1. The pages
        do not document whether the vendor omits numbers.
    :param commbox_conn_id: a connection of type ``commbox`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot. Deferred waits of a triggerer for one
        account and interval share one request.
    :param poke_interval: seconds between two polls, 60 by default.
    :param timeout: seconds until it fails, two days by default.
    :return: audience and ``user_count``.

    Source: https://help.commbox.io/apidocs/get-audiences
    """

    template_fields: Sequence[str] = ("upload", "audience_id", "commbox_conn_id")
    operator_extra_links = (CommBoxPortalLink(), AudiencePageLink())
    hook_class = CommBoxHook

    def __init__(
        self,
        *,
        upload: Mapping[str, Any] | XComArg | None = None,
        audience_id: RemoteId | None = None,
        minimum_ratio: float = 1.0,
        commbox_conn_id: str = CommBoxHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.upload: Any = upload
        self.audience_id: Any = audience_id
        self.minimum_ratio = minimum_ratio
        self.commbox_conn_id = commbox_conn_id

    @property
    def target_label(self) -> str:
        """Name of the awaited audience, for messages."""
        return f"Audience {self._waited_for}"

    @property
    def _waited_for(self) -> str:
        return resolve_audience_id(
            self.upload, self.audience_id, read=parse_str_id, arguments="'upload' or 'audience_id'"
        )

    def early_result(self) -> dict[str, Any] | None:
        """Return the stored result of a load that is already confirmed."""
        return self.upload.get("confirmed") if self.upload else None

    def trigger(self, *, deadline: float) -> CommBoxUserCountTrigger:
        """Return the trigger."""
        return CommBoxUserCountTrigger(
            conn_id=self.commbox_conn_id,
            audience_id=self._waited_for,
            rows=self.upload.get("members", self.upload["rows_sent"]) if self.upload else None,
            minimum_ratio=self.minimum_ratio,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def persist_links(self) -> None:
        """Persist the link to the audience in the console."""
        CommBoxPortalLink.persist(self, self.hook.client.settings, audience_id=self._waited_for)
