from __future__ import annotations

import datetime
import errno
import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.crm.sources.excel_file import XlsxSource
from audience_onboarding.crm.sources.multi_file import MultiFileSource
from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.crm.sources.parquet_file import ParquetSource
from audience_onboarding.definitions import SourceConfig
from audience_onboarding.exceptions import ConfigurationError, MissingColumnError, SourceNotFoundError
from audience_onboarding.storage.file_sources import resolve_source, source_exists
from tests.unit.crm.reading import column, read
from tests.unit.crm.workbooks import xlsx


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"email\n{name}\n")


def found(url: str, workdir: Path) -> list[Any]:
    return column(resolve_source(url), "email", workdir)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_local_file_is_used_where_it_is(tmp_path: Path, prefix: str) -> None:
    # Its name may look like a pattern.
    path = tmp_path / "crm?x#1 [é]*.csv"
    path.write_text("email\na\n")
    (tmp_path / "crm!x#1 éé.csv").write_text("email\nb\n")
    source = resolve_source(f"{prefix}{path}")
    assert isinstance(source, CsvSource)
    assert source.path == path
    assert column(source, "email", tmp_path) == ["a"]
    assert source_exists(f"{prefix}{path}")


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "crm/a.csv", "crm/b.csv")
    monkeypatch.chdir(tmp_path)
    assert found("crm/a.csv", tmp_path) == ["crm/a.csv"]
    assert found("crm/*.csv", tmp_path) == ["crm/a.csv", "crm/b.csv"]
    assert found("crm/", tmp_path) == ["crm/a.csv", "crm/b.csv"]


def test_patterns_and_folders(tmp_path: Path) -> None:
    hidden = ("crm/_SUCCESS", "crm/.crc", "crm/sub/deep.csv", ".hidden/1.csv")
    fill(tmp_path, "crm/2.csv", "crm/10.csv", "crm/a b.csv", "crm/x.txt", *hidden, "more/1.csv")
    files = ["crm/10.csv", "crm/2.csv", "crm/a b.csv"]
    patterns = {
        "crm/*.csv": files,
        "crm/?.csv": ["crm/2.csv"],
        "crm/[0-9]*.csv": ["crm/10.csv", "crm/2.csv"],
        "crm/": [*files, "crm/x.txt"],
        "crm/*": [*files, "crm/x.txt"],
        "crm/_*": ["crm/_SUCCESS"],
        "*/*.csv": [*files, "more/1.csv"],
        "*/sub/*.csv": ["crm/sub/deep.csv"],
        "c*/sub/deep.csv": ["crm/sub/deep.csv"],
    }
    for pattern in patterns:
        assert source_exists(f"{tmp_path}/{pattern}"), pattern
    assert {pattern: found(f"{tmp_path}/{pattern}", tmp_path) for pattern in patterns} == patterns


def test_several_files_are_told_apart(tmp_path: Path) -> None:
    fill(tmp_path, "a.csv", "b.csv")
    source = resolve_source(f"{tmp_path}/*.csv")
    assert isinstance(source, MultiFileSource)
    assert source.name == f"{tmp_path}/*.csv"
    assert read(source, ["email"], tmp_path).files == ["a.csv", "b.csv"]
    (tmp_path / "b.csv").write_text("mail\n")
    with pytest.raises(MissingColumnError, match=r"b\.csv"):
        read(source, ["email"], tmp_path)


def test_one_file_of_a_pattern_is_that_file(tmp_path: Path) -> None:
    fill(tmp_path, "a.csv")
    source = resolve_source(f"{tmp_path}/*.csv")
    assert source.name == str(tmp_path / "a.csv")
    assert set(read(source, ["email"], tmp_path).files) == {""}


def test_a_missing_file_says_what_is_in_its_folder(tmp_path: Path) -> None:
    eight = [f"{n}.csv" for n in range(8)]
    cases: list[tuple[list[str] | None, str]] = [
        (None, "its folder does not exist either"),
        (["notes.txt", "_SUCCESS.csv"], "its folder has no .csv file"),
        (["b.csv", "a.csv", "notes.txt"], "its folder has a.csv, b.csv"),
        (eight, "its folder has 3.csv, 4.csv, 5.csv, 6.csv, 7.csv and 3 earlier ones"),
    ]
    for number, (there, said) in enumerate(cases):
        for name in there or ():
            fill(tmp_path, f"{number}/{name}")
        with pytest.raises(SourceNotFoundError) as caught:
            resolve_source(f"{tmp_path}/{number}/2026-11-17.csv")
        assert caught.value.why == said
    # Nothing is listed except for a single file with an ending.
    for name in ("crm/", "crm/*.csv", "passwd"):
        with pytest.raises(SourceNotFoundError) as caught:
            resolve_source(f"{tmp_path}/{name}")
        assert caught.value.why == ""


def test_missing_places(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for place in ("x.csv", "*.csv", "nowhere/", "nowhere/*/x.csv", "folder.csv/*", "[ab].csv"):
        url = f"{tmp_path}/{place}"
        assert not source_exists(url), place
        with pytest.raises(SourceNotFoundError) as caught:
            resolve_source(url)
        assert caught.value.where == url


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    for look in (resolve_source, source_exists):
        with pytest.raises(SourceNotFoundError, match=r"directory.*end it in /"):
            look(str(tmp_path))


def test_a_folder_that_may_not_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, "x")

    monkeypatch.setattr("os.scandir", refuse)  # root may look everywhere
    with pytest.raises(SourceNotFoundError, match="Permission denied"):
        resolve_source(f"{tmp_path}/")


