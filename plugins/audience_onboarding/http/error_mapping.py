"""Maps HTTP failures to errors: the class, and whether the vendor may have processed the request."""

from __future__ import annotations

import re
import ssl
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

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
from audience_onboarding.http.rate_limiter import RATE_LIMIT_HINT, RATE_LIMIT_REACHED
from audience_onboarding.timestamps import parse_iso_datetime

REQUEST_ID_HEADER = "X-Request-Id"

UNTRUSTED = "Untrusted TLS certificate"
"""``what`` of the error for any invalid certificate."""

MAX_MESSAGE = 300
"""Characters of a vendor's message that an error quotes."""

_MAX_READ = 2_000
"""Characters of a vendor's message that are redacted."""

_EXPIRED, _NOT_YET_VALID, _OTHER_NAMES = 10, 9, frozenset({62, 64})
"""Codes of OpenSSL, see ``X509_verify_cert_error_string``."""

_NEVER_SENT = (ConnectTimeoutError, NewConnectionError, NameResolutionError, ProxyError)

_PERSONAL = re.compile(
    r"""
    (?P<kept>
        [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}            # an id
      | (?:19|20)\d{2}-[01]\d-[0-3]\d(?![\d-])                                 # a date
        (?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?Z?                            # or time
    )
    | (?P<email>[^\s@<>"'`,;:()]+(?:'[^\s@<>"'`,;:()]+)*@[^\s@<>"'`,;:()]+)     # of an O'Brien, too
    | (?P<hash>\b[0-9a-f]{64}\b)
    | (?P<number>\+?\d(?:[\s()./-]{0,2}\d){8,})
    """,
    re.VERBOSE | re.IGNORECASE,
)
_REPLACEMENTS = {"email": "<e-mail>", "hash": "<hash>", "number": "<number>"}


def redact(text: str) -> str:
    """Replace e-mail addresses, hashes and phone numbers in a text; keep ids and dates."""
    return _PERSONAL.sub(
        lambda match: match[0] if match["kept"] else _REPLACEMENTS[str(match.lastgroup)], text
    )


