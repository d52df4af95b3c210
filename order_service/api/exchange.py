"""One request on its way: its headers read once, its body read within bounds, and what the log line needs."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from typing import TYPE_CHECKING

from order_service.api.cycle import Cycle
from order_service.api.refusals import (
    BodyTooLarge,
    InvalidIdempotencyKey,
    InvalidIfMatch,
    RequestTimeout,
    UnsupportedMediaType,
)
from order_service.randomness import random16
from order_service.requests import Ask, Principal

if TYPE_CHECKING:
    from order_service.api.operations import Operation

MAX_BODY = 256 * 1024
MAX_DISCARD = 8 * 1024 * 1024
"""Bytes of a refused body that are read and thrown away, so that the client is still there to read the answer."""
BODY_TIMEOUT_S = 10.0

_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,128}")
_KEY = re.compile(r"[!-~]{1,255}")
_VERSION = re.compile(r'"([1-9][0-9]{0,14})"')
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_JSON = re.compile(r"application/json[ \t]*(?:;.*)?", re.IGNORECASE)


def correlation_id_of(given: str | None) -> str:
    """The client's own id where it can be one, else a new one."""
    return given if given and _CORRELATION.fullmatch(given) else random16().hex()


class Exchange:
    """A request and, once it is answered, the status.

    Header names are lower case. ``body_read``: its last byte was read; ``late``: it never came, so that the connection
    cannot be used again.
    """

    __slots__ = (
        "body_read",
        "body_timeout_s",
        "correlation_id",
        "cycle",
        "header",
        "headers",
        "late",
        "method",
        "operation",
        "params",
        "path",
        "principal",
        "query",
        "started",
        "status",
    )

    def __init__(self, cycle: Cycle, body_timeout_s: float = BODY_TIMEOUT_S) -> None:
        self.started = time.perf_counter()
        self.cycle = cycle
        head = cycle.head
        self.method = head.method
        self.path: str = head.path
        """Decoded as soon as it was found to be the path of something."""
        self.query = head.query
        self.headers = head.headers
        self.header = head.value
        self.body_timeout_s = body_timeout_s
        self.operation: Operation | None = None
        """None until a route was found."""
        self.params: dict[str, str] = {}
        """The path parameters, decoded."""
        self.principal: Principal | None = None
        self.status = 0
        self.body_read = False
        self.late = False
        self.correlation_id = correlation_id_of(self.header(b"x-correlation-id"))

    @property
    def route(self) -> str:
        """The template of the route, such as ``/api/v1/orders/{orderId}``; empty until one was found."""
        return self.operation.path if self.operation is not None else ""

    def ask(self, raw: bytes, *, if_match: bool = True) -> Ask:
        """The frame of a write with this body; raises a refusal where a header cannot be read."""
        assert self.principal is not None
        key = self.header(b"idempotency-key")
        fingerprint = b""
        if key is not None:
            if not _KEY.fullmatch(key):
                raise InvalidIdempotencyKey
            fingerprint = self._fingerprint(raw)
        traceparent = self.header(b"traceparent")
        if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
            traceparent = None
        return Ask(
            self.principal,
            f"{self.method} {self.route}",
            self.correlation_id,
            key,
            fingerprint,
            self._if_match() if if_match else None,
            traceparent,
        )

    def _fingerprint(self, raw: bytes) -> bytes:
        told = (self.method.encode(), self.path.encode(), raw)
        return hashlib.sha256(b"\0".join(told)).digest()

    def _if_match(self) -> int | None:
        """The version that the client has seen; None where any will do."""
        value = self.header(b"if-match")
        if value is None or value == "*":
            return None
        version = _VERSION.fullmatch(value)
        if version is None:
            raise InvalidIfMatch
        return int(version[1])

    async def body(self, *, empty: bool = False) -> bytes:
        """The whole body, declared as JSON unless it may be ``empty`` and is."""
        raw = await self._read()
        if raw or not empty:
            self._check_media_type()
        return raw

    def _check_media_type(self) -> None:
        media_type = self.header(b"content-type")
        if media_type is None or not _JSON.fullmatch(media_type):
            raise UnsupportedMediaType("Send the body with Content-Type: application/json.")
        encoding = self.header(b"content-encoding")
        if encoding is not None and encoding.strip().lower() != "identity":
            raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")
        transfer = self.header(b"transfer-encoding")
        if transfer is not None and transfer.strip().lower() != "chunked":
            raise UnsupportedMediaType("Send the body as it is, without Transfer-Encoding but chunked.")

    async def _read(self) -> bytes:
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > MAX_BODY:
            raise BodyTooLarge(MAX_BODY)
        if self.cycle.whole:  # as most are by now: no timer for those
            return await self._chunks()
        try:
            async with asyncio.timeout(self.body_timeout_s):
                return await self._chunks()
        except TimeoutError:
            self.late = True
            raise RequestTimeout from None

    async def _chunks(self) -> bytes:
        chunk, more = await self._chunk()
        if more:
            chunks, size = [chunk], len(chunk)
            while more and size <= MAX_BODY:
                chunk, more = await self._chunk()
                chunks.append(chunk)
                size += len(chunk)
            chunk = b"".join(chunks)
        if len(chunk) > MAX_BODY:
            raise BodyTooLarge(MAX_BODY)
        return chunk

    async def _chunk(self) -> tuple[bytes, bool]:
        chunk, more = await self.cycle.receive()
        self.body_read = not more
        return chunk, more

    async def discard(self) -> bool:
        """Read what is left of a refused request's body, within bounds of size and time; true if nothing is left.

        A connection that is closed on unread bytes is reset, and the client may never see why it was refused. A
        client that waits for leave to send its body (``Expect``) is not given it.
        """
        headers = self.headers
        if self.late:
            return False
        if self.body_read or not (headers.keys() & {b"content-length", b"transfer-encoding"}):
            return True
        left = 0 if b"expect" in headers else MAX_DISCARD
        try:
            async with asyncio.timeout(self.body_timeout_s):
                while not self.body_read and left > 0:
                    chunk, _ = await self._chunk()
                    left -= len(chunk)
        except TimeoutError:
            return False
        return self.body_read
