"""API responses of the Audiences page on a metadata database that Airflow created."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import event

from benchmarks.page_data import Metadata, due_tomorrow, fill, format_datetime, load_record, run_id_of
from tests.integration.ui.conftest import NOW, Server
from tests.metadata import airflow_on

TODAY = NOW.date()
YESTERDAY = TODAY - timedelta(days=1)
CANARY = "canary-7f3a"


def at(day: date, hour: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=timezone.utc)


def audience(
    data: Metadata,
    key: str,
    *,
    platform: str = "digital_audience",
    loads: int = 0,
    state: dict[str, Any] | None = None,
    **dag: Any,
) -> int:
    """Write an audience with a load a day up to today; return the id of its asset."""
    dag_id = f"onboard_{key}"
    schedule = {"next_dagrun_create_after": format_datetime(due_tomorrow(TODAY))}
    data.dag(dag_id, **{"dag_display_name": f"Onboard: {key.title()}", **schedule, **dag})
    asset = data.asset(f"audience/{key}", f"audience/{platform}/{key}", "audience")
    data.reference("outlet", asset, dag_id, "publish_load")
    days = [TODAY - timedelta(days=back) for back in range(loads)]
    records = {day: load_record(key, platform, day, 1) for day in days}
    data.remember(asset, {f"load.{day}.replace": record for day, record in records.items()})
    if days:
        data.remember(asset, {"last_load": records[TODAY]})
    data.remember(asset, state or {})
    return asset


def run(day: date, kind: str = "scheduled", **more: Any) -> dict[str, Any]:
    return {
        "run_id": run_id_of(day, kind),
        "run_after": at(day),
        "partition_key": day.isoformat(),
        "ended": NOW - timedelta(minutes=5),
        **more,
    }


def get_row(server: Server, key: str) -> Any:
    (row,) = [row for row in server.get_json("/api/audiences")["audiences"] if row["key"] == key]
    return row


# --- permissions ----------------------------------------------------------------------------------------------


def test_no_data_without_permission(server: Server, data: Metadata) -> None:
    audience(data, "open", loads=1)
    audience(data, "secret", loads=1)
    data.save()

    for path in ("/api/audiences", "/api/audiences/open", "/api/audiences/open/loads"):
        response = server.get(path, role=None)
        assert (response.status_code, "open" in response.text) == (401, False), path
        assert server.get(path, role="").status_code == 403, path
        assert server.get(path).status_code == 200, path
    server.hidden = {"onboard_secret"}
    response = server.get("/api/audiences", role="viewer")
    listed = response.json()
    assert [row["key"] for row in listed["audiences"]] == ["open"]
    assert (listed["total"], sum(listed["by_health"].values())) == (1, 1)
    assert "secret" not in response.text
    for path in ("/api/audiences/secret", "/api/audiences/secret/loads"):
        assert server.get(path, role="viewer").status_code == 403
        assert server.get(path, role="admin").status_code == 200
    assert server.get("/api/audiences/unknown", role="viewer").status_code == 404


def test_forms_are_limited_to_triggerable_dags(server: Server, data: Metadata) -> None:
    audience(data, "vip", loads=1)
    for dag_id in ("activate_vip", "erase_person", "retire_audience"):
        data.dag(dag_id)
    data.dag("load_date_range", is_stale=1)
    data.save()
    server.untriggerable = {"erase_person"}

    forms = {form["label"]: form["href"] for form in server.get_json("/api/audiences/vip")["forms"]}

    assert forms == {
        "Start a load": "/dags/onboard_vip",
        "Backfill": "/dags/onboard_vip/backfills",
        "Activate": "/dags/activate_vip",
        "Retire or reopen": "/dags/retire_audience",
    }
    assert server.get("/api/audiences/vip", role="viewer").json()["forms"] == []


def test_links_are_below_the_path_of_airflow(server: Server, data: Metadata) -> None:
    audience(data, "vip", loads=1)
    data.save()
    server = Server(server.database, root_path="/airflow")
    response = server.get("/", role=None)
    page = server.get("/")
    detail = server.get_json("/api/audiences/vip")
    loads = server.get_json("/api/audiences/vip/loads")

    assert response.status_code == 307
    assert (
        response.headers["location"] == "/airflow/api/v2/auth/login?next=%2Fairflow%2Faudience-onboarding%2F"
    )
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert "unsafe-inline" not in page.headers["content-security-policy"].partition("style-src")[0]
    assert {link["href"].split("/")[1] for link in (*detail["forms"], *detail["links"])} == {"airflow"}
    assert loads["loads"][0]["run"]["href"].startswith("/airflow/dags/onboard_vip/runs/scheduled__")


def test_invalid_queries_are_rejected(server: Server) -> None:
    for name, value in (("sort", "owner"), ("limit", 201), ("limit", 0), ("offset", -1), ("health", "fine")):
        assert server.get("/api/audiences", **{name: value}).status_code == 422, name


def test_data_is_never_cached_and_versioned_scripts_always(server: Server) -> None:
    data = server.get("/api/audiences")
    static = server.get("/static/index.html", role=None)
    versioned = server.get("/static/index.html", role=None, v="1")

    assert data.headers["cache-control"] == "no-store"
    assert data.headers["x-content-type-options"] == "nosniff"
    assert (static.status_code, static.headers["cache-control"]) == (200, "no-cache")
    assert "immutable" in versioned.headers["cache-control"]
    assert versioned.headers["x-content-type-options"] == "nosniff"
    assert server.get("/static/icon.svg", role=None).headers["content-type"] == "image/svg+xml"
    assert server.get("/static/../app.py", role=None).status_code == 404


# --- the table ------------------------------------------------------------------------------------------------


def test_a_row_has_the_last_load(server: Server, data: Metadata) -> None:
    audience(data, "vip", loads=40, state={"audience": {"id": 77, "name": "VIP"}}, owners="crm")
    data.runs("onboard_vip", [run(TODAY)])
    data.save()

    row = get_row(server, "vip")

    record = load_record("vip", "digital_audience", TODAY, 1)
    assert row["title"] == "Vip"
    assert (row["platform"], row["owner"], row["audience_id"]) == ("digital_audience", "crm", "77")
    assert (row["health"], row["vendor_state"]) == ("ok", "READY")
    assert row["reason"].startswith(f"The load of {TODAY} is confirmed")
    assert (row["last_load_date"], row["last_load_mode"]) == (TODAY.isoformat(), "replace")
    assert row["rows_sent"] == record["rows_sent"]
    assert {rate["identifier"]: rate["rate"] for rate in row["match_rates"]} == record["match_rates"]
    days = [point["load_date"] for point in row["trend"]]
    assert days == [(TODAY - timedelta(days=back)).isoformat() for back in range(29, -1, -1)]
    assert row["trend"][-1]["rate"] == record["match_rates"]["EMAIL"]
    assert datetime.fromisoformat(row["next_run"]) == due_tomorrow(TODAY)


def test_search_filters_order_and_pages(server: Server, data: Metadata) -> None:
    audience(data, "b.two", loads=2, owners="red")
    audience(data, "a_one", platform="fanfare", owners="blue")
    audience(data, "c_three", platform="fanfare", loads=1, owners="blue", is_paused=1)
    data.save()

    assert server.keys(sort="key") == ["a_one", "b.two", "c_three"]
    assert server.keys(sort="-key") == ["c_three", "b.two", "a_one"]
    assert server.keys(sort="key", limit=1, offset=1) == ["b.two"]
    assert server.keys(search="THREE") == ["c_three"]
    assert server.keys(platform=["fanfare"], sort="key") == ["a_one", "c_three"]
    assert server.keys(platform=["fanfare", "digital_audience"], owner=["red"]) == ["b.two"]
    assert server.keys(health=["paused", "ok"], sort="key") == ["b.two", "c_three"]
    assert server.keys(health="never_loaded") == ["a_one"]
    # Unknown values are last in both directions.
    assert server.keys(sort="match_rate")[0] == server.keys(sort="-match_rate")[0] == "b.two"
    assert server.keys(sort="last_load_date")[-1] == server.keys(sort="-last_load_date")[-1] == "a_one"
    listed = server.get_json("/api/audiences", platform="fanfare", health="paused")
    assert (listed["total"], listed["by_health"]["never_loaded"], listed["by_health"]["paused"]) == (1, 1, 1)
    assert listed["by_health"]["ok"] == 0
    assert (listed["platforms"], listed["owners"]) == (["digital_audience", "fanfare"], ["blue", "red"])
    for sort in (
        "title",
        "platform",
        "vendor_state",
        "rows_sent",
        "segments",
        "days_to_expiry",
        "next_run",
        "health",
    ):
        assert sorted(server.keys(sort=sort)) == sorted(server.keys(sort=f"-{sort}")) == [
            "a_one", "b.two", "c_three",
        ]  # fmt: skip


def test_health_of_the_newest_runs(server: Server, data: Metadata) -> None:
    for key in ("failed", "blocked", "running", "queued", "dry", "skipped", "fixed"):
        audience(data, key, loads=2)
    yesterday = load_record("x", "digital_audience", YESTERDAY, 1)
    for key in ("failed", "blocked", "skipped"):
        data.remember(data.asset_id(f"audience/{key}"), {"last_load": yesterday})
    data.runs("onboard_failed", [run(YESTERDAY, state="failed")])
    for key, error in (("failed", "UploadConflictError"), ("blocked", "GuardError")):
        (run_id,) = data.runs(f"onboard_{key}", [run(TODAY, state="failed")])
        data.xcom(run_id, f"onboard_{key}", run_id_of(TODAY), "upload", "failure", {"error": error})
        data.xcom(run_id, f"onboard_{key}", run_id_of(TODAY), "write_audit_row", "failure", {"error": ""})
    data.runs("onboard_running", [run(TODAY, "manual", state="running")])
    data.runs("onboard_queued", [run(TODAY, "manual", state="queued")])
    data.runs("onboard_dry", [run(TODAY, "manual", state="failed", conf={"dry_run": True})])
    data.runs("onboard_skipped", [run(TODAY, state="success")])
    data.runs("onboard_fixed", [run(YESTERDAY, state="failed", ended=at(YESTERDAY, 1))])
    data.save()

    health = {row["key"]: row["health"] for row in server.get_json("/api/audiences")["audiences"]}
    assert health == {
        "failed": "failed", "blocked": "blocked", "running": "running", "queued": "running", "dry": "ok",
        "skipped": "late", "fixed": "ok",
    }  # fmt: skip
    detail = server.get_json("/api/audiences/failed")
    assert "in task upload with UploadConflictError" in detail["audience"]["reason"]
    (action,) = detail["actions"]
    assert action["href"].endswith("/tasks/upload")
    assert [item["state"] for item in server.get_json("/api/audiences/blocked")["recent_runs"]] == ["blocked"]
    assert [item["state"] for item in detail["recent_runs"]] == ["failed"] * 2


def test_the_number_of_statements_does_not_grow(empty_database: Path, tmp_path: Path) -> None:
    counts: dict[int, dict[str, int]] = {}
    for number in (3, 300):
        database = tmp_path / f"{number}.db"
        database.write_bytes(empty_database.read_bytes())
        fill(database, audiences=number, loads=4, today=TODAY)
        with airflow_on(database):
            from airflow import settings

            statements: list[str] = []
            event.listen(
                settings.engine, "before_cursor_execute", lambda *args, to=statements: to.append(args[2])
            )
            server = Server(database)
            counts[number] = {}
            for path in ("/api/audiences", "/api/audiences/list_00000", "/api/audiences/list_00000/loads"):
                # Airflow caches the team of a DAG.
                server.get_json(path)
                statements.clear()
                listed = server.get_json(path, **({} if path.endswith("00000") else {"limit": 200}))
                counts[number][path] = len(statements)
            assert server.get_json("/api/audiences")["total"] == number
            assert listed["total"] == 4

    assert counts[3] == counts[300]
    assert max(counts[3].values()) <= 20, counts


# --- one audience ---------------------------------------------------------------------------------------------


def test_required_actions(server: Server, data: Metadata) -> None:
    intent = {"name": "VIP", "at": (NOW - timedelta(hours=2)).isoformat(), "run_id": "r", "who": CANARY}
    audience(data, "vip", loads=1, state={"audience": {"intent": intent}})
    campaign = data.asset("campaign/conn/Big", "campaign/digital_audience/conn/Big", "campaign")
    data.remember(campaign, {"campaign": {"intent": {**intent, "ended": NOW.isoformat()}}})
    data.reference("inlet", campaign, "onboard_vip", "ensure_campaign")
    data.dag("activate_vip")
    data.dag("retire_audience")
    data.runs("activate_vip", [run(TODAY, "asset_triggered", state="running")])
    data.approval("activate_vip", run_id_of(TODAY, "asset_triggered"), "approve_facebook")
    data.approval("activate_vip", run_id_of(TODAY, "asset_triggered"), "approve_tiktok", is_answered=True)
    data.runs("retire_audience", [run(TODAY, "manual", state="running", conf={"audience": "vip"})])
    data.approval("retire_audience", run_id_of(TODAY, "manual"), "approve")
    # A request of less than two minutes ago is in flight.
    audience(data, "busy", state={"audience": {"intent": {**intent, "at": NOW.isoformat()}}})
    data.save()

    detail = server.get_json("/api/audiences/vip")

    assert detail["campaign"] == "Big"
    assert [action["label"] for action in detail["actions"]] == [
        "Resolve ambiguous create: campaign", "Resolve ambiguous create: audience", "Review the approval request",
        "Review the approval request",
    ]  # fmt: skip
    hrefs = [action["href"] for action in detail["actions"]]
    assert hrefs[0] == "/dags/resolve_ambiguous_create"
    assert "the object 'campaign'" in detail["actions"][0]["description"]
    assert hrefs[2].startswith("/dags/activate_vip/runs/asset_triggered__")
    assert hrefs[2].endswith("/tasks/approve_facebook/required_actions")
    assert hrefs[3].startswith("/dags/retire_audience/runs/manual__")
    assert get_row(server, "vip")["health"] == "action_required"
    assert "(3 more)" in get_row(server, "vip")["reason"]
    assert get_row(server, "busy")["health"] == "never_loaded"
    server.hidden = {"retire_audience"}
    visible = server.get("/api/audiences/vip", role="viewer").json()
    assert len(visible["actions"]) == 3


def test_segments_are_merged_from_state_events_and_reports(server: Server, data: Metadata) -> None:
    audience(
        data,
        "vip_1",
        loads=1,
        state={
            "segment.facebook": {"id": 5, "name": "On Facebook"},
            "segment.tiktok.2026-11": {"id": 6, "name": "November"},
            "segment_keys.tiktok": ["segment.tiktok.2026-11"],
        },
    )
    audience(data, "vipx1", loads=1)
    data.dag("activate_vip_1")
    for target, number, days in (("facebook", 5, 2), ("tiktok", 6, -3)):
        name = f"segment/vip_1/{target}"
        asset = data.asset(name, f"segment/digital_audience/vip_1/{target}", "segment")
        extra = {"segment_id": number, "ad_platform": target, "status": "Active", "who": CANARY}
        old = {**extra, "end_date": f"{TODAY - timedelta(days=40)}T00:00:00Z", "status": "New"}
        new = {**extra, "start_date": f"{YESTERDAY}T00:00:00Z"}
        new["end_date"] = f"{TODAY + timedelta(days=days)}T23:59:59Z"
        data.events(asset, "activate_vip_1", [(at(YESTERDAY), "r1", old), (at(TODAY), "r2", new)])
    other = data.asset("segment/vipx1/facebook", "segment/digital_audience/vipx1/facebook", "segment")
    data.events(other, "activate_vipx1", [(at(TODAY), "r3", {"segment_id": 9, "status": "Active"})])
    data.save()

    row, detail = get_row(server, "vip_1"), server.get_json("/api/audiences/vip_1")

    assert (row["segments"], row["days_to_expiry"], row["health"]) == (2, 2, "expiring")
    assert "'On Facebook' ends in 2 days" in row["reason"]
    facebook, tiktok = detail["segments"]
    assert (facebook["target"], facebook["segment_id"], facebook["status"]) == ("facebook", "5", "Active")
    assert (facebook["start"], facebook["days_left"]) == (YESTERDAY.isoformat(), 2)
    assert (tiktok["name"], tiktok["days_left"]) == ("November", -3)

    # The DAG that extends end dates moved one of them.
    data.dag("extend_segment_end_dates")
    (extension,) = data.runs("extend_segment_end_dates", [run(TODAY)])
    moved = {"audience": "vip_1", "segment_id": 5, "outcome": "extended", "from": None}
    moved["to"] = f"{TODAY + timedelta(days=30)}T23:59:59+00:00"
    data.xcom(extension, "extend_segment_end_dates", run_id_of(TODAY), "report", "report", [moved])
    data.save()
    assert get_row(server, "vip_1")["days_to_expiry"] == 30
    assert server.get_json("/api/audiences/vip_1")["segments"][0]["days_left"] == 30


def test_loads_are_listed_newest_first_and_by_page(server: Server, data: Metadata) -> None:
    asset = audience(data, "vip", loads=5)
    history = load_record("vip", "digital_audience", TODAY - timedelta(days=1), 1, mode="opt-in")
    days = f"{TODAY - timedelta(days=20)}..{YESTERDAY}"
    data.remember(asset, {f"load.{days}.opt-in": history, "load.nonsense": {}, "load.2026-13-45.replace": {}})
    data.remember(
        asset, {f"load.{TODAY}.mirror": {"s3_keys": ["a", "b"], "s3_endpoint": "http://minio:9000"}}
    )
    data.save()

    listed = server.get_json("/api/audiences/vip/loads", limit=3)
    rest = server.get_json("/api/audiences/vip/loads", limit=400, offset=3)

    assert (listed["total"], len(listed["loads"]), len(rest["loads"])) == (7, 3, 4)
    newest, mirrored, before = listed["loads"]
    assert [newest["load_date"], mirrored["load_date"]] == [TODAY.isoformat()] * 2
    assert {newest["mode"], mirrored["mode"]} == {"replace", "mirror"}
    assert (before["load_date"], before["mode"]) == (YESTERDAY.isoformat(), "replace")
    assert rest["loads"][0]["period"] == days
    mirror, replace = sorted((newest, mirrored), key=lambda load: load["mode"])
    assert [link["href"] for link in mirror["files"]] == ["", ""]
    assert (mirror["rows_sent"], mirror["run"], mirror["rejects"]) == (0, None, None)
    record = load_record("vip", "digital_audience", TODAY, 1)
    assert replace["rows_read"] == replace["rows_sent"] + replace["duplicates"] + replace["rejected"]
    assert replace["rejected_by_reason"] == record["rejected_by_reason"]
    assert replace["files"][0]["label"] == f"vendor-onboarding/{record['s3_key']}"
    assert replace["rejects"]["href"].startswith(
        "https://s3.console.aws.amazon.com/s3/object/our-rejects?prefix="
    )
    assert replace["run"]["label"] == run_id_of(TODAY)


def test_runs_without_a_load(server: Server, data: Metadata) -> None:
    asset = audience(data, "vip", loads=1)
    data.remember(
        asset, {f"load.{TODAY - timedelta(days=9)}.replace": load_record("vip", "commbox", TODAY, 1)}
    )
    backfilled = TODAY - timedelta(days=9)
    data.runs(
        "onboard_vip",
        [
            run(TODAY),
            run(backfilled, "backfill"),
            run(
                TODAY,
                "manual",
                state="running",
                conf={"load_date": str(TODAY), "range_start": str(YESTERDAY)},
            ),
            run(YESTERDAY, "manual", conf={"load_date": str(TODAY - timedelta(days=3)), "dry_run": True}),
            run(TODAY - timedelta(days=2), "manual", conf={"load_date": str(TODAY - timedelta(days=4))}),
        ],
    )
    data.save()

    shown = server.get_json("/api/audiences/vip")["recent_runs"]

    assert [(item["state"], item["period"]) for item in shown] == [
        ("skipped", str(TODAY - timedelta(days=4))),
        ("dry_run", str(TODAY - timedelta(days=3))),
        ("running", f"{YESTERDAY}..{TODAY}"),
    ]  # fmt: skip
    data.runs("onboard_vip", [run(TODAY - timedelta(days=50 + back), state="failed") for back in range(15)])
    data.save()
    shown = server.get_json("/api/audiences/vip")["recent_runs"]
    assert [item["state"] for item in shown] == ["failed"] * 10


# --- stored values --------------------------------------------------------------------------------------------

BROKEN = ("{", "null", "[]", '"text"', "7", "{}", '{"id": null}', '{"match_rates": 3}')
KEYS = (
    "audience",
    "last_load",
    "retired",
    "segment.x",
    "segment.x.2026",
    "segment_keys.x",
    "upload_log",
    "campaign",
)
FIELDS = (
    "load_date", "mode", "ended_at", "rows_sent", "match_rates", "rejected_by_reason", "s3_key", "s3_keys", "bucket",
    "audience_id", "rejects_file", "run_id", "rows_read",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, "x", 7, -1, True, 1e400, [], ["x", None], {"EMAIL": "x"}, {"a": {"b": 1}},
)  # fmt: skip


def test_every_stored_value_yields_a_response(server: Server, data: Metadata) -> None:
    """One audience per broken value, and one per value of each field of a load."""
    states: dict[str, dict[str, Any]] = {
        f"broken_{number}": {**dict.fromkeys(KEYS, value), f"load.{TODAY}.replace": value}
        for number, value in enumerate(BROKEN)
    }
    for field in FIELDS:
        for number, value in enumerate(VALUES):
            record = {**load_record("vip", "digital_audience", TODAY, 1), field: value}
            key = f"{field}_{number}"
            states[key] = {"last_load": record, f"load.{TODAY}.replace": record}
    for key, state in states.items():
        audience(data, key, state=state)
    data.save()

    problems = []
    for key in states:
        try:
            assert server.get_json(f"/api/audiences/{key}")["audience"]["key"] == key
            loads = server.get_json(f"/api/audiences/{key}/loads")
            assert (loads["total"], len(loads["loads"])) == (1, 1)
        except Exception as error:
            problems.append(f"{key}: {error!r}")
    assert not problems, "\n".join(problems)
    assert sorted(server.keys(limit=200)) == sorted(states)


def test_unnamed_fields_never_reach_the_page(server: Server, data: Metadata) -> None:
    more = dict.fromkeys(
        ("email", "hash", "accessToken", "cookie", "data_set", "triggered_by", "source"), CANARY
    )
    record = load_record("vip", "digital_audience", TODAY, 1, **more)
    record["match_rates"] = {"EMAIL": 0.5}
    asset = audience(
        data,
        "vip",
        state={
            "audience": {"id": 7, "name": "VIP", "account": CANARY, **more},
            "last_load": record,
            f"load.{TODAY}.replace": record,
            "segment.x": {"id": 1, "name": "x", **more},
            "upload_log": [more],
            "retired": {"at": NOW.isoformat(), "by": CANARY, "approved_by": CANARY, **more},
        },
    )
    (failed,) = data.runs("onboard_vip", [run(TODAY, state="failed", conf={"email": CANARY})])
    failure = {"error": "ApiError", "message": CANARY}
    data.xcom(failed, "onboard_vip", run_id_of(TODAY), "upload", "failure", failure)
    data.events(asset, "onboard_vip", [(NOW, "r", record)])
    data.save()

    responses = [server.get(f"/api/audiences{path}").text for path in ("", "/vip", "/vip/loads")]

    assert all("vip" in text for text in responses)
    assert not [text for text in responses if CANARY in text]


def test_audiences_without_a_definition(server: Server, data: Metadata) -> None:
    audience(data, "broken", loads=1, is_stale=1)
    audience(data, "deleted", is_stale=1)
    retired = {"at": "2026-03-01T10:00:00+00:00", "audience_id": 9, "name": "Old"}
    audience(data, "retired", is_stale=1, state={"retired": retired})
    gone = data.asset("audience/gone", "audience/fanfare/gone", "audience", is_active=False)
    data.remember(gone, {"audience": {"id": "abc", "name": "Gone one"}})
    # A definition that moved from one platform to another.
    data.asset("audience/moved", "audience/commbox/moved", "audience", is_active=False)
    audience(data, "moved", platform="fanfare")
    data.save()

    rows = {row["key"]: row for row in server.get_json("/api/audiences")["audiences"]}

    assert set(rows) == {"broken", "retired", "gone", "moved"}
    assert rows["broken"]["health"] == rows["gone"]["health"] == "action_required"
    assert (rows["retired"]["health"], rows["retired"]["audience_id"]) == ("retired", "9")
    assert (rows["gone"]["title"], rows["gone"]["dag_id"]) == ("Gone one", "onboard_gone")
    assert rows["moved"]["platform"] == "fanfare"
    detail = server.get_json("/api/audiences/gone")
    assert detail["forms"] == []
    assert detail["actions"][0]["href"] == "/dags/retire_audience"
    assert server.get_json("/api/audiences/gone/loads")["total"] == 0
    server.hidden = {"onboard_gone"}
    assert "gone" not in [
        row["key"] for row in server.get("/api/audiences", role="viewer").json()["audiences"]
    ]


def test_the_page_changes_nothing(server: Server, data: Metadata) -> None:
    audience(data, "vip", loads=3)
    data.save()
    before = server.database.read_bytes()

    for path in ("/", "/api/audiences", "/api/audiences/vip", "/api/audiences/vip/loads"):
        assert server.get(path).status_code == 200

    assert server.database.read_bytes() == before
    for method in ("post", "put", "patch", "delete"):
        response = getattr(server.client, method)(f"{server.prefix}/api/audiences/vip")
        assert response.status_code in {401, 405}
    assert json.loads(server.get("/api/audiences").text)["total"] == 1
