"""A door in front of a partner that can be shut in three ways: nobody there, silent, or turning everybody away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self

Shut = Literal["gone", "silent", "refusing"]
HOST = "127.0.0.1"
_CHUNK = 65536
_REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Gate:
    """Passes connections on to a port of this machine while it is open; it runs in a thread of its own.

    ``gone``: connections are refused, and those that there were are cut. ``silent``: whatever comes lies there until
    the gate opens, and is delivered then. ``refusing``: every request is answered with 503.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._shut: Shut | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def shut(self, how: Shut) -> None:
        """Let nobody through from now on."""
        self._do(self._become(how))

    def open(self) -> None:
        """Let everybody through again."""
        self._do(self._become(None))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _leave(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        self._flows.set()

    async def _become(self, how: Shut | None) -> None:
        self._shut = how
        if how == "silent":
            self._flows.clear()
            return
        if how is not None:
            await self._leave()
        if how != "gone" and self._server is None:
            await self._listen()
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                if self._shut == "refusing":
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(_REFUSED)
                    await writer.drain()
                else:
                    await self._pass_on(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        from_partner, to_partner = await asyncio.open_connection(HOST, self._to_port)
        self._writers.add(to_partner)
        try:
            await asyncio.gather(self._pump(reader, to_partner), self._pump(from_partner, writer))
        finally:
            self._writers.discard(to_partner)
            to_partner.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes one way until that side ends."""
        try:
            while chunk := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()
        finally:
            writer.close()
