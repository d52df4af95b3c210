"""HTTP/1.1 on one connection: the parser's callbacks made into requests, answered one after the other.

The parser (llhttp) and the server are uvicorn's. Between them stands this class and not uvicorn's own, which speaks
ASGI: of a read's 150 microseconds of CPU, a scope, its messages and a framework's routes took 40.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

import httptools
from uvicorn import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from order_service.api.cycle import Cycle, Head

MAX_HEAD = 32 * 1024
"""Bytes of request line and headers."""

_NONE_REPEATED: frozenset[bytes] = frozenset()


class Application(Protocol):
    """Answers requests."""

    def serve(self, cycle: Cycle, /) -> Coroutine[Any, Any, None]:
        """See one request through to its answer; raises nothing."""
        ...


class HeadTooLarge(Exception):
    """Ends the parser's work from within."""


class Connection(asyncio.Protocol):
    """A connection as ``uvicorn.Server`` makes and counts them; ``cycle`` is the newest request."""

    transport: asyncio.Transport
    flow: FlowControl

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.app = cast("Application", config.app)
        self.loop = _loop or asyncio.get_running_loop()
        self.server_state = server_state
        self.connections: set[Any] = server_state.connections
        self.parser = httptools.HttpRequestParser(self)
        # The client that says that it will close may still send what it had begun; it is not read, and no fault.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.cycle: Cycle | None = None
        self.pipeline: deque[Cycle] = deque()
        self._stamp_of: Any = None
        self._stamp = b""
        self._begin_head()

    def _begin_head(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.repeated = _NONE_REPEATED
        self.hosts = 0
        self.head_size = 0
        self.expect_100_continue = False

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast("asyncio.Transport", transport)
        self.flow = FlowControl(self.transport)
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, by whomever."""
        self.connections.discard(self)
        if self.cycle is not None:
            self.cycle.disconnect()
        for cycle in self.pipeline:
            cycle.disconnect()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.unreadable()
        except httptools.HttpParserUpgrade:
            pass

    def unreadable(self) -> None:
        """What came cannot be read."""
        self.transport.close()

    def pause_writing(self) -> None:
        """The client does not take its answer fast enough."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """The client has taken some of it."""
        self.flow.resume_writing()

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._begin_head()

    def on_url(self, url: bytes) -> None:
        """The target, or a piece of it."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        name = name.lower()
        self.head_size += len(name) + len(value) + 4
        if self.head_size > MAX_HEAD:
            raise HeadTooLarge
        if name in self.headers:
            self.repeated |= {name}
        self.headers[name] = value
        if name == b"host":
            self.hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        """The head is complete: from here on the application answers."""
        target = httptools.parse_url(self.url)
        headers, self.headers = self.headers, {}  # fields behind the body are no headers
        self.begin(
            Head(
                self.parser.get_method().decode("ascii"),
                target.path.decode("ascii"),  # what cannot be ends the parser's work, as every exception here does
                target.query or b"",
                headers,
                self.repeated,
            )
        )

    def begin(self, head: Head) -> None:
        """Have the request answered, after those before it."""
        before = self.cycle
        self.cycle = cycle = Cycle(
            head,
            self.transport,
            self.flow,
            self.loop,
            stamp=self._dated(),
            keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive(),
            waits_for_leave=self.expect_100_continue,
            on_answered=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.append(cycle)

    def on_body(self, body: bytes) -> None:
        """Some of the body; of a request that is answered already it is of no use."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.feed(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.feed_end()

    # --- the application's side ---

    def _start(self, cycle: Cycle) -> None:
        tasks = self.server_state.tasks
        task = self.loop.create_task(self.app.serve(cycle))
        tasks.add(task)
        task.add_done_callback(cast("Callable[[Any], object]", tasks.discard))

    def on_response_complete(self) -> None:
        """The answer is written; the next request may come, or begin."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.popleft())

    def _dated(self) -> bytes:
        """The header lines that the server makes anew each second."""
        made = self.server_state.default_headers
        if made is not self._stamp_of:
            self._stamp_of = made
            self._stamp = b"".join(b"%b: %b\r\n" % pair for pair in made)
        return self._stamp