def test_other_urls_are_refused(tmp_path: Path) -> None:
    urls = {
        **dict.fromkeys(
            ("ftp://host/x.csv", "https://host/x.csv", "s3://", "s3://bucket", "s3:///key", "file://"), ""
        ),
        "s3://bucket/key": "needs an AWS connection",
        f"{tmp_path}/**/x.csv": r"one \* per folder",
    }
    for url, message in urls.items():
        for look in (resolve_source, source_exists):
            with pytest.raises(ConfigurationError, match=message or None):
                look(url)


def test_the_format_by_the_name(tmp_path: Path) -> None:
    kinds: dict[type, tuple[str, ...]] = {
        CsvSource: ("x.csv", "x.txt", "x.tsv", "x.csv.gz", "x.csv.zst", "x.parquet.csv", "no-suffix"),
        ParquetSource: ("part-0.snappy.parquet", "X.PARQUET"),
        XlsxSource: ("x.xlsx", "x.xlsm", "x.xls"),
    }
    for kind, names in kinds.items():
        fill(tmp_path, *names)
        assert {name: type(resolve_source(str(tmp_path / name))) for name in names} == dict.fromkeys(
            names, kind
        )


def test_a_declared_format_goes_before_the_name(tmp_path: Path) -> None:
    pl.DataFrame({"email": ["a"]}).write_parquet(tmp_path / "export.dat")
    source = resolve_source(str(tmp_path / "export.dat"), options=SourceOptions(format="parquet"))
    assert column(source, "email", tmp_path) == ["a"]
    (tmp_path / "export").write_bytes(xlsx([["x"]], [["email"], ["b"]]))
    source = resolve_source(str(tmp_path / "export"), options=SourceOptions(format="xlsx", sheet="Sheet2"))
    assert column(source, "email", tmp_path) == ["b"]
    fill(tmp_path, "x.parquet")
    assert isinstance(
        resolve_source(str(tmp_path / "x.parquet"), options=SourceOptions(format="csv")), CsvSource
    )
    with pytest.raises(ConfigurationError, match="Invalid format of a source: 'orc'"):
        resolve_source(str(tmp_path / "export"), options=SourceOptions(format="orc"))


def test_how_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress("naam|'e|mail'\n\xe9|b\n".encode("cp1252")))
    options = SourceOptions(delimiter="|", encoding="cp1252", quote="'")
    source = resolve_source(str(tmp_path / "x.csv.gz"), options=options)
    assert read(source, ["naam", "e|mail"], tmp_path).rows == [("\xe9", "b")]
    source = resolve_source(
        str(tmp_path / "x.csv.gz"), options=SourceOptions(delimiter="auto", encoding="auto", quote="auto")
    )
    assert column(source, "naam", tmp_path) == ["\xe9"]


def test_files_of_several_formats(tmp_path: Path) -> None:
    fill(tmp_path, "in/1.csv")
    pl.DataFrame({"email": ["2"]}).write_parquet(tmp_path / "in/2.parquet")
    (tmp_path / "in/3.xlsx").write_bytes(xlsx([["email"], [3]]))
    assert found(f"{tmp_path}/in/", tmp_path) == ["in/1.csv", "2", "3"]


# --- the page about sources -------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "sources.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block)["source"] for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]

FILES: dict[str, Callable[[Path, list[list[str]]], object]] = {
    "crm/2026-11-20.csv.gz": lambda path, rows: path.write_bytes(
        gzip.compress(lines(rows, ";").encode("cp1252"))
    ),
    "crm/2026-11-20.txt": lambda path, rows: path.write_text(lines(rows, "|"), encoding="utf-16"),
    "2026-11-20.parquet": lambda path, rows: pl.DataFrame(dict(zip(*rows, strict=True))).write_parquet(path),
    "crm/2026-11-20.xlsx": lambda path, rows: path.write_bytes(
        xlsx([["x"]], rows, names=["Intro", "Customers"])
    ),
    "2026-11-20/1.csv.gz": lambda path, rows: path.write_bytes(gzip.compress(lines(rows, ",").encode())),
    "exports/2026-11-20/1.csv": lambda path, rows: path.write_text(lines(rows, ",")),
}
"""How to write what an example asks for, by the end of its path."""


def lines(rows: list[list[str]], delimiter: str) -> str:
    return "".join(f"{delimiter.join(row)}\n" for row in rows)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.get("path", "query"))
def test_the_examples_of_the_page(example: dict[str, Any], tmp_path: Path) -> None:
    declared = SourceConfig.model_validate(example)
    assert declared.model_dump(exclude_unset=True).keys() == example.keys()
    if declared.path is None:
        return
    place = declared.path.format(load_date=datetime.date(2026, 11, 20)).replace(
        "s3://crm-exports", str(tmp_path)
    )
    url = place if place.startswith("/") else f"{tmp_path}/{place}"
    wanted = list(example["columns"].values())
    # With another column, so that there is a delimiter to find.
    rows = [["Näme", *wanted], ["José", *(f"value {number}" for number in range(len(wanted)))]]
    name = url.replace("*", "1") + ("1.csv" if url.endswith("/") else "")
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    next(write for end, write in FILES.items() if name.endswith(end))(Path(name), rows)
    options = SourceOptions(
        format=declared.format,
        delimiter=declared.delimiter,
        encoding=declared.encoding,
        quote=declared.quote,
        sheet=declared.sheet,
    )
    result = read(resolve_source(url, options=options), [*wanted, "näme"], tmp_path)
    assert result.rows == [(*rows[1][1:], "José")]
