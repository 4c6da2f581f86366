"""Resolve an ambiguous create as a person has seen it at the vendor: found with an id, or not there.

Only an intent without an id is ever changed, and only where nothing that can be known speaks against it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal
from urllib.parse import quote

from airflow.sdk import Asset

from audience_onboarding.dag_ids import RESOLVE_CREATE_DAG_ID
from audience_onboarding.exceptions import ConfigurationError, NothingToResolveError
from audience_onboarding.state.create_once import REQUEST_ENDED, VISIBILITY_TIMEOUT, pending_intent
from audience_onboarding.state.store import AUDIENCE_KEY, CAMPAIGN_KEY, StateStore, segment_key

log = logging.getLogger(__name__)

FOUND = "found"
NOT_CREATED = "not_created"
Outcome = Literal["found", "not_created"]

OUTCOMES = {FOUND: "Found at the vendor, with the id below", NOT_CREATED: "Nothing was created"}
"""What a person can have seen, and how the form says it."""

RETRY_FORM_HINT = "Nothing was changed. Correct the form, and trigger the DAG again"

_SEGMENT = "segment "


@dataclass(frozen=True)
class RemoteObject:
    """What the vendor shows under an id.

    :param name: its name there, ``None`` where the vendor shows none.
    """

    name: str | None


@dataclass(frozen=True)
class PendingCreate:
    """Something of an audience whose creation can be unclear.

    :param what: as the form says it: ``campaign``, ``audience``, ``segment <target>``.
    :param asset: whose memory knows of it.
    :param read: reads an id as the platform spells them, see :mod:`.ids`.
    :param account: the account of the connection; blocks.
    :param look: asks the vendor for an id, with the audience's memory; raises where it is not there or not ours.
        ``None`` where the vendor cannot be asked.
    :param find: asks the vendor for one that was created all the same; ``None`` where the vendor has no such list.
    """

    what: str
    asset: Asset
    read: Callable[[Any], int | str]
    account: Callable[[], str]
    look: Callable[[int | str, StateStore], RemoteObject] | None = None
    find: Callable[[StateStore], int | str | None] | None = None

    @property
    def key(self) -> str:
        """Of the intent, in the memory of the asset."""
        return state_key(self.what)


def state_key(what: str) -> str:
    """The key in the memory of what the form calls so."""
    if what.startswith(_SEGMENT):
        return segment_key(what.removeprefix(_SEGMENT))
    return {"campaign": CAMPAIGN_KEY, "audience": AUDIENCE_KEY}[what]


def object_label(key: str) -> str | None:
    """How the form calls what is remembered under a key; ``None`` for what is never unclear."""
    prefix = segment_key("")
    if key.startswith(prefix):
        return f"{_SEGMENT}{key.removeprefix(prefix)}"
    return {CAMPAIGN_KEY: "campaign", AUDIENCE_KEY: "audience"}.get(key)


def resolution_hint(audience_key: str, key: str, *, base_url: str) -> str:
    """The one action that settles an unclear creation, for its message.

    :param audience_key: of the definition.
    :param key: of the intent.
    :param base_url: of the Airflow UI; empty: not known.
    """
    what = object_label(key)
    # Airflow's log makes a link of it, up to the next space.
    page = f" at {base_url.rstrip('/')}/dags/{quote(RESOLVE_CREATE_DAG_ID)}" if base_url else ""
    form = f'"audience": "{audience_key}", "what": "{what}"'
    return (
        f"trigger the DAG {RESOLVE_CREATE_DAG_ID!r}{page} with the conf "
        f'{{{form}, "outcome": "{FOUND}", "id": "<the id in the portal>"}} if it is there, or '
        f'{{{form}, "outcome": "{NOT_CREATED}"}} if it is not'
    )


def resolve_create(  # noqa: PLR0913
    thing: PendingCreate,
    *,
    store: StateStore,
    audience_store: StateStore,
    outcome: str,
    given_id: str | None,
    accept_other_name: bool,
    run_id: str,
    by: str,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> dict[str, Any]:
    """Write down what became of an unclear creation.

    :param store: of the thing's asset.
    :param audience_store: of the audience's asset.
    :param outcome: one of :data:`OUTCOMES`.
    :param given_id: as a person typed it, for :data:`FOUND`.
    :param accept_other_name: also take one that is called otherwise than what was sent.
    :param run_id: of the Airflow run.
    :param by: who says so.
    :return: who, what and when; what was remembered, and what is now.
    :raises NothingToResolveError: nothing is unclear, or what is said cannot be so; nothing was changed.
    :raises ConfigurationError: the id is none.
    :raises VendorError: the vendor does not know the id, or cannot be asked; nothing was changed.
    """
    before = store.get(thing.key)
    intent = pending_intent(before)
    if intent is None:
        raise NothingToResolveError(
            what=f"There is no unclear creation of the {thing.what}",
            where=_where(thing),
            why="nothing is remembered of it" if before is None else f"what is remembered is {before!r}",
            next_step="Nothing was changed. Compare audience and what with the message of the task that stopped",
        )
    _check_over(thing, intent, now())
    if outcome == FOUND:
        remote_id, name = _confirmed(thing, given_id, intent, audience_store, accept_other_name)
        after: dict[str, Any] | None = {
            "id": remote_id,
            "name": name or intent.get("name"),
            "account": thing.account(),
            "since": now().isoformat(),
            "run_id": run_id,
            "settled": {"by": by, "sent": intent.get("at"), "sent_by_run": intent.get("run_id")},
        }
    else:
        _check_absent(thing, given_id, audience_store)
        after = None
    # There is no compare-and-set: between the first look and here the vendor was asked.
    if store.get(thing.key) != before:
        raise NothingToResolveError(
            what=f"What is remembered of the {thing.what} has changed just now",
            where=_where(thing),
            next_step="Nothing was changed. Look at the run that has changed it, then trigger the DAG again",
        )
    if after is None:
        store.delete(thing.key)
    else:
        store.set(thing.key, after)
    return {
        "what": thing.what,
        "asset": thing.asset.name,
        "key": thing.key,
        "outcome": outcome,
        "by": by,
        "at": now().isoformat(),
        "run_id": run_id,
        "before": before,
        "after": after,
    }


def _where(thing: PendingCreate) -> str:
    return f"state store of asset {thing.asset.name!r}, key {thing.key!r}"


def _check_over(thing: PendingCreate, intent: Any, moment: datetime) -> None:
    """A request that may still be on its way is not settled: its answer would come on top."""
    if REQUEST_ENDED in intent or "at" not in intent:
        return
    over = datetime.fromisoformat(intent["at"]) + VISIBILITY_TIMEOUT
    if moment < over:
        raise NothingToResolveError(
            what=f"The request that creates the {thing.what} may still be on its way",
            where=_where(thing),
            why=f"it was sent {intent['at']} by run {intent.get('run_id')}",
            next_step=f"Nothing was changed. If its task has stopped, trigger the DAG again after {over.isoformat()}",
        )


def _confirmed(
    thing: PendingCreate,
    given_id: str | None,
    intent: Any,
    audience_store: StateStore,
    accept_other_name: bool,
) -> tuple[int | str, str | None]:
    if not given_id:
        raise NothingToResolveError(
            what=f"The id of the {thing.what} is missing",
            where=RESOLVE_CREATE_DAG_ID,
            next_step=RETRY_FORM_HINT,
        )
    try:
        remote_id = thing.read(given_id)
    except ConfigurationError as error:
        error.prefix_subject(f"The id of the {thing.what}")
        error.where = error.where or RESOLVE_CREATE_DAG_ID
        error.add_next_step("Nothing was changed")
        raise
    if thing.look is None:
        log.warning(
            "The vendor cannot be asked for a %s by its id: %s is taken as given", thing.what, remote_id
        )
        return remote_id, None
    name = thing.look(remote_id, audience_store).name
    log.info("At the vendor, %s %s is called %r", thing.what, remote_id, name)
    sent = intent.get("name")
    if name is not None and name != sent and not accept_other_name:
        raise NothingToResolveError(
            what=f"The {thing.what} with id {remote_id} is called {name!r}, not {sent!r}",
            where=thing.account(),
            why="lists would go to something that we have not created",
            next_step=f"{RETRY_FORM_HINT}; if it is the right one and was renamed since, tick 'Accept different name'",
        )
    return remote_id, name


def _check_absent(thing: PendingCreate, given_id: str | None, audience_store: StateStore) -> None:
    if given_id:
        raise NothingToResolveError(
            what=f"An id is given ({given_id}), and that nothing was created",
            where=RESOLVE_CREATE_DAG_ID,
            why="one of the two is wrong",
            next_step=RETRY_FORM_HINT,
        )
    there = thing.find(audience_store) if thing.find else None
    if there is not None:
        raise NothingToResolveError(
            what=f"The {thing.what} is there, with id {there}",
            where=thing.account(),
            why="the vendor lists it",
            next_step=f"{RETRY_FORM_HINT}, with the outcome {FOUND!r} and this id",
        )
