"""Loads of small files for the tests of the engine, and a slow, obvious model of their result."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from audience_onboarding.crm.identifiers.normalize import normalize_email, normalize_phone
from audience_onboarding.crm.output.crm_file import CrmFile
from audience_onboarding.crm.output.encoder import ContentId, CsvEncoder, fingerprint
from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, FileProfile, Identifier
from audience_onboarding.crm.prepare import CsvSource, prepare
from audience_onboarding.crm.report import LoadReport
from audience_onboarding.crm.runtime.frame_store import FrameStore
from audience_onboarding.crm.runtime.thread_pool import OrderedThreadPool

BOTH = {Identifier.EMAIL: "email", Identifier.PHONE: "phone"}


def content(*rows: str) -> bytes:
    """Return a CSV file with columns ``email`` and ``phone``."""
    return "".join(f"{row}\n" for row in ("email,phone", *rows)).encode()


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


def expected(rows: Iterable[Sequence[str] | None]) -> tuple[dict[str, Any], bytes, set[int]]:
    """Prepare rows of e-mail and phone one at a time, by the reference rules of single values, hashlib and sets.

    :param rows: without blank lines; ``None`` for a malformed row.
    :return: the report, the bytes of the file, and the numbers of the rejected rows.
    """
    seen: set[str] = set()
    lines = ["email_sha256,phone_sha256"]
    rejected_rows: set[int] = set()
    by_reason: Counter[str] = Counter()
    invalid, unusable = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    values_read, values_sent = Counter(email=0, phone=0), Counter(email=0, phone=0)
    read = duplicates = mismatches = 0
    for row in rows:
        read += 1
        if row is None:
            by_reason["malformed_row"] += 1
            rejected_rows.add(read)
            continue
        answers = {"email": normalize_email(row[0]), "phone": normalize_phone(row[1])}
        values = {key: answer for key, answer in answers.items() if isinstance(answer, str)}
        bad = {
            key: answer.reason.value
            for key, answer in answers.items()
            if not isinstance(answer, str) and answer.reason.value != "empty"
        }
        values_read.update([*values, *bad])
        mismatches += list(bad.values()).count("already_hashed")
        for key, reason in bad.items():
            unusable[key][reason] += 1
        if not values:
            by_reason[next(iter(bad.values()), "no_identifier")] += 1
            rejected_rows.add(read)
            continue
        for key, reason in bad.items():
            invalid[key][reason] += 1
        line = ",".join(
            hashlib.sha256(values[key].encode()).hexdigest() if key in values else "" for key in answers
        )
        if line in seen:
            duplicates += 1
        else:
            seen.add(line)
            lines.append(line)
            values_sent.update(list(values))
    report = {
        "rows_read": read,
        "rows_sent": len(seen),
        "duplicates": duplicates,
        "rejected": len(rejected_rows),
        "rejected_by_reason": by_reason,
        "invalid_values": invalid,
        "values_sent": values_sent,
        "values_read": values_read,
        "unusable_values": unusable,
        "hash_mismatches": mismatches,
        "ignored_columns": 0,
        "files": 1,
    }
    assert read == len(seen) + duplicates + len(rejected_rows), "the model does not add up"
    return report, "".join(f"{line}\r\n" for line in lines).encode(), rejected_rows


def file_of(encoder: CsvEncoder, store: FrameStore, pool: OrderedThreadPool) -> CrmFile:
    """A file of all rows of a store, in which no two are alike."""
    identity = ContentId(encoder)
    size = 0
    for frame in store.all():
        identity.add(frame.select(fingerprint(encoder.names)).to_series())
        size += encoder.size(frame)
    return CrmFile(encoder, store, pool, dropped={}, content_id=identity.hexdigest(), size=size)
