"""One bounded HTTP exchange with a partner, and the status it came to.

What is refused here can never be believed further in: redirects are not followed, environment proxies
and cookies are not used, a body is read as it comes and never beyond 1 MiB, and never unpacked.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import msgspec

from order_service import faults
from order_service.core.answers import Unanswered
from order_service.partners.breaker import FAIR_DEADLINE_S, Breaker
from order_service.partners.http1 import Connections, Lost, NoConnection, NotHttp

MAX_BODY = 2**20
MAX_RETRY_AFTER_S = 300.0
"""A partner may slow us down, but not put a call to sleep past what a person would notice."""
IDLE_S = 4.0
"""Shorter than the 5 s after which common servers drop an idle connection: a write that meets a
connection just being dropped is not repeated by the client and would count as unanswered."""
MAX_CORRELATION_ID = 128
_READS = "Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: order-service\r\n"
_WRITES = f"{_READS}Content-Type: application/json\r\n"
_VISIBLE = re.compile(r"[!-~]*")
_UNRESERVED = re.compile(r"[A-Za-z0-9_~-]+")


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


class Wire:
    """The connections to one partner: one session for life, opened inside the running loop."""

    def __init__(self, base_url: str, *, partner: str = "partner", connections: int = 256) -> None:
        """`connections` bounds how many exchanges run at once; more wait within their deadline."""
        self._partner = partner
        self.breaker = Breaker(partner)
        self._connections = Connections(base_url, limit=connections, idle_s=IDLE_S, max_body=MAX_BODY)

    async def close(self) -> None:
        """Drop the connections; an exchange still under way ends unanswered."""
        self._connections.close()

    async def post(
        self, operation: str, path: str, body: bytes, key: str, *, deadline_s: float, correlation_id: str
    ) -> Reply | Unanswered:
        """Write once. The client never repeats a POST by itself."""
        fields = f"{_WRITES}Idempotency-Key: {_visible(key)}\r\n"
        return await self._ask(operation, "POST", path, fields, body, deadline_s, correlation_id)

    async def get(self, operation: str, path: str, *, deadline_s: float, correlation_id: str) -> Reply | Unanswered:
        """Read. The client may repeat a GET once on a dropped connection, within the deadline."""
        return await self._ask(operation, "GET", path, _READS, None, deadline_s, correlation_id)

    async def _ask(
        self,
        operation: str,
        method: str,
        path: str,
        fields: str,
        body: bytes | None,
        deadline_s: float,
        correlation_id: str,
    ) -> Reply | Unanswered:
        """One exchange, unless the breaker forbids it; what comes of it is what the breaker knows."""
        if self._connections.closed:
            return Unanswered("closing")
        began = self.breaker.enter()
        if began is None:
            return Unanswered("breaker open", sent=False)
        reply = await self._pass(operation, method, path, fields, body, deadline_s, correlation_id)
        why = _says_nothing(reply)
        if why is None:
            self.breaker.answered(began)
        elif why != "timeout" or deadline_s >= FAIR_DEADLINE_S:
            self.breaker.failed(began, why, timeout=why == "timeout")
        return reply

    async def _pass(self, operation: str, *exchange: Any) -> Reply | Unanswered:
        """One exchange between the two phases of its fault point, `http.PARTNER.OPERATION`."""
        if faults.hook is None:
            return await self._exchange(*exchange)
        try:
            return await faults.around(f"http.{self._partner}.{operation}", lambda: self._exchange(*exchange))
        except ConnectionResetError:
            return Unanswered("connection lost")

    async def _exchange(
        self, method: str, path: str, fields: str, body: bytes | None, deadline_s: float, correlation_id: str
    ) -> Reply | Unanswered:
        connections = self._connections
        if connections.closed:
            return Unanswered("closing")
        fields += f"X-Request-Deadline: {max(deadline_s, 0.0):.3f}\r\n"
        if correlation_id:
            fields += f"X-Correlation-Id: {_visible(correlation_id)[:MAX_CORRELATION_ID]}\r\n"
        try:
            answer = await connections.exchange(method, path, fields, body, connections.loop.time() + deadline_s)
        except TimeoutError:
            return Unanswered("timeout")
        except NoConnection:
            return Unanswered("no connection")
        except NotHttp:
            return Unanswered("not HTTP")
        except (Lost, OSError):
            return Unanswered("connection lost")
        retry_after_s = _retry_after_s(answer.retry_after) if answer.retry_after else None
        return Reply(answer.status, answer.body, answer.fault, retry_after_s)


def _says_nothing(reply: Reply | Unanswered) -> str | None:
    """Why the partner counts as not having answered; None where it has, and be it with no."""
    if isinstance(reply, Unanswered):
        return reply.reason
    if reply.body is None:
        return reply.fault
    return f"status {reply.status}" if reply.status >= 500 or reply.status == 429 else None


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


def _visible(text: str) -> str:
    """Keep what may stand in a header: visible ASCII."""
    return text if _VISIBLE.fullmatch(text) else re.sub(r"[^!-~]", "_", text)


def segment(text: str) -> str:
    """Quote one part of a path. Dots alone would be taken for a step up the path."""
    if _UNRESERVED.fullmatch(text):
        return text
    if text in (".", ".."):
        return text.replace(".", "%2E")
    return quote(text, safe="")
