"""Operator that imports a CRM extract into a static list."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink, RejectsLink
from audience_onboarding.base.load import LoadContext, check_event
from audience_onboarding.base.metrics import upload_measured
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.base.upload_operator import OnboardCrmOperator
from audience_onboarding.exceptions import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    TransientError,
)
from audience_onboarding.http import is_one_of
from audience_onboarding.platforms.fanfare.definition import MAX_BYTES, MAX_ROWS, FanfareDefinition
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
from audience_onboarding.state.remote_ids import parse_str_id
from audience_onboarding.state.store import AUDIENCE_KEY, StateStore

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
"""Fields of the record of a confirmed load that the sensor returns at once."""


class FanfareOnboardCrmOperator(OnboardCrmOperator[FanfareHook, str]):
    """Read a CRM extract and import its people into a static list. **Identifiers are sent unhashed.**

    A list that is too long for one import is sent as several, one after the other; between two of them the task is
    deferred. The state store of the audience holds the finished imports: a retry, a clear or another run of the same
    load continues after the last one.

    Arguments besides those of :class:`~..base.upload_operator.OnboardCrmOperator`:

    :param rows_per_import: maximum number of rows of one import; default and upper limit: 100,000.
    :param poke_interval: seconds between two polls of an import that the next one waits for.
    :param import_timeout: seconds that each of them may take.
    :param fanfare_conn_id: a connection of type ``fanfare`` (templated).
    :return: the last import, which the sensor waits for, and the results of those before it.

    Source: https://docs.fanfare.io/api/admin-api/audiences and /dashboard/audiences/import-consumers
    """

    template_fields: Sequence[str] = (*OnboardCrmOperator.template_fields, "fanfare_conn_id")
    operator_extra_links = (FanfarePortalLink(), RejectsLink(), AudiencePageLink())
    hook_class = FanfareHook
    read_id = staticmethod(parse_str_id)
    modes = tuple(FanfareDefinition.modes)
    profile = FanfareDefinition.profile

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

    def validate(self) -> None:
        """Check compression and rows per import."""
        if self.profile.compression != "none":
            raise ConfigurationError(
                what="Unsupported compression",
                where="Fanfare",
                next_step="Fanfare accepts uncompressed files only",
            )
        if not 1 <= self.rows_per_import <= MAX_ROWS:
            raise ConfigurationError(
                what=f"rows_per_import is {self.rows_per_import}",
                where="Fanfare",
                next_step=f"An import holds 1 to {MAX_ROWS:,} rows",
            )

    def get_audience(self, load: LoadContext) -> str:
        """Check that the audience is a static list, and return its id."""
        client = self.hook.client
        audience_id = self._audience_id(load.context, self.audience_id)
        try:
            client.check_type(client.get_audience(audience_id), AudienceType.STATIC_LIST)
        except (NotFoundError, ConfigurationError) as error:
            record = load.store.get(AUDIENCE_KEY)
            if isinstance(record, dict) and record.get("id") == audience_id:
                error.add_next_step(f"If it is gone on purpose, {self.recreate_hint()}")
            raise
        FanfarePortalLink.persist(self, client.settings, audience_id=audience_id)
        return audience_id

    def upload(self, load: LoadContext, audience: Any) -> dict[str, Any]:
        """Send the parts that are not imported yet; return once the last import has started."""
        audience_id = parse_str_id(audience)
        load.check_unchanged(
            f"audience {audience_id}", next_step="Clear this task to send it again from the first part"
        )
        confirmed = load.find_confirmed(audience_id)
        if confirmed is not None:
            return {
                "audience_id": audience_id,
                "uploaded": False,
                "confirmed": {name: confirmed.get(name) for name in CONFIRMED},
            }
        progress = _Progress(
            load.store,
            key=f"imports.{load.period}",
            about=Imports(audience_id, load.file.content_id, self.rows_per_import),
        )
        sent = False
        for part, is_last in _with_last(self._parts(load.file)):
            started = self._pending_import(progress, part.number)
            if started is None:
                started, sent = self._import(load, progress, part), True
            if is_last:
                return {
                    "audience_id": audience_id,
                    "uploaded": True,
                    "uploaded_in_this_try": sent,
                    "import_id": started.import_id,
                    "imports_before": progress.imports.done(before=part.number),
                }
            if started.outcome is None:
                self.log.info(
                    "Part %s: waiting for import %s before the next one", part.number, started.import_id
                )
                self.defer(
                    trigger=FanfareImportTrigger(
                        conn_id=self.fanfare_conn_id,
                        audience_id=audience_id,
                        import_id=started.import_id,
                        poll_interval=self.poke_interval,
                        deadline=time.time() + self.import_timeout,
                    ),
                    method_name="resume_after_import",
                    kwargs={"content_id": load.file.content_id},
                )
        raise AssertionError("a prepared load has at least one part")

    @fail_on_terminal_error
    def resume_after_import(
        self, context: Context, event: dict[str, Any], content_id: str | None = None
    ) -> dict[str, Any]:
        """Send the next part. The task reads the extract again, as it keeps nothing of it while it is deferred.

        :param content_id: of the load that the import is part of.
        :raises AirflowFailException: the import has failed, or Fanfare rejects the request.
        :raises TransientError: the wait timed out.
        """
        check_event(
            event,
            failed=partial(import_failed, "An import of the load"),
            timed_out=f"An import of the load did not finish within {timedelta(seconds=self.import_timeout)}",
            where="Fanfare",
        )
        return self._run(context, resuming=True, resumed_content_id=content_id)

    def _parts(self, load: PreparedLoad) -> Iterator[FilePart]:
        return load.parts(max_rows=self.rows_per_import, max_bytes=MAX_BYTES)

    def _pending_import(self, progress: _Progress, number: int) -> Part | None:
        """Return the import of a part, unless there is none, or none that can still succeed."""
        part = progress.imports.parts.get(number)
        if part is None or part.outcome is not None:
            return part
        found = self.hook.client.find_import(progress.imports.audience_id, part.import_id)
        if found is not None and is_one_of(found.status, SUCCESS_STATUSES):
            part.sent, part.outcome = True, outcome(found)
            progress.save()
            self.log.info("Part %s is finished: import %s", number, part.import_id)
            return part
        if found is None or is_one_of(found.status, FAILURE_STATUSES):
            self.log.warning("Part %s: import %s failed, sending it again", number, part.import_id)
            return None
        if not part.sent and not is_one_of(found.status, UNDER_WAY_STATUSES):
            # Its file may have been sent or not, and its presigned URL is lost. Importing a person twice is harmless.
            self.log.warning("Part %s: import %s has no file, starting another", number, part.import_id)
            return None
        return part

    def _import(self, load: LoadContext, progress: _Progress, part: FilePart) -> Part:
        client, audience_id = self.hook.client, progress.imports.audience_id
        try:
            started = client.start_import(audience_id)
        except ConflictError as error:
            raise TransientError(
                what="Another import into this audience is running",
                where=f"audience {audience_id}",
                why=str(error),
                next_step="Airflow retries automatically",
            ) from None
        pending = progress.imports.parts[part.number] = Part(started.id, part.rows)
        progress.save()
        with upload_measured(len(part.body), **self._load_metric_tags(load.mode)):
            client.upload(started.upload_url, part.body)
        self._add_written_audience(load, audience_id, rows=part.rows, size=len(part.body), change="ALTER")
        pending.sent = True
        progress.save()
        self.log.info("Part %s: sent %s rows as import %s", part.number, part.rows, started.id)
        return pending


class _Progress:
    """The imports of one load, in the state store of the audience."""

    def __init__(self, store: StateStore, *, key: str, about: Imports) -> None:
        self._store = store
        self._key = key
        stored = Imports.from_dict(store.get(key))
        self.imports = stored if stored is not None and stored.is_about_same_as(about) else about

    def save(self) -> None:
        self._store.set(self._key, self.imports.to_dict())


def _with_last(parts: Iterator[FilePart]) -> Iterator[tuple[FilePart, bool]]:
    """Each part, and whether it is the last one."""
    part = next(parts, None)
    while part is not None:
        following = next(parts, None)
        yield part, following is None
        part = following
