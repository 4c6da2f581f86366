"""The one place where a request leaves the package."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import requote_uri
from urllib3.connectionpool import ConnectionPool
from urllib3.util.retry import Retry

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http.error_mapping import error_for_exception
from audience_onboarding.http.observer import NULL_OBSERVER, ClientObserver
from audience_onboarding.http.rate_limiter import RateLimiter

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Methods that change nothing, so that the transport may repeat them by itself."""

CONNECTION_POOL_SIZE = 32
"""Connections kept per host: as many threads of one process can talk at once without opening new ones."""


@dataclass(frozen=True)
class TransportSettings:
    """How to reach a vendor.

    :param base_url: scheme, host, and where needed port and path; without a trailing slash.
    :param verify_tls: ``True``, ``False``, or the path of a CA bundle.
    :param connect_timeout: seconds until a connection must stand.
    :param read_timeout: seconds that the vendor may stay silent.
    :param safe_retries: how often a GET is repeated after a network error or a 502, 503 or 504.
    """

    base_url: str
    verify_tls: bool | str = True
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    safe_retries: int = 2

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            # urllib3 before 2.8 would look such a name up.
            good = good and not any(character.isspace() for character in parts.netloc)
        except ValueError:
            parts, good = urlsplit(""), False
        if not good:
            raise ConfigurationError(
                what=f"The address {self.base_url!r} is not an http or https URL",
                next_step="Give the host of the connection as https://host[:port]",
            )
        if parts.username or parts.password:
            # Not quoted back: it holds a password.
            raise ConfigurationError(
                what="The address of the connection holds a user name or password",
                where=parts.hostname or "",
                next_step="Put them into the Login and Password fields",
            )

    @property
    def address(self) -> str:
        """Host and port, as messages give them."""
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


@dataclass(frozen=True)
class StreamingBody:
    """A body that is streamed.

    :param content_type: the header of this name.
    :param size: in bytes; exactly what ``chunks`` gives.
    :param chunks: gives the body from its start, each time it is called.
    """

    content_type: str
    size: int
    chunks: Callable[[], Iterator[bytes]]

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks()


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


_turn: ContextVar[Callable[[], None]] = ContextVar("turn")
"""Waits until the request that this thread is sending may be sent once more."""


class _ThrottledRetry(Retry):
    """Repeats within urllib3 wait for their turn, too. It makes copies of itself, so it holds nothing of its own."""

    def sleep(self, response: Any = None) -> None:
        """Wait as urllib3 does, and then for the turn."""
        super().sleep(response)
        _turn.get()()


class _WithoutQueries(logging.Filter):
    """Takes the queries out of what urllib3 logs of our requests: of a presigned address, that is the key to it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let it pass, without the query; what others do in this process stays as it is."""
        if _turn.get(None) is not None and isinstance(record.args, tuple):
            record.args = tuple(
                item.partition("?")[0] if isinstance(item, str) else item for item in record.args
            )
        return True


for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_WithoutQueries())


