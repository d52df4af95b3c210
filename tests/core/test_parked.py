"""Calls that wait for a person: retry and give up, kind by kind."""

from __future__ import annotations

import pytest

from order_service.core.answers import CallKind, Lied, Refused, Released, Reserved, StockNotHeld
from order_service.core.errors import CallNotFound, CallNotParked, NoteRequired, NotPossible
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import (
    Cancel,
    End,
    GiveUpCall,
    RefundOrder,
    RetryCall,
    SetStatus,
    Tick,
)
from order_service.core.model import AttemptStatus, RefundStatus

from .given import (
    SILENCE,
    Story,
    cancelled_after_payment,
    cancelled_while_unknown,
    confirmed,
    failed,
    paying,
    paying_again,
    payment,
    processing,
    refund,
    reserved,
)

NO = Refused(400, "bad")
LIE = Lied("another amount")


def parked_charge() -> Story:
    return paying().answered(CallKind.CHARGE, NO)


def parked_read() -> Story:
    return paying().answered(CallKind.CHARGE, payment("processing")).answered(CallKind.READ_PAYMENT, LIE)


def parked_void() -> Story:
    return cancelled_while_unknown().answered(CallKind.VOID, LIE)


def parked_check() -> Story:
    return paying_again().answered(CallKind.CHECK_PAYMENT, LIE)


def parked_refund() -> Story:
    return cancelled_after_payment().answered(CallKind.REFUND, NO)


def failed_refund() -> Story:
    return cancelled_after_payment().answered(CallKind.REFUND, refund("failed"))


def failed_part() -> Story:
    return confirmed().when(RefundOrder("scratch", 30)).answered(CallKind.REFUND, refund("failed", amount=30))


def needs(story: Story) -> str:
    """The call that the order's attention names."""
    assert story.order.attention is not None
    return story.order.attention.call_id


# --- who may be retried or given up ---


@pytest.mark.parametrize("command", [RetryCall, GiveUpCall])
def test_a_call_that_the_order_never_owed_is_not_found(command: type[RetryCall] | type[GiveUpCall]) -> None:
    parked_charge().refuses(command("nowhere", known=False), CallNotFound)
    assert CallNotFound.status == 404


@pytest.mark.parametrize("command", [RetryCall, GiveUpCall])
def test_only_a_call_that_waits_for_a_person_can_be_helped(command: type[RetryCall] | type[GiveUpCall]) -> None:
    story = paying()
    story.refuses(command(story.call(CallKind.CHARGE).call_id), CallNotParked)
    story.refuses(command("answered long ago"), CallNotParked)
    done = failed_refund().when(RefundOrder("again"))
    done.refuses(command(done.refund(1).call_id), CallNotParked)
    done.refuses(command(done.refund(2).call_id), CallNotParked)


@pytest.mark.parametrize("given", [parked_charge, parked_read, parked_void, parked_check, parked_refund])
def test_a_retried_call_keeps_its_id_and_its_key(given: object) -> None:
    story = given()  # type: ignore[operator]
    call_id = needs(story)
    kind = next(c.kind for c in story.state.calls if c.call_id == call_id)
    facets = story.order.status, story.order.stock, story.order.payment.status
    story.when(RetryCall(call_id))
    story.then(*facets, ended={kind: End.UNPARKED})
    assert story.call(kind).call_id == call_id
    assert (story.outcome().status, story.outcome().settled) == (202, True)


# --- give up, kind by kind ---


def test_giving_up_a_charge_voids_it() -> None:
    story = parked_charge()
    story.when(GiveUpCall(needs(story)))
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.UNKNOWN,
        calls=(CallKind.VOID,),
        ended={CallKind.CHARGE: End.DROPPED},
    )
    assert story.outcome().status == 200
    assert story.decision.reason == "given up by staff"


def test_giving_up_the_read_of_an_open_attempt_voids_it() -> None:
    story = parked_read()
    assert story.order.payment.status is PaymentFacet.UNKNOWN
    story.when(GiveUpCall(needs(story), "phoned the bank"))
    assert [c.kind for c in story.decision.calls] == [CallKind.VOID]
    assert story.attempt().status is AttemptStatus.VOID_UNKNOWN
    assert story.decision.reason == "phoned the bank"


def test_the_deadline_voids_a_parked_charge_and_the_person_is_free() -> None:
    story = parked_charge().when(Tick(), after_s=900)
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.UNKNOWN,
        calls=(CallKind.VOID,),
        ended={CallKind.CHARGE: End.DROPPED},
    )


