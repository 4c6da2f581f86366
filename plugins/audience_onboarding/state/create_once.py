"""Create an object at a vendor exactly once across retries, clears, backfills and crashes.

No vendor has idempotency keys, so the order is: store the intent, send the request, store the id. An intent without an
id means that the request may have been carried out: the next try asks the vendor. If the vendor has no look-up, a user
has to check its portal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Generic

from audience_onboarding.dag_ids import RETIRE_DAG_ID
from audience_onboarding.exceptions import (
    AmbiguousCreateError,
    AudienceRetiredError,
    ConfigurationError,
    CreateUnverifiedError,
    Outcome,
    StateLostError,
    VendorError,
)
from audience_onboarding.state.remote_ids import Id
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    LAST_LOAD_KEY,
    REOPENED_KEY,
    RETIRED_KEY,
    StateStore,
)

log = logging.getLogger(__name__)

VISIBILITY_TIMEOUT = timedelta(minutes=2)
"""After this time an empty look-up proves that an unanswered request created nothing; longer than a vendor may still
work on it."""

REQUEST_ENDED = "ended"
"""Field of an intent: time at which its request ended without a usable answer."""


@dataclass(frozen=True)
class CreateRequest(Generic[Id]):
    """Object to create once.

    :param kind: ``campaign``, ``audience``, ``segment``, for messages.
    :param name: its name at the vendor.
    :param account: the account that it belongs to; an id of another account is never used.
    :param create: sends the request and returns the id.
    :param find: finds the id at the vendor; ``None`` if the vendor has no such list.
    :param sent: content of the request, for messages; no personal data.
    """

    kind: str
    name: str
    account: str
    create: Callable[[], Id]
    find: Callable[[], Id | None] | None = None
    sent: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """For example ``campaign 'Always-on CRM'``."""
        return f"{self.kind} {self.name!r}"


def check_not_retired(store: StateStore) -> None:
    """Raise if the audience is retired.

    :param store: of the audience.
    :raises AudienceRetiredError: it is.
    """
    record = store.get(RETIRED_KEY)
    if not isinstance(record, dict):
        return
    key = record.get("audience", "")
    raise AudienceRetiredError(
        what=f"The audience {key!r} was retired on {record.get('at')} by {record.get('by')}",
        where=f"state store, key {RETIRED_KEY!r}, written by run {record.get('run_id')}",
        why=f"it was audience {record.get('audience_id')} at the vendor",
        next_step=f"Remove its definition. Or, to create it again, trigger the DAG {RETIRE_DAG_ID!r} with the conf "
        f'{{"audience": "{key}", "action": "reopen"}}',
    )


def check_not_lost(store: StateStore, events: Iterable[Any]) -> None:
    """Check before a create that the audience's state is not lost: then the create would make a second audience.

    Airflow deletes the state of an asset while no DAG refers to it, but not the asset's events. The state of a loaded
    audience has a last load.

    :param store: of the audience.
    :param events: of its asset, newest first.
    :raises StateLostError: a load was published, and the state has none.
    """
    if any(store.get(key) is not None for key in (LAST_LOAD_KEY, RETIRED_KEY, REOPENED_KEY)):
        return
    published = next((event.extra for event in events if (event.extra or {}).get("audience_id")), None)
    if published is None:
        return
    audience_id = published["audience_id"]
    raise StateLostError(
        what=f"The stored state is gone, but the audience was loaded before, with id {audience_id}",
        where=f"state store, key {LAST_LOAD_KEY!r}; the event of load {published.get('load_date')} of the asset",
        why="Airflow deletes the state while no DAG names the asset, for example after its definition was removed",
        next_step=f"Set 'id: {audience_id}' in the definition. If the vendor no longer has this audience, set the key "
        f"{REOPENED_KEY!r} in the state store to true, and clear this task",
    )


def stored_id(store: StateStore, key: str, *, account: str, read: Callable[[Any], Id]) -> Id | None:
    """Return the id stored under ``key``, ``None`` if there is none yet.

    :param account: the account of the connection.
    :param read: parses an id of this platform, see :mod:`.remote_ids`.
    :raises ConfigurationError: the id is invalid or belongs to another account.
    :raises AudienceRetiredError: the audience was retired.
    """
    if key == AUDIENCE_KEY:
        check_not_retired(store)
    record = store.get(key)
    if record is None or pending_intent(record) is not None:
        return None
    try:
        remote_id = read(record.get("id") if isinstance(record, dict) else None)
    except ConfigurationError:
        raise ConfigurationError(
            what=f"The stored record of the {key} has no valid id",
            where=f"state store, key {key!r}",
            next_step='Set it to {"id": <id>} with the id that the vendor shows, or delete the key if the vendor has '
            "no such object",
        ) from None
    stored_account = record.get("account", account)
    if stored_account != account:
        raise ConfigurationError(
            what=f"The stored id {remote_id} of the {key} belongs to {stored_account}, not to {account}",
            where=f"state store, key {key!r}",
            next_step="Point the connection back, or delete the key to create it on the new account",
        )
    return remote_id


def get_audience_id(
    defined_id: Any, store: StateStore, *, account: Callable[[], str], read: Callable[[Any], Id]
) -> Id | None:
    """Return the id of an audience: that of its definition, else the stored one, else ``None``.

    :param defined_id: of the definition; used without a check whether the audience was retired.
    :param store: of the audience.
    :param account: returns the account of the connection; called only without ``defined_id``.
    :raises ConfigurationError: see :func:`stored_id`.
    :raises AudienceRetiredError: the audience was retired.
    """
    if defined_id is not None:
        return read(defined_id)
    return stored_id(store, AUDIENCE_KEY, account=account(), read=read)


def pending_intent(record: Any) -> Mapping[str, str] | None:
    """Return the intent of a stored record that has no id yet, else ``None``."""
    intent = record.get("intent") if isinstance(record, dict) and "id" not in record else None
    return intent if isinstance(intent, dict) else None


def create_once(  # noqa: PLR0913
    store: StateStore,
    key: str,
    request: CreateRequest[Id],
    *,
    read: Callable[[Any], Id],
    run_id: str,
    store_hint: str,
    resolution_hint: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Id:
    """Return the id of an object; create the object if and only if it does not exist yet.

    :param store: holds id and intent.
    :param key: of both in the store.
    :param read: parses an id of this platform, see :mod:`.remote_ids`.
    :param run_id: of the Airflow run, stored with them.
    :param store_hint: location of ``store``, for the message of an ambiguous create.
    :param resolution_hint: the user's action that resolves it, for the same message; empty: edit ``store``.
    :raises AmbiguousCreateError: an earlier or this request may have created it, and the vendor has no look-up.
    :raises CreateUnverifiedError: the same, but a later try can find it.
    :raises TransientError: not created; try again.
    """
    hints = ResolutionHints(resolution_hint, store_hint)
    known_id = stored_id(store, key, account=request.account, read=read)
    if known_id is not None:
        log.info("Using %s with id %s", request.subject, known_id)
        return known_id
    found_id = request.find() if request.find else None
    if found_id is not None:
        log.info("Found %s at the vendor with id %s", request.subject, found_id)
        _store_id(store, key, request, found_id, run_id=run_id, now=now)
        return found_id
    earlier = pending_intent(store.get(key))
    if earlier is not None:
        _check_earlier_intent(earlier, key, request, hints, now())
    intent = {"name": request.name, "at": now().isoformat(), "run_id": run_id}
    store.set(key, {"intent": intent})
    try:
        created_id = request.create()
    except VendorError as error:
        if error.outcome is Outcome.NOT_DONE:
            store.delete(key)
            raise
        # The request is over, so a user may resolve it at once.
        store.set(key, {"intent": {**intent, REQUEST_ENDED: now().isoformat()}})
        if request.find is None:
            raise _ambiguous(intent, key, request, hints, why=error.reason) from None
        # The next try may come soon: if the object exists, it finds it; only an absence has to be waited out.
        raise _unverified(request, why=error.reason, retry_after=None) from None
    except ConfigurationError:
        # Raised before anything was sent. After any other exception the intent stays, to be on the safe side.
        store.delete(key)
        raise
    _store_id(store, key, request, created_id, run_id=run_id, now=now)
    log.info("Created %s with id %s", request.subject, created_id)
    return created_id


def _store_id(
    store: StateStore,
    key: str,
    request: CreateRequest[Id],
    remote_id: Id,
    *,
    run_id: str,
    now: Callable[[], datetime],
) -> None:
    store.set(
        key,
        {
            "id": remote_id,
            "name": request.name,
            "account": request.account,
            "since": now().isoformat(),
            "run_id": run_id,
        },
    )


@dataclass(frozen=True)
class ResolutionHints:
    """Ways in which a user resolves an ambiguous create, for messages."""

    action: str
    store: str

    def message(self, key: str) -> str:
        """Return the instruction for a key of the store."""
        by_hand = (
            f'in {self.store}: either set the key {key!r} to {{"value": {{"id": <id>}}}} with the id found, or '
            "declare that nothing was created by deleting that key"
        )
        return f"{self.action}. Or resolve it {by_hand}" if self.action else f"resolve it {by_hand}"


def _check_earlier_intent(
    intent: Mapping[str, str], key: str, request: CreateRequest[Id], hints: ResolutionHints, now: datetime
) -> None:
    """Raise unless the earlier request surely created nothing."""
    if request.find is None:
        raise _ambiguous(intent, key, request, hints, why="an earlier try ended without an answer")
    left = VISIBILITY_TIMEOUT - (now - datetime.fromisoformat(intent["at"]))
    if left > timedelta(0):
        why = "an earlier try has just ended without an answer"
        raise _unverified(request, why=why, retry_after=left.total_seconds())
    log.warning(
        "The try of %s to create %s left nothing at the vendor; creating it now",
        intent["at"],
        request.subject,
    )


def _unverified(request: CreateRequest[Id], *, why: str, retry_after: float | None) -> CreateUnverifiedError:
    return CreateUnverifiedError(
        what=f"It is not clear yet whether {request.subject} was created",
        where=request.account,
        why=why,
        next_step=f"The next try asks the vendor; after {VISIBILITY_TIMEOUT} an absence counts as not created",
        retry_after=retry_after,
    )


def _ambiguous(
    intent: Mapping[str, str], key: str, request: CreateRequest[Id], hints: ResolutionHints, *, why: str
) -> AmbiguousCreateError:
    sent = ", ".join(f"{name}={value!r}" for name, value in request.sent.items())
    return AmbiguousCreateError(
        what=f"It is not clear whether {request.subject} was created",
        where=f"{request.account}, sent {intent['at']} by run {intent['run_id']}: {sent}",
        why=why,
        next_step=f"Search the vendor's portal for it, then {hints.message(key)}. Then clear this task. Until then "
        "nothing is sent",
    )
