"""Erasure from an audience of CommBox: a list without the people replaces its content.

The vendor lists no members, and has no operation that removes one. Only the snapshot of the last confirmed load shows
the audience's content. It holds unhashed numbers; each is hashed in memory.

Source: https://help.commbox.io/apidocs/update-static-audience
"""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from audience_onboarding.base.erasure import (
    ErasureDeferral,
    ErasureJob,
    ErasureResult,
    SnapshotEraser,
    not_applicable,
)
from audience_onboarding.base.snapshot_diff import SnapshotLocation
from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.snapshots.subjects import SubjectHashes
from audience_onboarding.exceptions import OVERWRITE_HINT, ConflictError, TerminalError, TransientError
from audience_onboarding.http import FileContent
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.operators import LAST_SENT_KEY
from audience_onboarding.platforms.commbox.triggers import CommBoxUserCountTrigger
from audience_onboarding.state.create_once import check_not_retired, get_audience_id
from audience_onboarding.state.remote_ids import parse_str_id
from audience_onboarding.state.snapshot_ledger import SnapshotRef
from audience_onboarding.state.store import PENDING_LOADS_KEY, SNAPSHOTS_KEY, StateStore

log = logging.getLogger(__name__)

COUNTED = "counted"

_CHUNK = 1024 * 1024

BUSY_DELAY = timedelta(minutes=10).total_seconds()
"""Delay before the next try while a load is pending."""


def _client(definition: CommBoxDefinition) -> CommBoxClient:
    return CommBoxHook(definition.conn_id).client


def find_audience_id(definition: CommBoxDefinition, store: StateStore) -> str | None:
    """Return the audience's id, ``None`` if there is none yet.

    :raises AudienceRetiredError: it was retired.
    """
    check_not_retired(store)
    known = get_audience_id(
        definition.id, store, account=lambda: _client(definition).settings.account, read=parse_str_id
    )
    if known is not None:
        return known
    found = _client(definition).find_audience(definition.name)
    return None if found is None else found.id


def start(job: ErasureJob) -> ErasureResult | ErasureDeferral:
    """Replace the list by one without the people, and wait until the vendor counts it."""
    definition: CommBoxDefinition = job.definition
    if not job.people.of("phone"):
        return not_applicable(job)
    audience_id = find_audience_id(definition, job.store)
    if audience_id is None:
        return ErasureResult("not_found", "There is no audience yet")
    # Read first: a load that starts from here on is noticed before and after the request.
    before = _observed(job.store)
    held = SnapshotEraser(job, audience_id)
    confirmed = held.ledger.confirmed
    if job.snapshots is None or confirmed is None:
        return ErasureResult(
            "manual_action_required",
            "CommBox lists no members, and there is no snapshot of a confirmed load ('snapshots'), so the API cannot "
            f"erase people. Find the person in the console, in the audience {definition.name!r} ({audience_id}), and "
            "remove them there",
        )
    sent = job.done("sent")
    if isinstance(sent, dict) and sent.get("is_through"):
        return _wait_on(definition, audience_id, sent, confirmed)
    _check_quiet(held, definition)
    rows = held.count_rows()
    not_to_send = _not_to_send(job, confirmed, rows, audience_id, is_begun=bool(sent))
    if not_to_send is not None:
        return not_to_send
    left = confirmed.rows - (rows or 0)
    erased = _replace(job, held, job.snapshots, confirmed, audience_id, before)
    log.info("The list of audience %s was replaced by one of %s rows", audience_id, left)
    job.note("sent", {"rows": left, "erased": erased, "load": confirmed.load, "is_through": True})
    return _waiting(definition, audience_id, left)


def _wait_on(
    definition: CommBoxDefinition, audience_id: str, sent: Mapping[str, Any], confirmed: SnapshotRef
) -> ErasureResult | ErasureDeferral:
    """Wait for a list that an earlier try has sent, unless a load has replaced it since."""
    if confirmed.load != sent.get("load"):
        return ErasureResult("erased", "A later load has replaced the list without them", _counts(sent))
    return _waiting(definition, audience_id, int(sent["rows"]))


def _not_to_send(
    job: ErasureJob, confirmed: SnapshotRef, rows: int | None, audience_id: str, *, is_begun: bool
) -> ErasureResult | None:
    """Return the result if there is no list to send.

    :param rows: of the last confirmed list, with one of the people; ``None`` if unknown.
    :param is_begun: an earlier try may have sent one.
    """
    if rows is None:
        return _lost(audience_id)
    if rows == 0 and not is_begun:
        return ErasureResult("not_found", "The snapshot of the last confirmed load holds none of them")
    left = confirmed.rows - rows
    if left <= 0:
        return ErasureResult(
            "manual_action_required",
            "The audience would be empty, and CommBox's pages do not document an empty list. Empty or delete the "
            f"audience {audience_id} in the console",
        )
    if job.is_dry_run:
        return ErasureResult("would_erase", f"The list would be replaced by one of {left} rows, {rows} fewer")
    return None


def _lost(audience_id: str) -> ErasureResult:
    return ErasureResult(
        "manual_action_required",
        "The snapshot of the last confirmed load is lost. Load the list once with mode replace, from a CRM without the "
        f"person, or remove them in CommBox's console (audience {audience_id})",
    )