def redacted_excerpt(text: str, length: int = MAX_MESSAGE) -> str:
    """Return the start of a vendor's message. It is cut after redaction, which does not recognize half an address."""
    return redact(text[:_MAX_READ])[:length]


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait, at least 0.

    :param value: seconds, an HTTP date (RFC 9110, section 10.2.3), or an ISO 8601 time, which one vendor's pages show.
    :param now: default: the current time.
    :return: ``None`` for a missing or invalid header.
    """
    text = (value or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        date = _parse_date(text)
        if date is None:
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        seconds = (date - (now or datetime.now(timezone.utc))).total_seconds()
    # float() accepts "nan" and "inf".
    return max(seconds, 0.0) if -float("inf") < seconds < float("inf") else None


def _parse_date(text: str) -> datetime | None:
    for parse in (parsedate_to_datetime, parse_iso_datetime):
        try:
            return parse(text)
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
    """Return the error for an HTTP status, ``None`` for a 2xx. Of the answer, only status and two headers are read.

    :param request_label: for example ``Digital Audience POST /audience/activate``.
    :param mutating: whether the outcome is unknown after a 5xx.
    :param message: the vendor's message, if the client found one; personal data in it is redacted.
    :param retry_after: seconds, from the answer's body; a ``Retry-After`` header takes precedence.
    """
    status = response.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    header = parse_retry_after(response.headers.get("Retry-After"))
    common: dict[str, Any] = {
        "why": redacted_excerpt(message or response.reason or ""),
        "status": status,
        "request_id": response.headers.get(REQUEST_ID_HEADER),
    }
    transient = {**common, "retry_after": retry_after if header is None else header}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimitedError(
            what=RATE_LIMIT_REACHED, where=request_label, next_step=RATE_LIMIT_HINT, **transient
        )
    if status == HTTPStatus.LOCKED:
        return VendorUnavailableError(what="The object is locked", where=request_label, **transient)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return VendorUnavailableError(
            what="Server error of the vendor",
            where=request_label,
            next_step="Airflow retries automatically if that is safe",
            outcome=Outcome.UNKNOWN if mutating else Outcome.NOT_DONE,
            **transient,
        )
    if status < HTTPStatus.BAD_REQUEST:
        return UnexpectedResponseError(
            what="Redirect not followed",
            where=request_label,
            next_step="Check the host and the API prefix of the connection",
            **common,
        )
    kind, what = _REFUSALS.get(status, (RequestRejectedError, "Request rejected by the vendor"))
    return kind(what=what, where=request_label, **common)


_REFUSALS: dict[int, tuple[type[VendorError], str]] = {
    HTTPStatus.UNAUTHORIZED: (AuthenticationError, "Credentials not accepted"),
    HTTPStatus.FORBIDDEN: (PermissionDeniedError, "Permission denied for the user of the connection"),
    HTTPStatus.NOT_FOUND: (NotFoundError, "Object or path not found"),
    HTTPStatus.METHOD_NOT_ALLOWED: (NotFoundError, "Method not allowed for this path"),
    HTTPStatus.CONFLICT: (ConflictError, "Request conflicts with the current state of the object"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (TooLargeError, "Request too large for the vendor"),
}


def error_for_exception(
    error: Exception, *, request_label: str, mutating: bool, address: str = ""
) -> AudienceOnboardingError:
    """Return the error for a request without an answer. The exception's text may hold the URL's query: it is dropped.

    :param address: the host, as ``host:port``.
    """
    address = address or "the host"
    certificate = _certificate_error(error)
    if certificate is not None:
        why, next_step = _explain_certificate(certificate, address)
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
            what="Invalid address of the connection",
            where=request_label,
            next_step="Give the host as https://host[:port]",
        )
    cause = _cause_of(error)
    never_sent = isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(cause, _NEVER_SENT)
    if isinstance(error, requests.exceptions.Timeout) or isinstance(cause, ReadTimeoutError):
        why = (
            f"connecting to {address} timed out, as behind a firewall"
            if never_sent
            else f"{address} did not answer in time"
        )
    elif never_sent:
        why = _explain_connection(cause, address)
    elif isinstance(error, requests.exceptions.SSLError):
        why = f"TLS error of {address}, which may expect http instead of https"
    else:
        why = f"the connection to {address} was closed before the answer was complete"
    return VendorUnavailableError(
        what="Vendor not reachable",
        where=request_label,
        why=why,
        next_step="Airflow retries automatically if that is safe. If it persists, check host, proxy and firewall",
        outcome=Outcome.UNKNOWN if mutating and not never_sent else Outcome.NOT_DONE,
    )


def _cause_of(error: Exception) -> object:
    cause: object = error.args[0] if error.args else None
    return cause.reason if isinstance(cause, MaxRetryError) else cause


def _explain_connection(cause: object, address: str) -> str:
    if isinstance(cause, ProxyError):
        return f"the proxy of this machine (HTTPS_PROXY, HTTP_PROXY) does not lead to {address}"
    if isinstance(cause, NameResolutionError):
        return f"host name of {address} not found (DNS)"
    below = getattr(cause, "__cause__", None)
    if isinstance(below, ConnectionRefusedError):
        return f"{address} refused the connection"
    if isinstance(below, OSError) and below.strerror:
        return f"no connection to {address}: {below.strerror}"
    return f"no connection to {address}"


def _certificate_error(error: Exception) -> ssl.SSLCertVerificationError | None:
    """Return the reason if the handshake failed at the certificate; other TLS failures can come after sending."""
    cause = _cause_of(error)
    if not isinstance(cause, HTTPError):
        return None
    return next((item for item in cause.args if isinstance(item, ssl.SSLCertVerificationError)), None)


def _explain_certificate(error: ssl.SSLCertVerificationError, address: str) -> tuple[str, str]:
    """Return the reason and the next step for an invalid certificate."""
    if error.verify_code in _OTHER_NAMES:
        return (
            f"it was not issued for {address}",
            "Correct the host of the connection: use the name that the vendor gave you, not another name or an IP "
            "address",
        )
    if error.verify_code == _EXPIRED:
        return (
            f"the certificate of {address} has expired",
            "Ask its owner to renew it: the vendor, or the operator of a proxy. Check the clock of this machine",
        )
    if error.verify_code == _NOT_YET_VALID:
        return f"the certificate of {address} is not valid yet", "Check the clock of this machine"
    return (
        f"unknown issuer of the certificate of {address}, for example a self-signed one or a proxy's",
        "Check the host, or give the CA file of your proxy in the connection's 'verify_tls'",
    )
