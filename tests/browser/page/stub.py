"""The front end of the Audiences page, as Airflow serves it, with a stub of its API.

The responses are built with the models of the back end, so that both sides agree on each field.
"""

from __future__ import annotations

import json
import math
import mimetypes
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from audience_onboarding import ui
from audience_onboarding.ui.models import (
    Action,
    AudienceDetail,
    AudienceList,
    AudienceRow,
    Health,
    Link,
    LoadList,
    LoadRow,
    MatchRate,
    RunRow,
    Segment,
    TrendPoint,
)

STATIC = Path(ui.__file__).parent / "static"
BASE = "/airflow"
PAGE = f"{BASE}/audience-onboarding/"
HOST = f"{BASE}/plugin/audiences"
POLICY = "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'; object-src 'none'"

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
TODAY = NOW.date()

# Airflow 3.3 embeds a page in an iframe with this sandbox, sets its theme as a class of <html>, and appends the path of
# the page to its own.
PARENT = f"""<!doctype html>
<html lang="en" class="light"><head><meta charset="utf-8"><title>Airflow</title></head>
<body><iframe title="Audiences" src="{PAGE}" width="100%" height="700"
  sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"></iframe>
<script>
  const frame = document.querySelector("iframe");
  const embedded = location.pathname.slice("{HOST}".length);
  if (embedded) frame.src = embedded + location.search + location.hash;
  frame.addEventListener("load", () => {{
    const {{ pathname, search, hash }} = frame.contentWindow.location;
    history.replaceState({{ host: true }}, "", "{HOST}" + pathname + search + hash);
  }});
</script></body></html>
"""


def days_ago(days: int) -> date:
    """Return the date a number of days ago."""
    return TODAY - timedelta(days=days)


def audience_row(key: str, **changes: Any) -> AudienceRow:
    """Return a healthy audience with changes."""
    values: dict[str, Any] = {
        "key": key,
        "title": key.replace("_", " ").capitalize(),
        "platform": "digital_audience",
        "owner": "crm-team",
        "dag_id": f"onboard_{key}",
        "audience_id": "4711",
        "health": Health.OK,
        "reason": f"The load of {TODAY} is confirmed.",
        "vendor_state": "Ready",
        "last_load_date": TODAY,
        "last_load_mode": "replace",
        "last_confirmed_at": NOW - timedelta(hours=8),
        "rows_sent": 148_230,
        "match_rates": [MatchRate(identifier="email", rate=0.621), MatchRate(identifier="phone", rate=0.334)],
        "trend": [
            TrendPoint(load_date=days_ago(29 - number), rate=0.6 + 0.03 * math.sin(number / 3))
            for number in range(30)
        ],
        "segments": 2,
        "days_to_expiry": 23,
        "next_run": NOW + timedelta(hours=14),
        "is_paused": False,
    }
    return AudienceRow(**{**values, **changes})


def audience_rows() -> list[AudienceRow]:
    """Return audiences of all health states."""
    no_segments: dict[str, Any] = {"segments": 0, "days_to_expiry": None}
    not_loaded: dict[str, Any] = {
        **no_segments,
        "audience_id": None,
        "vendor_state": None,
        "last_load_date": None,
        "last_load_mode": None,
        "last_confirmed_at": None,
        "rows_sent": None,
        "match_rates": [],
        "trend": [],
    }
    return [
        audience_row(
            "unclear_list",
            **not_loaded,
            title="Spring campaign lookalikes",
            health=Health.ACTION_REQUIRED,
            reason="It is unknown whether the audience was created; check the vendor's portal, then resolve it.",
        ),
        audience_row(
            "presale_fans",
            platform="fanfare",
            owner="events",
            health=Health.FAILED,
            reason="The load of 2026-11-21 failed in task upload; read the log, then clear the task.",
            vendor_state="active",
            rows_sent=8_412,
            last_load_date=days_ago(1),
            match_rates=[MatchRate(identifier="contacts", rate=0.413)],
            **no_segments,
        ),
        audience_row(
            "lapsed_buyers",
            health=Health.BLOCKED,
            reason="The load of 2026-11-21 was blocked by a guard and nothing was sent; check the source.",
            last_load_date=days_ago(1),
            rows_sent=41_902,
        ),
        audience_row(
            "service_alerts",
            platform="commbox",
            owner="service",
            health=Health.LATE,
            reason="The load of 2026-11-21 was due at 03:00 and is not confirmed.",
            vendor_state="ready",
            rows_sent=1_204,
            last_load_date=days_ago(1),
            match_rates=[MatchRate(identifier="phone1", rate=None)],
            trend=[],
            **no_segments,
        ),
        audience_row(
            "loyalty_members",
            health=Health.EXPIRING,
            reason="The segment Loyalty NL ends in 3 days.",
            days_to_expiry=3,
            segments=3,
            rows_sent=1_204_551,
        ),
        audience_row("newsletter_nl", title="Newsletter subscribers NL"),
        audience_row(
            "newsletter_be",
            title="Newsletter subscribers BE",
            rows_sent=63_118,
            days_to_expiry=90,
            segments=1,
        ),
        audience_row(
            "abandoned_carts",
            health=Health.RUNNING,
            reason="A load is in progress; no action is needed.",
        ),
        audience_row(
            "new_list",
            **not_loaded,
            health=Health.NEVER_LOADED,
            reason="Nothing has been loaded yet.",
        ),
        audience_row(
            "winter_sale",
            health=Health.PAUSED,
            reason="Its DAG is paused.",
            next_run=None,
            is_paused=True,
            rows_sent=990,
        ),
        audience_row(
            "old_list",
            health=Health.RETIRED,
            reason="It was retired on 2026-10-01.",
            next_run=None,
        ),
    ]


