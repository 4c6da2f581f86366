"""Every error of the package: one small tree, split by what a retry would do.

``TransientError`` may go away by itself: a retry is right. ``TerminalError`` will not: a person has to change
something first, so the operators turn it into ``AirflowFailException`` and Airflow does not try again.

Each error says *what* happened, *where*, *why* (in the vendor's words where there are any) and the *next step*.
None ever carries a request or response body, a row of a source file, a credential or a cookie.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

DOCS_VARIABLE = "AUDIENCE_ONBOARDING_DOCS"
"""The environment variable with the address of a site that was built from ``docs/``, where there is one."""

OVERWRITE_HINT = "with 'Overwrite', which is under 'Exceptions' in its form"
"""How a run is told that other content is right. A message says it as the form does, where that section is closed."""


def help_url(name: str) -> str:
    """Where it is written what an error means and what to do: on the site, or in the repository's ``docs/``.

    :param name: of the class, such as ``GuardError``.
    """
    site = os.environ.get(DOCS_VARIABLE, "").strip().rstrip("/")
    page = f"{site}/how-to/troubleshooting/" if site else "docs/how-to/troubleshooting.md"
    return f"{page}#{name.lower()}"


def append_help_link(name: str, message: str) -> str:
    """A message as a person gets to read it: with where to read more at its end.

    :param name: of the error's class.
    """
    # Nothing follows the address: a full stop would become part of it where it is clicked or copied. And an error
    # that already says so is not told twice.
    see = f"See {help_url(name)}"
    return message if message.endswith(see) else f"{message}{chr(10) if chr(10) in message else ' '}{see}"


class Outcome(str, Enum):
    """What is known about a request that changes something at the vendor and did not end well."""

    NOT_DONE = "not_done"
    """The vendor surely did nothing: the connection was refused, or the request was."""

    UNKNOWN = "unknown"
    """The vendor may have done it: a time-out, a reset after sending, a 5xx, an answer that cannot be read."""


class AudienceOnboardingError(Exception):
    """Base of all errors of the package.

    :param what: what happened, one sentence without a full stop.
    :param where: the system and object, for example ``Digital Audience POST /audience/activate``.
    :param why: the reason as far as known.
    :param next_step: what the reader should do; :attr:`default_next_step` where nothing is given.
    """

    default_next_step: ClassVar[str] = ""
    """What to do about most errors of the class."""

    def __init__(self, *, what: str, where: str = "", why: str = "", next_step: str = "") -> None:
        self.what = what
        self.where = where
        self.why = why
        self.next_step = next_step or self.default_next_step
        super().__init__(self._message())

    def _message(self) -> str:
        text = self.what.rstrip(".")
        if self.where:
            text = f"{text} ({self.where})"
        if self.why:
            text = f"{text}: {self.why.rstrip('.')}"
        if self.next_step:
            text = f"{text}. {self.next_step.rstrip('.')}"
        return f"{text}."

    def prefix_subject(self, subject: str, *, next_step: str = "") -> None:
        """Put the object that the error is about in front, and a next step where there is none yet."""
        if subject:
            self.what = f"{subject}: {self.what[:1].lower()}{self.what[1:]}"
        self.next_step = self.next_step or next_step
        self.args = (self._message(),)

    def add_next_step(self, more: str) -> None:
        """Add to the next step."""
        self.next_step = f"{self.next_step.rstrip('.')}. {more}" if self.next_step else more
        self.args = (self._message(),)

    def full_message(self) -> str:
        """The message with where to read more. Only what a person reads has it: messages are put into others."""
        return append_help_link(type(self).__name__, self._message())

    def attach_help(self) -> None:
        """Make :meth:`full_message` the message itself, where the error ends up in front of a person."""
        self.args = (self.full_message(),)

    def labelled_message(self) -> str:
        """Return :meth:`full_message` after the name of the class, as failed tasks and lists of problems show it."""
        return f"{type(self).__name__}: {self.full_message()}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by positional args by default, which keyword-only constructors refuse.
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[AudienceOnboardingError], attributes: dict[str, Any]) -> AudienceOnboardingError:
    error = cls.__new__(cls)
    error.__dict__.update(attributes)
    Exception.__init__(error, error._message())
    return error


class TransientError(AudienceOnboardingError):
    """May go away by itself; a retry is right.

    :param retry_after: seconds until a retry makes sense, as the vendor said or as we know; ``None`` where nobody
        knows.
    """

    default_next_step = "It is tried again by itself"

    def __init__(self, *, retry_after: float | None = None, **kwargs: Any) -> None:
        self.retry_after = retry_after
        super().__init__(**kwargs)


class TerminalError(AudienceOnboardingError):
    """Will not go away by itself; a retry is pointless."""


# --- the vendors' APIs ---------------------------------------------------------------------------------------


class VendorError(AudienceOnboardingError):
    """Mixed into errors of a vendor's API.

    :param outcome: whether a changing request may have been carried out all the same.
    :param status: HTTP status, ``None`` where no answer came.
    :param request_id: the vendor's id of the request, where it sends one.
    """

    def __init__(
        self,
        *,
        what: str,
        where: str = "",
        why: str = "",
        next_step: str = "",
        outcome: Outcome = Outcome.NOT_DONE,
        status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        self.outcome = outcome
        self.status = status
        self.request_id = request_id
        super().__init__(what=what, where=where, why=why, next_step=next_step)

    def _message(self) -> str:
        details = []
        if self.status is not None:
            details.append(f"HTTP {self.status}")
        if self.request_id:
            details.append(f"request id {self.request_id}")
        message = super()._message()
        return f"{message} [{', '.join(details)}]" if details else message


class VendorUnavailableError(TransientError, VendorError):
    """The vendor cannot be reached, answers with a server error, or asks for a pause."""


class RateLimitedError(VendorUnavailableError):
    """The vendor's limit of requests per time is reached."""


