"""docs/reference/definitions/: the pages list every option, and each example is valid and can be loaded."""

from __future__ import annotations

import copy
import csv
import gzip
import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
import yaml
from pydantic import BaseModel

from audience_onboarding.base.source_options import open_source
from audience_onboarding.crm.output.profiles import Identifier, SourceColumn
from audience_onboarding.crm.prepare import prepare
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.definitions import AudienceDefinition, SourceConfig, read_definition
from audience_onboarding.definitions.loader import check_folder
from audience_onboarding.pipelines.onboard import source_of
from audience_onboarding.platform_registry import PLATFORMS, get_platform
from tests.unit.base.databases import connect_to
from tests.unit.crm.workbooks import xlsx

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference" / "definitions"
PAGES = {path.name: path.read_text(encoding="utf-8").splitlines() for path in sorted(FOLDER.glob("*.md"))}
DAY = date(2026, 11, 20)

# --- every option is on a page ------------------------------------------------------------------------------


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def options_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields; ``[]`` for one of a list, ``<identifier>`` for fields of all identifiers."""
    for name, field in model.model_fields.items():
        yield prefix + name
        many = "[]" if "tuple" in str(field.annotation) else ""
        for inner in models_in(field.annotation):
            folder = f"{prefix}{name}{many}"
            if prefix == "source.columns.":
                folder = f"{prefix}<identifier>"
            yield from options_of(inner, f"{folder}.")


def options_on_the_pages() -> set[str]:
    """Return the names in the first columns of the tables: `` `a.b`, `.c` `` is ``a.b`` and ``a.c``."""
    found: set[str] = set()
    for line in (line for lines in PAGES.values() for line in lines):
        if not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        last = ""
        for name in re.findall(r"`([^`]+)`", cells[0]):
            last = last.rpartition(".")[0] + name if name.startswith(".") else name
            found.add(last)
        if cells[0].strip("` ") == "output_file.headers":
            found |= {f"output_file.headers.{name}" for name in re.findall(r"`([a-z_]+)`", cells[1])}
    return found


DEFINITIONS: list[type[AudienceDefinition]] = [get_platform(platform).definition for platform in PLATFORMS]
OPTIONS = sorted({option for model in DEFINITIONS for option in options_of(model)} - {"key"})
FOLDERS = {option.rpartition(".")[0].removesuffix("[]") for option in OPTIONS}


def test_the_pages_have_every_option_and_no_other() -> None:
    # A section needs no line of its own if all its options have one.
    assert set(OPTIONS) - options_on_the_pages() - FOLDERS == set()
    assert options_on_the_pages() - set(OPTIONS) - set(PLATFORMS) == set()


# --- the examples ---------------------------------------------------------------------------------------------


def completed(content: dict[str, Any], platform: str) -> dict[str, Any]:
    """Add the least that makes a part of a definition valid."""
    least: dict[str, Any] = {
        "platform": platform,
        "name": "Example",
        "owner": "me",
        "source": {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}},
    }
    if platform == "digital_audience":
        least["campaign"] = {"name": "Always-on CRM"}
    columns = set(content.get("source", {}).get("columns", {}))
    if platform != "digital_audience" or columns - {"email", "phone", "personal_id"}:
        least["allow_unhashed"] = True
    return {**least, **copy.deepcopy(content)}


@dataclass(frozen=True)
class Example:
    """A block of YAML on a page, with the words of the comment above it."""

    page: str
    line: int
    words: tuple[str, ...]
    content: dict[str, Any]

    @property
    def platform(self) -> str:
        named = [word for word in self.words if word in PLATFORMS]
        return named[0] if named else "digital_audience"

    @property
    def is_defaults(self) -> bool:
        """Whether all definitions inherit it."""
        return "defaults" in self.words

    def definition(self) -> dict[str, Any]:
        """Return the example as a whole definition."""
        if "whole" in self.words:
            return self.content
        unhashed = {"allow_unhashed": True} if "allow_unhashed" in self.words else {}
        return completed({} if self.is_defaults else self.content, self.platform) | unhashed


def examples() -> Iterator[Example]:
    for page, lines in PAGES.items():
        for number, line in enumerate(lines, start=1):
            if line.startswith("```yaml"):
                mark = re.fullmatch(r"<!-- example: ([a-z_ ]+) -->", lines[number - 2])
                end = lines.index("```", number)
                content = yaml.safe_load("\n".join(lines[number:end]))
                yield Example(page, number, tuple(mark[1].split()) if mark else (), content)


KINDS = {"whole", "source", "part", "defaults"}
EXAMPLES = list(examples())
SOURCES = [example for example in EXAMPLES if "source" in example.content and not example.is_defaults]


def at(example: Example) -> str:
    return f"{example.page}:{example.line}"


def mentioned(content: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the options in an example, as :func:`options_of` spells them."""
    for name, value in content.items():
        yield prefix + name
        if isinstance(value, Mapping):
            folder = f"{prefix}<identifier>" if prefix == "source.columns." else prefix + name
            yield from mentioned(value, f"{folder}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for item in value:
                yield from mentioned(item, f"{prefix}{name}[].")


def test_every_option_is_in_an_example() -> None:
    shown = {name for example in EXAMPLES for name in mentioned(example.content)}
    headers = {option for option in OPTIONS if option.startswith("output_file.headers.")}

    assert headers & shown
    assert set(OPTIONS) - headers - shown == set()


def test_each_example_is_marked_and_read_by_the_real_models(tmp_path: Path) -> None:
    problems = []
    for example in EXAMPLES:
        folder = tmp_path / at(example)
        folder.mkdir()
        if example.is_defaults:
            (folder / "_defaults.yaml").write_text(yaml.safe_dump(example.content), encoding="utf-8")
        (folder / "example.yaml").write_text(yaml.safe_dump(example.definition()), encoding="utf-8")
        if found := check_folder(folder, environment=None).diagnostics:
            problems.append(f"{at(example)}: {'; '.join(map(str, found))}")
            continue
        definition = read_definition(folder / "example.yaml")
        is_fine = definition.platform == example.platform and definition.guards
        if not (set(example.words) & KINDS and is_fine and definition.file_profile):
            problems.append(f"{at(example)}: {example.words} of {definition}")
    assert not problems, "\n".join(problems)


# --- the sources of the examples are read ---------------------------------------------------------------------

VALUES = {
    "email": ("anna@example.com", "bob@example.com"),
    "phone": ("+31612345678", "+31687654321"),
    "postal_code": ("1234 AB", "1234 AC"),
    "house_number": ("1", "22"),
    "extension": ("", "b"),
    "apartment": ("", ""),
    "street": ("Dorpsstraat", "Kerkstraat"),
    "personal_id": ("19811228-9874", "19900101-0017"),
    "aaid": ("cdda802e-fb9c-47ad-9866-0794d394c912", "38400000-8cf0-11bd-b23e-10b96e40000d"),
    "idfa": ("EA7583CD-A667-48BC-B806-42ECB2B48606", "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
    "custom": ("C-1", "C-2"),
}
"""Two people."""


def table_of(source: SourceConfig) -> tuple[list[str], list[list[str]]]:
    """Return a header and two rows as the example maps them, with a column that it does not map."""
    header, values = ["something else"], [["x"], ["y"]]
    for name, column in source.columns.by_identifier().items():
        header.append(column if isinstance(column, str) else column.name)
        for row, value in zip(values, VALUES[name], strict=True):
            hashed = isinstance(column, SourceColumn)
            row.append(hashlib.sha256(value.encode()).hexdigest().upper() if hashed else value)
    return header, values


def write_source(path: Path, source: SourceConfig, header: list[str], rows: list[list[str]]) -> None:
    """Write a file of the kind that the path of the source names."""
    if ".parquet" in str(source.path):
        pl.DataFrame(rows, schema=header, orient="row").write_parquet(path)
        return
    if ".xlsx" in str(source.path):
        path.write_bytes(xlsx([], [header, *rows], names=["Other", str(source.sheet)]))
        return
    delimiter = ";" if source.delimiter == "auto" else source.delimiter
    quote = '"' if source.quote == "auto" else source.quote
    encoding = "cp1252" if source.encoding == "auto" else source.encoding
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding=encoding, newline="") as out:
        writer = csv.writer(out, delimiter=delimiter, quotechar=quote, quoting=csv.QUOTE_ALL)
        writer.writerows([header, *rows])


def make_database(path: Path) -> None:
    """Make the table that the query of the example reads; a third person opts in a day too late."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE newsletter (id INTEGER, email TEXT, mobile TEXT, opted_in_on TEXT)")
        people = [*zip(VALUES["email"], VALUES["phone"], strict=True), ("late@example.com", "+31600000000")]
        connection.executemany(
            "INSERT INTO newsletter VALUES (?, ?, ?, ?)",
            [(number, *person, f"2026-11-{19 + number}") for number, person in enumerate(people)],
        )
        connection.commit()


def bring_here(source: SourceConfig, tmp_path: Path) -> dict[str, Any]:
    """Write the source of the example below ``tmp_path``, and return the operator's argument for it."""
    header, rows = table_of(source)
    options = {**source_of(source, tmp_path), "override_folder": None}
    place = SourceOptions.parse({**options, "path": source.resolve(tmp_path)}).url(DAY)
    path = tmp_path / place.removeprefix("s3://").removeprefix(str(tmp_path)).lstrip("/")
    if place.endswith("/"):
        path /= "x.csv"
    path = path.with_name(path.name.replace("*", "x"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_source(path, source, header, rows)
    if place.endswith("/"):
        return {**options, "path": f"{path.parent}/"}
    return {**options, "path": str(path.with_name(place.rpartition("/")[2]))}


@pytest.mark.parametrize("example", SOURCES, ids=at)
def test_the_source_of_an_example_is_read(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = get_platform(example.platform).definition
    definition = model.model_validate({"key": "example", **example.definition()})
    source = definition.source
    if source.query is None:
        options = SourceOptions.parse(bring_here(source, tmp_path))
    else:
        make_database(tmp_path / "crm.db")
        connect_to(tmp_path / "crm.db", monkeypatch)
        options = SourceOptions.parse({**source_of(source, tmp_path), "path": ""})

    with prepare(
        open_source(options, DAY, s3_client=lambda: pytest.fail("there is no S3 here")),
        columns={Identifier(name): column for name, column in source.columns.by_identifier().items()},
        profile=definition.file_profile,
        country=source.phone_region,
        memory_limit_mib=128,
    ) as load:
        content = b"".join(load.chunks(1000))
        report = load.report

    assert (report.rows_read, report.rows_sent, report.rejected) == (2, 2, 0)
    assert report.ignored_columns == (0 if source.query else 1)
    assert report.invalid_values == {}
    assert report.hash_mismatches == 0
    filled = {name: sum(map(bool, VALUES[name])) for name in source.columns.by_identifier()}
    assert dict(report.values_sent) == filled
    assert content
