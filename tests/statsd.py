"""A StatsD server on the loopback interface, and Airflow's own StatsD logger that talks to it.

All but the few lines that put a value on the wire are Airflow's: names, tags, what is allowed in them. Those lines are
the library ``statsd``, which Airflow installs on request only (``apache-airflow[statsd]``).
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk._shared.observability.metrics import stats as state
from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger
from airflow.sdk._shared.observability.metrics.statsd_logger import get_statsd_logger
from airflow.sdk.observability import stats

PREFIX = "airflow"


@dataclass(frozen=True)
class Packet:
    """One value as it arrived.

    :param name: without the prefix of Airflow.
    :param tags: of InfluxDB's form, which Airflow puts into the name.
    :param kind: ``c``, ``g`` or ``ms``.
    """

    name: str
    tags: tuple[tuple[str, str], ...]
    value: float
    kind: str

    @classmethod
    def read(cls, line: str) -> Packet:
        told, _, rest = line.partition(":")
        value, _, kind = rest.partition("|")
        name, *tags = told.split(",")
        assert name.startswith(f"{PREFIX}."), line
        pairs = [tag.split("=", 1) for tag in tags]
        return cls(
            name.removeprefix(f"{PREFIX}."),
            tuple((key, text) for key, text in pairs),
            float(value),
            kind.partition("|")[0],
        )


class WireClient:
    """Puts values on the wire as https://github.com/statsd/statsd/blob/master/docs/metric_types.md says."""

    def __init__(self, host: str, port: int, prefix: str, ipv6: bool = False) -> None:
        assert not ipv6
        self._to = (host, port)
        self._prefix = prefix
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def _send(self, stat: str, value: str) -> None:
        self._socket.sendto(f"{self._prefix}.{stat}:{value}".encode(), self._to)

    def incr(self, stat: str, count: int = 1, rate: float = 1) -> None:
        assert rate == 1
        self._send(stat, f"{count}|c")

    def gauge(self, stat: str, value: float, rate: float = 1, delta: bool = False) -> None:
        assert (rate, delta) == (1, False)
        self._send(stat, f"{value}|g")

    def timing(self, stat: str, delta: timedelta | float) -> None:
        milliseconds = delta.total_seconds() * 1000 if isinstance(delta, timedelta) else delta
        self._send(stat, f"{milliseconds:0.6f}|ms")


class Received:
    """What has arrived."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._packets: list[Packet] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            data = self._listening.recv(65_535)
            if not data:
                return
            with self._lock:
                self._packets += [Packet.read(line) for line in data.decode().splitlines()]

    def all(self) -> list[Packet]:
        """All packets so far: sends a mark, and waits until it has arrived."""
        mark = f"mark.{time.monotonic_ns()}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(f"{PREFIX}.{mark}:1|c".encode(), self._listening.getsockname())
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with self._lock:
                if any(packet.name == mark for packet in self._packets):
                    return [packet for packet in self._packets if not packet.name.startswith("mark.")]
            time.sleep(0.005)
        raise AssertionError("the server has stopped listening")

    def ours(self) -> list[Packet]:
        """Those of the package."""
        return [packet for packet in self.all() if packet.name.startswith("audience_onboarding.")]

    def sums(self, name: str) -> dict[tuple[str, ...], float]:
        """A counter's sum by the values of its tags, of packets that have tags."""
        found: dict[tuple[str, ...], float] = {}
        for packet in self.ours():
            if packet.name == f"audience_onboarding.{name}" and packet.tags:
                key = tuple(value for _, value in packet.tags)
                found[key] = found.get(key, 0) + packet.value
        return found

    def values(self, name: str) -> list[tuple[tuple[str, ...], float]]:
        """Values of a gauge or timer with those of its tags, in their order."""
        return [
            (tuple(value for _, value in packet.tags), packet.value)
            for packet in self.ours()
            if packet.name == f"audience_onboarding.{name}" and packet.tags
        ]

    def stop(self) -> None:
        """Listen no more."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"", self._listening.getsockname())
        self._thread.join()


@contextmanager
def statsd(*, tags: bool = True, **settings: Any) -> Iterator[Received]:
    """Airflow's metrics go to a server of the test.

    :param tags: as ``[metrics] statsd_influxdb_enabled``.
    :param settings: more of what Airflow reads of ``[metrics]``: ``metrics_allow_list``, for example.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        listening.bind(("127.0.0.1", 0))
        host, port = listening.getsockname()
        received = Received(listening)
        before = state._factory, state._export_legacy_names
        stats.initialize(
            factory=lambda: get_statsd_logger(
                stats_class=WireClient,
                host=host,
                port=port,
                prefix=PREFIX,
                influxdb_tags_enabled=tags,
                statsd_influxdb_enabled=tags,
                **settings,
            ),
            export_legacy_names=True,
        )
        try:
            yield received
        finally:
            factory, legacy = before
            stats.initialize(factory=factory or NoStatsLogger, export_legacy_names=legacy)
            received.stop()
