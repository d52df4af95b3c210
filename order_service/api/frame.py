"""The frame around every request: exact paths, HEAD, problem documents for whatever goes wrong, one log line."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast
from urllib.parse import unquote_to_bytes

import structlog
from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Message, Scope, Send

from order_service import faults, metrics
from order_service.api.answers import of_refusal
from order_service.api.exchange import BODY_TIMEOUT_S, ClientGone, Exchange
from order_service.api.refusals import InternalError, MalformedRequest, MethodNotAllowed, NotFound
from order_service.core.errors import Refusal
from order_service.problems import ServiceUnavailable

CLIENT_GONE = 499
"""Logged, never sent: the client hung up before it had asked."""

_KEY = "exchange"
_log = structlog.get_logger("order_service.api")


class Api(Litestar):
    """The framework's application with our frame around it; a frame, not a middleware, costs no layers."""

    body_timeout_s = BODY_TIMEOUT_S

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection's event stream."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        exchange = Exchange(scope, receive, self.body_timeout_s)
        try:
            if faults.hook is not None:
                await faults.passing("api.request", faults.BEFORE)
                send = _with_points(send)
            await self._serve(exchange, send)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except asyncio.CancelledError:
            # Only a shutdown that has waited long enough cancels a request.
            await _answer_cancelled(exchange, send)
        finally:
            leave = scope.get("leave")
            if leave is not None:
                leave()
            _tell(exchange)

    async def _serve(self, exchange: Exchange, send: Send) -> None:
        scope = exchange.scope
        path = exact_path(scope)
        if path is None:
            await of_refusal(exchange, NotFound())(scope, exchange.receive, send)
            return
        if exchange.method == "HEAD":
            scope = cast("HTTPScope", {**scope, "method": "GET"})
            exchange.scope = scope
        elif exchange.method == "OPTIONS":
            send = _options(exchange, send)
        scope[_KEY] = exchange  # type: ignore[literal-required]
        scope["path"] = path
        await super().__call__(scope, exchange.receive, send)


def _with_points(send: Send) -> Send:
    """The answer between the two phases of its fault point: a kill there is one before or after the client knows."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await faults.passing("api.reply", faults.BEFORE)
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await faults.passing("api.reply", faults.AFTER)

    return sending


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that the frame has opened."""
    return cast("Exchange", scope[_KEY])  # type: ignore[literal-required]


def exact_path(scope: HTTPScope) -> str | None:
    """The decoded path, or None where it is not exactly the path of anything.

    An encoded slash must not become a separator, so ``/orders/user%2Fbob`` is not ``/orders/user/bob``.
    """
    raw = scope["raw_path"]
    if b"%" not in raw:
        path = scope["path"]
    else:
        if b"%2f" in raw.lower() or b"%00" in raw:
            return None
        try:
            path = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            return None
    if "//" in path or (path.endswith("/") and path != "/") or not path.isprintable():
        return None
    return path


def refusal_of(exchange: Exchange, error: Exception) -> Refusal:
    """What a client is told about an error; only what is no refusal is ours, and logged with its traceback."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ClientGone):
        raise error
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            return MethodNotAllowed(_allowed((error.headers or {}).get("allow", "")))
        if error.status_code == 404:
            return NotFound()
        if error.status_code < 500:
            return MalformedRequest()
    _log.error(
        "request failed",
        correlation_id=exchange.correlation_id,
        route=exchange.route,
        exc_info=error,
    )
    return InternalError()


def _allowed(header: str) -> list[str]:
    methods = {name.strip() for name in header.split(",")}
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


def _options(exchange: Exchange, send: Send) -> Send:
    """The framework answers OPTIONS by itself: add what all our answers have, and HEAD."""

    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 204:
            exchange.status = 204
            headers = dict(message["headers"])
            headers[b"allow"] = ", ".join(_allowed(headers.get(b"allow", b"").decode())).encode()
            headers[b"x-correlation-id"] = exchange.correlation_id.encode()
            message["headers"] = list(headers.items())
        await send(message)

    return stamped


async def _answer_cancelled(exchange: Exchange, send: Send) -> None:
    if exchange.status:
        return
    answer = of_refusal(exchange, ServiceUnavailable())
    exchange.late = True
    await answer(exchange.scope, exchange.receive, send)


def _tell(exchange: Exchange) -> None:
    principal = exchange.principal
    took_s = time.perf_counter() - exchange.started
    route = exchange.route or "none"
    metrics.requests(exchange.method if exchange.route else "any", route, exchange.status).inc()
    if exchange.route:
        metrics.request_seconds(exchange.method, route).observe(took_s)
    _log.info(
        "request",
        method=exchange.method,
        route=exchange.route,
        status=exchange.status,
        duration_ms=round(took_s * 1000, 3),
        correlation_id=exchange.correlation_id,
        principal=principal.name if principal is not None else None,
    )
