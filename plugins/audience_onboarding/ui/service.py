"""The answers of the page, put together from what the database told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy.orm import Session

from audience_onboarding.dag_ids import (
    ERASE_DAG_ID,
    LOAD_RANGE_DAG_ID,
    ONBOARDING_NAME,
    RESOLVE_CREATE_DAG_ID,
    RETIRE_DAG_ID,
    SET_END_DATE_DAG_ID,
    activation_dag_id,
    onboarding_dag_id,
)
from audience_onboarding.state.create_once import SETTLE_AFTER
from audience_onboarding.state.store import (
    AUDIENCE_PREFIX,
    CAMPAIGN_KEY,
    SEGMENT_PREFIX,
    campaign_name_of,
    days_text,
    platform_of,
)
from audience_onboarding.timestamps import format_utc
from audience_onboarding.ui import queries
from audience_onboarding.ui.health import STOPPING_ERRORS, Ended, Facts, Scheduled, judge
from audience_onboarding.ui.links import Hrefs, objects_of, rejects_of
from audience_onboarding.ui.models import (
    Action,
    AudienceDetail,
    AudienceList,
    AudienceRow,
    Health,
    Link,
    LoadList,
    LoadRow,
    Rate,
    RunRow,
    Segment,
    SparkPoint,
)
from audience_onboarding.ui.stored_records import (
    Brief,
    Extended,
    Intent,
    Load,
    LoadKey,
    Remembered,
    SegmentFacts,
    SegmentNews,
    best_of,
    best_rate_in,
    day_of,
    extended_of,
    intent_of,
    mapping,
    parsed,
    text_of,
)

SORTS = (
    "key", "title", "platform", "state", "last_load_date", "rows_sent", "match_rate", "segments", "days_to_end",
    "next_run", "health",
)  # fmt: skip
"""What the table can be sorted by."""

MAX_RECENT = 10
"""Runs without a confirmed load that are shown."""

LOOKED_AT_RUNS = 30
"""Runs among which these are looked for."""

_URGENCY = {health: number for number, health in enumerate(Health)}


class Reader(Protocol):
    """Who asks, and what Airflow lets them do."""

    def readable(self, dag_ids: set[str]) -> set[str]:
        """Those of the DAGs that Airflow knows that the reader may read."""

    def readable_gone(self, dag_ids: set[str]) -> set[str]:
        """Those of the DAGs that Airflow does not know any more that the reader might read."""

    def triggerable(self, dag_ids: set[str]) -> set[str]:
        """Those that the reader may start a run of."""


@dataclass(frozen=True)
class Run:
    """One of the newest runs of a DAG."""

    id: int
    run_id: str
    state: str
    run_after: datetime
    start_date: datetime | None
    end_date: datetime | None
    partition_key: str | None
    conf: Mapping[str, Any]

    @property
    def _given_day(self) -> date | None:
        return day_of(self.conf.get("load_date")) or day_of(self.partition_key)

    @property
    def day(self) -> date:
        """Its load date, as far as that can be known before it is confirmed."""
        return self._given_day or self.run_after.date()

    @property
    def days(self) -> str | None:
        """Its load date or range of days, as the key of its load has it; ``None`` where it was given none."""
        last, first = self._given_day, day_of(self.conf.get("range_start"))
        return days_text(str(last), str(first) if first else None) if last else None

    @property
    def is_dry(self) -> bool:
        """Whether it was to change nothing."""
        return self.conf.get("dry_run") is True


@dataclass(frozen=True)
class Stop:
    """What a failed task has noted of its failure."""

    task_id: str
    error: str


@dataclass(frozen=True)
class Approval:
    """A task that waits for a person to approve of something."""

    dag_id: str
    run_id: str
    task_id: str
    since: datetime | None


@dataclass
class Audience:
    """All that is known of an audience, but its loads."""

    asset_id: int
    key: str
    platform: str
    dag_id: str
    is_gone: bool
    has_dag_row: bool = True
    is_paused: bool = False
    owner: str | None = None
    display_name: str | None = None
    description: str | None = None
    next_run: datetime | None = None
    is_active: bool = False
    memory: Remembered = field(default_factory=Remembered)
    campaign: str | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    stops: list[Stop] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    news: list[SegmentNews] = field(default_factory=list)
    extended: list[Extended] = field(default_factory=list)
    segments: list[SegmentFacts] = field(default_factory=list)
    days_to_end: int | None = None
    health: Health = Health.OK
    reason: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        name = self.display_name or ""
        if name.startswith(ONBOARDING_NAME):
            return name.removeprefix(ONBOARDING_NAME)
        return self.memory.name or (self.memory.retired and self.memory.retired.name) or self.key

    @property
    def last(self) -> Brief | None:
        """Its last confirmed load."""
        return self.memory.last

    @property
    def is_known(self) -> bool:
        """Whether there is anything to be told of it: a definition, or what one has left behind."""
        memory = self.memory
        return not self.is_gone or bool(memory.vendor_id or memory.last or memory.intents)

    @property
    def best_rate(self) -> float | None:
        """The highest match rate of the last load."""
        return best_of(self.last.match_rates) if self.last else None


class Gathering:
    """Asks the database for audiences, a fixed number of times.

    :param key: of the one audience that is asked for; without it, all.
    """

    def __init__(self, session: Session, key: str | None = None) -> None:
        self._session = session
        self._key = key

    def _ask(self, statement: Callable[..., queries.Statement], given: dict[str, Any]) -> Any:
        """Ask for all audiences, or for the one that is ``given``."""
        one = self._key is not None
        return self._session.execute(statement(one=one), given if one else None)

    def audiences(self) -> list[Audience]:
        """All that are known, in no order."""
        found = self.assets()
        if not found:
            return []
        by_asset = {item.asset_id: item for item in found.values()}
        given = {queries.ASSET_ID: next(iter(by_asset))}
        for statement in (queries.memory, queries.segments):
            for owner, key, value in self._ask(statement, given):
                if owner in by_asset:
                    by_asset[owner].memory.take(key, value)
        by_dag = {item.dag_id: item for item in found.values()}
        self._campaigns(by_dag)
        self._runs(by_dag)
        self._approvals(found)
        self._segments(found)
        return [item for item in found.values() if item.is_known]

    def assets(self) -> dict[str, Audience]:
        """The audiences by key, as far as assets and DAGs tell."""
        given = {queries.NAME: f"{AUDIENCE_PREFIX}{self._key}"}
        found: dict[str, Audience] = {}
        for row in self._ask(queries.audiences, given):
            key = row.name.removeprefix(AUDIENCE_PREFIX)
            if not key or key == row.name:
                continue
            is_gone = row.dag_id is None or bool(row.is_stale)
            item = Audience(
                asset_id=row.id,
                key=key,
                platform=platform_of(row.uri),
                dag_id=row.dag_id or onboarding_dag_id(key),
                is_gone=is_gone,
                has_dag_row=row.dag_id is not None,
                is_paused=bool(row.is_paused),
                owner=text_of(row.owners),
                display_name=text_of(row.display_name),
                description=text_of(row.description),
                next_run=None if is_gone else row.next_dagrun_create_after,
                is_active=bool(row.is_active),
            )
            before = found.get(key)
            # A definition that was moved to another platform has left an asset behind.
            if before is None or _precedence(item) > _precedence(before):
                found[key] = item
        return found

    def _campaigns(self, by_dag: Mapping[str, Audience]) -> None:
        given = {queries.DAG_ID: next(iter(by_dag))}
        for dag_id, name, value in self._ask(queries.campaigns, given):
            if dag_id not in by_dag:
                continue
            by_dag[dag_id].campaign = campaign_name_of(name)
            intent = intent_of(CAMPAIGN_KEY, parsed(value))
            if intent is not None:
                by_dag[dag_id].memory.intents.insert(0, intent)

    def _runs(self, by_dag: Mapping[str, Audience]) -> None:
        given = {queries.DAG_ID: next(iter(by_dag))}
        failed: dict[int, Audience] = {}
        for row in self._ask(queries.newest_runs, given):
            item = by_dag.get(row.dag_id)
            if item is None:
                continue
            item.runs[row.kind] = _run_of(row)
            if row.kind == queries.FAILED:
                failed[row.id] = item
        for dag_run_id, stops in _stops_of(self._session, failed).items():
            failed[dag_run_id].stops = stops

    def _approvals(self, found: Mapping[str, Audience]) -> None:
        activations = {activation_dag_id(key): item for key, item in found.items()}
        for row in self._session.execute(queries.approvals()):
            if row.dag_id == RETIRE_DAG_ID:
                item = found.get(str(mapping(row.conf).get("audience")))
            else:
                item = activations.get(row.dag_id)
            if item is not None:
                item.approvals.append(Approval(row.dag_id, row.run_id, row.task_id, row.created_at))

    def _segments(self, found: Mapping[str, Audience]) -> None:
        if self._key:
            prefix = queries.like(f"{SEGMENT_PREFIX}{self._key}/")
            told = self._session.execute(queries.segment_history(), {queries.PREFIX: prefix})
        else:
            told = self._session.execute(queries.segment_news())
        for name, extra in told:
            key, _, target = name.removeprefix(SEGMENT_PREFIX).rpartition("/")
            if key in found:
                found[key].news.append(SegmentNews.of_event(target, extra))
        reports = [value for (value,) in self._session.execute(queries.extension_reports())]
        for value in reversed(reports):
            for seen in extended_of(parsed(value)):
                if seen.audience in found:
                    found[seen.audience].extended.append(seen)


def _precedence(item: Audience) -> tuple[bool, bool, int]:
    return not item.is_gone, item.is_active, item.asset_id


def _run_of(row: Any) -> Run:
    return Run(
        id=row.id,
        run_id=row.run_id,
        state=str(row.state or ""),
        run_after=row.run_after,
        start_date=row.start_date,
        end_date=row.end_date,
        partition_key=row.partition_key,
        conf=mapping(row.conf),
    )


def _stops_of(session: Session, run_ids: Iterable[int]) -> dict[int, list[Stop]]:
    """What the failed tasks of runs have noted, by the run's number."""
    found: dict[int, list[Stop]] = defaultdict(list)
    for run_id, task_id, value in session.execute(queries.stops(), {queries.RUN_IDS: list(run_ids)}):
        error = text_of(mapping(parsed(value)).get("error"))
        found[run_id].append(Stop(task_id, error or ""))
    return found


