"""Taking people out of an audience of Digital Audience: an opt-out file, waited for, then the snapshots.

Source: the vendor's page "Updating audiences via S3": ``opt-out`` removes "matching records". Which records match is
not stated. So each hash is in a row of its own: a record that matches any of them should go.
"""

from __future__ import annotations

import hashlib
import logging
import time as clock
from collections.abc import Iterator
from datetime import datetime, time, timedelta, timezone
from functools import partial
from typing import Any

from audience_onboarding.base.connections import s3_client
from audience_onboarding.base.erasure import (
    ErasureJob,
    HeldPeople,
    Outcome,
    Waiting,
    mapped_hashes,
    nothing_mapped,
)
from audience_onboarding.base.snapshot_diff import OPT_OUT
from audience_onboarding.crm.snapshots.subjects import opt_out_file
from audience_onboarding.exceptions import DailyFileLimitError, TerminalError, UploadConflictError
from audience_onboarding.platforms.digital_audience.confirmation import Baseline
from audience_onboarding.platforms.digital_audience.definition import VENDOR_PREFIX, DigitalAudienceDefinition
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.digital_audience.load_files import (
    baseline_in,
    baseline_metadata,
    bucket_at,
)
from audience_onboarding.platforms.digital_audience.sensors import audience_failed
from audience_onboarding.platforms.digital_audience.triggers import DigitalAudienceAudienceStateTrigger
from audience_onboarding.platforms.digital_audience.upload_log import (
    UploadEntry,
    UploadLog,
    record_erasure_upload,
)
from audience_onboarding.state.create_once import audience_id_of, check_not_retired
from audience_onboarding.state.remote_ids import number_id
from audience_onboarding.state.store import Memory

log = logging.getLogger(__name__)

OTHER_FILE, OUR_FILE = "other file", "our file"

_TAKEN = (time(0, 0, 0), time(23, 59, 59))
"""Of the day's own opt-out, and that of a range of days."""


def find_audience_id(definition: DigitalAudienceDefinition, memory: Memory) -> int | None:
    """The audience's id, ``None`` where there is none yet.

    :raises AudienceRetiredError: it was retired.
    """
    check_not_retired(memory)
    return audience_id_of(
        definition.id,
        memory,
        account=lambda: DigitalAudienceHook(definition.conn_id).client.settings.account,
        read=number_id,
    )


def erasure_key(audience_id: int, moment: datetime, *, is_gzip: bool = False) -> str:
    """The key of an erasure's file: the second of its run, and never that of a load.

    :param moment: in UTC.
    """
    moment = moment.replace(microsecond=0)
    if moment.time() in _TAKEN:
        moment += timedelta(seconds=1 if moment.time() == time() else -1)
    end = ".csv.gz" if is_gzip else ".csv"
    return f"{VENDOR_PREFIX}audience={audience_id}/{OPT_OUT}/{moment:%Y%m%d_%H%M%S}{end}"


def start(job: ErasureJob) -> Outcome | Waiting:
    """Send the opt-out file, unless it is there, and wait until the vendor is through with it."""
    definition: DigitalAudienceDefinition = job.definition
    hashes = mapped_hashes(job)
    if not hashes.count:
        return nothing_mapped(job)
    audience_id = find_audience_id(definition, job.memory)
    if audience_id is None:
        return Outcome("not_found", "There is no audience yet")
    held = HeldPeople(job, audience_id).rows()
    if held == 0 and not job.is_everywhere and not job.done("sent"):
        return Outcome("not_found", "By the snapshots of what was sent, it holds none of them")
    if job.is_dry_run:
        known = "its lists are not kept, so nobody knows" if held is None else f"it holds them in {held} rows"
        return Outcome("would_erase", f"An opt-out of {hashes.count} rows would be sent; {known}")
    return _send(job, definition, audience_id, opt_out_file(hashes, definition.file_profile), hashes.count)


def resume(job: ErasureJob, after: str, event: dict[str, Any]) -> Outcome | Waiting:
    """Go on, when the vendor is through with another file of the day, or with ours.

    :raises TerminalError: it has failed ours, refuses to be asked, or was not through in time.
    """
    if event["status"] == "error":
        raise TerminalError(
            what="The vendor refuses to be asked",
            where="Digital Audience",
            why=f"{event['error']}: {event['message']}",
            next_step="Once that is mended, clear this task; nothing is sent twice",
        )
    if after == OTHER_FILE:
        job.note("day", "waited")
        return start(job)
    if event["status"] == "failed":
        raise audience_failed("The opt-out", event["message"])
    if event["status"] == "timeout":
        raise TerminalError(
            what=f"The opt-out was not taken in within {job.definition.wait.timeout_hours:g} hours",
            where="Digital Audience",
            why=str(event["message"]),
            next_step="Look at the audience in the vendor's portal, then clear this task to wait on; nothing is sent "
            "twice",
        )
    audience_id = find_audience_id(job.definition, job.memory)
    taken = HeldPeople(job, audience_id).take_out()
    rows = int((job.done("sent") or {}).get("rows", 0))
    return Outcome(
        "erased",
        "The vendor has taken in the opt-out. Which records match it is not in its pages",
        {"rows_sent": rows, "taken_out_of_snapshot": taken},
    )


