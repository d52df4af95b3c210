"""What a command is answered with, once it is settled; the same question has the same answer at any replica."""

from __future__ import annotations

from msgspec import Struct

from order_service.core.errors import (
    NotPayable,
    OutOfStock,
    PaymentDeclined,
    Refusal,
    StockNotReserved,
)
from order_service.core.facets import refunds_to_mend
from order_service.core.lifecycle import Status, Stock
from order_service.core.messages import Asked
from order_service.core.model import UNDER_VOID, AttemptStatus, Order, RefundStatus


class Outcome(Struct, frozen=True):
    """``status`` is the HTTP status; ``refusal`` replaces the order in the body where the answer is no.

    ``settled`` is false for an interim answer (202): the same question later has another answer.
    """

    status: int
    settled: bool = True
    refusal: Refusal | None = None


INTERIM = Outcome(202, settled=False)


def outcome(asked: Asked, order: Order) -> Outcome:
    """The answer to what was ``asked``, as far as the order tells by now."""
    match asked.kind:
        case "place":
            return _placed(order)
        case "pay":
            return _paid(order, asked.number)
        case "refund":
            return _refunded(order, asked.number)
        case "put_refunded":
            return _put_refunded(order, asked.number)
        case "retry":
            return Outcome(202)
        case _:
            return Outcome(200)


def _placed(order: Order) -> Outcome:
    if order.status is Status.PENDING and order.stock is Stock.RESERVING:
        return INTERIM
    if order.cancellation is not None and order.cancellation.code == "out-of-stock":
        shortages = order.reservations[0].shortages
        return Outcome(409, refusal=OutOfStock(shortages, orderId=order.id))
    return Outcome(201)


def _paid(order: Order, number: int) -> Outcome:
    if number > len(order.payment.attempts):
        return INTERIM  # an older version of the order, which knows nothing of the attempt
    attempt = order.payment.attempts[number - 1]
    if order.cancellation is not None and order.cancellation.open_attempt == number:
        return _refused(NotPayable(order.status))
    match attempt.status:
        case AttemptStatus.CAPTURED:
            return Outcome(200)
        case AttemptStatus.DECLINED | AttemptStatus.VOIDED:
            return _refused(PaymentDeclined(attempt.decline_code, number))
        case AttemptStatus.CLOSED if attempt.decline_code == "out-of-stock":
            refused = [r for r in order.reservations if r.shortages]
            return _refused(OutOfStock(refused[-1].shortages if refused else (), orderId=order.id))
        case AttemptStatus.CLOSED:
            return _refused(StockNotReserved())
        case _:
            return INTERIM


def _refunded(order: Order, number: int) -> Outcome:
    if number > len(order.refunds):
        return INTERIM
    row = order.refunds[number - 1]
    in_flight = row.status in (RefundStatus.REQUESTED, RefundStatus.PENDING)
    return INTERIM if in_flight else Outcome(201)


def _put_refunded(order: Order, number: int) -> Outcome:
    """The order as it is, once neither a partner nor a person has anything left to do about its money."""
    if order.status is Status.REFUNDED:
        return Outcome(200)
    if number > len(order.refunds):
        return INTERIM  # an older version of the order, which knows nothing of the refund
    stopping = any(a.status in UNDER_VOID for a in order.payment.attempts)
    failed = any(not r.surplus for r in refunds_to_mend(order))
    return INTERIM if stopping or order.refund_in_flight or failed else Outcome(200)


def _refused(refusal: Refusal) -> Outcome:
    return Outcome(refusal.status, refusal=refusal)
