"""All that comes in (commands, partner answers, the tick of a timer) and all that goes out (a ``Decision``)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from order_service.core.answers import Answer, CallKind
from order_service.core.lifecycle import Status
from order_service.core.model import Contacts, Line, Shipment, State

# --- what comes in -------------------------------------------------------------------------------------------------


class PlaceOrder(Struct, frozen=True):
    """Create the order ``order_id``. Amounts in minor units; ``token`` is the payment method, if it is known yet."""

    order_id: str
    order_number: str
    user_id: str
    currency: str
    items: tuple[Line, ...]
    contacts: Contacts
    shipping_cost: int = 0
    tax: int = 0
    discount: int = 0
    token: str | None = None
    metadata: dict[str, str] = {}


class Pay(Struct, frozen=True):
    """The customer clicked "pay"; without a token the order's own payment method is charged."""

    token: str | None = None


class Cancel(Struct, frozen=True):
    """Cancel the order; ``by_status`` tells that it was asked for by ``PUT status``."""

    reason: str | None = None
    by_status: bool = False


class SetStatus(Struct, frozen=True):
    """``PUT status``: staff or a carrier move the order on."""

    status: Status
    reason: str | None = None
    shipment: Shipment | None = None


class RefundOrder(Struct, frozen=True):
    """Give money back: ``amount`` minor units, or all that is left."""

    reason: str
    amount: int | None = None


class RetryCall(Struct, frozen=True):
    """Send a parked call again, or start the refund that follows a failed one.

    ``known`` tells whether the order ever owed a call of that id: it parts "not found" from "not parked".
    """

    call_id: str
    known: bool = True


class GiveUpCall(Struct, frozen=True):
    """End a parked call by hand. ``note`` says what people did instead; a refund cannot be given up without one."""

    call_id: str
    note: str | None = None
    known: bool = True


class Answered(Struct, frozen=True):
    """A partner answered the call ``call_id``, or did not (``Unanswered`` is an answer too)."""

    call_id: str
    answer: Answer


class Tick(Struct, frozen=True):
    """Time has passed: whatever is due at ``now`` happens."""


Command = PlaceOrder | Pay | Cancel | SetStatus | RefundOrder | RetryCall | GiveUpCall
Message = Command | Answered | Tick

# --- what goes out -------------------------------------------------------------------------------------------------


class Event(StrEnum):
    """What consumers are told, in the words of the brief; ``order.refunded`` is ours."""

    CREATED = "order.created"
    STATUS_CHANGED = "order.status_changed"
    PAYMENT_SUCCESSFUL = "order.payment_successful"
    PAYMENT_FAILED = "order.payment_failed"
    CANCELLED = "order.cancelled"
    SHIPPED = "order.shipped"
    DELIVERED = "order.delivered"
    REFUNDED = "order.refunded"


class Call(Struct, frozen=True):
    """A call newly owed: ``request`` is its exact body, ``key`` its Idempotency-Key.

    ``due_in_s`` seconds from the decision it may first be sent; a call that is not sent before ``drop_after_s``
    seconds have passed is dropped.
    """

    call_id: str
    kind: CallKind
    subject: str
    key: str
    request: bytes
    due_in_s: float = 0
    drop_after_s: float | None = None


class End(StrEnum):
    """What becomes of an open call."""

    DONE = "done"
    """It was answered for good."""
    DROPPED = "dropped"
    """It is not owed any more, and a late answer to it is ignored."""
    PARKED = "parked"
    """It needs a person before it is sent again."""
    AGAIN = "again"
    """It is sent again, with the same key and bytes, after a backoff."""
    UNPARKED = "unparked"
    """A person asked for it to be sent again."""


NOT_FINAL = "not final"
"""The outcome of a call that was answered, and is asked again because that answer was not the last word."""


class Closing(Struct, frozen=True):
    """What becomes of the open call ``call_id``, and what its answer was in a few words.

    A call that was not ``sent`` has not been tried, and its next send counts as this one would have.
    """

    call_id: str
    end: End
    outcome: str = ""
    retry_after_s: float | None = None
    sent: bool = True


class Asked(Struct, frozen=True):
    """What a command waits for: ``kind`` place, pay, refund, put_refunded or done (nothing more to wait for).

    ``number`` counts the attempt or refund; ``unchanged`` tells that the command met what was already so.
    """

    kind: str
    number: int = 0
    unchanged: bool = False


class Decision(Struct, frozen=True):
    """What the rules made of one message.

    ``change`` is what the log tells of this version and None when nothing that a client can see has changed: then
    ``state.order`` is the order as it was and only ``closings`` are to be written. ``asked`` binds the command to the
    attempt or refund that it started or met, so that its answer can be found later (see ``outcome``).
    """

    state: State
    message: str
    events: tuple[Event, ...] = ()
    change: dict[str, Any] | None = None
    reason: str | None = None
    calls: tuple[Call, ...] = ()
    closings: tuple[Closing, ...] = ()
    asked: Asked | None = None
    contacts: Contacts | None = None
    timer_at: datetime | None = None
    answered: str | None = None

    @property
    def writes(self) -> bool:
        """Whether there is anything to commit at all."""
        return self.change is not None or bool(self.closings)
