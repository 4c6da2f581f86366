"""The source of a load, as an operator is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from audience_onboarding.base.connections import database
from audience_onboarding.base.templating import source_url
from audience_onboarding.exceptions import ConfigurationError, SourceNotFoundError
from audience_onboarding.state.history import told_days

if TYPE_CHECKING:
    from audience_onboarding.crm.sources.base import Source
    from audience_onboarding.storage.sql_source import SqlSource

IF_MISSING = ("fail", "skip", "wait")


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where a list comes from and how it is read.

    :param path: a path, ``file:///path`` or ``s3://bucket/key``; a folder if it ends in ``/``; with ``*`` and ``?`` for
        several files. ``{load_date}`` and, for another spelling, ``{load_date:%Y%m%d}`` stand for the load date.
    :param query: SQL that gives the rows, where there is no ``path``; ``:load_date`` is bound as a parameter.
    :param conn_id: the Airflow connection of the database that is asked.
    :param format: ``csv``, ``parquet``, ``xlsx``, or ``auto``: by the end of the name.
    :param delimiter: of a CSV file, or ``auto``.
    :param encoding: of a CSV file: ``utf-8`` (with or without BOM), ``cp1252``, ``latin-1``, ``utf-16``, or ``auto``.
    :param quote: of a CSV file, or ``auto``.
    :param sheet: of an XLSX file: its name, or its place from 1; default the first one that is not hidden.
    :param phone_region: ISO 3166 code that a phone number without phone_region code belongs to.
    :param aws_conn_id: a connection of type ``aws`` for an ``s3://`` path.
    :param on_missing: if the file does not exist: ``fail``, ``skip``, or ``wait``. A
        :class:`~..prerequisites.LoadPrerequisitesSensor` waits; the upload itself fails then.
    :param wait_timeout: with ``wait``: seconds until the sensor fails.
    :param poll_interval: with ``wait``: seconds between two polls at most; the first intervals are shorter.
    """

    path: str = ""
    query: str = ""
    conn_id: str | None = None
    format: str = "auto"
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    sheet: str | int | None = None
    phone_region: str = "NL"
    aws_conn_id: str | None = None
    on_missing: str = "fail"
    wait_timeout: float = timedelta(hours=12).total_seconds()
    poll_interval: float = 60.0

    @classmethod
    def of(cls, given: str | Mapping[str, Any]) -> SourceOptions:
        """Read an operator's argument, its templates rendered.

        :param given: a path, or what the fields of this class are called, with their values.
        :raises ConfigurationError: something in it cannot be meant.
        """
        from audience_onboarding.storage.source_spec import FORMATS  # a DAG file has no use for it

        values = {"path": given} if isinstance(given, str) else dict(given)
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigurationError(
                what=f"A source has no {', '.join(map(repr, unknown))}",
                next_step=f"It has {', '.join(known)}",
            )
        options = cls(**values)
        for name, allowed in (("format", FORMATS), ("on_missing", IF_MISSING)):
            if getattr(options, name) not in allowed:
                raise ConfigurationError(
                    what=f"{getattr(options, name)!r} is no {name} of a source",
                    next_step=f"Allowed are {', '.join(allowed)}",
                )
        if not options.path and not (options.query and options.conn_id):
            raise ConfigurationError(
                what="A source needs a path, or a query and its connection",
                next_step="Give 'path', or 'query' and 'connection'",
            )
        return options

    @property
    def is_query(self) -> bool:
        """Whether a database is asked. A path goes before a query: a run may name a file instead."""
        return not self.path

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.path or f"query on connection {self.conn_id}"

    def url(self, load_date: date) -> str:
        """The path or URL of a load date; empty for a query.

        :raises ConfigurationError: it holds a placeholder that is not known.
        """
        return source_url(self.path, load_date)


