"""One bounded HTTP exchange with a partner, and the status it came to.

What is refused here can never be believed further in: redirects are not followed, environment proxies
and cookies are not used, a body is read as it comes and never beyond 1 MiB, and never unpacked.
"""

import asyncio
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

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
        """Settle nothing: the same call has to be made again."""
        return Unanswered(self.fault or f"status {self.status}", self.retry_after_s)


class Wire:
    """The connections to one partner: one session for life, opened inside the running loop."""

    def __init__(self, base_url: str, *, connections: int = 100) -> None:
        """`connections` bounds how many exchanges run at once; more wait within their deadline."""
        self._base = base_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE_S),
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
        self, path: str, body: bytes, key: str, *, deadline_s: float, correlation_id: str
    ) -> Reply | Unanswered:
        """Write once. The client never repeats a POST by itself."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        return await self._exchange("POST", path, headers, body, deadline_s, correlation_id)

    async def get(self, path: str, *, deadline_s: float, correlation_id: str) -> Reply | Unanswered:
        """Read. The client may repeat a GET once on a dropped connection, within the deadline."""
        return await self._exchange("GET", path, {}, None, deadline_s, correlation_id)

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
        try:
            # Not aiohttp's own total: it rounds deadlines above 5 s up to a whole second.
            async with (
                asyncio.timeout(deadline_s),
                self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                return await _reply(response)
        except TimeoutError:
            return Unanswered("timeout")
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError) as fault:
            return Unanswered(f"connection: {type(fault).__name__}")


async def _reply(response: aiohttp.ClientResponse) -> Reply:
    retry_after_s = _retry_after_s(response.headers.get("Retry-After", ""))
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding != "identity":
        response.close()
        return Reply(response.status, None, "encoded body", retry_after_s)
    try:
        body = await _bounded(response)
    except (aiohttp.ClientError, HttpProcessingError, ConnectionError) as fault:
        return Reply(response.status, None, f"broken body: {type(fault).__name__}", retry_after_s)
    if body is None:
        response.close()
        return Reply(response.status, None, "body too large", retry_after_s)
    return Reply(response.status, body, "", retry_after_s)


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the body, or give None as soon as it is known to exceed the bound."""
    if (response.content_length or 0) > MAX_BODY:
        return None
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


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
