"""Operators for CommBox's audience API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink, RejectsLink
from audience_onboarding.base.load import LoadContext
from audience_onboarding.base.metrics import upload_measured
from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.snapshot_diff import MIRROR, OPT_IN, OPT_OUT
from audience_onboarding.base.upload_operator import OnboardCrmOperator
from audience_onboarding.crm.guards import FULL_LIST_MODES
from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    ConfigurationError,
    NotFoundError,
    UploadConflictError,
)
from audience_onboarding.http import FileContent
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.links import CommBoxPortalLink
from audience_onboarding.platforms.commbox.models import Audience
from audience_onboarding.state.remote_ids import is_missing, parse_str_id
from audience_onboarding.state.store import AUDIENCE_KEY, LAST_LOAD_KEY, StateStore

if TYPE_CHECKING:
    from audience_onboarding.crm.output.crm_file import CrmFile

CHUNK = 1024 * 1024
"""Bytes of the file in memory at a time."""

LAST_SENT_KEY = "last_sent"
"""Key in the state store of the audience: the list that was sent last."""

CONFIRMED = ("audience_id", "user_count")
"""Fields of the record of a confirmed load that the sensor returns at once."""


class CommBoxOperator(PlatformOperator[CommBoxHook, str]):
    """Base of the operators for the vendor."""

    template_fields: Sequence[str] = ("commbox_conn_id",)
    hook_class = CommBoxHook
    read_id = staticmethod(parse_str_id)

    def __init__(self, *, commbox_conn_id: str = CommBoxHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.commbox_conn_id = commbox_conn_id


def _find_audience(
    operator: PlatformOperator[CommBoxHook, str], context: Context, name: str
) -> Audience | None:
    """Return the audience whose id is stored, else the one of this name; ``None`` if there is none yet."""
    client = operator.hook.client
    stored_id = operator.stored_id(context, AUDIENCE_KEY)
    if stored_id is None:
        return client.find_audience(name)
    try:
        return client.check_static(client.load_audience(stored_id))
    except NotFoundError as error:
        error.add_next_step(f"If it was deleted on purpose, {operator.recreate_hint()}")
        raise


class CommBoxListAudiencesOperator(CommBoxOperator):
    """List the audiences of the account.

    :return: the audiences as JSON objects.

    Source: https://help.commbox.io/apidocs/get-audiences
    """

    @fail_on_terminal_error
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the list."""
        return [audience.model_dump(mode="json") for audience in self.hook.client.list_audiences()]