def _telling(stops: Sequence[Stop]) -> Stop:
    """The one that says why a run has ended; others fail only because of it."""
    return max(
        stops, key=lambda stop: (stop.error in STOPPING_ERRORS, bool(stop.error)), default=Stop("", "")
    )


def finish(item: Audience, now: datetime) -> None:
    """Work out what follows from what is known: segments, their days, health."""
    today = now.date()
    item.segments = item.memory.segments_now(item.news, item.extended)
    running = [(left, segment) for segment in item.segments if (left := segment.days_left(today)) is not None]
    left, first = min(
        ((left, segment) for left, segment in running if left >= 0),
        key=lambda pair: pair[0],
        default=(None, None),
    )
    item.days_to_end = left
    ends = None
    if first is not None and first.end is not None:
        ends = (first.end, repr(first.name or first.target))
    item.health, item.reason = judge(_facts(item, now, ends))


def _facts(item: Audience, now: datetime, ends: tuple[date, str] | None) -> Facts:
    last, retired = item.last, item.memory.retired
    running = item.runs.get(queries.RUNNING) or item.runs.get(queries.QUEUED)
    scheduled = item.runs.get(queries.SCHEDULED)
    return Facts(
        now=now,
        waiting=tuple(_unclear(item, now)) + tuple(map(_awaited, item.approvals)),
        is_retired=retired is not None,
        retired_at=retired.at if retired else None,
        is_gone=item.is_gone,
        is_paused=item.is_paused,
        next_run=item.next_run,
        load_date=last.load_date if last else None,
        confirmed_at=last.confirmed_at if last else None,
        failed=_failed(item),
        scheduled=Scheduled(scheduled.day, scheduled.state, scheduled.run_after) if scheduled else None,
        is_running=running is not None,
        running_since=running.start_date if running else None,
        ends=ends,
    )


