"""The front end of the Audiences page as Airflow serves it, with made-up answers: fast, and as odd as a test wants it.

The answers are made with the models of the back end, so that both sides mean the same by each field.
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
    Rate,
    RunRow,
    Segment,
    SparkPoint,
)

STATIC = Path(ui.__file__).parent / "static"
BASE = "/airflow"
PAGE = f"{BASE}/audience-onboarding/"
HOST = f"{BASE}/plugin/audiences"
POLICY = "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'; object-src 'none'"

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
TODAY = NOW.date()

# What Airflow 3.3 puts around a page in its navigation: an iframe with this sandbox, its theme as a class of <html>,
# and the page's path behind its own.
AROUND = f"""<!doctype html>
<html lang="en" class="light"><head><meta charset="utf-8"><title>Airflow</title></head>
<body><iframe title="Audiences" src="{PAGE}" width="100%" height="700"
  sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"></iframe>
<script>
  const frame = document.querySelector("iframe");
  const inside = location.pathname.slice("{HOST}".length);
  if (inside) frame.src = inside + location.search + location.hash;
  frame.addEventListener("load", () => {{
    const {{ pathname, search, hash }} = frame.contentWindow.location;
    history.replaceState({{ host: true }}, "", "{HOST}" + pathname + search + hash);
  }});
