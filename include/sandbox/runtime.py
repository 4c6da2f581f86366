"""Starts and stops everything: sockets, threads, bucket. Used by the command line and by tests."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass

import uvicorn
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI

from sandbox.admin import build_admin
from sandbox.app import create_app
from sandbox.bucket import Bucket, BucketWatcher
from sandbox.clock import Clock, SystemClock
from sandbox.digital_audience.vendor import build_digital_audience
from sandbox.journal import Journal
from sandbox.s3 import S3Server
from sandbox.settings import SandboxSettings, SettingsStore
from sandbox.timeline import Timeline
from sandbox.worker import Worker

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 5.0


class SandboxStartError(RuntimeError):
    """The sandbox could not start; the message says why."""


@dataclass(frozen=True)
class SandboxHandle:
    """Where a running sandbox is, and what to log in with. These fields are the ready file."""

    api_url: str
    s3_url: str
    bucket: str
    username: str
    password: str
    aws_access_key_id: str
    aws_secret_access_key: str
    region: str

    def ready_info(self) -> dict[str, str]:
        """Return the fields as the ready file has them."""
        return asdict(self)


class Sandbox:
    """One sandbox. :meth:`start` it, and :meth:`stop` it whatever happens."""

    def __init__(self, settings: SandboxSettings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = SettingsStore(settings or SandboxSettings())
        self.clock: Clock = clock or SystemClock()
        self.journal = Journal(self.clock, self.settings.current.journal_limit)
        self._undo = ExitStack()
        self._api_thread: threading.Thread | None = None

    def start(self) -> SandboxHandle:
        """Bind both ports, create the bucket, begin to answer.

        :raises SandboxStartError: a port is taken, or the bucket already exists in this process.
        """
        try:
            return self._start()
        except SandboxStartError:
            self.stop()
            raise
        except (OSError, ClientError, BotoCoreError) as error:
            self.stop()
            raise SandboxStartError(str(error)) from error

    def stop(self) -> None:
        """Stop answering, delete the bucket, free both ports. May be called twice."""
        self._undo.close()

    def running(self) -> bool:
        """Tell whether the API still answers."""
        return self._api_thread is not None and self._api_thread.is_alive()

    def _start(self) -> SandboxHandle:
        settings = self.settings.current
        watcher: BucketWatcher | None = None

        def on_write() -> None:
            if watcher is not None:
                watcher.touch()

        s3 = S3Server(
            host=settings.host,
            port=settings.s3_port,
            access_key=settings.aws_access_key_id,
            journal=self.journal,
            on_write=on_write,
        )
        self._undo.callback(s3.stop)
        s3.start()
        bucket = Bucket(
            endpoint_url=_url(_local(settings.host), s3.port), name=settings.bucket, region=settings.region
        )
        # moto keeps its buckets per process, not per server
        if bucket.exists():
            raise SandboxStartError(
                f"bucket {settings.bucket} already exists: another sandbox runs in this process"
            )
        bucket.create()

        def delete_bucket() -> None:
            with suppress(ClientError, BotoCoreError):
                bucket.delete()

        self._undo.callback(delete_bucket)
        watcher = BucketWatcher(bucket)
        timeline = Timeline()
        worker = Worker(
            watcher=watcher, timeline=timeline, clock=self.clock, settings=self.settings, journal=self.journal
        )
        timeline.on_change = worker.wake
        app = self._assemble(bucket, watcher, timeline, worker)
        listener = _listen(settings.host, settings.port)
        self._undo.callback(listener.close)
        worker.start()
        self._undo.callback(worker.stop)
        self._serve(app, listener)
        shown = settings.advertise_host or _local(settings.host)
        return SandboxHandle(
            api_url=_url(shown, listener.getsockname()[1]),
            s3_url=_url(shown, s3.port),
            bucket=settings.bucket,
            username=settings.username,
            password=settings.password,
            aws_access_key_id=settings.aws_access_key_id,
            aws_secret_access_key=settings.aws_secret_access_key,
            region=settings.region,
        )

    def _assemble(
        self, bucket: Bucket, watcher: BucketWatcher, timeline: Timeline, worker: Worker
    ) -> FastAPI:
        vendors = [
            build_digital_audience(
                clock=self.clock,
                settings=self.settings,
                journal=self.journal,
                timeline=timeline,
                store=bucket,
            )
        ]
        worker.consumers = [consumer for vendor in vendors for consumer in vendor.consumers]

        def reset() -> None:
            with worker.standing_still:
                timeline.clear()
                for vendor in vendors:
                    vendor.reset()
                bucket.empty()
                watcher.forget()
                self.settings.reset()
                self.journal.clear()
            worker.wake()

        admin = build_admin(
            bucket=bucket,
            clock=self.clock,
            journal=self.journal,
            settings=self.settings,
            vendors=vendors,
            reset=reset,
            wake=worker.wake,
        )
        return create_app(admin=admin, vendors=vendors, journal=self.journal)

    def _serve(self, app: FastAPI, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="sandbox-api", daemon=True
        )
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SandboxStartError(f"cannot bind {host}:{port} for the API: {error}") from error
    return listener


def _local(host: str) -> str:
    """Return an address one can connect to, for a host one can only bind."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  (not bound here)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
