"""Serving the application: one process, and an end that breaks off no answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import structlog
import uvicorn
from msgspec import Struct

from order_service.api.admission import Admission
from order_service.api.frame import Api
from order_service.api.protocol import BODY_GRACE_S, HEAD_TIMEOUT_S, MAX_CONNECTIONS, WRITE_TIMEOUT_S, LimitedProtocol

_TICKS_PER_SWEEP = 5
"""The server ticks ten times a second."""
_log = structlog.get_logger("order_service.api")


class Limits(Struct, frozen=True):
    """What clients may take: seconds, unless said otherwise. The last two are about the end of the process."""

    head_timeout_s: float = HEAD_TIMEOUT_S
    body_grace_s: float = BODY_GRACE_S
    write_timeout_s: float = WRITE_TIMEOUT_S
    keep_alive_s: int = 30
    connections: int = MAX_CONNECTIONS
    """Open at a time; one more is told to come back later."""
    drain_s: float = 0.0
    """Between saying "not ready" and closing the door: what a load balancer needs to notice."""
    graceful_s: int = 15
    """For requests under way, before they are cancelled."""


class Server(uvicorn.Server):
    """A server that announces its end, then waits, then closes; signals do not outlive it."""

    def __init__(self, config: uvicorn.Config, limits: Limits, draining: Callable[[], None]) -> None:
        super().__init__(config)
        self._limits = limits
        self._draining = draining
        self._ticks = 0
        self._stopping = False
        self.when_started: Callable[[Server], None] = lambda _: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door, and tell whoever waits for it."""
        await super().startup(sockets)
        if self.started:
            self.when_started(self)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop the server and nothing else: they are not raised again behind it."""
        loop = asyncio.get_running_loop()
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop, number)
        except (ValueError, RuntimeError, NotImplementedError):
            yield  # not the main thread: whoever runs us stops us
            return
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal by the way of the base class."""
        self.stop(sig)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Say "not ready", and close the door ``drain_s`` seconds later; a second SIGINT waits for nobody."""
        if self._stopping:
            self.should_exit = True
            self.force_exit = self.force_exit or number == signal.SIGINT
            return
        self._stopping = True
        _log.info("draining", drain_s=self._limits.drain_s, graceful_s=self._limits.graceful_s)
        self._draining()
        if self._limits.drain_s > 0:
            asyncio.get_running_loop().call_later(self._limits.drain_s, self._close_door)
        else:
            self._close_door()

    def _close_door(self) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; every fifth time the slow clients are looked for."""
        self._ticks += 1
        if self._ticks % _TICKS_PER_SWEEP == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, LimitedProtocol):
                    connection.sweep(now)
        return await super().on_tick(counter)

    @property
    def port(self) -> int:
        """The port it listens on, once it is started."""
        return int(self.servers[0].sockets[0].getsockname()[1])


def build(
    app: Api,
    host: str,
    port: int,
    *,
    limits: Limits | None = None,
    draining: Callable[[], None] = lambda: None,
    admission: Admission | None = None,
) -> Server:
    """A server that is not running yet; ``draining`` is called first when it has to stop."""
    limits = limits or Limits()
    protocol = type(
        "Protocol",
        (LimitedProtocol,),
        {
            "head_timeout_s": limits.head_timeout_s,
            "body_grace_s": limits.body_grace_s,
            "write_timeout_s": limits.write_timeout_s,
            "max_connections": limits.connections,
            "admission": admission or Admission(),
        },
    )
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.graceful_s,
    )
    return Server(config, limits, draining)


async def serve(
    app: Api,
    host: str,
    port: int,
    *,
    limits: Limits | None = None,
    draining: Callable[[], None] = lambda: None,
    started: Callable[[Server], None] = lambda _: None,
    sockets: list[socket.socket] | None = None,
    admission: Admission | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, in this process and on this event loop.

    ``sockets`` are bound already, else the address is bound here. ``started`` is told once connections are accepted;
    ``draining`` first of all when the end has come.
    """
    server = build(app, host, port, limits=limits, draining=draining, admission=admission)
    server.when_started = started
    await server.serve(sockets)
