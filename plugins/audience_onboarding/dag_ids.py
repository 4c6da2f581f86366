"""Ids of the package's DAGs."""

from __future__ import annotations

ONBOARDING_PREFIX = "onboard_"
ACTIVATION_PREFIX = "activate_"

ONBOARDING_NAME = "Onboard: "
"""Prefix of the display name of an onboarding DAG, before the audience's name."""

LOAD_RANGE_DAG_ID = "load_date_range"
"""Loads a date range of any audience."""

EXTENSION_DAG_ID = "extend_segment_end_dates"
"""Extends the end dates of the segments of all audiences."""

EXTENSION_REPORT = ("report", "report")
"""Task id and XCom key of the report on all segments that :data:`EXTENSION_DAG_ID` checked."""

SET_END_DATE_DAG_ID = "set_segment_end_date"
"""Sets the end date of one segment."""

DRIFT_DAG_ID = "check_drift"
"""Compares the definitions with the vendors' objects."""

ERASE_DAG_ID = "erase_person"
"""Removes a person from all audiences."""

RETIRE_DAG_ID = "retire_audience"
"""Retires an audience, or reopens a retired one."""

RESOLVE_CREATE_DAG_ID = "resolve_ambiguous_create"
"""Resolves an ambiguous create."""


def onboarding_dag_id(key: str) -> str:
    """Return the id of the DAG that loads an audience."""
    return f"{ONBOARDING_PREFIX}{key}"


def activation_dag_id(key: str) -> str:
    """Return the id of the DAG that activates an audience."""
    return f"{ACTIVATION_PREFIX}{key}"
