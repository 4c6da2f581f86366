"""The source of a load, as an operator is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from audience_onboarding.base.connections import database
from audience_onboarding.base.templated import source_url
from audience_onboarding.errors import ConfigurationError

if TYPE_CHECKING:
    from audience_onboarding.crm.rows import Source

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
    :param country: ISO 3166 code that a phone number without country code belongs to.
    :param aws_conn_id: a connection of type ``aws`` for an ``s3://`` path.
    :param if_missing: what happens where the file is not there: ``fail``, ``skip``, or ``wait`` in the triggerer.
    :param wait_timeout: with ``wait``: seconds until it fails.
    :param poll_interval: with ``wait``: seconds between two looks at most; the first ones come quicker.
    """

    path: str = ""
    query: str = ""
    conn_id: str | None = None
    format: str = "auto"
    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str = '"'
    sheet: str | int | None = None
    country: str = "NL"
    aws_conn_id: str | None = None
    if_missing: str = "fail"
    wait_timeout: float = timedelta(hours=12).total_seconds()
    poll_interval: float = 60.0

    @classmethod
    def of(cls, given: str | Mapping[str, Any]) -> SourceOptions:
        """Read an operator's argument, its templates rendered.

        :param given: a path, or what the fields of this class are called, with their values.
        :raises ConfigurationError: something in it cannot be meant.
        """
        from audience_onboarding.storage.sources import FORMATS  # a DAG file has no use for it

        values = {"path": given} if isinstance(given, str) else dict(given)
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigurationError(
                what=f"A source has no {', '.join(map(repr, unknown))}",
                next_step=f"It has {', '.join(known)}",
            )
        options = cls(**values)
        for name, allowed in (("format", FORMATS), ("if_missing", IF_MISSING)):
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
    from audience_onboarding.storage.databases import SqlSource
    from audience_onboarding.storage.sources import SourceSpec, find_source

    if options.is_query:
        return SqlSource(
            connect=database(str(options.conn_id)),
            query=options.query,
            parameters={"load_date": load_date},
            label=options.label,
        )
    spec = SourceSpec(
        format=options.format,
        delimiter=options.delimiter,
        encoding=options.encoding,
        quote=options.quote,
        sheet=options.sheet,
    )
    return find_source(options.url(load_date), s3_client=s3_client, spec=spec)