def _failed(item: Audience) -> Ended | None:
    run = item.runs.get(queries.FAILED)
    if run is None or run.is_dry:
        return None
    stop = _telling(item.stops)
    return Ended(run.run_id, run.day, run.end_date, stop.error, stop.task_id)


def _is_unclear(intent: Intent, now: datetime) -> bool:
    """A request that is under way leaves an intent for a moment, too."""
    return intent.has_ended or intent.at is None or now - intent.at > SETTLE_AFTER


def _unclear(item: Audience, now: datetime) -> Iterable[str]:
    for intent in item.memory.intents:
        if _is_unclear(intent, now):
            at = f" {format_utc(intent.at)}" if intent.at else ""
            yield (
                f"It is unclear whether the {intent.what} was created{at}; "
                "look into the vendor's portal, then settle it"
            )


def _awaited(approval: Approval) -> str:
    since = f" since {format_utc(approval.since)}" if approval.since else ""
    what = "The retirement" if approval.dag_id == RETIRE_DAG_ID else "An activation"
    return f"{what} waits for an approval{since}; approve or reject it"


# --- the table ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What the reader has asked for."""

    search: str = ""
    platforms: Collection[str] = ()
    health: Collection[Health] = ()
    owners: Collection[str] = ()
    sort: str = "health"
    limit: int = 50
    offset: int = 0


