"""Creation: placed, reserved, refused; the cart."""

from __future__ import annotations

import msgspec
import pytest

from order_service.core.answers import CallKind, CartCleared, Lied, Refused, Released, Reserved, ReserveRefused
from order_service.core.errors import OutOfStock, StockNotReserved
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import (
    Answered,
    Cancel,
    End,
    Event,
    GiveUpCall,
    Pay,
    PlaceOrder,
    RetryCall,
    SetStatus,
    Tick,
)
from order_service.core.model import Line
from order_service.core.requests import ClearCartRequest, ReleaseRequest, ReserveRequest, StockItem, decode_request

from .given import CONTACTS, SHORT, SILENCE, Story, payment, placed, placing, refund, reserved

NONE = PaymentFacet.NONE


def test_2_an_order_is_written_with_the_reserve_it_owes_and_nobody_is_told() -> None:
    story = placed()
    story.then(Status.PENDING, Stock.RESERVING, NONE, calls=(CallKind.RESERVE,))
    call = story.new_call(CallKind.RESERVE)
    assert (call.subject, call.key, call.due_in_s, call.drop_after_s) == ("o-r1", "o-r1", 0, None)
    assert decode_request(call.kind, call.request) == ReserveRequest("o-r1", "o", (StockItem("lamp", 1),))
    assert story.decision.contacts == CONTACTS
    assert story.decision.timer_at == story.order.expires_at
    assert (story.order.expires_at - story.order.created_at).total_seconds() == 1800
    assert (story.outcome().status, story.outcome().settled) == (202, False)


def test_the_operator_chooses_how_long_an_order_may_stay_unpaid() -> None:
    story = placed(unpaid_ttl_s=60)
    assert (story.order.expires_at - story.order.created_at).total_seconds() == 60


def test_the_same_product_on_two_lines_is_summed_before_it_is_reserved() -> None:
    twice = (Line(1, "lamp", "Lamp", 2, 10, 20), Line(2, "rug", "Rug", 1, 5, 5), Line(3, "lamp", "Lamp", 3, 10, 30))
    story = Story(PlaceOrder("o", "A-1", "ada", "EUR", twice, CONTACTS, shipping_cost=4, tax=3, discount=2))
    request = decode_request(CallKind.RESERVE, story.new_call(CallKind.RESERVE).request)
    assert isinstance(request, ReserveRequest)
    assert request.items == (StockItem("lamp", 5), StockItem("rug", 1))
    assert (story.order.subtotal, story.order.total) == (55, 60)


def test_a_negative_total_never_becomes_an_order() -> None:
    with pytest.raises(AssertionError):
        Story(msgspec.structs.replace(placing(10), discount=11))


def test_3_to_5_a_reserved_order_is_announced_and_its_cart_is_cleared() -> None:
    story = placed().answered(CallKind.RESERVE, Reserved())
    story.then(
        Status.PENDING,
        Stock.RESERVED,
        NONE,
        events=(Event.CREATED,),
        calls=(CallKind.CLEAR_CART,),
        ended={CallKind.RESERVE: End.DONE},
    )
    call = story.new_call(CallKind.CLEAR_CART)
    assert (call.key, call.due_in_s, call.drop_after_s) == ("o-cart", 0, 3600)
    assert decode_request(call.kind, call.request) == ClearCartRequest("ada", "o", (StockItem("lamp", 1),))


def test_the_creation_of_a_reserved_order_is_answered_201() -> None:
    story = placed()
    asked = story.decision.asked
    story.answered(CallKind.RESERVE, Reserved())
    story.decision = msgspec.structs.replace(story.decision, asked=asked)
    assert story.outcome().status == 201


