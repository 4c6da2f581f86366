"""Columns of a source by name, and messages without personal data."""

from __future__ import annotations

import pytest

from audience_onboarding.crm.sources.base import count_unmapped, resolve_columns
from audience_onboarding.exceptions import MissingColumnError


@pytest.mark.parametrize(
    "first_line",
    [
        ["", "", "1234 AB", "12", "Jan", "Jansen", "Amsterdam"],
        ["45 67", "1234 AB", "12", "Jan", "Jansen"],
        ["Jansen", "Jan", "3 mei 85", "1234 AB"],
        ["Emil", "0612345678"],
        ["Emil", "emil@example.com"],
    ],
)
def test_resolve_columns_file_without_header_prints_no_value(first_line: list[str]) -> None:
    with pytest.raises(MissingColumnError) as caught:
        resolve_columns(first_line, ["E-mail"], "crm.csv")

    assert f"it has {len(first_line)} column(s), and none has a similar name" in str(caught.value)
    assert [value for value in first_line if value and value in str(caught.value)] == []


def test_resolve_columns_similar_name_is_suggested_and_no_other_name_printed() -> None:
    with pytest.raises(MissingColumnError, match=r"it has 3 column\(s\); did you mean 'E-mial'\?") as caught:
        resolve_columns(["Customer", "E-mial", "Phone"], ["E-mail"], "crm.csv")

    assert "Customer" not in str(caught.value)


def test_resolve_columns_ambiguous_name_prints_the_requested_name_only() -> None:
    with pytest.raises(MissingColumnError, match="2 columns of the CRM file match 'e-mail'") as caught:
        resolve_columns(["E-Mail", "E-mail ", "Jansen"], ["e-mail"], "crm.csv")

    assert "Jansen" not in str(caught.value)


def test_count_unmapped_counts_named_columns_only() -> None:
    assert count_unmapped(["E-mail", "Phone", " ", "Size"], [0]) == 2