class UnexpectedResponseError(VendorError, TerminalError):
    """An answer that is not what the vendor's pages describe: HTML, truncated JSON, a missing id."""


class AuthenticationError(VendorError, TerminalError):
    """The vendor does not accept the credentials of the connection."""


class PermissionDeniedError(VendorError, TerminalError):
    """The credentials are good, but may not do this."""


class NotFoundError(VendorError, TerminalError):
    """The vendor does not know the object, or it belongs to somebody else."""


class RequestRejectedError(VendorError, TerminalError):
    """The vendor understood the request and refused it."""


class ConflictError(RequestRejectedError):
    """The vendor refused the request because of the state in which the object is now."""


class TooLargeError(RequestRejectedError):
    """The vendor takes nothing of this size."""


class CreateUnverifiedError(TransientError):
    """Something may or may not have been created, and the vendor can be asked a little later."""


class AmbiguousCreateError(TerminalError):
    """Something may or may not have been created, and no look-up can tell.

    Raised instead of trying again, because trying again could create it twice. It stays until a person settles
    it by one of the two ways that the message names.
    """


class AudienceFailedError(TerminalError):
    """The audience went into a failure state."""


class ImportFailedError(TerminalError):
    """The vendor could not import the list that was sent."""


class SegmentFailedError(TerminalError):
    """The segment went into a failure state."""


class MaintenanceIncompleteError(TerminalError):
    """Not all segments could be looked at or extended; the others were."""


# --- CRM files -----------------------------------------------------------------------------------------------


class SourceNotFoundError(TerminalError):
    """The CRM file of the load date is not there."""


class SourceFormatError(TerminalError):
    """The CRM file cannot be read as what the definition says it is."""


class MissingColumnError(TerminalError):
    """A column that the definition names is not in the CRM file, or more than one fits."""


class EmptySourceError(TerminalError):
    """The CRM file holds no row, or none that can be sent.

    :param rows_read: rows that it holds; 0 where it is really empty.
    """

    def __init__(self, *, rows_read: int = 0, **kwargs: Any) -> None:
        self.rows_read = rows_read
        super().__init__(**kwargs)


class GuardError(TerminalError):
    """A guard of the definition stops the load: its numbers are not those of a list that is meant."""


class MatchRateError(TerminalError):
    """The vendor knows fewer of the people than the definition asks for. The load is confirmed; only what would come
    after it is stopped."""


class AccountingError(TerminalError):
    """``rows_read = rows_sent + duplicates + rejected`` does not hold: a bug, so nothing is sent."""


# --- object storage ------------------------------------------------------------------------------------------


class StorageUnavailableError(TransientError):
    """The object storage cannot be reached, is overloaded or answers with a server error."""


class BucketNotFoundError(TerminalError):
    """The bucket does not exist."""


class StorageAccessError(TerminalError):
    """The object storage does not accept the credentials, or they may not do this."""


class UploadConflictError(TerminalError):
    """The key is taken by an object with other content, and the run did not say ``overwrite``."""


class DailyFileLimitError(TerminalError):
    """A file for the audience was put on the same day, and the definition allows no second one."""


class ConditionalWriteUnsupportedError(TerminalError):
    """The endpoint cannot write "only if absent", so it could overwrite a file that was sent before."""


# --- the audit table ------------------------------------------------------------------------------------------


class AuditUnavailableError(TransientError):
    """The database of the audit table cannot be reached, or stopped."""


# --- settings ------------------------------------------------------------------------------------------------


class ConfigurationError(TerminalError):
    """A connection or an operator's argument lacks something or holds something that cannot be."""


class NothingToResolveError(TerminalError):
    """No creation of this kind is unclear, or what was said about it cannot be so. Nothing was changed."""


class AudienceRetiredError(TerminalError):
    """The audience was retired: nothing is created or sent for it until somebody opens it again."""


class StaleApprovalError(TerminalError):
    """What was approved is not what is there any more. Nothing was done beyond what was approved."""


class DefinitionError(TerminalError):
    """An audience definition is wrong.

    :param problems: all that is wrong, one record each, see :mod:`.definitions.problems`.
    """

    default_next_step = "Correct the file; its DAGs appear at Airflow's next look at it"

    def __init__(self, *, problems: Sequence[Any] = (), **kwargs: Any) -> None:
        self.problems = tuple(problems)
        super().__init__(**kwargs)

    def _message(self) -> str:
        message = super()._message()
        return "\n".join([message, *(f"  {problem}" for problem in self.problems)])
