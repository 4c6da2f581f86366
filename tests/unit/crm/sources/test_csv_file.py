"""Rows of delimited text: the two readers agree, and settings and limits hold. The corpus: test_malformed.py."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.sources import csv_file
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
def test_both_readers_agree_on_garbage(
    tmp_path_factory: pytest.TempPathFactory, threads: int, text: str
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "x.csv"
    content = f"email,phone\n{text}".encode()
    fast = outcome(path, content, threads=threads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file._Structure, "plain", lambda structure, text: None)
        assert outcome(path, content, threads=threads) == fast


def test_impossible_settings(tmp_path: Path) -> None:
    settings = [("delimiter", value) for value in ("", ";;", "\n", "é", '"')]
    settings += [("quote", ","), ("encoding", "rot13"), ("encoding", "klingon")]
    for name, value in settings:
        with pytest.raises(ConfigurationError, match=name):
            csv_file.CsvSource(tmp_path / "x.csv", **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [1, 2, 3])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("stretch", [1, 3, 1000])
def test_structure_is_seen_over_the_edges_of_stretches(
    fields: int, line_end: str, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "_STRETCH", stretch)
    structure = csv_file._Structure(csv_file.Dialect(",", "utf-8", '"'), fields)

    def rows(*records: str) -> tuple[int, int] | None:
        plain = structure.plain("".join(record + line_end for record in records).encode())
        return None if plain is None else (plain.rows, plain.lines)

    more = ",x" * (fields - 1)
    assert rows(f"a{more}", f"b{more}") == (2, 2)
    assert rows(f'"a,b"{more}', f'""{more}', f'"c""d"{more}', f"e{more}") == (4, 4)
    assert rows(f'"a{line_end}{line_end}b"{more}', f"c{more}") == (2, 4)
    for broken in (f"a{more},x", f'"a"b{more}', f' "a"{more}', f'"a{more}', f"a\rb{more}"):
        assert rows(f"a{more}", broken, f"b{more}") is None, broken


def test_memory_stays_bounded_without_the_limit_of_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "MAX_RECORD", 10_000)
    before = csv.field_size_limit(2**31 - 1)
    try:
        with pytest.raises(SourceFormatError, match="record at line 2"):
            load(tmp_path / "x.csv", f'email,phone\n"{A},\n'.encode() + f"{B},\n".encode() * 2_000)
    finally:
        csv.field_size_limit(before)
