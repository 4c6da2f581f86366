"""Operators for CommBox's audience API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink, RejectsLink
from audience_onboarding.base.metrics import upload_measured
from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.base.retry_policy import terminal_errors_fail
from audience_onboarding.base.snapshot_diff import MIRROR, OPT_IN, OPT_OUT, REPLACE
from audience_onboarding.base.upload_operator import OnboardCrmOperator, Sending
from audience_onboarding.crm.guards import WHOLE_LIST
from audience_onboarding.crm.output.profiles import COMMBOX_AUDIENCE
from audience_onboarding.exceptions import (
    OVERWRITE_HINT,
    ConfigurationError,
    NotFoundError,
    UploadConflictError,
)
from audience_onboarding.http import FileContent
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.links import CommBoxPortalLink
from audience_onboarding.platforms.commbox.models import Audience
from audience_onboarding.state.remote_ids import is_missing, text_id
from audience_onboarding.state.store import AUDIENCE_KEY, LAST_LOAD_KEY, Memory

if TYPE_CHECKING:
    from audience_onboarding.crm.output.crm_file import CrmFile

CHUNK = 1024 * 1024
"""Bytes of the file that are in memory at a time."""

LAST_SENT_KEY = "last_sent"
"""In the memory of the audience: the list that was sent last."""

CONFIRMED = ("audience_id", "user_count")
"""What a confirmed load tells the sensor, which then has nothing to wait for."""


class CommBoxOperator(PlatformOperator[CommBoxHook, str]):
    """What all operators for the vendor share: ``commbox_conn_id`` and ``asset``."""

    template_fields: Sequence[str] = ("commbox_conn_id",)
    hook_class = CommBoxHook
    read_id = staticmethod(text_id)

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

    @terminal_errors_fail
    def execute(self, context: Context) -> list[dict[str, Any]]:  # noqa: ARG002
        """List them."""
        return [audience.model_dump(mode="json") for audience in self.hook.client.list_audiences()]


class CommBoxFindAudienceOperator(CommBoxOperator):
    """Find a static audience by its name. At this vendor an audience is created together with its first list, which
    :class:`CommBoxOnboardCrmOperator` does; this says beforehand whether the name is free, ours, or unusable.

    :param audience_name: at the vendor (templated).
    :return: the audience's id, ``None`` if it is not there yet.

    Source: https://help.commbox.io/apidocs/get-audiences
    """

    template_fields: Sequence[str] = ("audience_name", "commbox_conn_id")
    operator_extra_links = (CommBoxPortalLink(), AudiencePageLink())

    def __init__(self, *, audience_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name

    @terminal_errors_fail
    def execute(self, context: Context) -> str | None:
        """Return the audience's id, if there is one."""
        audience = _find_audience(self, context, self.audience_name)
        if audience is None:
            self.log.info(
                "Audience %r is not there yet: it is created with its first list", self.audience_name
            )
            return None
        self.log.info("Audience %r is there with id %s", audience.name, audience.id)
        CommBoxPortalLink.show(self, self.hook.client.settings, audience_id=audience.id)
        return audience.id


