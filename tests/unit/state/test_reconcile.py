"""Resolution of an ambiguous create: only ambiguous ones, verified where possible, all or nothing."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    ConfigurationError,
    NotFoundError,
    NothingToResolveError,
    VendorUnavailableError,
)
from audience_onboarding.state.create_once import REQUEST_ENDED, VISIBILITY_TIMEOUT
from audience_onboarding.state.reconcile import (
    FOUND,
    NOT_CREATED,
    PendingCreate,
    RemoteObject,
    object_label,
    resolution_hint,
    resolve_create,
    state_key,
)
from audience_onboarding.state.remote_ids import parse_int_id, parse_str_id
from audience_onboarding.state.store import StateStore, audience_asset
from tests.fakes import DictStore
from tests.unit.state.helpers import check

HOST = "https://vendor.example"
SENT = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)
LATER = SENT + timedelta(hours=1)
NAME = "Newsletter"
INTENT = {"name": NAME, "at": SENT.isoformat(), "run_id": "scheduled__1"}


@dataclass
class Vendor:
    """Shows audiences by id, and lists them if it does."""

    names: dict[int, str | None] = field(default_factory=lambda: {69249: NAME, 7: "Something else", 8: None})
    listed: int | None = None
    asked: list[Any] = field(default_factory=list)
    down: bool = False

    def inspect(self, remote_id: int | str, store: StateStore) -> RemoteObject:
        self.asked.append(remote_id)
        if self.down:
            raise VendorUnavailableError(what="No answer in time", where="GET /x")
        if remote_id not in self.names:
            raise NotFoundError(what="The vendor does not know it", where="GET /x", next_step="Check the id")
        return RemoteObject(self.names[int(remote_id)])

    def find(self, store: StateStore) -> int | None:
        return self.listed


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def store() -> DictStore:
    return DictStore({"audience": {"intent": dict(INTENT)}})


def thing(vendor: Vendor, **changes: Any) -> PendingCreate:
    asset = audience_asset("any", "newsletter")
    return replace(
        PendingCreate("audience", asset, parse_int_id, lambda: HOST, inspect=vendor.inspect), **changes
    )


def run(
    store: DictStore, what: PendingCreate, outcome: str = FOUND, given_id: str | None = None, **more: Any
) -> dict[str, Any]:
    person: dict[str, Any] = {"run_id": "manual__9", "by": "anna", "accept_other_name": False}
    given = {"outcome": outcome, "given_id": given_id, "now": lambda: LATER, **person, **more}
    return resolve_create(what, store=store, audience_store=store, **given)


# --- as it should go ----------------------------------------------------------------------------------------


def test_found_stores_the_id_and_the_user(store: DictStore, vendor: Vendor) -> None:
    record = run(store, thing(vendor), given_id="69249")

    assert store.values == {
        "audience": {
            "id": 69249,
            "name": NAME,
            "account": HOST,
            "since": LATER.isoformat(),
            "run_id": "manual__9",
            "resolved": {"by": "anna", "sent": SENT.isoformat(), "sent_by_run": "scheduled__1"},
        }
    }
    assert record == {
        **{"what": "audience", "asset": "audience/newsletter", "key": "audience", "outcome": "found"},
        **{"by": "anna", "at": LATER.isoformat(), "run_id": "manual__9"},
        "before": {"intent": INTENT},
        "after": store.values["audience"],
    }
    assert json.loads(json.dumps(record)) == record


def test_not_created_deletes_the_intent_only(store: DictStore, vendor: Vendor) -> None:
    store.set("last_load", {"load_date": "2026-11-19"})

    record = run(store, thing(vendor), NOT_CREATED)

    assert store.values == {"last_load": {"load_date": "2026-11-19"}}
    assert (record["before"], record["after"]) == ({"intent": INTENT}, None)
    assert vendor.asked == []


def test_found_stores_id_and_name(vendor: Vendor) -> None:
    def stored(case: tuple[str, dict[str, Any], dict[str, Any]]) -> tuple[Any, Any]:
        given_id, changes, options = case
        store = DictStore({"audience": {"intent": dict(INTENT)}})
        run(store, thing(vendor, **changes), given_id=given_id, **options)
        return store.values["audience"]["id"], store.values["audience"]["name"]

    cases: list[tuple[tuple[str, dict[str, Any], dict[str, Any]], tuple[Any, str]]] = [
        # Without a look-up, the id is not verified.
        (("5", {"inspect": None}, {}), (5, NAME)),
        (("aud_7-b", {"inspect": None, "read": parse_str_id}, {}), ("aud_7-b", NAME)),
        # The vendor shows no name: the name sent is stored.
        (("8", {}, {}), (8, NAME)),
        (("7", {}, {"accept_other_name": True}), (7, "Something else")),
    ]
    check(stored, cases)


# --- refusals, which change nothing -------------------------------------------------------------------------


def refused(store: DictStore, *arguments: Any, **more: Any) -> str:
    before = copy.deepcopy(store.values)
    with pytest.raises((NothingToResolveError, ConfigurationError, NotFoundError)) as caught:
        run(store, *arguments, **more)
    assert store.values == before
    assert caught.value.where
    assert caught.value.next_step
    return str(caught.value)


@pytest.mark.parametrize("outcome", [FOUND, NOT_CREATED])
def test_only_a_pending_intent_is_resolved(vendor: Vendor, outcome: str) -> None:
    for stored, shown in (
        (None, "its key is empty"),
        ({"id": 69249, "account": HOST}, "{'id': 69249"),
        ({"id": 69249, "intent": INTENT}, "{'id': 69249"),
        ("69249", "'69249'"),
        ({"intent": "of long ago"}, "of long ago"),
    ):
        store = DictStore({} if stored is None else {"audience": stored})

        message = refused(store, thing(vendor), outcome, "69249" if outcome == FOUND else None)

        assert "There is no ambiguous create of the audience" in message
        assert shown in message
    assert vendor.asked == []


def test_an_invalid_id_or_a_contradiction_is_refused(store: DictStore, vendor: Vendor) -> None:
    for given in (None, ""):
        assert "The id of the audience is missing" in refused(store, thing(vendor), FOUND, given)
    for given in ("abc", "-1", "1.5", "aud_7"):
        message = refused(store, thing(vendor), FOUND, given)
        assert "The id of the audience" in message, given
        assert "Nothing was changed" in message, given
    assert "one of the two is wrong" in refused(store, thing(vendor), NOT_CREATED, "69249")
    assert vendor.asked == []
    assert "does not know it" in refused(store, thing(vendor), FOUND, "404")
    message = refused(store, thing(vendor), FOUND, "7")
    assert "The audience with id 7 has the name 'Something else', not 'Newsletter'" in message
    assert "Accept different name" in message


def test_not_created_is_refused_if_the_vendor_lists_the_object(store: DictStore, vendor: Vendor) -> None:
    vendor.listed = 69249

    message = refused(store, thing(vendor, find=vendor.find), NOT_CREATED)

    assert "The audience exists, with id 69249" in message
    vendor.listed = None
    run(store, thing(vendor, find=vendor.find), NOT_CREATED)
    assert store.values == {}


def test_an_unavailable_vendor_changes_nothing(store: DictStore, vendor: Vendor) -> None:
    vendor.down = True
    before = copy.deepcopy(store.values)

    with pytest.raises(VendorUnavailableError):
        run(store, thing(vendor), given_id="69249")

    assert store.values == before
    vendor.down = False
    run(store, thing(vendor), given_id="69249")


def test_a_request_in_flight_is_not_resolved(store: DictStore, vendor: Vendor) -> None:
    for moment in (SENT, SENT + VISIBILITY_TIMEOUT - timedelta(seconds=1)):
        message = refused(store, thing(vendor), NOT_CREATED, now=lambda at=moment: at)
        assert "may still be in flight" in message
        assert (SENT + VISIBILITY_TIMEOUT).isoformat() in message

    run(store, thing(vendor), NOT_CREATED, now=lambda: SENT + VISIBILITY_TIMEOUT)
    assert store.values == {}
    # One that has ended can be resolved at once.
    store.set("audience", {"intent": {**INTENT, REQUEST_ENDED: SENT.isoformat()}})
    run(store, thing(vendor), NOT_CREATED, now=lambda: SENT)
    assert store.values == {}


def test_a_change_during_the_look_up_is_not_overwritten(store: DictStore, vendor: Vendor) -> None:
    def inspect(remote_id: int | str, of: StateStore) -> RemoteObject:
        of.set("audience", {"id": 1, "account": HOST})
        return RemoteObject(NAME)

    with pytest.raises(NothingToResolveError, match="has just changed"):
        run(store, thing(vendor, inspect=inspect), given_id="69249")

    assert store.values == {"audience": {"id": 1, "account": HOST}}


# --- the message --------------------------------------------------------------------------------------------


def test_the_message_names_the_dag_its_page_and_the_values_of_the_form() -> None:
    message = resolution_hint("newsletter", "audience", base_url="https://airflow.example/")

    assert (
        "the DAG 'resolve_ambiguous_create' at https://airflow.example/dags/resolve_ambiguous_create with"
        in message
    )
    found, absent = (json.loads(text) for text in re.findall(r'\{"audience".*?\}', message))
    form = {"audience": "newsletter", "what": "audience"}
    assert found == {**form, "outcome": "found", "id": "<the id in the portal>"}
    assert absent == {**form, "outcome": "not_created"}
    # Without an address of the UI there is no link.
    assert "trigger the DAG 'resolve_ambiguous_create' with" in resolution_hint(
        "newsletter", "campaign", base_url=""
    )


def test_the_text_of_the_form_is_a_key_and_back() -> None:
    whats = ("campaign", "audience", "segment dv360")
    check(lambda what: object_label(state_key(what)), [(what, what) for what in whats])
    # Other keys hold no create.
    check(object_label, [(key, None) for key in ("last_load", "load.2026-11-20.replace", "last_sent")])
