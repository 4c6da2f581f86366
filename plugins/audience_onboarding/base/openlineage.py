"""OpenLineage facets of a load: names of files and columns, and counts.

No personal data: no value of a row, no hash, no presigned URL. Only OpenLineage's provider calls these functions, and
they import it only then.

Names follow https://openlineage.io/docs/spec/naming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from audience_onboarding.crm.sources.options import SourceOptions

if TYPE_CHECKING:
    from audience_onboarding.crm.output.profiles import FileProfile, Identifier, SourceColumn
    from audience_onboarding.crm.report import LoadReport

MAX_SOURCES = 100
"""A range with more sources is one dataset: the path with its placeholder."""


@dataclass(frozen=True)
class DatasetRef:
    """A dataset.

    :param namespace: of OpenLineage's naming: ``file``, ``s3://bucket``, ``fanfare://host``.
    :param name: unique within it.
    """

    namespace: str
    name: str


@dataclass(frozen=True)
class DatasetWrite:
    """A dataset that a load writes.

    :param rows: number of written rows; ``None`` if nothing was written or the number is unknown.
    :param size: bytes, likewise.
    :param change: lifecycle change of the dataset; ``None`` for no change or an unknown one.
    """

    dataset: DatasetRef
    rows: int | None = None
    size: int | None = None
    change: Literal["CREATE", "OVERWRITE", "ALTER"] | None = None


@dataclass
class Lineage:
    """Lineage of one load, as far as it has run."""

    source: SourceOptions | None = None
    dates: tuple[date, ...] = ()
    columns: Mapping[Identifier, str | SourceColumn] = field(default_factory=dict)
    profile: FileProfile | None = None
    report: LoadReport | None = None
    written: list[DatasetWrite] = field(default_factory=list)


def source_dataset(url: str) -> DatasetRef:
    """Return the dataset of a source.

    :param url: a path, ``file:///path`` or ``s3://bucket/key``; may be a folder or a pattern.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return DatasetRef(f"s3://{parts.netloc}", url.partition("://")[2].partition("/")[2].rstrip("/"))
    path = unquote(parts.path) if parts.scheme == "file" else url
    return DatasetRef("file", str(Path(path).absolute()))


def audience_dataset(platform: str, account: str, audience_id: object) -> DatasetRef:
    """Return the dataset of an audience at a vendor.

    :param platform: the connection's type.
    :param account: the vendor's address, without credentials.
    """
    return DatasetRef(f"{platform}://{urlsplit(account).netloc}", f"audiences/{audience_id}")


def build_facets(lineage: Lineage) -> Any:
    """Return the lineage of an upload for OpenLineage's provider, ``None`` if it is not installed."""
    try:
        from airflow.providers.common.compat.openlineage import facet
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    sources = _sources(lineage)
    names = _column_names(lineage)
    inputs = [
        facet.InputDataset(
            namespace=source.namespace,
            name=source.name,
            facets={**_source_schema(names), "dataSource": _data_source(source)},
            # The counts of several sources cannot be attributed to one of them.
            inputFacets=_quality(lineage, names) if len(sources) == 1 else {},
        )
        for source in sources
    ]
    outputs = [
        facet.OutputDataset(
            namespace=item.dataset.namespace,
            name=item.dataset.name,
            facets=_output_facets(lineage, item, sources, names),
            outputFacets=_statistics(item),
        )
        for item in _merge(lineage.written)
    ]
    return OperatorLineage(inputs=[*inputs, *_tables(lineage)], outputs=outputs)


def build_processing_facets(objects: Sequence[DatasetRef], audience: DatasetRef) -> Any:
    """Return the lineage of objects that a vendor has processed into an audience; as :func:`build_facets`."""
    try:
        from airflow.providers.common.compat.openlineage import facet
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    inputs = [
        facet.InputDataset(namespace=one.namespace, name=one.name, facets={"dataSource": _data_source(one)})
        for one in objects
    ]
    output = facet.OutputDataset(
        namespace=audience.namespace, name=audience.name, facets={"dataSource": _data_source(audience)}
    )
    return OperatorLineage(inputs=inputs, outputs=[output])


def _sources(lineage: Lineage) -> list[DatasetRef]:
    source = lineage.source
    if source is None or source.is_query:
        return []
    if not lineage.dates and "{" in source.path:
        # The date is unknown yet, and no file has the path with its placeholder.
        return []
    if len(lineage.dates) > MAX_SOURCES or not lineage.dates:
        return [source_dataset(source.path)]
    return [source_dataset(url) for url in dict.fromkeys(source.url(day) for day in lineage.dates)]


