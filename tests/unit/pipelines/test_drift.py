"""Drift: what differs from the definitions, on each platform, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.hooks import CommBoxHook
from audience_onboarding.commbox.models import Audience as CommBoxAudience
from audience_onboarding.commbox.settings import CommBoxSettings
from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.models import Audience, PlatformAccount, Segment
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from audience_onboarding.errors import (
    AuthenticationError,
    NotFoundError,
    RequestRejectedError,
    VendorUnavailableError,
)
from audience_onboarding.fanfare.client import FanfareClient
from audience_onboarding.fanfare.hooks import FanfareHook
from audience_onboarding.fanfare.models import Audience as FanfareAudience
from audience_onboarding.fanfare.settings import FanfareSettings
from audience_onboarding.pipelines import build_drift_dag, drift
from audience_onboarding.platforms import PLATFORMS, part_of
from tests.fakes import AssetStores, task_context
from tests.unit.fanfare.conftest import audience_json
from tests.unit.pipelines.conftest import REMOVE, definition, function_of

HOST = "https://vendor.example"
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
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(DigitalAudienceClient, instance=True)
    made.settings = DigitalAudienceSettings(base_url=HOST, user_name="u", password="p")
    made.load_audience.return_value = Audience(id=7, name="Newsletter", description="As it was")
    made.load_audience_segments.return_value = [segment()]
    made.load_platform_accounts.return_value = [
        PlatformAccount(id=8, name="Example NL", platform_display_name="DV360")
    ]
    made.load_segment.return_value = segment(ends=NOW + DAY)
    monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: made))
    return made


@pytest.fixture
def stores() -> AssetStores:
    made = AssetStores()
    made.stores["audience/newsletter"] = type(task_context()["task_state_store"])(
        {"last_load": {"load_date": "2026-11-19"}}
    )
    return made


FORM = {"audience": None, "apply": False, "fail_on_drift": False}


def compare(
    monkeypatch: pytest.MonkeyPatch, *definitions: Any, stores: AssetStores | None = None, **params: Any
) -> list[dict[str, Any]]:
    context = task_context(stores=stores, **{**FORM, **params})
    monkeypatch.setattr(drift, "get_current_context", lambda: context)
    try:
        function_of(build_drift_dag(definitions), "compare")()
    finally:
        rows: list[dict[str, Any]] = context["ti"].pushed["report"]
    return rows


def short(rows: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    return [(row["what"], row["field"], row["can_be_applied"]) for row in rows]


def test_what_is_as_defined_is_no_drift(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compare(monkeypatch, definition(id=7), stores=stores) == []


def test_an_audience_that_was_never_created_is_no_drift(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare(monkeypatch, definition()) == []
    assert client.load_audience.call_count == 0


def test_a_retired_audience_is_no_drift(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    retired = AssetStores()
    record = {"audience": "newsletter", "at": "2026-11-20", "by": "anna"}
    retired.stores["audience/newsletter"] = type(task_context()["task_state_store"])({"retired": record})

    assert compare(monkeypatch, definition(id=7), stores=retired) == []
    assert client.load_audience.call_count == 0


def test_an_audience_that_is_gone_is_drift(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.load_audience.side_effect = NotFoundError(what="gone")

    (row,) = compare(monkeypatch, definition(id=7), apply=True)

    assert (row["field"], row["at_vendor"], row["in_definition"]) == ("presence", None, "7")
    assert (row["can_be_applied"], row["applied"]) == (False, False)


def test_name_and_description_are_compared(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed", description="Other")

    rows = compare(monkeypatch, definition(id=7, description="As defined"), stores=stores)

    assert rows == [
        {
            "audience": "newsletter",
            "what": "audience",
            "field": "name",
            "at_vendor": "Renamed",
            "in_definition": "Newsletter",
            "can_be_applied": True,
            "note": "",
            "applied": False,
        },
        {
            "audience": "newsletter",
            "what": "audience",
            "field": "description",
            "at_vendor": "Other",
            "in_definition": "As defined",
            "can_be_applied": True,
            "note": "",
            "applied": False,
        },
    ]
    assert client.update_audience.call_count == 0


@pytest.mark.parametrize(("changes", "sent"), [({"description": "As defined"}, "As defined"), ({}, "Other")])
def test_name_and_description_are_mended_by_one_request(
    client: Any,
    stores: AssetStores,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    sent: str,
) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed", description="Other")

    rows = compare(monkeypatch, definition(id=7, **changes), stores=stores, apply=True)

    assert all(row["applied"] for row in rows)
    client.update_audience.assert_called_once_with(7, name="Newsletter", description=sent)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        pytest.param([], [("segment Newsletter", "presence", False)], id="missing"),
        pytest.param(
            [segment(), segment(2, name="Other")], [("segment Other", "presence", False)], id="nobody's"
        ),
        pytest.param(
            [segment(), segment(2, account_id=9)],
            [("segment Newsletter", "presence", False)],
            id="on another account",
        ),
        pytest.param(
            [segment(description="Other")],
            [("segment Newsletter", "description", False)],
            id="another description",
        ),
        pytest.param([segment(description=None)], [], id="no description is shown"),
        pytest.param(
            [segment(ends=NOW + 6 * DAY)], [("segment Newsletter", "end_date", True)], id="not extended"
        ),
        pytest.param([segment(ends=NOW + 7 * DAY)], [], id="at the end of the window"),
        pytest.param([segment(ends=NOW - DAY)], [("segment Newsletter", "end_date", False)], id="over"),
        pytest.param([segment(ends=NOW - DAY), segment(2)], [], id="an older one is over"),
    ],
)
def test_segments_are_compared(
    client: Any,
    stores: AssetStores,
    monkeypatch: pytest.MonkeyPatch,
    segments: list[Segment],
    expected: list[tuple[str, str, bool]],
) -> None:
    client.load_audience_segments.return_value = segments

    assert short(compare(monkeypatch, definition(id=7), stores=stores)) == expected


@pytest.mark.parametrize(
    ("until", "ends", "expected"),
    [
        pytest.param("2026-11-22", "2026-11-22T23:59:59+01:00", [], id="ends with it"),
        pytest.param("2026-11-22", "2026-11-23T23:59:59+01:00", [False], id="ends later"),
        pytest.param("2026-11-25", "2026-11-22T00:00:00+01:00", [True], id="ends earlier"),
        pytest.param("2026-11-19", "2026-11-18T00:00:00+01:00", [], id="let go"),
        pytest.param("2026-12-24", "2026-11-18T00:00:00+01:00", [False], id="over too early"),
    ],
)
def test_the_last_day_is_compared(
    client: Any,
    stores: AssetStores,
    monkeypatch: pytest.MonkeyPatch,
    until: str,
    ends: str,
    expected: list[bool],
) -> None:
    client.load_audience_segments.return_value = [segment(ends=datetime.fromisoformat(ends))]

    rows = compare(monkeypatch, definition(id=7, activation__targets__0__until=until), stores=stores)

    assert short(rows) == [("segment Newsletter", "end_date", can) for can in expected]


def test_without_upkeep_an_end_that_is_near_is_no_drift(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.load_audience_segments.return_value = [segment(ends=NOW + DAY)]

    assert compare(monkeypatch, definition(id=7, activation__extend=REMOVE), stores=stores) == []


def test_a_missing_segment_that_nobody_wants_yet_is_no_drift(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.load_audience_segments.return_value = []
    values = stores.stores["audience/newsletter"].values

    over = definition(id=7, activation__targets__0__until="2026-11-01")
    assert compare(monkeypatch, over, stores=stores) == []
    values["refused.dv360"] = {"by": "Anna"}
    assert compare(monkeypatch, definition(id=7), stores=stores) == []
    values.clear()
    assert compare(monkeypatch, definition(id=7), stores=stores) == []


def test_a_segment_that_is_remembered_is_told_from_a_missing_one(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.stores["audience/newsletter"].values["segment.dv360"] = {"id": 2, "account": HOST}
    client.load_audience_segments.return_value = []
    (gone,) = compare(monkeypatch, definition(id=7), stores=stores)
    client.load_audience_segments.return_value = [segment(2, name="Renamed")]
    (renamed,) = compare(monkeypatch, definition(id=7), stores=stores)

    assert "segment 2" in gone["in_definition"]
    assert "gone at the vendor" in gone["note"]
    assert (renamed["what"], renamed["field"]) == ("segment Renamed", "name")


def test_an_end_date_is_only_moved_forward(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.load_audience_segments.return_value = [segment(ends=NOW + DAY), segment(2, name="Other")]

    rows = compare(monkeypatch, definition(id=7), stores=stores, apply=True)

    assert [(row["what"], row["applied"]) for row in rows] == [
        ("segment Newsletter", True),
        ("segment Other", False),
    ]
    client.update_segment_end_date.assert_called_once_with(1, NOW + 30 * DAY)
    assert client.delete_segment.call_count == 0


def test_an_account_that_is_none_is_drift_and_takes_no_segment_for_nobodys(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = compare(monkeypatch, definition(id=7, activation__targets__0__account={"id": 77}), stores=stores)

    assert (row["what"], row["field"], row["in_definition"]) == ("target dv360", "account", "77")
    assert "8: Example NL on DV360" in row["note"]


# --- the other platforms ------------------------------------------------------------------------------------


def other(platform: str, **changes: Any) -> Any:
    raw = {
        "key": "list",
        "platform": platform,
        "name": "Fans",
        "owner": "somebody",
        "allow_raw": True,
        "source": {"path": "x.csv", "columns": {"phone": "Phone"}},
        "id": "a_1",
        **changes,
    }
    return part_of(platform, "definition").DEFINITION.model_validate(raw)


@pytest.fixture
def fanfare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = create_autospec(FanfareClient, instance=True)
    made.settings = FanfareSettings(base_url=HOST, key="k")
    monkeypatch.setattr(FanfareHook, "client", property(lambda hook: made))
    return made


def fans(**changes: Any) -> FanfareAudience:
    return FanfareAudience.model_validate(audience_json(id="a_1", **{"name": "Fans", **changes}))


def test_fanfare_is_compared_and_mended(fanfare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fanfare.get_audience.return_value = fans(name="Renamed", description="Other")

    assert short(compare(monkeypatch, other("fanfare"))) == [("audience", "name", True)]
    compare(monkeypatch, other("fanfare"), apply=True)
    ((_, changes), _) = fanfare.update_audience.call_args
    # What is not given stays as it is.
    assert changes.to_json() == {"name": "Fans"}
    compare(monkeypatch, other("fanfare", description="As defined"), apply=True)
    ((_, changes), _) = fanfare.update_audience.call_args
    assert changes.to_json() == {"name": "Fans", "description": "As defined"}


def test_an_archived_list_of_fanfare_is_drift_that_cannot_be_mended(
    fanfare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fanfare.get_audience.return_value = fans(archived=True)

    assert short(compare(monkeypatch, other("fanfare"))) == [("audience", "archived", False)]


@pytest.fixture
def commbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made = create_autospec(CommBoxClient, instance=True)
    made.settings = CommBoxSettings(base_url=HOST, key="k")
    monkeypatch.setattr(CommBoxHook, "client", property(lambda hook: made))
    return made


def test_commbox_shows_its_name_only(commbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    commbox.load_audience.return_value = CommBoxAudience.model_construct(id="a_1", name="Renamed")

    (row,) = compare(monkeypatch, other("commbox"), apply=True)

    assert (row["field"], row["can_be_applied"], row["applied"]) == ("name", False, False)
    commbox.load_audience.return_value = CommBoxAudience.model_construct(id="a_1", name="Fans")
    assert compare(monkeypatch, other("commbox")) == []


def test_an_audience_that_is_gone_elsewhere_is_drift(
    fanfare: Any, commbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for made, method in ((fanfare, "get_audience"), (commbox, "load_audience")):
        getattr(made, method).side_effect = NotFoundError(what="gone")
    for platform in ("fanfare", "commbox"):
        assert short(compare(monkeypatch, other(platform))) == [("audience", "presence", False)]
        # One that was never created is none.
        assert compare(monkeypatch, other(platform, id=None)) == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_can_be_compared(platform: str) -> None:
    assert callable(part_of(platform, "drift").differences)


# --- the task -----------------------------------------------------------------------------------------------


def test_one_audience_that_cannot_be_looked_at_does_not_hide_the_others(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(audience_id: int) -> Audience:
        if audience_id == 1:
            raise AuthenticationError(what="No login")
        return Audience(id=2, name="Renamed")

    client.load_audience.side_effect = answer
    context = task_context(**FORM)
    monkeypatch.setattr(drift, "get_current_context", lambda: context)
    two = [definition("one", id=1), definition("two", id=2, activation=REMOVE)]

    with pytest.raises(AirflowFailException, match="one: AuthenticationError: No login"):
        function_of(build_drift_dag(two), "compare")()

    assert short(context["ti"].pushed["report"]) == [("audience", "name", True)]


def test_a_vendor_that_is_away_is_asked_again_and_hides_nothing(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(audience_id: int) -> Audience:
        if audience_id == 1:
            raise VendorUnavailableError(what="No answer")
        return Audience(id=2, name="Renamed")

    client.load_audience.side_effect = answer
    context = task_context(**FORM)
    monkeypatch.setattr(drift, "get_current_context", lambda: context)
    two = [definition("one", id=1), definition("two", id=2, activation=REMOVE)]

    with pytest.raises(VendorUnavailableError):
        function_of(build_drift_dag(two), "compare")()

    assert short(context["ti"].pushed["report"]) == [("audience", "name", True)]


def test_what_could_not_be_mended_is_said(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed")
    client.update_audience.side_effect = RequestRejectedError(what="No", where="there")
    context = task_context(stores=stores, **{**FORM, "apply": True})
    monkeypatch.setattr(drift, "get_current_context", lambda: context)

    with pytest.raises(AirflowFailException, match="newsletter, audience: RequestRejectedError: No"):
        function_of(build_drift_dag([definition(id=7)]), "compare")()

    assert [row["applied"] for row in context["ti"].pushed["report"]] == [False]


def test_drift_is_a_failure_only_if_asked_for(
    client: Any, stores: AssetStores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client.load_audience.return_value = Audience(id=7, name="Renamed")

    with caplog.at_level("WARNING"):
        compare(monkeypatch, definition(id=7), stores=stores)
    assert "1 differences" in caplog.text
    assert "Renamed" in caplog.text
    with pytest.raises(AirflowFailException, match="1 differences are left"):
        compare(monkeypatch, definition(id=7), stores=stores, fail_on_drift=True)
    # What was mended is not left.
    compare(monkeypatch, definition(id=7), stores=stores, fail_on_drift=True, apply=True)


def test_one_audience_can_be_chosen(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [definition("one", id=1), definition("two", id=2)]

    compare(monkeypatch, *both, audience="two")

    client.load_audience.assert_called_once_with(2)


@pytest.mark.parametrize(
    ("name", "bad"), [("audience", ["nobody", 5]), ("apply", ["yes", None]), ("fail_on_drift", [1])]
)
def test_the_form_refuses_what_is_wrong(name: str, bad: list[Any]) -> None:
    dag = build_drift_dag([definition()])

    dag.params.validate()
    for value in bad:
        with pytest.raises(ParamValidationError):
            dag.params.get_param(name).resolve(value)
