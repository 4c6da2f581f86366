"""Created once, whatever happens between the intent and the id."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    AmbiguousCreateError,
    AudienceRetiredError,
    AuthenticationError,
    ConfigurationError,
    CreateUnverifiedError,
    Outcome,
    RateLimitedError,
    RequestRejectedError,
    StateLostError,
    TransientError,
    UnexpectedResponseError,
    VendorUnavailableError,
)
from audience_onboarding.state.create_once import (
    REQUEST_ENDED,
    VISIBILITY_TIMEOUT,
    CreateRequest,
    check_not_lost,
    check_not_retired,
    create_once,
    stored_id,
)
from audience_onboarding.state.remote_ids import parse_int_id
from audience_onboarding.state.store import AUDIENCE_KEY, RETIRED_KEY
from tests.fakes import DictStore
from tests.unit.state.helpers import check, check_refused

HOST = "https://vendor.example"
START = datetime(2026, 11, 20, 3, 0, 0, tzinfo=timezone.utc)
NEW_ID = 69249


@dataclass
class Vendor:
    """Creates campaigns; ``fails_with`` is what the next request ends with."""

    store: DictStore
    fails_with: BaseException | None = None
    lists: bool = False
    existing: list[int] = field(default_factory=list)
    requests: int = 0
    memory_at_request: list[Any] = field(default_factory=list)

    def create(self) -> int:
        self.requests += 1
        self.memory_at_request.append(self.store.get("campaign"))
        if self.fails_with is not None:
            raise self.fails_with
        return NEW_ID

    def find(self) -> int | None:
        return self.existing[0] if self.existing else None

    def creation(self) -> CreateRequest[int]:
        return CreateRequest(
            kind="campaign",
            name="Always-on",
            account=HOST,
            create=self.create,
            find=self.find if self.lists else None,
            sent={"name": "Always-on", "parent": 7},
        )

    def ensure(self, *, at: datetime = START, run_id: str = "run_1", resolution_hint: str = "") -> int:
        return create_once(
            self.store,
            "campaign",
            self.creation(),
            read=parse_int_id,
            run_id=run_id,
            store_hint="the state store of asset 'x'",
            resolution_hint=resolution_hint,
            now=lambda: at,
        )


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@pytest.fixture
def vendor(store: DictStore) -> Vendor:
    return Vendor(store)


def unknown() -> VendorUnavailableError:
    return VendorUnavailableError(what="No answer in time", outcome=Outcome.UNKNOWN)


# --- the way it should go -----------------------------------------------------------------------------------


def test_an_object_is_created_once_and_remembered(vendor: Vendor, store: DictStore) -> None:
    created = {"name": "Always-on", "run_id": "run_1"}

    assert (vendor.ensure(), vendor.ensure(run_id="run_2")) == (NEW_ID, NEW_ID)

    # The intent is remembered before the one request leaves.
    assert vendor.memory_at_request == [{"intent": {**created, "at": START.isoformat()}}]
    assert store.values == {
        "campaign": {**created, "id": NEW_ID, "account": HOST, "since": START.isoformat()}
    }


def test_a_listed_object_is_taken_over_and_remembered(vendor: Vendor, store: DictStore) -> None:
    vendor.lists, vendor.existing = True, [5]

    assert (vendor.ensure(), vendor.requests) == (5, 0)
    assert stored_id(store, "campaign", account=HOST, read=parse_int_id) == 5
    # A remembered id needs no list.
    vendor.existing = [6]
    assert vendor.ensure() == 5
    # One that is not listed is created.
    vendor.existing, store.values = [], {}
    assert (vendor.ensure(), vendor.requests) == (NEW_ID, 1)


# --- the request fails --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lists", [False, True])
def test_a_request_that_did_nothing_leaves_no_intent_and_may_be_tried_again(lists: bool) -> None:
    for failure in (
        RequestRejectedError(what="No"),
        AuthenticationError(what="No"),
        RateLimitedError(what="Later", retry_after=3),
        VendorUnavailableError(what="Refused", outcome=Outcome.NOT_DONE),
        ConfigurationError(what="The login was not even sent"),
    ):
        vendor = Vendor(DictStore(), fails_with=failure, lists=lists)
        with pytest.raises(type(failure)) as caught:
            vendor.ensure()

        assert caught.value is failure
        assert vendor.store.values == {}, failure
        vendor.fails_with = None
        assert vendor.ensure() == NEW_ID


def test_any_other_failure_is_unclear_until_a_person_has_looked() -> None:
    for failure, raised in (
        (unknown(), AmbiguousCreateError),
        (UnexpectedResponseError(what="No id in the answer", outcome=Outcome.UNKNOWN), AmbiguousCreateError),
        (TransientError(what="Something else"), TransientError),
        (OSError("disk full"), OSError),
        (ValueError("a bug"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):
        vendor = Vendor(DictStore(), fails_with=failure)
        with pytest.raises(raised):
            vendor.ensure()

        assert "intent" in vendor.store.get("campaign"), failure
        vendor.fails_with = None
        for hours in (0, 1, 1000):
            with pytest.raises(AmbiguousCreateError):
                vendor.ensure(at=START + timedelta(hours=hours), run_id="run_2")
        assert vendor.requests == 1, failure


@pytest.fixture
def unanswered(vendor: Vendor) -> Vendor:
    """A vendor without a list, whose first request ended without an answer."""
    vendor.fails_with = unknown()
    with pytest.raises(AmbiguousCreateError):
        vendor.ensure()
    assert REQUEST_ENDED in vendor.store.get("campaign")["intent"]
    vendor.fails_with = None
    return vendor


def test_the_message_of_an_ambiguous_creation_has_its_object_its_run_and_the_ways_on(
    unanswered: Vendor,
) -> None:
    common = ("campaign 'Always-on'", HOST, START.isoformat(), "run_1", "name='Always-on', parent=7")
    common += ("the state store of asset 'x'", "key 'campaign'", "clear this task")
    for resolution_hint, parts in (
        ("", ('{"id": <id>}', "deleting that key")),
        ("trigger the DAG 'resolve_ambiguous_create'", ("trigger the DAG 'resolve_ambiguous_create'",)),
    ):
        with pytest.raises(AmbiguousCreateError) as caught:
            unanswered.ensure(at=START + timedelta(days=1), run_id="run_2", resolution_hint=resolution_hint)

        message = str(caught.value)
        for part in (*common, *parts):
            assert part in message
        assert "run_2" not in message


def test_a_person_settles_it_as_the_message_says(unanswered: Vendor, store: DictStore) -> None:
    intent = store.get("campaign")
    # The id may stand beside the intent.
    for record in ({"id": 12}, {**intent, "id": 12}):
        for unanswered.lists in (False, True):
            store.set("campaign", record)
            assert (unanswered.ensure(), unanswered.requests) == (12, 1)
    unanswered.lists = False
    store.delete("campaign")
    assert (unanswered.ensure(), unanswered.requests) == (NEW_ID, 2)


# --- the request is unclear, but the vendor has a list ------------------------------------------------------


@pytest.fixture
def unclear(vendor: Vendor) -> Vendor:
    """A vendor with a list, whose first request ended without an answer."""
    vendor.lists = True
    vendor.fails_with = unknown()
    with pytest.raises(TransientError, match="not clear yet whether campaign 'Always-on' was created"):
        vendor.ensure()
    vendor.fails_with = None
    return vendor


def test_the_next_try_finds_what_the_unclear_request_created(unclear: Vendor) -> None:
    unclear.existing = [5]

    assert (unclear.ensure(at=START + timedelta(seconds=1)), unclear.requests) == (5, 1)


def test_an_absence_soon_after_the_request_proves_nothing_and_one_that_lasts_does(
    unclear: Vendor, store: DictStore
) -> None:
    # Waiting does not start again with each look.
    for after in (timedelta(0), VISIBILITY_TIMEOUT / 2, VISIBILITY_TIMEOUT - timedelta(seconds=1)):
        with pytest.raises(TransientError, match="not clear yet"):
            unclear.ensure(at=START + after)
    assert unclear.requests == 1

    assert (unclear.ensure(at=START + VISIBILITY_TIMEOUT, run_id="run_2"), unclear.requests) == (NEW_ID, 2)
    assert store.get("campaign")["run_id"] == "run_2"


def test_a_look_up_that_fails_sends_nothing(vendor: Vendor, store: DictStore) -> None:
    def fail() -> int | None:
        raise VendorUnavailableError(what="Down")

    vendor.lists, vendor.find = True, fail  # type: ignore[method-assign]

    with pytest.raises(VendorUnavailableError):
        vendor.ensure()
    assert (vendor.requests, store.values) == (0, {})


# --- the memory ---------------------------------------------------------------------------------------------


def test_a_remembered_id_is_read() -> None:
    records: list[tuple[Any, int | None]] = [
        (None, None),
        ({"intent": {"at": "2026-11-20T03:00:00+00:00"}}, None),
        ({"id": 5, "account": HOST}, 5),
        ({"id": "5", "account": HOST}, 5),
        ({"id": 5}, 5),
    ]

    def read(record: Any) -> int | None:
        store = DictStore({} if record is None else {"campaign": record})
        return stored_id(store, "campaign", account=HOST, read=parse_int_id)

    check(read, records)


def test_the_id_of_another_host_is_never_taken(vendor: Vendor, store: DictStore) -> None:
    store.set("campaign", {"id": 5, "account": "https://staging.example"})

    with pytest.raises(ConfigurationError, match=r"belongs to https://staging\.example, not to " + HOST):
        vendor.ensure()

    assert vendor.requests == 0


@pytest.mark.parametrize("lists", [False, True])
def test_a_wrong_entry_of_a_person_never_leads_to_a_second_creation(lists: bool) -> None:
    def ensure(entered: Any) -> None:
        vendor = Vendor(DictStore({"campaign": entered}), lists=lists)
        try:
            vendor.ensure()
        finally:
            assert (vendor.requests, vendor.store.get("campaign")) == (0, entered)

    entries = [5, "5", '{"id": 5}', [5], {"ID": 5}, {"id": None}, {"id": "five"}, {"id": ""}]
    check_refused(ensure, entries, ConfigurationError, "campaign")


def test_the_clock_is_the_present_by_default(vendor: Vendor, store: DictStore) -> None:
    before = datetime.now(timezone.utc)

    create_once(store, "campaign", vendor.creation(), read=parse_int_id, run_id="run_1", store_hint="")

    assert before <= datetime.fromisoformat(store.get("campaign")["since"]) <= datetime.now(timezone.utc)


def test_creations_of_different_keys_do_not_meet(store: DictStore) -> None:
    for new_id, key in enumerate(("campaign", "audience"), start=1):
        creation = CreateRequest(kind=key, name=key, account=HOST, create=lambda made=new_id: made)
        assert create_once(store, key, creation, read=parse_int_id, run_id="r", store_hint="") == new_id

    assert {key: record["id"] for key, record in store.values.items()} == {"campaign": 1, "audience": 2}


# --- retired ------------------------------------------------------------------------------------------------


def test_of_a_retired_audience_nothing_is_remembered_and_nothing_created() -> None:
    record = {"audience": "news", "at": "2026-11-20", "by": "anna", "run_id": "manual__1", "audience_id": 5}
    store = DictStore({RETIRED_KEY: record, AUDIENCE_KEY: {"id": 5}})

    with pytest.raises(AudienceRetiredError) as caught:
        stored_id(store, AUDIENCE_KEY, account=HOST, read=int)

    retired = "'news' was retired on 2026-11-20 by anna"
    for word in (retired, "manual__1", '"action": "reopen"', "Remove its definition"):
        assert word in str(caught.value)
    # A campaign has a memory of its own.
    assert stored_id(store, "campaign", account=HOST, read=int) is None
    check_not_retired(DictStore())


@pytest.mark.parametrize(
    ("state", "is_lost"),
    [
        ({}, True),
        ({"audience": {"intent": {}}}, True),
        ({"last_load": {"load_date": "2026-11-20"}}, False),
        ({"retired": {"run_id": "r"}}, False),
        ({"reopened": {"run_id": "r"}}, False),
    ],
)
def test_check_not_lost_compares_the_state_with_published_loads(state: dict[str, Any], is_lost: bool) -> None:
    events = [
        SimpleNamespace(extra=extra) for extra in (None, {}, {"audience_id": 7, "load_date": "2026-11-20"})
    ]

    check_not_lost(DictStore(state), events[:2])
    if is_lost:
        with pytest.raises(StateLostError, match="with id 7"):
            check_not_lost(DictStore(state), events)
    else:
        check_not_lost(DictStore(state), events)


@pytest.mark.parametrize("lists", [False, True])
def test_create_once_unknown_outcome_names_the_reason_without_its_next_step(
    vendor: Vendor, lists: bool
) -> None:
    vendor.lists, vendor.fails_with = lists, unknown()

    with pytest.raises((AmbiguousCreateError, CreateUnverifiedError), match="No answer in time") as caught:
        vendor.ensure()

    assert VendorUnavailableError.default_next_step
    assert (VendorUnavailableError.default_next_step in str(caught.value)) is False
