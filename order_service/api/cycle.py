"""One request on its connection: what has come of its body, and its answer, which leaves in one system call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class ClientGone(Exception):
    """The client hung up before its request was complete: nobody is left to answer."""


class Head(NamedTuple):
    """The head of a request: the path as it came, percent-encoded; header names in lower case.

    Of the headers in ``repeated`` there was more than one.
    """

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    repeated: frozenset[bytes]

    def value(self, name: bytes) -> str | None:
        """The value of a header, None if there is none; a repeated header has no value that could be believed."""
        value = self.headers.get(name)
        if value is None:
            return None
        return "" if name in self.repeated else value.decode("latin-1")


class Cycle:
    """From the end of a request's head to the end of its answer. The names are those of the server's own cycles.

    ``keep_alive``: the connection may be used again. ``leave`` is called once when the request is answered.
    """

    __slots__ = (
        "_flow",
        "_loop",
        "_news",
        "_on_answered",
        "_pieces",
        "_size",
        "_stamp",
        "_transport",
        "_waiter",
        "_waits_for_leave",
        "disconnected",
        "head",
        "keep_alive",
        "leave",
        "more_body",
        "response_complete",
        "response_started",
    )

    def __init__(
        self,
        head: Head,
        transport: asyncio.Transport,
        flow: FlowControl,
        loop: asyncio.AbstractEventLoop,
        *,
        stamp: bytes,
        keep_alive: bool,
        waits_for_leave: bool,
        on_answered: Callable[[], None],
    ) -> None:
        self.head = head
        self._transport = transport
        self._flow = flow
        self._loop = loop
        self._stamp = stamp
        self._waits_for_leave = waits_for_leave
        self._on_answered = on_answered
        self._pieces: list[bytes] = []
        self._size = 0
        self._news = False
        self._waiter: asyncio.Future[None] | None = None
        self.keep_alive = keep_alive
        self.leave: Callable[[], None] | None = None
        self.more_body = True
        self.disconnected = False
        self.response_started = self.response_complete = False

    # --- what the connection tells ---

    def feed(self, piece: bytes) -> None:
        """Some of the body; whoever sends faster than it is read has to wait."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self._tell()

    def feed_end(self) -> None:
        """The body is complete."""
        self.more_body = False
        self._tell()

    def disconnect(self) -> None:
        """The client is gone."""
        self.disconnected = not self.response_complete
        self._tell()

    def _tell(self) -> None:
        self._news = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- what the application asks ---

    @property
    def whole(self) -> bool:
        """Whether all of the body has come, so that nobody waits for it."""
        return self._news and not self.more_body

    async def receive(self) -> tuple[bytes, bool]:
        """What has come of the body since it was asked last, and whether more may come; raises ``ClientGone``."""
        if self._waits_for_leave and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waits_for_leave = False
        if not self.disconnected and not self.response_complete:
            self._flow.resume_reading()
            if not self._news:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
        if self.disconnected or self.response_complete:
            raise ClientGone
        pieces, self._pieces, self._size, self._news = self._pieces, [], 0, False
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), self.more_body

    async def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Send the answer; ``fields`` are its header lines, ``Content-Length`` among them. To a HEAD goes no body."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        self.response_started = True
        self._waits_for_leave = False
        self._transport.write(
            b"".join(
                (
                    STATUS_LINE[status],
                    self._stamp,
                    fields,
                    b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n",
                    b"" if self.head.method == "HEAD" else body,
                )
            )
        )
        self.response_complete = True
        if not self.keep_alive:
            self._transport.close()
        self._on_answered()

    def abort(self) -> None:
        """End the connection without an answer: there is none that could be sent any more."""
        self._transport.abort()
