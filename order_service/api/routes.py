"""The routes of the orders: read, ask the service, answer. A few lines each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from order_service.api import bodies, rules
from order_service.api.answers import JSON, Answer, of_reply
from order_service.api.exchange import Exchange
from order_service.api.query import no_query, page_query
from order_service.api.refusals import Fault, ValidationFailed
from order_service.api.router import Route
from order_service.api.strict import Reader
from order_service.core.errors import CallNotFound
from order_service.core.messages import Command, RetryCall
from order_service.problems import OrderNotFound
from order_service.requests import Orders, Principal

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_USER = re.compile(bodies.USER_ID)
_encode = msgspec.json.Encoder().encode

CREATE = Reader(bodies.CreateOrder, bodies.to_place_order, rules.of_order)
PAY = Reader(bodies.PayOrder, bodies.to_pay, rules.of_payment, empty=True)
STATUS = Reader(bodies.PutStatus, bodies.to_set_status, rules.of_status)
CANCEL = Reader(bodies.CancelOrder, bodies.to_cancel, rules.of_reason, empty=True)
REFUND = Reader(bodies.RefundBody, bodies.to_refund, rules.of_reason)
NOTE = Reader(bodies.CallNote, bodies.to_give_up, rules.of_reason, empty=True)


class OrderRoutes:
    """The operations on orders, by their names in the table of operations."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def routes(self) -> dict[str, Route]:
        """Operation name -> what serves it."""
        return {
            "placeOrder": self.place,
            "getOrder": self.get,
            "listOrders": self.of_user,
            "payOrder": self.pay,
            "putStatus": self.put_status,
            "cancelOrder": self.cancel,
            "refundOrder": self.refund,
            "getHistory": self.history,
            "retryCall": self.retry_call,
            "giveUpCall": self.give_up_call,
        }

    async def place(self, exchange: Exchange) -> Answer:
        """POST /api/v1/orders."""
        no_query(exchange)
        raw = await exchange.body()
        ask = exchange.ask(raw, if_match=False)
        return of_reply(exchange, await self._orders.place(ask, CREATE.read(raw)))

    async def get(self, exchange: Exchange) -> Answer:
        """GET .../{orderId}."""
        no_query(exchange)
        return of_reply(exchange, await self._orders.get(caller(exchange), order_id(exchange)))

    async def of_user(self, exchange: Exchange) -> Answer:
        """GET .../user/{userId}."""
        user_id = exchange.params["userId"]
        if not _USER.search(user_id):
            raise ValidationFailed([Fault("{userId}", "must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -")])
        limit, cursor, status = page_query(exchange)
        try:
            page = await self._orders.of_user(caller(exchange), user_id, limit=limit, cursor=cursor, status=status)
        except ValueError:
            raise ValidationFailed([Fault("?cursor", "is not a cursor of this list")]) from None
        body = b'{"items":[%b],"nextCursor":%b}' % (b",".join(page.items), _encode(page.next_cursor))
        return Answer(exchange, 200, JSON, body)

    async def pay(self, exchange: Exchange) -> Answer:
        """POST .../{orderId}/payment."""
        return await self._command(exchange, PAY)

    async def put_status(self, exchange: Exchange) -> Answer:
        """PUT .../{orderId}/status."""
        return await self._command(exchange, STATUS)

    async def cancel(self, exchange: Exchange) -> Answer:
        """POST .../{orderId}/cancel."""
        return await self._command(exchange, CANCEL)

    async def refund(self, exchange: Exchange) -> Answer:
        """POST .../{orderId}/refunds."""
        return await self._command(exchange, REFUND)

    async def history(self, exchange: Exchange) -> Answer:
        """GET .../{orderId}/history."""
        no_query(exchange)
        items = await self._orders.history(caller(exchange), order_id(exchange))
        return Answer(exchange, 200, JSON, _encode({"items": items}))

    async def retry_call(self, exchange: Exchange) -> Answer:
        """POST .../{orderId}/calls/{callId}/retry."""
        found = call_id(exchange)
        return await self._command(exchange, NOTE, lambda _: RetryCall(found))

    async def give_up_call(self, exchange: Exchange) -> Answer:
        """POST .../{orderId}/calls/{callId}/give-up."""
        found = call_id(exchange)
        return await self._command(exchange, NOTE, lambda message: replace(message, call_id=found))

    async def _command(
        self, exchange: Exchange, reader: Reader[Any, Any], to_command: Callable[[Command], Command] | None = None
    ) -> Answer:
        target = order_id(exchange)
        no_query(exchange)
        raw = await exchange.body(empty=reader.empty)
        ask = exchange.ask(raw)
        message = reader.read(raw)
        if to_command is not None:
            message = to_command(message)
        return of_reply(exchange, await self._orders.command(ask, target, message))


def caller(exchange: Exchange) -> Principal:
    """Who asks; only routes that are open to all do not know."""
    assert exchange.principal is not None, "the route is open, but asks who calls"
    return exchange.principal


def order_id(exchange: Exchange) -> str:
    """The order id of the path, in lower case; what is no UUID is nobody's order."""
    found = exchange.params["orderId"].lower()
    if not _UUID.fullmatch(found):
        raise OrderNotFound
    return found


def call_id(exchange: Exchange) -> str:
    """The call id of the path, after the order id was looked at."""
    order_id(exchange)
    found = exchange.params["callId"].lower()
    if not _UUID.fullmatch(found):
        raise CallNotFound
    return found