def resume(job: ErasureJob, after: str, event: dict[str, Any]) -> ErasureResult:  # noqa: ARG001 - there is one wait
    """Finish, after the vendor counts the new list.

    :raises TerminalError: it rejects the request, or did not count the list in time.
    """
    if event["status"] != "success":
        raise TerminalError(
            what="CommBox does not count the list without the people yet",
            where=f"audience {find_audience_id(job.definition, job.store)}",
            why=str(event["message"]),
            next_step="CommBox accepted the list. Check the audience in the console, then clear this task to wait; "
            "nothing is sent again. If another load has replaced the list since, mark the task a success",
        )
    return ErasureResult("erased", "CommBox counts the list without them", _counts(job.done("sent") or {}))


def _counts(sent: Mapping[str, Any]) -> dict[str, int]:
    return {"rows_left": int(sent.get("rows", 0)), "erased_from_snapshot": int(sent.get("erased", 0))}


def _check_quiet(held: SnapshotEraser, definition: CommBoxDefinition) -> None:
    """Check that no load is pending: our list would undo it.

    :raises TransientError: one is.
    """
    begun = held.ledger.pending
    if not begun:
        return
    raise TransientError(
        what=f"The load of {begun[-1].load_date} ({begun[-1].mode}) was started and is not confirmed, so the "
        "audience's content is unknown",
        where=definition.key,
        next_step="Wait until it is confirmed, or run it again if it has failed; then clear this task",
        retry_after=BUSY_DELAY,
    )


def _replace(
    job: ErasureJob,
    held: SnapshotEraser,
    state: SnapshotLocation,
    confirmed: SnapshotRef,
    audience_id: str,
    before: list[Any],
) -> int:
    """Send the list without the people, then erase them from the snapshots.

    The response to the PUT is the vendor's only confirmation. A load that starts before the snapshot is rewritten would
    bring them back. Until its success, the list is recorded as the last sent one, so that a load in between does not
    take its own for it. Afterwards, the last load counts as sent again: a rerun must not bring the people back.

    :param before: result of :func:`_observed` before anything else was read.
    """
    from audience_onboarding.crm.runtime.spill_dir import private_directory
    from audience_onboarding.storage.snapshot_files import fetch_snapshot

    definition: CommBoxDefinition = job.definition
    client = _client(definition)
    client.check_static(client.load_audience(audience_id))
    last = job.store.get(LAST_SENT_KEY)
    load_date = last["load_date"] if isinstance(last, dict) else confirmed.load_date.rpartition("..")[2]
    ours = {"load_date": load_date, "content_id": f"erasure of {job.run['run-id']}"}
    with private_directory() as directory:
        path = fetch_snapshot(str(confirmed.url), directory, s3_client=state.client)
        file = _written(path, job.people, definition, directory / "list.csv")
        if _observed(job.store) != before:
            raise TransientError(what="A load started at the same time", where=definition.key)
        job.note("sent", {"rows": 0})
        job.store.set(LAST_SENT_KEY, {**ours, "is_through": False})
        client.replace_audience(audience_id, file=file)
    if _observed(job.store) != [*before[:-1], {**ours, "is_through": False}]:
        raise ConflictError(
            what="A load started while the list without the people was sent, and it is unknown which one came last",
            where=f"audience {audience_id} of {definition.key}",
            next_step=f"Trigger that load again {OVERWRITE_HINT}, then clear this task",
        )
    if before[-1] is None:
        job.store.delete(LAST_SENT_KEY)
    else:
        job.store.set(LAST_SENT_KEY, before[-1])
    return held.erase()


def _observed(store: StateStore) -> list[Any]:
    """Return the values that a load changes, the last sent list last."""
    return [store.get(key) for key in (PENDING_LOADS_KEY, SNAPSHOTS_KEY, LAST_SENT_KEY)]


def _written(path: Path, people: SubjectHashes, definition: CommBoxDefinition, to: Path) -> FileContent:
    from audience_onboarding.crm.snapshots.snapshot import csv_without_subjects

    profile = definition.file_profile
    encoder = CsvEncoder(profile, profile.columns)
    with to.open("wb") as out:
        for piece in csv_without_subjects(path, people, encoder):
            out.write(piece)

    def chunks() -> Iterator[bytes]:
        with to.open("rb") as stream:
            while block := stream.read(_CHUNK):
                yield block

    return FileContent(name="list.csv", content_type="text/csv", size=to.stat().st_size, chunks=chunks)


def _waiting(definition: CommBoxDefinition, audience_id: str, rows: int) -> ErasureDeferral:
    seconds = timedelta(hours=definition.wait.timeout_hours).total_seconds()
    trigger = CommBoxUserCountTrigger(
        conn_id=definition.conn_id,
        audience_id=audience_id,
        rows=rows,
        minimum_ratio=definition.wait.minimum_ratio,
        poll_interval=definition.wait.poll_interval_seconds,
        deadline=clock.time() + seconds,
    )
    return ErasureDeferral(trigger, seconds, COUNTED)
