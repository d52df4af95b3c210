"""One HTTP connection, with limits that the server itself lacks: the time a request may take to arrive, its size.

Time is looked at by one sweep over all connections, so that a request costs no timer of its own.
"""

from __future__ import annotations

import asyncio
import re

import structlog

from order_service.api.admission import KEEP, Admission, rank_of
from order_service.api.connection import MAX_HEAD, Connection, HeadTooLarge
from order_service.api.cycle import STATUS_LINE, Head
from order_service.api.exchange import correlation_id_of
from order_service.api.refusals import HeadersTooLarge, MalformedRequest, RequestTimeout
from order_service.core.errors import Refusal
from order_service.problems import ServiceUnavailable, problem
from order_service.randomness import random16

HEAD_TIMEOUT_S = 10.0
"""From a request's first byte to the end of its headers."""
BODY_GRACE_S = 15.0
"""From the end of the headers to the end of the body, whoever reads it: longer than the application's own limit."""
WRITE_TIMEOUT_S = 30.0
"""How long a client may leave an answer unread."""
KEEP_ALIVE_S = 30.0
"""How long a connection is kept for the next request."""
MAX_CONNECTIONS = 900
"""Open at a time: below the usual limit of 1,024 open files, so that files for other uses remain."""

_log = structlog.get_logger("order_service.api")
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class _TurnedAway:
    """Stands where a request's cycle would: nothing is to be done but to read the body to its end."""

    response_started = response_complete = True

    def __init__(self, rank: int, keep_alive: bool, correlation_id: str) -> None:
        self.rank = rank
        self.keep_alive = keep_alive
        self.correlation_id = correlation_id

    def disconnect(self) -> None:
        """Nobody waits for that."""


class LimitedProtocol(Connection):
    """A connection with deadlines and a bound on the head; refuses in problem documents."""

    admission = Admission()
    head_timeout_s = HEAD_TIMEOUT_S
    body_grace_s = BODY_GRACE_S
    write_timeout_s = WRITE_TIMEOUT_S
    keep_alive_s = KEEP_ALIVE_S
    max_connections = MAX_CONNECTIONS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and owes a request."""
        super().connection_made(transport)
        self.admission.watch(self.loop)
        self._waiting_since: float | None = self.loop.time()
        self._head_since: float | None = None
        self._head_bytes = 0
        self._body_since: float | None = None
        self._stuck_since: float | None = None
        if len(self.connections) > self.max_connections:
            self.refuse(ServiceUnavailable("Too many connections are open; try again in a moment."))

    def data_received(self, data: bytes) -> None:
        """Bytes came in. A head that comes in pieces is counted while it is open."""
        if self._head_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self.refuse(HeadersTooLarge(MAX_HEAD))
                return
        elif self._body_since is None and b"pgrade" in data:
            data = _without_upgrade(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_since = self.loop.time()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head is complete: from here on the application answers."""
        if len(self.url) + self.head_size > MAX_HEAD:
            raise HeadTooLarge
        if self.hosts != 1 and self.parser.get_http_version() == "1.1":
            raise _NotOneHost
        super().on_headers_complete()
        self._body_since, self._head_since, self._waiting_since = self._head_since, None, None

    def begin(self, head: Head) -> None:
        """Let the request in, or put in its place that it was turned away. One behind another's answer always is in."""
        rank = rank_of(head.method, self.url)
        cycle = self.cycle
        if rank is None or not (cycle is None or cycle.response_complete) or self.pipeline:
            super().begin(head)
        elif self.admission.enter(rank):
            super().begin(head)
            assert self.cycle is not None
            self.cycle.leave = self.admission.leave
        else:
            self._turn_away(rank, correlation_id_of(head.value(b"x-correlation-id")))

    def _turn_away(self, rank: int, correlation_id: str) -> None:
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        # The body that somebody announces and waits to be asked for is not wanted.
        turned_away = _TurnedAway(rank, keep_alive and not self.expect_100_continue, correlation_id)
        self.cycle = turned_away  # type: ignore[assignment]
        if self.expect_100_continue:
            self._tell_turned_away(turned_away)

    def _tell_turned_away(self, it: _TurnedAway) -> None:
        """Few bytes, and no line in the log: there are many."""
        self.transport.write(_busy(it.correlation_id, it.rank, it.keep_alive))
        if not it.keep_alive:
            self.transport.close()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        super().on_message_complete()
        self._body_since = None
        turned_away: object = self.cycle
        if isinstance(turned_away, _TurnedAway) and not self.transport.is_closing():
            self._tell_turned_away(turned_away)
            self._waiting_since = self.loop.time()

    def on_response_complete(self) -> None:
        """The answer is written; the next request may come."""
        super().on_response_complete()
        self._waiting_since = self.loop.time()

    def pause_writing(self) -> None:
        """The client does not take its answer fast enough."""
        super().pause_writing()
        self._stuck_since = self.loop.time()

    def resume_writing(self) -> None:
        """The client has taken some of it."""
        super().resume_writing()
        self._stuck_since = None

    def sweep(self, now: float) -> None:
        """Close the connection if its client has been too slow; ``now`` is the loop's time in seconds."""
        if self.transport.is_closing():
            if _older(self._stuck_since, now, self.write_timeout_s):
                self.transport.abort()
        elif _older(self._head_since, now, self.head_timeout_s):
            self.refuse(RequestTimeout())
        elif _older(self._body_since, now, self.body_grace_s) or _older(self._stuck_since, now, self.write_timeout_s):
            self.transport.abort()
        elif self._head_since is None and _older(
            self._waiting_since, now, self.keep_alive_s + (0 if self.cycle else self.head_timeout_s)
        ):
            self.transport.close()

    def unreadable(self) -> None:
        """What the parser cannot read: answered as every other fault is."""
        oversized = self._head_since is not None and len(self.url) + self.head_size > MAX_HEAD
        self.refuse(HeadersTooLarge(MAX_HEAD) if oversized else MalformedRequest())

    def refuse(self, refusal: Refusal) -> None:
        """Answer without the application, and close: what follows on this connection cannot be read."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and self._body_since is None:
            # The fault is in what follows a request that is being worked on: that one keeps its answer.
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self.transport.write(_told(refusal))
        self.transport.close()


class _NotOneHost(Exception):
    """Ends the parser's work too: HTTP/1.1 wants exactly one Host, lest two readers on the way believe two of them."""


