"""CommBox in memory, and an audience with the two tasks of its DAG that matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.base.snapshot_diff import SnapshotLocation
from audience_onboarding.exceptions import ConfigurationError, NotFoundError, RequestRejectedError
from audience_onboarding.http import FileContent
from audience_onboarding.pipelines import build_onboarding_dag, onboard
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.models import Audience
from audience_onboarding.platforms.commbox.operators import CommBoxOnboardCrmOperator
from audience_onboarding.platforms.commbox.sensors import CommBoxUserCountSensor
from audience_onboarding.state.store import audience_asset
from audience_onboarding.storage import snapshot_files
from tests.fakes import task_context
from tests.unit.effects import Effects, JsonStore, JsonStores
from tests.unit.pipelines.conftest import function_of
from tests.unit.platforms.commbox.conftest import static
from tests.unit.platforms.kits import COMMBOX, as_stored

ASSET = audience_asset("commbox", "alerts")
NAME = "Service alerts"
MONDAY, TUESDAY, WEDNESDAY = "2026-11-16", "2026-11-17", "2026-11-18"
PHONE = "061234567"
"""Each of the people is a digit, which follows."""


class Vendor:
    """Audiences in memory.

    :ivar fails: errors of the next changes, each with whether the change was carried out all the same.
    """

    def __init__(self, effects: Effects) -> None:
        self.settings = COMMBOX.settings
        self.effects = effects
        self.audiences: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.names: list[str] = []
        self.fails: list[tuple[Exception, bool]] = []
        self.changes: list[str] = []
        self.hidden = False

    check_static = staticmethod(CommBoxClient.check_static)

    def list_audiences(self) -> list[Audience]:
        shown = [] if self.hidden else self.audiences.values()
        return [Audience.model_validate(item) for item in shown]

    def load_audience(self, audience_id: str) -> Audience:
        for audience in self.list_audiences():
            if audience.id == audience_id:
                return audience
        raise NotFoundError(
            what=f"There is no audience {audience_id}", where="the list", next_step="Check that it exists"
        )

    def find_audience(self, name: str) -> Audience | None:
        found = [audience for audience in self.list_audiences() if audience.name == name]
        if len(found) > 1:
            raise ConfigurationError(what=f"{len(found)} audiences are called {name!r}")
        return self.check_static(found[0]) if found else None

    def create_audience(self, *, name: str, file: FileContent) -> str:
        audience_id = str(31234 + len(self.audiences))

        def do() -> None:
            self.audiences[audience_id] = static(audience_id, name)
            self._take(audience_id, file)

        self._change(f"POST {name}", do)
        return audience_id

    def replace_audience(self, audience_id: str, *, file: FileContent) -> str:
        if self.audiences[audience_id]["type"] != "Static":
            raise RequestRejectedError(what="It is dynamic", status=400)
        self._change(f"PUT {audience_id}", lambda: self._take(audience_id, file))
        return audience_id

    def _change(self, name: str, do: Callable[[], None]) -> None:
        self.changes.append(name)
        error, carried_out = self.fails.pop(0) if self.fails else (None, True)
        self.effects.before("request")
        if carried_out:
            do()
        self.effects.after()
        if error is not None:
            raise error

    def _take(self, audience_id: str, file: FileContent) -> None:
        content = b"".join(file.chunks())
        assert len(content) == file.size
        assert file.content_type == "text/csv"
        self.names.append(file.name)
        self.files[audience_id] = content
        self.audiences[audience_id]["user_count"] = content.count(b"\r\n") - 1

    def has(self, *audiences: dict[str, Any]) -> None:
        """Let the vendor have audiences that others have created."""
        self.audiences = {item["id"]: item for item in audiences}

    @property
    def people(self) -> str:
        """The digits of the people in the only audience that has a list."""
        (content,) = self.files.values()
        header, *lines = content.decode().split("\r\n")[:-1]
        assert header == "phone1"
        assert {line[:-1] for line in lines} <= {f"31{PHONE[1:]}"}
        return "".join(line[-1] for line in lines)


class World:
    """An audience, its extracts and what is remembered of it.

    :param with_state: whether its definition has a folder of snapshots.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, with_state: bool) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.effects = Effects()
        self.stores = JsonStores(self.effects)
        self.vendor = Vendor(self.effects)
        self.state = SnapshotLocation(str(folder / "state" / "alerts")) if with_state else None
        self.context: Any = task_context(stores=self.stores)
        monkeypatch.setattr(CommBoxHook, "client", property(lambda hook: self.vendor))
        monkeypatch.setattr(onboard, "get_current_context", lambda: self.context)
        for name in ("save_snapshot", "delete_snapshot"):
            monkeypatch.setattr(
                snapshot_files, name, self.effects.counted(name, getattr(snapshot_files, name))
            )
        definition = CommBoxDefinition.model_validate(
            {
                "key": "alerts",
                "platform": "commbox",
                "name": NAME,
                "owner": "crm-team",
                "allow_unhashed": True,
                "source": {"path": "{load_date}.csv", "columns": {"phone": "Phone"}},
                "snapshots": {"path": "state"} if with_state else None,
            }
        )
        self.record_load = function_of(build_onboarding_dag(definition, base=folder), "record_load")

    @property
    def store(self) -> JsonStore:
        return self.stores[ASSET]

    def write(self, day: str, people: str) -> None:
        rows = "".join(f"{PHONE}{digit}\n" for digit in people)
        (self.folder / f"{day}.csv").write_text(f"Phone\n{rows}")

    def operator(self, day: str, mode: str = "replace", **changes: Any) -> CommBoxOnboardCrmOperator:
        """Make the operator; each time another one, as each try is a process of its own."""
        return CommBoxOnboardCrmOperator(
            **{
                "task_id": "upload",
                "audience_name": NAME,
                "source": str(self.folder / "{load_date}.csv"),
                "columns": {"phone": "Phone"},
                "allow_unhashed": True,
                "asset": ASSET,
                "load_date": day,
                "mode": mode,
                "snapshots": self.state,
                "memory_limit_mib": 128,
                **changes,
            }
        )

    def send(
        self, day: str = MONDAY, people: str | None = None, mode: str = "replace", **changes: Any
    ) -> dict[str, Any]:
        """Run the task that sends; without ``people``, the file stays as it is."""
        if people is not None:
            self.write(day, people)
        found: dict[str, Any] = as_stored(self.operator(day, mode, **changes).execute(self.context))
        return found

    def confirm(self, load: dict[str, Any]) -> dict[str, Any]:
        """Run the tasks that wait and record."""
        sensor = CommBoxUserCountSensor(task_id="wait", upload=load)
        seen = sensor.early_result()
        if seen is None:
            event = sensor.trigger(deadline=0).poll(self.vendor).event  # type: ignore[arg-type]
            assert event is not None
            seen = event["result"]
        found: dict[str, Any] = self.record_load(load, seen)
        return found

    def run(self, day: str, people: str, mode: str = "replace", **changes: Any) -> dict[str, Any]:
        return self.confirm(self.send(day, people, mode, **changes))

    @property
    def people(self) -> str:
        return self.vendor.people

    def taken_in(self) -> None:
        """CommBox takes a list in at once."""

    def files(self) -> list[str]:
        """The snapshots, by day."""
        folder = Path(self.state.folder) if self.state else self.folder / "none"
        return sorted(path.name[:10] for path in folder.iterdir()) if folder.exists() else []
