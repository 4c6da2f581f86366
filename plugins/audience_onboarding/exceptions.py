"""All errors of the package: one small tree, split by whether a retry can help.

``TransientError``: a retry can help. ``TerminalError``: a user must change something first, so the operators raise
``AirflowFailException`` and Airflow does not retry.

Each error has the parts ``what``, ``where``, ``why`` (with the vendor's message) and ``next_step``. None carries a
request or response body, a row of a source file, a credential or a cookie.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

DOCS_VARIABLE = "AUDIENCE_ONBOARDING_DOCS"
"""Environment variable with the address of a site built from ``docs/``, if there is one."""

OVERWRITE_HINT = "with 'Overwrite', which is under 'Exceptions' in its form"
"""How to start a run that overwrites. The section 'Exceptions' of the form is collapsed."""


def help_url(name: str) -> str:
    """Return where an error is explained: the docs site, or the repository's ``docs/``.

    :param name: class name, such as ``GuardError``.
    """
    site = os.environ.get(DOCS_VARIABLE, "").strip().rstrip("/")
    page = f"{site}/how-to/troubleshooting/" if site else "docs/how-to/troubleshooting.md"
    return f"{page}#{name.lower()}"


def append_help_link(name: str, message: str) -> str:
    """Append the link to the docs to a message, unless it ends with the link already.

    :param name: of the error's class.
    """
    # No full stop: it would become part of the address where a user clicks or copies it.
    link = f"See {help_url(name)}"
    return message if message.endswith(link) else f"{message}{chr(10) if chr(10) in message else ' '}{link}"


class Outcome(str, Enum):
    """Whether the vendor processed a mutating request that failed."""

    NOT_DONE = "not_done"
    """The vendor did nothing: it refused the connection or the request."""

    UNKNOWN = "unknown"
    """The vendor may have processed it: a timeout, a reset after sending, a 5xx, an invalid answer."""


class AudienceOnboardingError(Exception):
    """Base of all errors of the package.

    :param what: the failure, one sentence without a full stop.
    :param where: system and object, for example ``Digital Audience POST /audience/activate``.
    :param why: reason, as far as known.
    :param next_step: action for the reader; default: :attr:`default_next_step`.
    """

    default_next_step: ClassVar[str] = ""
    """Next step for most errors of the class."""

    def __init__(self, *, what: str, where: str = "", why: str = "", next_step: str = "") -> None:
        self.what = what
        self.where = where
        self.why = why
        self.next_step = next_step or self.default_next_step
        super().__init__(self._message())

    @property
    def reason(self) -> str:
        """The message without its next step, for an error with another next step."""
        text = self.what.rstrip(".")
        if self.where:
            text = f"{text} ({self.where})"
        return f"{text}: {self.why.rstrip('.')}" if self.why else text

    def _message(self) -> str:
        return f"{self.reason}. {self.next_step.rstrip('.')}." if self.next_step else f"{self.reason}."

    def prefix_subject(self, subject: str, *, next_step: str = "") -> None:
        """Prefix the message with the object, and add a next step if there is none."""
        if subject:
            self.what = f"{subject}: {self.what[:1].lower()}{self.what[1:]}"
        self.next_step = self.next_step or next_step
        self.args = (self._message(),)

    def add_next_step(self, more: str) -> None:
        """Append a sentence to the next step."""
        self.next_step = f"{self.next_step.rstrip('.')}. {more}" if self.next_step else more
        self.args = (self._message(),)

    def full_message(self) -> str:
        """Return the message with the link to the docs. Only final messages have it: errors quote each other."""
        return append_help_link(type(self).__name__, self._message())

    def attach_help(self) -> None:
        """Make :meth:`full_message` the message, right before the error is shown to a user."""
        self.args = (self.full_message(),)

    def labelled_message(self) -> str:
        """Return the class name and :meth:`full_message`, for failed tasks and lists of problems."""
        return f"{type(self).__name__}: {self.full_message()}"

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is pickled with positional arguments, which the constructor does not accept.
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[AudienceOnboardingError], attributes: dict[str, Any]) -> AudienceOnboardingError:
    error = cls.__new__(cls)
    error.__dict__.update(attributes)
    Exception.__init__(error, error._message())
    return error


class TransientError(AudienceOnboardingError):
    """A retry can help.

    :param retry_after: seconds until a retry makes sense; ``None`` if unknown.
    """

    default_next_step = "Airflow retries automatically"

    def __init__(self, *, retry_after: float | None = None, **kwargs: Any) -> None:
        self.retry_after = retry_after
        super().__init__(**kwargs)


class TerminalError(AudienceOnboardingError):
    """A retry cannot help."""


# --- vendor APIs ---------------------------------------------------------------------------------------


class VendorError(AudienceOnboardingError):
    """Mixin for errors of a vendor's API.

    :param outcome: whether the vendor may have processed a mutating request.
    :param status: HTTP status, ``None`` without an answer.
    :param request_id: the vendor's id of the request, if it sends one.
    """

    def __init__(
        self,
        *,
        outcome: Outcome = Outcome.NOT_DONE,
        status: int | None = None,
        request_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.outcome = outcome
        self.status = status
        self.request_id = request_id
        super().__init__(**kwargs)

    def _message(self) -> str:
        details = []
        if self.status is not None:
            details.append(f"HTTP {self.status}")
        if self.request_id:
            details.append(f"request id {self.request_id}")
        message = super()._message()
        return f"{message} [{', '.join(details)}]" if details else message


class VendorUnavailableError(TransientError, VendorError):
    """The vendor is not reachable, answers with a server error, or asks to retry later."""


class RateLimitedError(VendorUnavailableError):
    """The rate limit of the vendor or of the connection is reached."""


class UnexpectedResponseError(VendorError, TerminalError):
    """The answer is not the one in the vendor's pages: HTML, truncated JSON, a missing id."""


