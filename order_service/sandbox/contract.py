"""What the sandbox partners read: the bodies of the published contracts, decoded strictly.

Written from the contracts alone and not shared with the service's own adapters, so that a slip on one
side is a failing test and not a shared belief. Amounts are integers in the currency's minor unit.
"""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

MOST_RESERVES = 50
"""In one request."""

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Quantity = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Amount = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    """A JSON object with camelCase names; unknown members are ignored."""


class Item(_Body, frozen=True):
    """So many pieces of one product."""

    product_id: Name
    quantity: Quantity


class AskAvailability(_Body, frozen=True):
    """POST /api/v1/inventory/availability."""

    items: Annotated[tuple[Item, ...], Meta(min_length=1)]


class Reserve(_Body, frozen=True):
    """POST /api/v1/inventory/reservations."""

    reservation_id: Name
    order_id: Name
    items: Annotated[tuple[Item, ...], Meta(min_length=1)]


class Keyed(_Body, frozen=True):
    """One reserve among others: with the key that it would have by itself, and the same bytes."""

    idempotency_key: Annotated[str, Meta(pattern=r"^[!-~]{1,255}\Z")]
    reservation: msgspec.Raw


class ReserveMany(_Body, frozen=True):
    """POST /api/v1/inventory/reservations/bulk."""

    reservations: Annotated[tuple[Keyed, ...], Meta(min_length=1, max_length=MOST_RESERVES)]


class EndReservation(_Body, frozen=True):
    """POST .../release and .../commit: the order is told for the ledger's sake only."""

    order_id: Name | None = None


class CartItem(_Body, frozen=True):
    """One product in a cart, with the price of a single piece."""

    product_id: Name
    quantity: Quantity
    unit_price: Amount


class Cart(_Body, frozen=True):
    """PUT /sandbox/carts/{userId}, and what a GET answers."""

    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] = "EUR"
    items: tuple[CartItem, ...] = ()
    tax: Amount = 0
    discount: Amount = 0


class ClearCart(_Body, frozen=True):
    """POST /api/v1/carts/{userId}/clear."""

    order_id: Name
    items: tuple[Item, ...]


class Method(_Body, frozen=True):
    """The means of payment; the sandbox reads its wishes from the token."""

    token: Name


class Charge(_Body, frozen=True):
    """POST /api/v1/payments."""

    order_id: Name
    reference: Name
    amount: Amount
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
    payment_method: Method
    capture_method: str


class Void(_Body, frozen=True):
    """POST /api/v1/payments/void."""

    reference: Name


class Refund(_Body, frozen=True):
    """POST /api/v1/payments/{paymentId}/refunds."""

    reference: Name
    amount: Quantity
    reason: str


class StockLevel(_Body, frozen=True):
    """PUT /sandbox/stock/{productId}: pieces on hand, what is held or gone included."""

    quantity: Amount


class Malformed(Exception):
    """The body is not of the contract; `status` is 400 for no JSON, 422 for JSON of another shape."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def read(body: bytes, shape: type[T]) -> T:
    """Decode a body or raise Malformed. An empty body counts as an empty object."""
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as fault:
        raise Malformed(422, str(fault)) from fault
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Malformed(400, "the body is not readable JSON") from fault


def summed(items: tuple[Item, ...]) -> dict[str, int]:
    """Add up the quantities per product: the same product may stand on two lines."""
    need: dict[str, int] = {}
    for item in items:
        need[item.product_id] = need.get(item.product_id, 0) + item.quantity
    return need
