"""The table of all operations: what is served, to whom, with which bodies and answers.

Routes are made from it and the published API description is made from it, so neither can forget the other.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from order_service.api import bodies
from order_service.api.auth import ANYONE, OPEN, SHOP, STAFF, Scopes

ORDERS = "/api/v1/orders"
ORDER = f"{ORDERS}/{{orderId}}"
CALL = f"{ORDER}/calls/{{callId}}"

Method = Literal["GET", "POST", "PUT"]
Reply = Literal["Order", "OrderList", "History", "Health", "Alive", "OpenApi", "Html", "Text"]

EDGE = ("malformed-request", "not-found", "method-not-allowed", "headers-too-large", "internal-error")
"""Problems that any request may meet."""
_CALLER = ("unauthorized", "missing-scope")
_READ = ("service-unavailable", "validation-failed", *_CALLER)
_BODY = ("malformed-json", "request-timeout", "body-too-large", "unsupported-media-type", "validation-failed")
_KEY = ("invalid-idempotency-key", "idempotency-key-reused", "request-in-flight")
_WRITE = (*_BODY, *_KEY, "service-unavailable", "conflict", *_CALLER)
_CHANGE = (*_WRITE, "order-not-found", "invalid-if-match", "stale-version")


class Operation(NamedTuple):
    """One operation; ``success`` maps a status to what it says, ``problems`` lists the codes beside ``EDGE``."""

    name: str
    method: Method
    path: str
    summary: str
    reply: Reply
    success: dict[int, str]
    description: str = ""
    problems: tuple[str, ...] = ()
    scopes: Scopes = OPEN
    body: type[msgspec.Struct] | None = None
    body_required: bool = True
    tag: str = "orders"


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "placeOrder",
        "POST",
        ORDERS,
        "Place an order",
        "Order",
        {201: "The order; its stock is reserved.", 202: "The order; its stock is still being reserved."},
        "Availability is asked first; if goods are missing, nothing is written. The stock is then reserved for the "
        "order, and the ordered goods are taken out of the cart. A customer orders for its own user only, and exactly "
        "what its cart holds: items, prices, tax, discount and currency, without shippingCost.",
        ("cart-changed", "cart-unavailable", "out-of-stock", "inventory-unavailable", *_WRITE),
        ANYONE,
        bodies.CreateOrder,
    ),
    Operation(
        "getOrder",
        "GET",
        ORDER,
        "Read an order",
        "Order",
        {200: "The order as it is now."},
        problems=("order-not-found", *_READ),
        scopes=ANYONE,
    ),
    Operation(
        "listOrders",
        "GET",
        f"{ORDERS}/user/{{userId}}",
        "List the orders of a user",
        "OrderList",
        {200: "A page of orders, newest first."},
        problems=("order-not-found", *_READ),
        scopes=ANYONE,
    ),
    Operation(
        "payOrder",
        "POST",
        f"{ORDER}/payment",
        "Pay an order",
        "Order",
        {200: "Paid: the order is confirmed.", 202: "The payment has no final answer yet."},
        "Without a body, or without a payment method in it, the order's own is charged; an order that has none needs "
        "one here, else the answer is 422. Paying a confirmed order again changes nothing.",
        (
            "payment-declined",
            "payment-in-progress",
            "stock-not-reserved",
            "out-of-stock",
            "not-payable",
            *_CHANGE,
        ),
        ANYONE,
        bodies.PayOrder,
        body_required=False,
    ),
    Operation(
        "putStatus",
        "PUT",
        f"{ORDER}/status",
        "Move an order on",
        "Order",
        {200: "The order has the status.", 202: "A refund has to finish first."},
        "For staff and carriers. Asking for the status that the order has already changes nothing.",
        ("unlawful-move", "not-cancellable", "refund-exceeds-captured", *_CHANGE),
        SHOP,
        bodies.PutStatus,
    ),
    Operation(
        "cancelOrder",
        "POST",
        f"{ORDER}/cancel",
        "Cancel an order",
        "Order",
        {200: "The order is cancelled; what was paid goes back."},
        "Possible until the goods have left. Cancelling again changes nothing.",
        ("not-cancellable", *_CHANGE),
        ANYONE,
        bodies.CancelOrder,
        body_required=False,
    ),
    Operation(
        "refundOrder",
        "POST",
        f"{ORDER}/refunds",
        "Refund an order, in part or whole",
        "Order",
        {201: "The money is on its way back.", 202: "The refund has no final answer yet."},
        problems=("refund-exceeds-captured", "cancel-instead", *_CHANGE),
        scopes=SHOP,
        body=bodies.RefundBody,
    ),
    Operation(
        "getHistory",
        "GET",
        f"{ORDER}/history",
        "Read the changes of an order's status",
        "History",
        {200: "Every change of status, oldest first."},
        problems=("order-not-found", *_READ),
        scopes=ANYONE,
    ),
    Operation(
        "retryCall",
        "POST",
        f"{CALL}/retry",
        "Send a parked call again",
        "Order",
        {202: "The call is sent again, with its own key; a failed refund is followed by a new one."},
        problems=("call-not-found", "call-not-parked", "not-possible", *_CHANGE),
        scopes=SHOP,
        body=bodies.CallNote,
        body_required=False,
    ),
    Operation(
        "giveUpCall",
        "POST",
        f"{CALL}/give-up",
        "End a parked call by hand",
        "Order",
        {200: "The call is ended, and what follows from that is under way."},
        "A refund can be given up only with a note on how the money was settled.",
        ("call-not-found", "call-not-parked", "not-possible", *_CHANGE),
        SHOP,
        bodies.CallNote,
        body_required=False,
    ),
    Operation(
        "health",
        "GET",
        "/health",
        "How the service and what it depends on are",
        "Health",
        {200: "It works; `degraded` while something other than the database is away."},
        problems=("unhealthy",),
        tag="operations",
    ),
    Operation("livez", "GET", "/livez", "Whether the process lives", "Alive", {200: "It does."}, tag="operations"),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        "Whether new requests are welcome",
        "Alive",
        {200: "They are."},
        problems=("not-ready",),
        tag="operations",
    ),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        "Counters and gauges for Prometheus",
        "Text",
        {200: "The exposition text."},
        tag="operations",
    ),
    Operation(
        "openapi", "GET", "/openapi.json", "This description", "OpenApi", {200: "OpenAPI 3.1."}, tag="documentation"
    ),
    Operation("docs", "GET", "/docs", "The API for people", "Html", {200: "A page."}, tag="documentation"),
    Operation(
        "errorDocs",
        "GET",
        "/docs/errors/{code}",
        "What a problem code means, and what to do",
        "Html",
        {200: "A page; the `type` of every problem document leads to one."},
        tag="documentation",
    ),
)

BY_NAME = {operation.name: operation for operation in OPERATIONS}

assert len(BY_NAME) == len(OPERATIONS), "operations have names of their own"
assert STAFF < SHOP < ANYONE, "staff may do whatever anybody may"
