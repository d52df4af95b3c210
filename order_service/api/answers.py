"""Answers: ready-made bytes and header lines, sent without any further encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from order_service.problems import MEDIA_TYPE, problem

if TYPE_CHECKING:
    from order_service.api.exchange import Exchange
    from order_service.core.errors import Refusal
    from order_service.requests import Reply

JSON = b"application/json"
PROBLEM = MEDIA_TYPE.encode()
HTML = b"text/html; charset=utf-8"


class Answer:
    """One answer; ``fields`` are its header lines.

    ``early``: the request may not have been read to its end, and its client should be let finish first.
    """

    __slots__ = ("body", "early", "fields", "status")

    def __init__(self, exchange: Exchange, status: int, content_type: bytes, body: bytes) -> None:
        self.status = status
        self.body = body
        self.early = False
        self.fields = (
            b"content-type: %b\r\ncontent-length: %d\r\nx-correlation-id: %b\r\n"
            b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
        ) % (content_type, len(body), exchange.correlation_id.encode())

    def add(self, name: bytes, value: bytes) -> None:
        """One more header; the value is ours, and has no end of line in it."""
        self.fields += b"%b: %b\r\n" % (name, value)


def of_reply(exchange: Exchange, reply: Reply) -> Answer:
    """The service's answer, its bytes unchanged."""
    answer = Answer(exchange, reply.status, PROBLEM if reply.problem else JSON, reply.body)
    if reply.version is not None:
        answer.add(b"etag", b'"%d"' % reply.version)
    if reply.location is not None:
        answer.add(b"location", reply.location.encode("ascii"))
    if reply.retry_after_s is not None:
        answer.add(b"retry-after", b"%d" % reply.retry_after_s)
    if reply.replayed:
        answer.add(b"idempotent-replayed", b"true")
    return answer


def of_refusal(exchange: Exchange, refusal: Refusal) -> Answer:
    """The problem document of a refusal."""
    answer = Answer(exchange, refusal.status, PROBLEM, problem(refusal, exchange.correlation_id))
    answer.early = True
    if refusal.retry_after_s is not None:
        answer.add(b"retry-after", b"%d" % refusal.retry_after_s)
    allowed = getattr(refusal, "allowed", None)
    if allowed is not None:
        answer.add(b"allow", ", ".join(allowed).encode())
    if refusal.status == 401:
        answer.add(b"www-authenticate", b"Bearer")
    return answer


def of_options(exchange: Exchange, allowed: list[str]) -> Answer:
    """What may be asked of a path (RFC 9110, section 9.3.7)."""
    answer = Answer(exchange, 204, b"", b"")
    answer.fields = b"allow: %b\r\nx-correlation-id: %b\r\n" % (
        ", ".join(allowed).encode(),
        exchange.correlation_id.encode(),
    )
    answer.early = True
    return answer
