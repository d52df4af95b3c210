"""After every step of an order's life the tables tell what the order tells, column by column."""

from __future__ import annotations

from typing import Any

from order_service.core.answers import (
    CallKind,
    PaymentState,
    RefundState,
    Refused,
    Released,
    Reserved,
    Unanswered,
)
from order_service.core.facets import next_timer
from order_service.core.messages import GiveUpCall, Pay, RefundOrder, RetryCall
from order_service.core.model import Order
from order_service.store.load import Loaded

from .given import Store, call, entry, store

_OF_ATTEMPTS = (
    "attempt, reference, status, amount, payment_id, decline_code, surplus, at, deadline_at from payment_attempts"
)
_OF_REFUNDS = "refund, reference, attempt, amount, status, surplus, reason, refund_id, note, at from refunds"


async def tables_tell(s: Store, loaded: Loaded) -> None:
    """Assert that what was committed is what stands in the tables, and what is loaded from them."""
    order = loaded.state.order
    assert await s.load(order.id) == loaded
    [row] = await s.rows("select * from orders where id = $1::uuid", order.id)
    assert {name: row[name] for name in _columns(loaded)} == _columns(loaded)
    for part, columns in ((order.payment.attempts, _OF_ATTEMPTS), (order.refunds, _OF_REFUNDS)):
        found = await s.rows(f"select {columns} where order_id = $1::uuid order by 1", order.id)
        assert found == [{name: getattr(one, name) for name in found[0]} for one in part]


def _columns(loaded: Loaded) -> dict[str, Any]:
    order: Order = loaded.state.order
    return {
        **{name: getattr(order, name) for name in ("status", "stock", "version", "updated_at", "expires_at")},
        **{name: getattr(order, name) for name in ("refund_in_flight", "settled_outside", "event_sequence")},
        "payment_status": order.payment.status,
        "captured": order.payment.captured,
        "refunded": order.payment.refunded,
        "timer_at": next_timer(order),
        "attention": order.attention.code if order.attention else None,
        "contacts_version": loaded.contacts_version,
        "log_hash": loaded.log_hash,
        "revision": loaded.revision,
    }


def refunded(loaded: Loaded, number: int, status: Any, refund_id: str | None = "re-1") -> RefundState:
    """How the payment service says that refund stands."""
    row = loaded.state.order.refunds[number - 1]
    return RefundState(row.reference, refund_id, row.amount, status)


async def test_an_order_that_is_declined_paid_again_refunded_and_cancelled(database: str) -> None:
    async with store(database) as s:
        order = await s.paying()
        total = order.state.order.total
        order = await s.answered(order, CallKind.CHARGE, PaymentState("declined", "pay-1", "no-funds", total))
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.RELEASE, Released())
        order = await s.apply(entry(order, Pay("tok_other")))
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.CHECK_PAYMENT, Unanswered("no answer in time"))
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.CHECK_PAYMENT, PaymentState("declined", "pay-1", "no-funds", total))
        order = await s.answered(order, CallKind.RESERVE, Reserved())
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.CHARGE, PaymentState("succeeded", "pay-2", None, total))
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.LATE_CHECK, PaymentState("succeeded", "pay-1", None, total))
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.REFUND, refunded(order, 1, "succeeded", "re-1"))
        await tables_tell(s, order)
        order = await s.apply(entry(order, RefundOrder("one was broken", 100)))
        order = await s.answered(order, CallKind.REFUND, refunded(order, 2, "pending", "re-2"))
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.READ_REFUND, refunded(order, 2, "succeeded", "re-2"))
        await tables_tell(s, order)
        order = await s.apply(entry(order, RefundOrder("another one", 50)))
        order = await s.answered(order, CallKind.REFUND, refunded(order, 3, "failed", None), after_s=1)
        await tables_tell(s, order)
        order = await s.apply(entry(order, GiveUpCall(order.state.order.refunds[2].call_id, "a voucher")))
        await tables_tell(s, order)
        order = await s.cancelled(order)
        order = await s.answered(order, CallKind.REFUND, refunded(order, 4, "failed", None), after_s=2)
        await tables_tell(s, order)
        failed = order.state.order.refunds[3].call_id
        order = await s.apply(entry(order, GiveUpCall(failed, "paid in cash"), after_s=3))
        await tables_tell(s, order)
        statuses = [(r.status, r.amount) for r in order.state.order.refunds]
        assert statuses == [
            ("succeeded", total),
            ("succeeded", 100),
            ("acknowledged", 50),
            ("settled_outside", total - 100),
        ]


async def test_a_call_that_is_parked_and_sent_again_and_an_attempt_that_is_voided(database: str) -> None:
    async with store(database) as s:
        order = await s.paying()
        order = await s.answered(order, CallKind.CHARGE, Refused(401, "unauthorized"))
        await tables_tell(s, order)
        order = await s.apply(entry(order, RetryCall(call(order, CallKind.CHARGE).call_id)))
        await tables_tell(s, order)
        order = await s.answered(order, CallKind.CHARGE, Refused(401, "unauthorized"))
        order = await s.apply(entry(order, GiveUpCall(call(order, CallKind.CHARGE).call_id)))
        await tables_tell(s, order)
        voided = PaymentState("voided", "pay-1", None, order.state.order.total)
        order = await s.answered(order, CallKind.VOID, voided)
        await tables_tell(s, order)
        assert [a.status for a in order.state.order.payment.attempts] == ["voided"]
