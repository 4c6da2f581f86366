"""Load audiences from Airflow's metadata database, limited to those that the user may read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.configuration import conf
from airflow.models.dag import DagModel
from sqlalchemy.orm import Session

from audience_onboarding.dag_ids import ONBOARDING_NAME, RETIRE_DAG_ID, activation_dag_id, onboarding_dag_id
from audience_onboarding.state.store import (
    AUDIENCE_PREFIX,
    CAMPAIGN_KEY,
    SEGMENT_PREFIX,
    campaign_name_of,
    format_period,
    platform_of,
)
from audience_onboarding.ui import queries
from audience_onboarding.ui.health import BLOCKING_ERRORS
from audience_onboarding.ui.models import Health, Segment
from audience_onboarding.ui.stored_records import (
    Extension,
    Intent,
    LoadSummary,
    StoredState,
    as_date,
    as_mapping,
    as_text,
    parse_extensions,
    parse_json,
    segment_of_event,
)


class Reader:
    """The user who reads the page, with the permissions that Airflow grants."""

    def __init__(self, user: Any, session: Any) -> None:
        self._user = user
        self._session = session
        self._manager: Any = get_auth_manager()

    def readable(self, dag_ids: set[str]) -> set[str]:
        """Return those of the DAGs in Airflow's database that the user may read."""
        allowed: set[str] = self._manager.get_authorized_dag_ids(
            user=self._user, method="GET", session=self._session
        )
        return dag_ids & allowed

    def readable_deleted(self, dag_ids: set[str]) -> set[str]:
        """Return those of the deleted DAGs that the user may read; with teams none, because their team is unknown."""
        if not dag_ids or conf.getboolean("core", "multi_team", fallback=False):
            return set()
        allowed: set[str] = self._manager.filter_authorized_dag_ids(
            dag_ids=dag_ids, user=self._user, method="GET"
        )
        return dag_ids & allowed

    def triggerable(self, dag_ids: set[str]) -> set[str]:
        """Return those of the DAGs that the user may trigger."""
        teams = DagModel.get_dag_id_to_team_name_mapping(sorted(dag_ids), session=self._session)
        return {
            dag_id
            for dag_id in dag_ids
            if self._manager.is_authorized_dag(
                method="POST",
                access_entity=DagAccessEntity.RUN,
                details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
                user=self._user,
            )
        }


@dataclass(frozen=True)
class Run:
    """A run of a DAG."""

    id: int
    run_id: str
    state: str
    run_after: datetime
    start_date: datetime | None
    end_date: datetime | None
    partition_key: str | None
    conf: Mapping[str, Any]

    @classmethod
    def from_row(cls, row: Any) -> Run:
        """Read a row of :mod:`.queries`."""
        return cls(
            id=row.id,
            run_id=row.run_id,
            state=str(row.state or ""),
            run_after=row.run_after,
            start_date=row.start_date,
            end_date=row.end_date,
            partition_key=row.partition_key,
            conf=as_mapping(row.conf),
        )

    @property
    def _requested_date(self) -> date | None:
        return as_date(self.conf.get("load_date")) or as_date(self.partition_key)

    @property
    def load_date(self) -> date:
        """Load date; an estimate until the load is confirmed."""
        return self._requested_date or self.run_after.date()

    @property
    def period(self) -> str | None:
        """Load date or date range, as in the key of its load; ``None`` if the run has no load date."""
        last, first = self._requested_date, as_date(self.conf.get("range_start"))
        return format_period(str(last), str(first) if first else None) if last else None

    @property
    def is_dry_run(self) -> bool:
        """Whether the run changes nothing."""
        return self.conf.get("dry_run") is True


@dataclass(frozen=True)
class TaskFailure:
    """Failure that a task recorded; ``error`` is the class name, empty if unknown."""

    task_id: str
    error: str


@dataclass(frozen=True)
class Approval:
    """A task that waits for an approval."""

    dag_id: str
    run_id: str
    task_id: str
    since: datetime | None


