"""Imports, syncs and dynamic audiences of Fanfare, second by second, on a clock that stands still."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.fanfare import views
from sandbox.fanfare.state import ApiFailure, Audience, Import
from tests.sandbox.world import FanfareWorld

FILE = b"email,phone\nanna@example.com,+31612345678\nben@example.com,\n"
NOT_EMPTY = [{"field": "email", "operator": "EXISTS", "values": []}]


def shown(world: FanfareWorld, audience: Audience, item: Import) -> dict[str, Any]:
    return views.import_(item, audience, world.clock.now(), world.settings.current)


def test_an_import_from_post_to_completed() -> None:
    world = FanfareWorld(fanfare_pending_delay=2, fanfare_import_delay=10)
    audience = world.audience()
    item = world.state.new_import(audience)
    begin = shown(world, audience, item)
    assert set(begin) == {
        *("id", "organizationId", "createdAt", "createdBy", "archived", "audienceId", "status", "progress"),
        *("processedConsumers", "errorCount", "s3Key"),
        *("totalConsumers", "errors", "updatedAt", "updatedBy"),
    }
    stamp = int(world.clock.now().timestamp() * 1000)
    assert begin["s3Key"] == f"imports/{world.organization.id}/{audience.id}/{stamp}.csv"
    assert (begin["status"], begin["progress"], begin["totalConsumers"]) == ("PENDING", 0, None)
    world.step(100)
    assert item.status == "PENDING"

    world.upload(item, b"email\n" + b"".join(b"%d@example.com\n" % number for number in range(100)))
    world.step()
    assert item.status == "PENDING"
    world.step(2)
    seen = []
    for _ in range(5):
        one = shown(world, audience, item)
        seen.append((one["status"], one["progress"], one["processedConsumers"], one["totalConsumers"]))
        assert len(audience.members) == 0
        assert views.status(audience, world.settings.current)["inProgress"] is True
        world.step(2)
    assert seen == [("PROCESSING", 20 * part, 20 * part, 100) for part in range(5)]
    done = shown(world, audience, item)
    assert (done["status"], done["progress"], done["processedConsumers"]) == ("COMPLETED", 100, 100)
    assert (done["errorCount"], done["errors"], len(audience.members)) == (0, None, 100)
    assert audience.version == 2
    assert views.status(audience, world.settings.current)["inProgress"] is False


def test_without_delays_it_is_done_with_the_look_into_the_bucket() -> None:
    world = FanfareWorld(fanfare_import_delay=0)
    audience = world.audience()
    item = world.state.new_import(audience)
    world.upload(item, FILE)
    world.step()
    assert (item.status, len(audience.members)) == ("COMPLETED", 2)


def test_bad_rows_are_left_out_and_quoted() -> None:
    world = FanfareWorld()
    audience = world.audience()
    item = world.load(audience, b"email\na@example.com\nnonsense\n")
    one = shown(world, audience, item)
    assert (one["status"], one["processedConsumers"], one["errorCount"]) == ("COMPLETED", 1, 1)
    assert (one["totalConsumers"], [error["row"] for error in one["errors"]]) == (2, [2])
    assert "nonsense" in json.dumps(one["errors"])
    assert "nonsense" not in world.events()[0].model_dump_json()


def test_bad_rows_may_fail_the_whole() -> None:
    world = FanfareWorld(fanfare_row_errors="fail")
    audience = world.audience()
    item = world.load(audience, b"email\na@example.com\nnonsense\n")
    assert (item.status, item.reason, item.error_count) == ("FAILED", "1 rows with errors", 1)
    assert len(audience.members) == 0


def test_a_refused_file_says_why() -> None:
    world = FanfareWorld(fanfare_max_bytes=100)
    audience = world.audience()
    for body, reason in {
        b"shoe\n43\n": "header: column 1 is unknown",
        b"email\n" + b"a@example.com\n" * 10: "file is larger than 100 bytes",
    }.items():
        item = world.load(audience, body)
        one = shown(world, audience, item)
        assert (one["status"], item.reason, one["processedConsumers"]) == ("FAILED", reason, 0)
        (error,) = one["errors"]
        assert (error["row"], error["issues"][0]["message"]) == (0, reason)
        event = world.events()[-1]
        assert (event.vendor, event.outcome, event.reason) == ("fanfare", "refused", reason)
        assert event.audience_id == audience.id
    assert audience.version == 1


def test_failures_can_be_planned() -> None:
    world = FanfareWorld()
    from sandbox.fanfare.state import PlannedFailure

    first, second = world.audience(), world.audience()
    world.state.failures.append(PlannedFailure(first.id, skip=1, times=1, reason="Broken"))
    assert world.load(first, FILE).status == "COMPLETED"
    assert world.load(second, FILE).status == "COMPLETED"
    failed = world.load(first, FILE)
    assert (failed.status, failed.reason, failed.good) == ("FAILED", "Broken", 0)
    assert world.load(first, FILE).status == "COMPLETED"
    assert world.state.failures == []


def test_consumers_are_found_by_email_then_phone_then_external_id() -> None:
    world = FanfareWorld()
    audience = world.audience()
    world.load(audience, b"email,phone,externalId\na@example.com,+31612345670,1\n,+31612345671,2\n,,3\n")
    assert len(audience.members) == 3
    world.load(
        audience,
        b"email,phone,externalId,firstName\n"
        b"A@Example.com,,,By mail\n"
        b"new@example.com,+31612345671,,By phone\n"
        b"last@example.com,,3,By id\n",
    )
    assert [profile["firstName"] for profile in world.profiles(audience)] == ["By mail", "By phone", "By id"]
    assert world.profiles(audience)[1] == {
        "email": "new@example.com",
        "phone": "+31612345671",
        "externalId": "2",
        "firstName": "By phone",
    }
    # repeats within a file count as processed and make one member
    item = world.load(audience, b"email\nx@example.com\nX@example.com\n")
    assert (item.good, len(audience.members)) == (2, 4)


def test_consumers_belong_to_the_organization_and_members_to_the_audience() -> None:
    world = FanfareWorld()
    first, second = world.audience(), world.audience()
    foreign = world.state.create(world.foreign, {"name": "list"}, "STATIC_LIST")
    for audience in (first, second, foreign):
        world.load(audience, FILE)
    assert list(first.members) == list(second.members)
    assert not set(first.members) & set(foreign.members)
    assert (len(world.organization.consumers), len(world.foreign.consumers)) == (2, 2)


def test_only_the_first_file_of_an_import_counts() -> None:
    world = FanfareWorld()
    audience = world.audience()
    item = world.load(audience, FILE)
    world.upload(item, b"email\nother@example.com\n")
    world.step(10)
    assert len(audience.members) == 2
    assert [event.outcome for event in world.events()] == ["accepted", "ignored"]
    world.store.put("imports/other.csv", FILE)
    world.watcher.touch()
    world.step()
    assert (world.events()[-1].outcome, world.events()[-1].reason) == ("refused", "no import has this key")


def test_two_imports_at_once_are_allowed_or_a_conflict() -> None:
    world = FanfareWorld(fanfare_upload_url_lifetime=60)
    audience = world.audience()
    first, second = world.state.new_import(audience), world.state.new_import(audience)
    assert first.s3_key != second.s3_key
    world.settings.patch({"fanfare_parallel_imports": "conflict"})
    with pytest.raises(ApiFailure, match="Import already in progress") as error:
        world.state.new_import(audience)
    assert error.value.status == 409
    world.step(60)
    third = world.state.new_import(audience)
    world.upload(third, FILE)
    world.step()
    world.step(60)
    assert third.status == "COMPLETED"
    world.state.new_import(audience)


@pytest.mark.parametrize("type_", ["DYNAMIC", "SYNCED_LIST"])
def test_only_static_lists_take_imports(type_: str) -> None:
    world = FanfareWorld()
    with pytest.raises(ApiFailure, match="Audience is not a static list"):
        world.state.new_import(world.audience(type_))


def test_a_dynamic_audience_follows_its_rules_after_a_while() -> None:
    world = FanfareWorld(fanfare_refresh_delay=5, fanfare_import_delay=0)
    dynamic = world.audience("DYNAMIC", rules=NOT_EMPTY)
    state = views.status(dynamic, world.settings.current)
    assert (state["stale"], state["inProgress"], state["pendingShards"]) == (True, True, 1)
    assert state["lastRefreshedAt"] is None
    world.step(5)
    state = views.status(dynamic, world.settings.current)
    assert (state["stale"], state["inProgress"], state["pendingShards"]) == (False, False, 0)
    assert state["lastRefreshedAt"] is not None
    version = state["version"]

    world.load(world.audience(), FILE)
    assert (dynamic.stale, len(dynamic.members)) == (True, 0)
    world.step(3)
    dynamic.rules = [world.state.rule({"field": "phone", "operator": "EXISTS", "values": []})]
    world.state.refresh(dynamic)
    world.step(2)
    # the change in between has its own five seconds
    assert (dynamic.stale, len(dynamic.members)) == (True, 0)
    world.step(3)
    assert [profile["email"] for profile in world.profiles(dynamic)] == ["anna@example.com"]
    assert views.status(dynamic, world.settings.current)["version"] > version


def test_a_sync_from_pending_to_its_end() -> None:
    world = FanfareWorld(fanfare_sync_delay=5)
    audience = world.audience(
        "SYNCED_LIST", primarySyncSource={"syncSource": "klaviyo:list", "syncSourceId": "L1"}
    )
    source = world.state.sync(audience)
    source.profiles = [{"email": "a@example.com"}, {"email": "b@example.com"}]
    with pytest.raises(ApiFailure, match="Sync already in progress") as error:
        world.state.sync(audience)
    assert error.value.status == 409
    state = views.status(audience, world.settings.current)
    assert (state["syncStatus"], state["inProgress"], state["lastSyncedAt"]) == ("PENDING", True, None)
    world.step(5)
    state = views.status(audience, world.settings.current)
    assert (state["syncStatus"], state["inProgress"], state["version"]) == ("SUCCESS", False, 2)
    synced_at = state["lastSyncedAt"]
    assert synced_at == source.last_synced
    assert len(audience.members) == 2

    world.settings.patch({"fanfare_sync_result": "FAILED"})
    source.profiles = []
    world.state.sync(audience)
    world.step(5)
    state = views.status(audience, world.settings.current)
    assert (state["syncStatus"], state["lastSyncedAt"], state["version"]) == ("FAILED", synced_at, 2)
    assert len(audience.members) == 2


def test_syncs_that_cannot_be() -> None:
    world = FanfareWorld()
    with pytest.raises(ApiFailure, match="Audience is not a synced list"):
        world.state.sync(world.audience())
    with pytest.raises(ApiFailure, match="Audience has no sync source"):
        world.state.sync(world.audience("SYNCED_LIST"))


def test_a_reset_forgets_everything_but_goes_on_counting() -> None:
    world = FanfareWorld()
    audience = world.audience()
    key = world.state.rotate_key()
    world.state.reset()
    assert world.state.organization_of(key) is None
    (first, _) = world.state.organizations
    assert world.state.organization_of(world.settings.current.fanfare_secret_key) is first
    with pytest.raises(ApiFailure, match="Audience not found"):
        world.state.audience(first, audience.id)


@pytest.mark.parametrize("shape", ["spec", "errors_page", "troubleshooting"])
def test_error_bodies(shape: str) -> None:
    settings = FanfareWorld(fanfare_error_shape=shape).settings.current
    issue = {"path": [{"key": "rules"}, {"key": 0}], "message": "Invalid"}
    assert {
        "plain": views.error(settings, 404, "Audience not found"),
        "invalid": views.error(settings, 400, "Validation failed", [issue]),
    } == {
        "spec": {
            "plain": {"error": "Audience not found"},
            "invalid": {"error": "validation_error", "issues": [issue]},
        },
        "errors_page": {
            "plain": {"error": "Not Found", "message": "Audience not found", "details": []},
            "invalid": {
                "error": "Validation failed",
                "details": [{"field": "rules.0", "message": "Invalid"}],
            },
        },
        "troubleshooting": {
            "plain": {
                "error": "Not Found",
                "message": "Audience not found",
                "code": "NOT_FOUND",
                "details": [],
            },
            "invalid": {
                "error": "Bad Request",
                "message": "Validation failed",
                "code": "VALIDATION_ERROR",
                "details": [{"field": "rules.0", "message": "Invalid"}],
            },
        },
    }[shape]
