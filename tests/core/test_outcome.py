"""What a command is answered with once it is settled, whoever asks and however late."""

from __future__ import annotations

from order_service.core.answers import CallKind, Refused, Reserved, ReserveRefused
from order_service.core.errors import NotPayable, OutOfStock, PaymentDeclined, StockNotReserved
from order_service.core.lifecycle import Status
from order_service.core.messages import Asked, Cancel, GiveUpCall, Pay, RefundOrder, SetStatus, Tick
from order_service.core.outcome import INTERIM, Outcome, outcome

from .given import (
    SHORT,
    SILENCE,
    Story,
    cancelled_after_payment,
    confirmed,
    declined,
    failed,
    paying,
    paying_again,
    payment,
    placed,
    refund,
    reserved,
    shipped,
)

PLACE = Asked("place")
FIRST, SECOND = Asked("pay", 1), Asked("pay", 2)
OK = Outcome(200)


def told(asked: Asked, story: Story) -> Outcome:
    return outcome(asked, story.order)


# --- creation ---


def test_a_creation_is_interim_until_the_stock_is_answered() -> None:
    assert told(PLACE, placed()) == INTERIM
    assert told(PLACE, placed().answered(CallKind.RESERVE, SILENCE)) == INTERIM
    assert told(PLACE, reserved()) == Outcome(201)


def test_a_creation_without_stock_is_refused_with_the_figures_and_the_order() -> None:
    answer = told(PLACE, placed().answered(CallKind.RESERVE, ReserveRefused(SHORT)))
    assert (answer.status, answer.settled) == (409, True)
    assert isinstance(answer.refusal, OutOfStock)
    assert (answer.refusal.shortages, answer.refusal.extra) == (SHORT, {"orderId": "o"})


def test_a_creation_stays_created_whatever_comes_later() -> None:
    for story in (reserved().when(Cancel()), confirmed(), cancelled_after_payment(), placed().when(Cancel())):
        assert told(PLACE, story) == Outcome(201)


# --- pay ---


def test_a_payment_is_interim_while_it_is_open() -> None:
    for story in (
        paying(),
        paying().answered(CallKind.CHARGE, SILENCE),
        paying().answered(CallKind.CHARGE, payment("processing")),
        paying().when(Tick(), after_s=900),
    ):
        assert told(FIRST, story) == INTERIM
    assert told(SECOND, paying_again()) == INTERIM


def test_a_captured_payment_is_200_also_later() -> None:
    assert told(FIRST, confirmed()) == OK
    assert told(FIRST, shipped()) == OK
    refunded = shipped().when(SetStatus(Status.REFUNDED)).answered(CallKind.REFUND, refund("succeeded"))
    assert told(FIRST, refunded) == OK


def test_a_declined_payment_is_402_with_its_code() -> None:
    answer = told(FIRST, declined())
    assert answer.status == 402
    assert isinstance(answer.refusal, PaymentDeclined)
    assert answer.refusal.extra == {"declineCode": "card_declined", "attempt": 1}
    assert told(FIRST, paying_again()).status == 402


def test_a_voided_payment_is_402_as_well() -> None:
    story = paying().when(Tick(), after_s=900).answered(CallKind.VOID, payment("voided"))
    answer = told(FIRST, story)
    assert isinstance(answer.refusal, PaymentDeclined)
    assert answer.refusal.extra == {"declineCode": None, "attempt": 1}


def test_a_payment_whose_stock_was_gone_is_out_of_stock() -> None:
    answer = told(SECOND, paying_again().answered(CallKind.RESERVE, ReserveRefused(SHORT)))
    assert answer.status == 409
    assert isinstance(answer.refusal, OutOfStock)
    assert answer.refusal.shortages == SHORT


def test_a_payment_whose_reserve_was_given_up_may_be_repeated() -> None:
    story = paying_again().answered(CallKind.RESERVE, Refused(400, "bad"))
    story.when(GiveUpCall(story.call(CallKind.RESERVE).call_id))
    assert isinstance(told(SECOND, story).refusal, StockNotReserved)


