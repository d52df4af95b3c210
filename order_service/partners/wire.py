"""One bounded HTTP exchange with a partner, and the status it came to.

What is refused here can never be believed further in: redirects are not followed, environment proxies
and cookies are not used, a body is read as it comes and never beyond 1 MiB, and never unpacked.
"""

import asyncio
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.tracing import Trace
from yarl import URL

from order_service import faults
from order_service.core.answers import Unanswered

MAX_BODY = 2**20
MAX_RETRY_AFTER_S = 300.0
"""A partner may slow us down, but not put a call to sleep past what a person would notice."""
IDLE_S = 4.0
"""Shorter than the 5 s after which common servers drop an idle connection: a write that meets a
connection just being dropped is not repeated by the client and would count as unanswered."""
MAX_CORRELATION_ID = 128


class Reply(msgspec.Struct, frozen=True):
    """A response whose status line and headers arrived whole.

    `body` is None where it cannot be had; `fault` says why, in a word or two.
    """

    status: int
    body: bytes | None
    fault: str = ""
    retry_after_s: float | None = None

    def undecided(self) -> Unanswered:
        """Give the status no meaning: the same call has to be made again."""
        return Unanswered(f"status {self.status}", self.retry_after_s)


class _QuietConnector(aiohttp.TCPConnector):
    """Uses no connection on which the partner spoke without being asked.

    What lies there already, say a second response to the last request, would be taken for the answer
    to the next one.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        for _ in range(self.limit + 1):
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ServerDisconnectedError("the partner speaks before it is asked")


class Wire:
    """The connections to one partner: one session for life, opened inside the running loop."""

    def __init__(self, base_url: str, *, partner: str = "partner", connections: int = 256) -> None:
        """`connections` bounds how many exchanges run at once; more wait within their deadline."""
        self._partner = partner
        self._base = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=_QuietConnector(limit=connections, keepalive_timeout=IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "order-service",
            },
        )

    async def close(self) -> None:
        """Drop the connections; an exchange still under way ends unanswered."""
        await self._session.close()

    async def post(
        self, operation: str, path: str, body: bytes, key: str, *, deadline_s: float, correlation_id: str
    ) -> Reply | Unanswered:
        """Write once. The client never repeats a POST by itself."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return await self._pass(operation, "POST", path, headers, body, deadline_s, correlation_id)

    async def get(self, operation: str, path: str, *, deadline_s: float, correlation_id: str) -> Reply | Unanswered:
        """Read. The client may repeat a GET once on a dropped connection, within the deadline."""
        return await self._pass(operation, "GET", path, {}, None, deadline_s, correlation_id)

    async def _pass(self, operation: str, *exchange: Any) -> Reply | Unanswered:
        """One exchange between the two phases of its fault point, `http.PARTNER.OPERATION`."""
        if faults.hook is None:
            return await self._exchange(*exchange)
        try:
            return await faults.around(f"http.{self._partner}.{operation}", lambda: self._exchange(*exchange))
        except ConnectionResetError:
            return Unanswered("connection lost")

    async def _exchange(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        deadline_s: float,
        correlation_id: str,
    ) -> Reply | Unanswered:
        if self._session.closed:
            return Unanswered("closing")
        headers["X-Request-Deadline"] = f"{max(deadline_s, 0.0):.3f}"
        if correlation_id:
            headers["X-Correlation-Id"] = _printable(correlation_id)
        url = URL(self._base + path, encoded=True)
        # Not aiohttp's own total: it rounds deadlines above 5 s up to a whole second.
        until = asyncio.get_running_loop().time() + deadline_s
        try:
            async with asyncio.timeout_at(until):
                response = await self._session.request(method, url, data=body, headers=headers, allow_redirects=False)
        except TimeoutError:
            return Unanswered("timeout")
        except aiohttp.ClientConnectorError:
            return Unanswered("no connection")
        except (aiohttp.ClientResponseError, HttpProcessingError, ValueError):
            return Unanswered("not HTTP")
        except (aiohttp.ClientError, OSError, RuntimeError):
            return Unanswered("connection lost")
        return await _reply(response, until)


async def _reply(response: aiohttp.ClientResponse, until: float) -> Reply:
    """Read the rest of a response whose head is there; after any fault the connection is not used again."""
    body, fault = b"", ""
    try:
        async with asyncio.timeout_at(until):
            fault, body = await _bounded(response)
    except TimeoutError:
        fault = "timeout"
    except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError):
        fault = "broken body"
    finally:
        # Once the body is whole, its connection has gone back already, and this touches nothing.
        response.close()
    retry_after_s = _retry_after_s(response.headers.get("Retry-After", ""))
    return Reply(response.status, None if fault else body, fault, retry_after_s)


async def _bounded(response: aiohttp.ClientResponse) -> tuple[str, bytes]:
    """Read the body as it comes: (what is wrong with it, or nothing; the body)."""
    codings = ",".join(response.headers.getall("Content-Encoding", ["identity"]))
    if codings.strip().lower() != "identity":
        return "encoded body", b""
    if (response.content_length or 0) > MAX_BODY:
        return "body too large", b""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_BODY:
            return "body too large", b""
    return "", bytes(body)


def _retry_after_s(header: str) -> float | None:
    """Read seconds or an HTTP date; whatever else stands there is no wish at all."""
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,15}", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(text)
        wait_s = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _printable(text: str) -> str:
    """Keep what may stand in a header: visible ASCII."""
    return re.sub(r"[^!-~]", "_", text)[:MAX_CORRELATION_ID]


def segment(text: str) -> str:
    """Quote one part of a path. Dots alone would be taken for a step up the path."""
    if text in (".", ".."):
        return text.replace(".", "%2E")
    return quote(text, safe="")
