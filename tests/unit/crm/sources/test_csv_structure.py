"""Structure of CSV text, with chunks of any size."""

from __future__ import annotations

import pytest

from audience_onboarding.crm.sources import csv_structure
from audience_onboarding.crm.sources.csv_dialect import Dialect


@pytest.mark.parametrize("fields", [1, 2, 3])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_csv_structure_records_across_chunks_are_counted(
    fields: int, line_end: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_structure, "_CHUNK", chunk)
    structure = csv_structure.CsvStructure(Dialect(",", "utf-8", '"'), fields)

    def rows(*records: str) -> tuple[int, int] | None:
        regular = structure.check("".join(record + line_end for record in records).encode())
        return None if regular is None else (regular.rows, regular.lines)

    more = ",x" * (fields - 1)
    assert rows(f"a{more}", f"b{more}") == (2, 2)
    assert rows(f'"a,b"{more}', f'""{more}', f'"c""d"{more}', f"e{more}") == (4, 4)
    assert rows(f'"a{line_end}{line_end}b"{more}', f"c{more}") == (2, 4)
    for broken in (f"a{more},x", f'"a"b{more}', f' "a"{more}', f'"a{more}', f"a\rb{more}"):
        assert rows(f"a{more}", broken, f"b{more}") is None, broken
