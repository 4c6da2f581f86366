"""The ids of the package's DAGs, for all that only names them: the page looks them up, and builds none."""

from __future__ import annotations

from audience_onboarding.base.erasure_conf import ERASE_DAG_ID
from audience_onboarding.state.create_once import RETIRE_DAG_ID
from audience_onboarding.state.reconcile import RESOLVE_CREATE_DAG_ID

ONBOARDING_PREFIX = "onboard_"
ACTIVATION_PREFIX = "activate_"

ONBOARDING_NAME = "Onboard: "
"""What the display name of an onboarding DAG begins with; what people call the audience comes after it."""


def onboarding_dag_id(key: str) -> str:
    """The DAG that loads an audience."""
    return f"{ONBOARDING_PREFIX}{key}"


def activation_dag_id(key: str) -> str:
    """The DAG that activates an audience."""
    return f"{ACTIVATION_PREFIX}{key}"


LOAD_RANGE_DAG_ID = "load_date_range"
"""The DAG that loads a range of days of any audience."""

EXTENSION_DAG_ID = "extend_segment_end_dates"
"""The DAG that keeps the segments of all audiences alive."""

EXTENSION_REPORT = ("report", "report")
"""The task of that DAG, and its XCom, that tell of all segments which were looked at."""

SET_END_DATE_DAG_ID = "set_segment_end_date"
"""The DAG with which a person gives one segment an end date."""

DRIFT_DAG_ID = "check_drift"
"""The DAG that compares what is at the vendors with the definitions."""

__all__ = [
    "ACTIVATION_PREFIX",
    "DRIFT_DAG_ID",
    "ERASE_DAG_ID",
    "EXTENSION_DAG_ID",
    "EXTENSION_REPORT",
    "LOAD_RANGE_DAG_ID",
    "ONBOARDING_NAME",
    "ONBOARDING_PREFIX",
    "RESOLVE_CREATE_DAG_ID",
    "RETIRE_DAG_ID",
    "SET_END_DATE_DAG_ID",
    "activation_dag_id",
    "onboarding_dag_id",
]
