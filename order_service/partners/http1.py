"""HTTP/1.1 to one place, over connections that are kept: as little as the partner contracts need, and nothing more.

One exchange at a time on a connection; no redirect, cookie, proxy, decompression or pipelining. A request is sent once:
only a read that met a connection just being dropped is sent a second time, on another one. The parser is that of the
server (llhttp). Measured per exchange, with everything around it: 60 microseconds of CPU where aiohttp took 250.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import deque
from typing import cast
from urllib.parse import quote, unquote, urlsplit

import httptools
from msgspec import Struct

MAX_HEAD = 64 * 1024
"""Bytes of status line and headers, interim answers included."""
MAX_OVERHEAD = 8
"""How many times its body an answer may weigh on the wire: chunks of a few bytes each are no honest answer."""


class Lost(Exception):
    """The connection ended before the head of an answer was whole; ``unheard``: before its first byte."""

    def __init__(self, *, unheard: bool = False) -> None:
        super().__init__()
        self.unheard = unheard


class NoConnection(Exception):
    """Nobody is there."""


class NotHttp(Exception):
    """What came is no answer in HTTP."""


class Answer(Struct, frozen=True):
    """An answer whose head arrived whole. ``body`` is None where it cannot be had; ``fault`` says why."""

    status: int
    body: bytes | None
    fault: str = ""
    retry_after: str = ""


class _Connection(asyncio.Protocol):
    """One connection; ``_answer`` is what somebody waits for, None while it is idle."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0
        self.closed = False

    def ask(self, request: bytes, until: float) -> asyncio.Future[Answer]:
        """Send a request; its answer is waited for until the loop's time ``until``."""
        self._status = self._received = self._head_size = self._size = 0
        self._headed = False
        self._forget_fields()
        self._pieces: list[bytes] = []
        self._answer = answer = self._pool.loop.create_future()
        self._timer = self._pool.loop.call_at(until, self._late)
        self._transport.write(request)
        return answer

    def _forget_fields(self) -> None:
        self._chunked = False
        self._length: int | None = None
        self._coding = b""
        self._retry_after = b""

    def leave(self, answer: asyncio.Future[Answer]) -> None:
        """Nobody waits for this answer any more: if it is still to come, the connection is of no use."""
        if self._answer is answer:
            self._answer = None
            assert self._timer is not None
            self._timer.cancel()
            self.abort()

    def abort(self) -> None:
        """Drop the connection."""
        if not self.closed:
            self.closed = True
            self._pool.forget(self)
            self._transport.abort()

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.abort()  # what the partner says unasked would be taken for the answer to the next request
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._settle(NotHttp())
            self.abort()  # also where a whole answer came before it: the parser is of no use any more
            return
        if not self._headed and self._received > MAX_HEAD:
            self._settle(NotHttp())
        elif self._received > MAX_HEAD + MAX_OVERHEAD * self._pool.max_body:
            self._give("body too large")

    def connection_lost(self, fault: Exception | None) -> None:
        self.closed = True
        if not self._headed_answer():
            self._settle(Lost(unheard=self._answer is not None and not self._received))
        else:
            whole = fault is None and self._length is None and not self._chunked
            self._give("" if whole else "broken body")
        self._pool.gone(self)

    def _late(self) -> None:
        if self._headed_answer():
            self._give("timeout")
        else:
            self._settle(TimeoutError())

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.abort()  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name)
        self._head_size += size + len(value) + 4  # what stands between and behind them
        if size not in _LENGTHS or self._headed:
            return  # behind the body come fields that could only contradict those before it
        name = name.lower()
        if name == b"content-length":
            self._length = int(value)
        elif name == b"content-encoding":
            self._coding += value + b","
        elif name == b"transfer-encoding":
            self._chunked = True
            if value.strip().lower() != b"chunked":
                self._coding += value + b","
        elif name == b"retry-after":
            self._retry_after = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self._forget_fields()
        if self._answer is None or (status < 200 and status != 101):
            return
        if self._head_size > MAX_HEAD:
            self._settle(NotHttp())
            return
        self._status = status
        self._headed = True
        if self._coding and any(c.strip().lower() not in (b"", b"identity") for c in self._coding.split(b",")):
            self._give("encoded body")
        elif (self._length or 0) > self._pool.max_body:
            self._give("body too large")

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._size += len(body)
        if self._size > self._pool.max_body:
            self._give("body too large")

    def on_message_complete(self) -> None:
        if self._headed:  # an interim answer has another one behind it
            self._give(again=self._parser.should_keep_alive())

    # --- the end of an exchange ---

    def _headed_answer(self) -> bool:
        return self._answer is not None and self._headed

    def _give(self, fault: str = "", *, again: bool = False) -> None:
        if self._answer is not None:
            body = None if fault else b"".join(self._pieces)
            self._settle(Answer(self._status, body, fault, self._retry_after.decode("latin-1")), again=again)

    def _settle(self, outcome: Answer | Exception, *, again: bool = False) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        assert self._timer is not None
        self._timer.cancel()
        self._pieces = []
        if again and not self.closed:
            self._pool.give_back(self)
        else:
            self.abort()
        if answer.done():
            return  # cancelled
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)


