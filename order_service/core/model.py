"""The values the rules speak of: an order and its parts, all frozen.

``Order`` is at once the aggregate, the snapshot of a version in the log and (with the contacts beside it) the
answer of the API: one shape, encoded once. Amounts are integers in the currency's minor unit (ISO 4217), times are
aware datetimes in UTC. Personal data and payment tokens are not part of it: they travel in ``State``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from order_service.core.answers import CallKind, Shortage
from order_service.core.lifecycle import PaymentFacet, Status, Stock

MAX_AMOUNT = 2**53 - 1
"""The largest amount in minor units: what every JSON reader can hold exactly (RFC 8259, section 6)."""


class Line(Struct, frozen=True, rename="camel"):
    """One line of an order. ``line`` counts from 1; ``unit_price`` and ``total`` are minor units."""

    line: int
    product_id: str
    name: str
    quantity: int
    unit_price: int
    total: int
    sku: str | None = None


class Address(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A postal address; ``country`` is ISO 3166-1 alpha-2."""

    name: str
    line1: str
    city: str
    postal_code: str
    country: str
    line2: str | None = None
    region: str | None = None
    phone: str | None = None
    email: str | None = None


class Contacts(Struct, frozen=True, rename="camel"):
    """All personal data of an order, kept apart from it so that it can be erased."""

    shipping_address: Address
    billing_address: Address | None = None
    notes: str | None = None


class ReservationStatus(StrEnum):
    """A reservation's own state; a reservation that is ``refused`` or ``released`` never lives again."""

    RESERVING = "reserving"
    RESERVED = "reserved"
    REFUSED = "refused"
    RELEASING = "releasing"
    RELEASED = "released"
    COMMITTING = "committing"
    COMMITTED = "committed"


class Reservation(Struct, frozen=True, rename="camel"):
    """One hold asked of the inventory, under an id of its own so that a late release frees no newer hold."""

    reservation_id: str
    status: ReservationStatus
    shortages: tuple[Shortage, ...] = ()


class AttemptStatus(StrEnum):
    """A payment attempt's own state; see ``OPEN_ATTEMPT`` and ``FINAL_ATTEMPT``."""

    WAITING_STOCK = "waiting_stock"
    PENDING = "pending"
    UNKNOWN = "unknown"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_CAPTURE = "requires_capture"
    VOIDING = "voiding"
    VOID_UNKNOWN = "void_unknown"
    CAPTURED = "captured"
    DECLINED = "declined"
    VOIDED = "voided"
    CLOSED = "closed"


OPEN_ATTEMPT = frozenset(
    {
        AttemptStatus.PENDING,
        AttemptStatus.UNKNOWN,
        AttemptStatus.PROCESSING,
        AttemptStatus.REQUIRES_ACTION,
        AttemptStatus.REQUIRES_CAPTURE,
        AttemptStatus.VOIDING,
        AttemptStatus.VOID_UNKNOWN,
    }
)
"""The charge may still take money, or has and we do not know it."""

UNDER_VOID = frozenset({AttemptStatus.VOIDING, AttemptStatus.VOID_UNKNOWN})


class Attempt(Struct, frozen=True, rename="camel"):
    """One click on "pay". ``reference`` names it at the payment service and is the key of its charge.

    ``rechecked``: it was read once more before the next charge. ``surplus``: minor units that the payment service
    captured although the attempt was closed; they are returned in full and count in no sum of the order.
    ``CLOSED`` attempts were never sent.
    """

    attempt: int
    reference: str
    status: AttemptStatus
    amount: int
    at: datetime
    deadline_at: datetime
    payment_id: str | None = None
    decline_code: str | None = None
    rechecked: bool = False
    surplus: int = 0


class RefundStatus(StrEnum):
    """A refund's own state. ``SETTLED_OUTSIDE``: given up here, settled by people, counted in the bound for ever."""

    REQUESTED = "requested"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ACKNOWLEDGED = "acknowledged"
    SETTLED_OUTSIDE = "settled_outside"


REFUND_IN_FLIGHT = frozenset({RefundStatus.REQUESTED, RefundStatus.PENDING})


class Refund(Struct, frozen=True, rename="camel"):
    """Money on its way back: a row with a key of its own. ``surplus`` returns what a closed attempt captured."""

    refund: int
    reference: str
    attempt: int
    amount: int
    reason: str
    status: RefundStatus
    at: datetime
    call_id: str
    refund_id: str | None = None
    surplus: bool = False
    note: str | None = None


