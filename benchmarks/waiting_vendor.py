"""A vendor that answers at once: as much of Digital Audience as a wait needs, as cheap as can be.

It shares the machine with the measured process, so it has no framework and hardly parses. All audiences are processed
forever, with a month of daily uploads behind them. It records the time of each poll of an audience, and
the number of logins.

    python -m benchmarks.waiting_vendor

prints the port on 127.0.0.1 and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any

UPLOADS = 30
COOKIE = "ASP.NET_SessionId=benchmark"
BARE = "/bare/"
"""Asking for an audience below this needs no login."""

_LOADED = re.compile(rb"GET (?:/audience/loadAudienceById|/bare)/(\d+) ")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def audience(audience_id: int) -> dict[str, Any]:
    """Return the vendor's representation of an audience."""
    day = datetime(2026, 1, 1, 3, tzinfo=timezone.utc)
    counts = {"TOTAL": 49_000, "UNIQUE": 48_000, "MATCH": 30_000, "UMATCH": 29_000, "NOMATCH": 18_000}
    uploads = {
        f"{day + timedelta(days=number):%Y-%m-%d}": {
            "audienceId": audience_id,
            "mode": "replace",
            "totalRows": 49_000 + number,
            "created": f"{day + timedelta(days=number):%Y-%m-%dT%H:%M:%SZ}",
            "dataSet": {"EMAIL": counts, "PHONE": counts},
            "matchRates": {"EMAIL": 0.62, "PHONE": 0.41},
        }
        for number in range(UPLOADS)
    }
    return {
        "userId": 7,
        "description": "Customers who agreed to it",
        "campaignId": 11,
        "campaignName": "Always-on",
        "dataUpdated": f"{day + timedelta(days=UPLOADS):%Y-%m-%dT%H:%M:%SZ}",
        "startDate": None,
        "endDate": None,
        "activationStatus": "New",
        "lifetimeStatus": None,
        "crmData": {
            "insightsState": "READY",
            "size": 49_000,
            "history": {"totalEvents": UPLOADS, "history": uploads},
        },
        "audienceState": "PROCESSING",
        "type": "ONBOARDING",
        "hasSegments": False,
        "id": audience_id,
        "name": f"List number {audience_id}",
        "created": f"{day:%Y-%m-%dT%H:%M:%SZ}",
        "updated": f"{day + timedelta(days=UPLOADS):%Y-%m-%dT%H:%M:%SZ}",
    }


class Recorder:
    """Recorded polls and logins. Times are ``time.monotonic()``, which all processes of a machine share."""

    def __init__(self) -> None:
        self.logins = 0
        self.polls: list[tuple[int, float]] = []
        self._answers: dict[int, bytes] = {}

    def answer(self, head: bytes, polled_at: float) -> bytes:
        """Answer a request.

        :param head: its first line and headers.
        """
        if request := _LOADED.match(head):
            number = int(request[1])
            if not head.startswith(b"GET /bare/") and COOKIE.encode() not in head:
                return _response(b"401 Unauthorized", _json(None, success=False))
            self.polls.append((number, polled_at))
            if number not in self._answers:
                self._answers[number] = _response(b"200 OK", _json(audience(number)))
            return self._answers[number]
        if head.startswith(b"POST /account/login "):
            self.logins += 1
            cookie = f"Set-Cookie: {COOKIE}; path=/; HttpOnly\r\n".encode()
            return _response(b"200 OK", _json(data=True), cookie)
        if head.startswith(b"GET /recorded/"):
            since = int(head.split(b" ", 2)[1].rpartition(b"/")[2])
            recorded = {"logins": self.logins, "polls": self.polls[since:]}
            return _response(b"200 OK", json.dumps(recorded).encode())
        return _response(b"404 Not Found")


class Connection(asyncio.Protocol):
    """One connection, kept open for as long as the other side wants."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._pending = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport for the responses."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to the complete requests."""
        polled_at = time.monotonic()
        self._pending += data
        while True:
            head, end, rest = self._pending.partition(b"\r\n\r\n")
            header = _LENGTH.search(head)
            length = int(header[1]) if header else 0
            if not end or len(rest) < length:
                return
            self._pending = rest[length:]
            self._transport.write(self._recorder.answer(head, polled_at))


def _json(data: Any, *, success: bool = True) -> bytes:
    status = (
        {"statusCode": 0, "message": None} if success else {"statusCode": 1, "message": "Session expired"}
    )
    return json.dumps({"data": data, "status": status, "success": success}).encode()


def _response(status: bytes, body: bytes = b"", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (
        status,
        headers,
        len(body),
        body,
    )


async def _serve() -> None:
    recorder = Recorder()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(recorder), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
