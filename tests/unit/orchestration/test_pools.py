"""The pools: their names, and how many slots they get."""

from __future__ import annotations

import pytest

from audience_onboarding.orchestration.pools import (
    CREATE_POOL,
    LONGEST_NAME,
    OUR_POOLS,
    SLOTS_VARIABLE,
    USUAL_SLOTS,
    connection_pool,
    description_of,
    slots_of,
)


def test_every_connection_has_a_pool_of_its_own() -> None:
    assert connection_pool("crm") == "audience_onboarding_at_crm"
    assert connection_pool("create") != CREATE_POOL
    assert connection_pool("crm").startswith(OUR_POOLS)
    assert CREATE_POOL.startswith(OUR_POOLS)


def test_no_name_is_longer_than_airflow_takes() -> None:
    assert len(connection_pool("x" * 250)) == LONGEST_NAME


@pytest.mark.parametrize(
    ("given", "slots"),
    [
        (None, USUAL_SLOTS),
        ("", USUAL_SLOTS),
        ("3", 3),
        (" 20 ", 20),
        ("0", USUAL_SLOTS),
        ("-1", USUAL_SLOTS),
        ("many", USUAL_SLOTS),
    ],
)
def test_the_slots_are_a_setting(monkeypatch: pytest.MonkeyPatch, given: str | None, slots: int) -> None:
    if given is not None:
        monkeypatch.setenv(SLOTS_VARIABLE, given)

    assert slots_of(connection_pool("crm")) == slots
    assert slots_of(CREATE_POOL) == 1


def test_the_list_of_pools_says_what_they_are_for() -> None:
    assert description_of(CREATE_POOL) != description_of(connection_pool("crm"))
