"""What the clients of all platforms share beside the transport: secrets, and answers that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

import requests
from pydantic import BaseModel, ValidationError

from audience_onboarding.exceptions import Outcome, UnexpectedResponseError
from audience_onboarding.http.observer import NULL_OBSERVER, ClientObserver
from audience_onboarding.http.rate_limiter import RateLimiter
from audience_onboarding.http.settings import ClientSettings
from audience_onboarding.http.shared import ProcessCache
from audience_onboarding.http.transport import HttpTransport

Settings = TypeVar("Settings", bound=ClientSettings)
Model = TypeVar("Model", bound=BaseModel)
Client = TypeVar("Client", bound="ApiClient[Any]")


class ApiClient(Generic[Settings]):
    """The base of a platform's client; may be used by many threads at once.

    :param settings: the account.
    :param on_secret: called with every secret that the vendor hands out (session cookies, tokens, presigned URLs),
        so that the caller can mask it in logs.
    :param observer: told of each request.
    """

    hint: str = "Check the host of the connection"
    """What to do when an answer is not what the vendor's pages describe."""

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
        """Repeat nothing from now on: somebody waits for the answer, be it a failure."""
        self._transport = HttpTransport(
            replace(self.settings.transport, safe_retries=0),
            vendor=self.settings.vendor,
            rate_limiter=self._transport.rate_limiter,
            observer=self.observer,
        )

    def share_rate_limiter(self, rate_limiter: RateLimiter) -> None:
        """Share the turns of requests with other clients of the account."""
        rate_limiter.tighten_to(self.settings.max_requests_per_minute)
        self._transport.rate_limiter = rate_limiter

    def _unexpected_response(
        self, request_label: str, why: str, *, mutating: bool, status: int | None = None
    ) -> UnexpectedResponseError:
        return UnexpectedResponseError(
            what="The vendor's answer cannot be read",
            where=request_label,
            why=why,
            next_step=self.hint,
            status=status,
            outcome=Outcome.UNKNOWN if mutating else Outcome.NOT_DONE,
        )

    def _parse(self, model: type[Model], data: Any, *, request_label: str, mutating: bool) -> Model:
        """``data`` as the type that the vendor's pages describe.

        :raises UnexpectedResponseError: it is something else.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            # Locations only: the values are the vendor's data.
            fields = ", ".join(
                sorted({".".join(str(part) for part in item["loc"]) or "data" for item in error.errors()})
            )
            raise self._unexpected_response(
                request_label, f"missing or odd: {fields}", mutating=mutating
            ) from None


def parse_json(response: requests.Response) -> Any:
    """The JSON of an answer, ``None`` if it is none."""
    try:
        return response.json()
    except ValueError:
        return None


def describe_non_json(response: requests.Response) -> str:
    """What is wrong with an answer that holds no JSON."""
    if "html" in response.headers.get("Content-Type", "").lower():
        return "it is a web page (HTML), not the documented JSON"
    return "it is not the documented JSON"


_clients: ProcessCache[Any] = ProcessCache()
_rate_limiters: ProcessCache[RateLimiter] = ProcessCache()


def shared_client(
    client_type: type[Client],
    settings: ClientSettings,
    *,
    on_secret: Callable[[str], None] | None = None,
    observer: ClientObserver = NULL_OBSERVER,
) -> Client:
    """The client of this process for an account: one connection pool, and one login, for all its threads.

    Connections that differ, in a time-out for example, have clients of their own, but one ceiling of requests.
    """

    def make() -> Client:
        client = client_type(settings, on_secret=on_secret, observer=observer)
        client.share_rate_limiter(
            _rate_limiters.get(
                (settings.vendor, settings.account), lambda: RateLimiter(settings.max_requests_per_minute)
            )
        )
        return client

    client: Client = _clients.get((client_type, settings), make)
    return client


def reset_clients() -> None:
    """Start anew: the next call makes a new client, which logs in again, and nothing was sent so far."""
    _clients.clear()
    _rate_limiters.clear()
