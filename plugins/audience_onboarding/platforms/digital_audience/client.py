"""Client of Digital Audience's REST API, as documented on the vendor's pages. No Airflow in here.

Pages: "Create CRM audience" (login, campaign, audience), "Audience API", "Segment API", "Organization API".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar

from pydantic import BaseModel

from audience_onboarding.exceptions import ConfigurationError, RequestRejectedError
from audience_onboarding.http import redacted_excerpt
from audience_onboarding.platforms.digital_audience.connection import METHODS, VENDOR
from audience_onboarding.platforms.digital_audience.models import (
    Activation,
    Audience,
    Campaign,
    PlatformAccount,
    Segment,
)
from audience_onboarding.platforms.digital_audience.session_client import SessionClient, fingerprint

Model = TypeVar("Model", bound=BaseModel)

SHOWN_ACCOUNTS = 20
"""Platform accounts that a message lists; an agency has hundreds."""


class DigitalAudienceClient(SessionClient):
    """Client of one account; safe for many threads.

    :param on_secret: called with every secret that the vendor issues (session cookies, platform tokens), so that the
        caller can mask it in logs.
    """

    def _parse_data(self, model: type[Model], data: Any, *, operation: str, **ids: int) -> Model:
        method = METHODS[operation]
        request_label = self._transport.request_label(method, self.settings.path(operation, **ids))
        return self._parse(model, data, request_label=request_label, mutating=method != "GET")

    def _load(
        self, model: type[Model], operation: str, *, json: Any = None, subject: str = "", **ids: int
    ) -> Model:
        data = self._call(operation, json=json, subject=subject, **ids)
        return self._parse_data(model, data, operation=operation, **ids)

    # --- campaigns and audiences ---------------------------------------------------------------------------

    def create_campaign(self, name: str) -> Campaign:
        """Create a campaign. The vendor does not prevent a second one of the same name.

        :raises UnexpectedResponseError: the answer has no id; the campaign may exist nevertheless.
        """
        data = self._call("create_campaign", json={"name": name})
        # No page shows the answer: an object with an id is assumed; a number is accepted, too.
        return self._parse_data(
            Campaign, {"id": data} if isinstance(data, int) else data, operation="create_campaign"
        )

    def create_crm_audience(self, *, name: str, campaign_id: int, description: str | None = None) -> Audience:
        """Create an audience for CRM data. The vendor does not prevent a second one of the same name."""
        body = {"name": name, "campaignId": campaign_id, **_description(description)}
        return self._load(Audience, "create_crm_audience", json=body, subject=f"Campaign {campaign_id}")

    def update_audience(self, audience_id: int, *, name: str, description: str | None = None) -> None:
        """Set name and description of an audience. The pages show no answer, so none is returned."""
        body = {"id": audience_id, "name": name, **_description(description)}
        self._call("update_audience", json=body, subject=f"Audience {audience_id}")

    def load_audience(self, audience_id: int) -> Audience:
        """Return an audience with its CRM data.

        :raises NotFoundError: unknown id, or an audience of another user.
        """
        return self._load(Audience, "load_audience", audience_id=audience_id)

    def load_changed_audience(
        self, audience_id: int, *, previous: bytes | None = None
    ) -> tuple[bytes, Audience] | None:
        """Return an audience for polling. With its history, an answer takes longer to parse than to receive.

        :param previous: fingerprint that came with the previous answer.
        :return: fingerprint and audience; ``None`` if the answer is equal to the previous one, byte for byte.
        """
        response, data = self._exchange("load_audience", previous=previous, audience_id=audience_id)
        current = fingerprint(response)
        if current == previous:
            return None
        return current, self._parse_data(Audience, data, operation="load_audience", audience_id=audience_id)

    def activate_audience(
        self,
        *,
        audience_id: int,
        account_id: int,
        name: str,
        description: str,
        start_date: datetime,
        end_date: datetime,
    ) -> Activation:
        """Create a segment: the audience on a platform account, from ``start_date`` to ``end_date``.

        The vendor does not prevent a second segment of the same name.
        """
        body = {
            "audienceId": audience_id,
            "accountId": account_id,
            "name": name,
            "description": description,
            "startDate": iso_utc(start_date),
            "endDate": iso_utc(end_date),
        }
        subject = f"Audience {audience_id}, account {account_id}"
        return self._load(Activation, "activate_audience", json=body, subject=subject)

    def delete_audience(self, audience_id: int) -> None:
        """Delete an audience "and all connected data".

        If the connection's path has no placeholder, the id is sent as ``audienceId`` in a JSON body.
        """
        has_id = "{" in dict(self.settings.paths).get("delete_audience", "{")
        body = None if has_id else {"audienceId": audience_id}
        if self._call("delete_audience", json=body, audience_id=audience_id) is False:
            path = self.settings.path("delete_audience", audience_id=audience_id)
            raise RequestRejectedError(
                what=f"Audience {audience_id} not deleted",
                where=self._transport.request_label("DELETE", path),
                why="the vendor answered data: false",
                next_step="Check whether it can be deleted in the vendor's portal",
            )

    # --- segments ------------------------------------------------------------------------------------------

    def load_audience_segments(self, audience_id: int) -> list[Segment]:
        """Return all segments of an audience."""
        call: dict[str, Any] = {"operation": "load_audience_segments", "audience_id": audience_id}
        return [self._parse_data(Segment, item, **call) for item in _as_list(self._call(**call))]

    def load_segment(self, segment_id: int) -> Segment:
        """Return a segment by its ``segmentId``."""
        return self._load(Segment, "load_segment", segment_id=segment_id)

    def update_segment_end_date(self, segment_id: int, end_date: datetime) -> None:
        """Set the end date of a segment. The field is ``segmentid``, all lower case, on the vendor's page."""
        body = {"segmentid": segment_id, "endDate": iso_utc(end_date)}
        self._call("update_segment_end_date", json=body, subject=f"Segment {segment_id}")

    def delete_segment(self, segment_id: int) -> None:
        """Delete a segment."""
        self._call("delete_segment", segment_id=segment_id)

    # --- organisation --------------------------------------------------------------------------------------

    def load_platform_accounts(self) -> list[PlatformAccount]:
        """Return the ad platform accounts of the user's organisation, without their access tokens."""
        operation = "load_platform_accounts"
        accounts = []
        for item in _as_list(self._call(operation)):
            token = item.get("accessToken") if isinstance(item, Mapping) else None
            if token:
                self._on_secret(str(token))
            accounts.append(self._parse_data(PlatformAccount, item, operation=operation))
        return accounts

    def find_platform_account(self, **criteria: Any) -> PlatformAccount:
        """Return the only account that matches the arguments of :func:`choose_account`."""
        return choose_account(self.load_platform_accounts(), **criteria)