def test_a_cancel_voids_a_parked_charge() -> None:
    story = parked_charge().when(Cancel())
    assert [c.kind for c in story.state.calls] == [CallKind.RELEASE, CallKind.VOID]
    assert story.order.attention is None


def test_a_void_cannot_be_given_up() -> None:
    story = parked_void()
    story.refuses(GiveUpCall(needs(story)), NotPossible)
    story.refuses(GiveUpCall(needs(story), "a note does not help"), NotPossible)


def test_the_read_that_follows_a_void_cannot_be_given_up() -> None:
    story = paying().answered(CallKind.CHARGE, payment("processing")).when(Tick(), after_s=900)
    story.answered(CallKind.VOID, payment("processing")).answered(CallKind.READ_PAYMENT, LIE)
    story.refuses(GiveUpCall(needs(story)), NotPossible)


def test_giving_up_a_reserve_of_an_order_that_is_paid_again_releases_it() -> None:
    story = paying_again().answered(CallKind.RESERVE, NO)
    story.when(GiveUpCall(needs(story)))
    story.then(
        Status.PAYMENT_FAILED,
        Stock.RELEASING,
        PaymentFacet.DECLINED,
        calls=(CallKind.RELEASE,),
        ended={CallKind.RESERVE: End.DROPPED},
    )
    assert story.attempt(2).status is AttemptStatus.CLOSED
    story.answered(CallKind.RELEASE, Released())
    story.then(Status.PAYMENT_FAILED, Stock.RELEASED, PaymentFacet.DECLINED, ended={CallKind.RELEASE: End.DONE})


def test_giving_up_a_commit_is_done_by_hand() -> None:
    story = processing().when(SetStatus(Status.SHIPPED)).answered(CallKind.COMMIT, StockNotHeld())
    story.when(GiveUpCall(needs(story)))
    story.then(Status.SHIPPED, Stock.COMMITTED, PaymentFacet.CAPTURED, ended={CallKind.COMMIT: End.DONE})


def test_a_parked_check_holds_the_next_charge_until_somebody_looks() -> None:
    story = parked_check().answered(CallKind.RESERVE, Reserved())
    assert story.decision.calls == ()
    story.when(GiveUpCall(needs(story)))
    story.then(
        Status.PAYMENT_PENDING,
        Stock.RESERVED,
        PaymentFacet.PENDING,
        calls=(CallKind.CHARGE,),
        ended={CallKind.CHECK_PAYMENT: End.DONE},
    )


def test_a_parked_late_check_is_done_by_hand() -> None:
    story = failed().answered(CallKind.LATE_CHECK, LIE, after_s=24 * 3600)
    assert story.order.attention is not None
    story.when(GiveUpCall(needs(story)))
    story.then(Status.PAYMENT_FAILED, Stock.RELEASED, PaymentFacet.DECLINED, ended={CallKind.LATE_CHECK: End.DONE})


def test_giving_up_a_refund_needs_a_note_and_counts_for_ever() -> None:
    story = parked_refund()
    story.refuses(GiveUpCall(needs(story)), NoteRequired)
    story.refuses(GiveUpCall(needs(story), ""), NoteRequired)
    story.when(GiveUpCall(needs(story), "sent a cheque"))
    story.then(Status.CANCELLED, Stock.RELEASED, PaymentFacet.REFUND_FAILED, ended={CallKind.REFUND: End.DONE})
    assert (story.refund().status, story.refund().note) == (RefundStatus.SETTLED_OUTSIDE, "sent a cheque")
    assert (story.order.settled_outside, story.order.refundable, story.order.payment.refunded) == (100, 0, 0)


def test_giving_up_a_pending_refund_settles_it_outside() -> None:
    story = cancelled_after_payment().answered(CallKind.REFUND, refund("pending"))
    story.answered(CallKind.READ_REFUND, LIE)
    story.when(GiveUpCall(needs(story), "cheque"))
    assert story.order.settled_outside == 100
    assert story.state.calls == ()


def test_giving_up_a_failed_refund_of_a_dead_order_settles_all_that_is_left() -> None:
    story = failed_refund()
    story.refuses(GiveUpCall(needs(story)), NoteRequired)
    story.when(RefundOrder("a part", 40)).answered(CallKind.REFUND, refund("succeeded", "o-f2", 40))
    story.when(GiveUpCall(needs(story), "cheque"))
    story.then(Status.CANCELLED, Stock.RELEASED, PaymentFacet.REFUND_FAILED)
    assert (story.order.settled_outside, story.order.payment.refunded, story.order.refundable) == (60, 40, 0)


