"""HTTP transport of all clients. Every request of the package is sent here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http.error_mapping import error_for_exception
from audience_onboarding.http.observer import NULL_OBSERVER, ClientObserver
from audience_onboarding.http.rate_limiter import RateLimiter

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Methods that change nothing at the vendor; the transport retries them."""

CONNECTION_POOL_SIZE = 32
"""Open connections kept for the threads of a process."""


@dataclass(frozen=True)
class TransportSettings:
    """Address, TLS and timeouts of a vendor.

    :param base_url: scheme, host, optional port and path; without a trailing slash.
    :param verify_tls: ``True``, ``False``, or the path of a CA bundle.
    :param connect_timeout: seconds until the connection must be open.
    :param read_timeout: seconds that the vendor may stay silent.
    :param safe_retries: retries of a GET after a network error or a 502, 503 or 504.
    """

    base_url: str
    verify_tls: bool | str = True
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    safe_retries: int = 2

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            # urllib3 before 2.8 resolves a name with white space.
            valid = valid and not any(character.isspace() for character in parts.netloc)
        except ValueError:
            parts, valid = urlsplit(""), False
        if not valid:
            raise ConfigurationError(
                what=f"Invalid address {self.base_url!r}",
                why="it is not an http or https URL",
                next_step="Give the host of the connection as https://host[:port]",
            )
        if parts.username or parts.password:
            # Not quoted: it holds a password.
            raise ConfigurationError(
                what="The address of the connection contains a user name or password",
                where=parts.hostname or "",
                next_step="Move them to the Login and Password fields",
            )

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


@dataclass(frozen=True)
class StreamingBody:
    """Body that is streamed.

    :param content_type: value of the ``Content-Type`` header.
    :param size: bytes; exactly those that ``chunks`` yields.
    :param chunks: yields the body from its start at each call.
    """

    content_type: str
    size: int
    chunks: Callable[[], Iterator[bytes]]

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks()


_before_retry: ContextVar[Callable[[], None]] = ContextVar("before_retry")
"""Waits for a slot before the current thread retries its request. Set while a request of ours is sent."""


class _ThrottledRetry(Retry):
    """Retry that waits for a slot of the rate limiter, too. urllib3 copies it, so it has no state of its own."""

    def sleep(self, response: Any = None) -> None:
        """Wait for urllib3's delay, then for a slot."""
        super().sleep(response)
        _before_retry.get()()


class _QueryFilter(logging.Filter):
    """Removes queries from urllib3's log of our requests: the query of a presigned URL is a secret."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record; change it only if the request is ours."""
        if _before_retry.get(None) is not None and isinstance(record.args, tuple):
            record.args = tuple(
                item.partition("?")[0] if isinstance(item, str) else item for item in record.args
            )
        return True


for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_QueryFilter())


def _open_session(settings: TransportSettings) -> requests.Session:
    session = requests.Session()
    environment = session.merge_environment_settings(settings.base_url, {}, None, settings.verify_tls, None)
    session.proxies, session.verify = environment["proxies"], environment["verify"]
    # Proxies and CA file are read above, once. A .netrc file must not add credentials.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    retry = _ThrottledRetry(
        total=settings.safe_retries,
        allowed_methods=SAFE_METHODS,
        # A TLS failure after sending counts as "other" and would be retried for any method.
        other=0,
        status_forcelist={502, 503, 504},
        backoff_factor=0.5,
        backoff_jitter=0.5,
        # A Retry-After may be hours: the callers decide, no thread is blocked.
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=CONNECTION_POOL_SIZE))
    return session


class HttpTransport:
    """Sends requests under the rules that hold for every vendor; safe for many threads.

    Redirects are never followed, so credentials reach the configured host only. Cookies are returned but never stored
    or sent. A mutating request is retried only if no connection was made.

    :param rate_limiter: ``None``: no limit.
    """

    def __init__(
        self,
        settings: TransportSettings,
        *,
        vendor: str,
        rate_limiter: RateLimiter | None = None,
        observer: ClientObserver = NULL_OBSERVER,
    ) -> None:
        self.settings = settings
        self.rate_limiter = rate_limiter
        self.observer = observer
        self._vendor = vendor
        self._session = _open_session(settings)

    def request_label(self, method: str, path: str) -> str:
        """Return the name of a request for messages, without the query, which may hold personal data."""
        return f"{self._vendor} {method} {path.partition('?')[0]}"

    def _wait_for_slot(self, request_label: str) -> None:
        if self.rate_limiter is not None and (waited := self.rate_limiter.acquire(request_label)):
            self.observer.on_throttle("connection", waited)

    def send(
        self,
        method: str,
        path: str,
        *,
        operation: str = "other",
        json: Any = None,
        body: StreamingBody | None = None,
        headers: Mapping[str, str] | None = None,
        mutating: bool | None = None,
    ) -> requests.Response:
        """Send one request and return the vendor's answer, of any status.

        :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
        :param path: below the base URL, with a leading slash; may hold a query.
        :param operation: for metrics, see :class:`.ClientObserver`.
        :param json: body, sent as JSON; or
        :param body: a streamed body.
        :param headers: additional headers, including the credentials.
        :param mutating: whether the outcome is unknown if no answer comes; default: all methods but GET and HEAD. A
            login is not mutating.
        :raises VendorUnavailableError: no complete answer.
        :raises RateLimitedError: the queue of the rate limiter is full; nothing was sent.
        :raises ConfigurationError: invalid address, or untrusted certificate.
        """
        request_label = self.request_label(method, path)
        verify = self.settings.verify_tls
        if isinstance(verify, str) and not Path(verify).exists():
            raise ConfigurationError(
                what=f"CA file {verify!r} not found",
                where=request_label,
                next_step="Correct 'verify_tls' of the connection; the file must exist on every worker",
            )

        def before_retry() -> None:
            self.observer.on_retry(operation)
            self._wait_for_slot(request_label)

        self._wait_for_slot(request_label)
        token = _before_retry.set(before_retry)
        started = time.monotonic()
        status: int | None = None
        try:
            # Reads the whole answer, so that its errors are caught here and the connection is free again.
            response = self._session.request(
                method,
                f"{self.settings.base_url.rstrip('/')}{path}",
                headers={
                    **({"Content-Type": body.content_type} if body is not None else {}),
                    **(headers or {}),
                },
                data=body or None,  # an empty body: Content-Length 0 instead of chunked
                json=json,
                timeout=(self.settings.connect_timeout, self.settings.read_timeout),
                allow_redirects=False,
            )
            status = response.status_code
        except (requests.RequestException, OSError, ValueError) as error:
            # "from None": the original's text holds the whole URL.
            raise error_for_exception(
                error,
                request_label=request_label,
                mutating=method not in SAFE_METHODS if mutating is None else mutating,
                address=self.settings.address,
            ) from None
        finally:
            _before_retry.reset(token)
            seconds = time.monotonic() - started
            self.observer.on_response(operation, status, seconds)
        log.debug("%s: HTTP %s in %.0f ms", request_label, status, seconds * 1000)
        return response
