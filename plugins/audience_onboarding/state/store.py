"""What an audience remembers over its runs: remote ids, intents, confirmed loads.

It lies in the state store of the audience's asset (Airflow 3.3), so it outlives runs, retries and clears, and a
person can read and edit it under ``/api/v2/assets/{asset_id}/state-store``. There is no compare-and-set: each key
has one writer at a time, which the DAGs see to.
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
"""In the record of the last load, where that was a range of days: the last one before it that was about one day."""
SNAPSHOTS_KEY = "snapshots"
PENDING_LOADS_KEY = "pending_loads"
UPLOAD_LOG_KEY = "upload_log"
ERASURE_UPLOAD_LOG_KEY = "erasure_upload_log"
"""Files of erasures that were put of late; those of loads have a key of their own, as each key has one writer."""
RETIRED_KEY = "retired"
"""The record of a retirement; as long as it is there, the audience is retired."""
LOAD_PREFIX = "load."
"""How the keys of confirmed loads begin, see :func:`load_key`."""

AUDIENCE_PREFIX = "audience/"
SEGMENT_PREFIX = "segment/"
"""How the names of assets begin that stand for audiences, and for segments."""


class StateStore(Protocol):
    """A key-value store of JSON values; ``None`` is not a value."""

    def get(self, key: str) -> Any:
        """The value, or ``None``."""

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite."""

    def delete(self, key: str) -> None:
        """Forget; nothing happens where there is nothing."""


def format_period(load_date: str, range_start: str | None = None) -> str:
    """The day that a load is about, or its range of days: ``2026-11-20``, ``2026-11-01..2026-11-20``.

    :param load_date: ISO; of a range, the last day.
    :param range_start: ISO, the first day of a range.
    """
    return f"{range_start}..{load_date}" if range_start else load_date


def record_period(record: Mapping[str, Any]) -> str:
    """What :func:`format_period` says of the record of a load."""
    return format_period(str(record.get("load_date", "")), record.get("range_start"))


def load_key(days: str, mode: str) -> str:
    """The key of one confirmed load.

    :param days: as :func:`format_period` gives it.
    """
    return f"{LOAD_PREFIX}{days}.{mode}"


def load_identity(days: str, mode: str, content_id: str) -> str:
    """What tells a load from any other: the same list of the same day, doing the same.

    :param days: as :func:`format_period` gives it.
    """
    return f"{days} {mode} {content_id}"


def segment_key(target: str, period: str = "") -> str:
    """The key of the segment of one activation target.

    :param period: the part of the load date that the segment's name holds, where each has a segment of its own.
    """
    return f"segment.{target}.{period}" if period else f"segment.{target}"


def segment_keys_key(target: str) -> str:
    """The key of the list of a target's keys that belong to a period, see :func:`segment_key`."""
    return f"segment_keys.{target}"


def rejection_key(target: str) -> str:
    """The key of a person's refusal to activate one target."""
    return f"approval_rejected.{target}"


# The URIs below have no scheme: with one, Airflow loads every provider that knows URIs, boto3 among them, in each
# process that makes an asset, which is the start of every task.


def audience_asset(platform: str, key: str) -> Asset:
    """The asset that stands for an audience."""
    return Asset(name=f"{AUDIENCE_PREFIX}{key}", uri=f"audience/{platform}/{key}", group="audience")


def segment_asset(platform: str, key: str, target: str) -> Asset:
    """The asset that stands for the segment of one activation target; has an event each time it is seen active.

    :param key: of the audience.
    :param target: key of the target.
    """
    return Asset(
        name=f"{SEGMENT_PREFIX}{key}/{target}", uri=f"segment/{platform}/{key}/{target}", group="segment"
    )


def audience_key_of(asset: Asset | None) -> str | None:
    """The key of the audience that an asset stands for, ``None`` for any other asset."""
    if asset is None or not asset.name.startswith(AUDIENCE_PREFIX):
        return None
    return asset.name.removeprefix(AUDIENCE_PREFIX)


def platform_of(uri: str) -> str:
    """The platform that an asset of the package is on, by its URI; empty for the URI of another asset."""
    return uri.partition("/")[2].partition("/")[0]


def campaign_asset(platform: str, connection: str, name: str) -> Asset:
    """The asset that stands for a campaign, which several audiences may share.

    It is told by platform, connection and name: the same name on another account is another campaign.
    """
    return Asset(
        name=f"campaign/{connection}/{name}",
        uri=f"campaign/{platform}/{connection}/{quote(name, safe='')}",
        group="campaign",
    )


def campaign_name_of(asset_name: str) -> str:
    """The name of the campaign that an asset of this name stands for."""
    return asset_name.split("/", 2)[-1]


def get_state_store(context: Any, asset: Asset | None) -> StateStore:
    """The memory of ``asset``, or of the task itself where there is no asset.

    A task's own memory survives retries and clears of its run, but the next run starts without it.
    """
    if asset is None:
        return _TaskStore(context["task_state_store"])
    store: StateStore = context["asset_state_store"][asset]
    return store


class _TaskStore:
    """A task's own state store, without the thirty days after which Airflow would forget."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.get = store.get
        self.delete = store.delete

    def set(self, key: str, value: Any) -> None:
        self._store.set(key, value, retention=NEVER_EXPIRE)
