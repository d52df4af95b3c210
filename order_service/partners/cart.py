"""Cart over HTTP."""

import msgspec

from order_service.core.answers import (
    CartAbsent,
    CartCleared,
    CartContents,
    CartLine,
    ClearCartAnswer,
    Lied,
    Unanswered,
)
from order_service.core.requests import ClearCartRequest, StockItem
from order_service.partners.ports import CartAnswer
from order_service.partners.reading import Amount, Body, Id, PositiveAmount, Reader
from order_service.partners.wire import Reply, Wire, segment

BASE = "/api/v1/carts"


class _Line(Body, frozen=True):
    product_id: Id
    quantity: PositiveAmount
    unit_price: Amount


class _CartBody(Body, frozen=True):
    user_id: str
    currency: Id
    items: tuple[_Line, ...]
    tax: Amount
    discount: Amount


class _ClearBody(Body, frozen=True):
    order_id: str
    items: tuple[StockItem, ...]


_CART = Reader(_CartBody)


class HttpCart:
    """The Cart port over one Wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def get(self, user_id: str, *, deadline_s: float, correlation_id: str = "") -> CartAnswer:
        """Ask what is in the cart: 200, or 404 and 410 if there is none."""
        reply = await self._wire.get(
            "get", f"{BASE}/{segment(user_id)}", deadline_s=deadline_s, correlation_id=correlation_id
        )
        if isinstance(reply, Unanswered):
            return reply
        if reply.status in (404, 410):
            return CartAbsent()
        return _contents(user_id, reply) if reply.status == 200 else reply.undecided()

    async def clear(
        self, request: ClearCartRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> ClearCartAnswer:
        """Take the ordered quantities out: 200 is done, 404 and 410 leave nothing to do."""
        reply = await self._wire.post(
            "clear",
            f"{BASE}/{segment(request.user_id)}/clear",
            msgspec.json.encode(_ClearBody(request.order_id, request.items)),
            key,
            deadline_s=deadline_s,
            correlation_id=correlation_id,
        )
        if isinstance(reply, Unanswered):
            return reply
        return CartCleared() if reply.status in (200, 404, 410) else reply.undecided()


def _contents(user_id: str, reply: Reply) -> CartAnswer:
    body = _CART.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    if body.user_id != user_id:
        return Lied("another user's cart than asked")
    lines = tuple(CartLine(line.product_id, line.quantity, line.unit_price) for line in body.items)
    return CartContents(body.currency, lines, body.tax, body.discount)
