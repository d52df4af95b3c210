"""What a partner's answer to one owed call can mean: the whole vocabulary the rules know.

An adapter turns every HTTP exchange, however it went, into exactly one of these values:

| value | meaning | what the caller may do |
|---|---|---|
| a result (`Reserved`, `PaymentState`, ...) | definite, checked against what was asked | decide |
| `PaymentUnknown`, `RefundUnknown` | definite: a read that found nothing | decide |
| `Unanswered` | nothing is known, the effect may or may not have happened | same key, same bytes, again |
| `KeyTooOld` | not sent: the same key and bytes might have a second effect by now | look it up |
| `Refused` | our set-up is wrong; says nothing about the money or the goods | park at once |
| `Lied` | looked definite, but is not about what was asked | park at once |

Amounts are integers in the currency's minor unit.
"""

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

MAX_AMOUNT = 2**53 - 1
"""Largest amount or quantity believed: what a JSON number carries without loss."""

PaymentStatus: TypeAlias = Literal[
    "succeeded", "processing", "requires_action", "requires_capture", "declined", "voided"
]
RefundStatus: TypeAlias = Literal["succeeded", "pending", "failed"]


class CallKind(StrEnum):
    """Every call an order can owe to a partner."""

    RESERVE = "reserve"
    RELEASE = "release"
    COMMIT = "commit"
    CLEAR_CART = "clear_cart"
    CHARGE = "charge"
    VOID = "void"
    READ_PAYMENT = "read_payment"
    CHECK_PAYMENT = "check_payment"
    """Reads a closed payment once more before the next charge."""
    LATE_CHECK = "late_check"
    """Reads a closed payment once more a day after it closed."""
    REFUND = "refund"
    READ_REFUND = "read_refund"


class _Answer(msgspec.Struct, frozen=True, tag=True, tag_field="answer"):
    """A frozen value; tagged, so that a stored answer can be read back as the union `Answer`."""


class Shortage(msgspec.Struct, frozen=True, rename="camel"):
    """One product of which less is available than asked; `available` is never below 0."""

    product_id: str
    requested: int
    available: int


class Reserved(_Answer, frozen=True):
    """All items are held under our reservation id."""


class ReserveRefused(_Answer, frozen=True):
    """Nothing is held. Empty `shortages`: the reservation had been released before."""

    shortages: tuple[Shortage, ...] = ()


class Released(_Answer, frozen=True):
    """Nothing is held under the reservation id, and nothing ever will be."""


class StockCommitted(_Answer, frozen=True):
    """The reserved goods are booked as gone."""


class StockNotHeld(_Answer, frozen=True):
    """A commit found no live hold under the reservation id."""


class CartCleared(_Answer, frozen=True):
    """The ordered quantities are out of the cart, or there is no such cart (404, 410)."""


class RefundState(_Answer, frozen=True):
    """How one refund stands. `refund_id` is None only where the partner refused to start it (409)."""

    reference: str
    refund_id: str | None
    amount: int
    status: RefundStatus


class PaymentState(_Answer, frozen=True):
    """How one payment stands, after a charge, a void or a read.

    `amount` is always the amount that was asked for: an answer with another one is `Lied`. Nothing is
    captured unless `status` is `succeeded`. `refunds` is filled by a read by payment id only.
    """

    status: PaymentStatus
    payment_id: str | None
    decline_code: str | None
    amount: int
    refunds: tuple[RefundState, ...] = ()


class PaymentUnknown(_Answer, frozen=True):
    """A read found no payment: by reference an empty list, by id 404."""


class RefundUnknown(_Answer, frozen=True):
    """A read found no such payment, or the payment without a refund of this reference."""


class Unanswered(_Answer, frozen=True):
    """Nothing definite: no answer, an unreadable one, or a status that settles nothing.

    `reason` is short, ours, and safe to store and log. `retry_after_s` is the partner's wish in seconds. Not `sent`:
    the partner was not asked at all, so nothing can have happened there.
    """

    reason: str
    retry_after_s: float | None = None
    sent: bool = True


class KeyTooOld(_Answer, frozen=True):
    """The call was not sent: the partner may have forgotten its key, and would do the same thing twice."""


class Refused(_Answer, frozen=True):
    """The partner rejects the call itself, with HTTP `status`; `detail` is safe to store and log."""

    status: int
    detail: str


class Lied(_Answer, frozen=True):
    """An answer that looks definite and must not be believed; `detail` says what is wrong with it."""

    detail: str


class CartLine(msgspec.Struct, frozen=True, rename="camel"):
    """One product in a user's cart, with the price of a single piece."""

    product_id: str
    quantity: int
    unit_price: int


class CartContents(_Answer, frozen=True):
    """What a user's cart holds; a question of the moment, never an owed call."""

    currency: str
    items: tuple[CartLine, ...]
    tax: int
    discount: int


class CartAbsent(_Answer, frozen=True):
    """The user has no cart (404, 410)."""


class HeldItem(msgspec.Struct, frozen=True, rename="camel"):
    """So many pieces of one product under a reservation."""

    product_id: str
    quantity: int


class ReservationState(_Answer, frozen=True):
    """How a reservation stands at the partner; a question of the moment, never an owed call."""

    state: Literal["reserved", "released", "committed"]
    items: tuple[HeldItem, ...]


class ReservationAbsent(_Answer, frozen=True):
    """The partner knows no such reservation (404)."""


ReserveAnswer: TypeAlias = Reserved | ReserveRefused | Unanswered | Refused | Lied
ReleaseAnswer: TypeAlias = Released | Unanswered
CommitAnswer: TypeAlias = StockCommitted | StockNotHeld | Unanswered
ClearCartAnswer: TypeAlias = CartCleared | Unanswered
ChargeAnswer: TypeAlias = PaymentState | Unanswered | Refused | Lied
VoidAnswer: TypeAlias = PaymentState | Unanswered | Lied
ReadPaymentAnswer: TypeAlias = PaymentState | PaymentUnknown | Unanswered | Lied
RefundAnswer: TypeAlias = RefundState | Unanswered | Refused | Lied
ReadRefundAnswer: TypeAlias = RefundState | RefundUnknown | Unanswered | Lied

Answer: TypeAlias = (
    Reserved
    | ReserveRefused
    | Released
    | StockCommitted
    | StockNotHeld
    | CartCleared
    | PaymentState
    | PaymentUnknown
    | RefundState
    | RefundUnknown
    | Unanswered
    | KeyTooOld
    | Refused
    | Lied
)
