"""Fulfilment: processing, shipped, delivered."""

from __future__ import annotations

from order_service.core.answers import CallKind, StockCommitted, StockNotHeld
from order_service.core.errors import UnlawfulMove
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import End, Event, GiveUpCall, RefundOrder, RetryCall, SetStatus
from order_service.core.model import Shipment
from order_service.core.requests import CommitRequest, decode_request

from .given import (
    SILENCE,
    confirmed,
    delivered,
    failed,
    paying,
    placed,
    processing,
    refund,
    reserved,
    shipped,
    unknown,
)

CAPTURED = PaymentFacet.CAPTURED
PARCEL = Shipment("DHL", "123", "https://example.org/123")


def test_a_paid_order_goes_into_processing() -> None:
    story = confirmed().when(SetStatus(Status.PROCESSING, "picked"))
    story.then(Status.PROCESSING, Stock.RESERVED, CAPTURED, events=(Event.STATUS_CHANGED,))
    assert story.decision.reason == "picked"
    assert story.outcome().status == 200


def test_shipping_names_the_carrier_and_commits_the_stock() -> None:
    story = processing().when(SetStatus(Status.SHIPPED, shipment=PARCEL))
    story.then(
        Status.SHIPPED,
        Stock.RESERVED,
        CAPTURED,
        events=(Event.SHIPPED, Event.STATUS_CHANGED),
        calls=(CallKind.COMMIT,),
    )
    assert story.order.shipment == PARCEL
    call = story.new_call(CallKind.COMMIT)
    assert (call.subject, call.key) == ("o-r1", "o-r1-commit")
    assert decode_request(call.kind, call.request) == CommitRequest("o-r1", "o")


def test_shipping_without_a_shipment_is_lawful() -> None:
    assert shipped().order.shipment is None


def test_a_committed_reservation_is_gone_for_good() -> None:
    story = shipped()
    story.then(Status.SHIPPED, Stock.COMMITTED, CAPTURED, ended={CallKind.COMMIT: End.DONE})
    assert story.state.calls == ()


def test_an_unanswered_commit_is_asked_again_and_nothing_shows() -> None:
    story = processing().when(SetStatus(Status.SHIPPED)).answered(CallKind.COMMIT, SILENCE)
    story.then_unseen(ended={CallKind.COMMIT: End.AGAIN})


def test_goods_that_the_inventory_never_held_need_a_person() -> None:
    story = processing().when(SetStatus(Status.SHIPPED)).answered(CallKind.COMMIT, StockNotHeld())
    story.then(
        Status.SHIPPED,
        Stock.RESERVED,
        CAPTURED,
        ended={CallKind.COMMIT: End.PARKED},
        attention="stock-not-held",
    )
    parked = story.call(CallKind.COMMIT).call_id
    story.when(RetryCall(parked))
    story.then(Status.SHIPPED, Stock.RESERVED, CAPTURED, ended={CallKind.COMMIT: End.UNPARKED})
    story.answered(CallKind.COMMIT, StockNotHeld()).when(GiveUpCall(parked))
    story.then(Status.SHIPPED, Stock.COMMITTED, CAPTURED, ended={CallKind.COMMIT: End.DONE})


def test_the_carrier_may_deliver_before_the_inventory_has_answered() -> None:
    story = processing().when(SetStatus(Status.SHIPPED)).when(SetStatus(Status.DELIVERED))
    story.then(Status.DELIVERED, Stock.RESERVED, CAPTURED, events=(Event.DELIVERED, Event.STATUS_CHANGED))
    story.answered(CallKind.COMMIT, StockCommitted())
    story.then(Status.DELIVERED, Stock.COMMITTED, CAPTURED, ended={CallKind.COMMIT: End.DONE})


def test_a_parcel_may_be_refunded_before_the_inventory_has_answered() -> None:
    story = processing().when(SetStatus(Status.SHIPPED)).when(SetStatus(Status.REFUNDED))
    story.answered(CallKind.REFUND, refund("succeeded"))
    story.then(
        Status.REFUNDED,
        Stock.RESERVED,
        PaymentFacet.REFUNDED,
        events=(Event.REFUNDED, Event.STATUS_CHANGED),
        ended={CallKind.REFUND: End.DONE},
    )
    story.answered(CallKind.COMMIT, StockCommitted())
    story.then(Status.REFUNDED, Stock.COMMITTED, PaymentFacet.REFUNDED, ended={CallKind.COMMIT: End.DONE})


def test_a_status_that_is_so_already_changes_nothing() -> None:
    for given in (processing, shipped, delivered):
        story = given()
        story.when(SetStatus(story.order.status, shipment=PARCEL)).then_nothing()
        assert story.order.shipment is None
        assert story.outcome().status == 200


def test_no_step_is_skipped_and_none_is_taken_back() -> None:
    steps = [Status.PROCESSING, Status.SHIPPED, Status.DELIVERED]
    lawful = {(confirmed, steps[0]), (processing, steps[1]), (shipped, steps[2])}
    for given, itself in [(confirmed, None), (processing, steps[0]), (shipped, steps[1]), (delivered, steps[2])]:
        for target in steps:
            if (given, target) not in lawful and target is not itself:
                given().refuses(SetStatus(target), UnlawfulMove)


def test_goods_never_leave_unpaid() -> None:
    for given in (placed, reserved, paying, unknown, failed):
        for target in (Status.PROCESSING, Status.SHIPPED, Status.DELIVERED):
            given().refuses(SetStatus(target), UnlawfulMove)


def test_an_order_with_part_of_its_money_back_is_fulfilled_like_any_other() -> None:
    story = confirmed().when(RefundOrder("x", 99)).answered(CallKind.REFUND, refund("succeeded", amount=99))
    story.when(SetStatus(Status.PROCESSING)).when(SetStatus(Status.SHIPPED))
    assert (story.order.status, story.order.payment.status) == (Status.SHIPPED, PaymentFacet.PARTIALLY_REFUNDED)


def test_an_order_of_total_0_is_fulfilled_without_money() -> None:
    story = reserved(total=0)
    for target in (Status.PROCESSING, Status.SHIPPED, Status.DELIVERED):
        story.when(SetStatus(target))
    assert (story.order.status, story.order.payment.status) == (Status.DELIVERED, PaymentFacet.NONE)
