"""The application: the table of operations made into routes, within one frame."""

from __future__ import annotations

from order_service.api import auth as who
from order_service.api.docs import DocRoutes
from order_service.api.exchange import BODY_TIMEOUT_S
from order_service.api.frame import Api
from order_service.api.operations import OPERATIONS
from order_service.api.router import Route, Router
from order_service.api.routes import OrderRoutes
from order_service.api.status import StatusRoutes
from order_service.requests import Orders


def create_app(orders: Orders, *, auth: who.Mode = "off", body_timeout_s: float = BODY_TIMEOUT_S) -> Api:
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
    router = Router()
    for operation in OPERATIONS:
        router.add(operation, serving[operation.name])
    return Api(router, who.authenticator(auth), body_timeout_s=body_timeout_s)
