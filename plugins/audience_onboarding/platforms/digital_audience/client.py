"""Digital Audience's REST API, as documented on the vendor's pages. No Airflow in here.

Pages: "Create CRM audience" (login, campaign, audience), "Audience API", "Segment API", "Organization API".
"""

from __future__ import annotations

import copy
import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any, TypeVar

import requests
from pydantic import BaseModel

from audience_onboarding.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RequestRejectedError,
    TerminalError,
    TransientError,
    UnexpectedResponseError,
)
from audience_onboarding.http import (
    NULL_OBSERVER,
    ApiClient,
    ClientObserver,
    describe_non_json,
    error_for_status,
    parse_json,
    redacted_excerpt,
)
from audience_onboarding.platforms.digital_audience.connection import VENDOR, DigitalAudienceSettings
from audience_onboarding.platforms.digital_audience.models import (
    Activation,
    Audience,
    Campaign,
    PlatformAccount,
    Segment,
)

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)

FAILED_LOGIN_PAUSE = 60.0
"""Seconds for which a refused login is not repeated by this process, so that many waiting tasks with a wrong
password do not lock the account."""

SHOWN_ACCOUNTS = 20
"""How many platform accounts a message lists; an agency has hundreds."""

_VERBS: Mapping[str, str] = {
    "login": "POST",
    "create_campaign": "POST",
    "create_crm_audience": "POST",
    "update_audience": "POST",
    "load_audience": "GET",
    "activate_audience": "POST",
    "delete_audience": "DELETE",
    "load_audience_segments": "GET",
    "load_segment": "GET",
    "update_segment_end_date": "POST",
    "delete_segment": "DELETE",
    "load_platform_accounts": "GET",
}


