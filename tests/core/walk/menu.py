"""Everything that clients, staff and timers may do to an order, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from order_service.core.answers import CallKind
from order_service.core.lifecycle import Status
from order_service.core.messages import (
    Cancel,
    GiveUpCall,
    Message,
    Pay,
    PlaceOrder,
    RefundOrder,
    RetryCall,
    SetStatus,
    Tick,
)
from order_service.core.model import Address, AttemptStatus, Contacts, Line, Order, RefundStatus, State

from .normal import DEADLINE, EXPIRY, HOLD_END, NOW

PART = 1
TOKEN = "tok"
_CONTACTS = Contacts(Address("Ada", "Main Street 1", "Berlin", "10115", "DE"))


class Move:
    """One message with its name and its moment."""

    __slots__ = ("at", "message", "name")

    def __init__(self, name: str, message: Message, at: datetime = NOW) -> None:
        self.name = name
        self.message = message
        self.at = at


def placing(total: int) -> PlaceOrder:
    """The one order of the walk."""
    line = Line(line=1, product_id="lamp", name="Lamp", quantity=1, unit_price=total, total=total)
    return PlaceOrder("o", "A-1", "ada", "EUR", (line,), _CONTACTS, token=TOKEN)


COMMANDS = (
    Move("cancel", Cancel()),
    *(Move(f"put {status}", SetStatus(status)) for status in Status),
    Move("refund part", RefundOrder("part", PART)),
    Move("refund rest", RefundOrder("rest")),
)
PAY = Move("pay", Pay(TOKEN))
_PUT_REFUNDED = f"put {Status.REFUNDED}"
TICKS = {
    "hold": Move("the hold ends", Tick(), HOLD_END),
    "expiry": Move("expiry", Tick(), EXPIRY),
    "deadline": Move("the deadline", Tick(), DEADLINE),
}


def may_help(state: State) -> list[str]:
    """The ids of calls that a person may be asked about: parked ones, and those of failed refunds."""
    parked = [c.call_id for c in state.calls if c.parked is not None]
    return parked + [r.call_id for r in state.order.refunds if r.status is RefundStatus.FAILED]


def moves(state: State, *, attempts: int, refunds: int) -> Iterator[Move]:
    """The commands and timers of this state; bounded, no click beyond the last attempt and no refund either."""
    order = state.order
    if len(order.payment.attempts) < attempts:
        yield PAY
    for move in COMMANDS:
        if len(order.refunds) < refunds or not (move.name.startswith("refund") or move.name == _PUT_REFUNDED):
            yield move
    for call_id in may_help(state):
        parked = any(c.call_id == call_id for c in state.calls)
        if parked or len(order.refunds) < refunds:
            yield Move(f"retry {call_id}", RetryCall(call_id))
        yield Move(f"give up {call_id}", GiveUpCall(call_id, "settled by hand"))
    yield from due(order)


def due(order: Order) -> Iterator[Move]:
    """The timers that may fire in this status, whatever else is due."""
    if order.status in (Status.PENDING, Status.PAYMENT_PENDING, Status.PAYMENT_FAILED):
        yield from TICKS.values()


def amount_of(state: State, kind: CallKind, subject: str) -> int:
    """The minor units that a call of this kind is about."""
    if kind in (CallKind.REFUND, CallKind.READ_REFUND):
        return next(r.amount for r in state.order.refunds if r.reference == subject)
    return state.order.total


def waits_for_stock(order: Order) -> bool:
    """Whether the newest attempt waits for the stock to be reserved anew."""
    newest = order.newest_attempt
    return newest is not None and newest.status is AttemptStatus.WAITING_STOCK
