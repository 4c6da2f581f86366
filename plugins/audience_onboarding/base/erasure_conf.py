"""What the DAG ``erase_person`` is given, and what Airflow keeps of it: nothing of a person once the run is through.

Airflow keeps the conf of a run as it was given, and writes it into its audit log. Tasks need the hashes from it, also
after a clear. So they stay as long as the run may still need them, and the plugin removes them at its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

HASH_FIELDS = ("email_sha256", "phone_sha256", "personal_id_sha256")
"""The fields of the form that hold hashes of people."""

OTHER_FIELDS = ("audiences", "ignore_snapshots", "dry_run")
"""All others of the form."""

REMOVED = "removed"
"""In the conf of a run that is through: how many hashes each field held."""

UNKNOWN = "unknown_fields_removed"
"""In the conf of a run: how many fields it had that the form does not have. Airflow takes such a conf."""

RETENTION_AFTER_FAILURE = timedelta(days=30)
"""How long a run that has failed keeps its hashes: until then, its tasks can be cleared."""

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MARKS = {REMOVED, UNKNOWN}


def drop_unknown_fields(conf: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The conf without what the form does not have; ``None`` where there is nothing of the kind.

    Neither value nor name of such a field is kept: either could be somebody's address.
    """
    conf = conf or {}
    unknown = set(conf) - {*HASH_FIELDS, *OTHER_FIELDS, *_MARKS}
    if not unknown:
        return None
    kept = {name: value for name, value in conf.items() if name not in unknown}
    return {**kept, UNKNOWN: len(unknown) + int(kept.get(UNKNOWN, 0))}


def redact_hashes(conf: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The conf with numbers in the place of hashes; ``None`` where it holds no hash."""
    conf = drop_unknown_fields(conf) or dict(conf or {})
    counts = {name: len(conf[name]) for name in HASH_FIELDS if conf.get(name)}
    if not counts:
        return None
    return {**conf, **{name: [] for name in HASH_FIELDS if name in conf}, REMOVED: counts}


def redact_audit_entry(extra: str) -> str | None:
    """An entry of Airflow's audit log about the DAG, without what was typed; ``None`` where there is nothing in it.

    Airflow writes the entry of a request before it looks at the request: also of one that it refuses then.
    """
    try:
        told = json.loads(extra)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        cleaned = _HASH.sub(REMOVED, extra)
    else:
        conf = told.get("conf")
        if isinstance(conf, dict):
            told["conf"] = {name: conf[name] for name in OTHER_FIELDS if _is_harmless(name, conf.get(name))}
        elif conf is not None:
            told["conf"] = REMOVED
        if "conf" in str(told.get("full_command", "")):
            # Of the command line, all of it is kept.
            told["full_command"] = REMOVED
        cleaned = _HASH.sub(REMOVED, json.dumps(told))
        if told == json.loads(extra) and cleaned == json.dumps(told):
            return None
    return None if cleaned == extra else cleaned


def _is_harmless(name: str, value: Any) -> bool:
    """Whether the value is what the form takes: keys of audiences, yes or no."""
    if name == "audiences":
        return isinstance(value, list) and all(
            isinstance(item, str) and re.fullmatch(r"[a-z0-9_]{1,100}", item) for item in value
        )
    return isinstance(value, bool)
