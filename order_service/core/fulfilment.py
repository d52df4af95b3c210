"""Fulfilment: what staff and carriers tell by ``PUT status``.

| message | outcome |
|---|---|
| PUT processing | confirmed -> processing |
| PUT shipped | processing -> shipped with carrier and tracking, call ``commit``, ``order.shipped`` |
| PUT delivered | shipped -> delivered, ``order.delivered`` |
| PUT the status it has | unchanged |
| PUT cancelled, refunded | the same flows as their own endpoints |
| PUT a payment-owned status | refused: only facts about a payment set it |
| committed | the goods are booked as gone |
| commit answered "not held" | attention |
"""

from __future__ import annotations

from order_service.core.answers import Answer, CallKind, Lied, StockCommitted, StockNotHeld
from order_service.core.cancellation import cancel
from order_service.core.draft import Draft
from order_service.core.errors import UnlawfulMove
from order_service.core.facets import STOCK_NOT_HELD, allowed_by_put
from order_service.core.lifecycle import BY_HAND, Status
from order_service.core.messages import Asked, Cancel, End, Event, SetStatus
from order_service.core.model import OpenCall, ReservationStatus
from order_service.core.refund import put_refunded
from order_service.core.requests import CommitRequest


def set_status(draft: Draft, msg: SetStatus) -> None:
    """Move the order on, if the table has the move and a person may make it."""
    order = draft.order
    if msg.status is Status.CANCELLED:
        cancel(draft, Cancel(msg.reason, by_status=True))
    elif msg.status is Status.REFUNDED:
        put_refunded(draft, msg.reason)
    elif msg.status is order.status:
        draft.asked = Asked("done", unchanged=True)
    elif BY_HAND.get(msg.status) is order.status:
        _move_on(draft, msg)
    else:
        raise UnlawfulMove(order.status, msg.status, allowed_by_put(order))


def _move_on(draft: Draft, msg: SetStatus) -> None:
    draft.reason = msg.reason
    draft.asked = Asked("done")
    draft.move(msg.status)
    if msg.status is Status.SHIPPED:
        draft.set(shipment=msg.shipment)
        _commit_stock(draft)
        draft.announce(Event.SHIPPED)
    elif msg.status is Status.DELIVERED:
        draft.announce(Event.DELIVERED)
    draft.announce(Event.STATUS_CHANGED)


def _commit_stock(draft: Draft) -> None:
    reservation = draft.order.newest_reservation
    draft.set_reservation(ReservationStatus.COMMITTING)
    draft.owe(
        CallKind.COMMIT,
        reservation.reservation_id,
        CommitRequest(reservation.reservation_id, draft.order.id),
        key=f"{reservation.reservation_id}-commit",
    )


def on_commit_answer(draft: Draft, call: OpenCall, answer: Answer) -> None:
    """The inventory booked the goods as gone, or says that it never held them."""
    match answer:
        case StockCommitted():
            draft.close(call, End.DONE, "committed")
            draft.set_reservation(ReservationStatus.COMMITTED)
        case StockNotHeld():
            draft.park(call, STOCK_NOT_HELD, "the inventory holds no such reservation")
        case Lied(detail=detail):
            draft.park(call, "answer-not-believed", detail)
        case _:
            draft.again(call, answer)
