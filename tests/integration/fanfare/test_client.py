"""Every documented operation of Fanfare's audience API against the sandbox.

Errors and secrets are tested in ``tests/unit/clients`` and ``tests/unit/fanfare``.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from audience_onboarding.exceptions import (
    Outcome,
    RateLimitedError,
    RequestRejectedError,
    VendorError,
    VendorUnavailableError,
)
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.connection import FanfareSettings
from audience_onboarding.platforms.fanfare.models import (
    AudienceChanges,
    AudienceDraft,
    AudienceType,
    Import,
    LoyaltyTier,
    RuleDraft,
    RuleOperator,
    SyncSourceDraft,
    SyncStatus,
)
from scripts.local_stack import Sandbox, wait_for
from tests.integration.faults import fault

AUDIENCES = r"/fanfare/api/audiences"


@pytest.fixture
def client(sandbox: Sandbox) -> FanfareClient:
    return client_of(sandbox)


def client_of(sandbox: Sandbox, **options: Any) -> FanfareClient:
    return FanfareClient(
        FanfareSettings.from_options(
            host=sandbox.info["fanfare_url"],
            key=sandbox.info["fanfare_secret_key"],
            # The ceiling of a real plan would make these tests wait.
            options={"max_requests_per_minute": 60_000, **options},
        )
    )


def draft(
    name: str = "Fans", audience_type: AudienceType = AudienceType.STATIC_LIST, **more: Any
) -> AudienceDraft:
    return AudienceDraft(name=name, type=audience_type, **more)


def rule(
    field: str = "totalOrders", operator: RuleOperator = RuleOperator.GREATER_THAN, *values: Any
) -> RuleDraft:
    return RuleDraft(field=field, operator=operator, values=values or (3,))


def finished(client: FanfareClient, audience_id: str, import_id: str) -> Import:
    def is_finished() -> Import | None:
        found = client.find_import(audience_id, import_id)
        return found if found and found.status not in {"PENDING", "PROCESSING"} else None

    return wait_for(is_finished, "The end of the import", timeout=60)


def test_an_audience_is_created_listed_loaded_updated_and_archived(client: FanfareClient) -> None:
    created = client.create_audience(draft(description="Presale", metadata={"season": 2026}))
    assert (created.name, created.type, created.archived) == ("Fans", AudienceType.STATIC_LIST, False)
    assert [item.id for item in client.list_audiences()] == [created.id]
    assert [item.id for item in client.first_audiences()] == [created.id]
    found = client.find_audience("Fans", AudienceType.STATIC_LIST)
    assert found is not None
    assert found.id == created.id

    client.update_audience(created.id, AudienceChanges(name="Friends", description=None))
    loaded = client.get_audience(created.id)
    assert (loaded.name, loaded.description, loaded.metadata) == ("Friends", None, {"season": 2026})
    assert loaded.rules == ()
    assert loaded.imports == ()

    assert client.archive_audience(created.id).archived is True
    assert client.find_audience("Friends", AudienceType.STATIC_LIST) is None


def test_the_rules_of_a_dynamic_audience(client: FanfareClient) -> None:
    audience = client.create_audience(draft(audience_type=AudienceType.DYNAMIC, rules=[rule()]))
    (first,) = client.list_rules(audience.id)
    assert (first.field, first.operator, first.values) == ("totalOrders", "GREATER_THAN", (3,))
    second = client.add_rule(audience.id, rule("tags", RuleOperator.CONTAINS, "vip"))
    assert client.get_rule(audience.id, second.id).field == "tags"
    client.update_rule(audience.id, second.id, rule("tags", RuleOperator.NOT_CONTAINS, "staff"))
    assert client.get_rule(audience.id, second.id).operator == "NOT_CONTAINS"
    client.delete_rule(audience.id, first.id)
    assert [item.id for item in client.list_rules(audience.id)] == [second.id]

    client.replace_rules(audience.id, [rule("email", RuleOperator.EXISTS, True), rule()])
    assert [item.field for item in client.list_rules(audience.id)] == ["email", "totalOrders"]


def test_an_import_from_start_to_end(client: FanfareClient, sandbox: Sandbox) -> None:
    audience = client.create_audience(draft())
    assert client.get_import(audience.id) is None
    started = client.start_import(audience.id)
    assert started.status == "PENDING"
    client.upload(
        started.upload_url,
        b"email,phone\r\nanna@example.com,+31612345678\r\nben@example.com,\r\nnonsense,\r\n",
    )

    found = finished(client, audience.id, started.id)

    assert found.status in {"COMPLETED", "SUCCESS"}
    assert (found.processed_consumers, found.error_count) == (2, 1)
    (error,) = found.errors or ()
    assert error.issues
    assert "nonsense" not in repr(found)
    assert client.count(audience.id) == 2
    assert len(set(client.member_ids(audience.id))) == 2
    (put,) = sandbox.admin("journal?kind=s3")["entries"]
    assert put["operation"] == "PutObject"
    assert put["success"] is True
    # The key stays with the vendor.
    assert put.get("authorization") in {False, None}


def test_members_are_counted_by_hashes_on_all_pages_without_personal_data(
    client: FanfareClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    audience = client.create_audience(draft())
    started = client.start_import(audience.id)
    rows = "".join(f"fan{number}@example.com,+316{number:08}\r\n" for number in range(10_000_000, 10_000_120))
    client.upload(started.upload_url, f"email,phone\r\n{rows}".encode())
    finished(client, audience.id, started.id)
    email, phone = (
        hashlib.sha256(value).hexdigest() for value in (b"fan10000119@example.com", b"31610000005")
    )

    assert len(set(client.member_ids(audience.id))) == 120
    assert client.count_members_like(audience.id, emails={email}, phones={phone}) == (2, 120)
    assert client.count_members_like(audience.id, emails={phone}, phones=set()) == (0, 120)
    assert "fan1000" not in caplog.text


def test_a_synced_list(client: FanfareClient, sandbox: Sandbox) -> None:
    source = SyncSourceDraft(sync_source="klaviyo:list", sync_source_id="XyZ")
    audience = client.create_audience(
        draft(audience_type=AudienceType.SYNCED_LIST, primary_sync_source=source)
    )
    before = client.status(audience.id)

    started = client.sync(audience.id)

    assert started is not None
    assert (started.success, started.status) == (True, "PENDING")
    assert client.sync(audience.id) is None  # 409: under way already
    status = wait_for(
        lambda: (seen := client.status(audience.id)).sync_status is SyncStatus.SUCCESS and seen,
        "The sync",
        timeout=60,
    )
    assert status.last_synced_at is not None
    assert status.version != before.version
    with pytest.raises(RequestRejectedError, match="Audience is not a synced list"):
        client.sync(client.create_audience(draft()).id)


def test_loyalty_tiers_and_their_group(client: FanfareClient) -> None:
    made = client.create_loyalty_tiers(
        group_name="Loyalty",
        attribute="totalOrderValue",
        tiers=[
            LoyaltyTier(name="Silver", order=1, start_value=0, end_value=100),
            LoyaltyTier(name="Gold", order=2, start_value=100),
        ],
    )

    assert [item.name for item in made.audiences] == ["Silver", "Gold"]
    group_id = made.audiences[0].group_id
    assert group_id is not None
    assert {item.name for item in client.list_group(group_id)} == {"Silver", "Gold"}


def test_the_other_generation_of_the_pages_works_too(sandbox: Sandbox) -> None:
    sandbox.admin("settings", method="PATCH", json={"fanfare_docs_generation": "handwritten"})
    with pytest.raises(RequestRejectedError, match="type"):
        client_of(sandbox).create_audience(draft())
    client = client_of(sandbox, static_list_type="STATIC")
    audience = client.create_audience(draft())

    assert client.find_audience("Fans", AudienceType.STATIC_LIST) is not None
    assert client.get_audience(audience.id).type is AudienceType.STATIC_LIST
    started = client.start_import(audience.id)
    client.upload(started.upload_url, b"email\r\nanna@example.com\r\n")
    assert finished(client, audience.id, started.id).status == "SUCCESS"
    assert client.count(audience.id) == 1
    v1 = FanfareSettings.from_options(
        host=sandbox.info["fanfare_url"] + "/v1", key=sandbox.info["fanfare_secret_key"], options={}
    )
    assert [item.id for item in FanfareClient(v1).list_audiences()] == [audience.id]


def test_a_refusal_is_read_in_every_shape_of_the_pages(sandbox: Sandbox, client: FanfareClient) -> None:
    for shape in ("spec", "errors_page", "troubleshooting"):
        sandbox.admin("settings", method="PATCH", json={"fanfare_error_shape": shape})
        for status, kind, outcome in (
            (400, RequestRejectedError, Outcome.NOT_DONE),
            (422, RequestRejectedError, Outcome.NOT_DONE),
            (429, RateLimitedError, Outcome.NOT_DONE),
            (500, VendorUnavailableError, Outcome.UNKNOWN),
        ):
            fault(sandbox, "fanfare", "POST", AUDIENCES, status=status)

            with pytest.raises(VendorError, match="Fanfare POST /audiences") as error:
                client.create_audience(draft())

            assert (type(error.value), error.value.status) == (kind, status), shape
            assert error.value.outcome is outcome
    with pytest.raises(RequestRejectedError, match="type"):
        client._call("POST", "/audiences", json={"name": "Fans", "type": "LIST"})


def test_an_expired_presigned_address_is_replaced_by_the_next_try(sandbox: Sandbox) -> None:
    sandbox.admin("settings", method="PATCH", json={"fanfare_upload_url_lifetime": 0.01})
    client = client_of(sandbox)
    started = client.start_import(client.create_audience(draft()).id)

    def refused() -> VendorUnavailableError | None:
        try:
            client.upload(started.upload_url, b"email\r\nanna@example.com\r\n")
        except VendorUnavailableError as error:
            return error
        return None

    error = wait_for(refused, "The end of the address", timeout=60)
    assert "Airflow retries automatically with a new address" in str(error)
    assert "X-Amz" not in str(error)
