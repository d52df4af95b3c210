"""Payment: the click, the answers, the deadline."""

from __future__ import annotations

from datetime import timedelta

import pytest

from order_service.core.answers import (
    CallKind,
    KeyTooOld,
    Lied,
    PaymentUnknown,
    Refused,
    Unanswered,
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
    SILENCE,
    confirmed,
    delivered,
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


def test_a_charge_or_void_that_was_not_sent_leaves_the_attempt_as_it_was() -> None:
    kept_back = Unanswered("breaker open", sent=False)
    story = paying().answered(CallKind.CHARGE, kept_back).then_unseen({CallKind.CHARGE: End.AGAIN})
    assert story.attempt().status is AttemptStatus.PENDING
    assert [closing.sent for closing in story.decision.closings] == [False]
    story.answered(CallKind.CHARGE, SILENCE)
    assert story.attempt().status is AttemptStatus.UNKNOWN, "the first send without an answer is the one that counts"
    story = paying().when(Cancel()).answered(CallKind.VOID, kept_back).then_unseen({CallKind.VOID: End.AGAIN})
    assert story.attempt().status is AttemptStatus.VOIDING


def test_a_charge_whose_key_is_too_old_is_voided_and_never_sent_again() -> None:
    story = unknown().answered(CallKind.CHARGE, KeyTooOld(), after_s=20 * 3600)
    assert [c.kind for c in story.decision.calls] == [CallKind.VOID]
    assert story.attempt().status is AttemptStatus.VOID_UNKNOWN
    assert all(c.kind is not CallKind.CHARGE for c in story.state.calls)
    story.answered(CallKind.VOID, payment("succeeded"))
    assert story.order.status is Status.CONFIRMED, "it had been charged after all"


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
    assert story.decision.reason == "payment not completed in time"
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
