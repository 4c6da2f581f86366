"""Resolution of an ambiguous create by a user who has checked the vendor's portal: found with an id, or not created.

Only an intent without an id is ever changed, and only if no look-up contradicts the user.
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
"""Resolutions and their labels in the form."""

RETRY_FORM_HINT = "Nothing was changed. Correct the form, and trigger the DAG again"

_SEGMENT = "segment "


@dataclass(frozen=True)
class RemoteObject:
    """Object that the vendor has under an id.

    :param name: its name, ``None`` if the vendor shows none.
    """

    name: str | None


@dataclass(frozen=True)
class PendingCreate:
    """Object of an audience whose creation can be ambiguous.

    :param what: ``campaign``, ``audience``, ``segment <target>``, as in the form.
    :param asset: its state store holds the intent.
    :param read: parses an id of this platform, see :mod:`.remote_ids`.
    :param account: returns the account of the connection; blocks.
    :param inspect: reads the object with an id at the vendor, given the audience's store; raises if it does not exist
        or is not ours. ``None`` if the vendor has no such operation.
    :param find: looks up the id at the vendor; ``None`` if the vendor has no such list.
    """

    what: str
    asset: Asset
    read: Callable[[Any], int | str]
    account: Callable[[], str]
    inspect: Callable[[int | str, StateStore], RemoteObject] | None = None
    find: Callable[[StateStore], int | str | None] | None = None

    @property
    def key(self) -> str:
        """Key of the intent in the asset's state store."""
        return state_key(self.what)


def state_key(label: str) -> str:
    """Return the key in the state store of an object of the form."""
    if label.startswith(_SEGMENT):
        return segment_key(label.removeprefix(_SEGMENT))
    return {"campaign": CAMPAIGN_KEY, "audience": AUDIENCE_KEY}[label]


def object_label(key: str) -> str | None:
    """Return the form's label of the object under a key; ``None`` for keys that hold no create."""
    prefix = segment_key("")
    if key.startswith(prefix):
        return f"{_SEGMENT}{key.removeprefix(prefix)}"
    return {CAMPAIGN_KEY: "campaign", AUDIENCE_KEY: "audience"}.get(key)


def resolution_hint(audience_key: str, key: str, *, base_url: str) -> str:
    """Return the instruction that resolves an ambiguous create in one action, for its message.

    :param audience_key: of the definition.
    :param key: of the intent.
    :param base_url: of the Airflow UI; empty: unknown.
    """
    # Airflow's log makes a link of it, up to the next space.
    page = f" at {base_url.rstrip('/')}/dags/{quote(RESOLVE_CREATE_DAG_ID)}" if base_url else ""
    form = f'"audience": "{audience_key}", "what": "{object_label(key)}"'
    return (
        f"trigger the DAG {RESOLVE_CREATE_DAG_ID!r}{page} with the conf "
        f'{{{form}, "outcome": "{FOUND}", "id": "<the id in the portal>"}} if it exists, or '
        f'{{{form}, "outcome": "{NOT_CREATED}"}} if it does not'
    )


