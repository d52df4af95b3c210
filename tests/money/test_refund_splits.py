"""However an amount is given back, in parts, in any order, through failures: it adds up, and never goes beyond.

Ten thousand random orders give back random splits; Hypothesis looks for the one sequence that breaks the bound.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from order_service.core.answers import CallKind, Lied, StockCommitted, Unanswered
from order_service.core.errors import CancelInstead, RefundExceedsCaptured, Refusal
from order_service.core.facets import refunds_to_mend
from order_service.core.lifecycle import Status
from order_service.core.messages import Cancel, GiveUpCall, Pay, RefundOrder, RetryCall, SetStatus
from order_service.core.model import MAX_AMOUNT, REFUND_IN_FLIGHT, Order, Refund, RefundStatus
from tests.core.given import Story, payment, refund, reserved
from tests.money.baskets import split

ORDERS = 10_000
OUT = (RefundStatus.SUCCEEDED, RefundStatus.SETTLED_OUTSIDE, *REFUND_IN_FLIGHT)
_REFUND = (CallKind.REFUND, CallKind.READ_REFUND)
FATES = ("succeeded", "pending", "failed", "silent", "lied")


class Till:
    """A paid order and the shortest words for what becomes of its refunds."""

    def __init__(self, total: int, status: Status = Status.SHIPPED) -> None:
        self.story: Story = reserved(total).when(Pay()).answered(CallKind.CHARGE, payment("succeeded", amount=total))
        for step in (Status.PROCESSING, Status.SHIPPED, Status.DELIVERED):
            if self.order.status is not status:
                self.story.when(SetStatus(step))
                if step is Status.SHIPPED:
                    self.story.answered(CallKind.COMMIT, StockCommitted())

    @property
    def order(self) -> Order:
        return self.story.order

    def open_refunds(self) -> list[Refund]:
        """Refunds whose call may be answered now."""
        asked = {c.subject for c in self.story.state.calls if c.kind in _REFUND and c.parked is None}
        return [r for r in self.order.refunds if r.reference in asked]

    def waiting(self) -> list[str]:
        """The calls that wait for a person: parked, or of a refund that failed."""
        parked = [c.call_id for c in self.story.state.calls if c.parked is not None]
        return parked + [r.call_id for r in refunds_to_mend(self.order)]

    def answer(self, row: Refund, fate: str) -> None:
        """The payment service says this about a refund, or does not."""
        [call] = [c for c in self.story.state.calls if c.subject == row.reference]
        if fate == "silent":
            self.story.answered(call.kind, Unanswered("timeout"), subject=row.reference)
        elif fate == "lied":
            self.story.answered(call.kind, Lied("another amount"), subject=row.reference)
        else:
            self.story.answered(call.kind, refund(fate, row.reference, row.amount), subject=row.reference)

    def promised(self) -> int:
        """What is back, on its way, or settled outside: added up from the rows, not from the order's own sums."""
        return sum(row.amount for row in self.order.refunds if row.status in OUT)

    def one_more_is_refused(self) -> None:
        """One minor unit beyond what is left is refused, whatever is left."""
        left = self.order.payment.captured - self.promised()
        self.story.refuses(RefundOrder("too much", left + 1), RefundExceedsCaptured)


def test_any_split_of_ten_thousand_orders_adds_up_to_what_was_captured() -> None:
    chance = Random(20_260_302)
    met: Counter[str] = Counter()
    for _ in range(ORDERS):
        total = chance.choice((1, 2, 3, 100, 9_999, chance.randint(1, 10**9), MAX_AMOUNT - chance.randint(0, 3)))
        till = Till(total, chance.choice((Status.SHIPPED, Status.DELIVERED)))
        _give_all_back(till, chance, met)
        assert till.promised() == till.order.payment.captured == total
        outside = till.order.settled_outside
        assert till.order.payment.refunded == total - outside
        assert (till.order.status is Status.REFUNDED) == (outside == 0)
        assert till.order.attention is None
    assert met["refunded by parts"] > 1000
    assert met["failed"] > 1000
    assert met["settled outside"] > 100


def _give_all_back(till: Till, chance: Random, met: Counter[str]) -> None:
    parts = split(chance, till.order.payment.captured)
    met["refunded by parts"] += len(parts) > 1
    while till.promised() < till.order.payment.captured or till.open_refunds() or till.waiting():
        if parts and chance.random() < 0.5:
            till.story.when(RefundOrder("dent", parts.pop()))
        elif opened := till.open_refunds():
            fate = chance.choices(FATES, (8, 2, 2, 1, 1))[0]
            met[fate] += 1
            till.answer(chance.choice(opened), fate)
        elif waiting := till.waiting():
            _mend(till, chance, waiting[0], met)
        elif not parts:
            till.story.when(RefundOrder("the rest"))  # of parts that failed and were let be
        if chance.random() < 0.3:
            till.one_more_is_refused()
        assert till.promised() <= till.order.payment.captured


