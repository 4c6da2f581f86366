"""Audiences of each platform at the sandbox, loaded as the onboarding DAG does, to take people back from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import TaskDeferred

from audience_onboarding.base.snapshot_diff import confirm_snapshot
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.pipelines.common import get_asset, snapshot_location
from audience_onboarding.pipelines.erase import DefinitionCatalog, ErasePersonOperator
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.platforms.digital_audience import (
    DigitalAudienceActivateAudienceOperator,
    DigitalAudienceCreateCampaignOperator,
    DigitalAudienceCreateCrmAudienceOperator,
)
from audience_onboarding.platforms.fanfare import FanfareCreateAudienceOperator
from audience_onboarding.state.store import LAST_LOAD_KEY, load_key, record_period
from scripts.local_stack import Sandbox, wait_for
from tests.fakes import AssetStores, DictStore, task_context

PHONES = {"anna": "0612345678", "ben": "0623456789", "carla": "0634567890"}


def email_hash(name: str) -> str:
    return hashlib.sha256(f"{name}@example.com".encode()).hexdigest()


def phone_hash(name: str) -> str:
    return hashlib.sha256(f"31{PHONES[name][1:]}".encode()).hexdigest()


def defined(
    platform: str, key: str, folder: Path, *, snapshots: bool = True, **more: Any
) -> AudienceDefinition:
    columns = {"email": "E-mail", "phone": "Mobile"}
    values: dict[str, Any] = {
        "key": key,
        "platform": platform,
        "name": f"Audience {key}",
        "owner": "tests",
        "source": {"path": f"{folder}/{key}.csv", "columns": columns},
        "wait": {"poll_interval_seconds": 1},
    }
    if platform == "digital_audience":
        values["campaign"] = {"name": f"Campaign {key}"}
    else:
        values["allow_unhashed"] = True
    if platform == "commbox":
        values["source"]["columns"] = {"phone": "Mobile"}
    if snapshots and platform != "fanfare":
        values["snapshots"] = {"path": str(folder / "state")}
    values.update(more)
    model: type[AudienceDefinition] = get_platform(platform).definition
    return model.model_validate(values)


class World:
    """The audiences, what is remembered of them, and runs of the two DAGs' tasks."""

    def __init__(self, sandbox: Sandbox, folder: Path, definitions: Iterable[AudienceDefinition]) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.by_key = {item.key: item for item in definitions}
        self.stores = AssetStores()
        self.ids: dict[str, Any] = {}
        self.progress: dict[str, DictStore] = {}

    def store(self, key: str) -> DictStore:
        return self.stores[get_asset(self.by_key[key])]

    def context(self, task: str = "", **params: Any) -> dict[str, Any]:
        """Of a task; its own memory is that of earlier tries of the same task."""
        context = task_context(stores=self.stores, **params)
        context["dag_run"].conf = params
        context["dag_run"].triggering_user_name = "anna"
        if task:
            context["task_state_store"] = self.progress.setdefault(task, DictStore())
        return context

    def load(self, key: str, names: Iterable[str], *, day: str = "2026-11-20", **more: Any) -> dict[str, Any]:
        """Load people, by name, to the end."""
        definition = self.by_key[key]
        lines = ["E-mail,Mobile", *(f"{name}@example.com,{PHONES[name]}" for name in names)]
        path = self.folder / f"{key}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        asset, tasks = get_asset(definition), get_platform(definition.platform).tasks
        state = snapshot_location(definition, self.folder)
        operator = tasks.upload(
            definition,
            task_id="upload",
            source=str(path),
            columns=definition.source.columns.by_identifier(),
            profile=definition.file_profile,
            guards=definition.guards,
            snapshots=state,
            audience_id=self.ensured(key),
            mode=more.pop("mode", definition.mode),
            allow_unhashed=definition.allow_unhashed,
            asset=asset,
            load_date=day,
            **more,
        )
        loaded = self.ended(operator, self.context())
        wait = tasks.wait_for_confirmation(definition, upload=loaded, poke_interval=1.0, timeout=60)
        seen = self.ended(wait, self.context())
        record = {**loaded, **seen, "run_id": "manual__1"}
        self.ids[key] = record["audience_id"]
        store = self.store(key)
        store.set(load_key(record_period(record), record["mode"]), record)
        store.set(LAST_LOAD_KEY, record)
        if state is not None:
            confirm_snapshot(record, location=state, store=store)
        return record

    def ensured(self, key: str) -> Any:
        definition = self.by_key[key]
        asset, context = get_asset(definition), self.context()
        if definition.id is not None:
            return definition.id
        if definition.platform == "fanfare":
            return FanfareCreateAudienceOperator(
                task_id="ensure", audience_name=definition.name, asset=asset
            ).execute(context)
        if definition.platform == "commbox":
            return None
        campaign = DigitalAudienceCreateCampaignOperator(task_id="campaign", campaign_name="C").execute(
            context
        )
        return DigitalAudienceCreateCrmAudienceOperator(
            task_id="audience", audience_name=definition.name, campaign_id=campaign, asset=asset
        ).execute(context)

    def segment(self, key: str, name: str) -> int:
        segment = DigitalAudienceActivateAudienceOperator(
            task_id="activate",
            segment_name=name,
            description="for tests",
            audience_id=self.ids[key],
            platform="DV360",
            account_name="Example NL",
        ).execute(self.context())
        assert segment is not None
        return segment

    def ended(self, operator: Any, context: dict[str, Any]) -> dict[str, Any]:
        """Run a task to its end, with what it waits for in the triggerer."""
        method, kwargs = "execute", {}
        while True:
            try:
                result: dict[str, Any] = getattr(operator, method)(context, **kwargs)
            except TaskDeferred as deferred:
                method = deferred.method_name
                kwargs = {"event": seen_by(deferred.trigger), **(deferred.kwargs or {})}
            else:
                return result

    def operator(self, key: str) -> ErasePersonOperator:
        return ErasePersonOperator(
            task_id="erase", audience=key, audiences=DefinitionCatalog(self.by_key, self.folder)
        )

    def conf(self, *names: str, **more: Any) -> dict[str, Any]:
        return {
            "email_sha256": [email_hash(name) for name in names],
            "phone_sha256": [phone_hash(name) for name in names],
            "personal_id_sha256": [],
            "audiences": [],
            "ignore_snapshots": False,
            "dry_run": False,
            **more,
        }

    def erase(self, key: str, *names: str, task: str = "", **more: Any) -> dict[str, Any]:
        """Erase people from one audience, as the mapped task does."""
        return self.ended(
            self.operator(key), self.context(task or f"erase {key}", **self.conf(*names, **more))
        )

    def members(self, key: str) -> list[str]:
        """Who is in the audience at the vendor, by name."""
        definition = self.by_key[key]
        if definition.platform == "commbox":
            found = self.sandbox.admin(f"commbox/audiences/{self.ids[key]}/members")["members"]
            return sorted(name for name, phone in PHONES.items() if f"31{phone[1:]}" in found)
        found = self.sandbox.admin(f"audiences/{self.ids[key]}/members")["members"]
        return sorted(name for name in PHONES if any(email_hash(name) in item.values() for item in found))


def seen_by(trigger: Any) -> dict[str, Any]:
    """What a trigger fires with."""
    client = trigger.hook_class.client_of(_connection(trigger.conn_id))
    found: dict[str, Any] = wait_for(
        lambda: trigger.poll(client).event, "The vendor", timeout=30, interval=0.05
    )
    return found


def _connection(conn_id: str) -> Any:
    from airflow.sdk import BaseHook

    return BaseHook.get_connection(conn_id)


def hashes_in(value: Any) -> list[str]:
    """The hashes of the people that appear in something."""
    text = repr(value)
    return [made for name in PHONES for made in (email_hash(name), phone_hash(name)) if made in text]


def values_of(stores: AssetStores, progress: Mapping[str, DictStore]) -> dict[str, Any]:
    """All that is remembered."""
    return {
        **{name: store.values for name, store in stores.stores.items()},
        **{name: store.values for name, store in progress.items()},
    }