class CommBoxOnboardCrmOperator(OnboardCrmOperator[CommBoxHook, str]):
    """Read a CRM extract and put its phone numbers into a static audience.

    What is sent takes the place of what was there, whatever the mode: ``replace`` and ``mirror`` send the list
    (``mirror`` only if it has changed), ``opt-in`` and ``opt-out`` what the audience held after the last confirmed
    load, with the list added or taken out. So these two need ``state``.

    The audience is created with the list if there is none of its name. **The numbers travel as they are, not hashed**:
    the vendor messages people.

    Arguments beside those of :class:`..base.onboarding.OnboardCrmOperator`:

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
    read_id = staticmethod(text_id)
    modes = (REPLACE, MIRROR, OPT_IN, OPT_OUT)
    modes_with_snapshots = frozenset({OPT_IN, OPT_OUT})
    profile = COMMBOX_AUDIENCE

    def __init__(
        self, *, audience_name: str, commbox_conn_id: str = CommBoxHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name
        self.commbox_conn_id = commbox_conn_id

    def target(self, context: Context) -> Audience | None:
        """The audience as it is now, ``None`` if it is to be created."""
        if is_missing(self.audience_id):
            return _find_audience(self, context, self.audience_name)
        client = self.hook.client
        return client.check_static(client.load_audience(text_id(self.audience_id)))

    def send(self, context: Context, target: Any, sending: Sending) -> dict[str, Any]:
        """Create the audience with what it is to hold, or replace what it has."""
        before: Audience | None = target
        client = self.hook.client
        self._check_known(before, sending)
        content = self._content(before, sending)
        if content.size is None:
            raise ConfigurationError(
                what="A compressed file is sent", next_step="CommBox takes plain ones only"
            )
        file = FileContent(
            name=f"{sending.load_date:%Y%m%d}.csv",
            content_type="text/csv",
            size=content.size,
            chunks=lambda: content.chunks(CHUNK),
        )
        memory = self._memory(context)
        sent = _Sent(memory, sending, content)
        created: list[str] = []
        measured = partial(upload_measured, content.size, **self._tags(sending.mode))

        def create() -> str:
            with sent.noted(), measured():
                created.append(client.create_audience(name=self.audience_name, file=file))
            return created[-1]

        def find() -> str | None:
            found = before or client.find_audience(self.audience_name)
            return found.id if found else None

        # One that was found by its name is remembered, too: it may be called something else tomorrow.
        if before is not None and (before.name != self.audience_name or self._has_id(context)):
            audience_id = before.id
        else:
            creation = self._creation(
                "audience",
                self.audience_name,
                create=create,
                find=find,
                sent={"name": self.audience_name, "rows": content.rows},
            )
            audience_id = text_id(self._ensure(context, AUDIENCE_KEY, creation))
        CommBoxPortalLink.show(self, client.settings, audience_id=audience_id)
        if not created:
            confirmed = self._nothing_to_send(context, audience_id, before, sending, sent)
            if confirmed is not None:
                return {"audience_id": audience_id, "uploaded": False, "confirmed": confirmed}
            with sent.noted(), measured():
                client.replace_audience(audience_id, file=file)
        self._wrote_audience(
            audience_id, rows=content.rows, size=content.size, change="CREATE" if created else "OVERWRITE"
        )
        self.log.info(
            "%s audience %s with %s customers",
            "Created" if created else "Replaced the customers of",
            audience_id,
            content.rows,
        )
        members = {} if content is sending.load else {"members": content.rows}
        return {"audience_id": audience_id, "uploaded": True, "created": bool(created), **members}

    def _check_known(self, before: Audience | None, sending: Sending) -> None:
        """To add to a list or take out of it, one has to know what is in it.

        :raises ConfigurationError: there is no snapshot of it.
        :raises UploadConflictError: another load was sent, and is not confirmed.
        """
        comparison = sending.comparison
        if sending.mode not in self.modes_with_snapshots or comparison is None:
            return
        where = self.audience_name if before is None else f"audience {before.id}"
        is_empty = sending.mode == OPT_IN and (before is None or before.user_count == 0)
        if comparison.base.confirmed is None and not is_empty and not comparison.is_begun:
            raise ConfigurationError(
                what=f"It is not known who is in the audience, so that nobody can be {_DONE[sending.mode]}",
                where=where,
                why="CommBox replaces lists as a whole and shows nobody; there is no snapshot of a confirmed load",
                next_step="Load the whole list once with mode replace: it leaves a snapshot",
            )
        others = comparison.others_begun
        if others and not sending.overwrite:
            last = others[-1]
            raise UploadConflictError(
                what=f"The load of {last.load_date} ({last.mode}) was begun and is not confirmed, so that it is not "
                "known who is in the audience",
                where=where,
                next_step="Run that load again, then clear this task. To build on the last confirmed load instead, "
                f"trigger this one {OVERWRITE_HINT}: what the other one has changed is undone then",
            )

    def _content(self, before: Audience | None, sending: Sending) -> CrmFile:
        """What the audience is to hold.

        :raises ConfigurationError: nobody would be left in it.
        """
        comparison = sending.comparison
        if sending.mode not in self.modes_with_snapshots or comparison is None:
            return sending.load
        if comparison.base.confirmed is None:
            # There is nobody in it.
            comparison.after, comparison.keeps = sending.load, True
            comparison.adds, comparison.removes = sending.load.rows, 0
        if comparison.after is None:
            raise ConfigurationError(
                what="This opt-out would leave nobody in the audience, so nothing is sent",
                where=self.audience_name if before is None else f"audience {before.id}",
                why="CommBox's pages do not say what it makes of an empty list, and show no way to delete an audience",
                next_step="Empty or delete the audience in the console",
            )
        return comparison.after

    def _nothing_to_send(
        self, context: Context, audience_id: str, before: Audience | None, sending: Sending, sent: _Sent
    ) -> dict[str, Any] | None:
        """What the sensor is told where the audience is as it should be; ``None`` where something has to be sent."""
        comparison = sending.comparison
        if sending.mode in self.modes_with_snapshots and comparison is not None:
            record = self._confirmed_before(context, audience_id, sending)
            if record is None or sending.overwrite:
                record = _as_it_is(audience_id, before) if comparison.changes_nothing else None
        else:
            record = self._confirmed_before(context, audience_id, sending, key=LAST_LOAD_KEY)
            if record is None and sending.mode == MIRROR:
                record = self._unchanged(context, audience_id, before, sending)
            if record is not None and not sent.was_the_last():
                record = None
        return record and {name: record.get(name) for name in CONFIRMED}

    def _unchanged(
        self, context: Context, audience_id: str, before: Audience | None, sending: Sending
    ) -> dict[str, Any] | None:
        """Whether a list is that of the last confirmed load, of whatever day."""
        comparison = sending.comparison
        if comparison is not None and comparison.base.confirmed is not None:
            return _as_it_is(audience_id, before) if comparison.changes_nothing else None
        last = self._memory(context).get(LAST_LOAD_KEY)
        is_same = (
            isinstance(last, dict)
            and last.get("mode") in WHOLE_LIST
            and (last.get("audience_id"), last.get("content_id")) == (audience_id, sending.load.content_id)
        )
        return _as_it_is(audience_id, before) if is_same else None

    def newest_sent(self, memory: Memory) -> str:
        """The day of the list that was sent last."""
        last = memory.get(LAST_SENT_KEY)
        return str(last.get("load_date", "")) if isinstance(last, dict) else ""

    def _has_id(self, context: Context) -> bool:
        record = self._memory(context).get(AUDIENCE_KEY)
        return record is not None and not (isinstance(record, dict) and "id" not in record)


_DONE = {OPT_IN: "added", OPT_OUT: "taken out"}


def _as_it_is(audience_id: str, before: Audience | None) -> dict[str, Any]:
    return {"audience_id": audience_id, "user_count": before.user_count if before else None}


class _Sent:
    """Which list was sent last, confirmed or not: what is confirmed may have been replaced since."""

    def __init__(self, memory: Memory, sending: Sending, content: CrmFile) -> None:
        self._memory = memory
        self._comparison = sending.comparison
        self._is_mirror = sending.mode == MIRROR
        self._list = {"load_date": sending.load_date.isoformat(), "content_id": content.content_id}

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the list before it is sent, and once more when it surely was."""
        if self._comparison is not None:
            # What is sent is all that the audience holds then.
            self._comparison.begin(is_whole=True)
        self._memory.set(LAST_SENT_KEY, {**self._list, "is_through": False})
        yield
        self._memory.set(LAST_SENT_KEY, {**self._list, "is_through": True})

    def was_the_last(self) -> bool:
        """Whether nothing else can have been sent since."""
        last = self._memory.get(LAST_SENT_KEY)
        if self._is_mirror and isinstance(last, dict):
            if self._comparison is not None and self._comparison.base.confirmed is not None:
                # In another order, it is another file of the same list.
                return bool(last.get("is_through")) and not self._comparison.others_begun
            # The same list, of whatever day.
            last = {**last, "load_date": self._list["load_date"]}
        return last in (None, {**self._list, "is_through": True})
