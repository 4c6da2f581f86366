"""Base of clients with a bearer key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from audience_onboarding.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RequestRejectedError,
)
from audience_onboarding.http.base_client import ApiClient, describe_non_json, parse_json
from audience_onboarding.http.error_mapping import error_for_status
from audience_onboarding.http.observer import NULL_OBSERVER, ClientObserver
from audience_onboarding.http.rate_limiter import RateLimitHeaders
from audience_onboarding.http.settings import BearerSettings
from audience_onboarding.http.transport import SAFE_METHODS, StreamingBody

Settings = TypeVar("Settings", bound=BearerSettings)


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=_HasId)


class BearerClient(ApiClient[Settings], ABC):
    """Client that sends ``Authorization: Bearer <key>``, to the configured host only."""

    renewal: str = "Set a valid key as Password of the connection (Admin > Connections)"
    """Next step if the vendor does not accept the key."""
    more_rights: str = "Ask for a key that may read and change audiences"
    """Next step if the key lacks a permission."""

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
        :param operation: for metrics, see :class:`.ClientObserver`.
        :param query: parameters; ``None`` values are dropped.
        :param json: body, sent as JSON; or
        :param body: a streamed body.
        :param subject: the object, for error messages.
        :param next_step: action if the vendor refuses the request.
        :param may_be_empty: accept a success without a body, and return ``None``.
        """
        encoded_query = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        request_label = self._transport.request_label(method, path)
        if waited := self.rate_limits.acquire(request_label):
            self.observer.on_throttle("vendor", waited)
        response = self._transport.send(
            method,
            f"{path}?{encoded_query}" if encoded_query else path,
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
                request_label, describe_non_json(response), mutating=mutating, status=response.status_code
            )
        return answer

    def _single_match(self, matches: Sequence[Item], name: str) -> Item | None:
        """Return the only audience of a name, ``None`` if there is none.

        :raises ConfigurationError: several; names are not unique at these vendors.
        """
        if len(matches) > 1:
            raise ConfigurationError(
                what=f"Ambiguous audience name {name!r}",
                where=self.settings.vendor,
                why=f"{len(matches)} audiences have it, with the ids {', '.join(item.id for item in matches)}",
                next_step="Set the 'id' of the right one in the definition",
            )
        return matches[0] if matches else None

    @abstractmethod
    def _message(self, answer: Any) -> str | None:
        """Return the vendor's message in a refusal; never a value that was sent."""

    def _retry_after(self, answer: Any) -> float | None:
        """Return the seconds that the body of an answer asks to wait."""
        value = answer.get("retryAfter") if isinstance(answer, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return float(value) if 0 <= value < float("inf") else None
