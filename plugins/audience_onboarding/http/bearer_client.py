"""Clients of platforms that take a bearer key."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from audience_onboarding.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
)
from audience_onboarding.http.base_client import ApiClient, describe_non_json, parse_json
from audience_onboarding.http.error_mapping import error_for_status
from audience_onboarding.http.observer import NULL_OBSERVER, ClientObserver
from audience_onboarding.http.settings import BearerSettings
from audience_onboarding.http.transport import SAFE_METHODS, StreamingBody

Settings = TypeVar("Settings", bound=BearerSettings)


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Named = TypeVar("Named", bound=_HasId)

MAX_BLOCKING_WAIT = 10.0
"""Seconds that a call waits by itself for a new rate limit window. A longer pause is for the caller, who may have
something better to do than to hold a worker."""

LATEST_RESET = 32_503_680_000.0
"""Unix time of the year 3000: what lies beyond is no moment in seconds."""


class RateLimitHeaders:
    """What the vendor's ``X-RateLimit-*`` headers say, for all threads.

    Source: https://docs.fanfare.io/api/rate-limiting; a vendor that sends none of them is never waited for.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self._remaining: int | None = None
        self._reset = 0.0

    def update(self, headers: Mapping[str, str]) -> None:
        """Take in the headers of an answer."""
        try:
            remaining, reset = int(headers["X-RateLimit-Remaining"]), float(headers["X-RateLimit-Reset"])
        except (KeyError, ValueError):
            return
        # "nan" and "inf" are floats to Python, and a moment in milliseconds is none in seconds.
        if not 0 <= reset < LATEST_RESET:
            return
        with self._lock:
            self._remaining, self._reset = remaining, reset

    def acquire(self, request_label: str) -> float:
        """Return when the next request may be sent.

        :return: the seconds that it has waited.
        :raises RateLimitedError: that is too long to wait here; nothing was sent.
        """
        with self._lock:
            reset = self._reset
            pause = reset - time.time()
            if self._remaining is None or pause <= 0:
                self._remaining = None
                return 0.0
            if self._remaining > 0:
                # What is on its way counts, too.
                self._remaining -= 1
                return 0.0
        if pause > MAX_BLOCKING_WAIT:
            until = datetime.fromtimestamp(reset, timezone.utc)
            raise RateLimitedError(
                what="The rate limit is reached",
                where=request_label,
                why=f"the vendor's last answer left no request until {until:%H:%M:%S} UTC",
                next_step="It is tried again by itself; a smaller pool for this connection makes it rarer",
                retry_after=pause,
            )
        self._sleep(pause)
        return pause


class BearerClient(ApiClient[Settings], ABC):
    """The base of a client that sends ``Authorization: Bearer <key>``, to the configured host only."""

    renewal: str = "Put a valid key into the Password of the connection (Admin > Connections)"
    """What a person has to do when the key is not accepted."""
    more_rights: str = "The key is known, but may not do this: ask for one that may read and change audiences"
    """What a person has to do when the key may not do something."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_secret: Callable[[str], None] | None = None,
        observer: ClientObserver = NULL_OBSERVER,
    ) -> None:
        super().__init__(settings, on_secret=on_secret, observer=observer)
        self._on_secret(settings.key)
        self.rate_limits = RateLimitHeaders()

    def _call(  # noqa: PLR0913
        self,
        method: str,
        path: str,
        *,
        operation: str = "other",
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        body: StreamingBody | None = None,
        subject: str = "",
        next_step: str = "",
        may_be_empty: bool = False,
    ) -> Any:
        """Send one request and return the JSON of the answer.

        :param path: below the base URL.
        :param operation: what it is to do, one word of a short list, for who measures.
        :param query: parameters; ``None`` values are left out.
        :param json: body, sent as JSON; or
        :param body: a body that is streamed.
        :param subject: which object it is about, for messages.
        :param next_step: what to do when it is refused.
        :param may_be_empty: whether a success without a body is one; ``None`` is returned for it.
        """
        given = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        request_label = self._transport.request_label(method, path)
        if waited := self.rate_limits.acquire(request_label):
            self.observer.on_throttle("vendor", waited)
        response = self._transport.send(
            method,
            f"{path}?{given}" if given else path,
            operation=operation,
            json=json,
            body=body,
            headers={"Authorization": f"Bearer {self.settings.key}"},
        )
        self.rate_limits.update(response.headers)
        answer = parse_json(response)
        mutating = method not in SAFE_METHODS
        error = error_for_status(
            response,
            request_label=request_label,
            mutating=mutating,
            message=self._message(answer),
            retry_after=self._retry_after(answer),
        )
        if isinstance(error, AuthenticationError):
            error.prefix_subject("", next_step=self.renewal)
        elif isinstance(error, PermissionDeniedError):
            error.prefix_subject("", next_step=self.more_rights)
        elif isinstance(error, (NotFoundError, RequestRejectedError)):
            error.prefix_subject(subject, next_step=next_step)
        if error:
            raise error
        if answer is None and not (may_be_empty and not response.content):
            raise self._unexpected_response(
                request_label,
                describe_non_json(response),
                mutating=mutating,
                status=response.status_code,
            )
        return answer

    def _single_match(self, fitting: Sequence[Named], name: str) -> Named | None:
        """The one audience of a name, ``None`` if there is none.

        :raises ConfigurationError: there are several; names at these vendors are not unique.
        """
        if len(fitting) > 1:
            raise ConfigurationError(
                what=f"{len(fitting)} audiences are called {name!r}",
                where=self.settings.vendor,
                why=f"their ids are {', '.join(item.id for item in fitting)}",
                next_step="Give the 'id' of the right one in the definition",
            )
        return fitting[0] if fitting else None

    @abstractmethod
    def _message(self, answer: Any) -> str | None:
        """The vendor's own words in an answer that is a refusal; never a value that was sent."""

    def _retry_after(self, answer: Any) -> float | None:
        """Seconds that the body of an answer asks to wait."""
        value = answer.get("retryAfter") if isinstance(answer, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value) if 0 <= value < float("inf") else None
