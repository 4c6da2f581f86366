"""The CRM engine: read a list, normalise, validate, hash, dedupe, and hand out the vendor's CSV as bytes.

It knows nothing of Airflow and does no network I/O. Importing this package is cheap and safe while a DAG file
is parsed: it holds profiles, reason codes and the report. The engine itself (Polars, phonenumbers) is a
module that callers import where the work is done::

    from audience_onboarding.crm.prepare import CsvSource, prepare
"""

from __future__ import annotations

from audience_onboarding.crm.identifiers.reject_reasons import RejectReason
from audience_onboarding.crm.output.profiles import (
    COMMBOX_AUDIENCE,
    DIGITAL_AUDIENCE_S3,
    FANFARE_IMPORT,
    FileProfile,
    Identifier,
    ProfileColumn,
)
from audience_onboarding.crm.report import LoadReport

__all__ = [
    "COMMBOX_AUDIENCE",
    "DIGITAL_AUDIENCE_S3",
    "FANFARE_IMPORT",
    "FileProfile",
    "Identifier",
    "LoadReport",
    "ProfileColumn",
    "RejectReason",
]
