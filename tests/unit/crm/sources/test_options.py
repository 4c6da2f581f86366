"""Options of a source, as definitions, operators and readers share them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.crm.sources.options import SourceOptions
from audience_onboarding.exceptions import ConfigurationError

DAY = date(2026, 11, 20)


def test_a_text_is_a_path_with_the_load_date() -> None:
    assert SourceOptions.parse("crm/{load_date}.csv") == SourceOptions(path="crm/{load_date}.csv")
    assert SourceOptions.parse({"path": "s3://b/{load_date:%Y/%m}/"}).url(DAY) == "s3://b/2026/11/"


def test_a_path_goes_before_a_query() -> None:
    query = {"query": "SELECT 1", "conn_id": "db"}
    for given in (query, {**query, "path": ""}):
        assert SourceOptions.parse(given).is_query
    for given in ({**query, "path": "x.csv"}, "x.csv"):
        assert not SourceOptions.parse(given).is_query


def test_url_path_of_a_run_must_be_in_the_folder(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "own_other"
    for folder in (own, other):
        folder.mkdir()
    (own / "link").symlink_to(other)

    def url(path: str, folder: str | None = f"{own}/") -> str:
        return SourceOptions(path=path, own_path="/exports/x.csv", override_folder=folder).url(DAY)

    for path in (f"{own}/a.csv", f"file://{own}/a.csv", f"{own}/sub/*.csv", f"{own}/"):
        assert url(path) == path
    for path in (
        "/etc/passwd",
        f"{other}/a.csv",
        f"{own}/../own_other/a.csv",
        f"{own}/l*/../own_other/a.csv",
        f"{own}/link/a.csv",
        f"file://{other}/a.csv",
        "own/a.csv",
        "s3://own/a.csv",
    ):
        with pytest.raises(ConfigurationError, match="is not in the folder of the definition"):
            url(path)
    assert url("s3://b/crm/x.csv", "s3://b/crm") == "s3://b/crm/x.csv"
    with pytest.raises(ConfigurationError, match="is not in the folder of the definition"):
        url("s3://b/crm_other/x.csv", "s3://b/crm")
    # The path of the definition and the path of an operator are trusted.
    assert url("/exports/x.csv", "") == "/exports/x.csv"
    assert url("/etc/passwd", None) == "/etc/passwd"
    with pytest.raises(ConfigurationError, match="has no folder for it"):
        url(f"{own}/a.csv", "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "needs a path, or a query"),
        ({}, "needs a path, or a query"),
        ({"path": "", "query": "SELECT 1"}, "needs a path, or a query and its connection"),
        ({"query": "SELECT 1"}, "needs a path, or a query and its connection"),
        (
            {"path": "x", "aws": "y", "bucket": "z"},
            "Unknown field of a source: 'aws', 'bucket'. Allowed are path, query, conn_id",
        ),
        ({"path": "x", "format": "CSV"}, "Invalid format of a source: 'CSV'. Allowed are auto, csv"),
        (
            {"path": "x", "on_missing": None},
            "Invalid on_missing of a source: None. Allowed are fail, skip, wait",
        ),
    ],
)
def test_invalid_options_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SourceOptions.parse(given)


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("crm/{load_date}.csv", "crm/2026-11-20.csv"),
        ("s3://bucket/{load_date:%Y/%m/%d}/x.csv", "s3://bucket/2026/11/20/x.csv"),
        ("{load_date:%Y%m%d}-{load_date}.csv", "20261120-2026-11-20.csv"),
        ("{load_date:%-d.%-m.%y}.csv", "20.11.26.csv"),
        ("one file for all days.csv", "one file for all days.csv"),
        ("{{literally}}.csv", "{literally}.csv"),
    ],
)
def test_the_load_date_is_filled_in(template: str, url: str) -> None:
    assert SourceOptions(path=template).url(DAY) == url


@pytest.mark.parametrize(
    "template",
    [
        "{date}.csv",
        "{}.csv",
        "{load_date",
        "load_date}",
        "{load_date.week}.csv",
        "{load_date[0]}.csv",
        "{load_date!r}.csv",
        "{load_date!s:>5000000000}.csv",
        "{load_date:%5000000000Y}.csv",
    ],
)
def test_any_other_placeholder_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError, match="unknown placeholder") as caught:
        SourceOptions(path=template).url(DAY)

    assert repr(template) in str(caught.value)
