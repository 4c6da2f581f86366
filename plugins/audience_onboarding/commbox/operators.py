"""Operators for CommBox's audience API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.onboarding import OnboardCrmOperator, Sending
from audience_onboarding.base.operators import PlatformOperator
from audience_onboarding.commbox.connected import CommBoxConnected
from audience_onboarding.commbox.hooks import CommBoxHook
from audience_onboarding.commbox.links import CommBoxPortalLink
from audience_onboarding.commbox.models import Audience
from audience_onboarding.crm.profiles import COMMBOX_AUDIENCE
from audience_onboarding.errors import ConfigurationError, NotFoundError
from audience_onboarding.http import FileContent
from audience_onboarding.orchestration.failures import terminal_errors_fail
from audience_onboarding.orchestration.ids import is_missing, text_id
from audience_onboarding.orchestration.memory import AUDIENCE_KEY, LAST_LOAD_KEY, Memory

CHUNK = 1024 * 1024
"""Bytes of the file that are in memory at a time."""

LAST_SENT_KEY = "last_sent"
"""In the memory of the audience: the list that was sent last."""

CONFIRMED = ("audience_id", "user_count")
"""What a confirmed load tells the sensor, which then has nothing to wait for."""


class CommBoxOperator(CommBoxConnected, PlatformOperator[CommBoxHook, str]):
    """What all operators for the vendor share: ``commbox_conn_id`` and ``asset``."""

    template_fields: Sequence[str] = ("commbox_conn_id",)
    read_id = staticmethod(text_id)

    def _audience_called(self, context: Context, name: str) -> Audience | None:
        """The audience that is remembered, or else the one of this name, ``None`` if there is none yet."""
        client = self.hook.client
        known = self._remembered(context, AUDIENCE_KEY)
        if known is None:
            return client.find_audience(name)
        try:
            return client.check_static(client.load_audience(known))
        except NotFoundError as error:
            error.advise(f"If it was deleted on purpose, {self._how_to_start_anew()}")
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
    operator_extra_links = (CommBoxPortalLink(),)

    def __init__(self, *, audience_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name

    @terminal_errors_fail
    def execute(self, context: Context) -> str | None:
        """Return the audience's id, if there is one."""
        audience = self._audience_called(context, self.audience_name)
        if audience is None:
            self.log.info(
                "Audience %r is not there yet: it is created with its first list", self.audience_name
            )
            return None
        self.log.info("Audience %r is there with id %s", audience.name, audience.id)
        CommBoxPortalLink.show(self, self.hook.client.settings, audience_id=audience.id)
        return audience.id


class CommBoxOnboardCrmOperator(CommBoxOperator, OnboardCrmOperator[CommBoxHook, str]):
    """Read a CRM extract and put its phone numbers into a static audience, in the place of what was there.

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
    operator_extra_links = (CommBoxPortalLink(),)
    modes = ("replace",)
    profile = COMMBOX_AUDIENCE

    def __init__(self, *, audience_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.audience_name = audience_name

    def target(self, context: Context) -> Audience | None:
        """The audience as it is now, ``None`` if it is to be created."""
        if is_missing(self.audience_id):
            return self._audience_called(context, self.audience_name)
        client = self.hook.client
        return client.check_static(client.load_audience(text_id(self.audience_id)))

    def send(self, context: Context, target: Any, sending: Sending) -> dict[str, Any]:
        """Create the audience with the list, or replace the one it has."""
        before: Audience | None = target
        client = self.hook.client
        load = sending.load
        if load.size is None:
            raise ConfigurationError(
                what="A compressed file is sent", next_step="CommBox takes plain ones only"
            )
        file = FileContent(
            name=f"{sending.load_date:%Y%m%d}.csv",
            content_type="text/csv",
            size=load.size,
            chunks=lambda: load.chunks(CHUNK),
        )
        sent = _Sent(self._memory(context), sending)
        created: list[str] = []

        def create() -> str:
            with sent.noted():
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
                sent={"name": self.audience_name, "rows": load.report.rows_sent},
            )
            audience_id = text_id(self._ensure(context, AUDIENCE_KEY, creation))
        CommBoxPortalLink.show(self, client.settings, audience_id=audience_id)
        if not created:
            confirmed = self._confirmed_before(context, audience_id, sending, key=LAST_LOAD_KEY)
            if confirmed is not None and sent.was_the_last():
                return {
                    "audience_id": audience_id,
                    "uploaded": False,
                    "confirmed": {name: confirmed.get(name) for name in CONFIRMED},
                }
            with sent.noted():
                client.replace_audience(audience_id, file=file)
        self.log.info(
            "%s audience %s with %s customers",
            "Created" if created else "Replaced the customers of",
            audience_id,
            load.report.rows_sent,
        )
        return {"audience_id": audience_id, "uploaded": True, "created": bool(created)}

    def _has_id(self, context: Context) -> bool:
        record = self._memory(context).get(AUDIENCE_KEY)
        return record is not None and not (isinstance(record, dict) and "id" not in record)


class _Sent:
    """Which list was sent last, confirmed or not: what is confirmed may have been replaced since."""

    def __init__(self, memory: Memory, sending: Sending) -> None:
        self._memory = memory
        self._list = {
            "load_date": sending.load_date.isoformat(),
            "content_id": sending.load.content_id,
        }

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the list before it is sent, and once more when it surely was."""
        self._memory.set(LAST_SENT_KEY, {**self._list, "is_through": False})
        yield
        self._memory.set(LAST_SENT_KEY, {**self._list, "is_through": True})

    def was_the_last(self) -> bool:
        """Whether nothing else can have been sent since."""
        return self._memory.get(LAST_SENT_KEY) in (None, {**self._list, "is_through": True})
