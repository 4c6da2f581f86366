"""Sources of loads, opened from their options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

from audience_onboarding.base.connections import database
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import ConfigurationError, SourceNotFoundError
from audience_onboarding.state.load_date import format_dates

if TYPE_CHECKING:
    from audience_onboarding.crm.sources.base import Source
    from audience_onboarding.storage.sql_source import SqlSource


def open_source(options: SourceOptions, load_date: date, *, s3_client: Callable[[], Any]) -> Source:
    """Return the source of a load date, ready to be read.

    :param s3_client: creates the client; called for ``s3://`` only.
    :raises SourceNotFoundError: it does not exist.
    :raises ConfigurationError: the connection of a query is not a database.
    """
    if options.is_query:
        return _query(options, load_date, database(str(options.conn_id)), options.label)
    return _files(options, load_date, s3_client)


def check_days(options: SourceOptions, days: Sequence[date]) -> None:
    """Check that each day of a range has its own source, by the options alone.

    :raises ConfigurationError: several days would read the same source.
    """
    from audience_onboarding.storage.sql_source import bind_parameters

    advice = "or run one day alone, without a first day"
    if options.is_query:
        if not bind_parameters(options.query, {"load_date": days[0]}, "named")[1]:
            raise ConfigurationError(
                what="The query is the same for all days, so a range would read its rows repeatedly",
                where=options.label,
                next_step=f"Filter by :load_date in the query, {advice}",
            )
        return
    seen: dict[str, date] = {}
    for day in days:
        before = seen.setdefault(options.url(day), day)
        if before != day:
            raise ConfigurationError(
                what=f"The source of {day} is that of {before}, so a range would read it repeatedly",
                where=options.label,
                next_step=f"Give each day its own source, by {{load_date}} in its path, {advice}",
            )


def open_days(
    options: SourceOptions, days: Sequence[date], *, s3_client: Callable[[], Any], may_be_empty: bool = False
) -> tuple[Source, list[date]]:
    """Return the sources of several days as one, in the order of the days.

    A day without a source is left out if ``on_missing`` is ``skip``. Else it is an error, also with ``wait``:
    historical files do not come later.

    :param days: oldest first.
    :param s3_client: creates the client; called once, for ``s3://`` only.
    :param may_be_empty: leave out a day whose file has not even a header.
    :return: the source, and the days that have none.
    :raises SourceNotFoundError: days have no source, see above; or no day has one.
    :raises ConfigurationError: the connection of a query is not a database.
    """
    from audience_onboarding.crm.sources.multi_file import MultiFileSource
    from audience_onboarding.storage.file_sources import source_exists

    label = f"{options.label}, {days[0]}..{days[-1]}"
    if options.is_query:
        connect = database(str(options.conn_id))
        queries = [_query(options, day, connect, f"{options.label}, {day}") for day in days]
        return MultiFileSource(queries, label), []
    sources: list[Source] = []
    missing: list[date] = []
    may_have_no_header: set[int] = set()
    client = cache(s3_client)
    for day in days:
        # A folder at the path of a file is an error, not a day without a source.
        if not source_exists(options.url(day), client):
            missing.append(day)
            continue
        found = _files(options, day, client)
        if isinstance(found, MultiFileSource):
            # As if all were one folder: file and number identify a row.
            sources += found.sources
            continue
        if may_be_empty:
            may_have_no_header.add(len(sources))
        sources.append(found)
    if not sources:
        raise SourceNotFoundError(
            what=f"None of the {len(days):,} days has a source",
            where=label,
            next_step="Check the path in the definition, and the range",
        )
    if missing and options.on_missing != "skip":
        raise SourceNotFoundError(
            what=f"{len(missing):,} of {len(days):,} days have no source: {format_dates(missing)}",
            where=label,
            next_step="Provide the files. To leave out such days, set 'source.on_missing' to 'skip'",
        )
    return MultiFileSource(sources, label, frozenset(may_have_no_header)), missing


def _files(options: SourceOptions, load_date: date, s3_client: Callable[[], Any]) -> Source:
    from audience_onboarding.storage.file_sources import resolve_source

    return resolve_source(options.url(load_date), s3_client=s3_client, options=options)


def _query(options: SourceOptions, load_date: date, connect: Callable[[], Any], label: str) -> SqlSource:
    from audience_onboarding.storage.sql_source import SqlSource

    return SqlSource(connect=connect, query=options.query, parameters={"load_date": load_date}, label=label)
