"""Creation of an order.

| message | outcome |
|---|---|
| place | 2 pending, reservation asked: call ``reserve`` |
| reserved | 4+5 ``order.created``, call ``clear_cart``; a total of 0 is confirmed in the same version |
| reserve refused | cancelled before anybody heard of it: no event; the client gets 409 with the figures |
| reserve unanswered | the same call again; a cancel or the expiry puts a release in its place |
| reserve refused as a call, or not believed | parked, attention |
| cart cleared | done, nothing visible |
| cart not answered | again until the order is dead or an hour old; never attention |

Step 1, the availability check, is read only and happens before the rules are asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from order_service.core.answers import Answer, CallKind, CartCleared, Lied, Refused, Reserved, ReserveRefused
from order_service.core.draft import Draft
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import Asked, End, Event, PlaceOrder
from order_service.core.model import (
    MAX_AMOUNT,
    Cancellation,
    OpenCall,
    Order,
    Payment,
    Policy,
    Reservation,
    ReservationStatus,
)
from order_service.core.payment import stock_is_gone, stock_regained
from order_service.core.requests import ClearCartRequest
from order_service.core.stock import reserve, stock_items

CART_CLEAR_WITHIN_S = 3600.0
"""A clear that comes later would take out goods the customer has put in since."""


def place(msg: PlaceOrder, now: datetime, policy: Policy) -> Draft:
    """2 The order exists from here on, and its stock is owed a reservation."""
    subtotal = sum(line.total for line in msg.items)
    total = subtotal + msg.shipping_cost + msg.tax - msg.discount
    assert msg.items, "an order has at least one line"
    assert 0 <= total <= MAX_AMOUNT, "the total was checked with the request"
    order = Order(
        id=msg.order_id,
        order_number=msg.order_number,
        user_id=msg.user_id,
        status=Status.PENDING,
        stock=Stock.RESERVING,
        payment=Payment(PaymentFacet.NONE),
        currency=msg.currency,
        items=msg.items,
        subtotal=subtotal,
        shipping_cost=msg.shipping_cost,
        tax=msg.tax,
        discount=msg.discount,
        total=total,
        version=0,
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(seconds=policy.unpaid_ttl_s),
        reservations=(),
        metadata=msg.metadata,
    )
    draft = Draft(None, order, now, policy)
    draft.contacts = msg.contacts
    draft.token = msg.token
    draft.asked = Asked("place")
    reserve(draft)
    return draft


def on_reserve_answer(draft: Draft, call: OpenCall, answer: Answer) -> None:
    """The inventory answered the newest reservation: a release would have ended the call."""
    assert draft.order.newest_reservation.reservation_id == call.subject
    match answer:
        case Reserved():
            draft.close(call, End.DONE, "reserved")
            _reserved(draft)
        case ReserveRefused(shortages=shortages):
            draft.close(call, End.DONE, "refused")
            draft.put_reservation(
                Reservation(call.subject, ReservationStatus.REFUSED, shortages),
            )
            _refused(draft)
        case Refused(status=status, detail=detail):
            draft.park(call, "call-refused", f"{status} {detail}")
        case Lied(detail=detail):
            draft.park(call, "answer-not-believed", detail)
        case _:
            draft.again(call, answer)


def _reserved(draft: Draft) -> None:
    draft.set_reservation(ReservationStatus.RESERVED)
    if draft.order.status is Status.PAYMENT_FAILED:
        stock_regained(draft)
        return
    assert draft.order.status is Status.PENDING
    draft.announce(Event.CREATED)
    order = draft.order
    draft.owe(
        CallKind.CLEAR_CART,
        order.user_id,
        ClearCartRequest(order.user_id, order.id, stock_items(order)),
        key=f"{order.id}-cart",
        drop_after_s=CART_CLEAR_WITHIN_S,
    )
    if order.total == 0:
        draft.move(Status.CONFIRMED)
        draft.announce(Event.STATUS_CHANGED)


def _refused(draft: Draft) -> None:
    if draft.order.status is Status.PAYMENT_FAILED:
        stock_is_gone(draft)
        return
    assert draft.order.status is Status.PENDING
    draft.move(Status.CANCELLED)
    draft.reason = "out of stock"
    draft.set(cancellation=Cancellation("out-of-stock", draft.now, draft.reason))


def on_cart_answer(draft: Draft, call: OpenCall, answer: Answer) -> None:
    """The cart is a courtesy: nothing of the order depends on it."""
    dead = draft.order.status in (Status.CANCELLED, Status.REFUNDED)
    late = (draft.now - draft.order.created_at).total_seconds() >= CART_CLEAR_WITHIN_S
    if isinstance(answer, CartCleared):
        draft.close(call, End.DONE, "cleared")
    elif dead or late:
        draft.close(call, End.DROPPED, "too late to clear the cart")
    else:
        draft.again(call, answer)