def test_3_refused_the_order_is_cancelled_before_anybody_heard_of_it() -> None:
    story = placed()
    asked = story.decision.asked
    story.answered(CallKind.RESERVE, ReserveRefused(SHORT))
    story.then(Status.CANCELLED, Stock.REFUSED, NONE, ended={CallKind.RESERVE: End.DONE})
    assert story.order.cancellation is not None
    assert story.order.cancellation.code == "out-of-stock"
    assert (story.decision.reason, story.decision.timer_at) == ("out of stock", None)
    story.decision = msgspec.structs.replace(story.decision, asked=asked)
    refusal = story.outcome().refusal
    assert isinstance(refusal, OutOfStock)
    assert (refusal.shortages, refusal.extra["orderId"]) == (SHORT, "o")


def test_an_unanswered_reserve_is_asked_again_and_nothing_shows() -> None:
    placed().answered(CallKind.RESERVE, SILENCE).then_unseen(ended={CallKind.RESERVE: End.AGAIN})


def test_the_wish_of_a_busy_partner_is_passed_on() -> None:
    busy = msgspec.structs.replace(SILENCE, reason="429", retry_after_s=30)
    [closing] = placed().answered(CallKind.RESERVE, busy).decision.closings
    assert (closing.outcome, closing.retry_after_s) == ("429", 30)


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Refused(400, "bad"), "call-refused"), (Lied("another id"), "answer-not-believed")],
)
def test_a_reserve_that_cannot_be_believed_waits_for_a_person(answer: Refused | Lied, code: str) -> None:
    story = placed().answered(CallKind.RESERVE, answer)
    story.then(Status.PENDING, Stock.RESERVING, NONE, ended={CallKind.RESERVE: End.PARKED}, attention=code)
    assert story.order.attention is not None
    assert (story.order.attention.since, story.order.attention.call_id) == (
        story.now,
        story.call(CallKind.RESERVE).call_id,
    )


def test_an_answer_to_a_parked_call_is_dropped() -> None:
    story = placed().answered(CallKind.RESERVE, Lied("another id"))
    story.answered(CallKind.RESERVE, Reserved()).then_nothing()


def test_a_parked_reserve_that_is_retried_goes_on_with_its_own_key() -> None:
    story = placed().answered(CallKind.RESERVE, Lied("another id"))
    parked = story.call(CallKind.RESERVE)
    story.when(RetryCall(parked.call_id))
    story.then(Status.PENDING, Stock.RESERVING, NONE, ended={CallKind.RESERVE: End.UNPARKED})
    assert story.call(CallKind.RESERVE).call_id == parked.call_id
    story.answered(CallKind.RESERVE, Reserved())
    assert story.decision.events == (Event.CREATED,)


def test_giving_up_a_reserve_cancels_a_pending_order_without_claiming_that_stock_was_out() -> None:
    story = placed()
    asked = story.decision.asked
    story.answered(CallKind.RESERVE, Refused(422, "bad"))
    story.when(GiveUpCall(story.call(CallKind.RESERVE).call_id))
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        NONE,
        calls=(CallKind.RELEASE,),
        ended={CallKind.RESERVE: End.DROPPED},
    )
    assert story.order.cancellation is not None
    assert story.order.cancellation.code == "given-up"
    story.decision = msgspec.structs.replace(story.decision, asked=asked)
    assert story.outcome().status == 201


def test_nothing_can_be_paid_before_the_stock_is_held() -> None:
    placed().refuses(Pay(), StockNotReserved)
    assert StockNotReserved.retry_after_s == 1


def test_a_cancel_puts_the_release_in_place_of_an_unanswered_reserve() -> None:
    story = placed()
    reserve = story.call(CallKind.RESERVE)
    story.when(Cancel())
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        NONE,
        calls=(CallKind.RELEASE,),
        ended={CallKind.RESERVE: End.DROPPED},
    )
    call = story.new_call(CallKind.RELEASE)
    assert decode_request(call.kind, call.request) == ReleaseRequest("o-r1", "o")
    assert (call.subject, call.key) == ("o-r1", "o-r1-release")
    assert reserve not in story.state.calls


