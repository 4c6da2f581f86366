"""What a load has read and written, as OpenLineage is told it: names of files and columns, and counts.

Nobody's data are in it: no value of a row, no hash, no presigned address. Without the OpenLineage provider nobody asks,
and nothing in here imports it before somebody does.

Names follow https://openlineage.io/docs/spec/naming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from audience_onboarding.base.source_options import SourceOptions

if TYPE_CHECKING:
    from audience_onboarding.crm.output.profiles import FileProfile, Identifier, SourceColumn
    from audience_onboarding.crm.report import LoadReport

MOST_SOURCES = 100
"""Sources of a range of days that are named one by one; of more, the path with its placeholder is named once."""


@dataclass(frozen=True)
class Place:
    """A dataset: where it is and what it is called there.

    :param namespace: of OpenLineage's naming: ``file``, ``s3://bucket``, ``fanfare://host``.
    :param name: unique within it.
    """

    namespace: str
    name: str


@dataclass(frozen=True)
class Written:
    """What a load has written to.

    :param rows: that were written; ``None``: nothing was, or nobody knows how many.
    :param size: likewise, in bytes.
    :param change: what became of the dataset by it; ``None``: nothing that has a name.
    """

    place: Place
    rows: int | None = None
    size: int | None = None
    change: Literal["CREATE", "OVERWRITE", "ALTER"] | None = None


@dataclass
class Lineage:
    """What is known so far of one load."""

    options: SourceOptions | None = None
    days: tuple[date, ...] = ()
    columns: Mapping[Identifier, str | SourceColumn] = field(default_factory=dict)
    profile: FileProfile | None = None
    report: LoadReport | None = None
    written: list[Written] = field(default_factory=list)


def place_of(url: str) -> Place:
    """The dataset of a source.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``; may be a folder or a pattern.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return Place(f"s3://{parts.netloc}", url.partition("://")[2].partition("/")[2].rstrip("/"))
    path = unquote(parts.path) if parts.scheme == "file" else url
    return Place("file", str(Path(path).absolute()))


def audience_place(platform: str, account: str, audience_id: object) -> Place:
    """The dataset that an audience at a vendor is.

    :param platform: the connection's type.
    :param account: the vendor's address, without credentials.
    """
    return Place(f"{platform}://{urlsplit(account).netloc}", f"audiences/{audience_id}")


def facets_of(lineage: Lineage) -> Any:
    """What OpenLineage's provider wants of an operator; ``None`` where the provider is not installed."""
    try:
        from airflow.providers.common.compat.openlineage.facet import InputDataset, OutputDataset
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    sources = _sources(lineage)
    facets = _InputFacets(lineage, is_alone=len(sources) == 1)
    inputs = [
        InputDataset(
            namespace=place.namespace,
            name=place.name,
            facets=facets.of(place),
            inputFacets=facets.quality(),
        )
        for place in sources
    ]
    outputs = [
        OutputDataset(
            namespace=item.place.namespace,
            name=item.place.name,
            facets=_output_facets(lineage, item, sources),
            outputFacets=_statistics(item),
        )
        for item in _merged(lineage.written)
    ]
    return OperatorLineage(inputs=[*inputs, *_tables(lineage)], outputs=outputs)


def taken_in(objects: Sequence[Place], audience: Place) -> Any:
    """A vendor has taken objects into an audience; as :func:`facets_of`."""
    try:
        from airflow.providers.common.compat.openlineage.facet import InputDataset, OutputDataset
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    inputs = [
        InputDataset(namespace=place.namespace, name=place.name, facets={"dataSource": _data_source(place)})
        for place in objects
    ]
    output = OutputDataset(
        namespace=audience.namespace, name=audience.name, facets={"dataSource": _data_source(audience)}
    )
    return OperatorLineage(inputs=inputs, outputs=[output])


def _sources(lineage: Lineage) -> list[Place]:
    options = lineage.options
    if options is None or options.is_query:
        return []
    if not lineage.days and "{" in options.path:
        # The day is not known yet, and the path without it is that of no file.
        return []
    if len(lineage.days) > MOST_SOURCES or not lineage.days:
        return [place_of(options.path)]
    return [place_of(url) for url in dict.fromkeys(options.url(day) for day in lineage.days)]


def _tables(lineage: Lineage) -> Sequence[Any]:
    """What a query reads, as far as the provider of its database tells. The query itself stays here: it may hold
    anything. Nothing is asked of the database."""
    options = lineage.options
    if options is None or not options.is_query:
        return ()
    from airflow.providers.openlineage.sqlparser import get_openlineage_facets_with_sql
    from airflow.sdk import BaseHook

    found = get_openlineage_facets_with_sql(
        hook=BaseHook.get_hook(str(options.conn_id)),
        sql=options.query,
        conn_id=str(options.conn_id),
        database=None,
        use_connection=False,
    )
    return () if found is None else found.inputs


