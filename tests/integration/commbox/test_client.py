"""Every documented operation of CommBox's audience API against the sandbox.

Errors and secrets are tested in ``tests/unit/clients`` and ``tests/unit/commbox``.
"""

from __future__ import annotations

from typing import Any

import pytest

from audience_onboarding.exceptions import (
    ConfigurationError,
    RequestRejectedError,
)
from audience_onboarding.http import FileContent
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.connection import CommBoxSettings
from audience_onboarding.platforms.commbox.models import AudienceType
from scripts.local_stack import Sandbox, wait_for


@pytest.fixture
def client(sandbox: Sandbox) -> CommBoxClient:
    settings: Any = CommBoxSettings.from_options(
        host=sandbox.info["commbox_url"], key=sandbox.info["commbox_api_key"], options={}
    )
    return CommBoxClient(settings)


def csv(*numbers: str, header: str = "phone1") -> FileContent:
    body = "".join(f"{line}\r\n" for line in (header, *numbers)).encode()
    return FileContent("list.csv", "text/csv", len(body), lambda: iter((body,)))


def counted(client: CommBoxClient, audience_id: str, count: int) -> None:
    wait_for(lambda: client.load_audience(audience_id).user_count == count, f"A count of {count}", timeout=60)


def test_an_audience_is_created_listed_and_replaced(client: CommBoxClient) -> None:
    audience_id = client.create_audience(name='NE "USA" é', file=csv("442079832100", "31612345678"))
    (listed,) = client.list_audiences()
    assert (listed.id, listed.name, listed.type) == (audience_id, 'NE "USA" é', AudienceType.STATIC)
    counted(client, audience_id, 2)

    assert client.replace_audience(audience_id, file=csv("31612345679")) == audience_id
    counted(client, audience_id, 1)
    assert len(client.list_audiences()) == 1


def test_a_file_without_phone1_is_refused(client: CommBoxClient) -> None:
    with pytest.raises(RequestRejectedError, match="needs a column 'phone1'") as error:
        client.create_audience(name="Wrong", file=csv("31612345678", header="phone"))

    assert error.value.status == 400
    assert client.list_audiences() == []


def test_a_dynamic_audience_takes_no_file(sandbox: Sandbox, client: CommBoxClient) -> None:
    audience_id = sandbox.admin("commbox/audiences", method="POST", json={"name": "Rules"})["id"]

    with pytest.raises(ConfigurationError, match="is Dynamic"):
        client.find_audience("Rules")
    with pytest.raises(RequestRejectedError, match="must be a static audience") as error:
        client.replace_audience(str(audience_id), file=csv("31612345678"))
    assert error.value.status == 400
