"""Names and slots of the pools."""

from __future__ import annotations

import pytest

from audience_onboarding.base.pools import (
    CREATE_POOL,
    DEFAULT_SLOTS,
    MAX_NAME_LENGTH,
    POOL_PREFIX,
    SLOTS_VARIABLE,
    connection_pool,
    description_of,
    slots_of,
)


def test_every_connection_has_a_pool_of_its_own() -> None:
    assert connection_pool("crm") == "audience_onboarding_conn_crm"
    assert connection_pool("create") != CREATE_POOL
    assert connection_pool("crm").startswith(POOL_PREFIX)
    assert CREATE_POOL.startswith(POOL_PREFIX)
    assert description_of(CREATE_POOL) != description_of(connection_pool("crm"))
    # Airflow takes no longer name.
    assert len(connection_pool("x" * 250)) == MAX_NAME_LENGTH


def test_the_slots_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SLOTS_VARIABLE, raising=False)
    assert (slots_of(connection_pool("crm")), slots_of(CREATE_POOL)) == (DEFAULT_SLOTS, 1)
    for given, slots in (("3", 3), (" 20 ", 20), *((bad, DEFAULT_SLOTS) for bad in ("", "0", "-1", "many"))):
        monkeypatch.setenv(SLOTS_VARIABLE, given)
        assert (given, slots_of(connection_pool("crm")), slots_of(CREATE_POOL)) == (given, slots, 1)
