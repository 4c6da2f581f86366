"""Starts and stops the sandbox: sockets, threads, buckets. Used by the command line and by tests."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

from moto.s3.exceptions import S3ClientError

from sandbox.admin import build_admin
from sandbox.app import create_app
from sandbox.bucket import Bucket, BucketWatcher
from sandbox.clock import Clock, MovableClock, Timeline
from sandbox.commbox import MOUNT as COMMBOX_MOUNT
from sandbox.commbox.vendor import build_commbox
from sandbox.digital_audience.vendor import build_digital_audience
from sandbox.exchanges import Exchanges
from sandbox.fanfare import API as FANFARE_API
from sandbox.fanfare import MOUNT as FANFARE_MOUNT
from sandbox.fanfare.vendor import build_fanfare
from sandbox.faults import Connection, FaultBook
from sandbox.faults.book import API
from sandbox.faults.transport import ApiServer, bind_socket
from sandbox.inventory import written_keys
from sandbox.journal import Journal
from sandbox.presigned import UploadAccess, UploadUrls
from sandbox.s3 import Gate, S3Server
from sandbox.settings import SandboxSettings, SettingsStore
from sandbox.vendor import Services, Vendor
from sandbox.worker import Worker

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 5.0
_IDLE_TIMEOUT = 1.0


class SandboxStartError(RuntimeError):
    """The sandbox could not start."""


@dataclass(frozen=True)
class SandboxHandle:
    """Addresses and credentials of a running sandbox; the ready file has these fields."""

    api_url: str
    admin_url: str
    """``/_sandbox`` answers here even while a fault refuses connections to the API."""
    s3_url: str
    bucket: str
    username: str
    password: str
    aws_access_key_id: str
    aws_secret_access_key: str
    region: str
    fanfare_url: str
    fanfare_secret_key: str
    fanfare_organization_id: str
    commbox_url: str
    commbox_api_key: str

    def ready_info(self) -> dict[str, str]:
        """Return the fields as the ready file has them."""
        return asdict(self)


class Sandbox:
    """One sandbox. Always call :meth:`stop` after :meth:`start`."""

    def __init__(self, settings: SandboxSettings | None = None, *, clock: Clock | None = None) -> None:
        settings, clock = settings or SandboxSettings(), clock or MovableClock()
        journal = Journal(clock, settings.journal_limit)
        self.services = Services(clock, SettingsStore(settings), journal, Timeline())
        self.faults = FaultBook(Exchanges(clock, settings.journal_limit))
        self._undo = ExitStack()
        self._api_thread: threading.Thread | None = None
        self._vendors: Sequence[Vendor] = ()
        self._buckets: list[tuple[Bucket, BucketWatcher]] = []
        self._worker: Worker | None = None

    def start(self) -> SandboxHandle:
        """Bind the ports, create the buckets, start to answer.

        :raises SandboxStartError: a port is in use, or a bucket already exists in this process.
        """
        try:
            return self._start()
        except (OSError, S3ClientError) as error:
            self.stop()
            raise SandboxStartError(str(error)) from error

    def stop(self) -> None:
        """Stop to answer, delete the buckets, free the ports. May be called twice."""
        self._undo.close()

    def running(self) -> bool:
        """Return whether the API still answers."""
        return self._api_thread is not None and self._api_thread.is_alive()

    def reset(self) -> None:
        """Return to the initial state, except that ids and the journal's ``seq`` continue."""
        # first: a call that a fault holds must not arrive after the reset
        self.faults.clear(drop=True)
        self.faults.exchanges.wait_idle(_IDLE_TIMEOUT)
        worker, services = self._running_worker(), self.services
        with worker.standing_still:
            services.timeline.clear()
            for vendor in self._vendors:
                vendor.reset()
            for bucket, watcher in self._buckets:
                # in this order: the watcher then finds every later write
                watcher.clear()
                bucket.empty()
            services.settings.reset()
            if isinstance(services.clock, MovableClock):
                services.clock.reset()
            services.journal.clear()
            self.faults.exchanges.clear()
        worker.wake()

    def wake(self) -> None:
        """Run the next background step now."""
        self._running_worker().wake()

    def work(self, steps: int | None = None, *, scan: bool = True) -> tuple[int, int]:
        """Run the vendors' pending background actions, whether or not they are due.

        :param steps: maximum number of actions; None for all, including those that they schedule.
        :param scan: scan the buckets first.
        :returns: number of actions that ran, and number of pending ones.
        """
        ran = self._running_worker().work(steps, scan=scan)
        return ran, len(self.services.timeline)

    def state(self, *, hashes: bool = False) -> dict[str, Any]:
        """Return the state of the vendors and buckets, as GET /_sandbox/state answers.

        :param hashes: include the hashes of all members.
        """
        buckets = [bucket for bucket, _ in self._buckets]
        return {
            "vendors": {vendor.name: vendor.inventory(hashes) for vendor in self._vendors},
            "objects": [
                {"bucket": bucket.name, "key": info.key, "etag": info.etag, "size": info.size}
                for bucket in buckets
                for info in bucket.list_objects()
            ],
            "written": written_keys(self.services.journal.entries(kind="s3")[0]),
            "open_uploads": [
                {"bucket": bucket.name, "key": key, "upload_id": upload_id}
                for bucket in buckets
                for key, upload_id in bucket.open_uploads()
            ],
            "under_way": self.faults.exchanges.page(since=self.faults.exchanges.last).under_way,
            "due": len(self.services.timeline),
        }

    def _running_worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the sandbox has not been started")
        return self._worker

    def _start(self) -> SandboxHandle:
        settings = self.services.settings.current
        uploads = UploadAccess(
            bucket=settings.fanfare_bucket or f"{settings.bucket}-fanfare",
            access_key="fanfare-uploads",
            secret=secrets.token_urlsafe(30),
        )
        gate = Gate(
            secrets={settings.aws_access_key_id: settings.aws_secret_access_key},
            uploads=uploads,
            journal=self.services.journal,
            faults=self.faults,
            on_write=self._announce_write,
        )
        s3 = S3Server(settings.host, settings.s3_port, gate, self.faults)
        self._undo.callback(s3.stop)
        s3.start()
        shown = settings.advertise_host or _connectable(settings.host)
        for name in filter(None, map(str.strip, settings.more_buckets.split(","))):
            self._create_bucket(name)
        names = settings.bucket, uploads.bucket
        self._buckets = [(bucket, BucketWatcher(bucket)) for bucket in map(self._create_bucket, names)]
        (bucket, watcher), (fanfare_bucket, fanfare_watcher) = self._buckets
        # the URL is signed with the host name that the client will use
        urls = UploadUrls(endpoint_url=_url(shown, s3.port), region=settings.region, access=uploads)
        self._vendors = [
            build_digital_audience(self.services, bucket, watcher),
            build_fanfare(self.services, fanfare_bucket, fanfare_watcher, urls),
            build_commbox(self.services),
        ]
        readers = [vendor.reader for vendor in self._vendors if vendor.reader]
        worker = self._worker = Worker(self.services, readers)
        self.services.timeline.on_change = worker.wake
        app = create_app(
            admin=build_admin(self, bucket, self._vendors),
            vendors=self._vendors,
            journal=self.services.journal,
            faults=self.faults,
        )
        listener = self._listen(settings.host, settings.port)
        admin_listener = self._listen(settings.host, settings.admin_port)
        worker.start()
        self._undo.callback(worker.stop)
        # read before the server gets them: it may close the first one
        ports = [opened.getsockname()[1] for opened in (listener, admin_listener)]
        self._serve(app, listener, admin_listener)
        # the first step of a stop: calls that a fault holds would delay the servers
        self._undo.callback(self.faults.clear, drop=True)
        api_url, admin_url = (_url(shown, port) for port in ports)
        return SandboxHandle(
            api_url=api_url,
            admin_url=admin_url,
            s3_url=_url(shown, s3.port),
            fanfare_url=f"{api_url}{FANFARE_MOUNT}{FANFARE_API}",
            commbox_url=f"{api_url}{COMMBOX_MOUNT}",
            **settings.model_dump(include={one.name for one in fields(SandboxHandle)}),
        )

    def _announce_write(self) -> None:
        for _, watcher in self._buckets:
            watcher.touch()

    def _create_bucket(self, name: str) -> Bucket:
        bucket = Bucket(name, self.services.settings.current.region)
        self._undo.callback(bucket.delete)
        return bucket

    def _listen(self, host: str, port: int) -> socket.socket:
        try:
            listener = bind_socket(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))
        except OSError as error:
            raise OSError(f"Cannot bind {host}:{port} for the API: {error}") from error
        self._undo.callback(listener.close)
        return listener

    def _serve(self, app: Connection, listener: socket.socket, admin_listener: socket.socket) -> None:
        server = ApiServer(app, listener, admin_listener)
        self.faults.ports[API] = server
        thread = threading.Thread(target=server.run, name="sandbox-api", daemon=True)
        self._api_thread = thread
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(timeout=_STOP_TIMEOUT)

        self._undo.callback(stop)
        deadline = time.monotonic() + _START_TIMEOUT
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise TimeoutError("The API server did not start")
            time.sleep(0.01)


@contextmanager
def running_sandbox(
    settings: SandboxSettings | None = None, *, clock: Clock | None = None
) -> Iterator[SandboxHandle]:
    """Run a sandbox in threads of this process for the length of a ``with`` block.

    Two at the same time need different bucket names: moto's buckets belong to the process.

    :raises SandboxStartError: it could not start.
    """
    sandbox = Sandbox(settings, clock=clock)
    try:
        yield sandbox.start()
    finally:
        sandbox.stop()


def _connectable(host: str) -> str:
    """Return an address to connect to, for a host that can only be bound."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  (not bound here)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