class _InputFacets:
    def __init__(self, lineage: Lineage, *, is_alone: bool) -> None:
        self._lineage = lineage
        self._is_alone = is_alone

    def of(self, place: Place) -> dict[str, Any]:
        from airflow.providers.common.compat.openlineage.facet import (
            SchemaDatasetFacet,
            SchemaDatasetFacetFields,
        )

        return {
            "schema": SchemaDatasetFacet(
                fields=[
                    SchemaDatasetFacetFields(name=name, type="string", description=identifier.value)
                    for identifier, name in _names(self._lineage).items()
                ]
            ),
            "dataSource": _data_source(place),
        }

    def quality(self) -> dict[str, Any]:
        """Counts of what was read; of several sources, nobody knows which part is whose."""
        report = self._lineage.report
        if report is None or not self._is_alone:
            return {}
        from openlineage.client.generated.data_quality_metrics_input_dataset import (
            ColumnMetrics,
            DataQualityMetricsInputDatasetFacet,
        )

        return {
            "dataQualityMetrics": DataQualityMetricsInputDatasetFacet(
                rowCount=report.rows_read,
                fileCount=report.files,
                columnMetrics={
                    name: ColumnMetrics(
                        count=report.values_read[identifier.value],
                        nullCount=report.rows_read - report.values_read[identifier.value],
                    )
                    for identifier, name in _names(self._lineage).items()
                    if identifier.value in report.values_read
                },
            )
        }


def _output_facets(lineage: Lineage, item: Written, sources: Sequence[Place]) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import (
        LifecycleStateChange,
        LifecycleStateChangeDatasetFacet,
    )

    found: dict[str, Any] = {"dataSource": _data_source(item.place), **_schema(lineage, sources)}
    if item.change is not None:
        found["lifecycleStateChange"] = LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=LifecycleStateChange[item.change]
        )
    return found


def _schema(lineage: Lineage, sources: Sequence[Place]) -> dict[str, Any]:
    """The columns of what was sent, and the columns that they come from."""
    from airflow.providers.common.compat.openlineage.facet import (
        ColumnLineageDatasetFacet,
        Fields,
        InputField,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    if lineage.profile is None:
        return {}
    names = _names(lineage)
    sent = [column for column in lineage.profile.columns if column.identifier in names]
    found: dict[str, Any] = {
        "schema": SchemaDatasetFacet(
            fields=[
                SchemaDatasetFacetFields(
                    name=column.header,
                    type="string",
                    description=f"{column.identifier.value}, {_treatment(column.transform)}",
                )
                for column in sent
            ]
        )
    }
    if sources:
        found["columnLineage"] = ColumnLineageDatasetFacet(
            fields={
                column.header: Fields(
                    inputFields=[
                        InputField(namespace=place.namespace, name=place.name, field=names[column.identifier])
                        for place in sources
                    ],
                    transformationDescription=_treatment(column.transform),
                    transformationType="MASKED" if column.transform == "sha256" else "IDENTITY",
                )
                for column in sent
            }
        )
    return found


def _treatment(transform: str) -> str:
    return "normalised, SHA-256" if transform == "sha256" else "normalised"


def _statistics(item: Written) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import OutputStatisticsOutputDatasetFacet

    if item.rows is None:
        return {}
    return {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=item.rows, size=item.size)}


def _data_source(place: Place) -> Any:
    from openlineage.client.generated.datasource_dataset import DatasourceDatasetFacet

    uri = "file://" if place.namespace == "file" else place.namespace
    return DatasourceDatasetFacet(name=place.namespace, uri=uri)


def _names(lineage: Lineage) -> dict[Identifier, str]:
    """The names of the source's columns, as the definition gives them."""
    return {
        identifier: column if isinstance(column, str) else column.name
        for identifier, column in lineage.columns.items()
    }


def _merged(written: Sequence[Written]) -> list[Written]:
    """Each dataset once: a list that is sent in parts goes to the same audience."""
    found: dict[Place, Written] = {}
    for item in written:
        before = found.get(item.place)
        if before is not None and before.rows is not None and item.rows is not None:
            size = None if before.size is None or item.size is None else before.size + item.size
            item = Written(item.place, before.rows + item.rows, size, item.change or before.change)  # noqa: PLW2901
        found[item.place] = item
    return list(found.values())