class _WaitFirst(Exception):  # noqa: N818 - no error
    def __init__(self, waiting: Waiting) -> None:
        super().__init__()
        self.waiting = waiting


def _send(
    job: ErasureJob, definition: DigitalAudienceDefinition, audience_id: int, content: bytes, rows: int
) -> Waiting:
    from audience_onboarding.storage.s3_upload import publish_object

    client = DigitalAudienceHook(definition.conn_id).client
    baseline = Baseline.of(client.load_audience(audience_id))
    connection = definition.upload.aws_conn_id
    bucket = bucket_at(connection, definition.upload.bucket)
    is_gzip = definition.file_profile.compression == "gzip"
    key = erasure_key(audience_id, job.utc, is_gzip=is_gzip)
    upload = UploadEntry(
        key=key,
        # Of one person's hash, the id of the content would be as good as the hash.
        content_id="",
        load=f"{job.utc.date().isoformat()} {OPT_OUT} erasure-{job.utc:%H%M%S}",
        load_date=job.utc.date().isoformat(),
        mode=OPT_OUT,
        rows=rows,
        at=datetime.now(timezone.utc).isoformat(),
        token="",
        baseline=baseline.to_dict(),
    )

    def before_writing() -> None:
        _check_day(job, definition, audience_id, upload)
        record_erasure_upload(job.memory, upload)
        job.note("sent", {"rows": rows})

    try:
        published = publish_object(
            s3_client(connection),
            bucket=bucket,
            key=key,
            chunks=partial(_in_parts, content),
            content_id=hashlib.sha256(content).hexdigest(),
            size=len(content),
            metadata={"rows": str(rows), **job.run, **baseline_metadata(baseline)},
            before_writing=before_writing,
        )
    except _WaitFirst as first:
        return first.waiting
    except UploadConflictError as error:
        error.next_step = "Another erasure was started in the same second. Trigger this one again"
        error.add_next_step("Nothing was sent")
        raise
    job.note("sent", {"rows": rows})
    words = "is there already" if published.unchanged else "was put"
    log.info("The opt-out of %s rows %s: s3://%s/%s", rows, words, bucket, key)
    seconds = timedelta(hours=definition.wait.timeout_hours).total_seconds()
    return _waiting(
        definition,
        audience_id,
        baseline=baseline_in(published.metadata).to_dict(),
        mode=OPT_OUT,
        rows=rows,
        seconds=seconds,
        after=OUR_FILE,
    )


def _in_parts(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def _check_day(
    job: ErasureJob, definition: DigitalAudienceDefinition, audience_id: int, upload: UploadEntry
) -> None:
    """What the definition says about a second file on one day.

    :raises DailyFileLimitError: there was one, and it says ``fail``.
    """
    now = datetime.now(timezone.utc)
    others = UploadLog(job.memory).same_day_uploads(now, key=upload.key, load=upload.load)
    if not others or job.done("day"):
        return
    rule = definition.upload.on_second_daily_file
    keys = ", ".join(sorted({other.key for other in others}))
    if rule == "warn":
        log.warning("The vendor recommends one file per audience and day; today (UTC) there was %s", keys)
        return
    if rule == "fail":
        raise DailyFileLimitError(
            what="There was a file for this audience today (UTC) already, and the definition allows no second one",
            where=keys,
            next_step="Clear this task tomorrow, or let 'upload.on_second_daily_file' be 'warn' or 'wait'",
        )
    log.info("Waiting until the vendor is through with %s, or the day (UTC) is over", others[-1].key)
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), tzinfo=timezone.utc)
    raise _WaitFirst(
        _waiting(
            definition,
            audience_id,
            baseline=dict(others[-1].baseline),
            mode=others[-1].mode,
            rows=others[-1].rows,
            seconds=(tomorrow - now).total_seconds(),
            after=OTHER_FILE,
        )
    )


def _waiting(
    definition: DigitalAudienceDefinition,
    audience_id: int,
    *,
    baseline: dict[str, str],
    mode: str,
    rows: int,
    seconds: float,
    after: str,
) -> Waiting:
    wait = definition.wait
    trigger = DigitalAudienceAudienceStateTrigger(
        conn_id=definition.conn_id,
        audience_id=audience_id,
        baseline=baseline,
        mode=mode,
        rows=rows,
        rules=wait,
        poll_interval=wait.poll_interval_seconds,
        deadline=clock.time() + seconds,
    )
    return Waiting(trigger, seconds, after)