class AuthenticationError(VendorError, TerminalError):
    """The vendor does not accept the credentials of the connection."""


class PermissionDeniedError(VendorError, TerminalError):
    """The credentials are valid, but lack a permission."""


class NotFoundError(VendorError, TerminalError):
    """The vendor does not know the object, or it belongs to another account."""


class RequestRejectedError(VendorError, TerminalError):
    """The vendor understood the request and refused it."""


class ConflictError(RequestRejectedError):
    """The vendor refused the request because of the current state of the object."""


class TooLargeError(RequestRejectedError):
    """The request is too large for the vendor."""


class CreateUnverifiedError(TransientError):
    """An object may have been created; a later look-up at the vendor can find it."""


class AmbiguousCreateError(TerminalError):
    """An object may have been created, and no look-up can find it.

    A retry could create it twice. The error stays until a user resolves it in one of the two ways in the message.
    """


class AudienceFailedError(TerminalError):
    """The audience is in a failure state."""


class ImportFailedError(TerminalError):
    """The vendor could not import the list."""


class SegmentFailedError(TerminalError):
    """The segment is in a failure state."""


class MaintenanceIncompleteError(TerminalError):
    """Some segments could not be inspected or extended; the others were."""


# --- CRM files -----------------------------------------------------------------------------------------------


class SourceNotFoundError(TerminalError):
    """The CRM file of the load date does not exist."""


class SourceFormatError(TerminalError):
    """The CRM file does not have the format of the definition."""


class MissingColumnError(TerminalError):
    """A column of the definition is not in the CRM file, or several match."""


class EmptySourceError(TerminalError):
    """The CRM file has no row, or none that can be sent.

    :param rows_read: rows of the file; 0 if it is empty.
    """

    def __init__(self, *, rows_read: int = 0, **kwargs: Any) -> None:
        self.rows_read = rows_read
        super().__init__(**kwargs)


class GuardError(TerminalError):
    """A guard of the definition stops the load: its numbers are not plausible."""


class MatchRateError(TerminalError):
    """The match rate is lower than the definition requires. The load is confirmed; only later steps stop."""


class AccountingError(TerminalError):
    """``rows_read = rows_sent + duplicates + rejected`` does not hold: a bug; nothing is sent."""


# --- object storage ------------------------------------------------------------------------------------------


class StorageUnavailableError(TransientError):
    """The object storage is not reachable, is overloaded, or answers with a server error."""


class BucketNotFoundError(TerminalError):
    """The bucket does not exist."""


class StorageAccessError(TerminalError):
    """The object storage does not accept the credentials, or they lack a permission."""


class UploadConflictError(TerminalError):
    """The key holds other content, and the run does not set ``overwrite``."""


class DailyFileLimitError(TerminalError):
    """A file for the audience was uploaded on the same day, and the definition allows only one."""


class ConditionalWriteUnsupportedError(TerminalError):
    """The endpoint has no conditional writes, so it could overwrite an earlier file."""


# --- the audit table ------------------------------------------------------------------------------------------


class AuditUnavailableError(TransientError):
    """The database of the audit table is not available."""


# --- settings ------------------------------------------------------------------------------------------------


class ConfigurationError(TerminalError):
    """A connection or an operator's argument is missing a value or has an invalid one."""


class NothingToResolveError(TerminalError):
    """No create of this kind is ambiguous, or the resolution contradicts the vendor. Nothing was changed."""


class AudienceRetiredError(TerminalError):
    """The audience is retired: nothing is created or sent for it until a user reopens it."""


class StateLostError(TerminalError):
    """The stored state of a loaded audience is gone: a create would make a second audience."""


class StaleApprovalError(TerminalError):
    """The approved objects have changed since. Nothing was done beyond the approval."""


class DefinitionError(TerminalError):
    """Invalid audience definition.

    :param diagnostics: its errors, see :class:`.definitions.diagnostics.Diagnostic`.
    """

    default_next_step = "Correct the file; its DAGs appear when Airflow parses it again"

    def __init__(self, *, diagnostics: Sequence[Any] = (), **kwargs: Any) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(**kwargs)

    def _message(self) -> str:
        message = super()._message()
        return "\n".join([message, *(f"  {diagnostic}" for diagnostic in self.diagnostics)])
