"""What must hold of every world, and of every world at rest: what we believe against what is true."""

from __future__ import annotations

from order_service.core.answers import CallKind
from order_service.core.lifecycle import Status
from order_service.core.model import Attempt, Order, Refund, ReservationStatus, State

from .partners import BACK, HELD, LOST, NEVER, TAKEN, VOID, Truth, letter
from .steps import must

_PAID = (Status.CONFIRMED, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED)
_GONE = (Status.SHIPPED, Status.DELIVERED)
_DEAD = (Status.CANCELLED, Status.REFUNDED)
_PAYMENT = frozenset(
    {
        CallKind.CHARGE,
        CallKind.VOID,
        CallKind.READ_PAYMENT,
        CallKind.CHECK_PAYMENT,
        CallKind.LATE_CHECK,
        CallKind.REFUND,
        CallKind.READ_REFUND,
    }
)


def check_pair(state: State, truth: Truth) -> None:
    """Safety: at every moment, whoever died and whatever is under way."""
    order = state.order
    for attempt in order.payment.attempts:
        _check_attempt(order, truth, attempt)
    must(truth.payments.count("$") <= 1, "the customer was charged twice")
    must(sum(truth.stock.count(x) for x in "hc") <= 1, "the goods are held twice")
    _check_belief(order, truth)
    if order.status in _PAID:
        _check_paid(order, truth)
    if "c" in truth.stock:
        must(order.payment.captured == order.total, "goods left unpaid")
        must(order.status in (*_GONE, Status.REFUNDED), "goods left before they were shipped")


def _check_attempt(order: Order, truth: Truth, attempt: Attempt) -> None:
    """Of each payment no more goes back than came in, at the payment service and by hand together."""
    rows = [r for r in order.refunds if r.attempt == attempt.attempt]
    back = sum(_returned(truth, r) for r in rows)
    taken = attempt.amount if letter(truth.payments, attempt.attempt) in TAKEN else 0
    must(back <= taken, f"{back} went back of {taken} captured")


def _returned(truth: Truth, row: Refund) -> int:
    return row.amount if letter(truth.refunds, row.refund) in BACK or row.status == "settled_outside" else 0


def _check_belief(order: Order, truth: Truth) -> None:
    """Whatever the order says is final is true at the partner."""
    for attempt in order.payment.attempts:
        now = letter(truth.payments, attempt.attempt)
        must(attempt.status != "captured" or now in TAKEN, "captured, and the payment service knows nothing of it")
        must(not attempt.surplus or now in TAKEN, "a surplus that was never captured")
        must(attempt.status != "voided" or now in VOID, "voided, and the payment service may still charge")
        must(attempt.status not in ("closed", "waiting_stock") or now == NEVER, "an attempt was charged, never to be")
    for row in order.refunds:
        must(row.status != "succeeded" or letter(truth.refunds, row.refund) == "s", "a refund that never was")
        must(row.status != "failed" or letter(truth.refunds, row.refund) == "f", "a refund failed, and did not")
    for number, hold in enumerate(order.reservations, start=1):
        now = letter(truth.stock, number)
        must(hold.status != "reserved" or now == HELD, "reserved, and nothing is held")
        must(hold.status != "released" or now == "x", "released, and the goods may still be held")


def _check_paid(order: Order, truth: Truth) -> None:
    """Who gets goods has paid: one capture, and something is left of it until the goods have gone."""
    held = letter(truth.stock, len(order.reservations))
    must(held in "hc" or (held == LOST and order.status in _GONE), "a paid order without its goods")
    if order.total == 0:
        must(not truth.payments, "a charge of nothing")
        return
    [paid] = [a for a in order.payment.attempts if a.status == "captured"]
    must(letter(truth.payments, paid.attempt) in TAKEN, "confirmed without a capture")
    if order.status not in _GONE:
        back = sum(_returned(truth, r) for r in order.refunds if r.attempt == paid.attempt)
        must(back < paid.amount, "goods are packed of which all the money went back")


def check_rest(state: State, truth: Truth, silent: frozenset[CallKind]) -> None:
    """Nothing moves any more but by people: the end must be a good one, or a person is called.

    ``silent`` are the calls that are still owed because nobody ever answers them: what they are about is excused,
    and nothing else.
    """
    order = state.order
    must(order.status not in (Status.PENDING, Status.PAYMENT_FAILED), f"{order.status} for ever")
    waits = order.status is Status.PAYMENT_PENDING
    called = order.attention is not None
    must(not waits or called or silent & _PAYMENT, "payment_pending for ever")
    if called:
        return
    owed = {c.subject for c in state.calls}
    for number, hold in enumerate(order.reservations, start=1):
        _check_hold(order, hold.status, letter(truth.stock, number), hold.reservation_id in owed)
    if not silent & _PAYMENT:
        _check_money(order, truth)


def _check_hold(order: Order, status: ReservationStatus, now: str, owed: bool) -> None:
    goods_left = order.status in _GONE or (order.status is Status.REFUNDED and not order.cancellation)
    if owed:
        return
    if status in (ReservationStatus.REFUSED, ReservationStatus.RELEASED) or (order.status in _DEAD and not goods_left):
        must(now not in "hc", "a dead hold keeps its goods")
    elif goods_left:
        must(now == "c" or (now == LOST and status == "committed"), "goods have left that the inventory still counts")
    else:
        must(now == HELD, "a live order without its goods")


def _check_money(order: Order, truth: Truth) -> None:
    kept = sum(order.total for x in truth.payments if x in TAKEN)
    kept -= sum(_returned(truth, r) for r in order.refunds)
    dead = order.status in _DEAD
    must(not dead or kept == 0, f"a dead order keeps {kept}")
    own = sum(_returned(truth, r) for r in order.refunds if not r.surplus)
    must(dead or kept == order.payment.captured - own, f"a live order keeps {kept} of its customer")