def readable_only(items: Sequence[Audience], reader: Reader) -> list[Audience]:
    """Those whose DAG the reader may read, with the approvals that they may see."""
    approving = {approval.dag_id for item in items for approval in item.approvals}
    allowed = reader.readable({item.dag_id for item in items} | approving)
    gone = reader.readable_gone({item.dag_id for item in items if not item.has_dag_row})
    for item in items:
        item.approvals = [approval for approval in item.approvals if approval.dag_id in allowed]
    return [item for item in items if item.dag_id in (allowed if item.has_dag_row else gone)]


def audience_list(session: Session, reader: Reader, wanted: Wanted, now: datetime) -> AudienceList:
    """A page of the table."""
    items = readable_only(Gathering(session).audiences(), reader)
    for item in items:
        finish(item, now)
    platforms = sorted({item.platform for item in items})
    owners = sorted({item.owner for item in items if item.owner})
    fitting = [item for item in items if _fits(item, wanted)]
    by_health = dict.fromkeys(Health, 0)
    for item in fitting:
        by_health[item.health] += 1
    shown = [item for item in fitting if not wanted.health or item.health in wanted.health]
    shown = in_order(shown, wanted.sort)
    page = shown[wanted.offset : wanted.offset + wanted.limit]
    trends = _trends(session, [item.asset_id for item in page])
    return AudienceList(
        total=len(shown),
        offset=wanted.offset,
        limit=wanted.limit,
        audiences=[_row(item, trends.get(item.asset_id, [])) for item in page],
        by_health=by_health,
        platforms=platforms,
        owners=owners,
        now=now,
    )


def _fits(item: Audience, wanted: Wanted) -> bool:
    if wanted.platforms and item.platform not in wanted.platforms:
        return False
    if wanted.owners and item.owner not in wanted.owners:
        return False
    text = wanted.search.strip().casefold()
    if not text:
        return True
    return any(text in part.casefold() for part in (item.key, item.title, item.memory.vendor_id or ""))


_VALUES: dict[str, Callable[[Audience], Any]] = {
    "key": lambda item: item.key,
    "title": lambda item: item.title.casefold(),
    "platform": lambda item: item.platform,
    "state": lambda item: item.last and item.last.state,
    "last_load_date": lambda item: item.last and item.last.load_date,
    "rows_sent": lambda item: item.last and item.last.rows_sent,
    "match_rate": lambda item: item.best_rate,
    "segments": lambda item: len(item.segments),
    "days_to_end": lambda item: item.days_to_end,
    "next_run": lambda item: item.next_run,
    "health": lambda item: _URGENCY[item.health],
}


def in_order(items: Sequence[Audience], sort: str) -> list[Audience]:
    """Sort; what is equal by title and key, and what is not known last, whichever the direction.

    :param sort: one of :data:`SORTS`, with a dash in front for the other direction.
    """
    value_of = _VALUES[sort.removeprefix("-")]
    items = sorted(items, key=lambda item: (item.title.casefold(), item.key))
    valued = [(value_of(item), item) for item in items]
    known = [(value, item) for value, item in valued if value is not None]
    known.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [item for _, item in known] + [item for value, item in valued if value is None]


def _trends(session: Session, asset_ids: Collection[int]) -> dict[int, list[SparkPoint]]:
    found: dict[int, list[tuple[LoadKey, SparkPoint]]] = defaultdict(list)
    for asset_id, key, value in session.execute(queries.last_loads(), {queries.ASSET_IDS: list(asset_ids)}):
        read = LoadKey.read(key)
        if read is None:
            continue
        point = SparkPoint.model_construct(load_date=read.last, share=best_rate_in(value))
        found[asset_id].append((read, point))
    return {
        asset_id: [point for _, point in sorted(points, key=lambda pair: pair[0].order)]
        for asset_id, points in found.items()
    }


