"""Refunds: money on its way back, each a row with a key of its own.

| message | outcome |
|---|---|
| refund by staff | bounded by what is captured and not yet promised back; before shipping some must remain |
| PUT refunded | the rest of a shipped, delivered, or cancelled order |
| succeeded | ``order.refunded``; when all captured money is back: refunded (cancelled, shipped, delivered) |
| pending | polled until final |
| failed | attention; staff starts the next one with a new key, or gives up |
| no answer | the same key and bytes again |
| the key is too old to be sent | looked up by its reference |
| not known to the payment service | asked for again; an hour after it was started: parked, attention |
| refused as a call, or not believed | parked, attention |
"""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from order_service.core.answers import Answer, CallKind, KeyTooOld, Lied, RefundState, RefundUnknown, Refused
from order_service.core.draft import Draft
from order_service.core.errors import CancelInstead, RefundExceedsCaptured, UnlawfulMove
from order_service.core.facets import allowed_by_put
from order_service.core.lifecycle import Status
from order_service.core.messages import Asked, End, Event, RefundOrder
from order_service.core.model import (
    REFUND_IN_FLIGHT,
    Attempt,
    AttemptStatus,
    OpenCall,
    Order,
    Refund,
    RefundStatus,
)
from order_service.core.requests import ReadRefundRequest, RefundRequest

FIRST_POLL_S = 1.0
FORGOTTEN_AFTER = timedelta(hours=1)
"""A payment service may need a moment to list what it was asked for; after an hour it does not know it."""

_ENDS_REFUNDED = (Status.CANCELLED, Status.SHIPPED, Status.DELIVERED)


def refund(draft: Draft, msg: RefundOrder) -> None:
    """Staff give money back, in part or whole."""
    order = draft.order
    bound = order.refundable
    if order.status is Status.CANCELLED and order.refund_in_flight:
        bound = 0  # what is left, if anything, is decided when the answer is known
    amount = bound if msg.amount is None else msg.amount
    if not 0 < amount <= bound:
        raise RefundExceedsCaptured(bound)
    if order.status in (Status.CONFIRMED, Status.PROCESSING) and amount == order.refundable:
        raise CancelInstead
    draft.reason = msg.reason
    number = start_refund(draft, captured_attempt(order), amount, msg.reason)
    draft.asked = Asked("refund", number)


def put_refunded(draft: Draft, reason: str | None) -> None:
    """``PUT status`` refunded: all that is left goes back; while it is under way the answer is the same."""
    order = draft.order
    if order.status is Status.REFUNDED:
        draft.asked = Asked("done", unchanged=True)
        return
    if order.status not in _ENDS_REFUNDED:
        raise UnlawfulMove(order.status, Status.REFUNDED, allowed_by_put(order))
    if order.refundable > 0 and (order.status is not Status.CANCELLED or order.refund_in_flight == 0):
        draft.reason = reason
        number = refund_rest(draft, reason or "refunded by staff")
        draft.asked = Asked("put_refunded", number)
    elif order.refund_in_flight or (order.status is Status.CANCELLED and _void_in_flight(order)):
        draft.asked = Asked("put_refunded", len(order.refunds), unchanged=True)
    elif order.status is Status.CANCELLED:
        raise UnlawfulMove(order.status, Status.REFUNDED, allowed_by_put(order))
    else:
        raise RefundExceedsCaptured(order.refundable)


def _void_in_flight(order: Order) -> bool:
    return any(a.status in (AttemptStatus.VOIDING, AttemptStatus.VOID_UNKNOWN) for a in order.payment.attempts)


def captured_attempt(order: Order) -> Attempt:
    """The attempt whose capture pays for the order."""
    return next(a for a in order.payment.attempts if a.status is AttemptStatus.CAPTURED)


def refund_rest(draft: Draft, reason: str) -> int:
    """Start a refund of all that is neither back nor under way; its number."""
    return start_refund(draft, captured_attempt(draft.order), draft.order.refundable, reason)