@dataclass
class Audience:
    """An audience without its load history.

    :param is_dag_missing: its DAG is not in Airflow's DAG bag.
    :param has_dag_row: its DAG is in Airflow's database.
    :param runs: newest run per kind, see :func:`.queries.newest_runs`.
    :param failures: of the newest failed run.
    :param segments: merged from all sources; these and the fields below are set with the health.
    """

    asset_id: int
    key: str
    platform: str
    dag_id: str
    is_dag_missing: bool
    has_dag_row: bool = True
    is_paused: bool = False
    owner: str | None = None
    display_name: str | None = None
    description: str | None = None
    next_run: datetime | None = None
    is_active: bool = False
    state: StoredState = field(default_factory=StoredState)
    campaign: str | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    failures: list[TaskFailure] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    segment_events: list[Segment] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    days_to_expiry: int | None = None
    health: Health = Health.OK
    reason: str = ""

    @property
    def title(self) -> str:
        """Display name."""
        name = self.display_name or ""
        if name.startswith(ONBOARDING_NAME):
            return name.removeprefix(ONBOARDING_NAME)
        return self.state.name or (self.state.retired and self.state.retired.name) or self.key

    @property
    def last(self) -> LoadSummary | None:
        """The last confirmed load."""
        return self.state.last

    @property
    def exists(self) -> bool:
        """Whether it has a definition, or was created at the vendor."""
        state = self.state
        return not self.is_dag_missing or bool(state.vendor_id or state.last or state.intents)

    @property
    def precedence(self) -> tuple[bool, bool, int]:
        """Rank among assets of the same key."""
        return not self.is_dag_missing, self.is_active, self.asset_id


