"""The upkeep DAGs: segments that are extended, and segments that are left alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding.exceptions import NotFoundError
from audience_onboarding.pipelines import build_extension_dag, build_set_end_date_dag
from audience_onboarding.pipelines.extension import decide_extension
from audience_onboarding.platforms.digital_audience.definition import ExtensionConfig
from audience_onboarding.platforms.digital_audience.models import PlatformAccount, Segment
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import (
    GOOD,
    HOST,
    NO_FLAGS,
    REMOVE,
    check_form,
    definition,
    remembering,
    run_task,
)
from tests.unit.state.helpers import check, check_refused

NOW = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
FOREIGN = "Segment of another person"


def segment(
    segment_id: int, *, name: str = "Newsletter", account_id: int = 8, ends: datetime | None = None
) -> Segment:
    return Segment(segment_id=segment_id, name=name, account_id=account_id, end_date=ends)


def test_a_segment_that_ends_within_the_window_is_extended_until_its_last_day() -> None:
    def judged(case: tuple[datetime | None, int, int, datetime | None]) -> tuple[str, datetime | None]:
        ends, within_days, days, until = case
        rule = ExtensionConfig(within_days=within_days, extend_by_days=days)
        return decide_extension(segment(5, ends=ends), rule, now=NOW, until=until)[:2]

    until = NOW + 10 * DAY
    extended, alone, let_go = ("extend", NOW + 30 * DAY), ("unchanged", None), ("expired", None)
    cases: list[tuple[Any, Any]] = [
        ((NOW + 3 * DAY, 7, 30, None), extended),
        ((NOW + 7 * DAY, 7, 30, None), extended),
        ((NOW + 7 * DAY + SECOND, 7, 30, None), alone),
        ((NOW, 7, 30, None), extended),
        # Over already, or without an end.
        ((NOW - SECOND, 7, 30, None), let_go),
        ((None, 7, 30, None), alone),
        # The new end would be earlier, the same, or later.
        ((NOW + 20 * DAY, 30, 10, None), alone),
        ((NOW + 10 * DAY, 30, 10, None), alone),
        ((NOW + 9 * DAY, 30, 10, None), ("extend", NOW + 10 * DAY)),
        # A window of no days.
        ((NOW, 0, 30, None), extended),
        ((NOW + SECOND, 0, 30, None), alone),
        # The target has a last day.
        ((NOW + 3 * DAY, 7, 30, until), ("extend", until)),
        ((NOW + 3 * DAY, 7, 30, NOW + 99 * DAY), extended),
        ((NOW + 3 * DAY, 7, 30, NOW + 3 * DAY), let_go),
        ((NOW + 3 * DAY, 7, 30, NOW + 2 * DAY), let_go),
        ((NOW + 3 * DAY, 7, 30, NOW - DAY), let_go),
        ((NOW - DAY, 7, 30, until), let_go),
        ((NOW + 9 * DAY, 7, 30, until), alone),
    ]
    check(judged, cases)


# --- segments of the definitions ----------------------------------------------------------------------------


@pytest.fixture
def client(client: Any) -> Any:
    client.load_audience_segments.return_value = [
        segment(1, ends=NOW + 3 * DAY),
        segment(2, name=FOREIGN, ends=NOW + 3 * DAY),
        segment(3, ends=NOW + 300 * DAY),
        segment(4, account_id=99, ends=NOW + 3 * DAY),
    ]
    client.load_platform_accounts.return_value = [
        PlatformAccount(id=8, name="Example NL", platform_display_name="DV360"),
        PlatformAccount(id=9, name="Example NL", platform_display_name="Xandr"),
    ]
    return client


def find(
    *definitions: Any, stores: AssetStores | None = None, problems: list[str] | None = None, **params: Any
) -> list[dict[str, Any]]:
    """The segments to extend.

    :param problems: takes the problems that the task pushes.
    """
    context = task_context(stores=stores, **{"audience": None, "within_days": None, "days": None, **params})
    found: list[dict[str, Any]] = run_task(build_extension_dag(definitions), "find_segments", context)
    if problems is not None:
        problems += context["ti"].pushed["errors"]
    return found


def test_our_segments_that_end_soon_become_arguments_of_the_operator(client: Any) -> None:
    assert find(definition(id=7, conn_id="a_connection")) == [
        {
            "segment_id": 1,
            "segment_name": "Newsletter",
            "new_end_date": (NOW + 30 * DAY).isoformat(),
            "audience_key": "newsletter",
            "digital_audience_conn_id": "a_connection",
        }
    ]
    client.load_audience_segments.assert_called_once_with(7)
    client.load_audience_segments.reset_mock()
    # The id is pinned, or in the memory of the asset.
    assert len(find(definition(), stores=remembering({"audience": {"id": 70, "account": HOST}}))) == 1
    client.load_audience_segments.assert_called_once_with(70)


def test_audiences_without_segments_to_extend_are_not_looked_at(client: Any) -> None:
    retired = {"audience": "newsletter", "at": "2026-11-20", "by": "anna", "audience_id": 7}
    problems: list[str] = []
    # One that is not there yet, one that is retired, and definitions without the rule.
    assert find(definition(), problems=problems) == []
    for pinned in ({}, {"id": 7}):
        stores = remembering({"retired": retired})
        assert find(definition(**pinned), stores=stores, problems=problems) == []
    for without in ({"activation": REMOVE}, {"activation__extend": REMOVE}):
        assert find(definition(id=7, **without), problems=problems) == []
    assert problems == []
    assert client.load_audience_segments.call_count == 0


def test_one_audience_can_be_chosen(client: Any) -> None:
    both = (definition("one", id=1), definition("two", id=2))

    assert len(find(*both)) == 2
    client.load_audience_segments.reset_mock()
    assert len(find(*both, audience="two")) == 1
    client.load_audience_segments.assert_called_once_with(2)


def test_the_form_comes_before_the_definition(client: Any) -> None:
    def ends(params: dict[str, int]) -> list[str]:
        return [item["new_end_date"] for item in find(definition(id=7), **params)]

    in_a_month = (NOW + 30 * DAY).isoformat()
    by_days = ({"days": 1000}, [(NOW + 1000 * DAY).isoformat()])
    check(ends, [({"within_days": 1}, []), ({"within_days": 1000}, [in_a_month]), by_days])


def test_a_missing_audience_or_account_does_not_keep_others_from_being_extended(client: Any) -> None:
    def answer(audience_id: int) -> list[Segment]:
        if audience_id == 1:
            raise NotFoundError(what="Audience 1 is gone")
        return [segment(5, ends=NOW + 3 * DAY)]

    client.load_audience_segments.side_effect = answer
    first = GOOD["activation"]["targets"][0]
    targets = [{**first, "key": "wrong", "account": {"id": 77}}, first]
    problems: list[str] = []

    found = find(definition("one", id=1), definition(id=7, activation__targets=targets), problems=problems)

    assert [item["segment_id"] for item in found] == [5]
    gone, wrong = problems
    assert gone.startswith("one: NotFoundError: Audience 1 is gone")
    assert wrong.startswith("newsletter, target wrong: ConfigurationError: No platform accounts match id 77")
    assert "8: Example NL on DV360; 9: Example NL on Xandr" in wrong


def test_until_is_the_end_of_that_day_in_the_zone_of_the_definition(client: Any) -> None:
    (found,) = find(definition(id=7, activation__targets__0__until="2026-11-25"))

    assert found["new_end_date"] == "2026-11-25T23:59:59+01:00"


def test_segments_of_all_months_are_known_by_the_fixed_parts_of_the_name(client: Any) -> None:
    names = ("Newsletter 2026-10", "Newsletter 2026-11", "Newsletter 2026-11 of another", "Newsletter soon")
    client.load_audience_segments.return_value = [
        segment(number, name=name, ends=NOW + DAY) for number, name in enumerate(names, start=1)
    ]

    found = find(definition(id=7, activation__targets__0__segment_name="{audience} {load_date:%Y-%m}"))

    assert [item["segment_id"] for item in found] == [2, 1]


def test_the_dag_extends_each_segment_by_a_mapped_task_and_reports_last() -> None:
    dag = build_extension_dag([definition()])
    mapped: Any = dag.get_task("extend")
    report = dag.get_task("report")

    assert mapped.is_mapped
    assert mapped.upstream_task_ids == {"find_segments"}
    # It runs after failures, too, and alone decides about the run.
    assert (report.trigger_rule, report.upstream_task_ids) == ("all_done", {"find_segments", "extend"})
    assert not any(task.outlets for task in dag.tasks)
    assert [asset.name for asset in dag.get_task("find_segments").inlets] == ["audience/newsletter"]
    assert set(build_extension_dag([]).task_ids) == set(dag.task_ids)


def test_the_forms_take_good_values_and_refuse_others() -> None:
    both = [definition(), definition("quiet", activation=REMOVE)]
    by_hand = build_set_end_date_dag(both)
    whole = {"within_days": ([None, 0, 30], [-1, "7"]), "days": ([None, 1, 365], [0, "30"])}
    audiences = ([None, "newsletter"], ["quiet", "other", 5])
    check_form(build_extension_dag(both), {"audience": audiences, **whole})
    fields = {
        "audience": (["newsletter"], ["quiet", None, 5]),
        "segment": (["dv360"], ["xandr", None]),
        "end_date": (["2026-12-24"], ["2026-02-30", "soon", "", None, 5, "24-12-2026"]),
        "segment_id": ([None, 5], [0, "5"]),
        **dict.fromkeys(("allow_shorten", "dry_run"), ([True, False], NO_FLAGS)),
    }
    check_form(by_hand, fields)
    assert by_hand.schedule is None
    assert build_set_end_date_dag([]).task_ids == ["extend"]


# --- the report ---------------------------------------------------------------------------------------------


class Pulled:
    """The XComs of a run."""

    def __init__(self, seen: Any, problems: Any, moved: dict[int, Any]) -> None:
        self.values = {"checked_segments": seen, "errors": problems}
        self.moved = moved
        self.pushed: dict[str, Any] = {}

    def xcom_pull(self, *, task_ids: str, key: str = "return_value", map_indexes: int | None = None) -> Any:
        return self.values.get(key) if task_ids == "find_segments" else self.moved.get(map_indexes or 0)

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value

    def report(self) -> Any:
        return run_task(build_extension_dag([definition()]), "report", {"ti": self})

    @property
    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.pushed["report"]]


def seen(segment_id: int, outcome: str) -> dict[str, Any]:
    end = {"from": "2026-11-23", "to": "2026-12-20" if outcome == "extend" else None}
    found = {"segment": f"Segment {segment_id}", "segment_id": segment_id, "outcome": outcome}
    return {"audience": "newsletter", "target": "dv360", **found, **end, "why": "because"}


def moved(segment_id: int, *, changed: bool = True) -> dict[str, Any]:
    ends = {"end_date_before": "2026-11-23T00:00:00+00:00", "end_date": "2026-12-20T00:00:00+00:00"}
    return {"segment_id": segment_id, **ends, "changed": changed}


def test_the_report_shows_the_outcome_of_each_segment(caplog: pytest.LogCaptureFixture) -> None:
    everything = [seen(1, "extend"), seen(2, "unchanged"), seen(3, "expired"), seen(4, "extend")]
    pulled = Pulled(everything, [], {0: moved(1), 1: moved(4, changed=False)})

    with caplog.at_level("INFO"):
        rows = pulled.report()

    assert pulled.outcomes == ["extended", "unchanged", "expired", "unchanged"]
    assert (rows[0]["from"], rows[0]["to"]) == ("2026-11-23T00:00:00+00:00", "2026-12-20T00:00:00+00:00")
    assert rows[3]["why"] == "it already had this end date or a later one"
    assert pulled.pushed["report"] == rows
    for row in rows:
        assert row["segment"] in caplog.text


def test_the_report_fails_for_a_problem_after_all_extensions() -> None:
    failed = Pulled([seen(1, "extend"), seen(2, "extend")], [], {1: moved(2)})
    gone = Pulled([seen(1, "extend")], ["one: NotFoundError: Audience 1 is gone."], {0: moved(1)})

    for pulled, message in (
        (failed, r"MaintenanceIncompleteError: Not extended: Segment 1.*clear extend"),
        (gone, r"Audience 1 is gone\. \| Fix the cause, and clear find_segments"),
        (Pulled(None, None, {}), r"MaintenanceIncompleteError: .*clear find_segments"),
    ):
        with pytest.raises(AirflowFailException, match=message):
            pulled.report()
    assert (failed.outcomes, gone.outcomes) == (["failed", "extended"], ["extended"])


# --- by hand ------------------------------------------------------------------------------------------------


FORM = {"audience": "newsletter", "segment": "dv360", "segment_id": None, "end_date": "2026-12-24"}
FORM |= {"allow_shorten": False, "dry_run": False}


def by_hand(changes: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    dag = build_set_end_date_dag([definition(**{"id": 7, **(changes or {})})])
    found: dict[str, Any] = run_task(dag, "extend", task_context(**{**FORM, **params}))
    return found


@pytest.fixture
def one(client: Any) -> Any:
    """There is one segment of the target."""
    client.load_audience_segments.return_value = [segment(1), segment(2, name=FOREIGN)]
    client.load_segment.return_value = segment(1, ends=NOW + 3 * DAY)
    return client


def test_by_hand_a_segment_runs_to_the_end_of_the_day(one: Any) -> None:
    dry = by_hand(dry_run=True)
    assert (dry["changed"], dry["end_date"]) == (False, "2026-12-24T23:59:59+01:00")
    assert one.update_segment_end_date.call_count == 0

    done = by_hand()

    assert (done["audience"], done["target"], done["segment_id"]) == ("newsletter", "dv360", 1)
    assert (done["changed"], done["end_date"]) == (True, "2026-12-24T23:59:59+01:00")
    one.update_segment_end_date.assert_called_once()


def test_by_hand_an_end_is_moved_back_only_if_allowed(one: Any) -> None:
    one.load_segment.return_value = segment(1, ends=NOW + 300 * DAY)

    assert not by_hand()["changed"]
    assert one.update_segment_end_date.call_count == 0
    assert by_hand(allow_shorten=True)["changed"]
    assert one.update_segment_end_date.call_count == 1


def test_by_hand_wrong_values_are_reported_and_nothing_changed(one: Any) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (
            {"activation__targets__0__until": "2026-12-23"},
            {},
            "2026-12-24 is after the end of the target 'dv360', 2026-12-23",
        ),
        ({}, {"segment": "xandr"}, "has no target 'xandr': its targets are 'dv360'"),
        ({}, {"audience": "gone"}, "'gone' is missing or invalid"),
        ({}, {"segment_id": 2}, "No segments of the target 'dv360' match: its segments are 1: Newsletter"),
        ({"id": None}, {}, "has no audience yet"),
    ]
    check_refused(lambda case: by_hand(case[0], **case[1]), cases, AirflowFailException, lambda case: case[2])
    assert one.update_segment_end_date.call_count == 0


def test_by_hand_one_of_several_segments_of_a_target_has_to_be_named(one: Any) -> None:
    one.load_audience_segments.return_value = [segment(1), segment(3)]

    with pytest.raises(
        AirflowFailException, match=r"2 segments .* are 3: Newsletter; 1: Newsletter; give the id"
    ):
        by_hand()
    assert by_hand(segment_id=1)["changed"]
