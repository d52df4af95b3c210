"""The tables of moves and facets, and the one door."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from order_service.core.answers import CallKind, Reserved
from order_service.core.decide import check, decide
from order_service.core.errors import UnlawfulMove
from order_service.core.lifecycle import CANCELLABLE, LAWFUL, MOVES, PaymentFacet, Status, Stock, may_move
from order_service.core.messages import Answered, Cancel, Pay, RefundOrder, SetStatus, Tick
from order_service.core.model import Order, Policy

from .given import MIDNIGHT, Story, confirmed, delivered, failed, paying, placed, placing, processing, reserved, shipped

# DESIGN.md, "Statuses and facets".
TABLE = {
    None: {"pending"},
    "pending": {"payment_pending", "cancelled", "confirmed"},
    "payment_pending": {"confirmed", "payment_failed", "cancelled"},
    "payment_failed": {"payment_pending", "cancelled"},
    "confirmed": {"processing", "cancelled"},
    "processing": {"shipped", "cancelled"},
    "shipped": {"delivered", "refunded"},
    "delivered": {"refunded"},
    "cancelled": {"refunded"},
    "refunded": set(),
}


def test_the_moves_are_those_of_the_design() -> None:
    assert {origin: set(targets) for origin, targets in MOVES.items()} == TABLE


@pytest.mark.parametrize("origin", [None, *Status])
@pytest.mark.parametrize("target", list(Status))
def test_every_other_move_is_unlawful(origin: Status | None, target: Status) -> None:
    assert may_move(origin, target) == (target in TABLE[origin])


def test_what_may_be_cancelled_is_what_the_table_lets_go_there() -> None:
    assert {s for s in Status if "cancelled" in TABLE[s]} == set(CANCELLABLE)


def test_the_lawful_facets_are_those_of_the_rules() -> None:
    back = {"refused", "releasing", "released"}
    paid = {"captured", "partially_refunded", "refund_pending", "refund_failed", "none"}
    gone = {"reserved", "committed"}
    assert {status: (set(stocks), set(facets)) for status, (stocks, facets) in LAWFUL.items()} == {
        "pending": ({"reserving", "reserved"}, {"none"}),
        "payment_pending": ({"reserved"}, {"pending", "unknown"}),
        "payment_failed": (back | {"reserving", "reserved"}, {"declined", "voided"}),
        "confirmed": ({"reserved"}, paid),
        "processing": ({"reserved"}, paid),
        "shipped": (gone, paid),
        "delivered": (gone, paid),
        "cancelled": (
            back,
            {"none", "pending", "unknown", "declined", "voided", "refund_pending", "refund_failed"},
        ),
        "refunded": ({"releasing", "released"} | gone, {"refunded"}),
    }
    assert {s for stocks, _ in LAWFUL.values() for s in stocks} == set(Stock)
    assert {f for _, facets in LAWFUL.values() for f in facets} == set(PaymentFacet)


HOW = {
    Status.PENDING: reserved,
    Status.PAYMENT_PENDING: paying,
    Status.PAYMENT_FAILED: failed,
    Status.CONFIRMED: confirmed,
    Status.PROCESSING: processing,
    Status.SHIPPED: shipped,
    Status.DELIVERED: delivered,
}


@pytest.mark.parametrize("status", HOW)
@pytest.mark.parametrize("target", [Status.PENDING, *(s for s in HOW if s.startswith("payment")), Status.CONFIRMED])
def test_no_request_sets_a_status_that_only_facts_about_a_payment_set(status: Status, target: Status) -> None:
    story = HOW[status]()
    if target is status:
        story.when(SetStatus(target)).then_nothing()
        assert story.outcome().status == 200
        assert story.decision.asked is not None
        assert story.decision.asked.unchanged
    else:
        story.refuses(SetStatus(target), UnlawfulMove, orderStatus=status)


def test_an_unlawful_move_names_what_is_allowed() -> None:
    reserved().refuses(SetStatus(Status.SHIPPED), UnlawfulMove, allowed=["cancelled"])
    confirmed().refuses(SetStatus(Status.SHIPPED), UnlawfulMove, allowed=["processing", "cancelled"])
    processing().refuses(SetStatus(Status.DELIVERED), UnlawfulMove, allowed=["shipped", "cancelled"])
    shipped().refuses(SetStatus(Status.PENDING), UnlawfulMove, allowed=["delivered", "refunded"])
    delivered().refuses(SetStatus(Status.SHIPPED), UnlawfulMove, allowed=["refunded"])
    reserved().when(Cancel()).refuses(SetStatus(Status.PROCESSING), UnlawfulMove, allowed=[])


def test_the_same_message_twice_gives_the_same_decision_to_the_last_byte() -> None:
    story = reserved()
    first, second = (decide(story.state, Pay(), story.now, story.policy) for _ in range(2))
    assert first == second
    assert first.calls[0].call_id == second.calls[0].call_id


def test_no_two_calls_of_an_order_share_an_id() -> None:
    story = placed()
    ids = [c.call_id for c in story.decision.calls]
    for step in (Answered(ids[0], Reserved()), Pay(), Cancel()):
        story.when(step)
        ids += [c.call_id for c in story.decision.calls]
    assert len(ids) == len(set(ids)) == 5


def test_time_never_runs_backwards_for_an_order() -> None:
    story = reserved()
    decision = decide(story.state, Pay(), MIDNIGHT - timedelta(hours=1), Policy())
    assert decision.state.order.updated_at == story.order.updated_at
    assert decision.state.order.payment.attempts[0].at == story.order.updated_at


def test_a_tick_before_anything_is_due_does_nothing() -> None:
    for given in (placed, reserved, paying, failed, confirmed, shipped):
        given().when(Tick()).then_nothing()


def test_an_answer_to_a_call_that_never_was_does_nothing() -> None:
    paying().when(Answered("no such call", Reserved())).then_nothing()


def test_a_change_is_told_with_its_way_and_its_reason() -> None:
    story = reserved().when(Cancel("changed my mind"))
    assert story.decision.change == {
        "by": "cancel",
        "fromStatus": "pending",
        "toStatus": "cancelled",
        "reason": "changed my mind",
    }
    assert story.decision.reason == "changed my mind"
    paid = confirmed()
    assert paid.decision.message == "answer to charge"
    assert paid.decision.answered is not None
    assert paid.call_of_before(CallKind.CHARGE).call_id == paid.decision.answered


def test_an_order_is_placed_once() -> None:
    story = Story()
    with pytest.raises(AssertionError):
        decide(None, Pay(), MIDNIGHT, Policy())
    with pytest.raises(AssertionError):
        story.when(placing())


def _money(**fields: int) -> Callable[[Order], Order]:
    return lambda order: replace(order, payment=replace(order.payment, **fields))


@pytest.mark.parametrize(
    ("given", "spoil"),
    [
        (confirmed, _money(captured=99)),
        (confirmed, _money(refunded=100)),
        (shipped, _money(captured=0)),
        (shipped, _money(refunded=101)),
        (paying, _money(captured=101)),
        (reserved, lambda order: replace(order, total=99)),
        (reserved, lambda order: replace(order, subtotal=99, total=99)),
        (reserved, lambda order: replace(order, stock=Stock.RELEASED)),
        (confirmed, lambda order: replace(order, status=Status.PENDING)),
        (lambda: shipped().when(RefundOrder("x", 60)), _money(refunded=41)),
        (lambda: shipped().when(RefundOrder("x")), lambda order: replace(order, status=Status.REFUNDED)),
    ],
)
def test_an_order_that_cannot_be_true_is_never_decided_upon(
    given: Callable[[], Story], spoil: Callable[[Order], Order]
) -> None:
    story = given()
    check(story.order)
    spoilt = replace(story.state, order=spoil(story.order))
    with pytest.raises(AssertionError):
        decide(spoilt, Tick(), story.now, story.policy)