def _tables(lineage: Lineage) -> Sequence[Any]:
    """Return the tables that a query reads, as far as the provider of its database finds them in the text.

    The query itself is no part of it: it may hold anything. Sends nothing to the database.
    """
    source = lineage.source
    if source is None or not source.is_query:
        return ()
    from airflow.providers.openlineage.sqlparser import get_openlineage_facets_with_sql
    from airflow.sdk import BaseHook

    facets = get_openlineage_facets_with_sql(
        hook=BaseHook.get_hook(str(source.conn_id)),
        sql=source.query,
        conn_id=str(source.conn_id),
        database=None,
        use_connection=False,
    )
    return () if facets is None else facets.inputs


def _source_schema(names: Mapping[Identifier, str]) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage import facet

    return {
        "schema": facet.SchemaDatasetFacet(
            fields=[
                facet.SchemaDatasetFacetFields(name=name, type="string", description=identifier.value)
                for identifier, name in names.items()
            ]
        )
    }


def _quality(lineage: Lineage, names: Mapping[Identifier, str]) -> dict[str, Any]:
    report = lineage.report
    if report is None:
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
                for identifier, name in names.items()
                if identifier.value in report.values_read
            },
        )
    }


def _output_facets(
    lineage: Lineage, item: DatasetWrite, sources: Sequence[DatasetRef], names: Mapping[Identifier, str]
) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage import facet

    facets = {"dataSource": _data_source(item.dataset), **_sent_schema(lineage.profile, sources, names)}
    if item.change is not None:
        facets["lifecycleStateChange"] = facet.LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=facet.LifecycleStateChange[item.change]
        )
    return facets


def _sent_schema(
    profile: FileProfile | None, sources: Sequence[DatasetRef], names: Mapping[Identifier, str]
) -> dict[str, Any]:
    """Return the columns of the file, and the source columns that they come from."""
    from airflow.providers.common.compat.openlineage import facet

    if profile is None:
        return {}
    sent = [column for column in profile.columns if column.identifier in names]
    facets: dict[str, Any] = {
        "schema": facet.SchemaDatasetFacet(
            fields=[
                facet.SchemaDatasetFacetFields(
                    name=column.header,
                    type="string",
                    description=f"{column.identifier.value}, {_treatment(column.transform)}",
                )
                for column in sent
            ]
        )
    }
    if sources:
        facets["columnLineage"] = facet.ColumnLineageDatasetFacet(
            fields={
                column.header: facet.Fields(
                    inputFields=[
                        facet.InputField(
                            namespace=one.namespace, name=one.name, field=names[column.identifier]
                        )
                        for one in sources
                    ],
                    transformationDescription=_treatment(column.transform),
                    transformationType="MASKED" if column.transform == "sha256" else "IDENTITY",
                )
                for column in sent
            }
        )
    return facets


def _treatment(transform: str) -> str:
    return "normalised, SHA-256" if transform == "sha256" else "normalised"


def _statistics(item: DatasetWrite) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage import facet

    if item.rows is None:
        return {}
    return {"outputStatistics": facet.OutputStatisticsOutputDatasetFacet(rowCount=item.rows, size=item.size)}


def _data_source(dataset: DatasetRef) -> Any:
    from openlineage.client.generated.datasource_dataset import DatasourceDatasetFacet

    uri = "file://" if dataset.namespace == "file" else dataset.namespace
    return DatasourceDatasetFacet(name=dataset.namespace, uri=uri)


def _column_names(lineage: Lineage) -> dict[Identifier, str]:
    """Return the names of the source's columns, as the definition spells them."""
    return {
        identifier: column if isinstance(column, str) else column.name
        for identifier, column in lineage.columns.items()
    }


def _merge(written: Sequence[DatasetWrite]) -> list[DatasetWrite]:
    """Merge the writes of each dataset: a list that is sent in parts goes to the same audience."""
    merged: dict[DatasetRef, DatasetWrite] = {}
    for item in written:
        before = merged.get(item.dataset)
        if before is None or before.rows is None or item.rows is None:
            merged[item.dataset] = item
            continue
        size = None if before.size is None or item.size is None else before.size + item.size
        merged[item.dataset] = DatasetWrite(
            item.dataset, before.rows + item.rows, size, item.change or before.change
        )
    return list(merged.values())