def resolve_create(  # noqa: PLR0913
    create: PendingCreate,
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
    """Store the resolution of an ambiguous create.

    :param store: of the create's asset.
    :param audience_store: of the audience's asset.
    :param outcome: one of :data:`OUTCOMES`.
    :param given_id: as the user typed it, for :data:`FOUND`.
    :param accept_other_name: accept an object whose name differs from the name sent.
    :param run_id: of the Airflow run.
    :param by: name of the user.
    :return: user, time and object, with the record before and after.
    :raises NothingToResolveError: no create is ambiguous, or a look-up contradicts the user; nothing was changed.
    :raises ConfigurationError: the id is invalid.
    :raises VendorError: the vendor does not know the id, or does not answer; nothing was changed.
    """
    before = store.get(create.key)
    intent = pending_intent(before)
    if intent is None:
        raise NothingToResolveError(
            what=f"There is no ambiguous create of the {create.what}",
            where=_where(create),
            why="its key is empty" if before is None else f"its key holds {before!r}",
            next_step="Nothing was changed. Compare audience and object with the message of the failed task",
        )
    _check_request_ended(create, intent, now())
    if outcome == FOUND:
        remote_id, name = _verify_found(create, given_id, intent, audience_store, accept_other_name)
        after: dict[str, Any] | None = {
            "id": remote_id,
            "name": name or intent.get("name"),
            "account": create.account(),
            "since": now().isoformat(),
            "run_id": run_id,
            "resolved": {"by": by, "sent": intent.get("at"), "sent_by_run": intent.get("run_id")},
        }
    else:
        _verify_absent(create, given_id, audience_store)
        after = None
    # There is no compare-and-set, and the look-ups took time.
    if store.get(create.key) != before:
        raise NothingToResolveError(
            what=f"The record of the {create.what} has just changed",
            where=_where(create),
            next_step="Nothing was changed. Check the run that has changed it, then trigger the DAG again",
        )
    if after is None:
        store.delete(create.key)
    else:
        store.set(create.key, after)
    return {
        "what": create.what,
        "asset": create.asset.name,
        "key": create.key,
        "outcome": outcome,
        "by": by,
        "at": now().isoformat(),
        "run_id": run_id,
        "before": before,
        "after": after,
    }


def _where(create: PendingCreate) -> str:
    return f"state store of asset {create.asset.name!r}, key {create.key!r}"


def _check_request_ended(create: PendingCreate, intent: Any, now: datetime) -> None:
    """Raise while the request may still be in flight: its answer would overwrite the resolution."""
    if REQUEST_ENDED in intent or "at" not in intent:
        return
    end = datetime.fromisoformat(intent["at"]) + VISIBILITY_TIMEOUT
    if now < end:
        raise NothingToResolveError(
            what=f"The request that creates the {create.what} may still be in flight",
            where=_where(create),
            why=f"it was sent {intent['at']} by run {intent.get('run_id')}",
            next_step=f"Nothing was changed. If its task has ended, trigger the DAG again after {end.isoformat()}",
        )


def _verify_found(
    create: PendingCreate,
    given_id: str | None,
    intent: Any,
    audience_store: StateStore,
    accept_other_name: bool,
) -> tuple[int | str, str | None]:
    if not given_id:
        raise NothingToResolveError(
            what=f"The id of the {create.what} is missing",
            where=RESOLVE_CREATE_DAG_ID,
            next_step=RETRY_FORM_HINT,
        )
    try:
        remote_id = create.read(given_id)
    except ConfigurationError as error:
        error.prefix_subject(f"The id of the {create.what}")
        error.where = error.where or RESOLVE_CREATE_DAG_ID
        error.add_next_step("Nothing was changed")
        raise
    if create.inspect is None:
        log.warning("The vendor cannot show a %s by its id: %s is not verified", create.what, remote_id)
        return remote_id, None
    name = create.inspect(remote_id, audience_store).name
    log.info("The vendor's name of %s %s is %r", create.what, remote_id, name)
    sent = intent.get("name")
    if name is not None and name != sent and not accept_other_name:
        raise NothingToResolveError(
            what=f"The {create.what} with id {remote_id} has the name {name!r}, not {sent!r}",
            where=create.account(),
            why="loads would go to an object that was not created here",
            next_step=f"{RETRY_FORM_HINT}; if it is the right one and was renamed since, tick 'Accept different name'",
        )
    return remote_id, name


def _verify_absent(create: PendingCreate, given_id: str | None, audience_store: StateStore) -> None:
    if given_id:
        raise NothingToResolveError(
            what=f"The form has an id ({given_id}) although nothing was created",
            where=RESOLVE_CREATE_DAG_ID,
            why="one of the two is wrong",
            next_step=RETRY_FORM_HINT,
        )
    found_id = create.find(audience_store) if create.find else None
    if found_id is not None:
        raise NothingToResolveError(
            what=f"The {create.what} exists, with id {found_id}",
            where=create.account(),
            why="you chose 'Nothing was created', but the vendor lists it",
            next_step=f"{RETRY_FORM_HINT}, with the outcome {FOUND!r} and this id",
        )
