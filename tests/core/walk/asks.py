"""What each call asks for, to the last member: the partners act on these bytes and on nothing else."""

from __future__ import annotations

from order_service.core.answers import CallKind
from order_service.core.messages import Call
from order_service.core.model import Order, State
from order_service.core.requests import (
    ChargeRequest,
    ClearCartRequest,
    CommitRequest,
    PaymentMethod,
    ReadPaymentRequest,
    ReadRefundRequest,
    RefundRequest,
    ReleaseRequest,
    Request,
    ReserveRequest,
    StockItem,
    VoidRequest,
    encode_request,
)

_KEY_BEHIND = {
    CallKind.RELEASE: "-release",
    CallKind.COMMIT: "-commit",
    CallKind.VOID: "-void",
    CallKind.READ_PAYMENT: "-read_payment",
    CallKind.CHECK_PAYMENT: "-check_payment",
    CallKind.LATE_CHECK: "-late_check",
    CallKind.READ_REFUND: "-read",
}


def asked_rightly(call: Call, state: State) -> bool:
    """Whether the call asks exactly for what it is about, under the key that belongs to that."""
    order = state.order
    key = f"{order.id}-cart" if call.kind is CallKind.CLEAR_CART else call.subject + _KEY_BEHIND.get(call.kind, "")
    return call.key == key and call.request == encode_request(_request(call.kind, call.subject, state))


def _request(kind: CallKind, subject: str, state: State) -> Request:
    order = state.order
    match kind:
        case CallKind.RESERVE:
            return ReserveRequest(subject, order.id, _items(order))
        case CallKind.RELEASE:
            return ReleaseRequest(subject, order.id)
        case CallKind.COMMIT:
            return CommitRequest(subject, order.id)
        case CallKind.CLEAR_CART:
            return ClearCartRequest(order.user_id, order.id, _items(order))
        case CallKind.CHARGE:
            token = PaymentMethod(state.attempt_token or "")
            return ChargeRequest(order.id, subject, order.total, order.currency, token)
        case CallKind.VOID:
            return VoidRequest(subject, order.total, order.currency)
        case CallKind.REFUND | CallKind.READ_REFUND:
            return _refund(kind, subject, order)
        case _:
            [payment] = [a.payment_id for a in order.payment.attempts if a.reference == subject]
            return ReadPaymentRequest(subject, payment, order.total, order.currency)


def _refund(kind: CallKind, subject: str, order: Order) -> Request:
    [row] = [r for r in order.refunds if r.reference == subject]
    [payment] = [a.payment_id for a in order.payment.attempts if a.attempt == row.attempt]
    if kind is CallKind.REFUND:
        return RefundRequest(payment or "", subject, row.amount, row.reason)
    return ReadRefundRequest(payment or "", subject, row.amount)


def _items(order: Order) -> tuple[StockItem, ...]:
    products = list(dict.fromkeys(line.product_id for line in order.items))
    return tuple(StockItem(p, sum(line.quantity for line in order.items if line.product_id == p)) for p in products)