def test_a_payment_of_an_order_that_was_cancelled_meanwhile_is_not_payable() -> None:
    stories = [
        paying().when(Cancel()),
        paying().when(Cancel()).answered(CallKind.VOID, payment("voided")),
        paying().when(Cancel()).answered(CallKind.VOID, payment("succeeded")),
        paying().when(Cancel()).answered(CallKind.VOID, payment("declined")),
    ]
    for story in stories:
        assert isinstance(told(FIRST, story).refusal, NotPayable)
    assert isinstance(told(SECOND, paying_again().when(Cancel())).refusal, NotPayable)


def test_a_payment_that_was_over_before_the_cancellation_keeps_its_answer() -> None:
    assert told(FIRST, confirmed().when(Cancel())) == OK
    assert told(FIRST, confirmed().when(Cancel()).answered(CallKind.REFUND, refund("succeeded"))) == OK
    for story in (declined().when(Cancel()), paying_again().when(Cancel())):
        assert isinstance(told(FIRST, story).refusal, PaymentDeclined)


def test_each_attempt_has_an_answer_of_its_own() -> None:
    story = paying_again().answered(CallKind.RESERVE, Reserved())
    story.answered(CallKind.CHECK_PAYMENT, payment("declined")).answered(CallKind.CHARGE, payment("succeeded", "o-p2"))
    assert told(FIRST, story).status == 402
    assert told(SECOND, story) == OK


def test_an_unchanged_pay_is_answered_like_the_attempt_it_met() -> None:
    story = paying().when(Pay())
    assert story.decision.asked == Asked("pay", 1, unchanged=True)
    assert failed().when(Pay()).decision.asked == SECOND


# --- refunds ---


def test_a_refund_is_interim_until_it_is_final() -> None:
    story = shipped().when(RefundOrder("x", 30))
    asked = Asked("refund", 1)
    assert story.decision.asked == asked
    assert told(asked, story) == INTERIM
    story.answered(CallKind.REFUND, refund("pending", amount=30))
    assert told(asked, story) == INTERIM
    story.answered(CallKind.READ_REFUND, refund("succeeded", amount=30))
    assert told(asked, story) == Outcome(201)


def test_a_failed_refund_was_made_all_the_same() -> None:
    story = shipped().when(RefundOrder("x", 30)).answered(CallKind.REFUND, refund("failed", amount=30))
    assert told(Asked("refund", 1), story) == Outcome(201)


def test_put_refunded_is_interim_until_the_order_is_refunded() -> None:
    story = shipped().when(SetStatus(Status.REFUNDED))
    asked = story.decision.asked
    assert asked == Asked("put_refunded", 1)
    assert told(asked, story) == INTERIM
    story.answered(CallKind.REFUND, refund("succeeded"))
    assert told(asked, story) == OK


def test_put_refunded_is_interim_while_a_failed_refund_waits_for_a_person_and_ends_when_one_gives_it_up() -> None:
    story = shipped().when(SetStatus(Status.REFUNDED)).answered(CallKind.REFUND, refund("failed"))
    asked = Asked("put_refunded", 1)
    assert told(asked, story) == INTERIM
    call = story.order.attention
    assert call is not None
    assert told(asked, story.when(GiveUpCall(call.call_id))) == OK
    assert story.order.status is Status.SHIPPED


def test_put_refunded_ends_when_the_void_that_it_met_left_nothing_to_refund() -> None:
    story = paying().when(Cancel()).when(SetStatus(Status.REFUNDED))
    asked = story.decision.asked
    assert asked == Asked("put_refunded", 0, unchanged=True)
    assert told(asked, story) == INTERIM
    assert told(asked, story.answered(CallKind.VOID, payment("voided"))) == OK


def test_a_version_from_before_the_command_says_nothing_about_it() -> None:
    assert told(FIRST, reserved()) == INTERIM
    assert told(Asked("refund", 1), shipped()) == INTERIM


# --- what waits for nothing ---


def test_what_waits_for_nothing_is_settled_at_once() -> None:
    assert told(Asked("done"), reserved()) == OK
    assert told(Asked("retry"), reserved()) == Outcome(202, settled=True)
