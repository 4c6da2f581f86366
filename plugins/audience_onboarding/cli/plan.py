"""``plan``: the next load of each audience, from the files alone, without vendor, storage or database.

Of a local source file only the header is read; nothing else needs the engine (Polars).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timezone
from pathlib import Path

import pendulum

from audience_onboarding.cli.check import EXIT_INVALID, EXIT_OK, EXIT_USAGE, print_json
from audience_onboarding.crm.sources.options import format_path
from audience_onboarding.definitions import AudienceDefinition, SourceConfig
from audience_onboarding.definitions.diagnostics import nearest
from audience_onboarding.definitions.loader import check_folder, chosen_environment
from audience_onboarding.definitions.schedule import next_load
from audience_onboarding.exceptions import AudienceOnboardingError, MissingColumnError
from audience_onboarding.storage.file_sources import list_siblings, resolve_source, source_exists
from audience_onboarding.storage.source_urls import split_url

MANUAL = "manual only"
ENDED = "ended"
FOUND = "found"

_IF_MISSING = {
    "fail": "the load would fail",
    "skip": "the load would be skipped",
    "wait": "the load would wait",
}


@dataclass(frozen=True)
class Plan:
    """Next load of an audience.

    :param when: due time of the next load, ``manual only``, or ``ended``.
    :param load_date: of the next load; for a manual one, of a run today; empty if there is none.
    :param due: ISO 8601; empty if there is none.
    :param source: file or query of that date.
    :param source_exists: ``None`` if it cannot be checked from here.
    :param columns_found: whether the file, or the first of several, has the columns of the definition; ``None`` if not
        checked.
    :param source_status: text of the two above.
    :param audience: the audience that is loaded, and whether it may be created.
    :param sent_hashed: identifiers that are sent hashed.
    :param sent_unhashed: identifiers that are sent unhashed.
    :param details: platform-specific label and text.
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
        lines = [
            ("next load", self.when),
            ("source", f"{self.source}: {self.source_status}" if self.source_status else self.source),
            ("mode", self.mode),
            ("audience", self.audience),
            ("hashed", ", ".join(self.sent_hashed) or "nothing"),
            ("unhashed", ", ".join(self.sent_unhashed) or "nothing"),
            *self.details,
        ]
        head = f"{self.key}: {self.name} ({self.platform}, connection {self.connection})"
        return "\n".join([head, *(f"  {label:<11}{text}" for label, text in lines)])


def run(
    folder: Path, *, keys: Sequence[str], environment: str | None, as_json: bool, now: datetime | None = None
) -> int:
    """Print the plans of the valid definitions, and the problems to stderr; return the exit code.

    :param keys: of the audiences to plan; empty: all.
    :param now: time to plan from; default: the current time.
    """
    environment = environment or chosen_environment()
    checked = check_folder(folder, environment=environment)
    valid = {item.key for item in checked.definitions}
    unknown = [key for key in keys if key not in valid and key not in checked.keys]
    for key in unknown:
        meant = nearest(key, checked.keys)
        print(
            f"{key}: definition not found" + (f"; did you mean {meant!r}?" if meant else ""), file=sys.stderr
        )
    if unknown:
        return EXIT_USAGE
    plans = [
        build_plan(item, base=folder.parent, environment=environment, now=now or datetime.now(timezone.utc))
        for item in checked.definitions
        if not keys or item.key in keys
    ]
    if as_json:
        print_json([asdict(plan) for plan in plans])
    else:
        invalid = [key for key in keys if key not in valid]
        texts = [*map(str, plans), *(f"{key}: not planned, invalid definition" for key in invalid)]
        print("\n\n".join(texts) or "No audience to plan")
    for problem in checked.diagnostics:
        print(problem, file=sys.stderr)
    return EXIT_INVALID if checked.diagnostics else EXIT_OK


def build_plan(definition: AudienceDefinition, *, base: Path, environment: str | None, now: datetime) -> Plan:
    """Return the plan of an audience.

    :param base: folder that relative paths refer to.
    :param now: time to plan from.
    """
    when, due, load_date = _next_load(definition, now)
    source, exists, status = _check_source(definition.source, base, load_date)
    columns_found = None
    if exists:
        columns_found, status = _check_header(definition.source, source)
    mapped = definition.source.columns.by_identifier()
    transforms = {column.identifier.value: column.transform for column in definition.file_profile.columns}
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
        source=source,
        source_exists=exists,
        columns_found=columns_found,
        source_status=status,
        mode=definition.mode,
        audience=definition.describe_audience(),
        sent_hashed=tuple(name for name in mapped if transforms[name] == "sha256"),
        sent_unhashed=tuple(name for name in mapped if transforms[name] != "sha256"),
        details=tuple(definition.describe_load(load_date)),
    )


def _next_load(definition: AudienceDefinition, now: datetime) -> tuple[str, datetime | None, date | None]:
    """Return text, due time and load date of the next load."""
    schedule = definition.schedule
    if schedule is None:
        return MANUAL, None, pendulum.instance(now).in_timezone(definition.timezone).date()
    due = next_load(schedule, after=now)
    if due is None:
        reason = f"the last load date is {schedule.end}" if schedule.end else "its cron matches no day"
        return f"{ENDED}: {reason}", None, None
    text = f"{due.load_date}, due {due.starts_at:%Y-%m-%d %H:%M} {schedule.timezone}"
    return text, due.starts_at, due.load_date


def _check_source(source: SourceConfig, base: Path, load_date: date | None) -> tuple[str, bool | None, str]:
    """Return the file or query, whether it exists, and the text of that."""
    if source.path is None:
        return source.label, None, "not checked: it is a query"
    if load_date is None:
        return source.resolve(base), None, ""
    url = format_path(source.resolve(base), load_date)
    if split_url(url)[0] != "file":
        return url, None, "not checked: it is not on this machine"
    try:
        if source_exists(url):
            return url, True, FOUND
    except AudienceOnboardingError as error:
        return url, False, error.what
    siblings = list_siblings(url)
    at = f" ({siblings})" if siblings else ""
    return url, False, f"not found{at}; if still missing when it is due, {_IF_MISSING[source.on_missing]}"


def _check_header(source: SourceConfig, url: str) -> tuple[bool | None, str]:
    """Return whether the first file has the columns, by the code of the loads, and the text of that. Reads no row."""
    columns = source.columns.by_identifier().values()
    names = [column if isinstance(column, str) else column.name for column in columns]
    which = ""
    try:
        from audience_onboarding.crm.sources.multi_file import MultiFileSource

        file = resolve_source(url, options=source.options(url))
        if isinstance(file, MultiFileSource):
            file = file.sources[0]
            which = f" ({Path(file.name).name}, the first of several)"
        with tempfile.TemporaryDirectory() as folder, file.open(names, Path(folder)):
            return True, FOUND
    except ImportError as error:
        return None, f"{FOUND}; header not checked, as {error.name} is not installed"
    except AudienceOnboardingError as error:
        has_columns = False if isinstance(error, MissingColumnError) else None
        why = f"; {error.why}" if error.why else ""
        return has_columns, f"{FOUND}, but {error.what[:1].lower()}{error.what[1:]}{which}{why}"