def test_a_late_yes_to_a_dropped_reserve_changes_nothing() -> None:
    story = placed()
    late = story.call(CallKind.RESERVE)
    story.when(Cancel())
    story.when(Answered(late.call_id, Reserved())).then_nothing()


def test_a_release_is_asked_again_until_it_is_answered_and_never_parked() -> None:
    story = placed().when(Cancel())
    story.answered(CallKind.RELEASE, SILENCE).then_unseen(ended={CallKind.RELEASE: End.AGAIN})
    story.answered(CallKind.RELEASE, Released())
    story.then(Status.CANCELLED, Stock.RELEASED, NONE, ended={CallKind.RELEASE: End.DONE})


def test_an_order_whose_stock_is_never_answered_expires() -> None:
    story = placed().when(Tick(), after_s=1800)
    story.then(
        Status.CANCELLED,
        Stock.RELEASING,
        NONE,
        calls=(CallKind.RELEASE,),
        ended={CallKind.RESERVE: End.DROPPED},
    )


def test_a_total_of_nothing_is_confirmed_with_the_reservation_and_never_says_paid() -> None:
    story = placed(total=0).answered(CallKind.RESERVE, Reserved())
    story.then(
        Status.CONFIRMED,
        Stock.RESERVED,
        NONE,
        events=(Event.CREATED, Event.STATUS_CHANGED),
        calls=(CallKind.CLEAR_CART,),
        ended={CallKind.RESERVE: End.DONE},
    )
    assert story.decision.timer_at is None
    assert story.order.payment.attempts == ()


# --- the cart ---


def test_a_cleared_cart_shows_nowhere() -> None:
    story = placed().answered(CallKind.RESERVE, Reserved())
    story.answered(CallKind.CLEAR_CART, CartCleared()).then_unseen(ended={CallKind.CLEAR_CART: End.DONE})


def test_a_cart_that_is_away_is_cleared_later() -> None:
    story = placed().answered(CallKind.RESERVE, Reserved())
    story.answered(CallKind.CLEAR_CART, SILENCE).then_unseen(ended={CallKind.CLEAR_CART: End.AGAIN})


def test_a_cart_is_not_cleared_any_more_after_an_hour() -> None:
    story = placed().answered(CallKind.RESERVE, Reserved())
    story.answered(CallKind.CLEAR_CART, SILENCE, after_s=3600)
    story.then_unseen(ended={CallKind.CLEAR_CART: End.DROPPED})


def test_a_cart_may_be_cleared_to_the_last_second_of_the_hour() -> None:
    story = placed().answered(CallKind.RESERVE, Reserved())
    story.answered(CallKind.CLEAR_CART, SILENCE, after_s=3598)
    story.then_unseen(ended={CallKind.CLEAR_CART: End.AGAIN})
    story.answered(CallKind.CLEAR_CART, SILENCE, after_s=1)
    story.then_unseen(ended={CallKind.CLEAR_CART: End.DROPPED})


def test_the_cart_of_a_refunded_order_is_not_cleared_any_more() -> None:
    story = placed().answered(CallKind.RESERVE, Reserved()).when(Pay())
    story.answered(CallKind.CHARGE, payment("succeeded")).when(SetStatus(Status.PROCESSING))
    story.when(SetStatus(Status.SHIPPED)).when(SetStatus(Status.REFUNDED))
    story.answered(CallKind.REFUND, refund("succeeded"))
    story.answered(CallKind.CLEAR_CART, SILENCE).then_unseen(ended={CallKind.CLEAR_CART: End.DROPPED})


def test_the_cart_of_a_dead_order_is_left_alone() -> None:
    story = placed().answered(CallKind.RESERVE, Reserved()).when(Cancel())
    assert [c.end for c in story.decision.closings] == [End.DROPPED]
    assert [c.kind for c in story.state.calls] == [CallKind.RELEASE]


def test_an_order_without_a_payment_method_waits_for_one() -> None:
    assert reserved(token=None).state.token is None
