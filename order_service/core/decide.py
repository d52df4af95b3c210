"""The one door to the rules: ``decide(state, message, now, policy) -> Decision``.

Pure: no I/O, no clock, nothing random. Invariants of the order are asserted before and after.
"""

from __future__ import annotations

from datetime import datetime

from order_service.core import cancellation, creation, fulfilment, parked, payment, refund
from order_service.core.answers import CallKind
from order_service.core.draft import Draft
from order_service.core.lifecycle import LAWFUL, PaymentFacet, Status
from order_service.core.messages import (
    Answered,
    Cancel,
    Decision,
    GiveUpCall,
    Message,
    Pay,
    PlaceOrder,
    RefundOrder,
    RetryCall,
    SetStatus,
    Tick,
)
from order_service.core.model import Order, Policy, State

_NAMES: dict[type, str] = {
    PlaceOrder: "place",
    Pay: "pay",
    Cancel: "cancel",
    SetStatus: "set_status",
    RefundOrder: "refund",
    RetryCall: "retry_call",
    GiveUpCall: "give_up_call",
    Tick: "timer",
}


def decide(state: State | None, message: Message, now: datetime, policy: Policy) -> Decision:
    """What ``message`` does to the order.

    ``now`` is the database's time as the replica estimates it; it is never taken below the order's last change.
    Raises a ``Refusal`` where the order, as it stands, does not allow the command.
    """
    if isinstance(message, PlaceOrder):
        assert state is None, "an order is placed once"
        decision = creation.place(message, now, policy).decision("place")
        check(decision.state.order)
        return decision
    assert state is not None, "only a placed order gets messages"
    check(state.order)
    draft = Draft(state, state.order, max(now, state.order.updated_at), policy)
    if isinstance(message, Answered):
        decision = _answered(draft, message)
    else:
        _command(draft, message)
        decision = draft.decision(_NAMES[type(message)])
    check(decision.state.order)
    return decision


def _command(draft: Draft, message: Message) -> None:
    match message:
        case Pay():
            payment.pay(draft, message)
        case Cancel():
            cancellation.cancel(draft, message)
        case SetStatus():
            fulfilment.set_status(draft, message)
        case RefundOrder():
            refund.refund(draft, message)
        case RetryCall():
            parked.retry(draft, message)
        case GiveUpCall():
            parked.give_up(draft, message)
        case Tick():
            payment.on_tick(draft)
            cancellation.on_tick(draft)
        case _:
            raise TypeError(f"no rule for {type(message).__name__}")


_ON_ANSWER = {
    CallKind.RESERVE: creation.on_reserve_answer,
    CallKind.CLEAR_CART: creation.on_cart_answer,
    CallKind.RELEASE: cancellation.on_release_answer,
    CallKind.COMMIT: fulfilment.on_commit_answer,
    CallKind.CHARGE: payment.on_payment_answer,
    CallKind.VOID: payment.on_payment_answer,
    CallKind.READ_PAYMENT: payment.on_payment_answer,
    CallKind.CHECK_PAYMENT: payment.on_payment_answer,
    CallKind.LATE_CHECK: payment.on_payment_answer,
    CallKind.REFUND: refund.on_refund_answer,
    CallKind.READ_REFUND: refund.on_refund_answer,
}


def _answered(draft: Draft, message: Answered) -> Decision:
    call = draft.open.get(message.call_id)
    if call is None or call.parked is not None:
        return draft.decision("late answer")  # the call was ended meanwhile: its answer is dropped
    _ON_ANSWER[call.kind](draft, call, message.answer)
    return draft.decision(f"answer to {call.kind}", answered=call.call_id)


def check(order: Order) -> None:
    """Assert what must hold of every order at every moment; a failure is a fault of ours and writes nothing."""
    money = order.payment
    stocks, facets = LAWFUL[order.status]
    assert order.stock in stocks, f"{order.status} with stock {order.stock}"
    assert money.status in facets, f"{order.status} with payment {money.status}"
    assert order.total == order.subtotal + order.shipping_cost + order.tax - order.discount
    assert order.subtotal == sum(line.total for line in order.items)
    assert 0 <= money.refunded <= money.captured <= order.total
    assert order.refundable >= 0, "more was promised back than was captured"
    assert order.surplus_back <= sum(a.surplus for a in money.attempts), "more surplus was promised back than was taken"
    if order.status in (Status.CONFIRMED, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED):
        assert money.captured == order.total, "goods never leave unpaid"
        assert (money.status is PaymentFacet.NONE) == (order.total == 0)
    if order.status in (Status.CONFIRMED, Status.PROCESSING):
        assert order.total == 0 or money.refunded < money.captured
    if order.status is Status.REFUNDED:
        assert money.refunded == money.captured > 0
