"""Paying again after a failure, the retry hold, expiry, and money that comes when nobody waits for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from order_service.core.answers import (
    CallKind,
    PaymentState,
    PaymentUnknown,
    Released,
    Reserved,
    ReserveRefused,
)
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import Asked, End, Event, Pay, Tick
from order_service.core.model import AttemptStatus
from order_service.core.requests import RefundRequest, ReleaseRequest, decode_request

from .given import (
    SHORT,
    SILENCE,
    Story,
    declined,
    failed,
    paying,
    paying_again,
    payment,
    refund,
)

PAYMENT_FAILED = (Event.PAYMENT_FAILED, Event.STATUS_CHANGED)
DAY_S = 24 * 3600


# --- paying again ---


def test_paying_again_reserves_anew_and_reads_the_closed_attempt_once_more() -> None:
    story = paying_again()
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RESERVING,
        PaymentFacet.DECLINED,
        calls=(CallKind.CHECK_PAYMENT, CallKind.RESERVE),
    )
    assert story.attempt(2).status is AttemptStatus.WAITING_STOCK
    assert story.new_call(CallKind.RESERVE).subject == "o-r2"
    assert story.new_call(CallKind.CHECK_PAYMENT).subject == "o-p1"
    assert (story.outcome().status, story.outcome().settled) == (202, False)
    story.when(Pay("tok_other")).then_nothing()


def test_a_new_reserve_waits_for_the_older_release() -> None:
    story = declined().when(Pay("tok_other"))
    story.then(Status.PAYMENT_FAILED, Stock.RELEASING, PaymentFacet.DECLINED, calls=(CallKind.CHECK_PAYMENT,))
    story.answered(CallKind.RELEASE, SILENCE).then_unseen(ended={CallKind.RELEASE: End.AGAIN})
    story.answered(CallKind.RELEASE, Released())
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RESERVING,
        PaymentFacet.DECLINED,
        calls=(CallKind.RESERVE,),
        ended={CallKind.RELEASE: End.DONE},
    )
    assert story.new_call(CallKind.RESERVE).subject == "o-r2"


def test_the_next_charge_waits_for_the_stock_and_for_the_closed_attempt() -> None:
    story = paying_again().answered(CallKind.RESERVE, Reserved())
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        events=(Event.STATUS_CHANGED,),
        ended={CallKind.RESERVE: End.DONE},
    )
    story.answered(CallKind.CHECK_PAYMENT, payment("declined"))
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        calls=(CallKind.CHARGE,),
        ended={CallKind.CHECK_PAYMENT: End.DONE},
    )
    assert story.new_call(CallKind.CHARGE).key == "o-p2"


def test_the_closed_attempt_may_be_read_before_the_stock_is_back() -> None:
    story = paying_again().answered(CallKind.CHECK_PAYMENT, PaymentUnknown())
    story.then_unseen(ended={CallKind.CHECK_PAYMENT: End.DONE})
    story.answered(CallKind.RESERVE, Reserved())
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        events=(Event.STATUS_CHANGED,),
        calls=(CallKind.CHARGE,),
        ended={CallKind.RESERVE: End.DONE},
    )


def test_an_unanswered_read_of_a_closed_attempt_shows_nowhere() -> None:
    story = paying_again()
    story.answered(CallKind.CHECK_PAYMENT, SILENCE).then_unseen(ended={CallKind.CHECK_PAYMENT: End.AGAIN})


def test_stock_that_is_gone_meanwhile_charges_nothing() -> None:
    story = paying_again().answered(CallKind.RESERVE, ReserveRefused(SHORT))
    story.then(Status.PAYMENT_FAILED, Stock.REFUSED, PaymentFacet.DECLINED, ended={CallKind.RESERVE: End.DONE})
    assert story.attempt(2).status is AttemptStatus.CLOSED
    story.when(Pay("tok_third"))
    assert story.new_call(CallKind.RESERVE).subject == "o-r3"
    assert story.attempt(3).reference == "o-p3"


def test_each_release_names_the_hold_that_it_ends_and_no_older_one() -> None:
    story = paying_again().answered(CallKind.RESERVE, Reserved()).answered(CallKind.CHECK_PAYMENT, PaymentUnknown())
    story.answered(CallKind.CHARGE, payment("declined", "o-p2"))
    call = story.new_call(CallKind.RELEASE)
    assert (call.subject, call.key) == ("o-r2", "o-r2-release")
    assert decode_request(call.kind, call.request) == ReleaseRequest("o-r2", "o")


def test_an_attempt_is_read_again_once_and_not_before_every_charge() -> None:
    story = paying_again().answered(CallKind.CHECK_PAYMENT, payment("declined"))
    story.answered(CallKind.RESERVE, ReserveRefused(SHORT)).when(Pay())
    assert [c.kind for c in story.decision.calls] == [CallKind.RESERVE]


def paying_second() -> Story:
    """The charge of attempt 2 is owed, and the late check of attempt 1."""
    story = paying_again().answered(CallKind.CHECK_PAYMENT, payment("declined"))
    return story.answered(CallKind.RESERVE, Reserved())


def test_a_click_on_the_second_attempt_is_answered_by_the_second_attempt() -> None:
    story = paying_second().when(Pay("tok_other"))
    assert story.decision.asked == Asked("pay", 2, unchanged=True)
    assert (story.outcome().status, story.outcome().settled) == (202, False)


@pytest.mark.parametrize("status", ["succeeded", "declined"])
def test_the_end_of_an_attempt_ends_no_call_of_an_older_one(status: str) -> None:
    story = paying_second().answered(CallKind.CHARGE, payment(status, "o-p2"))
    assert story.call(CallKind.LATE_CHECK, "o-p1").parked is None
    assert {c.subject for c in story.state.calls if c.kind is CallKind.LATE_CHECK} >= {"o-p1"}


def test_the_deadline_of_an_attempt_ends_no_call_of_an_older_one() -> None:
    story = paying_second().answered(CallKind.CHARGE, payment("processing", "o-p2")).when(Tick(), after_s=900)
    assert {(c.kind, c.subject) for c in story.state.calls} == {
        (CallKind.VOID, "o-p2"),
        (CallKind.LATE_CHECK, "o-p1"),
    }


# --- the retry hold ---


def test_with_a_retry_hold_the_stock_stays_for_a_while() -> None:
    story = declined(retry_hold_s=300)
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RESERVED,
        PaymentFacet.DECLINED,
        events=PAYMENT_FAILED,
        calls=(CallKind.LATE_CHECK,),
        ended={CallKind.CHARGE: End.DONE},
    )
    assert story.decision.timer_at == story.order.hold_until == story.now + timedelta(seconds=300)
    story.when(Tick(), after_s=299).then_nothing()
    story.when(Tick())
    story.then(Status.PAYMENT_FAILED, Stock.RELEASING, PaymentFacet.DECLINED, calls=(CallKind.RELEASE,))
    assert (story.order.hold_until, story.decision.timer_at) == (None, story.order.expires_at)


def test_paying_within_the_hold_charges_without_reserving_anew() -> None:
    story = declined(retry_hold_s=300).when(Pay("tok_other"))
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        events=(Event.STATUS_CHANGED,),
        calls=(CallKind.CHECK_PAYMENT,),
    )
    assert story.order.hold_until is None
    story.answered(CallKind.CHECK_PAYMENT, payment("declined"))
    assert [c.kind for c in story.decision.calls] == [CallKind.CHARGE]


# --- money that comes when nobody waits for it ---


def test_a_capture_on_a_closed_attempt_is_surplus_and_goes_back_whole() -> None:
    story = paying_again().answered(CallKind.CHECK_PAYMENT, payment("succeeded"))
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RESERVING,
        PaymentFacet.DECLINED,
        calls=(CallKind.REFUND,),
        ended={CallKind.CHECK_PAYMENT: End.DONE},
    )
    assert (story.attempt().surplus, story.attempt().status) == (100, AttemptStatus.DECLINED)
    assert (story.order.payment.captured, story.order.refundable) == (0, 0)
    assert (story.refund().surplus, story.refund().amount) == (True, 100)
    story.answered(CallKind.REFUND, refund("succeeded"))
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RESERVING,
        PaymentFacet.DECLINED,
        events=(Event.REFUNDED,),
        ended={CallKind.REFUND: End.DONE},
    )
    assert story.decision.change is not None
    assert story.decision.change["refund"] == {"refund": 1, "amount": 100, "surplus": True}
    assert story.order.payment.refunded == 0


@pytest.mark.parametrize("answer", ["declined", "voided", "processing"])
def test_a_closed_attempt_that_stayed_closed_is_read_after_a_day_and_forgotten(answer: str) -> None:
    story = failed().answered(CallKind.LATE_CHECK, payment(answer), after_s=DAY_S)
    story.then_unseen(ended={CallKind.LATE_CHECK: End.DONE})


def test_a_capture_is_refunded_although_its_attempt_was_closed_without_a_payment_id() -> None:
    story = paying().answered(CallKind.CHARGE, PaymentState("declined", None, "card_declined", 100))
    story.answered(CallKind.RELEASE, Released())
    assert story.attempt().payment_id is None
    story.answered(CallKind.LATE_CHECK, payment("succeeded"), after_s=DAY_S)
    asked = decode_request(CallKind.REFUND, story.new_call(CallKind.REFUND).request)
    assert asked == RefundRequest("pay-o-p1", "o-f1", 100, "captured on a closed attempt")
    assert story.attempt().payment_id == "pay-o-p1"


def test_an_answer_without_a_payment_id_takes_away_none_that_is_known() -> None:
    story = paying().answered(CallKind.CHARGE, payment("processing"))
    story.answered(CallKind.READ_PAYMENT, PaymentState("declined", None, "card_declined", 100))
    assert (story.attempt().status, story.attempt().payment_id) == (AttemptStatus.DECLINED, "pay-o-p1")


def test_a_capture_found_after_a_day_is_refunded_once() -> None:
    story = failed().answered(CallKind.LATE_CHECK, payment("succeeded"), after_s=DAY_S)
    assert [c.kind for c in story.decision.calls] == [CallKind.REFUND]
    twice = paying_again().answered(CallKind.CHECK_PAYMENT, payment("succeeded"))
    twice.answered(CallKind.LATE_CHECK, payment("succeeded")).then_unseen(ended={CallKind.LATE_CHECK: End.DONE})


def test_a_surplus_does_not_stop_the_next_charge() -> None:
    story = paying_again().answered(CallKind.RESERVE, Reserved())
    story.answered(CallKind.CHECK_PAYMENT, payment("succeeded"))
    assert [c.kind for c in story.decision.calls] == [CallKind.REFUND, CallKind.CHARGE]
    story.answered(CallKind.CHARGE, payment("succeeded", "o-p2"))
    assert (story.order.status, story.order.payment.captured) == (Status.CONFIRMED, 100)


# --- expiry ---


@pytest.mark.parametrize("given", [failed, paying_again])
def test_an_unpaid_order_expires_and_gives_its_stock_back(given: object) -> None:
    story = given()  # type: ignore[operator]
    story.when(Tick(), after_s=1800)
    assert story.order.status is Status.CANCELLED
    assert story.order.cancellation.code == "expired"
    assert story.decision.events == (Event.CANCELLED, Event.STATUS_CHANGED)
    assert story.order.stock in (Stock.RELEASED, Stock.RELEASING)


def test_expiry_closes_the_attempt_that_waits_for_stock() -> None:
    story = paying_again().when(Tick(), after_s=1800)
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        PaymentFacet.DECLINED,
        events=(Event.CANCELLED, Event.STATUS_CHANGED),
        calls=(CallKind.RELEASE,),
        ended={CallKind.RESERVE: End.DROPPED, CallKind.CHECK_PAYMENT: End.DROPPED},
    )
    assert story.attempt(2).status is AttemptStatus.CLOSED
    story.answered(CallKind.RELEASE, Released())
    story.then(Status.CANCELLED, Stock.RELEASED, PaymentFacet.DECLINED, ended={CallKind.RELEASE: End.DONE})