def load_rows(key: str, days: int = 120) -> list[LoadRow]:
    """Return a load per day, newest first; each seventh has no match rate."""
    rows = []
    for back in range(days):
        loaded = days_ago(back)
        read = 150_000 + round(6_000 * math.sin(back / 9)) - back * 40
        rejected, duplicates = 900 + back % 13 * 40, 2_600 + back % 7 * 90
        rate = None if back % 7 == 3 else round(0.62 + 0.03 * math.sin(back / 11), 4)
        object_key = f"audiences/4711/optin/{key}_{loaded}.csv"
        rows.append(
            LoadRow(
                period=str(loaded),
                load_date=loaded,
                mode="opt-out" if back % 30 == 12 else "replace",
                outcome="confirmed",
                confirmed_at=datetime(loaded.year, loaded.month, loaded.day, 4, 2, tzinfo=timezone.utc),
                rows_read=read,
                rows_sent=read - rejected - duplicates,
                duplicates=duplicates,
                rejected=rejected,
                rejected_by_reason={
                    "email_invalid": rejected - 300,
                    "phone_invalid": 280,
                    "no_identifier": 20,
                },
                match_rates=[
                    MatchRate(identifier="email", rate=rate),
                    MatchRate(identifier="phone", rate=rate and round(rate * 0.54, 4)),
                ],
                files=[
                    Link(
                        label=object_key,
                        href=f"https://console.aws.amazon.com/s3/object/da?prefix={object_key}",
                    )
                ],
                rejects=Link(
                    label=f"s3://own/rejects/{key}_{loaded}.csv",
                    href=f"https://console.aws.amazon.com/s3/object/own?prefix=rejects/{key}_{loaded}.csv",
                ),
                run=Link(
                    label=f"scheduled__{loaded}", href=f"{BASE}/dags/onboard_{key}/runs/scheduled__{loaded}"
                ),
            )
        )
    return rows


def segments() -> list[Segment]:
    """Return segments: one expires soon, one is active, one has ended, and one has few known values."""

    def segment(target: str, name: str | None, start: int | None, end: int | None, status: str) -> Segment:
        return Segment(
            target=target,
            name=name,
            platform="meta" if target.endswith("meta") else "google_ads",
            segment_id=str(9000 + len(target)),
            start=None if start is None else days_ago(-start),
            end=None if end is None else days_ago(-end),
            days_left=end,
            status=status,
        )

    return [
        segment("nl_meta", "Loyalty NL", -60, 3, "active"),
        segment("nl_google", "Loyalty NL search", -60, 40, "active"),
        segment("be_meta", "Loyalty BE", -90, -12, "ended"),
        segment("open", None, None, None, "pending"),
    ]


