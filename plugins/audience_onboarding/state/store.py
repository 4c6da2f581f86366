"""State of an audience over its runs: remote ids, intents, confirmed loads.

The state store of the audience's asset (Airflow 3.3) holds it, so it outlives runs, retries and clears, and users can
read and edit it under ``/api/v2/assets/{asset_id}/state-store``. It has no compare-and-set: the DAGs ensure that each
key has one writer at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from airflow.sdk import Asset
from airflow.sdk.execution_time.context import NEVER_EXPIRE

CAMPAIGN_KEY = "campaign"
AUDIENCE_KEY = "audience"
LAST_LOAD_KEY = "last_load"
LAST_SINGLE_DAY_LOAD = "last_single_day_load"
"""Field of a last load that is a date range: the last load of a single date before it."""
SNAPSHOTS_KEY = "snapshots"
PENDING_LOADS_KEY = "pending_loads"
UPLOAD_LOG_KEY = "upload_log"
ERASURE_UPLOAD_LOG_KEY = "erasure_upload_log"
"""Recent uploads of erasures; those of loads have another key, as each key has one writer."""
RETIRED_KEY = "retired"
"""Record of a retirement. The audience is retired while it exists."""
REOPENED_KEY = "reopened"
"""Set when a retired audience is reopened: its earlier events do not show a lost state."""
LOAD_PREFIX = "load."
"""Start of the keys of confirmed loads, see :func:`load_key`."""

AUDIENCE_PREFIX = "audience/"
SEGMENT_PREFIX = "segment/"
"""Start of the names of assets of audiences and segments."""


class StateStore(Protocol):
    """A key-value store of JSON values; ``None`` is not a value."""

    def get(self, key: str) -> Any:
        """Return the value, or ``None``."""

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite."""

    def delete(self, key: str) -> None:
        """Delete the value, if any."""


def format_period(load_date: str, range_start: str | None = None) -> str:
    """Format the date or date range of a load: ``2026-11-20``, ``2026-11-01..2026-11-20``.

    :param load_date: ISO; the last date of a range.
    :param range_start: ISO, the first date of a range.
    """
    return f"{range_start}..{load_date}" if range_start else load_date


def record_period(record: Mapping[str, Any]) -> str:
    """Format the date or date range of a load's record."""
    return format_period(str(record.get("load_date", "")), record.get("range_start"))


def load_key(period: str, mode: str) -> str:
    """Return the key of a confirmed load.

    :param period: see :func:`format_period`.
    """
    return f"{LOAD_PREFIX}{period}.{mode}"


def load_identity(period: str, mode: str, content_id: str) -> str:
    """Return the identity of a load: date or date range, mode and content.

    :param period: see :func:`format_period`.
    """
    return f"{period} {mode} {content_id}"


def segment_key(target: str, period: str = "") -> str:
    """Return the key of the segment of an activation target.

    :param period: part of the load date in the segment's name, if each period has its own segment.
    """
    return f"segment.{target}.{period}" if period else f"segment.{target}"


def segment_keys_key(target: str) -> str:
    """Return the key of the list of a target's keys with a period, see :func:`segment_key`."""
    return f"segment_keys.{target}"


def rejection_key(target: str) -> str:
    """Return the key of a user's rejection of an activation target."""
    return f"approval_rejected.{target}"


# The URIs below have no scheme: with one, Airflow imports every provider with URI handlers, boto3 among them, in each
# process that creates an asset, which includes every task.


def audience_asset(platform: str, key: str) -> Asset:
    """Return the asset of an audience."""
    return Asset(name=f"{AUDIENCE_PREFIX}{key}", uri=f"audience/{platform}/{key}", group="audience")


def segment_asset(platform: str, key: str, target: str) -> Asset:
    """Return the asset of an activation target's segment; it has an event for each confirmed activation."""
    return Asset(
        name=f"{SEGMENT_PREFIX}{key}/{target}", uri=f"segment/{platform}/{key}/{target}", group="segment"
    )


def audience_key_of(asset: Asset | None) -> str | None:
    """Return the key of an asset's audience, ``None`` for any other asset."""
    if asset is None or not asset.name.startswith(AUDIENCE_PREFIX):
        return None
    return asset.name.removeprefix(AUDIENCE_PREFIX)


def platform_of(uri: str) -> str:
    """Return the platform of an asset of the package by its URI; empty for other assets."""
    return uri.partition("/")[2].partition("/")[0]


def campaign_asset(platform: str, connection: str, name: str) -> Asset:
    """Return the asset of a campaign, which several audiences may share.

    Platform, connection and name identify it: the same name on another account is another campaign.
    """
    return Asset(
        name=f"campaign/{connection}/{name}",
        uri=f"campaign/{platform}/{connection}/{quote(name, safe='')}",
        group="campaign",
    )


def campaign_name_of(asset_name: str) -> str:
    """Return the name of an asset's campaign."""
    return asset_name.split("/", 2)[-1]


def get_state_store(context: Any, asset: Asset | None) -> StateStore:
    """Return the state store of ``asset``, or of the task if it is ``None``.

    A task's own store survives retries and clears of its run; the next run starts with an empty one.
    """
    if asset is None:
        return _TaskStore(context["task_state_store"])
    store: StateStore = context["asset_state_store"][asset]
    return store


class _TaskStore:
    """A task's own state store, without Airflow's retention of 30 days."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.get = store.get
        self.delete = store.delete

    def set(self, key: str, value: Any) -> None:
        self._store.set(key, value, retention=NEVER_EXPIRE)
