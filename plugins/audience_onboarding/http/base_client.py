"""Base of all platform clients, and the clients that a process shares."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Generic, TypeVar

import requests
from pydantic import BaseModel, ValidationError

from audience_onboarding.exceptions import Outcome, UnexpectedResponseError
from audience_onboarding.http.observer import NULL_OBSERVER, ClientObserver
from audience_onboarding.http.rate_limiter import RateLimiter
from audience_onboarding.http.settings import ClientSettings
from audience_onboarding.http.transport import HttpTransport

T = TypeVar("T")
Settings = TypeVar("Settings", bound=ClientSettings)
Model = TypeVar("Model", bound=BaseModel)
Client = TypeVar("Client", bound="ApiClient[Any]")


class ApiClient(Generic[Settings]):
    """Base of a platform's client; safe for many threads.

    :param on_secret: called with every secret that the vendor issues (session cookies, tokens, presigned URLs), so that
        the caller can mask it in logs.
    :param observer: receives each request.
    """

    hint: str = "Check the host of the connection"
    """Next step for an answer that differs from the vendor's pages."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_secret: Callable[[str], None] | None = None,
        observer: ClientObserver = NULL_OBSERVER,
    ) -> None:
        self.settings: Settings = settings
        self.observer = observer
        self._transport = HttpTransport(
            settings.transport,
            vendor=settings.vendor,
            rate_limiter=RateLimiter(settings.max_requests_per_minute),
            observer=observer,
        )
        self._on_secret = on_secret or (lambda _secret: None)

    def disable_retries(self) -> None:
        """Send each request once from now on: a user waits for the result."""
        self._transport = HttpTransport(
            replace(self.settings.transport, safe_retries=0),
            vendor=self.settings.vendor,
            rate_limiter=self._transport.rate_limiter,
            observer=self.observer,
        )

    def share_rate_limiter(self, rate_limiter: RateLimiter) -> None:
        """Use the rate limiter of other clients of the account, tightened to the limit of this one."""
        rate_limiter.tighten_to(self.settings.max_requests_per_minute)
        self._transport.rate_limiter = rate_limiter

    def _unexpected_response(
        self, request_label: str, why: str, *, mutating: bool, status: int | None = None
    ) -> UnexpectedResponseError:
        return UnexpectedResponseError(
            what="Unexpected response",
            where=request_label,
            why=why,
            next_step=self.hint,
            status=status,
            outcome=Outcome.UNKNOWN if mutating else Outcome.NOT_DONE,
        )

    def _parse(self, model: type[Model], data: Any, *, request_label: str, mutating: bool) -> Model:
        """Validate ``data`` against the model of the vendor's pages.

        :raises UnexpectedResponseError: ``data`` is something else.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            # Names only: the values are the vendor's data.
            names = {".".join(map(str, item["loc"])) or "data" for item in error.errors()}
            raise self._unexpected_response(
                request_label, f"missing or invalid: {', '.join(sorted(names))}", mutating=mutating
            ) from None


def parse_json(response: requests.Response) -> Any:
    """Return the JSON of an answer, ``None`` if there is none."""
    try:
        return response.json()
    except ValueError:
        return None


def describe_non_json(response: requests.Response) -> str:
    """Return the reason for an answer without JSON."""
    if "html" in response.headers.get("Content-Type", "").lower():
        return "a web page (HTML) instead of the documented JSON"
    return "not the documented JSON"


_process_caches: weakref.WeakSet[ProcessCache[Any]] = weakref.WeakSet()


class ProcessCache(Generic[T]):
    """Cache of one instance per key for all threads of a process.

    A forked child starts with an empty cache: sockets and locks of its parent are useless to it.
    """

    def __init__(self) -> None:
        # Making an instance may mask a secret. In a triggerer (Airflow 3.3.2) that lets other triggers run in the same
        # thread while it holds the lock; a lock that is not reentrant would block them forever.
        self._lock = threading.RLock()
        self._instances: dict[Hashable, T] = {}
        _process_caches.add(self)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the instance for ``key``; make it if it does not exist."""
        with self._lock:
            if key not in self._instances:
                # Another trigger in the same thread may have been faster.
                self._instances.setdefault(key, make())
            return self._instances[key]

    def clear(self) -> None:
        """Drop all instances."""
        self._lock = threading.RLock()
        self._instances = {}


def _clear_process_caches() -> None:
    for cache in _process_caches:
        cache.clear()


os.register_at_fork(after_in_child=_clear_process_caches)

_clients: ProcessCache[Any] = ProcessCache()
_rate_limiters: ProcessCache[RateLimiter] = ProcessCache()


def shared_client(
    client_type: type[Client],
    settings: ClientSettings,
    *,
    on_secret: Callable[[str], None] | None = None,
    observer: ClientObserver = NULL_OBSERVER,
) -> Client:
    """Return the client of this process for an account: one connection pool and one login for all threads.

    Connections with different settings have separate clients, but share the rate limiter of the account.
    """

    def make() -> Client:
        client = client_type(settings, on_secret=on_secret, observer=observer)
        limit = settings.max_requests_per_minute
        client.share_rate_limiter(
            _rate_limiters.get((settings.vendor, settings.account), lambda: RateLimiter(limit))
        )
        return client

    client: Client = _clients.get((client_type, settings), make)
    return client


def reset_clients() -> None:
    """Drop all clients and rate limiters: the next call makes a new client, which logs in again."""
    _clients.clear()
    _rate_limiters.clear()
