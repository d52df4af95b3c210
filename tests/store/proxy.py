"""A proxy in front of PostgreSQL that loses a statement on its way in, or its answer on its way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["statement", "answer"]


class Proxy:
    """Forwards bytes; once told to ``lose`` it cuts the connection at the next occasion, and is itself again after."""

    def __init__(self, dsn: str) -> None:
        self._target = urlsplit(dsn)
        self._fault: Fault | None = None
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._for_good = False
        self._port = 0
        self.faults = 0
        self.hides_ends = False
        """Whether a client is not told that the server has closed its connection."""
        self.hidden = asyncio.Event()

    @property
    def dsn(self) -> str:
        """The database's address by way of the proxy."""
        user = self._target.netloc.rpartition("@")[0]
        return self._target._replace(netloc=f"{user}@127.0.0.1:{self._port}").geturl()

    def lose(self, what: Fault, *, for_good: bool = False) -> None:
        """Cut the connection in place of forwarding the next statement, or the next answer; then stay away."""
        self._fault, self._for_good = what, for_good

    async def start(self) -> None:
        """Listen, on a free port at first and on the same one later."""
        self._server = await asyncio.start_server(self._link, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything."""
        assert self._server is not None
        self._server.close()
        for link in list(self._links):
            link.cancel()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        to_server = asyncio.create_task(self._pump(reader, up_writer, "statement"))
        to_client = asyncio.create_task(self._pump(up_reader, writer, "answer"))
        with suppress(asyncio.CancelledError):
            await asyncio.wait({to_server, to_client}, return_when=asyncio.FIRST_COMPLETED)
            if self.hides_ends and not to_server.done():
                self.hidden.set()
                await asyncio.wait({to_server})
        for pump in (to_server, to_client):
            pump.cancel()
        for end in (writer, up_writer):
            end.close()
        self._links.discard(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, what: Fault) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if self._fault == what:
                    self._fault = None
                    self.faults += 1
                    if self._for_good:
                        assert self._server is not None
                        self._server.close()
                    return
                sink.write(data)
                await sink.drain()


@asynccontextmanager
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy in front of this database."""
    running = Proxy(dsn)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