def start_refund(draft: Draft, attempt: Attempt, amount: int, reason: str, *, surplus: bool = False) -> int:
    """Write the refund with its key and owe the call; its number."""
    number = len(draft.order.refunds) + 1
    reference = f"{draft.order.id}-f{number}"
    assert attempt.payment_id is not None, "a capture names its payment"
    call_id = draft.owe(
        CallKind.REFUND,
        reference,
        RefundRequest(attempt.payment_id, reference, amount, reason),
        key=reference,
    )
    draft.put_refund(
        Refund(
            refund=number,
            reference=reference,
            attempt=attempt.attempt,
            amount=amount,
            reason=reason,
            status=RefundStatus.REQUESTED,
            at=draft.now,
            call_id=call_id,
            surplus=surplus,
        )
    )
    return number


def on_refund_answer(draft: Draft, call: OpenCall, answer: Answer) -> None:
    """The payment service answered a refund or a read of it; a final state never changes any more."""
    row = refund_of(draft.order, call.subject)
    assert row.status in REFUND_IN_FLIGHT
    match answer:
        case RefundState(status="succeeded"):
            draft.close(call, End.DONE, "succeeded")
            _succeeded(draft, row, answer)
        case RefundState(status="failed"):
            draft.close(call, End.DONE, "failed")
            draft.put_refund(replace(row, status=RefundStatus.FAILED, refund_id=answer.refund_id, at=draft.now))
        case RefundState():
            _pending(draft, call, row, answer)
        case KeyTooOld():
            draft.close(call, End.DROPPED, "key too old")
            draft.put_refund(replace(row, call_id=_look_up(draft, row)))
        case RefundUnknown() if draft.now - row.at >= FORGOTTEN_AFTER:
            draft.park(call, "answer-not-believed", "no such refund")
        case Refused(status=status, detail=detail):
            draft.park(call, "call-refused", f"{status} {detail}")
        case Lied(detail=detail):
            draft.park(call, "answer-not-believed", detail)
        case _:
            draft.again(call, answer)


def refund_of(order: Order, reference: str) -> Refund:
    """The refund that goes by ``reference`` at the payment service."""
    return next(r for r in order.refunds if r.reference == reference)


def _succeeded(draft: Draft, row: Refund, answer: RefundState) -> None:
    draft.put_refund(replace(row, status=RefundStatus.SUCCEEDED, refund_id=answer.refund_id))
    draft.announce(Event.REFUNDED)
    draft.details["refund"] = {"refund": row.refund, "amount": row.amount, "surplus": row.surplus}
    if row.surplus:
        return
    money = draft.order.payment
    draft.set(payment=replace(money, refunded=money.refunded + row.amount))
    if draft.order.payment.refunded == money.captured and draft.order.status in _ENDS_REFUNDED:
        draft.reason = row.reason
        draft.move(Status.REFUNDED)
        draft.announce(Event.STATUS_CHANGED)


def _pending(draft: Draft, call: OpenCall, row: Refund, answer: RefundState) -> None:
    pending = replace(row, status=RefundStatus.PENDING, refund_id=answer.refund_id)
    if call.kind is not CallKind.READ_REFUND:
        draft.close(call, End.DONE, "pending")
        draft.put_refund(replace(pending, call_id=_look_up(draft, row, due_in_s=FIRST_POLL_S)))
        return
    draft.again(call)
    if row.status is RefundStatus.REQUESTED:  # it was never answered, and is looked up because its key is too old
        draft.put_refund(pending)


def _look_up(draft: Draft, row: Refund, *, due_in_s: float = 0) -> str:
    """Owe the question how the refund stands; the id of that call."""
    payment_id = next(a.payment_id for a in draft.order.payment.attempts if a.attempt == row.attempt)
    assert payment_id is not None
    request = ReadRefundRequest(payment_id, row.reference, row.amount)
    return draft.owe(CallKind.READ_REFUND, row.reference, request, key=f"{row.reference}-read", due_in_s=due_in_s)