class Connections:
    """The connections to one place: at most ``limit``, each kept for ``idle_s`` seconds after its last exchange.

    Make it inside the running loop. ``max_body`` bounds an answer's body in bytes.
    """

    def __init__(self, base_url: str, *, limit: int, idle_s: float, max_body: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.max_body = max_body
        self.closed = False
        url = urlsplit(base_url)
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._host = url.hostname or ""
        self._port = url.port or (443 if self._tls else 80)
        self._prefix = quote(url.path.rstrip("/"), safe="/%~!$&'()*+,;=:@")
        self._fields = f"Host: {url.netloc.rpartition('@')[2]}\r\n"
        if url.username is not None:
            secret = base64.b64encode(f"{unquote(url.username)}:{unquote(url.password or '')}".encode()).decode()
            self._fields += f"Authorization: Basic {secret}\r\n"
        self._limit = limit
        self._idle_s = idle_s
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._connecting = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    async def exchange(self, method: str, path: str, fields: str, body: bytes | None, until: float) -> Answer:
        """Send one request and return its answer; ``fields`` are its header lines, each with its end of line.

        Raises ``TimeoutError`` at the loop's time ``until``, ``NoConnection``, ``Lost`` and ``NotHttp``.
        """
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._fields}{fields}{length}\r\n".encode("latin-1")
        request = head if body is None else head + body
        if until <= self.loop.time():
            raise TimeoutError
        kept = self._kept()
        if kept is not None:
            try:
                return await self._ask(kept, request, until)
            except Lost as lost:
                if method != "GET" or not lost.unheard:
                    raise
        return await self._ask(await self._another(until), request, until)

    @staticmethod
    async def _ask(connection: _Connection, request: bytes, until: float) -> Answer:
        answer = connection.ask(request, until)
        try:
            return await answer
        finally:
            connection.leave(answer)

    def close(self) -> None:
        """Drop every connection; what is under way is lost."""
        self.closed = True
        for connection in list(self._open):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    # --- getting a connection ---

    def _kept(self) -> _Connection | None:
        """The connection that was used last, if it is not too old; the others grow old behind it."""
        if self._idle and self._idle[-1].idle_since > self.loop.time() - self._idle_s:
            return self._idle.pop()
        return None

    async def _another(self, until: float) -> _Connection:
        async with asyncio.timeout_at(until):
            while True:
                kept = self._kept()
                if kept is not None:
                    return kept
                if len(self._open) + self._connecting < self._limit:
                    return await self._connect()
                turn: asyncio.Future[None] = self.loop.create_future()
                self._waiting.append(turn)
                try:
                    await turn
                except asyncio.CancelledError:
                    if turn.done() and not turn.cancelled():
                        self._wake()  # it was told, and goes away: the next one's turn
                    raise

    async def _connect(self) -> _Connection:
        self._connecting += 1
        try:
            _, connection = await self.loop.create_connection(
                lambda: _Connection(self), self._host, self._port, ssl=self._tls
            )
        except BaseException as fault:
            self._wake()  # also when it took too long: whoever waits for this place has it now
            if isinstance(fault, (OSError, UnicodeError)):
                raise NoConnection from None
            raise
        finally:
            self._connecting -= 1
        if self.closed:
            connection.abort()
            raise Lost
        return connection

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    # --- called by the connections ---

    def opened(self, connection: _Connection) -> None:
        """The connection is there."""
        self._open.add(connection)

    def give_back(self, connection: _Connection) -> None:
        """The connection may be used again."""
        connection.idle_since = self.loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(self._idle_s, self._sweep)
        if self._waiting:
            self._wake()

    def forget(self, connection: _Connection) -> None:
        """The connection is not to be used again."""
        if connection in self._idle:
            self._idle.remove(connection)

    def gone(self, connection: _Connection) -> None:
        """The connection has ended: there is room for another one."""
        self._open.discard(connection)
        self.forget(connection)
        self._wake()

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.loop.time()
        while self._idle and self._idle[0].idle_since <= now - self._idle_s:
            self._idle[0].abort()
        if self._idle:
            self._sweeper = self.loop.call_at(self._idle[0].idle_since + self._idle_s, self._sweep)


_LENGTHS = {len(name) for name in ("content-length", "content-encoding", "transfer-encoding", "retry-after")}
