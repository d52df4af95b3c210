"""What the rules would refuse, the database refuses as well: random paid orders on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import asyncpg
import pytest
from msgspec.structs import replace

from order_service.api.codes import EXPONENTS
from order_service.core.answers import Answer, CallKind, RefundState, StockCommitted
from order_service.core.decide import check
from order_service.core.lifecycle import PaymentFacet, Status
from order_service.core.messages import Answered, GiveUpCall, RefundOrder, SetStatus
from order_service.core.model import MAX_AMOUNT, Order, Refund, RefundStatus
from order_service.store.commit import Entry
from order_service.store.load import Loaded
from tests.money.baskets import split
from tests.store.given import Store, entry, line, store

ORDERS = 40


async def _paid(s: Store, total: int, currency: str = "EUR", status: Status = Status.SHIPPED) -> Loaded:
    order = await s.confirmed(items=(line(1, price=total, quantity=1),), shipping_cost=0, currency=currency)
    for step in (Status.PROCESSING, Status.SHIPPED):
        if order.state.order.status is not status:
            order = await s.apply(entry(order, SetStatus(step)))
    return order


async def _answer(s: Store, order: Loaded, row: Refund, status: str) -> Loaded:
    call = next(c for c in order.state.calls if c.subject == row.reference)
    answer: Answer = RefundState(row.reference, f"re-{row.refund}", row.amount, status)  # type: ignore[arg-type]
    return await s.apply(entry(order, Answered(call.call_id, answer)))


async def test_random_splits_leave_sums_in_the_database_that_add_up_to_what_was_captured(database: str) -> None:
    chance = Random(20_260_304)
    async with store(database) as s:
        for _ in range(ORDERS):
            total = chance.choice((1, 100, chance.randint(1, 10**9), MAX_AMOUNT))
            order = await _paid(s, total, chance.choice(sorted(EXPONENTS)))
            for part in split(chance, total):
                order = await s.apply(entry(order, RefundOrder("dent", part)))
                row = order.state.order.refunds[-1]
                order = await _answer(s, order, row, chance.choice(("pending", "succeeded")))
            for row in order.state.order.refunds:
                if row.status is RefundStatus.PENDING:
                    order = await _answer(s, order, row, "succeeded")
        assert await s.value("select count(*) from orders where status = 'refunded' and refunded = captured") == ORDERS
        taken = "select sum(amount) from payment_attempts where status = 'captured'"
        back = "select sum(amount) from refunds where status = 'succeeded'"
        assert await s.value(f"select ({taken}) = ({back})") is True


async def test_a_failed_refund_settled_outside_counts_in_the_bound_for_ever(database: str) -> None:
    async with store(database) as s:
        order = await s.cancelled(await _paid(s, 1000, status=Status.CONFIRMED))
        order = await _answer(s, order, order.state.order.refunds[0], "failed")
        call_id = order.state.order.refunds[0].call_id
        order = await s.apply(entry(order, GiveUpCall(call_id, "paid back in cash")))
        [row] = await s.rows("select captured, refunded, refund_in_flight, settled_outside, attention from orders")
        assert row == {
            "captured": 1000,
            "refunded": 0,
            "refund_in_flight": 0,
            "settled_outside": 1000,
            "attention": None,
        }


def _as_a_faulty_rule_would(one: Entry, change: Callable[[Order], Order]) -> Entry:
    decision = one.decision
    return replace(one, decision=replace(decision, state=replace(decision.state, order=change(decision.state.order))))


def _last_refund(order: Order, amount: int, status: RefundStatus) -> Order:
    return replace(order, refunds=(*order.refunds[:-1], replace(order.refunds[-1], amount=amount, status=status)))


FAULTS: list[tuple[str, Callable[[Order], Order], str]] = [
    (
        "more on its way than was captured",
        lambda o: _last_refund(o, o.total + 1, RefundStatus.REQUESTED),
        "no_more_back_than_captured",
    ),
    (
        "more settled outside than was captured",
        lambda o: _last_refund(o, o.total + 1, RefundStatus.SETTLED_OUTSIDE),
        "no_more_back_than_captured",
    ),
    (
        "a refund counted that never succeeded",
        lambda o: replace(o, payment=replace(o.payment, refunded=1)),
        "do not add up",
    ),
    (
        "a refund that succeeded and is not counted",
        lambda o: _last_refund(o, 1, RefundStatus.SUCCEEDED),
        "do not add up",
    ),
    (
        "captured without a capture",
        lambda o: replace(o, payment=replace(o.payment, captured=o.total - 1)),
        "goods_never_leave_unpaid",
    ),
    ("a refund of nothing", lambda o: _last_refund(o, 0, RefundStatus.REQUESTED), "refunds_amount_check"),
    ("a negative refund", lambda o: _last_refund(o, -1, RefundStatus.REQUESTED), "refunds|amounts_are_in_range"),
    (
        "refunded although money is left",
        lambda o: replace(o, status=Status.REFUNDED, payment=replace(o.payment, status=PaymentFacet.REFUNDED)),
        "goods_never_leave_unpaid",
    ),
]


@pytest.mark.parametrize(("change", "said"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
async def test_a_faulty_refund_is_refused_and_changes_nothing(
    database: str, change: Callable[[Order], Order], said: str
) -> None:
    chance = Random(20_260_305)
    async with store(database) as s:
        for total in (2, chance.randint(10, 10**12), MAX_AMOUNT - 1):
            before = await _paid(s, total)
            with pytest.raises(asyncpg.CheckViolationError, match=said):
                await s.commit(_as_a_faulty_rule_would(entry(before, RefundOrder("dent", 1)), change))
            assert await s.load(before.state.order.id) == before


async def test_a_refund_that_leaves_nothing_before_the_goods_are_sent_is_refused(database: str) -> None:
    async with store(database) as s:
        order = await _paid(s, 100, status=Status.PROCESSING)
        order = await s.apply(entry(order, RefundOrder("dent", 99)))
        row = order.state.order.refunds[0]
        call = next(c for c in order.state.calls if c.subject == row.reference)
        done = entry(order, Answered(call.call_id, RefundState(row.reference, "re-1", 99, "succeeded")))

        def all_of_it(o: Order) -> Order:
            paid = replace(o.payment, refunded=100, status=PaymentFacet.PARTIALLY_REFUNDED)
            return replace(_last_refund(o, 100, RefundStatus.SUCCEEDED), payment=paid)

        with pytest.raises(asyncpg.CheckViolationError, match="goods_never_leave_unpaid"):
            await s.commit(_as_a_faulty_rule_would(done, all_of_it))
        assert (await s.apply(done)).state.order.payment.refunded == 99


async def test_more_surplus_than_was_taken_never_goes_back(database: str) -> None:
    async with store(database) as s:
        before = await _paid(s, 500)
        one = entry(before, RefundOrder("dent", 1))
        for status in ("requested", "succeeded", "settled_outside"):

            def as_surplus(o: Order, status: str = status) -> Order:
                faulty = replace(o.refunds[-1], surplus=True, status=RefundStatus(status))
                return replace(o, refunds=(*o.refunds[:-1], faulty))

            faulty = _as_a_faulty_rule_would(one, as_surplus)
            with pytest.raises(AssertionError, match="more surplus was promised back than was taken"):
                check(faulty.decision.state.order)
            with pytest.raises(asyncpg.CheckViolationError, match="do not add up"):
                await s.commit(faulty)
        assert await s.load(before.state.order.id) == before


async def test_the_order_of_a_lost_parcel_keeps_its_committed_stock_and_is_refunded(database: str) -> None:
    async with store(database) as s:
        order = await s.answered(await _paid(s, 700), CallKind.COMMIT, StockCommitted())
        order = await s.apply(entry(order, SetStatus(Status.REFUNDED, "lost")))
        order = await _answer(s, order, order.state.order.refunds[0], "succeeded")
        assert await s.rows("select status, stock, payment_status, refunded from orders") == [
            {"status": "refunded", "stock": "committed", "payment_status": "refunded", "refunded": 700}
        ]
