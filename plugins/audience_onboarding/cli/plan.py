"""``plan``: what each audience would do next. From the files alone: no vendor, no storage and no database is asked.

Of a source that is a file here, the header is read: for nothing else is the engine (Polars) loaded.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timezone
from pathlib import Path

import pendulum

from audience_onboarding.cli.common import EXIT_INVALID, EXIT_OK, EXIT_USAGE, print_json
from audience_onboarding.definitions import AudienceDefinition, Source
from audience_onboarding.definitions.loader import check_folder, chosen_environment
from audience_onboarding.definitions.problems import nearest
from audience_onboarding.definitions.schedule import next_load
from audience_onboarding.exceptions import AudienceOnboardingError, MissingColumnError
from audience_onboarding.storage.file_sources import (
    SourceSpec,
    list_siblings,
    resolve_source,
    source_exists,
    split_url,
)

MANUAL = "by hand only"
ENDED = "over"


@dataclass(frozen=True)
class Plan:
    """What an audience would do next.

    :param when: when the next load is due, ``by hand only``, or ``over``.
    :param load_date: of the next load; of one by hand, that of a run today. Empty if there is none.
    :param due: the moment as ISO 8601, empty where there is none.
    :param source: the file or query of that day.
    :param source_exists: whether the file is there now; ``None`` where that cannot be told from here.
    :param columns_found: whether the file, or the first of several, has the columns of the definition; ``None``
        where that cannot be told.
    :param source_status: both in words.
    :param audience: which one is loaded, and whether it may be created.
    :param sent_hashed: identifiers that leave hashed.
    :param sent_unhashed: identifiers that leave as they are.
    :param details: what else the platform does: what it is about, and what happens.
    """

    key: str
    name: str
    platform: str
    connection: str
    environment: str | None
    when: str
    load_date: str
    due: str
    timezone: str
    source: str
    source_exists: bool | None
    columns_found: bool | None
    source_status: str
    mode: str
    audience: str
    sent_hashed: tuple[str, ...]
    sent_unhashed: tuple[str, ...]
    details: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        hashed, plain = ", ".join(self.sent_hashed), ", ".join(self.sent_unhashed)
        lines = [
            ("next load", self.when),
            ("source", f"{self.source}: {self.source_status}" if self.source_status else self.source),
            ("mode", self.mode),
            ("audience", self.audience),
            ("hashed", hashed or "nothing"),
            ("as it is", plain or "nothing"),
            *self.details,
        ]
        head = f"{self.key}: {self.name} ({self.platform}, connection {self.connection})"
        return "\n".join([head, *(f"  {label:<11}{text}" for label, text in lines)])


def run(
    folder: Path,
    *,
    keys: Sequence[str],
    environment: str | None,
    as_json: bool,
    now: datetime | None = None,
) -> int:
    """Print the plans of the good definitions; what is wrong with the others goes to stderr.

    :param keys: of the audiences that are meant; all if none is given.
    :param now: the moment to plan from; default now.
    :return: the exit code.
    """
    environment = environment or chosen_environment()
    checked = check_folder(folder, environment=environment)
    known = {item.key: item for item in checked.definitions}
    wrong = [key for key in keys if key not in known and key not in checked.keys]
    for key in wrong:
        meant = nearest(key, checked.keys)
        print(f"{key}: no such definition" + (f"; did you mean {meant!r}?" if meant else ""), file=sys.stderr)
    if wrong:
        return EXIT_USAGE
    moment = now or datetime.now(timezone.utc)
    plans = [
        build_plan(item, base=folder.parent, environment=environment, now=moment)
        for item in checked.definitions
        if not keys or item.key in keys
    ]
    if as_json:
        print_json([asdict(plan) for plan in plans])
    else:
        broken = [key for key in keys if key not in known]
        told = [*map(str, plans), *(f"{key}: not planned, as its definition is broken" for key in broken)]
        print("\n\n".join(told) or "No audience to plan for")
    for problem in checked.problems:
        print(problem, file=sys.stderr)
    return EXIT_INVALID if checked.problems else EXIT_OK


def build_plan(definition: AudienceDefinition, *, base: Path, environment: str | None, now: datetime) -> Plan:
    """What an audience would do next.

    :param base: what a relative path counts from.
    :param now: the moment to plan from.
    """
    when, due, load_date = _when(definition, now)
    place, is_there, told = _source(definition.source, base, load_date)
    have_columns = None
    if is_there:
        have_columns, told = _header(definition.source, place)
    mapped = definition.source.columns.by_identifier()
    sent = {column.identifier.value: column.transform for column in definition.file_profile.columns}
    return Plan(
        key=definition.key,
        name=definition.name,
        platform=definition.platform,
        connection=definition.conn_id,
        environment=environment,
        when=when,
        load_date="" if load_date is None else load_date.isoformat(),
        due="" if due is None else due.isoformat(),
        timezone=definition.timezone,
        source=place,
        source_exists=is_there,
        columns_found=have_columns,
        source_status=told,
        mode=definition.mode,
        audience=definition.describe_audience(),
        sent_hashed=tuple(name for name in mapped if sent[name] == "sha256"),
        sent_unhashed=tuple(name for name in mapped if sent[name] == "raw"),
        details=tuple(definition.describe_load(load_date)),
    )


def _when(definition: AudienceDefinition, now: datetime) -> tuple[str, datetime | None, date | None]:
    schedule = definition.schedule
    if schedule is None:
        return MANUAL, None, pendulum.instance(now).in_timezone(definition.timezone).date()
    due = next_load(schedule, after=now)
    if due is None:
        ended = f": the last load date is {schedule.end}" if schedule.end else ": its cron fits no day"
        return f"{ENDED}{ended}", None, None
    text = f"{due.load_date}, due {due.moment:%Y-%m-%d %H:%M} {schedule.timezone}"
    return text, due.moment, due.load_date


def _source(source: Source, base: Path, load_date: date | None) -> tuple[str, bool | None, str]:
    """The file or query, whether it is there, and that in words."""
    if source.path is None:
        return source.label, None, "not looked at: it is a query"
    if load_date is None:
        return source.resolve(base), None, ""
    place = source.resolve(base).format(load_date=load_date)
    if split_url(place)[0] != "file":
        return place, None, "not looked at: it is not on this machine"
    try:
        is_there = source_exists(place)
    except AudienceOnboardingError as error:
        return place, False, error.what
    if is_there:
        return place, True, "there"
    missing = {
        "fail": "the load would fail",
        "skip": "the load would be skipped",
        "wait": "the load would wait",
    }
    beside = list_siblings(place)
    told = f"not there now{f' ({beside})' if beside else ''}; if it is not when it is due, {missing[source.on_missing]}"
    return place, False, told


def _header(source: Source, place: str) -> tuple[bool | None, str]:
    """Whether the first file has the columns, by the code that loads it, and that in words. No row is looked at."""
    columns = source.columns.by_identifier().values()
    wanted = [column if isinstance(column, str) else column.name for column in columns]
    spec = SourceSpec(source.format, source.delimiter, source.encoding, source.quote, source.sheet)
    of_several = ""
    try:
        from audience_onboarding.crm.sources.multi_file import ManySources

        file = resolve_source(place, spec=spec)
        if isinstance(file, ManySources):
            file = file.sources[0]
            of_several = f" ({Path(file.name).name}, the first of several)"
        with tempfile.TemporaryDirectory() as folder, file.open(wanted, Path(folder)):
            return True, "there"
    except ImportError as error:
        return None, f"there; its header was not looked at, as {error.name} is not installed here"
    except AudienceOnboardingError as error:
        has_columns = False if isinstance(error, MissingColumnError) else None
        return has_columns, f"there, but {error.what}{of_several}" + (f"; {error.why}" if error.why else "")