def choose_account(
    accounts: Sequence[PlatformAccount],
    *,
    platform: str | None = None,
    name: str | None = None,
    account_id: int | None = None,
) -> PlatformAccount:
    """Return the only account of this platform, name or id.

    :raises ConfigurationError: none or several match; the message lists the accounts, matches first.
    """
    matches = [
        account
        for account in accounts
        if (account_id is None or account.id == account_id)
        and (name is None or (account.name or "").casefold() == name.casefold())
        and (platform is None or account.is_on(platform))
    ]
    if len(matches) == 1:
        return matches[0]
    criteria = ", ".join(
        f"{label} {value!r}"
        for label, value in (("id", account_id), ("platform", platform), ("name", name))
        if value is not None
    )
    others = [account for account in accounts if account not in matches]
    choices = [f"{item.id}: {item.name} on {item.platform}" for item in (*matches, *others)]
    listed = "; ".join(redacted_excerpt(choice) for choice in choices[:SHOWN_ACCOUNTS])
    more = f"; and {len(choices) - SHOWN_ACCOUNTS} more" if len(choices) > SHOWN_ACCOUNTS else ""
    raise ConfigurationError(
        what=f"{len(matches) or 'No'} platform accounts match {criteria or 'any account'}",
        where=VENDOR,
        why=f"the accounts are {listed}{more}" if choices else "the organisation has no platform accounts",
        next_step="Name one of them in the definition, preferably by its id",
    )


def iso_utc(timestamp: datetime) -> str:
    """Format a time like the vendor's examples: ``2024-12-31T23:59:59Z``.

    :raises ValueError: no time zone.
    """
    if timestamp.tzinfo is None:
        raise ValueError("Missing time zone")
    return timestamp.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def _description(text: str | None) -> dict[str, str]:
    return {} if text is None else {"description": text}


def _as_list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [] if data is None else [data]
