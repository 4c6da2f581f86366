"""Sensors for Fanfare: deferrable by default, so that waiting uses no worker slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import XComArg
from airflow.sdk.definitions.context import Context

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.sensors import PlatformSensor, resolve_audience_id
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.exceptions import (
    AudienceFailedError,
    ImportFailedError,
    TerminalError,
)
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.imports import total
from audience_onboarding.platforms.fanfare.links import FanfarePortalLink
from audience_onboarding.platforms.fanfare.triggers import FanfareAudienceStatusTrigger, FanfareImportTrigger
from audience_onboarding.state.remote_ids import parse_str_id


class _FanfareSensor(PlatformSensor[FanfareHook]):
    operator_extra_links = (FanfarePortalLink(), AudiencePageLink())
    hook_class = FanfareHook
    poke_before_defer = True

    def __init__(
        self,
        *,
        audience_id: RemoteId | None = None,
        fanfare_conn_id: str = FanfareHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fanfare_conn_id = fanfare_conn_id
        self.audience_id: Any = audience_id

    def persist_links(self) -> None:
        """Persist the link to the audience in the dashboard."""
        FanfarePortalLink.persist(self, self.hook.client.settings, audience_id=self._audience())

    def _audience(self) -> str:
        return parse_str_id(self.audience_id)


class FanfareImportSensor(_FanfareSensor):
    """Wait until the import of a list has finished.

    Rows that Fanfare rejected are counted. The first of them are logged by number and reason, without their values.

    :param upload: return value of the upload operator (templated).
    :param audience_id: the audience if there is no ``upload`` (templated).
    :param import_id: the import if there is no ``upload`` (templated).
    :param fanfare_conn_id: a connection of type ``fanfare`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: maximum seconds between two polls, 60 by default; a deferred wait polls more often at first.
    :param timeout: seconds until it fails, two days by default.
    :return: status and counts of all imports of the load, and the members of the audience.

    Source: https://docs.fanfare.io/api/admin-api/audiences, GET /audiences/{audienceId}/import
    """

    template_fields: Sequence[str] = ("upload", "audience_id", "import_id", "fanfare_conn_id")

    def __init__(
        self,
        *,
        upload: Mapping[str, Any] | XComArg | None = None,
        import_id: RemoteId | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.upload: Any = upload
        self.import_id: Any = import_id

    @property
    def target_label(self) -> str:
        """Name of the awaited import, for messages."""
        return f"The import into audience {self._audience()}"

    def early_result(self) -> dict[str, Any] | None:
        """Return the stored result of a load that is already confirmed."""
        return self.upload.get("confirmed") if self.upload else None

    def vendor_error(self, message: str) -> TerminalError:
        """Return the error for a failed import."""
        return import_failed(self.target_label, message)

    def trigger(self, *, deadline: float) -> FanfareImportTrigger:
        """Return the trigger."""
        return FanfareImportTrigger(
            conn_id=self.fanfare_conn_id,
            audience_id=self._audience(),
            import_id=parse_str_id(self.upload["import_id"] if self.upload else self.import_id),
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the totals of the load's imports, the last one from the trigger's event."""
        last = super().execute_complete(context, event)
        result = {
            "audience_id": self._audience(),
            "members": last["members"],
            **total([*(self.upload or {}).get("imports_before", []), last]),
        }
        if result["error_count"]:
            self.log.warning("Fanfare rejected %s rows: %s", result["error_count"], result["row_errors"])
        return result

    def _audience(self) -> str:
        return resolve_audience_id(
            self.upload,
            self.audience_id,
            read=parse_str_id,
            arguments="'upload', or 'audience_id' and 'import_id'",
        )


class FanfareAudienceStatusSensor(_FanfareSensor):
    """Wait until a dynamic or synced audience is up to date: not stale, not in progress, last sync not failed.

    :param sync: return value of :class:`.operators.FanfareSyncAudienceOperator` (templated): success then requires
        data newer than its baseline.
    :param audience_id: the audience if there is no ``sync`` (templated).
    :param fanfare_conn_id: a connection of type ``fanfare`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: maximum seconds between two polls, 60 by default; a deferred wait polls more often at first.
    :param timeout: seconds until it fails, two days by default.
    :return: the status.

    Source: the vendor's API description, GET /audiences/{audienceId}/status
    """

    template_fields: Sequence[str] = ("sync", "audience_id", "fanfare_conn_id")

    def __init__(self, *, sync: Mapping[str, Any] | XComArg | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sync: Any = sync

    @property
    def target_label(self) -> str:
        """Name of the awaited audience, for messages."""
        return f"Audience {self._audience()}"

    def vendor_error(self, message: str) -> TerminalError:
        """Return the error for a failed sync."""
        return AudienceFailedError(
            what=f"{self.target_label} is not up to date",
            where="Fanfare",
            why=message,
            next_step="Check its source in Fanfare's dashboard, then start the sync again",
        )

    def trigger(self, *, deadline: float) -> FanfareAudienceStatusTrigger:
        """Return the trigger."""
        return FanfareAudienceStatusTrigger(
            conn_id=self.fanfare_conn_id,
            audience_id=self._audience(),
            baseline=self.sync["baseline"] if self.sync else None,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def _audience(self) -> str:
        return resolve_audience_id(
            self.sync, self.audience_id, read=parse_str_id, arguments="'sync' or 'audience_id'"
        )


def import_failed(subject: str, message: str) -> ImportFailedError:
    """Return the error for a failed import."""
    return ImportFailedError(
        what=f"{subject} failed",
        where="Fanfare",
        why=message,
        next_step="Fix the extract if its rows caused the failure, then clear the upload task; finished imports of "
        "this load are not sent again",
    )
