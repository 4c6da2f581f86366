"""The life of an upload and of a segment, second by second, on a clock that stands still."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sandbox.clock import iso
from sandbox.digital_audience.state import NotFoundError
from sandbox.digital_audience.views import audience as audience_view
from sandbox.digital_audience.views import segment as segment_view
from tests.sandbox.world import World, emails, sha


def hashes(world: World, audience_id: int) -> set[str]:
    return {member[0].partition("=")[2] for member in world.state.audiences[audience_id].members}


def test_an_upload_goes_from_nodata_over_processing_to_ready() -> None:
    world = World(processing_delay=10, match_percent=100, usable_percent=100)
    audience = world.audience()
    assert (audience.state, audience.data_updated, audience.crm_data) == ("NODATA", None, None)

    world.upload(audience, emails("a", "b"))
    picked_up = world.clock.now()
    world.step()
    assert audience.state == "PROCESSING"
    assert audience.data_updated is None
    view = audience_view(audience, world.clock.now(), world.settings.current, details=True)
    assert view["crmData"]["insightsState"] == "PENDING"
    world.step(9.9)
    assert audience.state == "PROCESSING"
    world.step(0.1)

    view = audience_view(audience, world.clock.now(), world.settings.current, details=True)
    assert view["audienceState"] == "READY"
    assert view["dataUpdated"] == view["updated"] == iso(picked_up + timedelta(seconds=10))
    assert view["crmData"] == {
        "insightsState": "READY",
        "insightsStateId": 1,
        "size": 2,
        "history": {
            "totalEvents": 1,
            "history": {
                iso(picked_up): {
                    "audienceId": audience.id,
                    "mode": "opt-in",
                    "totalRows": 2,
                    "created": iso(picked_up),
                    "dataSet": {"EMAIL": {"TOTAL": 2, "UNIQUE": 2, "MATCH": 2, "UMATCH": 2, "NOMATCH": 0}},
                    "matchRates": {"EMAIL": 1.0},
                }
            },
        },
    }
    assert hashes(world, audience.id) == {sha("a"), sha("b")}


def test_the_short_view_has_no_crm_data() -> None:
    world = World()
    audience = world.audience()
    world.load(audience, emails("a"))
    assert audience_view(audience, world.clock.now(), world.settings.current)["crmData"] is None


def test_opt_in_opt_out_and_replace_change_the_members() -> None:
    world = World()
    audience = world.audience()
    world.load(audience, emails("a", "b"), name="20251215_000000")
    world.load(audience, emails("b", "c"), name="20251215_000001")
    assert hashes(world, audience.id) == {sha("a"), sha("b"), sha("c")}
    world.load(audience, emails("a", "z"), mode="opt-out", name="20251215_000002")
    assert hashes(world, audience.id) == {sha("b"), sha("c")}
    world.load(audience, emails("x"), mode="replace", name="20251215_000003")
    assert hashes(world, audience.id) == {sha("x")}
    assert audience.crm_data is not None
    assert (audience.crm_data.size, audience.crm_data.total_events) == (1, 4)
    assert [event.mode for event in audience.crm_data.history.values()] == [
        "opt-in",
        "opt-in",
        "opt-out",
        "replace",
    ]


def test_a_refused_file_changes_the_state_and_nothing_else() -> None:
    world = World(failure_state="BROKEN", processing_delay=5)
    audience = world.audience()
    world.load(audience, emails("a"))
    updated = audience.data_updated
    key = world.upload(audience, b"email_sha256\r\nnot a hash\r\n", mode="replace")
    world.step()
    assert audience.state == "PROCESSING"
    world.step(5)
    assert audience.state == "BROKEN"
    assert audience.data_updated == updated
    assert hashes(world, audience.id) == {sha("a")}
    assert audience.crm_data is not None
    assert (audience.crm_data.total_events, audience.crm_data.insights_ready) == (1, True)
    reason = "line 2: email_sha256 is not 64 hexadecimal digits"
    assert [(line.event, line.message, line.key) for line in audience.log][-2:] == [
        ("refused", reason, key),
        ("failed", reason, key),
    ]
    event = world.events()[-1]
    assert (event.outcome, event.reason, event.rows) == ("refused", reason, None)

    world.load(audience, emails("b"), name="20251216_000000")
    assert audience.state == "READY"
    assert hashes(world, audience.id) == {sha("a"), sha("b")}


def test_a_refused_first_file_leaves_no_crm_data() -> None:
    world = World()
    audience = world.audience()
    world.load(audience, b"")
    assert (audience.state, audience.crm_data, audience.data_updated) == ("FAILED", None, None)


def test_the_journal_has_what_s3_had() -> None:
    world = World()
    audience = world.audience()
    key, body = f"onboard/audience={audience.id}/opt-in/20251215_000000.csv", emails("a", "b", "c")
    info = world.store.put(key, body, batch="7")
    world.step()
    (event,) = world.events()
    assert event.model_dump(exclude={"seq", "time", "kind", "sha256"}) == {
        "vendor": "digital_audience",
        "key": key,
        "etag": info.etag,
        "size": len(body),
        "last_modified": iso(info.last_modified),
        "metadata": {"batch": "7"},
        "outcome": "accepted",
        "reason": None,
        "audience_id": audience.id,
        "mode": "opt-in",
        "rows": 3,
    }
    assert event.sha256 == sha(body.decode())


def test_the_hash_covers_the_whole_object_even_when_the_check_stops_early() -> None:
    world = World()
    body = b"unknown\r\n" + b"x\r\n" * 50
    world.upload(world.audience(), body)
    world.step()
    assert world.events()[0].sha256 == sha(body.decode())


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("onboard/audience=1/opt-in/20251215_000000.csv", "unknown audience id"),
        ("onboard/audience=69249/in/20251215_000000.csv", "mode folder is not opt-in, opt-out or replace"),
    ],
)
def test_an_object_of_no_audience_is_refused(key: str, reason: str) -> None:
    world = World()
    audience = world.audience()
    assert audience.id == 69249
    world.store.put(key, emails("a"))
    world.step()
    (event,) = world.events()
    assert (event.outcome, event.reason) == ("refused", reason)
    assert event.sha256 == sha(emails("a").decode())
    assert audience.state == "NODATA"


def test_another_organisation_s_audience_is_unknown_in_this_bucket() -> None:
    world = World()
    campaign = world.state.create_campaign(world.foreigner, "theirs")
    audience = world.state.create_audience(world.foreigner, campaign.id, "theirs", None)
    world.upload(audience, emails("a"))
    world.step()
    assert world.events()[0].reason == "unknown audience id"
    assert audience.state == "NODATA"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("onboard/", "folder marker"),
        ("onboard/audience=69249/opt-in/", "folder marker"),
        ("elsewhere/x.csv", "no vendor reads this prefix"),
    ],
)
def test_what_is_not_an_upload_is_ignored(key: str, reason: str) -> None:
    world = World()
    world.store.put(key, b"")
    world.step()
    (event,) = world.events()
    assert (event.outcome, event.reason) == ("ignored", reason)
    assert world.store.opened == []


def test_one_file_at_a_time_in_the_order_of_last_modified_and_key() -> None:
    world = World(processing_delay=10)
    audience, other = world.audience(), world.audience()
    now = world.clock.now()
    prefix = f"onboard/audience={audience.id}/"
    world.store.put(f"{prefix}replace/20251215_000003.csv", emails("third"), modified=now)
    world.store.put(f"{prefix}opt-in/20251215_000009.csv", emails("second"), modified=now)
    world.store.put(f"{prefix}replace/20251215_000001.csv", emails("x"), modified=now - timedelta(seconds=1))
    world.store.put(f"onboard/audience={other.id}/opt-in/20251215_000000.csv", emails("o"), modified=now)
    world.step()
    # the other audience does not wait
    assert {event.audience_id for event in world.events()} == {audience.id, other.id}
    assert len(world.events()) == 2
    world.step(10)
    assert (audience.state, other.state) == ("PROCESSING", "READY")
    assert hashes(world, audience.id) == {sha("x")}
    world.step(10)
    assert hashes(world, audience.id) == {sha("x"), sha("second")}
    world.step(10)
    assert hashes(world, audience.id) == {sha("third")}
    assert audience.state == "READY"
    keys = [event.key.removeprefix(prefix) for event in world.events() if event.audience_id == audience.id]
    assert keys == [
        "replace/20251215_000001.csv",
        "opt-in/20251215_000009.csv",
        "replace/20251215_000003.csv",
    ]


def test_known_objects_are_not_read_again() -> None:
    world = World()
    key = world.upload(world.audience(), emails("a"))
    world.step()
    for _ in range(3):
        world.watcher.touch()
        world.step(1)
    assert world.store.opened == [key]


def test_an_overwritten_object_is_a_new_event() -> None:
    world = World()
    audience = world.audience()
    world.load(audience, emails("a"))
    world.load(audience, emails("b"))
    assert [event.outcome for event in world.events()] == ["accepted", "accepted"]
    assert hashes(world, audience.id) == {sha("a"), sha("b")}


def test_an_object_replaced_while_it_waits_is_read_once_in_its_new_form() -> None:
    world = World(processing_delay=10)
    audience = world.audience()
    world.upload(audience, emails("a"), name="20251215_000000")
    world.upload(audience, emails("old"), name="20251215_000001")
    world.step()
    world.clock.advance(1)
    world.upload(audience, emails("new"), name="20251215_000001")
    world.step(9)
    world.step(10)
    assert hashes(world, audience.id) == {sha("a"), sha("new")}
    assert [event.reason for event in world.events()] == [
        None,
        "replaced or deleted before it was read",
        None,
    ]


def test_an_object_deleted_before_it_was_read_leaves_the_audience_as_it_was() -> None:
    world = World()
    audience = world.audience()
    world.load(audience, emails("a"))
    key = world.upload(audience, emails("b"), name="20251216_000000")
    listed = world.store.list_objects()
    del world.store.objects[key]
    world.processor.take([info for info in listed if info.key == key])
    assert audience.state == "READY"
    assert audience.crm_data is not None
    assert audience.crm_data.insights_ready


def test_history_by_date_keeps_the_last_event_of_a_day() -> None:
    world = World(history_key="date")
    audience = world.audience()
    world.load(audience, emails("a"), name="20251215_000000")
    world.load(audience, emails("b", "c"), name="20251215_000001")
    assert audience.crm_data is not None
    assert audience.crm_data.total_events == 2
    assert {key: event.total_rows for key, event in audience.crm_data.history.items()} == {"2025-12-15": 2}


def test_insights_may_come_later_than_ready() -> None:
    world = World(insights_delay=30)
    audience = world.audience()
    world.load(audience, emails("a"))
    assert audience.crm_data is not None
    assert (audience.state, audience.crm_data.insights_ready) == ("READY", False)
    world.step(29)
    assert not audience.crm_data.insights_ready
    world.step(1)
    assert audience.crm_data.insights_ready


def test_insights_wait_for_the_latest_upload() -> None:
    world = World(insights_delay=30)
    audience = world.audience()
    world.load(audience, emails("a"), name="20251215_000000")
    world.clock.advance(20)
    world.load(audience, emails("b"), name="20251216_000000")
    assert audience.crm_data is not None
    world.step(10)
    assert not audience.crm_data.insights_ready
    world.step(20)
    assert audience.crm_data.insights_ready


def test_a_segment_of_a_loaded_audience_becomes_active_after_the_delay() -> None:
    world = World(activation_delay=10, match_percent=100, usable_percent=100)
    audience = world.audience()
    world.load(audience, emails("a", "b"))
    segment = world.segment(audience)

    def view() -> dict[str, object]:
        return segment_view(segment, audience, world.clock.now())

    world.step(9)
    assert (view()["status"], view()["active"]) == ("Pending", False)
    assert (view()["totalPendingCount"], view()["totalUploadCount"]) == (2, 0)
    parent = audience_view(audience, world.clock.now(), world.settings.current)
    assert (parent["activationStatus"], parent["lifetimeStatus"]) == ("New", None)
    assert parent["hasSegments"] is True
    world.step(1)
    assert (view()["status"], view()["active"]) == ("Active", True)
    assert (view()["totalPendingCount"], view()["totalUploadCount"]) == (0, 2)
    assert view()["totalSegmentUploadCount"] == 1
    parent = audience_view(audience, world.clock.now(), world.settings.current)
    assert (parent["activationStatus"], parent["activationStatusId"]) == ("Active", 1)
    assert parent["lifetimeStatus"] == "Active"


def test_a_segment_waits_for_data() -> None:
    world = World(activation_delay=10)
    audience = world.audience()
    segment = world.segment(audience)
    world.step(1000)
    assert not segment.uploaded
    world.load(audience, emails("a"))
    assert not segment.uploaded
    world.step(10)
    assert segment.uploaded


def test_data_that_comes_twice_while_a_segment_is_pending_is_uploaded_once() -> None:
    world = World(activation_delay=10)
    audience = world.audience()
    segment = world.segment(audience)
    world.load(audience, emails("a"), name="20251215_000000")
    world.load(audience, emails("b"), name="20251216_000000")
    assert not segment.uploaded
    world.step(10)
    world.step(10)
    assert segment.uploads == 1


def test_new_data_is_uploaded_to_active_segments() -> None:
    world = World(match_percent=100, usable_percent=100)
    audience = world.audience()
    world.load(audience, emails("a", "b"))
    segment = world.segment(audience)
    world.step(1)
    world.load(audience, emails("a"), mode="opt-out", name="20251216_000000")
    assert (segment.upload_count, segment.uploads) == (1, 2)


def test_a_segment_s_dates_decide_whether_it_is_active() -> None:
    world = World()
    audience = world.audience()
    world.load(audience, emails("a"))
    segment = world.segment(audience)
    world.step(1)

    def status() -> tuple[object, object]:
        view = segment_view(segment, audience, world.clock.now())
        return view["status"], view["active"]

    assert status() == ("Active", True)
    world.clock.advance(24 * 3600)
    assert status() == ("Inactive", False)
    segment.end += timedelta(days=30)
    assert status() == ("Active", True)
    segment.start = world.clock.now() + timedelta(days=1)
    assert status() == ("Pending", False)


def test_a_segment_s_two_ids_differ() -> None:
    world = World()
    segment = world.segment(world.audience())
    view = segment_view(segment, world.state.audiences[segment.audience_id], world.clock.now())
    assert view["segmentId"] != view["id"]
    with pytest.raises(NotFoundError):
        world.state.segment(world.user, segment.record_id)


def test_deleting_an_audience_takes_segments_and_refuses_later_uploads() -> None:
    world = World(processing_delay=10)
    audience = world.audience()
    world.load(audience, emails("a"))
    segment = world.segment(audience)
    world.step(1)
    world.upload(audience, emails("b"), name="20251216_000000")
    world.upload(audience, emails("c"), name="20251217_000000")
    world.step()
    world.state.delete_audience(world.user, audience.id)
    assert segment.segment_id not in world.state.segments
    world.step(10)
    assert [event.reason for event in world.events()] == [None, None, "unknown audience id"]
    assert audience.members == frozenset()


def test_sessions_end_with_the_clock() -> None:
    world = World(session_lifetime=60)
    opened = world.state.login("Sandbox@Example.com", "sandbox-password")
    assert opened is not None
    world.clock.advance(59)
    assert world.state.user_of(opened[0]) is world.user
    world.clock.advance(1)
    assert world.state.user_of(opened[0]) is None
    assert world.state.login("sandbox@example.com", "foreign-password") is None


def test_ids_are_not_given_out_twice_even_after_a_reset() -> None:
    world = World()
    first = world.audience()
    world.processor.reset()
    world.state.reset()
    assert world.state.audiences == {}
    assert world.audience().id > first.id
