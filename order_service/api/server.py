"""Serving the application: one process, and an end that breaks off no answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import structlog
import uvicorn
from msgspec import Struct

from order_service.api.admission import Admission
from order_service.api.frame import Api
from order_service.api.leaving import Leaving, LeavingProtocol
from order_service.api.protocol import BODY_GRACE_S, HEAD_TIMEOUT_S, KEEP_ALIVE_S, MAX_CONNECTIONS, WRITE_TIMEOUT_S
from order_service.handover import Mailbox
from order_service.signals import Signals

_TICKS_PER_SWEEP = 5
"""The server ticks ten times a second."""
_PASS_S = 0.02
_CANCELLED_END_WITHIN_S = 1.0
_log = structlog.get_logger("order_service.api")


class Limits(Struct, frozen=True):
    """What clients may take: seconds, unless said otherwise. The last three are about the end of the process."""

    head_timeout_s: float = HEAD_TIMEOUT_S
    body_grace_s: float = BODY_GRACE_S
    write_timeout_s: float = WRITE_TIMEOUT_S
    keep_alive_s: float = KEEP_ALIVE_S
    connections: int = MAX_CONNECTIONS
    """Open at a time; one more is told to come back later."""
    drain_s: float = 0.0
    """Between saying "not ready" and closing the door: what a load balancer needs to notice."""
    idle_s: float = 0.0
    """How long after that a connection may wait for its next request, which is answered and its last."""
    graceful_s: float = 15
    """For requests under way when the door is closed, before they are cancelled."""


class Server(uvicorn.Server):
    """A server that announces its end, then waits, then closes."""

    def __init__(
        self, config: uvicorn.Config, limits: Limits, draining: Callable[[], None], leaving: Leaving | None = None
    ) -> None:
        super().__init__(config)
        self._limits = limits
        self._draining = draining
        self._leaving = leaving or Leaving()
        self._idle_s = limits.idle_s
        self._ticks = 0
        self._stopping = False
        self._arriving: set[asyncio.Task[object]] = set()
        self.when_started: Callable[[Server], None] = lambda _: None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door, take over the connections of whoever served here before, and tell whoever waits for it."""
        await super().startup(sockets)
        if not self.started:
            return
        if self._leaving.mailbox is not None and not self._stopping:
            asyncio.get_running_loop().add_reader(self._leaving.mailbox.descriptors[1], self._take_over)
        self.when_started(self)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are not the server's business: whoever runs it calls ``stop``."""
        yield

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Say "not ready", and close the door ``drain_s`` seconds later, when SIGHUP says to hand over at once.

        SIGINT waits for no idle connection, a second one for nobody.
        """
        if number == signal.SIGINT:
            self._idle_s = 0.0
            self.force_exit = self.force_exit or self._stopping
        again, self._stopping = self._stopping, True
        if not again:
            _log.info("draining", drain_s=self._limits.drain_s, graceful_s=self._limits.graceful_s)
            self._draining()
            self._stop_taking_over()
        self._leaving.handing_over = number == signal.SIGHUP and self._leaving.mailbox is not None
        if not self._leaving.handing_over:
            self._leaving.last_answers = True
            for connection in self._connections:
                connection.say_goodbye()
        if again or self._leaving.handing_over or self._limits.drain_s <= 0:
            self._close_door()
        else:
            asyncio.get_running_loop().call_later(self._limits.drain_s, self._close_door)

    def _close_door(self) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; every fifth time the slow clients are looked for."""
        self._ticks += 1
        if self._ticks % _TICKS_PER_SWEEP == 0:
            now = asyncio.get_running_loop().time()
            for connection in self._connections:
                connection.sweep(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door and come to the end of every connection; requests that take too long are cancelled."""
        closed_at = asyncio.get_running_loop().time()
        await self._shut(sockets or [])
        await self._end_connections(closed_at)
        if tasks := set(self.server_state.tasks):
            _log.warning("requests_cancelled", requests=len(tasks))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_CANCELLED_END_WITHIN_S)
        for connection in self._connections:
            connection.transport.close()

    async def _shut(self, doors: list[socket.socket]) -> None:
        """Take no more connections. Those that the kernel has let in are served, unless the door stays in use."""
        kept = [door.dup() for door in doors]
        for server in self.servers:
            server.close()
        for door in doors:
            door.close()
        for door in kept:
            with door, contextlib.suppress(OSError):
                while not self._leaving.handing_over:
                    self._arrive(door.accept()[0])
        await asyncio.sleep(_PASS_S)  # what was accepted in this pass of the loop becomes a connection in the next

    async def _end_connections(self, closed_at: float) -> None:
        loop = asyncio.get_running_loop()
        while self.server_state.connections or self.server_state.tasks or self._arriving:
            now = loop.time()
            waited_s = now - closed_at
            if self.force_exit or waited_s > self._limits.graceful_s:
                break
            for connection in self._connections:
                connection.sweep(now)
                if self._leaving.handing_over:
                    connection.hand_over()
                elif connection.at_rest and waited_s >= self._idle_s:
                    connection.transport.close()
            await asyncio.sleep(_PASS_S)

    def _take_over(self) -> None:
        mailbox = self._leaving.mailbox
        assert mailbox is not None
        while (connection := mailbox.take()) is not None:
            self._arrive(connection)

    def _stop_taking_over(self) -> None:
        if self._leaving.mailbox is not None:
            asyncio.get_running_loop().remove_reader(self._leaving.mailbox.descriptors[1])
            self._take_over()

    def _arrive(self, connection: socket.socket) -> None:
        """Serve a connection that did not come through the door."""
        connection.setblocking(False)
        task = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    def _protocol(self) -> LeavingProtocol:
        protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        assert isinstance(protocol, LeavingProtocol)
        return protocol

    @property
    def _connections(self) -> list[LeavingProtocol]:
        return [c for c in self.server_state.connections if isinstance(c, LeavingProtocol)]

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
    mailbox: Mailbox | None = None,
) -> Server:
    """A server that is not running yet; ``draining`` is called first when it has to stop."""
    limits = limits or Limits()
    leaving = Leaving(mailbox)
    protocol = type(
        "Protocol",
        (LeavingProtocol,),
        {
            "head_timeout_s": limits.head_timeout_s,
            "body_grace_s": limits.body_grace_s,
            "write_timeout_s": limits.write_timeout_s,
            "keep_alive_s": limits.keep_alive_s,
            "max_connections": limits.connections,
            "admission": admission or Admission(),
            "leaving": leaving,
        },
    )
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # handed on to the protocol, which is ours
        host=host,
        port=port,
        http=protocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    return Server(config, limits, draining, leaving)


async def serve(
    app: Api,
    host: str,
    port: int,
    *,
    signals: Signals,
    limits: Limits | None = None,
    draining: Callable[[], None] = lambda: None,
    started: Callable[[Server], None] = lambda _: None,
    sockets: list[socket.socket] | None = None,
    admission: Admission | None = None,
    mailbox: Mailbox | None = None,
) -> None:
    """Serve until a signal says to stop, in this process and on this event loop.

    ``sockets`` are bound already, else the address is bound here. ``started`` is told once connections are accepted;
    ``draining`` first of all when the end has come. ``mailbox``: where open connections come from, and go to.
    """
    server = build(app, host, port, limits=limits, draining=draining, mailbox=mailbox, admission=admission)
    server.when_started = started
    signals.tell(server.stop)
    await server.serve(sockets)