class DigitalAudienceClient(ApiClient[DigitalAudienceSettings]):
    """One account of Digital Audience; may be used by many threads at once.

    A call is successful when all three hold: HTTP 2xx, ``success`` is true, ``status.statusCode`` is 0. The client
    logs in at the first call, keeps the session cookie in memory, and logs in once more when the vendor says that
    the session is over; that call is then sent again, which is safe, as the vendor refused it.

    :param settings: the account.
    :param on_secret: called with every secret that the vendor hands out (session cookies, platform tokens), so
        that the caller can mask it in logs.
    """

    hint = "Check host, API prefix and 'paths' of the connection"

    def __init__(
        self,
        settings: DigitalAudienceSettings,
        *,
        on_secret: Callable[[str], None] | None = None,
        observer: ClientObserver = NULL_OBSERVER,
    ) -> None:
        super().__init__(settings, on_secret=on_secret, observer=observer)
        self._expired = re.compile(settings.session_expired_pattern)
        self._login_lock = threading.Lock()
        self._cookie: str | None = None
        self._failed_login: tuple[float, AuthenticationError] | None = None
        self._broken_login: tuple[float, TransientError] | None = None

    # --- session -------------------------------------------------------------------------------------------

    def login(self) -> None:
        """Log in now, whether there is a session or not.

        :raises AuthenticationError: the vendor does not accept user name and password.
        """
        with self._login_lock:
            self._cookie = None
            self._failed_login = None
        self._session_cookie()

    def _session_cookie(self, *, expired: str | None = None) -> str:
        """The cookie of the session; logs in where there is none, or where it still is the ``expired`` one.

        However many threads ask at once, one of them logs in, and the others get what came of it: the cookie, or the
        error.
        """
        asked = time.monotonic()
        with self._login_lock:
            if self._cookie is not None and self._cookie != expired:
                return self._cookie
            if self._failed_login and time.monotonic() - self._failed_login[0] < FAILED_LOGIN_PAUSE:
                raise copy.copy(self._failed_login[1])
            if self._broken_login and self._broken_login[0] >= asked:
                # It broke while we waited for it; to try again is for the callers, in their time.
                raise copy.copy(self._broken_login[1])
            try:
                self._cookie = self._fetch_cookie()
            except AuthenticationError as error:
                self._failed_login = (time.monotonic(), error)
                self._cookie = None
                self.observer.on_login("refused")
                raise
            except TransientError as error:
                self._broken_login = (time.monotonic(), error)
                self.observer.on_login("broken")
                raise
            except TerminalError:
                self.observer.on_login("broken")
                raise
            self.observer.on_login("ok")
            return self._cookie

    def _fetch_cookie(self) -> str:
        path = self.settings.path("login")
        request_label = self._transport.request_label("POST", path)
        body = {"userName": self.settings.user_name, "password": self.settings.password}
        response = self._transport.send("POST", path, operation="login", json=body, mutating=False)
        envelope = _envelope(response)
        refused = (
            response.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
            or (response.ok and envelope is not None and not _is_success(envelope))
            or (response.ok and envelope is not None and envelope.get("data") is False)
        )
        if refused:
            raise AuthenticationError(
                what=f"The login as {self.settings.user_name!r} is refused",
                where=request_label,
                why=_message(envelope) or "",
                next_step="Correct Login and Password of the connection (Admin > Connections)",
                status=response.status_code,
            )
        if error := error_for_status(
            response, request_label=request_label, mutating=False, message=_message(envelope)
        ):
            error.prefix_subject("", next_step=self.hint)
            raise error
        cookies = {cookie.name: cookie.value for cookie in response.cookies if cookie.value}
        if envelope is None or not cookies:
            raise UnexpectedResponseError(
                what="The login was answered without "
                + ("a session cookie" if envelope is not None else "the documented JSON"),
                where=request_label,
                why="" if envelope is not None else describe_non_json(response),
                next_step="Check host and API prefix of the connection: this may not be the API",
                status=response.status_code,
            )
        for value in cookies.values():
            self._on_secret(value)
        log.info("Logged in to %s as %s", self.settings.base_url, self.settings.user_name)
        return "; ".join(f"{name}={value}" for name, value in cookies.items())

    def _says_session_is_over(self, response: requests.Response, envelope: Mapping[str, Any] | None) -> bool:
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return True
        if response.is_redirect:
            return "login" in response.headers.get("Location", "").lower()
        if not response.ok or envelope is None or _is_success(envelope):
            return False
        return bool(self._expired.search(_message(envelope) or ""))

    # --- one call ------------------------------------------------------------------------------------------

    def _call(
        self, operation: str, ids: Mapping[str, int] | None = None, *, json: Any = None, subject: str = ""
    ) -> Any:
        """Do one operation and return ``data`` of the envelope.

        :param subject: which object it is about, for messages; the ids of the path by default.
        """
        return self._exchange(operation, ids, json=json, subject=subject)[1]

    def _exchange(
        self,
        operation: str,
        ids: Mapping[str, int] | None = None,
        *,
        json: Any = None,
        subject: str = "",
        known: bytes | None = None,
    ) -> tuple[requests.Response, Any]:
        """Do one operation and return the answer, and ``data`` of the envelope.

        :param known: the fingerprint of an answer that was a good one: one that is the same is not read again, and
            ``None`` is returned for its data.
        """
        method = _VERBS[operation]
        ids = ids or {}
        path = self.settings.path(operation, **ids)
        request_label = self._transport.request_label(method, path)
        cookie = self._session_cookie()
        response = self._send(operation, path, json, cookie)
        if known is not None and response.ok and _fingerprint(response) == known:
            return response, None
        envelope = _envelope(response)
        if self._says_session_is_over(response, envelope):
            cookie = self._session_cookie(expired=cookie)
            response = self._send(operation, path, json, cookie)
            envelope = _envelope(response)
            if response.status_code == HTTPStatus.FORBIDDEN:
                raise PermissionDeniedError(
                    what=f"The user {self.settings.user_name!r} may not do this",
                    where=request_label,
                    why=_message(envelope) or "",
                    next_step="Ask the vendor for the permission, or use another connection",
                    status=response.status_code,
                )
            if self._says_session_is_over(response, envelope):
                raise AuthenticationError(
                    what="The vendor refuses the session right after a successful login",
                    where=request_label,
                    why=_message(envelope) or "",
                    next_step="Check host and API prefix of the connection, and whether a proxy drops cookies",
                    status=response.status_code,
                )
        try:
            data = self._data_of(response, envelope, request_label=request_label, mutating=method != "GET")
        except (NotFoundError, RequestRejectedError) as error:
            subject = subject or ", ".join(
                f"{name.removesuffix('_id').capitalize()} {value}" for name, value in ids.items()
            )
            error.prefix_subject(
                subject,
                next_step="Check that it exists in the vendor's portal and belongs to the user of the connection",
            )
            raise
        return response, data

    def _send(self, operation: str, path: str, json: Any, cookie: str) -> requests.Response:
        return self._transport.send(
            _VERBS[operation], path, operation=operation, json=json, headers={"Cookie": cookie}
        )

    def _data_of(
        self,
        response: requests.Response,
        envelope: Mapping[str, Any] | None,
        *,
        request_label: str,
        mutating: bool,
    ) -> Any:
        if error := error_for_status(
            response, request_label=request_label, mutating=mutating, message=_message(envelope)
        ):
            raise error
        if envelope is None:
            raise self._unexpected_response(
                request_label,
                describe_non_json(response),
                mutating=mutating,
                status=response.status_code,
            )
        if not _is_success(envelope):
            code = _status(envelope).get("statusCode")
            # "success" with a statusCode that says otherwise: it may have been done.
            contradictory = mutating and envelope.get("success") is True
            raise RequestRejectedError(
                what="The vendor refused the request",
                where=request_label,
                why=_message(envelope) or f"statusCode {code} without a message",
                status=response.status_code,
                outcome=Outcome.UNKNOWN if contradictory else Outcome.NOT_DONE,
            )
        return envelope.get("data")

    def _parse_data(self, model: type[Model], data: Any, *, operation: str, **ids: int) -> Model:
        method = _VERBS[operation]
        request_label = self._transport.request_label(method, self.settings.path(operation, **ids))
        return self._parse(model, data, request_label=request_label, mutating=method != "GET")

    # --- campaigns and audiences ---------------------------------------------------------------------------

    def create_campaign(self, name: str) -> Campaign:
        """Create a campaign. Nothing at the vendor keeps a second one of the same name from being created.

        :raises UnexpectedResponseError: the answer holds no id; the campaign may exist all the same.
        """
        data = self._call("create_campaign", json={"name": name})
        # No page shows the answer: an object with an id is assumed, a bare number is read too.
        return self._parse_data(
            Campaign, {"id": data} if isinstance(data, int) else data, operation="create_campaign"
        )

    def create_crm_audience(self, *, name: str, campaign_id: int, description: str | None = None) -> Audience:
        """Create an audience for CRM data in a campaign. Nothing keeps a second one from being created."""
        body: dict[str, Any] = {"name": name, "campaignId": campaign_id}
        if description is not None:
            body["description"] = description
        return self._parse_data(
            Audience,
            self._call("create_crm_audience", json=body, subject=f"Campaign {campaign_id}"),
            operation="create_crm_audience",
        )

    def update_audience(self, audience_id: int, *, name: str, description: str | None = None) -> None:
        """Set name and description of an audience. The pages show no answer, so none is returned."""
        body: dict[str, Any] = {"id": audience_id, "name": name}
        if description is not None:
            body["description"] = description
        self._call("update_audience", json=body, subject=f"Audience {audience_id}")

    def load_audience(self, audience_id: int) -> Audience:
        """Load an audience with its CRM data.

        :raises NotFoundError: there is none of this id, or it belongs to somebody else.
        """
        ids = {"audience_id": audience_id}
        return self._parse_data(Audience, self._call("load_audience", ids), operation="load_audience", **ids)

    def load_changed_audience(
        self, audience_id: int, *, known: bytes | None = None
    ) -> tuple[bytes, Audience] | None:
        """Load an audience, for who asks again and again: with its history, an answer takes longer to read than to get.

        :param known: the fingerprint that came with the last one.
        :return: the fingerprint of the answer, and the audience; ``None`` where the answer is the known one, byte for
            byte.
        :raises NotFoundError: there is none of this id, or it belongs to somebody else.
        """
        ids = {"audience_id": audience_id}
        response, data = self._exchange("load_audience", ids, known=known)
        fingerprint = _fingerprint(response)
        if fingerprint == known:
            return None
        return fingerprint, self._parse_data(Audience, data, operation="load_audience", **ids)

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

        Nothing at the vendor keeps a second segment of the same name from being created.
        """
        body = {
            "audienceId": audience_id,
            "accountId": account_id,
            "name": name,
            "description": description,
            "startDate": iso_utc(start_date),
            "endDate": iso_utc(end_date),
        }
        return self._parse_data(
            Activation,
            self._call(
                "activate_audience", json=body, subject=f"Audience {audience_id}, account {account_id}"
            ),
            operation="activate_audience",
        )

    def delete_audience(self, audience_id: int) -> None:
        """Delete an audience "and all connected data".

        Where the connection's path for this has no placeholder, the id travels in a JSON body as ``audienceId``.
        """
        template = dict(self.settings.paths).get("delete_audience", "{")
        body = None if "{" in template else {"audienceId": audience_id}
        data = self._call("delete_audience", {"audience_id": audience_id}, json=body)
        if data is False:
            raise RequestRejectedError(
                what=f"Audience {audience_id} was not deleted",
                where=self._transport.request_label(
                    "DELETE", self.settings.path("delete_audience", audience_id=audience_id)
                ),
                why="the vendor answered data: false",
                next_step="Look in the vendor's portal whether it can be deleted there",
            )

    # --- segments ------------------------------------------------------------------------------------------

    def load_audience_segments(self, audience_id: int) -> list[Segment]:
        """All segments of an audience."""
        ids = {"audience_id": audience_id}
        data = self._call("load_audience_segments", ids)
        return [
            self._parse_data(Segment, item, operation="load_audience_segments", **ids)
            for item in _items(data)
        ]

    def load_segment(self, segment_id: int) -> Segment:
        """Load one segment by its ``segmentId``."""
        ids = {"segment_id": segment_id}
        return self._parse_data(Segment, self._call("load_segment", ids), operation="load_segment", **ids)

    def update_segment_end_date(self, segment_id: int, end_date: datetime) -> None:
        """Move the end of a segment. The field is called ``segmentid``, all lower case, on the vendor's page."""
        body = {"segmentid": segment_id, "endDate": iso_utc(end_date)}
        self._call("update_segment_end_date", json=body, subject=f"Segment {segment_id}")

    def delete_segment(self, segment_id: int) -> None:
        """Delete a segment."""
        self._call("delete_segment", {"segment_id": segment_id})

    # --- organisation --------------------------------------------------------------------------------------

    def load_platform_accounts(self) -> list[PlatformAccount]:
        """The ad platform accounts of the user's organisation, without their access tokens."""
        data = self._call("load_platform_accounts")
        accounts = []
        for item in _items(data):
            token = item.get("accessToken") if isinstance(item, Mapping) else None
            if token:
                self._on_secret(str(token))
            accounts.append(self._parse_data(PlatformAccount, item, operation="load_platform_accounts"))
        return accounts

    def find_platform_account(
        self, *, platform: str | None = None, name: str | None = None, account_id: int | None = None
    ) -> PlatformAccount:
        """The one account of this platform, name or id.

        :raises ConfigurationError: none or several fit; the message lists the accounts there are.
        """
        return choose_account(
            self.load_platform_accounts(), platform=platform, name=name, account_id=account_id
        )


