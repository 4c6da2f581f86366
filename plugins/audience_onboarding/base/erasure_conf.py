"""Redacts personal hashes from the run conf and audit log of ``erase_person`` after the run ends.

Airflow stores the conf of a run, and writes it into its audit log. Tasks read the hashes from the conf, also after a
clear. So the hashes stay until the run no longer needs them, and the plugin removes them after its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

HASH_FIELDS = ("email_sha256", "phone_sha256", "personal_id_sha256")
"""Form fields with hashes of people."""

OTHER_FIELDS = ("audiences", "ignore_snapshots", "dry_run")
"""The other form fields."""

REMOVED = "removed"
"""Key in the conf of an ended run: number of hashes by field."""

UNKNOWN = "unknown_fields_removed"
"""Key in the conf of a run: number of fields that the form does not have. Airflow accepts such a conf."""

RETENTION_AFTER_FAILURE = timedelta(days=30)
"""Time in which the tasks of a failed run can be cleared: its hashes are stored so long."""

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MARKS = {REMOVED, UNKNOWN}


def drop_unknown_fields(conf: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the conf without fields that the form does not have; ``None`` if it has no such field.

    Neither names nor values of such fields are kept: either could be personal data.
    """
    conf = conf or {}
    unknown = set(conf) - {*HASH_FIELDS, *OTHER_FIELDS, *_MARKS}
    if not unknown:
        return None
    known = {name: value for name, value in conf.items() if name not in unknown}
    return {**known, UNKNOWN: len(unknown) + int(known.get(UNKNOWN, 0))}


def redact_hashes(conf: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the conf with counts instead of hashes; ``None`` if it has no hash."""
    conf = drop_unknown_fields(conf) or dict(conf or {})
    counts = {name: len(conf[name]) for name in HASH_FIELDS if conf.get(name)}
    if not counts:
        return None
    return {**conf, **{name: [] for name in HASH_FIELDS if name in conf}, REMOVED: counts}


def redact_audit_entry(extra: str) -> str | None:
    """Return an entry of Airflow's audit log about the DAG without user input; ``None`` if it has none.

    Airflow writes the entry before it validates the request, so rejected requests have one, too.
    """
    try:
        entry = json.loads(extra)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        cleaned = _HASH.sub(REMOVED, extra)
    else:
        conf = entry.get("conf")
        if isinstance(conf, dict):
            entry["conf"] = {name: conf[name] for name in OTHER_FIELDS if _is_harmless(name, conf.get(name))}
        elif conf is not None:
            entry["conf"] = REMOVED
        if "conf" in str(entry.get("full_command", "")):
            # It contains the whole command line.
            entry["full_command"] = REMOVED
        cleaned = _HASH.sub(REMOVED, json.dumps(entry))
        if entry == json.loads(extra) and cleaned == json.dumps(entry):
            return None
    return None if cleaned == extra else cleaned


def _is_harmless(name: str, value: Any) -> bool:
    """Return whether the value is valid in the form: keys of audiences, or a boolean."""
    if name == "audiences":
        return isinstance(value, list) and all(
            isinstance(item, str) and re.fullmatch(r"[a-z0-9_]{1,100}", item) for item in value
        )
    return isinstance(value, bool)
