"""`python -m order_service.bench.partners`: Inventory, Cart and Payment in one cheap process, for measuring.

The sandbox does more and costs more than the service itself; this takes under 60 microseconds of CPU a call, so that
what is measured is the service. ``POST /control`` sets ``{"latencyMs": 20, "stock": 5}``, ``GET /control`` shows what
happened so far.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal

import httptools
import msgspec
import uvloop
from msgspec import Struct

from order_service.bench.world import Answer, World
from order_service.parent import die_with_parent

HOST = "127.0.0.1"
_REASONS = {
    200: b"OK",
    201: b"Created",
    400: b"Bad Request",
    404: b"Not Found",
    409: b"Conflict",
    422: b"Unprocessable Content",
}


class _Control(Struct, rename="camel"):
    latency_ms: float | None = None
    stock: int | None = None


_control = msgspec.json.Decoder(_Control).decode


class Partners:
    """The world and how long it takes to answer."""

    def __init__(self) -> None:
        self.world = World()
        self.latency_s = 0.0

    def answer(self, method: bytes, url: bytes, key: bytes, body: bytes) -> tuple[float, Answer]:
        """Seconds to wait, and the answer."""
        path, _, query = url.decode("latin-1").partition("?")
        if path == "/control":
            if method == b"POST":
                self._set(_control(body))
            return 0.0, (200, self.world.state())
        if path == "/health":
            return 0.0, (200, b'{"status":"healthy"}')
        try:
            found = self.world.post(path, key, body) if method == b"POST" else self.world.get(path, query)
        except msgspec.DecodeError as fault:
            found = 422, json.dumps({"error": str(fault)}).encode()
        return self.latency_s, found

    def _set(self, wish: _Control) -> None:
        if wish.latency_ms is not None:
            self.latency_s = wish.latency_ms / 1000
        if wish.stock is not None:
            self.world.stock = wish.stock


class _Connection(asyncio.Protocol):
    """One connection of the service, which asks one thing at a time."""

    def __init__(self, partners: Partners, loop: asyncio.AbstractEventLoop) -> None:
        self._partners = partners
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._key, self._body = b"", b"", b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) == 15 and name.lower() == b"idempotency-key":
            self._key = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        wait_s, (status, body) = self._partners.answer(self._parser.get_method(), self._url, self._key, self._body)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        said = head % (status, _REASONS[status], len(body)) + body
        if wait_s > 0:
            self._loop.call_later(wait_s, self._say, said)
        else:
            self._say(said)

    def _say(self, said: bytes) -> None:
        self._transport.write(said)  # type: ignore[attr-defined]


async def serve(port: int) -> None:
    """Serve until SIGINT or SIGTERM; the first line on stdout is ``{"url": ...}``."""
    loop = asyncio.get_running_loop()
    partners, stop = Partners(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: _Connection(partners, loop), HOST, port, backlog=1024)
    print(json.dumps({"url": f"http://{HOST}:{server.sockets[0].getsockname()[1]}"}), flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m order_service.bench.partners", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the starter ends")
    if parser.parse_args().die_with_parent:
        die_with_parent()
    gc.disable()  # nothing here is cyclic, and the books grow large
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