def choose_account(
    accounts: Sequence[PlatformAccount],
    *,
    platform: str | None = None,
    name: str | None = None,
    account_id: int | None = None,
) -> PlatformAccount:
    """The one account of this platform, name or id.

    :raises ConfigurationError: none or several fit; the message lists the choices, those that fit first.
    """
    fitting = [
        account
        for account in accounts
        if (account_id is None or account.id == account_id)
        and (name is None or (account.name or "").casefold() == name.casefold())
        and (platform is None or account.is_on(platform))
    ]
    if len(fitting) == 1:
        return fitting[0]
    wanted = ", ".join(
        f"{label} {value!r}"
        for label, value in (("id", account_id), ("platform", platform), ("name", name))
        if value is not None
    )
    others = [account for account in accounts if account not in fitting]
    choices = [f"{item.id}: {item.name} on {item.platform}" for item in (*fitting, *others)]
    listed = "; ".join(redacted_excerpt(choice) for choice in choices[:SHOWN_ACCOUNTS])
    more = f"; and {len(choices) - SHOWN_ACCOUNTS} more" if len(choices) > SHOWN_ACCOUNTS else ""
    raise ConfigurationError(
        what=f"{len(fitting) or 'No'} platform accounts fit {wanted or 'any account'}",
        where=VENDOR,
        why=f"the accounts are {listed}{more}" if choices else "the organisation has no platform accounts",
        next_step="Name one of them in the definition, best by its id",
    )


def iso_utc(moment: datetime) -> str:
    """A moment as the vendor's examples write it, for example ``2024-12-31T23:59:59Z``.

    :raises ValueError: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def _fingerprint(response: requests.Response) -> bytes:
    return hashlib.sha256(response.content).digest()


def _envelope(response: requests.Response) -> dict[str, Any] | None:
    body = parse_json(response)
    return body if isinstance(body, dict) and "success" in body else None


def _status(envelope: Mapping[str, Any]) -> Mapping[str, Any]:
    status = envelope.get("status")
    return status if isinstance(status, Mapping) else {}


def _is_success(envelope: Mapping[str, Any]) -> bool:
    return envelope.get("success") is True and _status(envelope).get("statusCode", 0) == 0


def _message(envelope: Mapping[str, Any] | None) -> str | None:
    message = _status(envelope).get("message") if envelope else None
    return redacted_excerpt(str(message)) if message else None


def _items(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [] if data is None else [data]
