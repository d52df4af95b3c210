"""The application: the table of operations made into routes, within one frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Request, route
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope

from order_service.api import auth as who
from order_service.api.answers import Answer, of_refusal
from order_service.api.auth import Authenticator
from order_service.api.docs import DocRoutes
from order_service.api.exchange import BODY_TIMEOUT_S, Exchange
from order_service.api.frame import Api, exchange_of, refusal_of
from order_service.api.operations import OPERATIONS, Operation
from order_service.api.routes import OrderRoutes, Route
from order_service.api.status import StatusRoutes
from order_service.requests import Orders

Lifespan = Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]] | AbstractAsyncContextManager[None]]


def create_app(
    orders: Orders,
    *,
    auth: who.Mode = "off",
    lifespan: Lifespan = (),
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> Api:
    """The application in front of ``orders``; a body must be complete after ``body_timeout_s`` seconds."""
    status, docs = StatusRoutes(orders), DocRoutes()
    serving: dict[str, Route] = {
        **OrderRoutes(orders).routes(),
        "health": status.health,
        "livez": status.livez,
        "readyz": status.readyz,
        "metrics": status.metrics,
        "openapi": docs.openapi,
        "docs": docs.docs,
        "errorDocs": docs.error,
    }
    authenticate = who.authenticator(auth)
    app = Api(
        [_handler(operation, serving[operation.name], authenticate) for operation in OPERATIONS],
        exception_handlers={Exception: _refuse},  # type: ignore[dict-item]
        lifespan=list(lifespan),
        openapi_config=None,
        logging_config=None,
    )
    app.body_timeout_s = body_timeout_s
    return app


def _handler(operation: Operation, serve: Route, authenticate: Authenticator) -> HTTPRouteHandler:
    """A route: find out who calls, then serve. The framework's guards copy the handler for each request: 150 us."""
    scopes = operation.scopes

    async def handle(scope: Scope) -> ASGIApp:
        exchange = exchange_of(scope)
        if scopes:
            exchange.principal = await authenticate(exchange)
            who.permit(exchange.principal, scopes)
        return await serve(exchange)

    async def handle_open(scope: Scope) -> ASGIApp:
        return await serve(exchange_of(scope))

    decorate = route(
        operation.path.replace("}", ":str}"),
        http_method=operation.method,
        name=operation.name,
        opt={"template": operation.path, "scopes": scopes},
        status_code=200,
    )
    return decorate(handle if scopes else handle_open)


def _refuse(request: Request[Any, Any, Any], error: Exception) -> Answer:
    exchange: Exchange = exchange_of(request.scope)
    return of_refusal(exchange, refusal_of(exchange, error))
