"""The upkeep DAG: what is extended, and what is left alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.definition import ExtendEndDates
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.models import PlatformAccount, Segment
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from audience_onboarding.errors import NotFoundError
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_extension_dag, build_extension_form_dag, extend
from audience_onboarding.pipelines.extend import judge
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import GOOD, REMOVE, definition, function_of

NOW = datetime(2026, 11, 20, 3, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("ends", "rule", "is_extended"),
    [
        pytest.param(NOW + 3 * DAY, {}, True, id="within the window"),
        pytest.param(NOW + 7 * DAY, {}, True, id="at the end of the window"),
        pytest.param(NOW + 7 * DAY + SECOND, {}, False, id="beyond the window"),
        pytest.param(NOW, {}, True, id="right now"),
        pytest.param(NOW - SECOND, {}, False, id="over already"),
        pytest.param(None, {}, False, id="without an end"),
        pytest.param(
            NOW + 20 * DAY, {"within_days": 30, "days": 10}, False, id="ends later than it would then"
        ),
        pytest.param(NOW + 10 * DAY, {"within_days": 30, "days": 10}, False, id="ends just then"),
        pytest.param(
            NOW + 9 * DAY, {"within_days": 30, "days": 10}, True, id="ends earlier than it would then"
        ),
        pytest.param(NOW, {"within_days": 0}, True, id="a window of no days"),
        pytest.param(NOW + SECOND, {"within_days": 0}, False, id="a window of no days, a second later"),
    ],
)
def test_what_is_extended(ends: datetime | None, rule: dict[str, int], is_extended: bool) -> None:
    segment = Segment(segment_id=5, end_date=ends)
    days = rule.get("days", 30)

    _, new_end, _ = judge(segment, ExtendEndDates(**{"within_days": 7, "days": 30, **rule}), now=NOW)
    found = [(segment, new_end)] if new_end is not None else []

    assert found == ([(segment, NOW + days * DAY)] if is_extended else [])


def segment(
    segment_id: int, *, name: str = "Newsletter", account_id: int = 8, ends: datetime | None = None
) -> Segment:
    return Segment(segment_id=segment_id, name=name, account_id=account_id, end_date=ends)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(DigitalAudienceClient, instance=True)
    made.settings = DigitalAudienceSettings(base_url="https://vendor.example", user_name="u", password="p")
    made.load_audience_segments.return_value = [
        segment(1, ends=NOW + 3 * DAY),
        segment(2, name="Somebody else's", ends=NOW + 3 * DAY),
        segment(3, ends=NOW + 300 * DAY),
        segment(4, account_id=99, ends=NOW + 3 * DAY),
    ]
    made.load_platform_accounts.return_value = [
        PlatformAccount(id=8, name="Example NL", platform_display_name="DV360"),
        PlatformAccount(id=9, name="Example NL", platform_display_name="Xandr"),
    ]
    monkeypatch.setattr(DigitalAudienceHook, "client", property(lambda hook: made))
    return made


def find(
    monkeypatch: pytest.MonkeyPatch,
    *definitions: Any,
    stores: AssetStores | None = None,
    **params: Any,
) -> list[dict[str, Any]]:
    context = task_context(stores=stores, **{"audience": None, "within_days": None, "days": None, **params})
    monkeypatch.setattr(extend, "get_current_context", lambda: context)
    found: list[dict[str, Any]] = function_of(build_extension_dag(definitions), "find_segments")()
    return found


def test_our_segments_that_end_soon_become_arguments_of_the_operator(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(monkeypatch, definition(id=7, connection="a_connection")) == [
        {
            "segment_id": 1,
            "segment_name": "Newsletter",
            "new_end_date": (NOW + 30 * DAY).isoformat(),
            "audience_key": "newsletter",
            "digital_audience_conn_id": "a_connection",
        }
    ]
    client.load_audience_segments.assert_called_once_with(7)


def test_an_audience_is_known_by_what_its_asset_remembers(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = AssetStores()
    stores.stores["audience/newsletter"] = type(task_context()["task_state_store"])(
        {"audience": {"id": 70, "account": "https://vendor.example"}}
    )

    assert len(find(monkeypatch, definition(), stores=stores)) == 1
    client.load_audience_segments.assert_called_once_with(70)


def test_an_audience_that_is_not_there_yet_has_nothing_to_extend(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(monkeypatch, definition()) == []
    assert client.load_audience_segments.call_count == 0


@pytest.mark.parametrize("pinned", [{}, {"id": 7}])
def test_a_retired_audience_is_left_out_and_is_no_problem(
    client: Any, monkeypatch: pytest.MonkeyPatch, pinned: dict[str, Any]
) -> None:
    stores = AssetStores()
    record = {"audience": "newsletter", "at": "2026-11-20", "by": "anna", "audience_id": 7}
    stores.stores["audience/newsletter"] = type(task_context()["task_state_store"])({"retired": record})

    assert find(monkeypatch, definition(**pinned), stores=stores) == []
    assert client.load_audience_segments.call_count == 0


@pytest.mark.parametrize("without", [{"activation": REMOVE}, {"activation__extend": REMOVE}])
def test_audiences_whose_definition_does_not_say_so_are_left_alone(
    client: Any, monkeypatch: pytest.MonkeyPatch, without: dict[str, Any]
) -> None:
    assert find(monkeypatch, definition(id=7, **without)) == []
    assert client.load_audience_segments.call_count == 0


def test_one_audience_can_be_chosen(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    both = (definition("one", id=1), definition("two", id=2))

    assert len(find(monkeypatch, *both)) == 2
    client.load_audience_segments.reset_mock()
    assert len(find(monkeypatch, *both, audience="two")) == 1
    client.load_audience_segments.assert_called_once_with(2)


@pytest.mark.parametrize(
    ("params", "ids", "days"),
    [({"within_days": 1}, [], None), ({"within_days": 1000}, [1], 30), ({"days": 1000}, [1], 1000)],
)
def test_the_form_comes_before_the_definition(
    client: Any, monkeypatch: pytest.MonkeyPatch, params: dict[str, int], ids: list[int], days: int | None
) -> None:
    found = find(monkeypatch, definition(id=7), **params)

    assert [item["segment_id"] for item in found] == ids
    assert {item["new_end_date"] for item in found} == ({(NOW + days * DAY).isoformat()} if days else set())


def test_an_audience_that_is_gone_does_not_keep_the_others_from_being_extended(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(audience_id: int) -> list[Segment]:
        if audience_id == 1:
            raise NotFoundError(what="Audience 1 is gone")
        return [segment(5, ends=NOW + 3 * DAY)]

    client.load_audience_segments.side_effect = answer

    found = find(monkeypatch, definition("one", id=1), definition("two", id=2))

    assert [item["segment_id"] for item in found] == [5]


def test_the_dag_has_a_mapped_task_that_follows_our_rules_of_retrying() -> None:
    dag = build_extension_dag([definition()])
    mapped: Any = dag.get_task("extend")

    assert mapped.is_mapped
    assert mapped.upstream_task_ids == {"find_segments"}
    for task in dag.tasks:
        assert isinstance(task.retry_policy, OnboardingRetryPolicy)
        assert not task.outlets
    assert [asset.name for asset in dag.get_task("find_segments").inlets] == ["audience/newsletter"]


def test_without_any_definition_there_is_a_dag_all_the_same() -> None:
    assert set(build_extension_dag([]).task_ids) == {"find_segments", "extend", "report"}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("audience", [None, "newsletter"], ["other", 5]),
        ("within_days", [None, 0, 30], [-1, "7"]),
        ("days", [None, 1, 365], [0, "30"]),
    ],
)
def test_the_form_takes_what_is_meant_and_refuses_the_rest(
    name: str, good: list[Any], bad: list[Any]
) -> None:
    param = build_extension_dag([definition(), definition("quiet", activation=REMOVE)]).params.get_param(name)

    for value in good:
        assert param.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


# --- until, placeholders, the report ------------------------------------------------------------------------


UNTIL = NOW + 10 * DAY


@pytest.mark.parametrize(
    ("ends", "until", "outcome", "new_end"),
    [
        pytest.param(NOW + 3 * DAY, UNTIL, "extend", UNTIL, id="not beyond until"),
        pytest.param(NOW + 3 * DAY, NOW + 99 * DAY, "extend", NOW + 30 * DAY, id="until is far"),
        pytest.param(NOW + 3 * DAY, NOW + 3 * DAY, "let go", None, id="ends just then"),
        pytest.param(NOW + 3 * DAY, NOW + 2 * DAY, "let go", None, id="ends later than it should"),
        pytest.param(NOW + 3 * DAY, NOW - DAY, "let go", None, id="until has passed"),
        pytest.param(NOW - DAY, UNTIL, "let go", None, id="over already"),
        pytest.param(NOW + 9 * DAY, UNTIL, "left alone", None, id="beyond the window"),
    ],
)
def test_a_segment_is_let_go_after_its_last_day(
    ends: datetime, until: datetime, outcome: str, new_end: datetime | None
) -> None:
    judged = judge(segment(1, ends=ends), ExtendEndDates(within_days=7, days=30), now=NOW, until=until)

    assert judged[:2] == (outcome, new_end)


def test_until_is_the_end_of_that_day_in_the_zone_of_the_definition(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = find(monkeypatch, definition(id=7, activation__targets__0__until="2026-11-25"))

    # Newsletter's schedule is in Amsterdam.
    assert found["new_end_date"] == "2026-11-25T23:59:59+01:00"


def test_segments_of_all_months_are_known_by_the_fixed_parts_of_the_name(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.load_audience_segments.return_value = [
        segment(1, name="Newsletter 2026-10", ends=NOW + DAY),
        segment(2, name="Newsletter 2026-11", ends=NOW + DAY),
        segment(3, name="Newsletter 2026-11 of somebody", ends=NOW + DAY),
        segment(4, name="Newsletter soon", ends=NOW + DAY),
    ]

    found = find(
        monkeypatch,
        definition(id=7, activation__targets__0__segment_name="{audience} {load_date:%Y-%m}"),
    )

    assert [item["segment_id"] for item in found] == [2, 1]


def test_a_target_without_an_account_does_not_keep_the_others_from_being_extended(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = GOOD["activation"]["targets"][0]
    targets = [{**first, "key": "wrong", "account": {"id": 77}}, first]
    context = task_context(audience=None, within_days=None, days=None)
    monkeypatch.setattr(extend, "get_current_context", lambda: context)

    found = function_of(
        build_extension_dag([definition(id=7, activation__targets=targets)]), "find_segments"
    )()

    assert [item["segment_id"] for item in found] == [1]
    (problem,) = context["ti"].pushed["problems"]
    assert problem.startswith("newsletter, target wrong: ConfigurationError: No platform accounts fit id 77")
    assert "8: Example NL on DV360; 9: Example NL on Xandr" in problem


class Pulled:
    """The XComs of a run."""

    def __init__(self, seen: Any, problems: Any, moved: dict[int, Any]) -> None:
        self.values = {"looked_at": seen, "problems": problems}
        self.moved = moved
        self.pushed: dict[str, Any] = {}

    def xcom_pull(self, *, task_ids: str, key: str = "return_value", map_indexes: int | None = None) -> Any:
        return self.values.get(key) if task_ids == "find_segments" else self.moved.get(map_indexes or 0)

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value


def seen(segment_id: int, outcome: str) -> dict[str, Any]:
    return {
        "audience": "newsletter",
        "target": "dv360",
        "segment": f"Segment {segment_id}",
        "segment_id": segment_id,
        "outcome": outcome,
        "from": "2026-11-23",
        "to": "2026-12-20" if outcome == "extend" else None,
        "why": "because",
    }


def moved(segment_id: int, *, changed: bool = True) -> dict[str, Any]:
    return {
        "segment_id": segment_id,
        "end_date_before": "2026-11-23T00:00:00+00:00",
        "end_date": "2026-12-20T00:00:00+00:00",
        "changed": changed,
    }


def report(monkeypatch: pytest.MonkeyPatch, pulled: Pulled) -> Any:
    monkeypatch.setattr(extend, "get_current_context", lambda: {"ti": pulled})
    return function_of(build_extension_dag([definition()]), "report")()


def test_the_report_tells_what_became_of_each_segment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    everything = [seen(1, "extend"), seen(2, "left alone"), seen(3, "let go"), seen(4, "extend")]
    pulled = Pulled(everything, [], {0: moved(1), 1: moved(4, changed=False)})

    with caplog.at_level("INFO"):
        rows = report(monkeypatch, pulled)

    assert [row["outcome"] for row in rows] == ["extended", "left alone", "let go", "left alone"]
    assert (rows[0]["from"], rows[0]["to"]) == ("2026-11-23T00:00:00+00:00", "2026-12-20T00:00:00+00:00")
    assert rows[3]["why"] == "it ended so late already"
    assert pulled.pushed["report"] == rows
    for row in rows:
        assert row["segment"] in caplog.text


def test_a_segment_that_was_not_extended_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled = Pulled([seen(1, "extend"), seen(2, "extend")], [], {1: moved(2)})

    with pytest.raises(
        AirflowFailException, match=r"UpkeepIncompleteError: Not extended: Segment 1.*clear extend"
    ):
        report(monkeypatch, pulled)

    assert [row["outcome"] for row in pulled.pushed["report"]] == ["failed", "extended"]


def test_a_problem_with_one_audience_is_reported_after_the_extensions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pulled = Pulled([seen(1, "extend")], ["one: NotFoundError: Audience 1 is gone."], {0: moved(1)})

    with pytest.raises(
        AirflowFailException, match=r"Audience 1 is gone\. \| Once that is mended, clear find_segments"
    ):
        report(monkeypatch, pulled)

    assert [row["outcome"] for row in pulled.pushed["report"]] == ["extended"]


def test_without_a_look_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match=r"UpkeepIncompleteError: .*clear find_segments"):
        report(monkeypatch, Pulled(None, None, {}))


def test_the_report_runs_whatever_became_of_the_others() -> None:
    task = build_extension_dag([definition()]).get_task("report")

    # It is the last one, and alone decides about the run.
    assert (task.trigger_rule, task.upstream_task_ids) == ("all_done", {"find_segments", "extend"})


# --- by hand ------------------------------------------------------------------------------------------------


FORM = {
    "audience": "newsletter",
    "segment": "dv360",
    "segment_id": None,
    "end_date": "2026-12-24",
    "allow_shorten": False,
    "dry_run": False,
}


def by_hand(monkeypatch: pytest.MonkeyPatch, *definitions: Any, **params: Any) -> dict[str, Any]:
    context = task_context(**{**FORM, **params})
    monkeypatch.setattr(extend, "get_current_context", lambda: context)
    found: dict[str, Any] = function_of(build_extension_form_dag(definitions), "extend")()
    return found


@pytest.fixture
def one(client: Any) -> Any:
    """There is one segment of the target."""
    client.load_audience_segments.return_value = [segment(1), segment(2, name="Somebody else's")]
    client.load_segment.return_value = segment(1, ends=NOW + 3 * DAY)
    return client


def test_by_hand_a_segment_runs_to_the_end_of_the_day(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = by_hand(monkeypatch, definition(id=7))

    assert (done["audience"], done["target"], done["segment_id"], done["changed"]) == (
        "newsletter",
        "dv360",
        1,
        True,
    )
    assert done["end_date"] == "2026-12-24T23:59:59+01:00"
    one.update_segment_end_date.assert_called_once()


def test_a_dry_run_by_hand_changes_nothing(one: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = by_hand(monkeypatch, definition(id=7), dry_run=True)

    assert (done["changed"], done["end_date"]) == (False, "2026-12-24T23:59:59+01:00")
    assert one.update_segment_end_date.call_count == 0


@pytest.mark.parametrize("is_allowed", [False, True])
def test_by_hand_an_end_is_moved_back_only_if_allowed(
    one: Any, monkeypatch: pytest.MonkeyPatch, is_allowed: bool
) -> None:
    one.load_segment.return_value = segment(1, ends=NOW + 300 * DAY)

    done = by_hand(monkeypatch, definition(id=7), allow_shorten=is_allowed)

    assert done["changed"] is is_allowed
    assert one.update_segment_end_date.call_count == int(is_allowed)


@pytest.mark.parametrize(
    ("changes", "params", "message"),
    [
        ({"activation__targets__0__until": "2026-12-23"}, {}, "until 2026-12-23, and not until 2026-12-24"),
        ({}, {"segment": "xandr"}, "has no target 'xandr', but 'dv360'"),
        ({}, {"audience": "gone"}, "'gone' is gone or broken"),
        ({}, {"segment_id": 2}, "No segments of the target 'dv360' fit: its segments are 1: Newsletter"),
        ({"id": None}, {}, "has no audience yet"),
    ],
)
def test_by_hand_what_is_wrong_is_said_and_nothing_changed(
    one: Any,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    params: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        by_hand(monkeypatch, definition(**{"id": 7, **changes}), **params)

    assert one.update_segment_end_date.call_count == 0


def test_of_several_segments_of_a_target_one_has_to_be_named(
    one: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.load_audience_segments.return_value = [segment(1), segment(3)]

    with pytest.raises(
        AirflowFailException, match=r"2 segments .* are 3: Newsletter; 1: Newsletter; give the id"
    ):
        by_hand(monkeypatch, definition(id=7))
    assert by_hand(monkeypatch, definition(id=7), segment_id=1)["changed"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("audience", ["newsletter"], ["quiet", None, 5]),
        ("segment", ["dv360"], ["xandr", None]),
        ("end_date", ["2026-12-24"], ["2026-02-30", "soon", "", None, 5, "24-12-2026"]),
        ("segment_id", [None, 5], [0, "5"]),
        ("allow_shorten", [True, False], ["yes", None]),
        ("dry_run", [True, False], [1]),
    ],
)
def test_the_form_by_hand_refuses_what_is_wrong(name: str, good: list[Any], bad: list[Any]) -> None:
    dag = build_extension_form_dag([definition(), definition("quiet", activation=REMOVE)])
    param = dag.params.get_param(name)

    assert dag.schedule is None
    for value in good:
        assert param.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


def test_the_form_by_hand_is_there_without_any_definition() -> None:
    assert build_extension_form_dag([]).task_ids == ["extend"]
