"""One reading of HTTP failures for all platforms: which error, and whether the request may have been carried out."""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    Outcome,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    TooLargeError,
    UnexpectedResponseError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.http.redaction import redacted_excerpt
from audience_onboarding.http.response_models import parse_iso_datetime

REQUEST_ID_HEADER = "X-Request-Id"

UNTRUSTED = "The TLS certificate of the host is not trusted"
"""What is said of a host whose certificate does not hold, whatever the reason."""

_EXPIRED, _NOT_YET_VALID, _OTHER_NAMES = 10, 9, frozenset({62, 64})
"""Codes of OpenSSL, see ``X509_verify_cert_error_string``."""

_NEVER_SENT = (ConnectTimeoutError, NewConnectionError, NameResolutionError, ProxyError)


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Read a ``Retry-After`` header.

    :param value: seconds, or an HTTP date (RFC 9110, section 10.2.3); an ISO 8601 moment, which one vendor's pages
        show, is read too.
    :param now: the moment to count a date from; the present by default.
    :return: seconds to wait, never negative; ``None`` for a missing or unreadable header.
    """
    if not value:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        moment = _moment(text)
        if moment is None:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = (moment - (now or datetime.now(timezone.utc))).total_seconds()
    # "nan" and "inf" are floats to Python, and neither is a pause.
    return max(seconds, 0.0) if -float("inf") < seconds < float("inf") else None


def _moment(text: str) -> datetime | None:
    for read in (parsedate_to_datetime, parse_iso_datetime):
        try:
            return read(text)
        except (ValueError, OverflowError):
            continue
    return None


def error_for_status(
    response: requests.Response,
    *,
    request_label: str,
    mutating: bool,
    message: str | None = None,
    retry_after: float | None = None,
) -> VendorError | None:
    """The error that an HTTP status stands for, ``None`` for a 2xx.

    :param response: the vendor's answer; only its status and two headers are read.
    :param request_label: for the error, for example ``Digital Audience POST /audience/activate``.
    :param mutating: whether the request changes something, so that a 5xx leaves it unclear.
    :param message: the vendor's own words, where the client found some; personal data in them is taken out.
    :param retry_after: seconds that the answer's body asks to wait; a ``Retry-After`` header goes before it.
    """
    status = response.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    request_id = response.headers.get(REQUEST_ID_HEADER)
    why = redacted_excerpt(message or response.reason or "")
    asked_for = parse_retry_after(response.headers.get("Retry-After"))
    retry_after = retry_after if asked_for is None else asked_for
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitedError(
            what="The rate limit is reached",
            where=request_label,
            why=why,
            next_step="It is tried again by itself; a smaller pool for this connection makes it rarer",
            status=status,
            request_id=request_id,
            retry_after=retry_after,
        )
    if status == HTTPStatus.LOCKED:
        return VendorUnavailableError(
            what="The object is locked for now",
            where=request_label,
            why=why,
            next_step="It is tried again by itself",
            status=status,
            request_id=request_id,
            retry_after=retry_after,
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return VendorUnavailableError(
            what="The vendor answered with a server error",
            where=request_label,
            why=why,
            next_step="It is tried again by itself where that is safe",
            status=status,
            request_id=request_id,
            outcome=Outcome.UNKNOWN if mutating else Outcome.NOT_DONE,
            retry_after=retry_after,
        )
    if status < HTTPStatus.BAD_REQUEST:
        return UnexpectedResponseError(
            what="The vendor answered with a redirect, which is not followed",
            where=request_label,
            why=why,
            next_step="Check the host and the API prefix of the connection",
            status=status,
            request_id=request_id,
        )
    refused: dict[int, tuple[type[VendorError], str]] = {
        HTTPStatus.UNAUTHORIZED: (AuthenticationError, "The credentials are not accepted"),
        HTTPStatus.FORBIDDEN: (PermissionDeniedError, "The user of the connection may not do this"),
        HTTPStatus.NOT_FOUND: (NotFoundError, "The vendor does not know the object or the path"),
        HTTPStatus.METHOD_NOT_ALLOWED: (NotFoundError, "The path does not take this method"),
        HTTPStatus.CONFLICT: (
            ConflictError,
            "The vendor refused the request in the state that things are in",
        ),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (TooLargeError, "What was sent is too large for the vendor"),
    }
    kind, what = refused.get(status, (RequestRejectedError, "The vendor refused the request"))
    return kind(what=what, where=request_label, why=why, status=status, request_id=request_id)


def error_for_exception(
    error: Exception, *, request_label: str, mutating: bool, address: str = ""
) -> AudienceOnboardingError:
    """The error that a failed exchange stands for; the original's text is not kept, as it may hold the URL's query.

    :param address: of the host, as ``host:port``.
    """
    certificate = _untrusted_certificate(error)
    if certificate is not None:
        why, next_step = _about_certificate(certificate, address or "the host")
        return ConfigurationError(what=UNTRUSTED, where=request_label, why=why, next_step=next_step)
    if isinstance(
        error,
        (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
        ),
    ):
        return ConfigurationError(
            what="The address of the connection is not a URL",
            where=request_label,
            next_step="Give the host as https://host[:port]",
        )
    never_sent = isinstance(error, requests.exceptions.ConnectTimeout) or _was_never_sent(error)
    unknown = mutating and not never_sent
    address = address or "the host"
    if isinstance(error, requests.exceptions.Timeout) or isinstance(_cause_of(error), ReadTimeoutError):
        why = (
            f"no connection in time: {address} does not answer, as behind a firewall"
            if never_sent
            else f"no answer in time from {address}"
        )
    elif never_sent:
        why = f"no connection could be made: {_obstacle(error, address)}"
    elif isinstance(error, requests.exceptions.SSLError):
        why = f"{address} does not speak TLS as it should, as where it wants http and not https"
    else:
        why = f"the connection to {address} broke before the answer was complete"
    return VendorUnavailableError(
        what="The vendor cannot be reached",
        where=request_label,
        why=why,
        next_step="It is tried again by itself where that is safe; check host, proxy and firewall if it stays",
        outcome=Outcome.UNKNOWN if unknown else Outcome.NOT_DONE,
    )


def _cause_of(error: Exception) -> object:
    cause: object = error.args[0] if error.args else None
    return cause.reason if isinstance(cause, MaxRetryError) else cause


def _was_never_sent(error: Exception) -> bool:
    cause = _cause_of(error)
    return isinstance(cause, HTTPError) and isinstance(cause, _NEVER_SENT)


def _obstacle(error: Exception, address: str) -> str:
    """What kept a connection from coming about."""
    cause = _cause_of(error)
    if isinstance(cause, ProxyError):
        return f"the proxy of this machine (HTTPS_PROXY, HTTP_PROXY) does not lead to {address}"
    if isinstance(cause, NameResolutionError):
        return f"the name of {address} is not known here (DNS)"
    below = getattr(cause, "__cause__", None)
    if isinstance(below, ConnectionRefusedError):
        return f"{address} refuses it, as where nothing listens"
    if isinstance(below, OSError) and below.strerror:
        return f"{address}: {below.strerror}"
    return f"{address} is not there"


def _untrusted_certificate(error: Exception) -> ssl.SSLCertVerificationError | None:
    """Why the handshake ended at the certificate, ``None`` if it did not; other TLS failures can come at any time."""
    cause = _cause_of(error)
    if not isinstance(cause, HTTPError):
        return None
    return next((item for item in cause.args if isinstance(item, ssl.SSLCertVerificationError)), None)


def _about_certificate(error: ssl.SSLCertVerificationError, address: str) -> tuple[str, str]:
    """What is wrong with a certificate, and what to do."""
    if error.verify_code in _OTHER_NAMES:
        return (
            f"it is not made out for {address}",
            "Check the host of the connection: give the name that the vendor gave you, not another one or a number",
        )
    if error.verify_code == _EXPIRED:
        return (
            f"that of {address} has expired",
            "Its owner has to renew it: the vendor, or who runs a proxy in between. Check the clock of this machine",
        )
    if error.verify_code == _NOT_YET_VALID:
        return f"that of {address} is not valid yet", "Check the clock of this machine"
    return (
        f"whoever has issued that of {address} is not known here, as with a self-signed one or that of a proxy",
        "Check the host, or give the CA file of your proxy in the connection's 'verify_tls'",
    )
