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
from typing import Any, Generic

from audience_onboarding.dag_ids import RETIRE_DAG_ID
from audience_onboarding.exceptions import (
    AmbiguousCreateError,
    AudienceRetiredError,
    ConfigurationError,
    CreateUnverifiedError,
    Outcome,
    VendorError,
)
from audience_onboarding.state.remote_ids import Id
from audience_onboarding.state.store import AUDIENCE_KEY, RETIRED_KEY, StateStore

log = logging.getLogger(__name__)

VISIBILITY_TIMEOUT = timedelta(minutes=2)
"""How long after an unclear request a look-up that finds nothing proves that nothing was created: longer than
the vendor may still be working on it."""

REQUEST_ENDED = "ended"
"""In an intent: when its request is known to have ended, without an answer that tells."""


@dataclass(frozen=True)
class CreateRequest(Generic[Id]):
    """Something to be created once.

    :param kind: ``campaign``, ``audience``, ``segment``, for messages.
    :param name: what it is called at the vendor.
    :param account: the account it is created at; an id of another account is never taken for it.
    :param create: sends the request and returns the id.
    :param find: asks the vendor for the id by other means; ``None`` where the vendor has no such list.
    :param sent: what the request says, for the message to a person; no personal data.
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
    """Let an audience pass that is not retired.

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
        next_step=f"Remove its definition. Or, to begin anew, trigger the DAG {RETIRE_DAG_ID!r} with the conf "
        f'{{"audience": "{key}", "action": "reopen"}}',
    )


