"""What a customer may order: what its cart holds, at the cart's prices.

Shops' own backends set prices themselves; a customer sets none. The cart knows no cost of shipping, so a customer's
order has none: a shop that charges for shipping places its orders by its backend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from order_service.core.answers import CartAbsent, CartContents, CartLine
from order_service.core.messages import PlaceOrder
from order_service.core.model import Line


def changed(order: PlaceOrder, cart: CartContents | CartAbsent) -> list[str]:
    """The members of the order about which the cart says otherwise; none: the customer may place it."""
    if isinstance(cart, CartAbsent):
        return ["items"]
    same = {
        "currency": order.currency == cart.currency,
        "items": _pieces(order.items) == _pieces(cart.items),
        "tax": order.tax == cart.tax,
        "discount": order.discount == cart.discount,
        "shippingCost": order.shipping_cost == 0,
    }
    return [name for name, is_same in same.items() if not is_same]


def _pieces(lines: Iterable[Line | CartLine]) -> Counter[tuple[str, int]]:
    """How many pieces of each product at each price, however they are split into lines."""
    pieces: Counter[tuple[str, int]] = Counter()
    for line in lines:
        pieces[line.product_id, line.unit_price] += line.quantity
    return pieces