def open_source(options: SourceOptions, load_date: date, *, s3_client: Callable[[], Any]) -> Source:
    """The source of a load date, ready to be read.

    :param s3_client: makes the client; called for ``s3://`` only.
    :raises SourceNotFoundError: it is not there.
    :raises ConfigurationError: the connection of a query is no database.
    """
    if options.is_query:
        return _query(options, load_date, database(str(options.conn_id)), options.label)
    return _files(options, load_date, s3_client)


def check_days(options: SourceOptions, days: Sequence[date]) -> None:
    """See to it that each day of a range has a source of its own, as far as the options tell. Nothing is looked at.

    :raises ConfigurationError: several days would read the same.
    """
    from audience_onboarding.storage.sql_source import bind_parameters

    advice = "or run one day alone, without a first day"
    if options.is_query:
        if not bind_parameters(options.query, {"load_date": days[0]}, "named")[1]:
            raise ConfigurationError(
                what="The query of the source is the same for all days, so a range of days would read its rows again "
                "and again",
                where=options.label,
                next_step=f"Let it ask for the rows of :load_date, {advice}",
            )
        return
    seen: dict[str, date] = {}
    for day in days:
        before = seen.setdefault(options.url(day), day)
        if before != day:
            raise ConfigurationError(
                what=f"The source of {day} is that of {before}, so a range of days would read it again and again",
                where=options.label,
                next_step=f"Give each day a source of its own, by {{load_date}} in its path, {advice}",
            )


def open_days(
    options: SourceOptions, days: Sequence[date], *, s3_client: Callable[[], Any], may_be_empty: bool = False
) -> tuple[Source, list[date]]:
    """The sources of several days as one, in the order of the days.

    A day without a source is left out where ``on_missing`` is ``skip``. Else it is an error, also with ``wait``:
    history does not come later.

    :param days: the oldest first.
    :param s3_client: makes the client; called for ``s3://`` only, once.
    :param may_be_empty: a day may have a file without even a header; it is left out then.
    :return: the source, and the days that have none.
    :raises SourceNotFoundError: there are days without a source, see above; or no day has one.
    :raises ConfigurationError: the connection of a query is no database.
    """
    from audience_onboarding.crm.sources.multi_file import ManySources
    from audience_onboarding.storage.file_sources import source_exists

    label = f"{options.label}, {days[0]}..{days[-1]}"
    if options.is_query:
        connect = database(str(options.conn_id))
        queries = [_query(options, day, connect, f"{options.label}, {day}") for day in days]
        return ManySources(queries, label), []
    sources: list[Source] = []
    missing: list[date] = []
    may_have_no_header: set[int] = set()
    client = cache(s3_client)
    for day in days:
        # What is there and is no file is an error, not a day without a source.
        if not source_exists(options.url(day), client):
            missing.append(day)
            continue
        found = _files(options, day, client)
        if isinstance(found, ManySources):
            # As if all were one folder: a row is told by its file and its number there.
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
            what=f"{len(missing):,} of {len(days):,} days have no source: {told_days(missing)}",
            where=label,
            next_step="Bring them. To leave such days out, let 'source.on_missing' be 'skip'",
        )
    return ManySources(sources, label, frozenset(may_have_no_header)), missing


def _files(options: SourceOptions, load_date: date, s3_client: Callable[[], Any]) -> Source:
    from audience_onboarding.storage.file_sources import resolve_source
    from audience_onboarding.storage.source_spec import SourceSpec

    spec = SourceSpec(
        format=options.format,
        delimiter=options.delimiter,
        encoding=options.encoding,
        quote=options.quote,
        sheet=options.sheet,
    )
    return resolve_source(options.url(load_date), s3_client=s3_client, spec=spec)


def _query(options: SourceOptions, load_date: date, connect: Callable[[], Any], label: str) -> SqlSource:
    from audience_onboarding.storage.sql_source import SqlSource

    return SqlSource(connect=connect, query=options.query, parameters={"load_date": load_date}, label=label)
