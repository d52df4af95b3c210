"""What is derived and never stored by hand: the two facets, ``attention``, and when the next timer fires."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from order_service.core.lifecycle import BY_HAND, CANCELLABLE, PaymentFacet, Status, Stock
from order_service.core.model import (
    OPEN_ATTEMPT,
    REFUND_IN_FLIGHT,
    UNDER_VOID,
    Attempt,
    AttemptStatus,
    Attention,
    OpenCall,
    Order,
    Refund,
    RefundStatus,
    ReservationStatus,
)

STOCK_NOT_HELD = "stock-not-held"
REFUND_FAILED = "refund-failed"

_STOCK = {
    ReservationStatus.RESERVING: Stock.RESERVING,
    ReservationStatus.RESERVED: Stock.RESERVED,
    ReservationStatus.REFUSED: Stock.REFUSED,
    ReservationStatus.RELEASING: Stock.RELEASING,
    ReservationStatus.RELEASED: Stock.RELEASED,
    ReservationStatus.COMMITTING: Stock.RESERVED,
    ReservationStatus.COMMITTED: Stock.COMMITTED,
}


def stock_facet(order: Order) -> Stock:
    """The state of the newest reservation, in the words of the facet."""
    return _STOCK[order.newest_reservation.status]


def payment_facet(order: Order) -> PaymentFacet:
    """The first line of the table that holds; surplus captures are left out."""
    money = order.payment
    if money.captured:
        if money.refunded == money.captured:
            return PaymentFacet.REFUNDED
        own = list(order.refunds_of_order())
        if any(r.status in REFUND_IN_FLIGHT for r in own):
            return PaymentFacet.REFUND_PENDING
        failed = bool(own) and own[-1].status is RefundStatus.FAILED
        if failed or order.status is Status.CANCELLED:
            return PaymentFacet.REFUND_FAILED
        return PaymentFacet.PARTIALLY_REFUNDED if money.refunded else PaymentFacet.CAPTURED
    return _attempt_facet(money.attempts)


def _attempt_facet(attempts: tuple[Attempt, ...]) -> PaymentFacet:
    for attempt in attempts:
        if attempt.status in (AttemptStatus.UNKNOWN, AttemptStatus.VOID_UNKNOWN):
            return PaymentFacet.UNKNOWN
    for attempt in attempts:
        if attempt.status in OPEN_ATTEMPT:
            return PaymentFacet.PENDING
    for attempt in reversed(attempts):
        if attempt.status is AttemptStatus.DECLINED:
            return PaymentFacet.DECLINED
        if attempt.status is AttemptStatus.VOIDED:
            return PaymentFacet.VOIDED
    return PaymentFacet.NONE


def attention(order: Order, calls: Iterable[OpenCall]) -> Attention | None:
    """Why a person is needed: the oldest parked call, a commit without stock, a failed refund; or nobody is."""
    parked = [c for c in calls if c.parked is not None and c.since is not None]
    if parked:
        first = min(parked, key=lambda c: (c.parked == STOCK_NOT_HELD, c.since, c.call_id))
        assert first.parked is not None
        assert first.since is not None
        return Attention(code=first.parked, since=first.since, call_id=first.call_id)
    for refund in refunds_to_mend(order):
        return Attention(code=REFUND_FAILED, since=refund.at, call_id=refund.call_id)
    return None


def refunds_to_mend(order: Order) -> list[Refund]:
    """The failed refunds that wait for a person: not followed by a newer one, or money is left on a dead order."""
    if not order.refunds:
        return []
    failed = [r for r in order.refunds if r.status is RefundStatus.FAILED and (r.surplus or order.refundable > 0)]
    alone = [r for r in failed if not _followed(order, r)]
    own = [r for r in failed if not r.surplus]
    stuck = order.status is Status.CANCELLED and order.refund_in_flight == 0
    if stuck and own and own[-1] not in alone:
        alone.append(own[-1])
    return alone


def _followed(order: Order, refund: Refund) -> bool:
    """A refund that was under way already when this one failed does not stand in for it."""
    return any(
        later.refund > refund.refund
        and later.at >= refund.at
        and later.surplus == refund.surplus
        and (not refund.surplus or later.attempt == refund.attempt)
        for later in order.refunds
    )


def next_timer(order: Order) -> datetime | None:
    """When something is due that nobody asks for: expiry, the end of a retry hold, the deadline of an attempt."""
    if order.status is Status.PENDING:
        return order.expires_at
    if order.status is Status.PAYMENT_FAILED:
        if order.hold_until is not None:
            return min(order.expires_at, order.hold_until)
        return order.expires_at
    if order.status is Status.PAYMENT_PENDING:
        attempt = order.newest_attempt
        if attempt is not None and attempt.status not in UNDER_VOID:
            return attempt.deadline_at
    return None


def allowed_by_put(order: Order) -> tuple[Status, ...]:
    """The statuses that ``PUT status`` would accept now, other than the present one."""
    allowed = [target for target, origin in BY_HAND.items() if origin is order.status]
    if order.status in CANCELLABLE:
        allowed.append(Status.CANCELLED)
    money_left = order.refundable > 0 or order.refund_in_flight > 0
    if order.status in (Status.SHIPPED, Status.DELIVERED, Status.CANCELLED) and money_left:
        allowed.append(Status.REFUNDED)
    return tuple(allowed)
