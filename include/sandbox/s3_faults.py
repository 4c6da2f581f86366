"""Faults for S3: the WSGI counterpart of :mod:`sandbox.faults.middleware`."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.exchanges import Exchange
from sandbox.faults.answers import build_answer, change
from sandbox.faults.book import Fault, FaultBook
from sandbox.faults.orders import S3, FaultOrder
from sandbox.faults.s3_errors import error_answer
from sandbox.faults.transport import reset_on_close
from sandbox.journal import FaultNote
from sandbox.s3_requests import Answer, Request, answer
from sandbox.vendor import ErrorAnswer, phrase

_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


@dataclass(frozen=True)
class FaultyRequest:
    """A request that gets a fault."""

    request: Request
    fault: Fault
    exchange: Exchange
    book: FaultBook
    work: Callable[[FaultNote], Answer]
    """Passes the request to S3, and notes it."""
    not_done: Callable[[int, FaultNote], None]
    """Notes that S3 does not get the request, and the status for the caller; 0 for no answer."""

    @property
    def order(self) -> FaultOrder:
        """The order of the fault."""
        return self.fault.order

    def answer(self) -> Answer:
        """Return the answer to the request.

        :raises ConnectionAbortedError: no answer, the fault has ended the connection.
        """
        order = self.order
        # S3 has no sessions: the counterpart is an expired temporary key
        note = self.exchange.fault = self.fault.note(400 if order.action == "expire" else None)
        if order.action == "expire":
            self.request.drain()
            self.not_done(400, note)
            own = error_answer(400, code="ExpiredToken")
            return answer(400, own.headers, own.body)
        if order.when == "before":
            return self._before(note)
        if order.when == "during":
            self.request.read(int(self.request.environ.get("CONTENT_LENGTH") or "0") // 2)
            self.not_done(0, note)
            raise self._end(reset=True)
        return self._after(note)

    def _before(self, note: FaultNote) -> Answer:
        action = self.order.action
        if action in {"delay", "hold"}:
            with self.request.kept_body():
                if self._wait():
                    return self.work(note)
        else:
            self.request.drain()
        if action == "answer":
            self.not_done(self.order.status, note)
            return self._ordered()
        self.not_done(0, note)
        raise self._end(reset=action == "reset")

    def _after(self, note: FaultNote) -> Answer:
        action, done = self.order.action, self.work(note)
        if action == "change":
            return self._changed(done)
        if action == "answer":
            return self._ordered()
        if action in {"drop", "reset"} or not self._wait():
            raise self._end(reset=action == "reset")
        return done

    def _ordered(self) -> Answer:
        status, headers, body = build_answer(self.order, self._error)
        return answer(status, headers, body if self.request.method != "HEAD" else b"")

    def _error(self, status: int) -> ErrorAnswer:
        request = self.request
        upload_id = request.query.get("uploadId")
        return error_answer(
            status, code=self.order.code, bucket=request.bucket, key=request.key, upload_id=upload_id
        )

    def _changed(self, done: Answer) -> Answer:
        headers = {name.lower(): value for name, value in done.headers}
        changed = change(self.order, done.status, headers, b"".join(done.body))
        if self.order.set or self.order.remove:
            self.exchange.changed = changed.places
        # a connection to S3 ends after its one answer, so a length that is too long needs no further step
        return Answer(f"{changed.status} {phrase(changed.status)}", changed.headers, [changed.body])

    def _wait(self) -> bool:
        """Hold the request; return whether it proceeds."""
        poll, gone = select.poll(), False
        poll.register(self._connection, _GONE)
        with self.book.hold(self.fault, self.exchange.number) as wait:
            while length := wait():
                if not gone:
                    gone = bool(poll.poll(length * 1000))
                elif self.order.ends_abandoned:
                    break
                else:
                    time.sleep(length)
        return self.fault.proceeds(wait, gone=gone)

    @property
    def _connection(self) -> socket.socket:
        connection: socket.socket = self.request.environ["werkzeug.socket"]
        return connection

    def _end(self, *, reset: bool) -> ConnectionAbortedError:
        """End the connection, and return the error that reports it to the server."""
        self.book.before_answer(S3)
        if reset:
            connection = self._connection
            reset_on_close(connection)
            # other objects refer to the socket: only its descriptor, closed below them, ends it at once
            socket.close(connection.detach())
        else:
            self._connection.shutdown(socket.SHUT_RDWR)
        return ConnectionAbortedError("ended by a fault")
