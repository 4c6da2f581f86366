"""What the clients of all platforms share: reading answers, and being one per process and account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

import pytest
import requests

from audience_onboarding.errors import Outcome, UnexpectedResponseError
from audience_onboarding.http import (
    AccountSettings,
    Answer,
    ApiClient,
    UtcDateTime,
    forget_clients,
    json_of,
    shared_client,
)


@dataclass(frozen=True, kw_only=True)
class Settings(AccountSettings):
    """The least that a platform adds."""

    vendor: ClassVar[str] = "Vendor"


class Client(ApiClient[Settings]):
    """A platform's client."""

    hint = "Look at the host"
    read = ApiClient._read


class OtherClient(ApiClient[Settings]):
    """Another platform's client."""


class Person(Answer):
    """Part of an answer."""

    first_name: str


class Thing(Answer):
    """An answer."""

    thing_id: int
    created_at: UtcDateTime | None = None
    people: tuple[Person, ...] = ()


def settings(host: str = "vendor.example") -> Settings:
    return Settings(base_url=f"https://{host}")


def read(data: Any, *, changes_something: bool = False) -> Thing:
    return Client(settings()).read(
        Thing, data, where="Vendor GET /things", changes_something=changes_something
    )


# --- answers ------------------------------------------------------------------------------------------------


def test_an_answer_is_read_by_the_vendors_names_and_what_is_new_passed_over() -> None:
    thing = read({"thingId": 7, "people": [{"firstName": "Anna", "new": 1}], "new": {"a": 1}})

    assert thing == Thing(thing_id=7, people=(Person(first_name="Anna"),))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T03:00:00Z", datetime(2026, 11, 20, 3, tzinfo=timezone.utc)),
        ("2026-11-20T03:00:00", datetime(2026, 11, 20, 3, tzinfo=timezone.utc)),
        ("2026-11-20T04:00:00+01:00", datetime(2026, 11, 20, 3, tzinfo=timezone.utc)),
    ],
)
def test_a_moment_is_in_utc(text: str, moment: datetime) -> None:
    found = read({"thingId": 7, "createdAt": text}).created_at

    assert found == moment
    assert found is not None
    assert found.utcoffset() == timedelta(0)


def test_an_answer_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read({"thingId": 7}).thing_id = 8


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({}, "thingId"),
        ({"thingId": "anna@example.com"}, "thingId"),
        ({"thingId": 7, "people": [{}, {"firstName": ["anna@example.com"]}]}, "people.0.firstName"),
        (None, "data"),
        (["anna@example.com"], "data"),
        ("anna@example.com", "data"),
    ],
)
@pytest.mark.parametrize(("changes", "outcome"), [(True, Outcome.UNKNOWN), (False, Outcome.NOT_DONE)])
def test_what_is_missing_is_named_and_what_is_there_not_quoted(
    data: Any, fields: str, changes: bool, outcome: Outcome
) -> None:
    with pytest.raises(UnexpectedResponseError, match=rf"\(Vendor GET /things\): .*{fields}") as caught:
        read(data, changes_something=changes)

    assert caught.value.outcome is outcome
    assert "Look at the host" in str(caught.value)
    assert "anna" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"[]", []),
        (b"0", 0),
        (b"null", None),
        (b"", None),
        (b"<html>", None),
        (b"\xff", None),
    ],
)
def test_json_is_read_where_there_is_some(content: bytes, found: Any) -> None:
    response = requests.Response()
    response._content = content

    assert json_of(response) == found


# --- one client per account ---------------------------------------------------------------------------------


def test_there_is_one_client_per_platform_and_account() -> None:
    forget_clients()

    client = shared_client(Client, settings())

    assert shared_client(Client, settings()) is client
    assert shared_client(Client, settings("other.example")) is not client
    # Two platforms whose settings happen to look alike.
    assert type(shared_client(OtherClient, settings())) is OtherClient
    forget_clients()
    assert shared_client(Client, settings()) is not client
