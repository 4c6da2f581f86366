from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from audience_onboarding.crm.report import LoadReport
from audience_onboarding.exceptions import AccountingError

REPORT = LoadReport(
    rows_read=10,
    rows_sent=6,
    duplicates=1,
    rejected=3,
    rejected_by_reason={"no_identifier": 2, "malformed_row": 1},
    invalid_values={"phone": {"invalid_phone": 2}},
    values_sent={"email": 6, "phone": 4},
)


def test_report_is_json_and_pickle_serializable() -> None:
    made = REPORT.to_dict()
    assert LoadReport(**json.loads(json.dumps(made))).to_dict() == made
    assert pickle.loads(pickle.dumps(REPORT)) == REPORT


@pytest.mark.parametrize(
    "changes",
    [
        {"rows_read": 11},
        {"rows_sent": 5},
        {"duplicates": 0},
        {"rejected": 2},
        {"rows_read": -1, "rows_sent": -5},
        {"rejected_by_reason": {"no_identifier": 2}},
        {"values_sent": {"email": 7}},
    ],
)
def test_report_contradicting_counts_raise(changes: dict[str, object]) -> None:
    with pytest.raises(AccountingError):
        replace(REPORT, **changes)  # type: ignore[arg-type]