def test_giving_up_a_failed_part_refund_of_a_live_order_acknowledges_it() -> None:
    story = failed_part()
    story.when(GiveUpCall(needs(story)))
    story.then(Status.CONFIRMED, Stock.RESERVED, PaymentFacet.CAPTURED)
    assert story.refund().status is RefundStatus.ACKNOWLEDGED
    assert story.order.refundable == 100


# --- retry of what failed for good ---


def test_retrying_a_failed_refund_starts_the_next_with_a_new_key() -> None:
    story = failed_refund()
    story.when(RetryCall(needs(story)))
    story.then(Status.CANCELLED, Stock.RELEASED, PaymentFacet.REFUND_PENDING, calls=(CallKind.REFUND,))
    assert (story.new_call(CallKind.REFUND).key, story.refund(2).amount) == ("o-f2", 100)
    assert story.decision.reason == story.refund(1).reason == story.refund(2).reason == "requested"


def test_retrying_a_failed_part_gives_back_that_part() -> None:
    story = failed_part()
    story.when(RetryCall(needs(story)))
    assert [(r.amount, r.status) for r in story.order.refunds] == [
        (30, RefundStatus.FAILED),
        (30, RefundStatus.REQUESTED),
    ]


def test_a_failed_surplus_and_a_failed_refund_can_each_be_helped() -> None:
    story = paying_again().answered(CallKind.CHECK_PAYMENT, payment("succeeded"))
    story.answered(CallKind.RESERVE, Reserved()).answered(CallKind.CHARGE, payment("succeeded", "o-p2"))
    story.answered(CallKind.REFUND, refund("failed")).when(RefundOrder("scratch", 30))
    story.answered(CallKind.REFUND, refund("failed", "o-f2", 30))
    assert needs(story) == story.refund(1).call_id
    story.when(RetryCall(story.refund(2).call_id)).when(RetryCall(story.refund(1).call_id))
    assert [(r.amount, r.surplus, r.status) for r in story.order.refunds] == [
        (100, True, RefundStatus.FAILED),
        (30, False, RefundStatus.FAILED),
        (30, False, RefundStatus.REQUESTED),
        (100, True, RefundStatus.REQUESTED),
    ]
    assert story.order.attention is None


def test_giving_up_a_failed_surplus_settles_it_outside() -> None:
    story = paying_again().answered(CallKind.CHECK_PAYMENT, payment("succeeded"))
    story.answered(CallKind.REFUND, refund("failed"))
    story.refuses(GiveUpCall(needs(story)), NoteRequired)
    story.when(GiveUpCall(needs(story), "cheque"))
    story.then(Status.PAYMENT_FAILED, Stock.RESERVING, PaymentFacet.DECLINED)
    assert story.refund().status is RefundStatus.SETTLED_OUTSIDE
    assert story.order.settled_outside == 0


# --- attention ---


def test_attention_names_the_oldest_parked_call_and_clears_by_itself() -> None:
    story = parked_check()
    first = needs(story)
    story.answered(CallKind.RESERVE, NO)
    story.then_unseen(ended={CallKind.RESERVE: End.PARKED})
    assert needs(story) == first
    story.when(RetryCall(first))
    assert needs(story) == story.call(CallKind.RESERVE).call_id
    story.when(RetryCall(needs(story)))
    assert story.order.attention is None


def test_a_parked_call_goes_before_a_commit_without_stock_and_that_before_a_failed_refund() -> None:
    story = processing().when(SetStatus(Status.SHIPPED)).when(RefundOrder("x", 30))
    story.answered(CallKind.REFUND, refund("failed", amount=30))
    assert story.order.attention is not None
    assert story.order.attention.code == "refund-failed"
    story.answered(CallKind.COMMIT, StockNotHeld())
    assert story.order.attention.code == "stock-not-held"
    story.when(RefundOrder("x", 30)).answered(CallKind.REFUND, LIE)
    assert story.order.attention.code == "answer-not-believed"


def test_silence_never_needs_a_person() -> None:
    for story, kind in [
        (paying(), CallKind.CHARGE),
        (cancelled_while_unknown(), CallKind.VOID),
        (cancelled_after_payment(), CallKind.REFUND),
        (reserved().when(Cancel()), CallKind.RELEASE),
        (failed(), CallKind.LATE_CHECK),
    ]:
        for _ in range(3):
            story.answered(kind, SILENCE)
        assert story.order.attention is None
