"""Answers: ready-made bytes and headers, sent without any further encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.types import Receive, Scope, Send

from order_service.problems import MEDIA_TYPE, problem

if TYPE_CHECKING:
    from order_service.api.exchange import Exchange
    from order_service.core.errors import Refusal
    from order_service.requests import Reply

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())
HTML = (b"content-type", b"text/html; charset=utf-8")
NO_STORE = (b"cache-control", b"no-store")
NO_SNIFF = (b"x-content-type-options", b"nosniff")
CLOSE = (b"connection", b"close")


class Answer:
    """One answer, an ASGI application of its own; ``headers`` are all of them but the content length."""

    __slots__ = ("body", "exchange", "headers", "status")

    def __init__(self, exchange: Exchange, status: int, content_type: tuple[bytes, bytes], body: bytes) -> None:
        self.exchange = exchange
        self.status = status
        self.body = body
        self.headers: Headers = [
            content_type,
            (b"content-length", b"%d" % len(body)),
            (b"x-correlation-id", exchange.correlation_id.encode()),
            NO_STORE,
            NO_SNIFF,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        self.exchange.status = self.status
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})

    def to_asgi_response(self, **_: Any) -> Answer:
        """What the framework asks of the answer of an exception handler."""
        return self


class RefusalAnswer(Answer):
    """An answer to a request that may not have been read to its end."""

    __slots__ = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the client finish sending, then tell it."""
        if not await self.exchange.discard():
            self.headers.append(CLOSE)
        await super().__call__(scope, receive, send)


def of_reply(exchange: Exchange, reply: Reply) -> Answer:
    """The service's answer, its bytes unchanged."""
    answer = Answer(exchange, reply.status, PROBLEM if reply.problem else JSON, reply.body)
    headers = answer.headers
    if reply.version is not None:
        headers.append((b"etag", b'"%d"' % reply.version))
    if reply.location is not None:
        headers.append((b"location", reply.location.encode("ascii")))
    if reply.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % reply.retry_after_s))
    if reply.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return answer


def of_refusal(exchange: Exchange, refusal: Refusal) -> Answer:
    """The problem document of a refusal."""
    answer = RefusalAnswer(exchange, refusal.status, PROBLEM, problem(refusal, exchange.correlation_id))
    if refusal.retry_after_s is not None:
        answer.headers.append((b"retry-after", b"%d" % refusal.retry_after_s))
    allowed = getattr(refusal, "allowed", None)
    if allowed is not None:
        answer.headers.append((b"allow", ", ".join(allowed).encode()))
    if refusal.status == 401:
        answer.headers.append((b"www-authenticate", b"Bearer"))
    return answer