class AudienceLoader:
    """Loads audiences with a fixed number of queries.

    :param key: of a single audience; ``None`` loads all.
    """

    def __init__(self, session: Session, key: str | None = None) -> None:
        self._session = session
        self._key = key

    def _query(self, statement: Callable[..., queries.Statement], parameters: dict[str, Any]) -> Any:
        """Query all audiences, or the one of the ``parameters``."""
        one = self._key is not None
        return self._session.execute(statement(one=one), parameters if one else None)

    def load(self) -> list[Audience]:
        """Load all existing audiences, unordered."""
        audiences = self.load_assets()
        if not audiences:
            return []
        by_asset = {item.asset_id: item for item in audiences.values()}
        parameters = {queries.ASSET_ID: next(iter(by_asset))}
        for statement in (queries.audience_entries, queries.segment_entries):
            for asset_id, key, value in self._query(statement, parameters):
                if asset_id in by_asset:
                    by_asset[asset_id].state.add(key, value)
        by_dag = {item.dag_id: item for item in audiences.values()}
        self._add_campaigns(by_dag)
        self._add_runs(by_dag)
        self._add_approvals(audiences)
        self._add_segments(audiences)
        return [item for item in audiences.values() if item.exists]

    def load_assets(self) -> dict[str, Audience]:
        """Load the audiences by key, with the data of their assets and DAGs only."""
        parameters = {queries.NAME: f"{AUDIENCE_PREFIX}{self._key}"}
        audiences: dict[str, Audience] = {}
        for row in self._query(queries.audiences, parameters):
            key = row.name.removeprefix(AUDIENCE_PREFIX)
            if not key or key == row.name:
                continue
            is_dag_missing = row.dag_id is None or bool(row.is_stale)
            item = Audience(
                asset_id=row.id,
                key=key,
                platform=platform_of(row.uri),
                dag_id=row.dag_id or onboarding_dag_id(key),
                is_dag_missing=is_dag_missing,
                has_dag_row=row.dag_id is not None,
                is_paused=bool(row.is_paused),
                owner=as_text(row.owners),
                display_name=as_text(row.display_name),
                description=as_text(row.description),
                next_run=None if is_dag_missing else row.next_dagrun_create_after,
                is_active=bool(row.is_active),
            )
            # A definition that moved to another platform leaves an asset behind.
            if key not in audiences or item.precedence > audiences[key].precedence:
                audiences[key] = item
        return audiences

    def _add_campaigns(self, by_dag: Mapping[str, Audience]) -> None:
        for dag_id, name, value in self._query(queries.campaigns, {queries.DAG_ID: next(iter(by_dag))}):
            if dag_id not in by_dag:
                continue
            by_dag[dag_id].campaign = campaign_name_of(name)
            intent = Intent.parse(CAMPAIGN_KEY, parse_json(value))
            if intent is not None:
                by_dag[dag_id].state.intents.insert(0, intent)

    def _add_runs(self, by_dag: Mapping[str, Audience]) -> None:
        failed: dict[int, Audience] = {}
        for row in self._query(queries.newest_runs, {queries.DAG_ID: next(iter(by_dag))}):
            item = by_dag.get(row.dag_id)
            if item is None:
                continue
            item.runs[row.kind] = Run.from_row(row)
            if row.kind == queries.FAILED:
                failed[row.id] = item
        for dag_run_id, failures in load_failures(self._session, failed).items():
            failed[dag_run_id].failures = failures

    def _add_approvals(self, audiences: Mapping[str, Audience]) -> None:
        activations = {activation_dag_id(key): item for key, item in audiences.items()}
        for row in self._session.execute(queries.approvals()):
            if row.dag_id == RETIRE_DAG_ID:
                item = audiences.get(str(as_mapping(row.conf).get("audience")))
            else:
                item = activations.get(row.dag_id)
            if item is not None:
                item.approvals.append(Approval(row.dag_id, row.run_id, row.task_id, row.created_at))

    def _add_segments(self, audiences: Mapping[str, Audience]) -> None:
        if self._key:
            pattern = queries.like_pattern(f"{SEGMENT_PREFIX}{self._key}/")
            events = self._session.execute(queries.segment_events(), {queries.PREFIX: pattern})
        else:
            events = self._session.execute(queries.newest_segment_events())
        for name, extra in events:
            key, _, target = name.removeprefix(SEGMENT_PREFIX).rpartition("/")
            if key in audiences:
                audiences[key].segment_events.append(segment_of_event(target, extra))
        reports = [value for (value,) in self._session.execute(queries.extension_reports())]
        for value in reversed(reports):
            for extension in parse_extensions(parse_json(value)):
                if extension.audience in audiences:
                    audiences[extension.audience].extensions.append(extension)


def load_failures(session: Session, run_ids: Iterable[int]) -> dict[int, list[TaskFailure]]:
    """Load the recorded task failures of runs, by :attr:`Run.id`."""
    failures: dict[int, list[TaskFailure]] = defaultdict(list)
    rows = session.execute(queries.task_failures(), {queries.RUN_IDS: list(run_ids)})
    for run_id, task_id, value in rows:
        error = as_text(as_mapping(parse_json(value)).get("error"))
        failures[run_id].append(TaskFailure(task_id, error or ""))
    return failures


def root_failure(failures: Sequence[TaskFailure]) -> TaskFailure:
    """Return the failure that ended a run; the others are its consequences."""
    return max(
        failures,
        key=lambda failure: (failure.error in BLOCKING_ERRORS, bool(failure.error)),
        default=TaskFailure("", ""),
    )


def select_readable(items: Collection[Audience], reader: Reader) -> list[Audience]:
    """Return the audiences whose DAG the user may read, with the approvals that they may see."""
    approving = {approval.dag_id for item in items for approval in item.approvals}
    allowed = reader.readable({item.dag_id for item in items} | approving)
    deleted = reader.readable_deleted({item.dag_id for item in items if not item.has_dag_row})
    for item in items:
        item.approvals = [approval for approval in item.approvals if approval.dag_id in allowed]
    return [item for item in items if item.dag_id in (allowed if item.has_dag_row else deleted)]
