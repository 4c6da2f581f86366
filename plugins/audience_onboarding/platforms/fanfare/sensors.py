"""Sensors for Fanfare: deferred by default, so that waiting holds no worker slot."""

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
        """Show the link to the audience in the dashboard."""
        FanfarePortalLink.persist(self, self.hook.client.settings, audience_id=self._audience())

    def _audience(self) -> str:
        return parse_str_id(self.audience_id)


class FanfareImportSensor(_FanfareSensor):
    """Wait until the import of a list is through.

    Rows that Fanfare did not take are counted, and the first ones shown by number and reason, without what they hold.

    :param upload: what the onboarding operator has returned (templated).
    :param audience_id: which audience, where there is no ``upload`` (templated).
    :param import_id: which import, where there is no ``upload`` (templated).
    :param fanfare_conn_id: a connection of type ``fanfare`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: seconds between two looks at most, 60 by default; a deferred wait looks more often at first.
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
        """What is waited for."""
        return f"The import into audience {self._audience()}"

    def early_result(self) -> dict[str, Any] | None:
        """A load that is confirmed already was not sent again."""
        return self.upload.get("confirmed") if self.upload else None

    def vendor_error(self, message: str) -> TerminalError:
        """Fanfare could not take in the file."""
        return import_failed(self.target_label, message)

    def trigger(self, *, deadline: float) -> FanfareImportTrigger:
        """The wait itself."""
        return FanfareImportTrigger(
            conn_id=self.fanfare_conn_id,
            audience_id=self._audience(),
            import_id=parse_str_id(self.upload["import_id"] if self.upload else self.import_id),
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take up the trigger's event, and add up the imports of the load."""
        last = super().execute_complete(context, event)
        result = {
            "audience_id": self._audience(),
            "members": last["members"],
            **total([*(self.upload or {}).get("imports_before", []), last]),
        }
        if result["error_count"]:
            self.log.warning("Fanfare did not take %s rows: %s", result["error_count"], result["row_errors"])
        return result

    def _audience(self) -> str:
        return resolve_audience_id(
            self.upload,
            self.audience_id,
            read=parse_str_id,
            wanted="'upload', or 'audience_id' and 'import_id'",
        )


class FanfareAudienceStatusSensor(_FanfareSensor):
    """Wait until a dynamic or synced audience is up to date: not stale, not in progress, last sync not failed.

    :param sync: what :class:`.operators.FanfareSyncAudienceOperator` has returned (templated): success then needs
        something newer than before.
    :param audience_id: which audience, where there is no ``sync`` (templated).
    :param fanfare_conn_id: a connection of type ``fanfare`` (templated).
    :param deferrable: wait in the triggerer (default), or in a worker slot.
    :param poke_interval: seconds between two looks at most, 60 by default; a deferred wait looks more often at first.
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
        """What is waited for."""
        return f"Audience {self._audience()}"

    def vendor_error(self, message: str) -> TerminalError:
        """The sync has failed."""
        return AudienceFailedError(
            what=f"{self.target_label} is not up to date",
            where="Fanfare",
            why=message,
            next_step="Look at its source in Fanfare's dashboard, then start the sync again",
        )

    def trigger(self, *, deadline: float) -> FanfareAudienceStatusTrigger:
        """The wait itself."""
        return FanfareAudienceStatusTrigger(
            conn_id=self.fanfare_conn_id,
            audience_id=self._audience(),
            baseline=self.sync["baseline"] if self.sync else None,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    def _audience(self) -> str:
        return resolve_audience_id(
            self.sync, self.audience_id, read=parse_str_id, wanted="'sync' or 'audience_id'"
        )


def import_failed(subject: str, message: str) -> ImportFailedError:
    """The error of an import that has failed."""
    return ImportFailedError(
        what=f"{subject} has failed",
        where="Fanfare",
        why=message,
        next_step="Mend the extract if the rows are to blame, then clear the upload task: imports of this load that "
        "are through are not sent again",
    )