class _OneOrigin(HTTPAdapter):
    """Keeps its pool of connections. Requests would look it up for each request, from address, proxies and CA file."""

    _pool: ConnectionPool | None = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """The pool of the first request: all go to one origin, in the same way."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool


class HttpTransport:
    """What sends requests, with the rules that hold for every vendor.

    An adapter of ``requests`` without a session: redirects are never followed, so credentials reach the configured host
    only, and cookies are never stored: who needs one sends it by itself, which also makes one transport safe for many
    threads. A request that changes something is never repeated here, except where the connection did not even come
    about.

    :param rate_limiter: gives each request its turn; ``None``: none waits.
    :param observer: told of each request.
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
        retry = _ThrottledRetry(
            total=settings.safe_retries,
            allowed_methods=SAFE_METHODS,
            # A TLS failure in the middle counts as "other", and would be retried whatever the method.
            other=0,
            status_forcelist={502, 503, 504},
            backoff_factor=0.5,
            backoff_jitter=0.5,
            # A Retry-After can be hours: the callers decide about such a pause, not a blocked thread.
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        self._adapter = _OneOrigin(max_retries=retry, pool_maxsize=CONNECTION_POOL_SIZE)

    def request_label(self, method: str, path: str) -> str:
        """Name an exchange for messages; the query is left out, as it can hold personal data."""
        return f"{self._vendor} {method} {path.partition('?')[0]}"

    def _check_ca_file(self, request_label: str) -> None:
        verify = self.settings.verify_tls
        if isinstance(verify, str) and not Path(verify).exists():
            raise ConfigurationError(
                what=f"The CA file {verify!r} is not there",
                where=request_label,
                next_step="Check 'verify_tls' of the connection; the file has to be there on every worker",
            )

    # A session would put address and headers together anew for each request, and look through all of the environment
    # for proxies and a CA file, which takes longer than the rest of a small GET. A triggerer sends many of these.

    @cached_property
    def _template(self) -> requests.PreparedRequest:
        """What all requests have in common."""
        with requests.Session() as session:
            # Without an auth of ours, requests would take credentials from a .netrc file.
            session.auth = _no_auth
            return session.prepare_request(requests.Request("GET", self.settings.base_url))

    @cached_property
    def _surroundings(self) -> Mapping[str, Any]:
        """Proxies and CA file, of this machine and of the settings."""
        with requests.Session() as session:
            return session.merge_environment_settings(
                self.settings.base_url, {}, None, self.settings.verify_tls, None
            )

    def _request(
        self,
        method: str,
        path: str,
        *,
        json: Any,
        body: StreamingBody | None,
        headers: Mapping[str, str] | None,
    ) -> requests.PreparedRequest:
        request = self._template.copy()
        request.method = method
        request.url = requote_uri(f"{(request.url or '').rstrip('/')}{path}")
        if body is not None:
            request.headers["Content-Type"] = body.content_type
        request.headers.update(headers or {})
        # Also where there is none: the vendor is told its length.
        request.prepare_body(body or {}, None, json)
        return request

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
        """Send one request and return whatever the vendor answers.

        :param method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
        :param path: below the base URL, with a leading slash; may hold a query.
        :param operation: what the request is to do, one word of a short list, for who measures.
        :param json: body, sent as JSON; or
        :param body: a body that is streamed.
        :param headers: additional headers, among them the credentials.
        :param mutating: whether a broken exchange leaves it unclear what was done; by default, all but
            GET. A login changes nothing that matters.
        :raises VendorUnavailableError: no complete answer came.
        :raises RateLimitedError: too many requests wait for their turn; nothing was sent.
        :raises ConfigurationError: the address is not one, or its certificate is not trusted.
        """
        request_label = self.request_label(method, path)
        self._check_ca_file(request_label)

        def turn() -> None:
            waited = self.rate_limiter.acquire(request_label) if self.rate_limiter is not None else 0.0
            if waited:
                self.observer.on_throttle("connection", waited)

        def once_more() -> None:
            self.observer.on_retry(operation)
            turn()

        turn()
        token = _turn.set(once_more)
        started = time.monotonic()
        status: int | None = None
        try:
            response = self._adapter.send(
                self._request(method, path, json=json, body=body, headers=headers),
                timeout=(self.settings.connect_timeout, self.settings.read_timeout),
                **self._surroundings,
            )
            # Read to its end here, where what goes wrong is told; then the connection is free.
            _ = response.content
            status = response.status_code
        except (requests.RequestException, OSError, ValueError) as error:
            # "from None": the original's text holds the whole URL.
            if mutating is None:
                mutating = method not in SAFE_METHODS
            raise error_for_exception(
                error, request_label=request_label, mutating=mutating, address=self.settings.address
            ) from None
        finally:
            _turn.reset(token)
            seconds = time.monotonic() - started
            self.observer.on_response(operation, status, seconds)
        log.debug("%s: HTTP %s in %.0f ms", request_label, status, seconds * 1000)
        return response