class CommBoxFindAudienceOperator(CommBoxOperator):
    """Find a static audience by its name, and fail if the name is unusable.

    The vendor creates an audience together with its first list, as :class:`CommBoxOnboardCrmOperator` does.

    :param audience_name: at the vendor (templated).
    :return: the audience's id, ``None`` if it does not exist yet.

    Source: https://help.commbox.io/apidocs/get-audiences
    """

    template_fields: Sequence[str] = ("audience_name", "commbox_conn_id")
    operator_extra_links = (CommBoxPortalLink(), AudiencePageLink())

    def __init__(self, *, audience_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name

    @fail_on_terminal_error
    def execute(self, context: Context) -> str | None:
        """Return the audience's id."""
        audience = _find_audience(self, context, self.audience_name)
        if audience is None:
            self.log.info("Audience %r does not exist yet: its first list creates it", self.audience_name)
            return None
        self.log.info("Audience %r exists with id %s", audience.name, audience.id)
        CommBoxPortalLink.persist(self, self.hook.client.settings, audience_id=audience.id)
        return audience.id


class CommBoxOnboardCrmOperator(OnboardCrmOperator[CommBoxHook, str]):
    """Read a CRM extract and send its phone numbers to a static audience.

    CommBox replaces the whole content of an audience, in every mode: ``replace`` and ``mirror`` send the list
    (``mirror`` only if it has changed); ``opt-in`` and ``opt-out`` send the content after the last confirmed load, with
    the list added or removed, so these two need ``snapshots``.

    The upload creates the audience if there is none of its name. **Phone numbers are sent unhashed**: the vendor
    messages people.

    Arguments besides those of :class:`~..base.upload_operator.OnboardCrmOperator`:

    :param audience_name: at the vendor (templated).
    :param commbox_conn_id: a connection of type ``commbox`` (templated).

    Source: https://help.commbox.io/apidocs/create-new-audiences and .../update-static-audience
    """

    template_fields: Sequence[str] = (
        *OnboardCrmOperator.template_fields,
        "audience_name",
        "commbox_conn_id",
    )
    operator_extra_links = (CommBoxPortalLink(), RejectsLink(), AudiencePageLink())
    hook_class = CommBoxHook
    read_id = staticmethod(parse_str_id)
    modes = tuple(CommBoxDefinition.modes)
    modes_with_snapshots = CommBoxDefinition.modes_with_snapshots
    profile = CommBoxDefinition.profile

    def __init__(
        self, *, audience_name: str, commbox_conn_id: str = CommBoxHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.commbox_conn_id = commbox_conn_id

    def get_audience(self, load: LoadContext) -> Audience | None:
        """Return the audience as it is now, ``None`` if the upload creates it."""
        if is_missing(self.audience_id):
            return _find_audience(self, load.context, self.audience_name)
        client = self.hook.client
        return client.check_static(client.load_audience(parse_str_id(self.audience_id)))

    def upload(self, load: LoadContext, audience: Any) -> dict[str, Any]:
        """Create the audience with its content, or replace the content that it has."""
        before: Audience | None = audience
        client = self.hook.client
        self._check_content_known(before, load)
        content = self._content(before, load)
        if content.size is None:
            raise ConfigurationError(
                what="Unsupported compression", next_step="CommBox accepts uncompressed files only"
            )
        file = FileContent(
            name=f"{load.load_date:%Y%m%d}.csv",
            content_type="text/csv",
            size=content.size,
            chunks=lambda: content.chunks(CHUNK),
        )
        last_sent = _LastSentList(load, content)
        created: list[str] = []
        measured = partial(upload_measured, content.size, **self._load_metric_tags(load.mode))

        def create() -> str:
            with last_sent.recorded(), measured():
                created.append(client.create_audience(name=self.audience_name, file=file))
            return created[-1]

        def find() -> str | None:
            existing = before or client.find_audience(self.audience_name)
            return existing.id if existing else None

        # The id of an audience that was found by its name is stored, too: the name may change.
        if before is not None and (before.name != self.audience_name or _has_stored_id(load.store)):
            audience_id = before.id
        else:
            creation = self._creation(
                "audience",
                self.audience_name,
                create=create,
                find=find,
                sent={"name": self.audience_name, "rows": content.rows},
            )
            audience_id = parse_str_id(self._ensure(load.context, AUDIENCE_KEY, creation))
        CommBoxPortalLink.persist(self, client.settings, audience_id=audience_id)
        if not created:
            confirmed = self._find_result(audience_id, before, load, last_sent)
            if confirmed is not None:
                return {"audience_id": audience_id, "uploaded": False, "confirmed": confirmed}
            with last_sent.recorded(), measured():
                client.replace_audience(audience_id, file=file)
        change: Literal["CREATE", "OVERWRITE"] = "CREATE" if created else "OVERWRITE"
        self._add_written_audience(load, audience_id, rows=content.rows, size=content.size, change=change)
        self.log.info(
            "%s audience %s with %s customers",
            "Created" if created else "Replaced the customers of",
            audience_id,
            content.rows,
        )
        members = {} if content is load.file else {"members": content.rows}
        return {"audience_id": audience_id, "uploaded": True, "created": bool(created), **members}

    def _check_content_known(self, before: Audience | None, load: LoadContext) -> None:
        """Check that the audience's content is known, if the mode adds to it or removes from it.

        :raises ConfigurationError: there is no snapshot of it.
        :raises UploadConflictError: another load was sent, and is not confirmed.
        """
        diff = load.diff
        if load.mode not in self.modes_with_snapshots or diff is None:
            return
        where = self.audience_name if before is None else f"audience {before.id}"
        is_empty = load.mode == OPT_IN and (before is None or before.user_count == 0)
        if diff.base.confirmed is None and not is_empty and not diff.is_pending:
            raise ConfigurationError(
                what=f"The audience's content is unknown, so no customer can be {_PARTICIPLES[load.mode]}",
                where=where,
                why="CommBox replaces lists as a whole and lists no members; there is no snapshot of a confirmed load",
                next_step="Load the whole list once with mode replace: it leaves a snapshot",
            )
        others = diff.other_pending_loads
        if others and not load.overwrite:
            last = others[-1]
            raise UploadConflictError(
                what=f"The load of {last.load_date} ({last.mode}) was started and is not confirmed, so the audience's "
                "content is unknown",
                where=where,
                next_step="Run that load again, then clear this task. To build on the last confirmed load instead, "
                f"trigger this one {OVERWRITE_HINT}: it undoes the changes of the other one",
            )

    def _content(self, before: Audience | None, load: LoadContext) -> CrmFile:
        """Return the content that the audience is to have.

        :raises ConfigurationError: it would be empty.
        """
        diff = load.diff
        if load.mode not in self.modes_with_snapshots or diff is None:
            return load.file
        if diff.base.confirmed is None:
            diff.assume_empty_audience(load.file)
        if diff.after is None:
            raise ConfigurationError(
                what="This opt-out would leave the audience empty, so nothing is sent",
                where=self.audience_name if before is None else f"audience {before.id}",
                why="CommBox's pages document neither an empty list nor a way to delete an audience",
                next_step="Empty or delete the audience in the console",
            )
        return diff.after

    def _find_result(
        self, audience_id: str, before: Audience | None, load: LoadContext, last_sent: _LastSentList
    ) -> dict[str, Any] | None:
        """Return the sensor's result if the audience already has its content, else ``None``."""
        diff = load.diff
        if load.mode in self.modes_with_snapshots and diff is not None:
            record = load.find_confirmed(audience_id)
            if record is None or load.overwrite:
                record = _current_state(audience_id, before) if diff.is_empty else None
        else:
            record = load.find_confirmed(audience_id, key=LAST_LOAD_KEY)
            if record is None and load.mode == MIRROR:
                record = self._find_unchanged(audience_id, before, load)
            if record is not None and not last_sent.is_this():
                record = None
        return record and {name: record.get(name) for name in CONFIRMED}

    def _find_unchanged(
        self, audience_id: str, before: Audience | None, load: LoadContext
    ) -> dict[str, Any] | None:
        """Return the audience's state if the list is that of the last confirmed load, of any date."""
        if load.diff is not None and load.diff.base.confirmed is not None:
            return _current_state(audience_id, before) if load.diff.is_empty else None
        last = load.store.get(LAST_LOAD_KEY)
        is_same = (
            isinstance(last, dict)
            and last.get("mode") in FULL_LIST_MODES
            and (last.get("audience_id"), last.get("content_id")) == (audience_id, load.file.content_id)
        )
        return _current_state(audience_id, before) if is_same else None

    def latest_uploaded_date(self, store: StateStore) -> str:
        """Return the date of the list that was sent last."""
        last = store.get(LAST_SENT_KEY)
        return str(last.get("load_date", "")) if isinstance(last, dict) else ""


_PARTICIPLES = {OPT_IN: "added", OPT_OUT: "removed"}


def _has_stored_id(store: StateStore) -> bool:
    record = store.get(AUDIENCE_KEY)
    return record is not None and not (isinstance(record, dict) and "id" not in record)


def _current_state(audience_id: str, before: Audience | None) -> dict[str, Any]:
    return {"audience_id": audience_id, "user_count": before.user_count if before else None}


class _LastSentList:
    """The list that was sent last, confirmed or not: it may have replaced a confirmed one."""

    def __init__(self, load: LoadContext, content: CrmFile) -> None:
        self._store = load.store
        self._diff = load.diff
        self._is_mirror = load.mode == MIRROR
        self._list = {"load_date": load.load_date.isoformat(), "content_id": content.content_id}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the list before it is sent, and again once it surely was."""
        if self._diff is not None:
            # The audience's content is then exactly the sent file.
            self._diff.begin(is_whole=True)
        self._store.set(LAST_SENT_KEY, {**self._list, "is_through": False})
        yield
        self._store.set(LAST_SENT_KEY, {**self._list, "is_through": True})

    def is_this(self) -> bool:
        """Return whether surely no other list was sent after this one."""
        last = self._store.get(LAST_SENT_KEY)
        if self._is_mirror and isinstance(last, dict):
            if self._diff is not None and self._diff.base.confirmed is not None:
                # The same list in another order is another file.
                return bool(last.get("is_through")) and not self._diff.other_pending_loads
            # The same list, of any date.
            last = {**last, "load_date": self._list["load_date"]}
        return last in (None, {**self._list, "is_through": True})
