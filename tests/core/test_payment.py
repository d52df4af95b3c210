"""Payment: the click, the answers, the deadline, paying again, and money that comes too late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from order_service.core.answers import (
    CallKind,
    Lied,
    PaymentUnknown,
    Refused,
    Released,
    Reserved,
    ReserveRefused,
)
from order_service.core.errors import NotPayable, PaymentInProgress, PaymentMethodMissing
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import Answered, Cancel, End, Event, Pay, Tick
from order_service.core.model import AttemptStatus
from order_service.core.requests import (
    ChargeRequest,
    PaymentMethod,
    ReadPaymentRequest,
    VoidRequest,
    decode_request,
)

from .given import (
    SHORT,
    SILENCE,
    confirmed,
    declined,
    delivered,
    failed,
    paying,
    paying_again,
    payment,
    processing,
    refund,
    reserved,
    shipped,
    unknown,
)

PAYMENT_FAILED = (Event.PAYMENT_FAILED, Event.STATUS_CHANGED)
DAY_S = 24 * 3600


# --- the click ---


def test_1_and_2_a_click_writes_the_attempt_and_its_key_before_the_charge() -> None:
    story = paying()
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        events=(Event.STATUS_CHANGED,),
        calls=(CallKind.CHARGE,),
    )
    call = story.new_call(CallKind.CHARGE)
    assert (call.subject, call.key, call.due_in_s) == ("o-p1", "o-p1", 0)
    assert decode_request(call.kind, call.request) == ChargeRequest(
        "o", "o-p1", 100, "EUR", PaymentMethod("tok_visa"), "automatic"
    )
    assert story.decision.timer_at == story.now + timedelta(seconds=900)
    assert (story.outcome().status, story.outcome().settled) == (202, False)


def test_a_token_in_the_request_goes_before_the_one_of_the_order() -> None:
    story = reserved().when(Pay("tok_other"))
    request = decode_request(CallKind.CHARGE, story.new_call(CallKind.CHARGE).request)
    assert isinstance(request, ChargeRequest)
    assert request.payment_method.token == "tok_other"
    assert "tok_other" not in repr(request)
    assert (story.state.token, story.state.attempt_token) == ("tok_visa", "tok_other")


def test_an_order_without_a_payment_method_cannot_be_paid_without_one() -> None:
    reserved(token=None).refuses(Pay(), PaymentMethodMissing)


def test_paying_twice_with_the_same_token_meets_the_open_attempt() -> None:
    for story in (paying(), unknown()):
        for again in (Pay(), Pay("tok_visa")):
            story.when(again).then_nothing()
            assert story.decision.asked is not None
            assert (story.decision.asked.number, story.decision.asked.unchanged) == (1, True)
            assert story.outcome().status == 202


def test_another_token_has_to_wait_for_the_open_attempt() -> None:
    for story in (paying(), unknown(), paying_again()):
        story.refuses(Pay("tok_third"), PaymentInProgress)
    assert PaymentInProgress.retry_after_s == 2


def test_a_paid_order_is_not_charged_again() -> None:
    for given in (confirmed, processing, shipped, delivered):
        story = given().when(Pay("tok_third")).then_nothing()
        assert story.outcome().status == 200


def test_a_dead_order_cannot_be_paid() -> None:
    reserved().when(Cancel()).refuses(Pay(), NotPayable, orderStatus=Status.CANCELLED)
    story = confirmed().when(Cancel()).answered(CallKind.REFUND, refund("succeeded"))
    story.refuses(Pay(), NotPayable, orderStatus=Status.REFUNDED)


# --- the answers ---


def test_3_a_capture_confirms_the_order() -> None:
    story = confirmed()
    story.then(
        Status.CONFIRMED,
        Stock.RESERVED,
        PaymentFacet.CAPTURED,
        events=(Event.PAYMENT_SUCCESSFUL, Event.STATUS_CHANGED),
        ended={CallKind.CHARGE: End.DONE},
    )
    assert (story.order.payment.captured, story.order.payment.refunded) == (100, 0)
    assert (story.attempt().status, story.attempt().payment_id) == (AttemptStatus.CAPTURED, "pay-o-p1")
    assert story.state.calls == ()
    assert story.decision.timer_at is None


@pytest.mark.parametrize("answer", ["declined", "voided"])
def test_4_a_no_fails_the_payment_and_gives_the_stock_back(answer: str) -> None:
    story = paying().answered(CallKind.CHARGE, payment(answer))
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RELEASING,
        PaymentFacet(answer),
        events=PAYMENT_FAILED,
        calls=(CallKind.LATE_CHECK, CallKind.RELEASE),
        ended={CallKind.CHARGE: End.DONE},
    )
    assert story.new_call(CallKind.LATE_CHECK).due_in_s == DAY_S
    assert story.new_call(CallKind.RELEASE).due_in_s == 0
    assert story.decision.reason == f"payment {answer}"


def test_a_decline_leaves_ten_minutes_to_find_another_card() -> None:
    early, late = paying(), paying()
    before = early.order.expires_at
    early.answered(CallKind.CHARGE, payment("declined"))
    assert early.order.expires_at == before
    late.answered(CallKind.CHARGE, payment("declined"), after_s=1700)
    assert late.order.expires_at == late.now + timedelta(seconds=600)
    assert late.decision.timer_at == late.order.expires_at


def test_unknown_is_told_once_and_without_an_event() -> None:
    story = unknown()
    story.then(Status.PAYMENT_PENDING, Stock.RESERVED, PaymentFacet.UNKNOWN, ended={CallKind.CHARGE: End.AGAIN})
    for _ in range(3):
        story.answered(CallKind.CHARGE, SILENCE).then_unseen(ended={CallKind.CHARGE: End.AGAIN})


def test_the_answer_to_a_repeated_charge_is_as_good_as_the_first() -> None:
    story = unknown().answered(CallKind.CHARGE, payment("succeeded"))
    assert story.order.status is Status.CONFIRMED
    assert unknown().answered(CallKind.CHARGE, payment("declined")).order.status is Status.PAYMENT_FAILED


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Refused(401, "no"), "call-refused"), (Lied("another amount"), "answer-not-believed")],
)
def test_a_charge_that_cannot_be_believed_says_nothing_about_the_money(answer: Refused | Lied, code: str) -> None:
    story = paying().answered(CallKind.CHARGE, answer)
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.UNKNOWN,
        ended={CallKind.CHARGE: End.PARKED},
        attention=code,
    )


@pytest.mark.parametrize("answer", ["processing", "requires_action", "requires_capture"])
def test_a_charge_that_is_not_final_is_polled_and_not_sent_again(answer: str) -> None:
    story = paying().answered(CallKind.CHARGE, payment(answer))
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        calls=(CallKind.READ_PAYMENT,),
        ended={CallKind.CHARGE: End.DONE},
    )
    assert story.attempt().status == answer
    call = story.new_call(CallKind.READ_PAYMENT)
    assert call.due_in_s == 1
    assert decode_request(call.kind, call.request) == ReadPaymentRequest("o-p1", "pay-o-p1", 100, "EUR")
    for silent in (payment(answer), SILENCE, PaymentUnknown()):
        story.answered(CallKind.READ_PAYMENT, silent).then_unseen(ended={CallKind.READ_PAYMENT: End.AGAIN})
    story.answered(CallKind.READ_PAYMENT, payment("succeeded"))
    assert story.order.status is Status.CONFIRMED
    assert story.state.calls == ()


def test_an_unknown_charge_that_turns_out_to_be_processing_is_pending_again() -> None:
    story = unknown().answered(CallKind.CHARGE, payment("processing"))
    assert story.order.payment.status is PaymentFacet.PENDING


# --- the deadline ---


@pytest.mark.parametrize(
    ("answer", "ended", "facet"),
    [
        (None, CallKind.CHARGE, PaymentFacet.PENDING),
        (SILENCE, CallKind.CHARGE, PaymentFacet.UNKNOWN),
        (Refused(400, "bad"), CallKind.CHARGE, PaymentFacet.UNKNOWN),
        (payment("processing"), CallKind.READ_PAYMENT, PaymentFacet.PENDING),
        (payment("requires_action"), CallKind.READ_PAYMENT, PaymentFacet.PENDING),
        (payment("requires_capture"), CallKind.READ_PAYMENT, PaymentFacet.PENDING),
    ],
)
def test_every_open_attempt_is_voided_at_its_deadline(answer: object, ended: CallKind, facet: PaymentFacet) -> None:
    story = paying()
    if answer is not None:
        story.answered(CallKind.CHARGE, answer, after_s=0)  # type: ignore[arg-type]
    story.when(Tick(), after_s=899).then_nothing()
    story.when(Tick(), after_s=1)
    story.then(Status.PAYMENT_PENDING, Stock.RESERVED, facet, calls=(CallKind.VOID,), ended={ended: End.DROPPED})
    call = story.new_call(CallKind.VOID)
    assert (call.subject, call.key) == ("o-p1", "o-p1-void")
    assert decode_request(call.kind, call.request) == VoidRequest("o-p1", 100, "EUR")
    assert story.decision.timer_at is None
    story.when(Tick(), after_s=9000).then_nothing()


@pytest.mark.parametrize("answer", ["voided", "declined"])
def test_a_void_that_worked_fails_the_payment(answer: str) -> None:
    story = unknown().when(Tick(), after_s=900).answered(CallKind.VOID, payment(answer))
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RELEASING,
        PaymentFacet(answer),
        events=PAYMENT_FAILED,
        calls=(CallKind.LATE_CHECK, CallKind.RELEASE),
        ended={CallKind.VOID: End.DONE},
    )


def test_a_void_that_came_too_late_is_a_capture_after_all() -> None:
    story = unknown().when(Tick(), after_s=900).answered(CallKind.VOID, payment("succeeded"))
    story.then(
        Status.CONFIRMED,
        Stock.RESERVED,
        PaymentFacet.CAPTURED,
        events=(Event.PAYMENT_SUCCESSFUL, Event.STATUS_CHANGED),
        ended={CallKind.VOID: End.DONE},
    )


def test_a_void_that_cannot_stop_the_charge_is_polled_and_never_repeated() -> None:
    story = paying().answered(CallKind.CHARGE, payment("processing")).when(Tick(), after_s=900)
    story.answered(CallKind.VOID, payment("processing"))
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        calls=(CallKind.READ_PAYMENT,),
        ended={CallKind.VOID: End.DONE},
    )
    story.answered(CallKind.READ_PAYMENT, payment("processing")).then_unseen(ended={CallKind.READ_PAYMENT: End.AGAIN})
    story.when(Tick(), after_s=9000).then_nothing()
    story.answered(CallKind.READ_PAYMENT, payment("declined"))
    assert story.order.status is Status.PAYMENT_FAILED


def test_an_unanswered_void_is_unknown_and_asked_again() -> None:
    story = paying().when(Tick(), after_s=900).answered(CallKind.VOID, SILENCE)
    story.then(Status.PAYMENT_PENDING, Stock.RESERVED, PaymentFacet.UNKNOWN, ended={CallKind.VOID: End.AGAIN})
    story.answered(CallKind.VOID, SILENCE).then_unseen(ended={CallKind.VOID: End.AGAIN})
    story.answered(CallKind.VOID, payment("processing"))
    assert story.order.payment.status is PaymentFacet.PENDING


def test_a_late_yes_to_a_charge_that_was_voided_is_dropped() -> None:
    story = paying()
    charge = story.call(CallKind.CHARGE)
    story.when(Tick(), after_s=900)
    story.when(Answered(charge.call_id, payment("succeeded"))).then_nothing()
    assert story.order.payment.captured == 0


def test_the_operator_chooses_the_deadline() -> None:
    story = paying(attempt_deadline_s=60)
    assert story.decision.timer_at == story.now + timedelta(seconds=60)


def test_a_payment_under_way_does_not_expire() -> None:
    story = paying(attempt_deadline_s=90000).when(Tick(), after_s=80000).then_nothing()
    assert story.order.status is Status.PAYMENT_PENDING


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


def test_an_attempt_is_read_again_once_and_not_before_every_charge() -> None:
    story = paying_again().answered(CallKind.CHECK_PAYMENT, payment("declined"))
    story.answered(CallKind.RESERVE, ReserveRefused(SHORT)).when(Pay())
    assert [c.kind for c in story.decision.calls] == [CallKind.RESERVE]


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
