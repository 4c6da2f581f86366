"""Rows of delimited text: the two readers agree, and settings and limits hold. The corpus: test_malformed.py."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.sources import csv_buffer, csv_file, csv_structure
from audience_onboarding.exceptions import (
    AudienceOnboardingError,
    ConfigurationError,
    SourceFormatError,
)
from tests.unit.crm.loads import load

A, B, C = "a@x.example", "b@x.example", "c@x.example"
PHONE = "0612345678"


def outcome(path: Path, content: bytes, **settings: Any) -> object:
    try:
        return load(path, content, **settings)
    except AudienceOnboardingError as error:
        return str(error)


@pytest.mark.parametrize("threads", [1, 2])
@given(
    text=st.lists(
        st.sampled_from(
            [",", ",", '"', '""', "\n", "\n", "\r\n", "\r", " ", "x", A, B, PHONE, '"q"', f'"{C}"', "é"]
        ),
        max_size=30,
    ).map("".join),
)
def test_csv_source_random_text_both_readers_agree(
    tmp_path_factory: pytest.TempPathFactory, threads: int, text: str
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "x.csv"
    content = f"email,phone\n{text}".encode()
    fast = outcome(path, content, threads=threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_structure.CsvStructure, "check", lambda structure, text: None)
        assert outcome(path, content, threads=threads) == fast


def test_csv_source_invalid_settings_raise(tmp_path: Path) -> None:
    settings = [("delimiter", value) for value in ("", ";;", "\n", "é", '"')]
    settings += [("quote", ","), ("encoding", "rot13"), ("encoding", "klingon")]
    for name, value in settings:
        with pytest.raises(ConfigurationError, match=name):
            csv_file.CsvSource(tmp_path / "x.csv", **{name: value})  # type: ignore[arg-type]


def test_csv_source_raised_limit_of_csv_bounds_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (csv_buffer, csv_file):
        monkeypatch.setattr(module, "MAX_RECORD", 10_000)
    before = csv.field_size_limit(2**31 - 1)
    try:
        with pytest.raises(SourceFormatError, match="record at line 2"):
            load(tmp_path / "x.csv", f'email,phone\n"{A},\n'.encode() + f"{B},\n".encode() * 2_000)
    finally:
        csv.field_size_limit(before)