def _older(since: float | None, now: float, limit_s: float) -> bool:
    return since is not None and now - since > limit_s


def _without_upgrade(data: bytes) -> bytes:
    """The first head in these bytes without its Upgrade header, which this server may ignore but its parser does not.

    The parser drops the body of a request that asks for an upgrade, as some clients do with every first request.
    """
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[:end]
    return _UPGRADE.sub(b"\r\nx-ignored:", head) + (b"" if end < 0 else data[end:])


def _told(refusal: Refusal) -> bytes:
    """The bytes of a refusal, and its line in the log."""
    correlation_id = random16().hex()
    _log.info("connection refused", status=refusal.status, code=refusal.code, correlation_id=correlation_id)
    return _bytes_of(refusal, correlation_id, keep_alive=False)


def _busy(correlation_id: str, rank: int, keep_alive: bool) -> bytes:
    """The bytes that turn a request away; who may pay or cancel is asked back sooner."""
    refusal = ServiceUnavailable("Too much is under way at this moment; repeat the request with the same key.")
    refusal.retry_after_s = 1 if rank == KEEP else 2
    return _bytes_of(refusal, correlation_id, keep_alive=keep_alive)


def _bytes_of(refusal: Refusal, correlation_id: str, *, keep_alive: bool) -> bytes:
    body = problem(refusal, correlation_id)
    head = (
        b"content-type: application/problem+json\r\ncontent-length: %d\r\nx-correlation-id: %b\r\n"
        b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    ) % (len(body), correlation_id.encode())
    close = b"" if keep_alive else b"connection: close\r\n"
    retry = b"" if refusal.retry_after_s is None else b"retry-after: %d\r\n" % refusal.retry_after_s
    return STATUS_LINE[refusal.status] + head + close + retry + b"\r\n" + body
