"""Reading of answers, and one client per process and account."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from audience_onboarding.exceptions import Outcome, UnexpectedResponseError
from audience_onboarding.http import (
    ApiClient,
    ResponseModel,
    UtcDateTime,
    parse_json,
    reset_clients,
    shared_client,
)
from tests.unit.http.plain import KEY, Settings, error_of


class Client(ApiClient[Settings]):
    """Client of a platform."""

    hint = "Look at the host"
    read = ApiClient._parse


class OtherClient(ApiClient[Settings]):
    """Client of another platform."""


class Person(ResponseModel):
    """Part of an answer."""

    first_name: str


class Thing(ResponseModel):
    """An answer."""

    thing_id: int
    created_at: UtcDateTime | None = None
    people: tuple[Person, ...] = ()


def settings(host: str = "vendor.example") -> Settings:
    return Settings(base_url=f"https://{host}", key=KEY)


def read(data: Any, *, mutating: bool = False) -> Thing:
    return Client(settings()).read(Thing, data, request_label="Vendor GET /things", mutating=mutating)


def test_an_answer_is_read_by_the_vendors_names_without_unknown_fields_and_frozen() -> None:
    thing = read({"thingId": 7, "people": [{"firstName": "Anna", "new": 1}], "new": {"a": 1}})

    assert thing == Thing(thing_id=7, people=(Person(first_name="Anna"),))
    with pytest.raises(ValueError, match="frozen"):
        thing.thing_id = 8


def test_every_time_is_in_utc() -> None:
    for text in ("2026-11-20T03:00:00Z", "2026-11-20T03:00:00", "2026-11-20T04:00:00+01:00"):
        found = read({"thingId": 7, "createdAt": text}).created_at

        assert found == datetime(2026, 11, 20, 3, tzinfo=timezone.utc), text
        assert found.utcoffset() == timedelta(0), text


@pytest.mark.parametrize(("changes", "outcome"), [(True, Outcome.UNKNOWN), (False, Outcome.NOT_DONE)])
def test_an_odd_answer_is_named_by_field_and_its_values_are_not_quoted(
    changes: bool, outcome: Outcome
) -> None:
    for data, fields in (
        ({}, "thingId"),
        ({"thingId": "anna@example.com"}, "thingId"),
        ({"thingId": 7, "people": [{}, {"firstName": ["anna@example.com"]}]}, "people.0.firstName"),
        (None, "data"),
        (["anna@example.com"], "data"),
        ("anna@example.com", "data"),
    ):
        error = error_of(lambda data=data: read(data, mutating=changes), UnexpectedResponseError)

        message = str(error)
        assert "(Vendor GET /things): " in message, data
        assert fields in message, data
        assert "Look at the host" in message, data
        assert "anna" not in message, data
        assert (error.outcome, error.__suppress_context__) == (outcome, True), data


def test_json_of_an_answer_without_json_is_none() -> None:
    contents = {
        b'{"a": 1}': {"a": 1},
        b"[]": [],
        b"0": 0,
        b"null": None,
        b"": None,
        b"<html>": None,
        b"\xff": None,
    }

    def found(content: bytes) -> Any:
        response = requests.Response()
        response._content = content
        return parse_json(response)

    assert {content: found(content) for content in contents} == contents


def test_there_is_one_client_per_platform_and_account() -> None:
    reset_clients()

    client = shared_client(Client, settings())

    assert shared_client(Client, settings()) is client
    assert shared_client(Client, settings("other.example")) is not client
    # Two platforms with equal settings.
    assert type(shared_client(OtherClient, settings())) is OtherClient
    reset_clients()
    assert shared_client(Client, settings()) is not client
