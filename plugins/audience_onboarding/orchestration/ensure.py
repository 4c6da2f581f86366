"""Create something at a vendor once, over all retries, clears, backfills and crashes.

No vendor has idempotency keys, so the order is: remember the intent, send the request, remember the id. Whoever
finds an intent without an id cannot know whether the request was carried out, and asks the vendor; where the vendor
has no way to ask, a person has to look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from audience_onboarding.errors import (
    AmbiguousCreateError,
    ConfigurationError,
    Outcome,
    TransientError,
    VendorError,
)
from audience_onboarding.orchestration.memory import Memory

log = logging.getLogger(__name__)

SETTLE_AFTER = timedelta(minutes=2)
"""How long after an unclear request a look-up that finds nothing proves that nothing was created: longer than
the vendor may still be working on it."""


@dataclass(frozen=True)
class Creation:
    """Something to be created once.

    :param kind: ``campaign``, ``audience``, ``segment``, for messages.
    :param name: what it is called at the vendor.
    :param account: the host it is created at; an id of another host is never taken for it.
    :param create: sends the request and returns the id.
    :param find: asks the vendor for the id by other means; ``None`` where the vendor has no such list.
    :param sent: what the request says, for the message to a person; no personal data.
    """

    kind: str
    name: str
    account: str
    create: Callable[[], int]
    find: Callable[[], int | None] | None = None
    sent: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """For example ``campaign 'Always-on CRM'``."""
        return f"{self.kind} {self.name!r}"


def remembered_id(memory: Memory, key: str, *, account: str) -> int | None:
    """The id that is remembered under ``key``, ``None`` if there is none yet.

    :param account: the host that is asked now.
    :raises ConfigurationError: the id was given by another host.
    """
    record = memory.get(key)
    if record is None or (isinstance(record, dict) and "intent" in record and "id" not in record):
        return None
    remote_id = record.get("id") if isinstance(record, dict) else None
    if remote_id is None or isinstance(remote_id, bool) or not str(remote_id).isdecimal():
        raise ConfigurationError(
            what=f"What is remembered of the {key} is no id",
            where=f"state store, key {key!r}",
            next_step='Set it to {"id": <id>} with the number that the vendor shows, or delete the key if there is '
            "nothing at the vendor",
        )
    known = record.get("account", account)
    if known != account:
        raise ConfigurationError(
            what=f"The remembered id {remote_id} of the {key} belongs to {known}, not to {account}",
            where=f"state store, key {key!r}",
            next_step="Point the connection back, or delete the key to start anew on the new host",
        )
    return int(remote_id)


def ensure_id(
    memory: Memory,
    key: str,
    creation: Creation,
    *,
    run_id: str,
    settle_hint: str,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> int:
    """Return the id of something, creating it if and only if it does not exist yet.

    :param memory: where id and intent are kept.
    :param key: under which they are kept.
    :param run_id: of the Airflow run, kept beside them.
    :param settle_hint: where a person finds ``memory``, for the message of an ambiguous creation.
    :raises AmbiguousCreateError: an earlier or this request may have created it, and nothing can tell.
    :raises TransientError: not created for sure, or not clear yet; try again.
    """
    known = remembered_id(memory, key, account=creation.account)
    if known is not None:
        log.info("Using %s with id %s", creation.subject, known)
        return known
    found = creation.find() if creation.find else None
    if found is not None:
        log.info("Found %s at the vendor with id %s", creation.subject, found)
        _remember(memory, key, creation, found, run_id, now())
        return found
    record = memory.get(key)
    if isinstance(record, dict) and "intent" in record:
        _judge_earlier_intent(record["intent"], key, creation, settle_hint, now())
    intent = {"name": creation.name, "at": now().isoformat(), "run_id": run_id}
    memory.set(key, {"intent": intent})
    try:
        created = creation.create()
    except VendorError as error:
        if error.outcome is Outcome.NOT_DONE:
            memory.delete(key)
            raise
        if creation.find is None:
            raise _ambiguous(intent, key, creation, settle_hint, why=str(error)) from None
        raise _not_clear_yet(creation, why=str(error)) from None
    except ConfigurationError:
        # Raised before anything was sent. Whatever else ends here leaves the intent behind, to be on the safe side.
        memory.delete(key)
        raise
    _remember(memory, key, creation, created, run_id, now())
    log.info("Created %s with id %s", creation.subject, created)
    return created


def _remember(
    memory: Memory, key: str, creation: Creation, remote_id: int, run_id: str, moment: datetime
) -> None:
    memory.set(
        key,
        {
            "id": remote_id,
            "name": creation.name,
            "account": creation.account,
            "since": moment.isoformat(),
            "run_id": run_id,
        },
    )


def _judge_earlier_intent(
    intent: Mapping[str, str], key: str, creation: Creation, settle_hint: str, moment: datetime
) -> None:
    """Return if the earlier request surely created nothing, else raise."""
    if creation.find is None:
        raise _ambiguous(intent, key, creation, settle_hint, why="an earlier try ended without an answer")
    if moment - datetime.fromisoformat(intent["at"]) < SETTLE_AFTER:
        raise _not_clear_yet(creation, why="an earlier try ended without an answer a moment ago")
    log.warning(
        "The try of %s to create %s left nothing behind at the vendor; creating it now",
        intent["at"],
        creation.subject,
    )


def _not_clear_yet(creation: Creation, *, why: str) -> TransientError:
    return TransientError(
        what=f"It is not clear yet whether {creation.subject} was created",
        where=creation.account,
        why=why,
        next_step=f"The next try asks the vendor; after {SETTLE_AFTER} an absence counts as not created",
    )


def _ambiguous(
    intent: Mapping[str, str], key: str, creation: Creation, settle_hint: str, *, why: str
) -> AmbiguousCreateError:
    sent = ", ".join(f"{name}={value!r}" for name, value in creation.sent.items())
    return AmbiguousCreateError(
        what=f"It is not clear whether {creation.subject} was created",
        where=f"{creation.account}, sent {intent['at']} by run {intent['run_id']}: {sent}",
        why=why,
        next_step=(
            f"Look for it in the vendor's portal, then settle it in {settle_hint}: either record the id found, by "
            f'putting {{"value": {{"id": <id>}}}} under the key {key!r}, or declare that nothing was created, by '
            "deleting that key. Then clear this task. Until then nothing is sent"
        ),
    )
