"""The frame around every request: exact paths, HEAD, problem documents for whatever goes wrong, one log line."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import unquote_to_bytes

import structlog

from order_service import faults, metrics
from order_service.api.answers import Answer, of_options, of_refusal
from order_service.api.auth import Authenticator, permit
from order_service.api.cycle import ClientGone, Cycle
from order_service.api.exchange import BODY_TIMEOUT_S, Exchange
from order_service.api.refusals import InternalError, MethodNotAllowed, NotFound
from order_service.api.router import Router, allowed
from order_service.core.errors import Refusal
from order_service.problems import ServiceUnavailable

CLIENT_GONE = 499
"""Logged, never sent: the client hung up before it had asked."""

_log = structlog.get_logger("order_service.api")


class Api:
    """The application: finds the route and who calls, lets the route answer, sends the answer."""

    def __init__(self, router: Router, authenticate: Authenticator, *, body_timeout_s: float = BODY_TIMEOUT_S) -> None:
        self.router = router
        self._authenticate = authenticate
        self._body_timeout_s = body_timeout_s

    async def serve(self, cycle: Cycle) -> None:
        """See one request through to its answer."""
        exchange = Exchange(cycle, self._body_timeout_s)
        try:
            if faults.hook is not None:
                await faults.passing("api.request", faults.BEFORE)
            await _send(exchange, await self._answer(exchange))
        except ClientGone:
            exchange.status = CLIENT_GONE
        except asyncio.CancelledError:
            # Only a shutdown that has waited long enough cancels a request.
            await _answer_cancelled(exchange)
        except Exception as error:
            _log.error("answer lost", correlation_id=exchange.correlation_id, route=exchange.route, exc_info=error)
            cycle.abort()
        finally:
            if cycle.leave is not None:
                cycle.leave()
            _tell(exchange)

    async def _answer(self, exchange: Exchange) -> Answer:
        try:
            path = exchange.path = exact_path(exchange.path)
            endpoints, params = self.router.find(path)
            if not endpoints:
                raise NotFound
            method = exchange.method
            endpoint = endpoints.get("GET" if method == "HEAD" else method)
            if endpoint is None:
                if method == "OPTIONS":
                    return of_options(exchange, allowed(endpoints))
                raise MethodNotAllowed(allowed(endpoints))
            operation = exchange.operation = endpoint.operation
            exchange.params = params
            if operation.scopes:
                exchange.principal = await self._authenticate(exchange)
                permit(exchange.principal, operation.scopes)
            return await endpoint.serve(exchange)
        except ClientGone:
            raise
        except Exception as error:
            return of_refusal(exchange, _refusal_of(exchange, error))


def exact_path(raw: str) -> str:
    """The decoded path; raises ``NotFound`` where it is not exactly the path of anything.

    An encoded slash must not become a separator, so ``/orders/user%2Fbob`` is not ``/orders/user/bob``.
    """
    path = raw
    if "%" in raw:
        if "%2f" in raw.lower() or "%00" in raw:
            raise NotFound
        try:
            path = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            raise NotFound from None
    if "//" in path or (path.endswith("/") and path != "/") or not path.isprintable():
        raise NotFound
    return path


def _refusal_of(exchange: Exchange, error: Exception) -> Refusal:
    """What a client is told about an error; only what is no refusal is ours, and logged with its traceback."""
    if isinstance(error, Refusal):
        return error
    _log.error(
        "request failed",
        correlation_id=exchange.correlation_id,
        route=exchange.route,
        exc_info=error,
    )
    return InternalError()


async def _send(exchange: Exchange, answer: Answer) -> None:
    """Send it; who was refused before all was read is let finish, or told that this was the last answer."""
    cycle = exchange.cycle
    if answer.early and not await exchange.discard():
        cycle.keep_alive = False
    exchange.status = answer.status
    if faults.hook is not None:
        # A kill between these two is one before or after the client knows.
        await faults.passing("api.reply", faults.BEFORE)
    await cycle.answer(answer.status, answer.fields, answer.body)
    if faults.hook is not None:
        await faults.passing("api.reply", faults.AFTER)


async def _answer_cancelled(exchange: Exchange) -> None:
    if exchange.status:
        return
    exchange.late = True
    await _send(exchange, of_refusal(exchange, ServiceUnavailable()))


def _tell(exchange: Exchange) -> None:
    principal = exchange.principal
    took_s = time.perf_counter() - exchange.started
    route = exchange.route
    metrics.requests(exchange.method if route else "any", route or "none", exchange.status).inc()
    if route:
        metrics.request_seconds(exchange.method, route).observe(took_s)
    _log.info(
        "request",
        method=exchange.method,
        route=route,
        status=exchange.status,
        duration_ms=round(took_s * 1000, 3),
        correlation_id=exchange.correlation_id,
        principal=principal.name if principal is not None else None,
    )
