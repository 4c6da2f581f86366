"""Starts and stops everything: sockets, threads, bucket. Used by the command line and by tests."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from moto.s3.exceptions import S3ClientError

from sandbox.admin import build_admin
from sandbox.app import create_app
from sandbox.bucket import Bucket, BucketWatcher
from sandbox.clock import Clock, MovableClock
from sandbox.commbox import MOUNT as COMMBOX_MOUNT
from sandbox.commbox.vendor import build_commbox
from sandbox.digital_audience.vendor import build_digital_audience
from sandbox.exchanges import Exchanges
from sandbox.fanfare import API as FANFARE_API
from sandbox.fanfare import MOUNT as FANFARE_MOUNT
from sandbox.fanfare.vendor import build_fanfare
from sandbox.fault_admin import build_fault_admin
from sandbox.faults import Connection, FaultBook
from sandbox.faults.book import API
from sandbox.faults.transport import ApiServer, bound
from sandbox.inventory import OpenUpload, State, StoredObject, written_keys
from sandbox.journal import Journal
from sandbox.presigned import UploadUrls
from sandbox.s3 import S3Server, UploadAccess
from sandbox.settings import SandboxSettings, SettingsStore
from sandbox.timeline import Timeline
from sandbox.vendor import Vendor
from sandbox.worker import Worker

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 5.0
_IDLE_TIMEOUT = 1.0


class SandboxStartError(RuntimeError):
    """The sandbox could not start; the message says why."""


@dataclass(frozen=True)
class SandboxHandle:
    """Where a running sandbox is, and what to log in with. These fields are the ready file."""

    api_url: str
    admin_url: str
    """Where ``/_sandbox`` answers also while a fault refuses connections to the API."""
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
    """One sandbox. :meth:`start` it, and :meth:`stop` it whatever happens."""

    def __init__(self, settings: SandboxSettings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = SettingsStore(settings or SandboxSettings())
        self.clock: Clock = clock or MovableClock()
        self.journal = Journal(self.clock, self.settings.current.journal_limit)
        self.faults = FaultBook(Exchanges(self.clock, self.settings.current.journal_limit))
        self._undo = ExitStack()
        self._api_thread: threading.Thread | None = None
        self._vendors: Sequence[Vendor] = ()
        self._buckets: dict[str, tuple[Bucket, BucketWatcher]] = {}
        self._timeline = Timeline()
        self._worker: Worker | None = None

    def start(self) -> SandboxHandle:
        """Bind both ports, create the bucket, begin to answer.

        :raises SandboxStartError: a port is taken, or the bucket already exists in this process.
        """
        try:
            return self._start()
        except SandboxStartError:
            self.stop()
            raise
        except (OSError, S3ClientError) as error:
            self.stop()
            raise SandboxStartError(str(error)) from error

    def stop(self) -> None:
        """Stop answering, delete the bucket, free both ports. May be called twice."""
        self._undo.close()

    def running(self) -> bool:
        """Tell whether the API still answers."""
        return self._api_thread is not None and self._api_thread.is_alive()

    def reset(self) -> None:
        """Begin anew, as after a start, except that ids and the journal's ``seq`` go on."""
        # first of all: what a fault holds up must not arrive in the fresh start
        self.faults.clear(drop=True)
        self.faults.exchanges.wait_idle(_IDLE_TIMEOUT)
        worker = self._running_worker()
        with worker.standing_still:
            self._timeline.clear()
            for vendor in self._vendors:
                vendor.reset()
            for bucket, watcher in self._buckets.values():
                # in this order: the watcher then finds every later write
                watcher.clear()
                bucket.empty()
            self.settings.reset()
            if isinstance(self.clock, MovableClock):
                self.clock.reset()
            self.journal.clear()
            self.faults.exchanges.clear()
        worker.wake()

    def work(self, steps: int | None = None, *, scan: bool = True) -> tuple[int, int]:
        """Have the vendors do in the background what they have to do, whether or not it is due.

        :param steps: how many things at most; None for all, also those that come of it.
        :param scan: look into the buckets first.
        :returns: how many were done, and how many are still to come.
        """
        worker = self._running_worker()
        return worker.work(steps, scan=scan), worker.left

    def state(self, *, hashes: bool = False) -> State:
        """Return what there is at the vendors and in the buckets.

        :param hashes: with the hashes of all members.
        """
        return State(
            vendors={vendor.name: vendor.inventory(hashes) for vendor in self._vendors},
            objects=[
                StoredObject(bucket=name, key=info.key, etag=info.etag, size=info.size)
                for name, (bucket, _) in self._buckets.items()
                for info in bucket.list_objects()
            ],
            written=written_keys(self.journal.entries(kind="s3")[0]),
            open_uploads=[
                OpenUpload(bucket=name, key=key, upload_id=upload_id)
                for name, (bucket, _) in self._buckets.items()
                for key, upload_id in bucket.open_uploads()
            ],
            under_way=self.faults.exchanges.page(since=self.faults.exchanges.last).under_way,
            due=len(self._timeline),
        )

    def _running_worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the sandbox has not been started")
        return self._worker

    def _start(self) -> SandboxHandle:
        settings = self.settings.current
        watchers: list[BucketWatcher] = []

        def on_write() -> None:
            for watcher in watchers:
                watcher.touch()

        uploads = UploadAccess(
            bucket=settings.fanfare_bucket or f"{settings.bucket}-fanfare",
            access_key="fanfare-uploads",
            secret=secrets.token_urlsafe(30),
        )
        s3 = S3Server(
            host=settings.host,
            port=settings.s3_port,
            secrets={settings.aws_access_key_id: settings.aws_secret_access_key},
            uploads=uploads,
            journal=self.journal,
            faults=self.faults,
            on_write=on_write,
        )
        self._undo.callback(s3.stop)
        s3.start()
        shown = settings.advertise_host or _local(settings.host)
        bucket = self._create_bucket(settings.bucket)
        own_bucket = self._create_bucket(uploads.bucket)
        for name in filter(None, map(str.strip, settings.more_buckets.split(","))):
            self._create_bucket(name)
        watchers += [BucketWatcher(bucket), BucketWatcher(own_bucket)]
        self._buckets = {
            settings.bucket: (bucket, watchers[0]),
            uploads.bucket: (own_bucket, watchers[1]),
        }
        timeline = self._timeline
        worker = self._worker = Worker(
            watcher=watchers[0],
            timeline=timeline,
            clock=self.clock,
            settings=self.settings,
            journal=self.journal,
        )
        timeline.on_change = worker.wake
        vendors = self._vendors = [
            build_digital_audience(
                clock=self.clock,
                settings=self.settings,
                journal=self.journal,
                timeline=timeline,
                store=bucket,
            ),
            build_fanfare(
                clock=self.clock,
                settings=self.settings,
                journal=self.journal,
                timeline=timeline,
                bucket=own_bucket,
                watcher=watchers[1],
                # the address is signed with the host name that the client will use
                urls=UploadUrls(
                    endpoint_url=_url(shown, s3.port),
                    region=settings.region,
                    bucket=uploads.bucket,
                    access_key=uploads.access_key,
                    secret=uploads.secret,
                ),
            ),
            build_commbox(clock=self.clock, settings=self.settings, timeline=timeline),
        ]
        app = self._assemble(vendors, bucket, worker)
        listener = _listen(settings.host, settings.port, "the API")
        self._undo.callback(listener.close)
        admin_listener = _listen(settings.host, settings.admin_port, "the admin API")
        self._undo.callback(admin_listener.close)
        worker.start()
        self._undo.callback(worker.stop)
        # asked before the server has them: it may close the first one
        ports = [opened.getsockname()[1] for opened in (listener, admin_listener)]
        self._serve(app, listener, admin_listener)
        # the first thing at the end: what a fault holds up would keep the servers waiting
        self._undo.callback(self.faults.clear, drop=True)
        api_url, admin_url = (_url(shown, port) for port in ports)
        return SandboxHandle(
            api_url=api_url,
            admin_url=admin_url,
            s3_url=_url(shown, s3.port),
            bucket=settings.bucket,
            username=settings.username,
            password=settings.password,
            aws_access_key_id=settings.aws_access_key_id,
            aws_secret_access_key=settings.aws_secret_access_key,
            region=settings.region,
            fanfare_url=f"{api_url}{FANFARE_MOUNT}{FANFARE_API}",
            fanfare_secret_key=settings.fanfare_secret_key,
            fanfare_organization_id=settings.fanfare_organization_id,
            commbox_url=f"{api_url}{COMMBOX_MOUNT}",
            commbox_api_key=settings.commbox_api_key,
        )

    def _create_bucket(self, name: str) -> Bucket:
        bucket = Bucket(name, self.settings.current.region)
        self._undo.callback(bucket.delete)
        return bucket

    def _assemble(self, vendors: Sequence[Vendor], bucket: Bucket, worker: Worker) -> Connection:
        worker.consumers = [consumer for vendor in vendors for consumer in vendor.consumers]
        worker.own_buckets = [own for vendor in vendors for own in vendor.own_buckets]
        admin = build_admin(
            bucket=bucket,
            clock=self.clock,
            journal=self.journal,
            settings=self.settings,
            vendors=vendors,
            reset=self.reset,
            wake=worker.wake,
        )
        admin.include_router(
            build_fault_admin(
                self.faults,
                vendors,
                state=lambda hashes: self.state(hashes=hashes),
                work=lambda steps, scan: self.work(steps, scan=scan),
            )
        )
        return create_app(admin=admin, vendors=vendors, journal=self.journal, faults=self.faults)

    def _serve(self, app: Connection, listener: socket.socket, admin_listener: socket.socket) -> None:
        server = ApiServer(app, listener, admin_listener)
        self.faults.doors[API] = server
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
                raise SandboxStartError("the API server did not start")
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


def _listen(host: str, port: int, purpose: str) -> socket.socket:
    try:
        return bound(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))
    except OSError as error:
        raise SandboxStartError(f"cannot bind {host}:{port} for {purpose}: {error}") from error


def _local(host: str) -> str:
    """Return an address one can connect to, for a host one can only bind."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  (not bound here)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
