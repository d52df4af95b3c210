"""Cancellation and expiry, and the way back of the stock.

| message | outcome |
|---|---|
| cancel, shipped or delivered | 1 refused |
| cancel before that | 2 cancelled, 3 call ``release``, 4 void and refund, 5 ``order.cancelled`` |
| cancel while the reserve is unanswered | the release takes its place at once; no event before ``order.created`` |
| cancel again | the same answer, one refund |
| expiry of pending and payment_failed | cancelled, stock back |
| released | the stock is free; an attempt that waited for it reserves anew |
"""

from __future__ import annotations

from order_service.core.answers import Answer, CallKind, Released
from order_service.core.draft import Draft
from order_service.core.errors import NotCancellable, UnlawfulMove
from order_service.core.facets import allowed_by_put
from order_service.core.lifecycle import Status
from order_service.core.messages import Asked, Cancel, End, Event
from order_service.core.model import OPEN_ATTEMPT, AttemptStatus, Cancellation, OpenCall, ReservationStatus
from order_service.core.payment import close_waiting_attempt, stock_released, void_open_attempts
from order_service.core.refund import refund_rest
from order_service.core.stock import release

_OVERTAKEN = OPEN_ATTEMPT | {AttemptStatus.WAITING_STOCK}
_HOLDS = (ReservationStatus.RESERVING, ReservationStatus.RESERVED)


def cancel(draft: Draft, msg: Cancel) -> None:
    """1 Refused once the goods have left; twice is once."""
    order = draft.order
    if order.cancellation is not None:
        draft.asked = Asked("done", unchanged=True)
        return
    if order.status in (Status.SHIPPED, Status.DELIVERED, Status.REFUNDED):
        if msg.by_status:
            raise UnlawfulMove(order.status, Status.CANCELLED, allowed_by_put(order))
        raise NotCancellable(order.status)
    cancel_order(draft, "requested", msg.reason)
    draft.asked = Asked("done")


def cancel_order(draft: Draft, code: str, reason: str | None) -> None:
    """2 to 5: everything that a cancelled order still has to give back is owed from here on."""
    draft.reason = reason or code
    draft.move(Status.CANCELLED)
    newest = draft.order.newest_attempt
    overtaken = newest.attempt if newest is not None and newest.status in _OVERTAKEN else None
    draft.set(cancellation=Cancellation(code, draft.now, reason, overtaken), hold_until=None)
    draft.drop(draft.owed(CallKind.CLEAR_CART, CallKind.CHECK_PAYMENT))
    draft.announce(Event.CANCELLED, Event.STATUS_CHANGED)
    if draft.order.newest_reservation.status in _HOLDS:
        release(draft)
    close_waiting_attempt(draft, "cancelled")
    void_open_attempts(draft)
    if draft.order.refundable > 0:
        refund_rest(draft, draft.reason)


def on_tick(draft: Draft) -> None:
    """An order that nobody paid in time gives its stock back."""
    order = draft.order
    if order.status in (Status.PENDING, Status.PAYMENT_FAILED) and draft.now >= order.expires_at:
        cancel_order(draft, "expired", "not paid in time")


def on_release_answer(draft: Draft, call: OpenCall, answer: Answer) -> None:
    """Any answer but a plain yes is asked for again: a release cannot be refused."""
    if not isinstance(answer, Released):
        draft.again(call, answer)
        return
    draft.close(call, End.DONE, "released")
    draft.set_reservation(ReservationStatus.RELEASED)
    stock_released(draft)
