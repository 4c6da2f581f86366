"""Shared by the tests of the engine: loads of small files, and what they should give by the slow, obvious way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from audience_onboarding.crm.engine import CsvSource, prepare
from audience_onboarding.crm.layout import ContentId, Layout, fingerprint
from audience_onboarding.crm.normalize import normalize_email, normalize_phone, sha256_hex
from audience_onboarding.crm.output import CrmFile
from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3, FileProfile, Identifier
from audience_onboarding.crm.report import LoadReport
from audience_onboarding.crm.store import FrameStore
from audience_onboarding.crm.workers import Workers

BOTH = {Identifier.EMAIL: "email", Identifier.PHONE: "phone"}
HEADER = b"email_sha256,phone_sha256\r\n"


def load(
    path: Path,
    content: bytes | None = None,
    *,
    columns: dict[Identifier, str] | None = None,
    profile: FileProfile = DIGITAL_AUDIENCE_S3,
    source: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[LoadReport, bytes]:
    """Report and bytes of one load; writes ``content`` to ``path`` first, where given."""
    if content is not None:
        path.write_bytes(content)
    settings = {"memory_limit_mib": 256, "threads": 1, **settings}
    with prepare(
        CsvSource(path, **(source or {})), columns=columns or BOTH, profile=profile, **settings
    ) as prepared:
        return prepared.report, b"".join(prepared.chunks(1000))


def expected(
    rows: Iterable[Sequence[str]], *, country: str = "NL", strip_plus_tag: bool = False
) -> tuple[dict[str, Any], bytes]:
    """Report and bytes for rows of e-mail and phone, one row at a time with the reference functions."""
    seen: set[tuple[str, str]] = set()
    lines: list[str] = []
    report: dict[str, Any] = {
        "rows_read": 0,
        "rows_sent": 0,
        "duplicates": 0,
        "rejected": 0,
        "rejected_by_reason": {},
        "invalid_values": {},
        "values_sent": {"email": 0, "phone": 0},
        "values_read": {"email": 0, "phone": 0},
        "unusable_values": {},
        "hash_mismatches": 0,
        "ignored_columns": [],
        "files": 1,
    }
    for email, phone in rows:
        report["rows_read"] += 1
        answers = {
            "email": normalize_email(email, strip_plus_tag=strip_plus_tag),
            "phone": normalize_phone(phone, country=country),
        }
        values = {key: answer for key, answer in answers.items() if isinstance(answer, str)}
        bad = {
            key: answer.reason.value
            for key, answer in answers.items()
            if not isinstance(answer, str) and answer.reason.value != "empty"
        }
        for key in (*values, *bad):
            report["values_read"][key] += 1
        for key, reason in bad.items():
            counts = report["unusable_values"].setdefault(key, {})
            counts[reason] = counts.get(reason, 0) + 1
        report["hash_mismatches"] += list(bad.values()).count("already_hashed")
        if not values:
            reason = next(iter(bad.values()), "no_identifier")
            report["rejected"] += 1
            report["rejected_by_reason"][reason] = report["rejected_by_reason"].get(reason, 0) + 1
            continue
        for key, reason in bad.items():
            counts = report["invalid_values"].setdefault(key, {})
            counts[reason] = counts.get(reason, 0) + 1
        row = tuple(sha256_hex(values[key]) if key in values else "" for key in ("email", "phone"))
        if row in seen:
            report["duplicates"] += 1
            continue
        seen.add(row)  # type: ignore[arg-type]
        lines.append(",".join(row) + "\r\n")
        report["rows_sent"] += 1
        for key in values:
            report["values_sent"][key] += 1
    return report, HEADER + "".join(lines).encode()


def file_of(layout: Layout, store: FrameStore, workers: Workers) -> CrmFile:
    """A file of all rows of a store, in which no two are alike."""
    identity = ContentId(layout)
    size = 0
    for frame in store.all():
        identity.add(frame.select(fingerprint(layout.names)).to_series())
        size += layout.size(frame)
    return CrmFile(layout, store, workers, dropped={}, content_id=identity.hexdigest(), size=size)
