"""What the partner tests stand on: the sandbox as a real process, a raw socket server, a caller."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from order_service.core.answers import Answer
from order_service.core.requests import Request, StockItem, encode_request, kind_of
from order_service.partners import Partners, dispatch_call, open_partners

T = TypeVar("T")
PATIENCE_S = 20.0


def fresh(prefix: str) -> str:
    """A name nobody used before: tests share one running partner."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def items(*pairs: tuple[str, int]) -> tuple[StockItem, ...]:
    return tuple(StockItem(product_id, quantity) for product_id, quantity in pairs)


def partners_at(url: str) -> Partners:
    """All three partners on one address; call it inside a running loop."""
    return open_partners(inventory_url=url, cart_url=url, payment_url=url)


class Caller:
    """Makes calls through the door of the service, each with a fresh key unless told otherwise."""

    def __init__(self, runner: asyncio.Runner, partners: Partners) -> None:
        self._runner = runner
        self.partners = partners

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def __call__(self, request: Request, key: str | None = None, deadline_s: float = 10.0) -> Answer:
        return self.run(self.call(request, key, deadline_s))

    async def call(self, request: Request, key: str | None = None, deadline_s: float = 10.0) -> Answer:
        return await dispatch_call(
            self.partners,
            kind_of(request),
            encode_request(request),
            key or fresh("key"),
            timeout_s=deadline_s,
            correlation_id="test",
        )


def ask(method: str, url: str, body: Any = None, key: str | None = None, raw: bytes | None = None) -> tuple[int, Any]:
    """One plain HTTP exchange, without any of the service's own code: status and decoded JSON."""
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def until(done: Callable[[], T]) -> T:
    """Ask again and again until the answer is truthy; a test that waits for ever fails."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = done()
        if found:
            return found
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


class Sandbox:
    """The sandbox as a process that can be killed and started again on the same directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def journal(self) -> Path:
        return self.folder / "sandbox.jsonl"

    def start(self) -> Sandbox:
        self._process = subprocess.Popen(sandbox_command(self.folder), stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = json.loads(self._process.stdout.readline())["url"]
        return self

    def end(self, sign: signal.Signals) -> int:
        """Send a signal and wait: the exit code."""
        assert self._process is not None
        self._process.send_signal(sign)
        code = self._process.wait(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    def restart_by_sigkill(self) -> None:
        assert self.end(signal.SIGKILL) == -signal.SIGKILL
        self.start()

    def close(self) -> None:
        if self._process is not None:
            self.end(signal.SIGKILL)

    def ledger(self, after: int = 0) -> list[dict[str, Any]]:
        status, body = ask("GET", f"{self.url}/sandbox/ledger?after={after}")
        assert status == 200
        return body["items"]

    def effects(self, **wanted: str) -> list[dict[str, Any]]:
        """The ledger's lines with these members, without their place and time."""
        lines = [line for line in self.ledger() if all(line.get(k) == v for k, v in wanted.items())]
        return [{k: v for k, v in line.items() if k not in ("seq", "at")} for line in lines]


def sandbox_command(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "order_service.sandbox", "--port", "0", "--data", str(folder)]
    return [*command, "--die-with-parent"]


@dataclass
class Heard:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class RawServer:
    """A socket that says exactly what a test wants, and keeps what it heard."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0


Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(say: Say, *, keep_open: bool = False) -> AsyncIterator[RawServer]:
    """Answer each request by `say`, and hang up after it unless told to keep the connection."""
    server = RawServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while True:
                server.heard.append(await _hear(reader))
                await say(writer)
                await writer.drain()
                if not keep_open:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


async def _hear(reader: asyncio.StreamReader) -> Heard:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Heard(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def http(status: int, body: bytes | str = b"", *headers: str, length: int | None = None) -> bytes:
    """The bytes of one response; `length` lies about the body's."""
    raw = body.encode() if isinstance(body, str) else body
    told = [f"Content-Length: {len(raw) if length is None else length}"]
    if not any(header.lower().startswith("content-type") for header in headers):
        told.append("Content-Type: application/json")
    return "\r\n".join([f"HTTP/1.1 {status} Said", *told, *headers, "", ""]).encode("latin-1") + raw


def saying(raw: bytes) -> Say:
    """Say these bytes."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return say


def dripping(raw: bytes, endless: bytes) -> Say:
    """Say these bytes at once and then a little every now and then, without end."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        while True:
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(endless)

    return say


def resetting(raw: bytes = b"") -> Say:
    """Say these bytes, if any, and reset the connection."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return say


async def silence(_: asyncio.StreamWriter) -> None:
    """Say nothing and keep the line open."""
    await asyncio.sleep(PATIENCE_S)
