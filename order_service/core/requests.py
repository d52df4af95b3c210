"""What an order asks of a partner, as it is stored: one struct per kind of call.

The stored bytes are the JSON of these structs, written once when the call is decided. What goes over
the wire is derived from them alone, so every repeat of a call carries the same bytes. Changing a field,
its name or its order changes the bytes of calls that are already owed: add, with a default, at the end.

Amounts are integers in the currency's minor unit.
"""

from typing import TypeAlias

import msgspec

from order_service.core.answers import CallKind


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    """A frozen value with camelCase names in JSON."""


class StockItem(_Request, frozen=True):
    """So many pieces of one product."""

    product_id: str
    quantity: int


class ReserveRequest(_Request, frozen=True):
    """Hold all these items under our reservation id, or none of them."""

    reservation_id: str
    order_id: str
    items: tuple[StockItem, ...]


class ReleaseRequest(_Request, frozen=True):
    """Give back whatever the reservation holds, and never let it hold anything again."""

    reservation_id: str
    order_id: str


class CommitRequest(_Request, frozen=True):
    """The goods of the reservation have left."""

    reservation_id: str
    order_id: str


class ClearCartRequest(_Request, frozen=True):
    """Take the ordered quantities out of the user's cart."""

    user_id: str
    order_id: str
    items: tuple[StockItem, ...]


class PaymentMethod(_Request, frozen=True):
    """The token that stands for the customer's means of payment; never logged, never in an answer."""

    token: str

    def __repr__(self) -> str:
        """Keep the token out of logs and tracebacks."""
        return "PaymentMethod(token='***')"


class ChargeRequest(_Request, frozen=True):
    """Charge the amount once, under our reference."""

    order_id: str
    reference: str
    amount: int
    currency: str
    payment_method: PaymentMethod
    capture_method: str = "automatic"


class VoidRequest(_Request, frozen=True):
    """Let the charge of this reference never happen, if it is not too late."""

    reference: str
    amount: int
    currency: str


class ReadPaymentRequest(_Request, frozen=True):
    """Ask how a payment stands: by its id where we know it, else by our reference."""

    reference: str
    payment_id: str | None
    amount: int
    currency: str


class RefundRequest(_Request, frozen=True):
    """Give back this amount of a captured payment, under the refund's own reference."""

    payment_id: str
    reference: str
    amount: int
    reason: str


class ReadRefundRequest(_Request, frozen=True):
    """Ask how the refund of this reference stands."""

    payment_id: str
    reference: str
    amount: int


class AvailabilityRequest(_Request, frozen=True):
    """Ask how much of each product can be had. Never owed, never stored."""

    items: tuple[StockItem, ...]


Request: TypeAlias = (
    ReserveRequest
    | ReleaseRequest
    | CommitRequest
    | ClearCartRequest
    | ChargeRequest
    | VoidRequest
    | ReadPaymentRequest
    | RefundRequest
    | ReadRefundRequest
)

REQUEST_TYPES: dict[CallKind, type[Request]] = {
    CallKind.RESERVE: ReserveRequest,
    CallKind.RELEASE: ReleaseRequest,
    CallKind.COMMIT: CommitRequest,
    CallKind.CLEAR_CART: ClearCartRequest,
    CallKind.CHARGE: ChargeRequest,
    CallKind.VOID: VoidRequest,
    CallKind.READ_PAYMENT: ReadPaymentRequest,
    CallKind.CHECK_PAYMENT: ReadPaymentRequest,
    CallKind.LATE_CHECK: ReadPaymentRequest,
    CallKind.REFUND: RefundRequest,
    CallKind.READ_REFUND: ReadRefundRequest,
}

_KINDS: dict[type[Request], CallKind] = {REQUEST_TYPES[kind]: kind for kind in reversed(REQUEST_TYPES)}
_DECODERS = {kind: msgspec.json.Decoder(request) for kind, request in REQUEST_TYPES.items()}
_ENCODER = msgspec.json.Encoder()


def kind_of(request: Request) -> CallKind:
    """Name the kind of call that this request makes, the first of REQUEST_TYPES if several do."""
    return _KINDS[type(request)]


def encode_request(request: Request | AvailabilityRequest) -> bytes:
    """Write a request as the bytes to store; equal requests give equal bytes."""
    return _ENCODER.encode(request)


def decode_request(kind: CallKind, stored: bytes) -> Request:
    """Read stored bytes back; a msgspec.DecodeError says that the row is not of this kind."""
    return _DECODERS[kind].decode(stored)