def stored_id(store: StateStore, key: str, *, account: str, read: Callable[[Any], Id]) -> Id | None:
    """The id that is remembered under ``key``, ``None`` if there is none yet.

    :param account: the account that is asked now.
    :param read: reads an id as the platform spells them, see :mod:`.ids`.
    :raises ConfigurationError: the id was given by another account, or it is none.
    :raises AudienceRetiredError: it is that of an audience which was retired.
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
            what=f"What is remembered of the {key} is no id",
            where=f"state store, key {key!r}",
            next_step='Set it to {"id": <id>} with the id that the vendor shows, or delete the key if there is '
            "nothing at the vendor",
        ) from None
    known = record.get("account", account)
    if known != account:
        raise ConfigurationError(
            what=f"The remembered id {remote_id} of the {key} belongs to {known}, not to {account}",
            where=f"state store, key {key!r}",
            next_step="Point the connection back, or delete the key to start anew on the new account",
        )
    return remote_id


def get_audience_id(
    given: Any, store: StateStore, *, account: Callable[[], str], read: Callable[[Any], Id]
) -> Id | None:
    """The id of an audience: the one that its definition gives, or else the remembered one; ``None`` if there is none
    yet.

    :param given: by the definition.
    :param store: of the audience.
    :param account: the account that is asked now; called only where the definition gives no id.
    :raises ConfigurationError: see :func:`stored_id`.
    :raises AudienceRetiredError: what is remembered was retired. A given id is not looked at.
    """
    if given is not None:
        return read(given)
    return stored_id(store, AUDIENCE_KEY, account=account(), read=read)


def pending_intent(record: Any) -> Mapping[str, str] | None:
    """The intent in what is remembered under a key, ``None`` unless it is all that is known."""
    intent = record.get("intent") if isinstance(record, dict) and "id" not in record else None
    return intent if isinstance(intent, dict) else None


def create_once(  # noqa: PLR0913
    store: StateStore,
    key: str,
    creation: CreateRequest[Id],
    *,
    read: Callable[[Any], Id],
    run_id: str,
    store_hint: str,
    resolution_hint: str = "",
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Id:
    """Return the id of something, creating it if and only if it does not exist yet.

    :param store: where id and intent are kept.
    :param key: under which they are kept.
    :param read: reads an id as the platform spells them, see :mod:`.ids`.
    :param run_id: of the Airflow run, kept beside them.
    :param store_hint: where a person finds ``store``, for the message of an ambiguous creation.
    :param resolution_hint: how a person resolves it in one action, for the same message; empty: in ``store`` alone.
    :raises AmbiguousCreateError: an earlier or this request may have created it, and nothing can tell.
    :raises CreateUnverifiedError: the same, but the vendor can be asked a little later.
    :raises TransientError: not created for sure; try again.
    """
    known = stored_id(store, key, account=creation.account, read=read)
    if known is not None:
        log.info("Using %s with id %s", creation.subject, known)
        return known
    found = creation.find() if creation.find else None
    if found is not None:
        log.info("Found %s at the vendor with id %s", creation.subject, found)
        store_id(store, key, creation, found, run_id=run_id, now=now)
        return found
    earlier = pending_intent(store.get(key))
    if earlier is not None:
        _judge_earlier_intent(earlier, key, creation, ResolutionHints(resolution_hint, store_hint), now())
    intent = {"name": creation.name, "at": now().isoformat(), "run_id": run_id}
    store.set(key, {"intent": intent})
    try:
        created = creation.create()
    except VendorError as error:
        if error.outcome is Outcome.NOT_DONE:
            store.delete(key)
            raise
        # The request is over: who settles it need not wait until it surely is.
        store.set(key, {"intent": {**intent, REQUEST_ENDED: now().isoformat()}})
        if creation.find is None:
            ways = ResolutionHints(resolution_hint, store_hint)
            raise _ambiguous(intent, key, creation, ways, why=str(error)) from None
        # The next try may come soon: it finds what was created. Only if it does not, there is something to wait for.
        raise _not_clear_yet(creation, why=str(error), again_in=None) from None
    except ConfigurationError:
        # Raised before anything was sent. Whatever else ends here leaves the intent behind, to be on the safe side.
        store.delete(key)
        raise
    store_id(store, key, creation, created, run_id=run_id, now=now)
    log.info("Created %s with id %s", creation.subject, created)
    return created


def store_id(
    store: StateStore,
    key: str,
    creation: CreateRequest[Id],
    remote_id: Id,
    *,
    run_id: str,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> None:
    """Write down the id of something that is known to be there."""
    store.set(
        key,
        {
            "id": remote_id,
            "name": creation.name,
            "account": creation.account,
            "since": now().isoformat(),
            "run_id": run_id,
        },
    )


@dataclass(frozen=True)
class ResolutionHints:
    """How a person settles an unclear creation."""

    by: str
    hint: str

    def words(self, key: str) -> str:
        """For the message."""
        by_hand = (
            f"in {self.hint}: either record the id found, by putting "
            f'{{"value": {{"id": <id>}}}} under the key {key!r}, or declare that nothing was created, by '
            "deleting that key"
        )
        return f"{self.by}. Or settle it {by_hand}" if self.by else f"settle it {by_hand}"


def _judge_earlier_intent(
    intent: Mapping[str, str], key: str, creation: CreateRequest[Id], ways: ResolutionHints, moment: datetime
) -> None:
    """Return if the earlier request surely created nothing, else raise."""
    if creation.find is None:
        raise _ambiguous(intent, key, creation, ways, why="an earlier try ended without an answer")
    left = VISIBILITY_TIMEOUT - (moment - datetime.fromisoformat(intent["at"]))
    if left > timedelta(0):
        why = "an earlier try ended without an answer a moment ago"
        raise _not_clear_yet(creation, why=why, again_in=left)
    log.warning(
        "The try of %s to create %s left nothing behind at the vendor; creating it now",
        intent["at"],
        creation.subject,
    )


def _not_clear_yet(
    creation: CreateRequest[Id], *, why: str, again_in: timedelta | None
) -> CreateUnverifiedError:
    return CreateUnverifiedError(
        what=f"It is not clear yet whether {creation.subject} was created",
        where=creation.account,
        why=why,
        next_step=f"The next try asks the vendor; after {VISIBILITY_TIMEOUT} an absence counts as not created",
        retry_after=None if again_in is None else again_in.total_seconds(),
    )


def _ambiguous(
    intent: Mapping[str, str], key: str, creation: CreateRequest[Id], ways: ResolutionHints, *, why: str
) -> AmbiguousCreateError:
    sent = ", ".join(f"{name}={value!r}" for name, value in creation.sent.items())
    return AmbiguousCreateError(
        what=f"It is not clear whether {creation.subject} was created",
        where=f"{creation.account}, sent {intent['at']} by run {intent['run_id']}: {sent}",
        why=why,
        next_step=f"Look for it in the vendor's portal, then {ways.words(key)}. Then clear this task. Until then "
        "nothing is sent",
    )