class Payment(Struct, frozen=True, rename="camel"):
    """The money side of an order; ``captured`` and ``refunded`` leave surplus captures out."""

    status: PaymentFacet = PaymentFacet.NONE
    captured: int = 0
    refunded: int = 0
    attempts: tuple[Attempt, ...] = ()


class Shipment(Struct, frozen=True, rename="camel"):
    """Who carries the goods, and where to follow them."""

    carrier: str
    tracking_number: str
    url: str | None = None


class Cancellation(Struct, frozen=True, rename="camel"):
    """Why and when an order was cancelled; ``code`` is requested, expired, out-of-stock or given-up.

    ``open_attempt`` is the attempt that was overtaken: neither paid nor refused by then.
    """

    code: str
    at: datetime
    reason: str | None = None
    open_attempt: int | None = None


class Attention(Struct, frozen=True, rename="camel"):
    """A person is needed: what for, since when, and the call to retry or to give up."""

    code: str
    since: datetime
    call_id: str


class Order(Struct, frozen=True, rename="camel"):
    """An order as every reader sees it, less personal data. ``version`` rises by one with every visible change."""

    id: str
    order_number: str
    user_id: str
    status: Status
    stock: Stock
    payment: Payment
    currency: str
    items: tuple[Line, ...]
    subtotal: int
    shipping_cost: int
    tax: int
    discount: int
    total: int
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    reservations: tuple[Reservation, ...]
    refunds: tuple[Refund, ...] = ()
    shipment: Shipment | None = None
    attention: Attention | None = None
    cancellation: Cancellation | None = None
    hold_until: datetime | None = None
    metadata: dict[str, str] = {}
    event_sequence: int = 0

    @property
    def public(self) -> bool:
        """Whether consumers have heard of the order: nothing is announced before ``order.created``."""
        return self.event_sequence > 0

    @property
    def newest_attempt(self) -> Attempt | None:
        """The attempt of the last click on "pay", if there was one."""
        return self.payment.attempts[-1] if self.payment.attempts else None

    @property
    def newest_reservation(self) -> Reservation:
        """The reservation that the stock facet tells of."""
        return self.reservations[-1]

    def refunds_of_order(self) -> Iterator[Refund]:
        """The refunds of the order's own money, surplus captures left out."""
        return (r for r in self.refunds if not r.surplus)

    @property
    def refund_in_flight(self) -> int:
        """Minor units under way back to the customer."""
        if not self.refunds:
            return 0
        return sum(r.amount for r in self.refunds_of_order() if r.status in REFUND_IN_FLIGHT)

    @property
    def settled_outside(self) -> int:
        """Minor units that people settled outside; they can never be refunded here again."""
        if not self.refunds:
            return 0
        return sum(r.amount for r in self.refunds_of_order() if r.status is RefundStatus.SETTLED_OUTSIDE)

    @property
    def surplus_back(self) -> int:
        """Minor units of surplus captures that are back, under way, or settled outside."""
        if not self.refunds:
            return 0
        counted = (*REFUND_IN_FLIGHT, RefundStatus.SUCCEEDED, RefundStatus.SETTLED_OUTSIDE)
        return sum(r.amount for r in self.refunds if r.surplus and r.status in counted)

    @property
    def refundable(self) -> int:
        """Minor units that may still be refunded."""
        if not self.refunds:
            return self.payment.captured - self.payment.refunded
        return self.payment.captured - self.payment.refunded - self.refund_in_flight - self.settled_outside


class OpenCall(Struct, frozen=True, rename="camel"):
    """A call that is owed to a partner; ``parked`` is the code of what stopped it, and ``since`` when.

    ``subject`` is the reservation id or the payment or refund reference that the call is about.
    """

    call_id: str
    kind: CallKind
    subject: str
    parked: str | None = None
    since: datetime | None = None


class State(Struct, frozen=True):
    """All that the rules may look at: the order, the calls it still owes, and the payment tokens.

    ``token`` is the order's own payment method, ``attempt_token`` that of its newest attempt.
    """

    order: Order
    calls: tuple[OpenCall, ...] = ()
    token: str | None = None
    attempt_token: str | None = None


KEY_SAFE_PART = 0.8
"""Of its life, a partner's key may be sent for so long: clocks differ, and the last send has to arrive."""


class Policy(Struct, frozen=True):
    """The operator's choices, in seconds."""

    unpaid_ttl_s: float = 1800
    attempt_deadline_s: float = 900
    retry_hold_s: float = 0
