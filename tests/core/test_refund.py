"""Refunds: the bound, the answers, the next one after a failure."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from order_service.core.answers import CallKind, KeyTooOld, Lied, RefundUnknown, Refused
from order_service.core.errors import CancelInstead, RefundExceedsCaptured, UnlawfulMove
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import Asked, Cancel, End, Event, Message, RefundOrder, SetStatus
from order_service.core.model import RefundStatus
from order_service.core.requests import ReadRefundRequest, RefundRequest, decode_request

from .given import (
    SILENCE,
    Story,
    cancelled_after_payment,
    cancelled_while_unknown,
    confirmed,
    delivered,
    failed,
    paying,
    payment,
    placed,
    processing,
    refund,
    reserved,
    shipped,
)

LIVE = [confirmed, processing]
GONE = [shipped, delivered]


@pytest.mark.parametrize("given", LIVE + GONE)
def test_a_part_goes_back_under_a_key_of_its_own(given: Callable[[], Story]) -> None:
    story = given()
    status, stock = story.order.status, story.order.stock
    story.when(RefundOrder("scratch", 30))
    story.then(status, stock, PaymentFacet.REFUND_PENDING, calls=(CallKind.REFUND,))
    call = story.new_call(CallKind.REFUND)
    assert (call.subject, call.key, call.due_in_s) == ("o-f1", "o-f1", 0)
    assert decode_request(call.kind, call.request) == RefundRequest("pay-o-p1", "o-f1", 30, "scratch")
    assert (story.outcome().status, story.outcome().settled, story.decision.reason) == (202, False, "scratch")
    asked = story.decision.asked
    story.answered(CallKind.REFUND, refund("succeeded", amount=30))
    story.then(
        status,
        stock,
        PaymentFacet.PARTIALLY_REFUNDED,
        events=(Event.REFUNDED,),
        ended={CallKind.REFUND: End.DONE},
    )
    assert (story.order.payment.refunded, story.order.refundable) == (30, 70)
    assert story.decision.change is not None
    assert story.decision.change["refund"] == {"refund": 1, "amount": 30, "surplus": False}
    assert asked is not None
    assert asked.number == 1


@pytest.mark.parametrize("given", [placed, reserved, paying, failed])
def test_nothing_captured_is_nothing_to_refund(given: Callable[[], Story]) -> None:
    story = given()
    story.refuses(RefundOrder("x", 1), RefundExceedsCaptured, refundable=0)
    story.refuses(RefundOrder("x"), RefundExceedsCaptured, refundable=0)
    story.refuses(SetStatus(Status.REFUNDED), UnlawfulMove)


def test_an_order_of_total_0_has_nothing_to_refund() -> None:
    story = reserved(total=0)
    story.refuses(RefundOrder("x"), RefundExceedsCaptured, refundable=0)
    story.when(SetStatus(Status.PROCESSING)).when(SetStatus(Status.SHIPPED))
    story.refuses(SetStatus(Status.REFUNDED), RefundExceedsCaptured, refundable=0)


@pytest.mark.parametrize("given", LIVE + GONE)
def test_what_is_under_way_counts_in_the_bound(given: Callable[[], Story]) -> None:
    story = given().when(RefundOrder("x", 60))
    story.refuses(RefundOrder("x", 41), RefundExceedsCaptured, refundable=40)
    story.answered(CallKind.REFUND, refund("pending", amount=60))
    story.refuses(RefundOrder("x", 41), RefundExceedsCaptured, refundable=40)
    story.answered(CallKind.READ_REFUND, refund("succeeded", amount=60))
    story.refuses(RefundOrder("x", 41), RefundExceedsCaptured, refundable=40)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_refund_gives_something_back(amount: int) -> None:
    confirmed().refuses(RefundOrder("x", amount), RefundExceedsCaptured, refundable=100)


@pytest.mark.parametrize("given", LIVE)
def test_before_shipping_a_refund_of_everything_is_a_cancellation(given: Callable[[], Story]) -> None:
    story = given()
    story.refuses(RefundOrder("x"), CancelInstead)
    story.refuses(RefundOrder("x", 100), CancelInstead)
    story.refuses(SetStatus(Status.REFUNDED), UnlawfulMove)
    story.when(RefundOrder("x", 60))
    story.refuses(RefundOrder("x"), CancelInstead)
    story.refuses(RefundOrder("x", 40), CancelInstead)
    story.when(RefundOrder("x", 39))
    assert story.order.refundable == 1


@pytest.mark.parametrize("given", GONE)
@pytest.mark.parametrize("message", [RefundOrder("lost"), SetStatus(Status.REFUNDED, "lost")])
def test_after_shipping_everything_may_go_back(given: Callable[[], Story], message: RefundOrder | SetStatus) -> None:
    story = given()
    status = story.order.status
    story.when(message)
    story.then(status, Stock.COMMITTED, PaymentFacet.REFUND_PENDING, calls=(CallKind.REFUND,))
    assert story.refund().amount == 100
    assert story.outcome().status == 202
    if isinstance(message, SetStatus):
        story.when(message).then_nothing()
        assert story.outcome().status == 202
    story.refuses(RefundOrder("again"), RefundExceedsCaptured, refundable=0)
    story.answered(CallKind.REFUND, refund("succeeded"))
    story.then(
        Status.REFUNDED,
        Stock.COMMITTED,
        PaymentFacet.REFUNDED,
        events=(Event.REFUNDED, Event.STATUS_CHANGED),
        ended={CallKind.REFUND: End.DONE},
    )
    assert story.decision.reason == "lost"
    story.when(SetStatus(Status.REFUNDED)).then_nothing()
    assert story.outcome().status == 200
    story.refuses(RefundOrder("again"), RefundExceedsCaptured, refundable=0)


def test_the_last_part_counts_as_all() -> None:
    story = shipped()
    for number, part in enumerate((30, 30, 40), start=1):
        story.when(RefundOrder("x", part))
        story.answered(CallKind.REFUND, refund("succeeded", f"o-f{number}", part))
    assert story.decision.events == (Event.REFUNDED, Event.STATUS_CHANGED)
    assert (story.order.status, story.order.payment.refunded) == (Status.REFUNDED, 100)


def test_put_refunded_goes_to_the_log_with_its_reason_or_with_ours() -> None:
    story = shipped().when(SetStatus(Status.REFUNDED, "lost"))
    assert (story.decision.reason, story.refund().reason) == ("lost", "lost")
    story = shipped().when(SetStatus(Status.REFUNDED))
    assert (story.decision.reason, story.refund().reason) == (None, "refunded by staff")


def test_put_refunded_adds_the_rest_to_what_is_under_way() -> None:
    story = shipped().when(RefundOrder("x", 30)).when(SetStatus(Status.REFUNDED))
    assert [r.amount for r in story.order.refunds] == [30, 70]


# --- the answers ---


def test_a_pending_refund_is_polled_until_it_is_final() -> None:
    story = shipped().when(RefundOrder("x", 30)).answered(CallKind.REFUND, refund("pending", amount=30))
    story.then(
        Status.SHIPPED,
        Stock.COMMITTED,
        PaymentFacet.REFUND_PENDING,
        calls=(CallKind.READ_REFUND,),
        ended={CallKind.REFUND: End.DONE},
    )
    call = story.new_call(CallKind.READ_REFUND)
    assert (call.subject, call.due_in_s) == ("o-f1", 1)
    assert decode_request(call.kind, call.request) == ReadRefundRequest("pay-o-p1", "o-f1", 30)
    for not_final in (refund("pending", amount=30), SILENCE, RefundUnknown()):
        story.answered(CallKind.READ_REFUND, not_final)
        story.then_unseen(ended={CallKind.READ_REFUND: End.AGAIN})
    story.answered(CallKind.READ_REFUND, refund("succeeded", amount=30))
    assert story.order.payment.refunded == 30
    assert story.state.calls == ()


def test_a_refund_that_the_payment_service_has_forgotten_gets_a_person() -> None:
    story = shipped().when(RefundOrder("x", 30)).answered(CallKind.REFUND, refund("pending", amount=30))
    story.answered(CallKind.READ_REFUND, RefundUnknown(), after_s=3598)
    story.then_unseen(ended={CallKind.READ_REFUND: End.AGAIN})
    story.answered(CallKind.READ_REFUND, RefundUnknown(), after_s=1)
    assert story.order.attention is not None
    assert (story.order.attention.code, story.order.attention.call_id) == (
        "answer-not-believed",
        story.call(CallKind.READ_REFUND).call_id,
    )
    assert story.refund().status is RefundStatus.PENDING
    assert story.order.refundable == 70, "what may have been given back is not given back again"


def test_a_refund_whose_key_is_too_old_is_looked_up_and_never_sent_again() -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, SILENCE)
    story.answered(CallKind.REFUND, KeyTooOld(), after_s=20 * 3600)
    assert [c.kind for c in story.decision.calls] == [CallKind.READ_REFUND]
    assert [c.kind for c in story.state.calls if c.kind in (CallKind.REFUND, CallKind.READ_REFUND)] == [
        CallKind.READ_REFUND
    ]
    call = story.new_call(CallKind.READ_REFUND)
    assert decode_request(call.kind, call.request) == ReadRefundRequest("pay-o-p1", "o-f1", 100)
    assert story.order.payment.status is PaymentFacet.REFUND_PENDING
    found = copy.deepcopy(story)
    found.answered(CallKind.READ_REFUND, refund("succeeded"))
    assert (found.order.status, found.order.payment.refunded) == (Status.REFUNDED, 100)
    story.answered(CallKind.READ_REFUND, RefundUnknown())
    assert story.order.attention is not None
    assert story.order.attention.code == "answer-not-believed"
    assert story.order.refundable == 0


def test_an_unanswered_refund_is_asked_again_and_nothing_shows() -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, SILENCE)
    story.then_unseen(ended={CallKind.REFUND: End.AGAIN})


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Refused(400, "bad"), "call-refused"), (Lied("another amount"), "answer-not-believed")],
)
def test_a_refund_that_cannot_be_believed_waits_for_a_person(answer: Refused | Lied, code: str) -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, answer)
    story.then(
        Status.CANCELLED,
        Stock.RELEASED,
        PaymentFacet.REFUND_PENDING,
        ended={CallKind.REFUND: End.PARKED},
        attention=code,
    )


def test_a_failed_refund_needs_a_person() -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, refund("failed"))
    story.then(
        Status.CANCELLED,
        Stock.RELEASED,
        PaymentFacet.REFUND_FAILED,
        ended={CallKind.REFUND: End.DONE},
        attention="refund-failed",
    )
    assert story.order.attention is not None
    assert (story.order.attention.call_id, story.order.attention.since) == (story.refund().call_id, story.now)
    assert story.order.refundable == 100


@pytest.mark.parametrize("message", [RefundOrder("again"), SetStatus(Status.REFUNDED)])
def test_a_failed_refund_is_followed_by_one_with_a_new_key(message: RefundOrder | SetStatus) -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, refund("failed")).when(message)
    story.then(Status.CANCELLED, Stock.RELEASED, PaymentFacet.REFUND_PENDING, calls=(CallKind.REFUND,))
    assert story.new_call(CallKind.REFUND).key == "o-f2"
    story.answered(CallKind.REFUND, refund("succeeded", "o-f2"))
    assert story.order.status is Status.REFUNDED


def test_a_failed_refund_is_final_and_owes_nothing() -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, refund("failed"))
    assert story.refund().status is RefundStatus.FAILED
    assert story.state.calls == ()


def test_a_failed_part_of_a_live_order_needs_a_person_and_may_be_followed() -> None:
    story = confirmed().when(RefundOrder("x", 30)).answered(CallKind.REFUND, refund("failed", amount=30))
    story.then(
        Status.CONFIRMED,
        Stock.RESERVED,
        PaymentFacet.REFUND_FAILED,
        ended={CallKind.REFUND: End.DONE},
        attention="refund-failed",
    )
    story.when(RefundOrder("x", 20))
    story.then(Status.CONFIRMED, Stock.RESERVED, PaymentFacet.REFUND_PENDING, calls=(CallKind.REFUND,))


def test_a_refund_that_was_under_way_already_is_no_successor_of_one_that_fails() -> None:
    story = shipped().when(RefundOrder("x", 30)).when(SetStatus(Status.REFUNDED))
    story.answered(CallKind.REFUND, refund("failed", amount=30), subject="o-f1")
    story.then(
        Status.SHIPPED,
        Stock.COMMITTED,
        PaymentFacet.REFUND_PENDING,
        ended={CallKind.REFUND: End.DONE},
        attention="refund-failed",
    )
    story.answered(CallKind.REFUND, refund("succeeded", "o-f2", 70))
    story.then(
        Status.SHIPPED,
        Stock.COMMITTED,
        PaymentFacet.PARTIALLY_REFUNDED,
        events=(Event.REFUNDED,),
        ended={CallKind.REFUND: End.DONE},
        attention="refund-failed",
    )


def test_money_left_on_a_cancelled_order_needs_a_person_until_nothing_is_left() -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, refund("failed"))
    story.when(RefundOrder("a first part", 40)).answered(CallKind.REFUND, refund("succeeded", "o-f2", 40))
    story.then(
        Status.CANCELLED,
        Stock.RELEASED,
        PaymentFacet.REFUND_FAILED,
        events=(Event.REFUNDED,),
        ended={CallKind.REFUND: End.DONE},
        attention="refund-failed",
    )
    story.when(RefundOrder("the rest")).answered(CallKind.REFUND, refund("succeeded", "o-f3", 60))
    story.then(
        Status.REFUNDED,
        Stock.RELEASED,
        PaymentFacet.REFUNDED,
        events=(Event.REFUNDED, Event.STATUS_CHANGED),
        ended={CallKind.REFUND: End.DONE},
    )


# --- dead orders ---


def test_while_a_void_is_in_flight_put_refunded_waits_with_it() -> None:
    story = cancelled_while_unknown().when(SetStatus(Status.REFUNDED)).then_nothing()
    assert story.outcome().status == 202
    story.refuses(RefundOrder("x"), RefundExceedsCaptured, refundable=0)


def test_while_a_refund_is_in_flight_put_refunded_waits_with_it() -> None:
    story = cancelled_after_payment().when(SetStatus(Status.REFUNDED)).then_nothing()
    assert story.outcome().status == 202
    story.refuses(RefundOrder("x", 1), RefundExceedsCaptured, refundable=0)


def test_a_cancelled_order_without_money_cannot_be_refunded() -> None:
    for story in (
        reserved().when(Cancel()),
        reserved(total=0).when(Cancel()),
        cancelled_while_unknown().answered(CallKind.VOID, payment("voided")),
    ):
        story.refuses(SetStatus(Status.REFUNDED), UnlawfulMove, orderStatus=Status.CANCELLED, allowed=[])
        story.refuses(RefundOrder("x"), RefundExceedsCaptured, refundable=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (confirmed, Cancel("the rest")),
        (processing, Cancel("the rest")),
        (shipped, RefundOrder("the rest", 1)),
        (delivered, RefundOrder("the rest")),
        (shipped, SetStatus(Status.REFUNDED, "the rest")),
    ],
)
def test_the_very_last_unit_goes_back_too(given: Callable[[], Story], message: Message) -> None:
    story = given().when(RefundOrder("nearly all", 99)).answered(CallKind.REFUND, refund("succeeded", amount=99))
    assert story.order.refundable == 1
    story.when(message)
    call = story.new_call(CallKind.REFUND)
    assert decode_request(call.kind, call.request) == RefundRequest("pay-o-p1", "o-f2", 1, "the rest")
    story.answered(CallKind.REFUND, refund("succeeded", "o-f2", 1))
    assert (story.order.status, story.order.payment.refunded) == (Status.REFUNDED, 100)


def test_of_a_cancelled_order_nothing_more_goes_back_while_a_refund_is_under_way() -> None:
    story = confirmed().when(RefundOrder("scratch", 30)).when(Cancel())
    story.answered(CallKind.REFUND, refund("failed", amount=30), subject="o-f1")
    assert (story.order.refundable, story.order.refund_in_flight) == (30, 70)
    story.refuses(RefundOrder("the rest", 30), RefundExceedsCaptured, refundable=0)
    story.when(SetStatus(Status.REFUNDED)).then_nothing()
    assert story.decision.asked == Asked("put_refunded", 2, unchanged=True)
