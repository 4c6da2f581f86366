"""The upkeep DAG: what is extended, and what is left alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from audience_onboarding.digital_audience.client import DigitalAudienceClient
from audience_onboarding.digital_audience.definition import ExtendEndDates
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.digital_audience.models import Segment
from audience_onboarding.digital_audience.settings import DigitalAudienceSettings
from audience_onboarding.errors import NotFoundError
from audience_onboarding.orchestration.failures import OnboardingRetryPolicy
from audience_onboarding.pipelines import build_extension_dag, extend
from audience_onboarding.pipelines.extend import to_extend
from tests.fakes import AssetStores, task_context
from tests.unit.pipelines.conftest import REMOVE, definition, function_of

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

    found = to_extend([segment], ExtendEndDates(**{"within_days": 7, "days": 30, **rule}), now=NOW)

    assert found == ([(segment, NOW + days * DAY)] if is_extended else [])


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = create_autospec(DigitalAudienceClient, instance=True)
    made.settings = DigitalAudienceSettings(base_url="https://vendor.example", user_name="u", password="p")
    made.load_audience_segments.return_value = [
        Segment(segment_id=1, name="Newsletter", end_date=NOW + 3 * DAY),
        Segment(segment_id=2, name="Somebody else's", end_date=NOW + 3 * DAY),
        Segment(segment_id=3, name="Newsletter", end_date=NOW + 300 * DAY),
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
        return [Segment(segment_id=5, name="Newsletter", end_date=NOW + 3 * DAY)]

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
    assert set(build_extension_dag([]).task_ids) == {"find_segments", "extend", "report_problems"}


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


def test_a_problem_with_one_audience_is_reported_beside_the_extensions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dag = build_extension_dag([definition()])
    pulled = {"value": ["one: NotFoundError: Audience 1 is gone."]}
    monkeypatch.setattr(
        extend, "get_current_context", lambda: {"ti": SimpleNamespace(xcom_pull=lambda **_: pulled["value"])}
    )
    report = function_of(dag, "report_problems")

    with pytest.raises(
        AirflowFailException, match=r"Audience 1 is gone\. Once that is mended, clear find_segments"
    ):
        report()

    pulled["value"] = []
    report()
    # After "extend" it would be the last task, and alone decide about the run.
    assert dag.get_task("report_problems").upstream_task_ids == {"find_segments"}
