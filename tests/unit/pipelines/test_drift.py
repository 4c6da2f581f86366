"""Drift: differences between vendors and definitions, on each platform, and their correction."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.exceptions import (
    AuthenticationError,
    NotFoundError,
    RequestRejectedError,
    VendorUnavailableError,
)
from audience_onboarding.pipelines import build_drift_dag
from audience_onboarding.platform_registry import PLATFORMS, get_platform
from audience_onboarding.platforms.commbox.client import CommBoxClient
from audience_onboarding.platforms.commbox.connection import CommBoxSettings
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.commbox.models import Audience as CommBoxAudience
from audience_onboarding.platforms.digital_audience.models import Audience, PlatformAccount, Segment
from audience_onboarding.platforms.fanfare.client import FanfareClient
from audience_onboarding.platforms.fanfare.connection import FanfareSettings
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from audience_onboarding.platforms.fanfare.models import Audience as FanfareAudience
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import (
    HOST,
    NO_FLAGS,
    REMOVE,
    check_form,
    definition,
    minimal,
    remembering,
    run_task,
)
from tests.unit.platforms.fanfare.conftest import audience_json
from tests.unit.state.helpers import check

NOW = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def segment(
    segment_id: int = 1,
    *,
    name: str = "Newsletter",
    account_id: int = 8,
    ends: datetime = NOW + 20 * DAY,
    description: str | None = "CRM onboarding",
) -> Segment:
    return Segment(
        segment_id=segment_id, name=name, account_id=account_id, end_date=ends, description=description
    )


@pytest.fixture
def client(client: Any) -> Any:
    client.load_audience.return_value = Audience(id=7, name="Newsletter", description="As it was")
    client.load_audience_segments.return_value = [segment()]
    client.load_platform_accounts.return_value = [
        PlatformAccount(id=8, name="Example NL", platform_display_name="DV360")
    ]
    client.load_segment.return_value = segment(ends=NOW + DAY)
    return client


LOADED = {"last_load": {"load_date": "2026-11-19"}}
FORM = {"audience": None, "apply": False, "fail_on_drift": False}


def compare(
    *definitions: Any, stores: AssetStores | None = None, failing: str = "", **params: Any
) -> list[dict[str, Any]]:
    """The differences that the task reports; those of a loaded audience, if the memory is not given.

    :param failing: pattern of the message with which the task fails all the same.
    """
    context = task_context(stores=stores or remembering(LOADED), **{**FORM, **params})
    with pytest.raises(AirflowFailException, match=failing) if failing else nullcontext():
        run_task(build_drift_dag(definitions), "detect_drift", context)
    rows: list[dict[str, Any]] = context["ti"].pushed["report"]
    return rows


def short(rows: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    return [(row["what"], row["field"], row["can_be_applied"]) for row in rows]


def test_an_audience_as_defined_or_never_created_or_retired_is_no_drift(client: Any) -> None:
    record = {"audience": "newsletter", "at": "2026-11-20", "by": "anna"}

    assert compare(definition(id=7)) == []
    client.load_audience.reset_mock()
    assert compare(definition()) == []
    assert compare(definition(id=7), stores=remembering({"retired": record})) == []
    assert client.load_audience.call_count == 0


def test_an_audience_that_is_gone_is_drift(client: Any) -> None:
    client.load_audience.side_effect = NotFoundError(what="gone")

    (row,) = compare(definition(id=7), apply=True)

    assert (row["field"], row["at_vendor"], row["in_definition"]) == ("presence", None, "7")
    assert (row["can_be_applied"], row["applied"]) == (False, False)


def test_name_and_description_are_compared(client: Any) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed", description="Other")

    rows = compare(definition(id=7, description="As defined"))

    rest = {
        "audience": "newsletter",
        "what": "audience",
        "can_be_applied": True,
        "note": "",
        "applied": False,
    }
    assert rows == [
        {"field": "name", "at_vendor": "Renamed", "in_definition": "Newsletter", **rest},
        {"field": "description", "at_vendor": "Other", "in_definition": "As defined", **rest},
    ]
    assert client.update_audience.call_count == 0


def test_name_and_description_are_corrected_by_one_request(client: Any) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed", description="Other")

    for changes, sent in (({"description": "As defined"}, "As defined"), ({}, "Other")):
        rows = compare(definition(id=7, **changes), apply=True)

        assert all(row["applied"] for row in rows)
        client.update_audience.assert_called_once_with(7, name="Newsletter", description=sent)
        client.update_audience.reset_mock()


def test_segments_are_compared(client: Any) -> None:
    def found(segments: list[Segment]) -> list[tuple[str, str, bool]]:
        client.load_audience_segments.return_value = segments
        return short(compare(definition(id=7)))

    missing = [("segment Newsletter", "presence", False)]
    cases: list[tuple[list[Segment], list[tuple[str, str, bool]]]] = [
        ([], missing),
        ([segment(), segment(2, name="Other")], [("segment Other", "presence", False)]),
        # One on another account is not ours.
        ([segment(), segment(2, account_id=9)], missing),
        ([segment(description="Other")], [("segment Newsletter", "description", False)]),
        # The vendor shows no description.
        ([segment(description=None)], []),
        ([segment(ends=NOW + 6 * DAY)], [("segment Newsletter", "end_date", True)]),
        ([segment(ends=NOW + 7 * DAY)], []),
        ([segment(ends=NOW - DAY)], [("segment Newsletter", "end_date", False)]),
        # An older one is over.
        ([segment(ends=NOW - DAY), segment(2)], []),
    ]
    check(found, cases)


def test_the_last_day_is_compared(client: Any) -> None:
    def found(case: tuple[str, str]) -> list[tuple[str, str, bool]]:
        until, ends = case
        client.load_audience_segments.return_value = [segment(ends=datetime.fromisoformat(ends))]
        return short(compare(definition(id=7, activation__targets__0__until=until)))

    cases = [
        (("2026-11-22", "2026-11-22T23:59:59+01:00"), []),
        # The segment ends later, or earlier.
        (("2026-11-22", "2026-11-23T23:59:59+01:00"), [False]),
        (("2026-11-25", "2026-11-22T00:00:00+01:00"), [True]),
        # It was let go, or is over too early.
        (("2026-11-19", "2026-11-18T00:00:00+01:00"), []),
        (("2026-12-24", "2026-11-18T00:00:00+01:00"), [False]),
    ]
    check(found, [(case, [("segment Newsletter", "end_date", can) for can in cans]) for case, cans in cases])


def test_an_end_or_a_missing_segment_that_is_not_ours_to_keep_is_no_drift(client: Any) -> None:
    client.load_audience_segments.return_value = [segment(ends=NOW + DAY)]
    # There is no upkeep.
    assert compare(definition(id=7, activation__extend=REMOVE)) == []

    client.load_audience_segments.return_value = []
    # The target is over, was refused, or was never loaded.
    assert compare(definition(id=7, activation__targets__0__until="2026-11-01")) == []
    refused = remembering({**LOADED, "approval_rejected.dv360": {"by": "Anna"}})
    assert compare(definition(id=7), stores=refused) == []
    assert compare(definition(id=7), stores=remembering({})) == []


def test_a_segment_that_is_remembered_differs_from_a_missing_one(client: Any) -> None:
    stores = remembering({**LOADED, "segment.dv360": {"id": 2, "account": HOST}})
    client.load_audience_segments.return_value = []
    (gone,) = compare(definition(id=7), stores=stores)
    client.load_audience_segments.return_value = [segment(2, name="Renamed")]
    (renamed,) = compare(definition(id=7), stores=stores)

    assert "segment 2" in gone["in_definition"]
    assert "The vendor has deleted it" in gone["note"]
    assert (renamed["what"], renamed["field"]) == ("segment Renamed", "name")


def test_an_end_date_is_only_moved_forward(client: Any) -> None:
    client.load_audience_segments.return_value = [segment(ends=NOW + DAY), segment(2, name="Other")]

    rows = compare(definition(id=7), apply=True)

    assert [(row["what"], row["applied"]) for row in rows] == [
        ("segment Newsletter", True),
        ("segment Other", False),
    ]
    client.update_segment_end_date.assert_called_once_with(1, NOW + 30 * DAY)
    assert client.delete_segment.call_count == 0


def test_an_unknown_account_is_drift_and_its_segments_are_not_taken_for_foreign_ones(client: Any) -> None:
    (row,) = compare(definition(id=7, activation__targets__0__account={"id": 77}))

    assert (row["what"], row["field"], row["in_definition"]) == ("target dv360", "account", "77")
    assert "8: Example NL on DV360" in row["note"]


# --- the other platforms ------------------------------------------------------------------------------------


def other(platform: str, **changes: Any) -> Any:
    return minimal(platform, **{"name": "Fans", "id": "a_1", **changes})


def patched(hook: Any, client: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(client, instance=True)
    made.settings = settings(base_url=HOST, key="k")
    monkeypatch.setattr(hook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def fanfare(monkeypatch: pytest.MonkeyPatch) -> Any:
    return patched(FanfareHook, FanfareClient, FanfareSettings, monkeypatch)


@pytest.fixture
def commbox(monkeypatch: pytest.MonkeyPatch) -> Any:
    return patched(CommBoxHook, CommBoxClient, CommBoxSettings, monkeypatch)


def fans(**changes: Any) -> FanfareAudience:
    return FanfareAudience.model_validate(audience_json(id="a_1", **{"name": "Fans", **changes}))


def test_fanfare_is_compared_and_corrected(fanfare: Any) -> None:
    fanfare.get_audience.return_value = fans(name="Renamed", description="Other")

    assert short(compare(other("fanfare"))) == [("audience", "name", True)]
    # A field that is not given stays as it is.
    for given in ({}, {"description": "As defined"}):
        compare(other("fanfare", **given), apply=True)
        ((_, changes), _) = fanfare.update_audience.call_args
        assert changes.to_json() == {"name": "Fans", **given}
    fanfare.get_audience.return_value = fans(archived=True)
    assert short(compare(other("fanfare"))) == [("audience", "archived", False)]


def test_commbox_shows_its_name_only(commbox: Any) -> None:
    commbox.load_audience.return_value = CommBoxAudience.model_construct(id="a_1", name="Renamed")

    (row,) = compare(other("commbox"), apply=True)

    assert (row["field"], row["can_be_applied"], row["applied"]) == ("name", False, False)
    commbox.load_audience.return_value = CommBoxAudience.model_construct(id="a_1", name="Fans")
    assert compare(other("commbox")) == []


def test_an_audience_that_is_gone_elsewhere_is_drift(fanfare: Any, commbox: Any) -> None:
    fanfare.get_audience.side_effect = commbox.load_audience.side_effect = NotFoundError(what="gone")
    for platform in ("fanfare", "commbox"):
        assert short(compare(other(platform))) == [("audience", "presence", False)]
        # One that was never created is none.
        assert compare(other(platform, id=None)) == []
    assert all(callable(get_platform(platform).reconciliation.differences) for platform in PLATFORMS)


# --- the task -----------------------------------------------------------------------------------------------


def test_an_audience_that_cannot_be_compared_does_not_hide_the_others(client: Any) -> None:
    two = [definition("one", id=1), definition("two", id=2, activation=REMOVE)]
    for error, raised, message in (
        (AuthenticationError(what="No login"), AirflowFailException, "one: AuthenticationError: No login"),
        (VendorUnavailableError(what="No answer"), VendorUnavailableError, "No answer"),
    ):
        client.load_audience.side_effect = [error, Audience(id=2, name="Renamed")]
        context = task_context(**FORM)
        with pytest.raises(raised, match=message):
            run_task(build_drift_dag(two), "detect_drift", context)
        assert short(context["ti"].pushed["report"]) == [("audience", "name", True)]


def test_a_failed_correction_is_reported(client: Any) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed")
    client.update_audience.side_effect = RequestRejectedError(what="No", where="there")

    rows = compare(definition(id=7), apply=True, failing="newsletter, audience: RequestRejectedError: No")

    assert [row["applied"] for row in rows] == [False]


def test_drift_is_a_failure_only_if_asked_for(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed")

    with caplog.at_level("WARNING"):
        compare(definition(id=7))
    assert "1 differences" in caplog.text
    assert "Renamed" in caplog.text
    compare(definition(id=7), fail_on_drift=True, failing="1 differences remain")
    # A corrected difference is not left.
    compare(definition(id=7), fail_on_drift=True, apply=True)


def test_one_audience_can_be_chosen(client: Any) -> None:
    compare(definition("one", id=1), definition("two", id=2), audience="two")

    client.load_audience.assert_called_once_with(2)


def test_the_form_refuses_wrong_values() -> None:
    dag = build_drift_dag([definition()])

    dag.params.validate()
    flags = dict.fromkeys(("apply", "fail_on_drift"), ([True, False], NO_FLAGS))
    check_form(dag, {"audience": ([None, "newsletter"], ["nobody", 5]), **flags})
