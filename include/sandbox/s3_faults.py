"""Carries out the faults for S3: the counterpart of :mod:`sandbox.faults.middleware` in the world of WSGI."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sandbox.exchanges import Exchange
from sandbox.faults.answers import answer_of, change
from sandbox.faults.book import Fault, FaultBook
from sandbox.faults.s3_errors import error_answer, phrase
from sandbox.faults.transport import linger_none
from sandbox.journal import FaultNote
from sandbox.s3_requests import Answer, Request, answer
from sandbox.vendor import ErrorAnswer

_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_EXPIRED: Final = "ExpiredToken"


@dataclass(frozen=True)
class FaultyRequest:
    """A request with a fault in store for it."""

    request: Request
    fault: Fault
    exchange: Exchange
    work: Callable[[FaultNote], Answer]
    """Have S3 do it, and note it."""
    not_done: Callable[[int, FaultNote], None]
    """Note that S3 never sees it, and the status that the caller gets; 0 for none."""

    @property
    def connection(self) -> socket.socket:
        """The connection it came by."""
        connection: socket.socket = self.request.environ["werkzeug.socket"]
        return connection

    def error(self, status: int) -> ErrorAnswer:
        """Return S3's error for a status, or for the code that was ordered."""
        return error_answer(
            status,
            code=self.fault.order.code,
            bucket=self.request.bucket,
            key=self.request.key,
            upload_id=self.request.query.get("uploadId"),
        )


def carry_out(faulty: FaultyRequest, book: FaultBook) -> Answer:
    """Return the answer to a request with a fault.

    :raises ConnectionAbortedError: there is none, the connection has been ended.
    """
    order = faulty.fault.order
    answered = order.action == "answer" or (order.action == "change" and "status" in order.model_fields_set)
    note = faulty.fault.note(order.status if answered else None)
    faulty.exchange.fault = note
    if order.action == "expire":
        return _expire(faulty)
    if order.when == "before":
        return _before(faulty, book, note)
    if order.when == "during":
        length = faulty.request.environ.get("CONTENT_LENGTH") or "0"
        faulty.request.read(int(length) // 2)
        faulty.not_done(0, note)
        raise _ended(faulty, book, reset=True)
    return _after(faulty, book, note)


def _before(faulty: FaultyRequest, book: FaultBook, note: FaultNote) -> Answer:
    order = faulty.fault.order
    if order.action in {"delay", "hold"}:
        with faulty.request.kept_body():
            if _wait(faulty, book):
                return faulty.work(note)
        faulty.not_done(0, note)
        raise _ended(faulty, book, reset=False)
    faulty.request.drain()
    if order.action in {"drop", "reset"}:
        faulty.not_done(0, note)
        raise _ended(faulty, book, reset=order.action == "reset")
    faulty.not_done(order.status, note)
    return _ordered(faulty)


def _after(faulty: FaultyRequest, book: FaultBook, note: FaultNote) -> Answer:
    order = faulty.fault.order
    done = faulty.work(note)
    if order.action in {"delay", "hold"}:
        if _wait(faulty, book):
            return done
        raise _ended(faulty, book, reset=False)
    if order.action in {"drop", "reset"}:
        raise _ended(faulty, book, reset=order.action == "reset")
    if order.action == "change":
        return _changed(faulty, done)
    return _ordered(faulty)


def _ordered(faulty: FaultyRequest) -> Answer:
    status, headers, body = answer_of(faulty.fault.order, faulty.error)
    return answer(status, headers, body if faulty.request.method != "HEAD" else b"")


def _expire(faulty: FaultyRequest) -> Answer:
    """S3 has no sessions: its counterpart is a temporary key that has expired. Its requests are never done."""
    faulty.request.drain()
    own = error_answer(400, code=_EXPIRED)
    faulty.exchange.fault = faulty.fault.note(400)
    faulty.not_done(400, faulty.exchange.fault)
    return answer(400, own.headers, own.body)


def _changed(faulty: FaultyRequest, done: Answer) -> Answer:
    order = faulty.fault.order
    headers = {name.lower(): value for name, value in done.headers}
    changed = change(order, done.status, headers, b"".join(done.body))
    if order.set or order.remove:
        faulty.exchange.changed = changed.places
    # a connection to S3 always ends behind its one answer, so a length that is too long needs no more
    return Answer(f"{changed.status} {phrase(changed.status)}", changed.headers, [changed.body])


def _wait(faulty: FaultyRequest, book: FaultBook) -> bool:
    """Hold a request up; tell whether it is to go on."""
    order = faulty.fault.order
    poll = select.poll()
    poll.register(faulty.connection, _GONE)
    wait, gone = book.hold(faulty.fault, faulty.exchange.number), False
    try:
        while length := wait():
            if not gone:
                gone = bool(poll.poll(length * 1000))
            elif order.ends_abandoned:
                break
            else:
                time.sleep(length)
    finally:
        book.let_go(faulty.fault, faulty.exchange.number)
    # what has been done already is answered, though nobody may be there to hear it
    return not wait.dropped and (order.when == "after" or not (gone and order.ends_abandoned))


def _ended(faulty: FaultyRequest, book: FaultBook, *, reset: bool) -> ConnectionAbortedError:
    """End the connection, and return what tells the server so."""
    book.before_answer("s3")
    if reset:
        connection = faulty.connection
        linger_none(connection)
        # other objects hold on to the socket: only closed below them all, it is closed at once
        socket.close(connection.detach())
    else:
        faulty.connection.shutdown(socket.SHUT_RDWR)
    return ConnectionAbortedError("ended by a fault")