def _mend(till: Till, chance: Random, call_id: str, met: Counter[str]) -> None:
    if chance.random() < 0.6:
        till.story.when(RetryCall(call_id))
    else:
        till.story.when(GiveUpCall(call_id, "paid back in cash"))
        met["settled outside"] += till.order.settled_outside > 0


@pytest.mark.parametrize("status", [Status.CONFIRMED, Status.PROCESSING])
def test_before_the_goods_have_left_any_split_stops_one_minor_unit_short_of_everything(status: Status) -> None:
    chance = Random(20_260_303)
    for _ in range(500):
        till = Till(chance.choice((2, 3, 1_000, MAX_AMOUNT)), status)
        total = till.order.total
        for part in split(chance, total - 1):
            till.story.when(RefundOrder("dent", part))
            till.answer(till.open_refunds()[0], "succeeded")
        assert till.order.payment.refunded == total - 1
        assert till.order.status is status
        till.story.refuses(RefundOrder("the last unit", 1), CancelInstead)
        till.one_more_is_refused()
        till.story.when(Cancel("after all"))
        till.answer(till.open_refunds()[0], "succeeded")
        assert (till.order.status, till.order.payment.refunded) == (Status.REFUNDED, total)


class AnySequence(RuleBasedStateMachine):
    """Staff, a failing payment service and people who settle outside, in any order."""

    @initialize(
        total=st.one_of(st.integers(1, 20), st.integers(MAX_AMOUNT - 3, MAX_AMOUNT)),
        status=st.sampled_from([Status.CONFIRMED, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED]),
    )
    def pay(self, total: int, status: Status) -> None:
        self.till = Till(total, status)
        self.total = total
        self.back = 0

    @rule(amount=st.one_of(st.none(), st.integers(0, 21), st.integers(MAX_AMOUNT // 2, MAX_AMOUNT)))
    def ask_for_a_refund(self, amount: int | None) -> None:
        left = self.total - self.till.promised()
        try:
            self.till.story.when(RefundOrder("dent", amount))
        except Refusal:
            assert amount is None or not 0 < amount < left or self.till.order.status is Status.CANCELLED
        else:
            assert 0 < self.till.order.refunds[-1].amount <= left

    @rule(fate=st.sampled_from(FATES), lot=st.integers(0, 99), again=st.booleans())
    def a_refund_is_answered_or_mended(self, fate: str, lot: int, again: bool) -> None:
        opened, waiting = self.till.open_refunds(), self.till.waiting()
        if waiting and (lot % 2 or not opened):
            self._mend(waiting[lot % len(waiting)], again)
        elif opened:
            row = opened[lot % len(opened)]
            self.till.answer(row, fate)
            self.back += row.amount if fate == "succeeded" else 0

    def _mend(self, call_id: str, again: bool) -> None:
        before = self.till.order
        self.till.story.when(RetryCall(call_id) if again else GiveUpCall(call_id, "in cash"))
        if len(self.till.order.refunds) > len(before.refunds) and before.status is not Status.CANCELLED:
            [failed] = [row for row in before.refunds if row.call_id == call_id]
            assert self.till.order.refunds[-1].amount <= failed.amount, "a retry gives back more than was asked for"

    @rule(status=st.sampled_from([Status.PROCESSING, Status.SHIPPED, Status.DELIVERED, Status.REFUNDED]))
    def staff_moves_it_on(self, status: Status) -> None:
        try:
            self.till.story.when(SetStatus(status))
        except Refusal:
            return
        if status is Status.SHIPPED and any(c.kind is CallKind.COMMIT for c in self.till.story.state.calls):
            self.till.story.answered(CallKind.COMMIT, StockCommitted())

    @rule(lot=st.integers(0, 4))
    def the_customer_cancels(self, lot: int) -> None:
        if lot < 4:
            return  # an order that is over has few stories left
        try:
            self.till.story.when(Cancel("changed my mind"))
        except Refusal:
            return

    @invariant()
    def nothing_goes_beyond_what_was_captured(self) -> None:
        if not hasattr(self, "till"):
            return
        order = self.till.order
        assert order.payment.captured == self.total
        assert order.payment.refunded == self.back
        assert self.till.promised() <= self.total
        assert order.refundable == self.total - self.till.promised()
        assert (order.status is Status.REFUNDED) == (self.back == self.total)
        if order.status in (Status.CONFIRMED, Status.PROCESSING):
            assert self.back < self.total
        self.till.one_more_is_refused()


AnySequence.TestCase.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
TestAnySequenceOfRefunds = AnySequence.TestCase
