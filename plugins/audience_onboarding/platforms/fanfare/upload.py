"""The operator that imports a CRM extract into a static list."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink, RejectsLink
from audience_onboarding.base.metrics import upload_measured
from audience_onboarding.base.retry_policy import terminal_errors_fail
from audience_onboarding.base.upload_operator import OnboardCrmOperator, Sending
from audience_onboarding.crm.output.profiles import FANFARE_IMPORT
from audience_onboarding.exceptions import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    TransientError,
    UploadConflictError,
)
from audience_onboarding.http import is_one_of
from audience_onboarding.platforms.fanfare.definition import MAX_BYTES, MAX_ROWS
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.imports import (
    FAILURE_STATUSES,
    SUCCESS_STATUSES,
    UNDER_WAY_STATUSES,
    Imports,
    Part,
    outcome,
)
from audience_onboarding.platforms.fanfare.links import FanfarePortalLink
from audience_onboarding.platforms.fanfare.models import AudienceType
from audience_onboarding.platforms.fanfare.sensors import import_failed
from audience_onboarding.platforms.fanfare.triggers import FanfareImportTrigger
from audience_onboarding.state.remote_ids import text_id
from audience_onboarding.state.store import AUDIENCE_KEY, Memory

if TYPE_CHECKING:
    from audience_onboarding.crm.prepare import FilePart, PreparedLoad

CONFIRMED = (
    "audience_id",
    "members",
    "import_status",
    "imports",
    "processed_consumers",
    "error_count",
    "row_errors",
)
"""What a confirmed load tells the sensor, which then has nothing to wait for."""


class FanfareOnboardCrmOperator(OnboardCrmOperator[FanfareHook, str]):
    """Read a CRM extract and import its people into a static list. **They travel as they are, not hashed.**

    A list that is too long for one import is sent as several, one after the other; between two of them the task waits
    in the triggerer. What is through is remembered with the audience: a retry, a clear or another run of the same load
    goes on where the last one ended.

    Arguments beside those of :class:`..base.onboarding.OnboardCrmOperator`:

    :param rows_per_import: how many rows one import holds at most, 100,000 by default and at most.
    :param poke_interval: seconds between two looks at an import that others wait for.
    :param import_timeout: seconds that each of them may take.
    :param fanfare_conn_id: a connection of type ``fanfare`` (templated).
    :return: the last import, which the sensor waits for, and what came of those before it.

    Source: https://docs.fanfare.io/api/admin-api/audiences and /dashboard/audiences/import-consumers
    """

    template_fields: Sequence[str] = (*OnboardCrmOperator.template_fields, "fanfare_conn_id")
    operator_extra_links = (FanfarePortalLink(), RejectsLink(), AudiencePageLink())
    hook_class = FanfareHook
    read_id = staticmethod(text_id)
    modes = ("opt-in",)
    profile = FANFARE_IMPORT

    def __init__(
        self,
        *,
        rows_per_import: int = MAX_ROWS,
        poke_interval: float = 60.0,
        import_timeout: float = timedelta(days=2).total_seconds(),
        fanfare_conn_id: str = FanfareHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rows_per_import = rows_per_import
        self.poke_interval = poke_interval
        self.import_timeout = import_timeout
        self.fanfare_conn_id = fanfare_conn_id
        self._begun_content: str | None = None

    def check(self) -> None:
        """A part has to be one that the vendor takes."""
        if self.profile.compression != "none":
            raise ConfigurationError(
                what="A compressed file is sent", where="Fanfare", next_step="It takes plain ones only"
            )
        if not 1 <= self.rows_per_import <= MAX_ROWS:
            raise ConfigurationError(
                what=f"rows_per_import is {self.rows_per_import}",
                where="Fanfare",
                next_step=f"An import holds 1 to {MAX_ROWS:,} rows",
            )

    def target(self, context: Context) -> str:
        """The audience has to be a static list."""
        client = self.hook.client
        audience_id = self._audience_id(context, self.audience_id)
        try:
            client.check_type(client.get_audience(audience_id), AudienceType.STATIC_LIST)
        except (NotFoundError, ConfigurationError) as error:
            record = self._memory(context).get(AUDIENCE_KEY)
            if isinstance(record, dict) and record.get("id") == audience_id:
                error.add_next_step(f"If it is gone on purpose, {self.recreate_hint()}")
            raise
        FanfarePortalLink.show(self, client.settings, audience_id=audience_id)
        return audience_id

    def send(self, context: Context, target: Any, sending: Sending) -> dict[str, Any]:
        """Send what is not through yet, and return when the last import is on its way."""
        audience_id = text_id(target)
        if self._begun_content not in (None, sending.load.content_id):
            raise UploadConflictError(
                what="The source has changed while its imports were under way",
                where=f"audience {audience_id}",
                next_step="Clear this task to send it anew from the first part on. If the source is a query, give it "
                "an ORDER BY, so that it has the same rows in the same order each time",
            )
        confirmed = self._confirmed_before(context, audience_id, sending)
        if confirmed is not None:
            return {
                "audience_id": audience_id,
                "uploaded": False,
                "confirmed": {name: confirmed.get(name) for name in CONFIRMED},
            }
        self._sends_now = False
        progress = _Progress(
            self._memory(context),
            key=f"imports.{sending.days}",
            about=Imports(audience_id, sending.load.content_id, self.rows_per_import),
        )
        for part, is_last in _with_last(self._parts(sending.load)):
            begun = self._begun(progress, part.number)
            if begun is None:
                begun = self._import(progress, part)
            if is_last:
                return {
                    "audience_id": audience_id,
                    "uploaded": True,
                    "import_id": begun.import_id,
                    "imports_before": progress.imports.done(before=part.number),
                }
            if begun.outcome is None:
                self.log.info(
                    "Part %s: waiting for import %s before the next one", part.number, begun.import_id
                )
                self.defer(
                    trigger=FanfareImportTrigger(
                        conn_id=self.fanfare_conn_id,
                        audience_id=audience_id,
                        import_id=begun.import_id,
                        poll_interval=self.poke_interval,
                        deadline=time.time() + self.import_timeout,
                    ),
                    method_name="execute_next_import",
                    kwargs={"content_id": sending.load.content_id},
                )
        raise AssertionError("a prepared load has at least one part")

    @terminal_errors_fail
    def execute_next_import(
        self, context: Context, event: dict[str, Any], content_id: str | None = None
    ) -> dict[str, Any]:
        """Go on after an import; the extract is read anew, as nothing of it is kept while waiting.

        :param content_id: of the load that the import is part of.
        :raises AirflowFailException: the import has failed, or Fanfare refuses to be asked.
        :raises TransientError: it was not through in time.
        """
        self.check_wait(
            event,
            failed=partial(import_failed, "An import of the load"),
            late=f"An import of the load was not through within {timedelta(seconds=self.import_timeout)}",
            where="Fanfare",
        )
        self._begun_content = content_id
        return self._onboard(context, is_under_way=True)

    def _parts(self, load: PreparedLoad) -> Iterator[FilePart]:
        return load.parts(max_rows=self.rows_per_import, max_bytes=MAX_BYTES)

    def _begun(self, progress: _Progress, number: int) -> Part | None:
        """The import of a part, unless there is none, or none that may still come to something."""
        part = progress.imports.parts.get(number)
        if part is None or part.outcome is not None:
            return part
        found = self.hook.client.find_import(progress.imports.audience_id, part.import_id)
        if found is not None and is_one_of(found.status, SUCCESS_STATUSES):
            part.sent, part.outcome = True, outcome(found)
            progress.save()
            self.log.info("Part %s is through: import %s", number, part.import_id)
            return part
        if found is None or is_one_of(found.status, FAILURE_STATUSES):
            self.log.warning("Part %s: import %s came to nothing, it is sent anew", number, part.import_id)
            return None
        if not part.sent and not is_one_of(found.status, UNDER_WAY_STATUSES):
            # Its file may have been sent or not; the address is gone. Sending it twice changes nobody twice.
            self.log.warning("Part %s: import %s has no file yet, it is begun anew", number, part.import_id)
            return None
        return part

    def _import(self, progress: _Progress, part: FilePart) -> Part:
        client = self.hook.client
        try:
            started = client.start_import(progress.imports.audience_id)
        except ConflictError as error:
            raise TransientError(
                what="Another import into this audience is under way",
                where=f"audience {progress.imports.audience_id}",
                why=str(error),
                next_step="Airflow retries automatically",
            ) from None
        begun = progress.imports.parts[part.number] = Part(started.id, part.rows)
        progress.save()
        with upload_measured(len(part.body), **self._tags(self._mode())):
            client.upload(started.upload_url, part.body)
        self._sends_now = True
        audience_id = progress.imports.audience_id
        self._wrote_audience(audience_id, rows=part.rows, size=len(part.body), change="ALTER")
        begun.sent = True
        progress.save()
        self.log.info("Part %s: sent %s rows as import %s", part.number, part.rows, started.id)
        return begun


class _Progress:
    """The imports of one load, kept in the memory of the audience."""

    def __init__(self, memory: Memory, *, key: str, about: Imports) -> None:
        self._memory = memory
        self._key = key
        kept = Imports.from_dict(memory.get(key))
        self.imports = kept if kept is not None and kept.is_about_same_as(about) else about

    def save(self) -> None:
        self._memory.set(self._key, self.imports.to_dict())


def _with_last(parts: Iterator[FilePart]) -> Iterator[tuple[FilePart, bool]]:
    """Each part, and whether it is the last one."""
    part = next(parts, None)
    while part is not None:
        following = next(parts, None)
        yield part, following is None
        part = following
