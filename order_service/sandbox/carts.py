"""The sandbox's Cart: what users have put in, and what orders took out."""

import msgspec

from order_service.sandbox.contract import Cart, CartItem, ClearCart, summed
from order_service.sandbox.journal import CartSet, CartTaken, Change, Effect
from order_service.sandbox.outcome import Outcome


class Carts:
    """State and rules of the carts. A user nobody filled a cart for has an empty one."""

    def __init__(self) -> None:
        self._carts: dict[str, Cart] = {}

    def view(self, user_id: str) -> Outcome:
        """Tell what is in the cart."""
        cart = msgspec.to_builtins(self._carts.get(user_id, Cart()))
        return Outcome(200, {"userId": user_id, **cart})

    def clear(self, user_id: str, body: ClearCart, key: str) -> Outcome:
        """Take the ordered quantities out, as far as they are in."""
        return Outcome(
            200,
            {"userId": user_id, "orderId": body.order_id},
            CartTaken(user_id, body.items),
            Effect("clear_cart", key, body.order_id, items=body.items),
        )

    def apply(self, change: Change) -> None:
        """Take one step; changes of other partners are passed over."""
        match change:
            case CartSet(user_id, cart):
                self._carts[user_id] = cart
            case CartTaken(user_id, items) if user_id in self._carts:
                self._carts[user_id] = _without(self._carts[user_id], summed(items))


def _without(cart: Cart, taken: dict[str, int]) -> Cart:
    left: list[CartItem] = []
    for item in cart.items:
        out = min(item.quantity, taken.get(item.product_id, 0))
        taken[item.product_id] = taken.get(item.product_id, 0) - out
        if item.quantity > out:
            left.append(msgspec.structs.replace(item, quantity=item.quantity - out))
    if not left:
        return Cart(currency=cart.currency)
    return msgspec.structs.replace(cart, items=tuple(left))