def _rates(rates: Mapping[str, float | None]) -> list[Rate]:
    return [Rate.model_construct(identifier=name, share=share) for name, share in rates.items()]


def _row(item: Audience, trend: list[SparkPoint]) -> AudienceRow:
    last = item.last
    return AudienceRow.model_construct(
        key=item.key,
        title=item.title,
        platform=item.platform,
        owner=item.owner,
        dag_id=item.dag_id,
        audience_id=item.memory.vendor_id,
        health=item.health,
        reason=item.reason,
        state=last.state if last else None,
        last_load_date=last.load_date if last else None,
        last_load_mode=last.mode if last else None,
        last_confirmed_at=last.confirmed_at if last else None,
        rows_sent=last.rows_sent if last else None,
        match_rates=_rates(last.match_rates) if last else [],
        trend=trend,
        segments=len(item.segments),
        days_to_end=item.days_to_end,
        next_run=None if item.is_paused else item.next_run,
        is_paused=item.is_paused,
    )


# --- one audience ---------------------------------------------------------------------------------------------

FORMS = (
    ("Start a load", onboarding_dag_id, ""),
    ("Backfill days", onboarding_dag_id, "backfills"),
    ("Load a range of days", lambda _: LOAD_RANGE_DAG_ID, ""),
    ("Activate", activation_dag_id, ""),
    ("Set a segment's end date", lambda _: SET_END_DATE_DAG_ID, ""),
    ("Erase a person", lambda _: ERASE_DAG_ID, ""),
    ("Retire, or open again", lambda _: RETIRE_DAG_ID, ""),
)
"""Forms of an audience: label, whose, and the page of the DAG."""


def find(session: Session, key: str) -> Audience | None:
    """The audience of a key."""
    return next(iter(Gathering(session, key).audiences()), None)


def find_asset(session: Session, key: str) -> Audience | None:
    """The audience of a key, as far as its asset and its DAG tell."""
    return Gathering(session, key).assets().get(key)


def audience_detail(
    session: Session, item: Audience, reader: Reader, *, hrefs: Hrefs, now: datetime
) -> AudienceDetail:
    """The page of one audience.

    :param item: that the reader may read.
    """
    finish(item, now)
    named = {dag_of(item.key) for _, dag_of, _ in FORMS} | {item.dag_id}
    there = {dag_id for (dag_id,) in session.execute(queries.dags(), {queries.DAG_IDS: sorted(named)})}
    allowed = reader.triggerable(there)
    today = now.date()
    trend = _trends(session, [item.asset_id]).get(item.asset_id, [])
    newest = {queries.DAG_ID: item.dag_id, queries.LIMIT: LOOKED_AT_RUNS}
    runs = [_run_of(row) for row in session.execute(queries.recent_runs(), newest)]
    days = {read.days for read in _load_keys(session, item).values()}
    stops = _stops_of(session, [run.id for run in runs])
    links = [Link(label="Onboarding DAG", href=hrefs.dag(item.dag_id))] if item.dag_id in there else []
    activation = activation_dag_id(item.key)
    if activation in there:
        links.append(Link(label="Activation DAG", href=hrefs.dag(activation)))
    links.append(Link(label="Asset and its state store", href=hrefs.asset(item.asset_id)))
    return AudienceDetail(
        audience=_row(item, trend),
        description=item.description,
        campaign=item.campaign,
        segments=[_segment(segment, today) for segment in item.segments],
        actions=list(_actions(item, hrefs, now)),
        forms=[
            Link(label=label, href=hrefs.dag(dag_of(item.key), page))
            for label, dag_of, page in FORMS
            if dag_of(item.key) in allowed
        ],
        links=links,
        recent_runs=_without_load(item, runs, days, stops, hrefs),
        now=now,
    )


def _segment(segment: SegmentFacts, today: date) -> Segment:
    return Segment(
        target=segment.target,
        name=segment.name,
        platform=segment.platform,
        segment_id=segment.segment_id,
        start=segment.start,
        end=segment.end,
        days_left=segment.days_left(today),
        state=segment.state,
    )


