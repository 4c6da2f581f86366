"""Login and session cookie of Digital Audience, and one call within a session."""

from __future__ import annotations

import copy
import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import requests

from audience_onboarding.exceptions import (
    AuthenticationError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RequestRejectedError,
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
from audience_onboarding.platforms.digital_audience.connection import METHODS, DigitalAudienceSettings

log = logging.getLogger(__name__)

FAILED_LOGIN_DELAY = 60.0
"""Seconds until this process retries a refused login: many waiting tasks with a wrong password must not lock the
account."""


class SessionClient(ApiClient[DigitalAudienceSettings]):
    """Client that logs in at the first call and keeps the session cookie in memory.

    A call succeeds if HTTP is 2xx, ``success`` is true and ``status.statusCode`` is 0. If the vendor reports an expired
    session, the client logs in and sends the call again, which is safe, as the vendor has refused it.
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

    def login(self) -> None:
        """Log in now, even within a session.

        :raises AuthenticationError: the vendor does not accept user name and password.
        """
        with self._login_lock:
            self._cookie = None
            self._failed_login = None
        self._session_cookie()

    def _session_cookie(self, *, expired: str | None = None) -> str:
        """Return the session cookie; log in if there is none, or if it is the ``expired`` one.

        Of all threads that ask at once, one logs in; the others get its cookie or its error.
        """
        asked = time.monotonic()
        with self._login_lock:
            if self._cookie is not None and self._cookie != expired:
                return self._cookie
            if self._failed_login and time.monotonic() - self._failed_login[0] < FAILED_LOGIN_DELAY:
                raise copy.copy(self._failed_login[1])
            if self._broken_login and self._broken_login[0] >= asked:
                # It failed while this thread waited; the callers decide about a retry.
                raise copy.copy(self._broken_login[1])
            outcome = "broken"
            try:
                self._cookie = self._fetch_cookie()
                outcome = "ok"
            except AuthenticationError as error:
                self._failed_login = (time.monotonic(), error)
                self._cookie = None
                outcome = "refused"
                raise
            except TransientError as error:
                self._broken_login = (time.monotonic(), error)
                raise
            finally:
                self.observer.on_login(outcome)
            return self._cookie

    def _fetch_cookie(self) -> str:
        path = self.settings.path("login")
        request_label = self._transport.request_label("POST", path)
        body = {"userName": self.settings.user_name, "password": self.settings.password}
        response = self._transport.send("POST", path, operation="login", json=body, mutating=False)
        envelope = parse_envelope(response)
        if response.status_code in {
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.FORBIDDEN,
        } or (
            response.ok
            and envelope is not None
            and (not _is_success(envelope) or envelope.get("data") is False)
        ):
            raise AuthenticationError(
                what=f"Login as {self.settings.user_name!r} refused",
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
                what="Unexpected response to the login",
                where=request_label,
                why="no session cookie" if envelope is not None else describe_non_json(response),
                next_step="Check host and API prefix of the connection: this may not be the API",
                status=response.status_code,
            )
        for value in cookies.values():
            self._on_secret(value)
        log.info("Logged in to %s as %s", self.settings.base_url, self.settings.user_name)
        return "; ".join(f"{name}={value}" for name, value in cookies.items())

    def _is_session_expired(self, response: requests.Response, envelope: Mapping[str, Any] | None) -> bool:
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return True
        if response.is_redirect:
            return "login" in response.headers.get("Location", "").lower()
        if not response.ok or envelope is None or _is_success(envelope):
            return False
        return bool(self._expired.search(_message(envelope) or ""))

    def _call(self, operation: str, *, json: Any = None, subject: str = "", **ids: int) -> Any:
        """Call one operation and return ``data`` of the envelope.

        :param subject: the object, for error messages; default: the ids of the path.
        """
        return self._exchange(operation, json=json, subject=subject, previous=None, **ids)[1]

    def _exchange(
        self,
        operation: str,
        *,
        json: Any = None,
        subject: str = "",
        previous: bytes | None = None,
        **ids: int,
    ) -> tuple[requests.Response, Any]:
        """Call one operation and return the answer, and ``data`` of the envelope.

        :param previous: fingerprint of an earlier good answer; an equal one is not parsed, and its data is ``None``.
        """
        path = self.settings.path(operation, **ids)
        request_label = self._transport.request_label(METHODS[operation], path)
        cookie = self._session_cookie()
        response = self._send(operation, path, json, cookie)
        if previous is not None and response.ok and fingerprint(response) == previous:
            return response, None
        envelope = parse_envelope(response)
        if self._is_session_expired(response, envelope):
            response = self._send(operation, path, json, self._session_cookie(expired=cookie))
            envelope = parse_envelope(response)
            if response.status_code == HTTPStatus.FORBIDDEN:
                raise PermissionDeniedError(
                    what=f"Permission denied for the user {self.settings.user_name!r}",
                    where=request_label,
                    why=_message(envelope) or "",
                    next_step="Ask the vendor for the permission, or use another connection",
                    status=response.status_code,
                )
            if self._is_session_expired(response, envelope):
                raise AuthenticationError(
                    what="Session refused right after a successful login",
                    where=request_label,
                    why=_message(envelope) or "",
                    next_step="Check host and API prefix of the connection, and whether a proxy drops cookies",
                    status=response.status_code,
                )
        try:
            return response, self._extract_data(operation, response, envelope, request_label)
        except (NotFoundError, RequestRejectedError) as error:
            names = (f"{name.removesuffix('_id').capitalize()} {value}" for name, value in ids.items())
            error.prefix_subject(
                subject or ", ".join(names),
                next_step="Check that it exists in the vendor's portal and belongs to the user of the connection",
            )
            raise

    def _send(self, operation: str, path: str, json: Any, cookie: str) -> requests.Response:
        return self._transport.send(
            METHODS[operation], path, operation=operation, json=json, headers={"Cookie": cookie}
        )

    def _extract_data(
        self,
        operation: str,
        response: requests.Response,
        envelope: Mapping[str, Any] | None,
        request_label: str,
    ) -> Any:
        mutating = METHODS[operation] != "GET"
        message = _message(envelope)
        if error := error_for_status(
            response, request_label=request_label, mutating=mutating, message=message
        ):
            raise error
        if envelope is None:
            raise self._unexpected_response(
                request_label, describe_non_json(response), mutating=mutating, status=response.status_code
            )
        if not _is_success(envelope):
            # "success" with another statusCode is contradictory: the vendor may have processed the request.
            unknown = mutating and envelope.get("success") is True
            raise RequestRejectedError(
                what="Request rejected by the vendor",
                where=request_label,
                why=message or f"statusCode {_status(envelope).get('statusCode')} without a message",
                status=response.status_code,
                outcome=Outcome.UNKNOWN if unknown else Outcome.NOT_DONE,
            )
        return envelope.get("data")


def fingerprint(response: requests.Response) -> bytes:
    """Return the SHA-256 of an answer's body."""
    return hashlib.sha256(response.content).digest()


def parse_envelope(response: requests.Response) -> dict[str, Any] | None:
    """Return the JSON object around the data, ``None`` if the answer is something else."""
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