@dataclass
class ApiStub:
    """State of the stub; tests change it.

    :param fail: part of a path to the status of its response; 0 closes the connection.
    :param requests: requested paths with queries, in order.
    """

    audiences: list[AudienceRow] = field(default_factory=audience_rows)
    loads: dict[str, list[LoadRow]] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    now: datetime = NOW
    url: str = ""

    def list_audiences(self, query: dict[str, list[str]]) -> AudienceList:
        """Filter, sort and page, as the back end does."""
        text = query.get("search", [""])[0].casefold()
        matching = [
            row
            for row in self.audiences
            if text in row.title.casefold() or text in row.key.casefold()
            if row.platform in query.get("platform", [row.platform])
            if row.owner in query.get("owner", [row.owner])
        ]
        selected = [row for row in matching if row.health.value in query.get("health", [row.health.value])]
        sort = query.get("sort", ["health"])[0]
        name, order = sort.removeprefix("-"), list(Health)

        def value(row: AudienceRow) -> Any:
            if name == "health":
                return order.index(row.health)
            if name == "match_rate":
                return max((item.rate for item in row.match_rates if item.rate is not None), default=None)
            return getattr(row, name)

        known = [row for row in selected if value(row) is not None]
        known.sort(key=value, reverse=sort.startswith("-"))
        ordered = known + [row for row in selected if value(row) is None]
        offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["50"])[0])
        return AudienceList(
            total=len(ordered),
            offset=offset,
            limit=limit,
            audiences=ordered[offset : offset + limit],
            by_health=dict(Counter(row.health for row in matching)),
            platforms=sorted({row.platform for row in self.audiences}),
            owners=sorted({row.owner for row in self.audiences if row.owner}),
            generated_at=self.now,
        )

    def audience(self, key: str) -> AudienceRow | None:
        """Return an audience of the table."""
        return next((row for row in self.audiences if row.key == key), None)

    def loads_for(self, key: str) -> list[LoadRow]:
        """Return all loads of an audience."""
        row = self.audience(key)
        return self.loads.setdefault(key, load_rows(key) if row and row.last_load_date else [])

    def get_detail(self, key: str) -> AudienceDetail | None:
        """Return the page of an audience."""
        row = self.audience(key)
        if row is None:
            return None
        resolve = Action(
            label="Resolve ambiguous create: audience",
            href=f"{BASE}/dags/resolve_ambiguous_create",
            description="The request to create the audience 'Spring campaign' at 03:02 ended without a response. Check "
            "the vendor's portal; then trigger this DAG with the matching resolution.",
        )
        failed = row.health in {Health.FAILED, Health.BLOCKED, Health.ACTION_REQUIRED}
        values: dict[str, Any] = {
            "audience": row,
            "description": "Subscribers who opened the newsletter in the last two years.",
            "campaign": "Always-on CRM" if row.platform == "digital_audience" else None,
            "segments": segments() if row.segments else [],
            "actions": [resolve] if row.health is Health.ACTION_REQUIRED else [],
            "forms": [
                Link(label=label, href=f"{BASE}/dags/{dag}")
                for label, dag in (
                    ("Load", row.dag_id),
                    ("Backfill", f"{row.dag_id}/backfills"),
                    ("Activate", f"activate_{key}"),
                    ("Erase a person", "erase_person"),
                    ("Retire", "retire_audience"),
                )
            ],
            "links": [
                Link(label="Vendor's portal", href="https://portal.example.com/audience/4711"),
                Link(label="Asset", href=f"{BASE}/assets/7"),
                Link(label="Onboarding DAG", href=f"{BASE}/dags/{row.dag_id}"),
            ],
            "recent_runs": [
                RunRow(
                    run_id=f"scheduled__{TODAY}T03:00:00+00:00",
                    period=str(TODAY),
                    state="failed",
                    started_at=NOW - timedelta(hours=9),
                    ended_at=NOW - timedelta(hours=9) + timedelta(seconds=73),
                    link=Link(label="Run", href=f"{BASE}/dags/{row.dag_id}/runs/scheduled__{TODAY}"),
                )
            ]
            if failed
            else [],
            "generated_at": self.now,
        }
        return AudienceDetail(**{**values, **self.details.get(key, {})})


class _Handler(BaseHTTPRequestHandler):
    api: ApiStub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        self.api.requests.append(self.path)
        for part, status in self.api.fail.items():
            if part in self.path:
                if status:
                    self._respond(status, b'{"detail": "no"}', "application/json")
                else:
                    self.close_connection = True
                return
        if path.startswith(HOST):
            self._respond(200, PARENT.encode(), "text/html", policy=None)
        elif path == PAGE:
            self._respond(200, (STATIC / "index.html").read_bytes(), "text/html")
        elif path.startswith(f"{PAGE}static/"):
            self._file(path.removeprefix(f"{PAGE}static/"))
        elif path.startswith(f"{PAGE}api/"):
            self._api(path.removeprefix(f"{PAGE}api/"), query)
        else:
            self._respond(200, f"<title>Airflow</title><p>{len(path)}".encode(), "text/html", policy=None)

    def _api(self, path: str, query: dict[str, list[str]]) -> None:
        _, *rest = path.split("/")
        response: Any = None
        if not rest:
            response = self.api.list_audiences(query)
        elif len(rest) == 1:
            response = self.api.get_detail(rest[0])
        elif self.api.audience(rest[0]) is not None:
            loads = self.api.loads_for(rest[0])
            offset, limit = int(query["offset"][0]), int(query["limit"][0])
            response = LoadList(
                total=len(loads), offset=offset, limit=limit, loads=loads[offset : offset + limit]
            )
        if response is None:
            self._respond(404, json.dumps({"detail": "no such audience"}).encode(), "application/json")
        else:
            self._respond(200, response.model_dump_json().encode(), "application/json")

    def _file(self, name: str) -> None:
        file = (STATIC / name).resolve()
        if not file.is_relative_to(STATIC.resolve()) or not file.is_file():
            self._respond(404, b"", "text/plain")
            return
        self._respond(
            200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        )

    def _respond(self, status: int, body: bytes, kind: str, *, policy: str | None = POLICY) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        # A page that was left does not read its responses.
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(body)


@contextmanager
def running() -> Iterator[ApiStub]:
    """Run the stub on a free port; ``url`` is the URL of the page."""
    api = ApiStub()
    handler = type("Handler", (_Handler,), {"api": api})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}{PAGE}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join(timeout=10)