</script></body></html>
"""


def day(back: int) -> date:
    """So many days ago."""
    return TODAY - timedelta(days=back)


def row(key: str, **given: Any) -> AudienceRow:
    """An audience in good health; ``given`` says what is different."""
    values: dict[str, Any] = {
        "key": key,
        "title": key.replace("_", " ").capitalize(),
        "platform": "digital_audience",
        "owner": "crm-team",
        "dag_id": f"onboard_{key}",
        "audience_id": "4711",
        "health": Health.OK,
        "reason": f"The load of {TODAY} is confirmed.",
        "state": "Ready",
        "last_load_date": TODAY,
        "last_load_mode": "replace",
        "last_confirmed_at": NOW - timedelta(hours=8),
        "rows_sent": 148_230,
        "match_rates": [Rate(identifier="email", share=0.621), Rate(identifier="phone", share=0.334)],
        "trend": [
            SparkPoint(load_date=day(29 - number), share=0.6 + 0.03 * math.sin(number / 3))
            for number in range(30)
        ],
        "segments": 2,
        "days_to_end": 23,
        "next_run": NOW + timedelta(hours=14),
        "is_paused": False,
    }
    return AudienceRow(**{**values, **given})


def some() -> list[AudienceRow]:
    """One audience of each health."""
    no_segments: dict[str, Any] = {"segments": 0, "days_to_end": None}
    nothing: dict[str, Any] = {
        **no_segments,
        "audience_id": None,
        "state": None,
        "last_load_date": None,
        "last_load_mode": None,
        "last_confirmed_at": None,
        "rows_sent": None,
        "match_rates": [],
        "trend": [],
    }
    return [
        row(
            "unclear_list",
            **nothing,
            title="Spring campaign look-alikes",
            health=Health.NEEDS_YOU,
            reason="It is not clear whether the audience was created: the request ended without an answer.",
        ),
        row(
            "presale_fans",
            platform="fanfare",
            owner="events",
            health=Health.FAILED,
            reason="The run of 2026-11-21 failed in the task upload.",
            state="active",
            rows_sent=8_412,
            last_load_date=day(1),
            match_rates=[Rate(identifier="contacts", share=0.413)],
            **no_segments,
        ),
        row(
            "lapsed_buyers",
            health=Health.STOPPED,
            reason="A guard stopped the load of 2026-11-21: 52 % fewer rows than the load before.",
            last_load_date=day(1),
            rows_sent=41_902,
        ),
        row(
            "service_alerts",
            platform="commbox",
            owner="service",
            health=Health.LATE,
            reason="The load of 2026-11-21 was due at 03:00 and is not confirmed.",
            state="ready",
            rows_sent=1_204,
            last_load_date=day(1),
            match_rates=[Rate(identifier="phone1", share=None)],
            trend=[],
            **no_segments,
        ),
        row(
            "loyalty_members",
            health=Health.ENDING,
            reason="The segment Loyalty NL ends in 3 days.",
            days_to_end=3,
            segments=3,
            rows_sent=1_204_551,
        ),
        row("newsletter_nl", title="Newsletter subscribers NL"),
        row("newsletter_be", title="Newsletter subscribers BE", rows_sent=63_118, days_to_end=90, segments=1),
        row(
            "abandoned_carts",
            health=Health.RUNNING,
            reason="The load of today is under way.",
        ),
        row(
            "new_list",
            **nothing,
            health=Health.NEVER_LOADED,
            reason="Nothing was loaded yet.",
        ),
        row(
            "winter_sale",
            health=Health.PAUSED,
            reason="Its DAG is paused.",
            next_run=None,
            is_paused=True,
            rows_sent=990,
        ),
        row(
            "old_list",
            health=Health.RETIRED,
            reason="It was retired on 2026-10-01.",
            next_run=None,
        ),
    ]


def loads_of(key: str, days: int = 120) -> list[LoadRow]:
    """A load a day, newest first; each seventh day has no match rate."""
    found = []
    for back in range(days):
        loaded = day(back)
        read = 150_000 + round(6_000 * math.sin(back / 9)) - back * 40
        rejected, duplicates = 900 + back % 13 * 40, 2_600 + back % 7 * 90
        rate = None if back % 7 == 3 else round(0.62 + 0.03 * math.sin(back / 11), 4)
        object_key = f"audiences/4711/optin/{key}_{loaded}.csv"
        found.append(
            LoadRow(
                days=str(loaded),
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
                    Rate(identifier="email", share=rate),
                    Rate(identifier="phone", share=rate and round(rate * 0.54, 4)),
                ],
                s3_keys=[
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
    return found


def segments() -> list[Segment]:
    """One that ends soon, one that goes on, one that is over, and one of which little is known."""

    def one(target: str, name: str | None, start: int | None, end: int | None, state: str) -> Segment:
        return Segment(
            target=target,
            name=name,
            platform="meta" if target.endswith("meta") else "google_ads",
            segment_id=str(9000 + len(target)),
            start=None if start is None else day(-start),
            end=None if end is None else day(-end),
            days_left=end,
            state=state,
        )

    return [
        one("nl_meta", "Loyalty NL", -60, 3, "active"),
        one("nl_google", "Loyalty NL search", -60, 40, "active"),
        one("be_meta", "Loyalty BE", -90, -12, "ended"),
        one("open", None, None, None, "pending"),
    ]


@dataclass
class Answers:
    """What the stub says; tests change it.

    :param fail: part of a path to the status that it is answered with; 0 closes the connection.
    :param asked: paths with queries, in order.
    """

    audiences: list[AudienceRow] = field(default_factory=some)
    loads: dict[str, list[LoadRow]] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now: datetime = NOW
    url: str = ""

    def list_of(self, query: dict[str, list[str]]) -> AudienceList:
        """As the back end filters, sorts and pages."""
        text = query.get("search", [""])[0].casefold()
        fits = [
            one
            for one in self.audiences
            if text in one.title.casefold() or text in one.key.casefold()
            if one.platform in query.get("platform", [one.platform])
            if one.owner in query.get("owner", [one.owner])
        ]
        chosen = [one for one in fits if one.health.value in query.get("health", [one.health.value])]
        sort = query.get("sort", ["health"])[0]
        name, order = sort.removeprefix("-"), list(Health)

        def value(one: AudienceRow) -> Any:
            if name == "health":
                return order.index(one.health)
            if name == "match_rate":
                return max((rate.share for rate in one.match_rates if rate.share is not None), default=None)
            return getattr(one, name)

        known = [one for one in chosen if value(one) is not None]
        known.sort(key=value, reverse=sort.startswith("-"))
        found = known + [one for one in chosen if value(one) is None]
        offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["50"])[0])
        return AudienceList(
            total=len(found),
            offset=offset,
            limit=limit,
            audiences=found[offset : offset + limit],
            by_health=dict(Counter(one.health for one in fits)),
            platforms=sorted({one.platform for one in self.audiences}),
            owners=sorted({one.owner for one in self.audiences if one.owner}),
            now=self.now,
        )

    def audience(self, key: str) -> AudienceRow | None:
        """One audience, as the table has it."""
        return next((one for one in self.audiences if one.key == key), None)

    def loads_for(self, key: str) -> list[LoadRow]:
        """All loads of an audience."""
        one = self.audience(key)
        return self.loads.setdefault(key, loads_of(key) if one and one.last_load_date else [])

    def detail_of(self, key: str) -> AudienceDetail | None:
        """The page of one audience."""
        found = self.audience(key)
        if found is None:
            return None
        settle = Action(
            label="Settle the creation",
            href=f"{BASE}/dags/resolve_ambiguous_create",
            why="The request that creates the audience 'Spring campaign' ended without an answer at 03:02. Look for it "
            "in the vendor's portal, then say whether it is there.",
        )
        failed = found.health in {Health.FAILED, Health.STOPPED, Health.NEEDS_YOU}
        given: dict[str, Any] = {
            "audience": found,
            "description": "All who opened the newsletter in the last two years.",
            "campaign": "Always-on CRM" if found.platform == "digital_audience" else None,
            "segments": segments() if found.segments else [],
            "actions": [settle] if found.health is Health.NEEDS_YOU else [],
            "forms": [
                Link(label=label, href=f"{BASE}/dags/{dag}")
                for label, dag in (
                    ("Load", found.dag_id),
                    ("Backfill", f"{found.dag_id}/backfills"),
                    ("Activate", f"activate_{key}"),
                    ("Erase a person", "erase_person"),
                    ("Retire", "retire_audience"),
                )
            ],
            "links": [
                Link(label="Vendor's portal", href="https://portal.example.com/audience/4711"),
                Link(label="Asset", href=f"{BASE}/assets/7"),
                Link(label="Onboarding DAG", href=f"{BASE}/dags/{found.dag_id}"),
            ],
            "recent_runs": [
                RunRow(
                    run_id=f"scheduled__{TODAY}T03:00:00+00:00",
                    days=str(TODAY),
                    state="failed",
                    started_at=NOW - timedelta(hours=9),
                    ended_at=NOW - timedelta(hours=9) + timedelta(seconds=73),
                    link=Link(label="Run", href=f"{BASE}/dags/{found.dag_id}/runs/scheduled__{TODAY}"),
                )
            ]
            if failed
            else [],
            "now": self.now,
        }
        return AudienceDetail(**{**given, **self.details.get(key, {})})


class _Handler(BaseHTTPRequestHandler):
    answers: Answers
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        self.answers.asked.append(self.path)
        for part, status in self.answers.fail.items():
            if part in self.path:
                if status:
                    self._say(status, b'{"detail": "no"}', "application/json")
                else:
                    self.close_connection = True
                return
        if path.startswith(HOST):
            self._say(200, AROUND.encode(), "text/html", policy=None)
        elif path == PAGE:
            self._say(200, (STATIC / "index.html").read_bytes(), "text/html")
        elif path == f"{PAGE}icon.svg":
            self._say(200, (STATIC.parent / "icon.svg").read_bytes(), "image/svg+xml")
        elif path.startswith(f"{PAGE}static/"):
            self._file(path.removeprefix(f"{PAGE}static/"))
        elif path.startswith(f"{PAGE}api/"):
            self._api(path.removeprefix(f"{PAGE}api/"), query)
        else:
            self._say(200, f"<title>Airflow</title><p>{len(path)}".encode(), "text/html", policy=None)

    def _api(self, path: str, query: dict[str, list[str]]) -> None:
        _, *rest = path.split("/")
        found: Any = None
        if not rest:
            found = self.answers.list_of(query)
        elif len(rest) == 1:
            found = self.answers.detail_of(rest[0])
        elif self.answers.audience(rest[0]) is not None:
            loads = self.answers.loads_for(rest[0])
            offset, limit = int(query["offset"][0]), int(query["limit"][0])
            found = LoadList(
                total=len(loads), offset=offset, limit=limit, loads=loads[offset : offset + limit]
            )
        if found is None:
            self._say(404, json.dumps({"detail": "no such audience"}).encode(), "application/json")
        else:
            self._say(200, found.model_dump_json().encode(), "application/json")

    def _file(self, name: str) -> None:
        file = (STATIC / name).resolve()
        if not file.is_relative_to(STATIC.resolve()) or not file.is_file():
            self._say(404, b"", "text/plain")
            return
        self._say(200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "application/octet-stream")

    def _say(self, status: int, body: bytes, kind: str, *, policy: str | None = POLICY) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        # A page that has gone on does not wait for its answers.
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(body)


@contextmanager
def running() -> Iterator[Answers]:
    """The stub on a free port of its own; ``url`` of what it yields is the page's address."""
    answers = Answers()
    handler = type("Handler", (_Handler,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        answers.url = f"http://127.0.0.1:{server.server_port}{PAGE}"
        try:
            yield answers
        finally:
            server.shutdown()
            thread.join(timeout=10)