def _actions(item: Audience, hrefs: Hrefs, now: datetime) -> Iterable[Action]:
    for intent in item.memory.intents:
        if not _is_unclear(intent, now):
            continue
        name = f" {intent.name!r}" if intent.name else ""
        at = f" {format_utc(intent.at)}" if intent.at else ""
        yield Action(
            label=f"Settle the {intent.what}",
            href=hrefs.dag(RESOLVE_CREATE_DAG_ID),
            why=f"The request that was to create the {intent.what}{name}{at} ended without an answer. Look for it in "
            f"the vendor's portal; then trigger this DAG with the audience {item.key!r}, what {intent.what!r}, and the "
            "outcome that you saw.",
        )
    for approval in item.approvals:
        yield Action(
            label="Answer the approval",
            href=hrefs.task(approval.dag_id, approval.run_id, approval.task_id, "required_actions"),
            why=f"{_awaited(approval)}.",
        )
    if item.health is Health.NEEDS_YOU and item.is_gone and not item.memory.retired:
        yield Action(label="Retire the audience", href=hrefs.dag(RETIRE_DAG_ID), why=item.reason)
    run = item.runs.get(queries.FAILED)
    if run is not None and item.health in {Health.FAILED, Health.STOPPED}:
        task = _telling(item.stops).task_id
        href = hrefs.task(item.dag_id, run.run_id, task) if task else hrefs.run(item.dag_id, run.run_id)
        label = "Look at the stopped load" if item.health is Health.STOPPED else "Look at the failed load"
        yield Action(label=label, href=href, why=item.reason)


def _without_load(
    item: Audience, runs: Iterable[Run], days: set[str], stops: Mapping[int, Sequence[Stop]], hrefs: Hrefs
) -> list[RunRow]:
    """Those of the last runs that have no confirmed load.

    :param days: that a load is confirmed of.
    """
    last_run = item.last.run_id if item.last else None
    found = []
    for run in runs:
        if run.state == "success" and (run.run_id == last_run or run.days in days):
            continue
        state = run.state
        if state == "success":
            state = "dry_run" if run.is_dry else "skipped"
        if run.state == "failed" and _telling(stops.get(run.id, ())).error in STOPPING_ERRORS:
            state = "stopped"
        found.append(
            RunRow(
                run_id=run.run_id,
                days=run.days,
                state=state,
                started_at=run.start_date,
                ended_at=run.end_date,
                link=Link(label=run.run_id, href=hrefs.run(item.dag_id, run.run_id)),
            )
        )
    return found[:MAX_RECENT]


# --- its loads ------------------------------------------------------------------------------------------------


def load_list(session: Session, item: Audience, *, hrefs: Hrefs, limit: int, offset: int) -> LoadList:
    """A page of the history of loads, newest load date first."""
    keys = _load_keys(session, item)
    ordered = sorted(keys, key=lambda key: keys[key].order, reverse=True)
    page = ordered[offset : offset + limit]
    wanted = {queries.ASSET_ID: item.asset_id, queries.KEYS: page}
    records = {
        key: (value, updated_at) for key, value, updated_at in session.execute(queries.loads(), wanted)
    }
    return LoadList(
        total=len(ordered),
        offset=offset,
        limit=limit,
        loads=[_load(keys[key], *records[key], item.dag_id, hrefs) for key in page if key in records],
    )


def _load_keys(session: Session, item: Audience) -> dict[str, LoadKey]:
    found = session.execute(queries.load_keys(), {queries.ASSET_ID: item.asset_id})
    return {key: read for (key,) in found if (read := LoadKey.read(key)) is not None}


def _load(key: LoadKey, value: Any, updated_at: datetime | None, dag_id: str, hrefs: Hrefs) -> LoadRow:
    load = Load.read(value)
    run = load.run_id
    return LoadRow.model_construct(
        days=key.days,
        load_date=key.last,
        mode=key.mode,
        outcome=load.outcome,
        confirmed_at=load.confirmed_at or updated_at,
        rows_read=load.rows_read,
        rows_sent=load.rows_sent,
        duplicates=load.duplicates,
        rejected=load.rejected,
        rejected_by_reason=dict(load.rejected_by_reason),
        match_rates=_rates(load.match_rates),
        s3_keys=objects_of(load),
        rejects=rejects_of(load),
        run=Link(label=run, href=hrefs.run(dag_id, run)) if run else None,
    )
