"""Cancellation: who may, what it gives back, and twice is once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from order_service.core.answers import CallKind, Released, Reserved
from order_service.core.errors import NotCancellable, UnlawfulMove
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import Answered, Cancel, End, Event, Pay, RefundOrder, SetStatus, Tick
from order_service.core.model import AttemptStatus, RefundStatus
from order_service.core.requests import RefundRequest, decode_request

from .given import (
    SILENCE,
    Story,
    cancelled_after_payment,
    cancelled_while_unknown,
    confirmed,
    declined,
    delivered,
    failed,
    paying,
    paying_again,
    payment,
    placed,
    processing,
    refund,
    reserved,
    shipped,
    unknown,
)

CANCELLED = (Event.CANCELLED, Event.STATUS_CHANGED)


@pytest.mark.parametrize("given", [shipped, delivered])
def test_1_goods_that_have_left_cannot_be_cancelled(given: Callable[[], Story]) -> None:
    story = given()
    story.refuses(Cancel(), NotCancellable, orderStatus=story.order.status)
    story.refuses(SetStatus(Status.CANCELLED), UnlawfulMove, orderStatus=story.order.status)


def test_2_3_5_cancelling_an_unpaid_order_gives_its_stock_back() -> None:
    story = reserved().when(Cancel("too slow"))
    story.then(Status.CANCELLED, Stock.RELEASING, PaymentFacet.NONE, events=CANCELLED, calls=(CallKind.RELEASE,))
    assert story.order.cancellation is not None
    assert (story.order.cancellation.code, story.order.cancellation.reason) == ("requested", "too slow")
    assert story.decision.timer_at is None
    assert story.outcome().status == 200


@pytest.mark.parametrize("given", [confirmed, processing])
def test_4_cancelling_a_paid_order_refunds_all_of_it(given: Callable[[], Story]) -> None:
    story = given().when(Cancel())
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        PaymentFacet.REFUND_PENDING,
        events=CANCELLED,
        calls=(CallKind.RELEASE, CallKind.REFUND),
    )
    call = story.new_call(CallKind.REFUND)
    assert (call.subject, call.key) == ("o-f1", "o-f1")
    assert decode_request(call.kind, call.request) == RefundRequest("pay-o-p1", "o-f1", 100, "requested")
    story.answered(CallKind.REFUND, refund("succeeded"))
    story.then(
        Status.REFUNDED,
        Stock.RELEASING,
        PaymentFacet.REFUNDED,
        events=(Event.REFUNDED, Event.STATUS_CHANGED),
        ended={CallKind.REFUND: End.DONE},
    )
    story.answered(CallKind.RELEASE, Released())
    story.then(Status.REFUNDED, Stock.RELEASED, PaymentFacet.REFUNDED, ended={CallKind.RELEASE: End.DONE})


def test_a_cancel_before_the_order_is_public_tells_nobody() -> None:
    story = placed().when(Cancel())
    assert story.decision.events == ()
    assert story.order.status is Status.CANCELLED


@pytest.mark.parametrize(
    ("given", "ended", "facet"),
    [
        (paying, CallKind.CHARGE, PaymentFacet.PENDING),
        (unknown, CallKind.CHARGE, PaymentFacet.UNKNOWN),
        (
            lambda: paying().answered(CallKind.CHARGE, payment("processing")),
            CallKind.READ_PAYMENT,
            PaymentFacet.PENDING,
        ),
    ],
)
def test_cancelling_an_order_whose_charge_is_open_voids_it(
    given: Callable[[], Story], ended: CallKind, facet: PaymentFacet
) -> None:
    story = given().when(Cancel())
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        facet,
        events=CANCELLED,
        calls=(CallKind.RELEASE, CallKind.VOID),
        ended={ended: End.DROPPED},
    )


def test_cancelling_an_order_whose_charge_is_being_voided_waits_for_that_void() -> None:
    story = unknown().when(Tick(), after_s=900).when(Cancel())
    story.then(Status.CANCELLED, Stock.RELEASING, PaymentFacet.UNKNOWN, events=CANCELLED, calls=(CallKind.RELEASE,))
    assert [c.kind for c in story.state.calls] == [CallKind.VOID, CallKind.RELEASE]


@pytest.mark.parametrize("answer", ["voided", "declined"])
def test_a_void_that_worked_leaves_nothing_to_refund(answer: str) -> None:
    story = cancelled_while_unknown().answered(CallKind.VOID, payment(answer))
    story.then(
        Status.CANCELLED,
        Stock.RELEASED,
        PaymentFacet(answer),
        calls=(CallKind.LATE_CHECK,),
        ended={CallKind.VOID: End.DONE},
    )


def test_a_capture_after_cancellation_is_refunded_and_never_called_a_success() -> None:
    story = cancelled_while_unknown().answered(CallKind.VOID, payment("succeeded"))
    story.then(
        Status.CANCELLED,
        Stock.RELEASED,
        PaymentFacet.REFUND_PENDING,
        calls=(CallKind.REFUND,),
        ended={CallKind.VOID: End.DONE},
    )
    assert story.order.payment.captured == 100
    story.answered(CallKind.REFUND, refund("succeeded"))
    story.then(
        Status.REFUNDED,
        Stock.RELEASED,
        PaymentFacet.REFUNDED,
        events=(Event.REFUNDED, Event.STATUS_CHANGED),
        ended={CallKind.REFUND: End.DONE},
    )


def test_a_void_that_cannot_stop_the_charge_of_a_cancelled_order_is_read_until_final() -> None:
    story = paying().answered(CallKind.CHARGE, payment("processing")).when(Cancel())
    story.answered(CallKind.VOID, payment("processing"))
    assert [c.kind for c in story.decision.calls] == [CallKind.READ_PAYMENT]
    story.answered(CallKind.READ_PAYMENT, payment("succeeded"))
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        PaymentFacet.REFUND_PENDING,
        calls=(CallKind.REFUND,),
        ended={CallKind.READ_PAYMENT: End.DONE},
    )


def test_a_cancel_while_the_older_release_is_owed_owes_no_second_one() -> None:
    story = declined().when(Cancel())
    story.then(Status.CANCELLED, Stock.RELEASING, PaymentFacet.DECLINED, events=CANCELLED)


def test_a_cancel_after_the_stock_went_back_owes_nothing() -> None:
    failed().when(Cancel()).then(Status.CANCELLED, Stock.RELEASED, PaymentFacet.DECLINED, events=CANCELLED)


def test_a_cancel_ends_the_retry_hold() -> None:
    story = declined(retry_hold_s=300).when(Cancel())
    assert (story.order.hold_until, story.decision.timer_at) == (None, None)
    assert [c.kind for c in story.decision.calls] == [CallKind.RELEASE]


def test_a_cancel_closes_the_attempt_that_waits_for_stock() -> None:
    story = paying_again()
    reserve = story.call(CallKind.RESERVE)
    story.when(Cancel())
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        PaymentFacet.DECLINED,
        events=CANCELLED,
        calls=(CallKind.RELEASE,),
        ended={CallKind.RESERVE: End.DROPPED, CallKind.CHECK_PAYMENT: End.DROPPED},
    )
    assert story.attempt(2).status is AttemptStatus.CLOSED
    story.when(Answered(reserve.call_id, Reserved())).then_nothing()


def test_a_cancel_while_part_is_under_way_back_refunds_the_rest() -> None:
    story = confirmed().when(RefundOrder("scratch", 30)).when(Cancel())
    assert [(r.amount, r.status) for r in story.order.refunds] == [
        (30, RefundStatus.REQUESTED),
        (70, RefundStatus.REQUESTED),
    ]
    story.answered(CallKind.REFUND, refund("succeeded", "o-f2", 70), subject="o-f2")
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        PaymentFacet.REFUND_PENDING,
        events=(Event.REFUNDED,),
        ended={CallKind.REFUND: End.DONE},
    )
    story.answered(CallKind.REFUND, refund("succeeded", "o-f1", 30))
    assert (story.order.status, story.order.payment.refunded) == (Status.REFUNDED, 100)


def test_cancelling_an_order_of_total_0_leaves_nothing_to_refund() -> None:
    story = reserved(total=0).when(Cancel())
    story.then(Status.CANCELLED, Stock.RELEASING, PaymentFacet.NONE, events=CANCELLED, calls=(CallKind.RELEASE,))


@pytest.mark.parametrize(
    "given", [reserved, paying, unknown, failed, paying_again, confirmed, processing, cancelled_while_unknown]
)
def test_cancelling_twice_is_cancelling_once(given: Callable[[], Story]) -> None:
    story = given()
    if story.order.status is not Status.CANCELLED:
        story.when(Cancel())
    for again in (Cancel(), SetStatus(Status.CANCELLED), Cancel("another reason")):
        story.when(again).then_nothing()
        assert story.decision.asked is not None
        assert story.decision.asked.unchanged
        assert story.outcome().status == 200


def test_a_cancelled_order_that_was_refunded_is_still_a_cancelled_one() -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, refund("succeeded"))
    for again in (Cancel(), SetStatus(Status.CANCELLED)):
        story.when(again).then_nothing()


def test_a_refunded_order_that_was_shipped_cannot_be_cancelled() -> None:
    story = shipped().when(SetStatus(Status.REFUNDED)).answered(CallKind.REFUND, refund("succeeded"))
    story.refuses(Cancel(), NotCancellable, orderStatus=Status.REFUNDED)
    story.refuses(SetStatus(Status.CANCELLED), UnlawfulMove, orderStatus=Status.REFUNDED)


def test_put_cancelled_is_the_same_as_cancel() -> None:
    assert reserved().when(SetStatus(Status.CANCELLED)).order == reserved().when(Cancel()).order


def test_expiry_of_a_reserved_order_is_told_like_a_cancel() -> None:
    story = reserved().when(Tick(), after_s=1800)
    story.then(Status.CANCELLED, Stock.RELEASING, PaymentFacet.NONE, events=CANCELLED, calls=(CallKind.RELEASE,))
    assert story.order.cancellation is not None
    assert story.order.cancellation.code == "expired"


def test_an_unanswered_release_keeps_only_the_release_waiting() -> None:
    story = reserved().when(Cancel()).answered(CallKind.RELEASE, SILENCE)
    story.then_unseen(ended={CallKind.RELEASE: End.AGAIN})
    assert story.order.attention is None


def test_a_click_on_pay_and_a_cancel_in_one_moment_void_the_charge() -> None:
    story = reserved().when(Pay()).when(Cancel(), after_s=0)
    assert [c.kind for c in story.state.calls] == [CallKind.RELEASE, CallKind.VOID]
