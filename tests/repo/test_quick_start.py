"""The quick start's own list, loaded by its own definition: the figures that the page shows are those."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from audience_onboarding.base.onboarding import summary
from audience_onboarding.crm.csv_source import CsvSource
from audience_onboarding.crm.engine import prepare
from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3, Identifier
from tests.repo.pages import ROOT, Block, blocks

PAGE = [block for block in blocks() if block.page == "docs/quick-start.md"]


def the_one(start: str) -> Block:
    (found,) = (block for block in PAGE if start in block.text)
    return found


@pytest.fixture
def source(tmp_path: Path) -> CsvSource:
    written = re.search(r"<<'END'\n(.*)^END$", the_one("<<'END'").text, re.DOTALL | re.MULTILINE)
    assert written
    path = tmp_path / "list.csv"
    path.write_text(written[1], encoding="utf-8")
    return CsvSource(path)


def test_the_figures_are_those_of_the_list(source: CsvSource) -> None:
    definition = yaml.safe_load(the_one("platform:").text)
    columns = {Identifier(name): column for name, column in definition["source"]["columns"].items()}

    with prepare(source, columns=columns, profile=DIGITAL_AUDIENCE_S3) as load:
        assert summary(load.report) == the_one("Prepared the list").text.rstrip("\n")
        assert b"".join(load.rejects()).decode() == the_one("file,row,field").text


def test_the_definitions_are_the_samples_and_the_new_one() -> None:
    samples = [path for path in (ROOT / "include" / "audiences").glob("*.yaml") if path.name[0] != "_"]
    samples = [path for path in samples if path.stem != "my_customers"]

    assert f"{len(samples) + 1} definitions in include/audiences" in the_one("onboarding check").text
