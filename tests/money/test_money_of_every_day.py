"""Refunds, lost parcels, late captures and people who mend what failed, through the API on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from order_service.embedded import Kafka, Postgres
from tests.money.systems import SOON, await_attention, kinds, mend, money, paid, refund, shared, shipped
from tests.system.harness import System


@pytest.fixture(scope="module")
def system(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("every-day")
    with shared(postgres, template_database, kafka, folder, RETRY_HOLD="3", **SOON) as running:
        yield running


def test_a_payment_that_is_processing_is_202_and_confirmed_later(system: System) -> None:
    order = system.place()
    interim = system.pay(order["id"], "tok_processing")
    assert (interim.status, interim.json["status"]) == (202, "payment_pending")
    confirmed = system.await_order(order["id"], status="confirmed")
    assert money(confirmed) == ("captured", order["total"], 0)
    assert kinds(system, order) == ["reserve", "charge"]


@pytest.mark.parametrize("way", ["PUT", "refunds"])
def test_a_lost_parcel_is_refunded_in_full_and_its_goods_stay_gone(system: System, way: str) -> None:
    order = shipped(system)
    answer = system.put(order["id"], "refunded", reason="lost") if way == "PUT" else refund(system, order)
    assert answer.status == (200 if way == "PUT" else 201)
    ended = system.get(order["id"])
    assert (ended["status"], ended["stock"]) == ("refunded", "committed")
    assert money(ended) == ("refunded", order["total"], order["total"])
    assert kinds(system, order) == ["reserve", "charge", "commit", "refund"]
    again = system.put(order["id"], "refunded")
    assert (again.status, again.json["version"]) == (200, ended["version"])


def test_part_refunds_go_up_to_the_last_cent_and_never_beyond(system: System) -> None:
    order = shipped(system)
    for amount in (1, order["total"] // 3, 7):
        assert refund(system, order, amount).status == 201
    left = order["total"] - 1 - order["total"] // 3 - 7
    over = refund(system, order, left + 1)
    assert (over.status, over.json["code"]) == (409, "refund-exceeds-captured")
    assert money(system.get(order["id"])) == ("partially_refunded", order["total"], order["total"] - left)
    last = refund(system, order, left)
    assert (last.status, last.json["status"]) == (201, "refunded")
    assert sum(line["amount"] for line in system.ledger(order["id"], "refund")) == order["total"]
    none = refund(system, order, 1)
    assert (none.status, none.json["code"]) == (409, "refund-exceeds-captured")


def test_a_pending_refund_is_202_counts_in_the_bound_and_succeeds_later(system: System) -> None:
    order = shipped(system, "tok_refund_pending")
    started = refund(system, order, order["total"] - 1)
    assert started.status == 202
    over = refund(system, order, 2)
    assert (over.status, over.json["code"]) == (409, "refund-exceeds-captured")
    assert money(system.get(order["id"])) == ("refund_pending", order["total"], 0)
    assert refund(system, order, 1).status == 202
    ended = system.await_order(order["id"], status="refunded")
    assert money(ended) == ("refunded", order["total"], order["total"])
    assert [r["status"] for r in ended["refunds"]] == ["succeeded", "succeeded"]


def test_a_pending_refund_that_fails_waits_for_a_person_who_settles_it_outside(system: System) -> None:
    order = paid(system, "tok_refund_fails_late")
    assert system.call("POST", f"/api/v1/orders/{order['id']}/cancel", {}).status == 200
    stuck = await_attention(system, order, "refund-failed")
    assert money(stuck) == ("refund_failed", order["total"], 0)
    assert mend(system, stuck, "give-up").status == 422
    settled = mend(system, stuck, "give-up", note="paid back by bank transfer")
    assert (settled.status, settled.json["attention"]) == (200, None)
    assert [r["status"] for r in settled.json["refunds"]] == ["settled_outside"]
    over = refund(system, order, 1)
    assert (over.status, over.json["code"]) == (409, "refund-exceeds-captured")
    assert kinds(system, order) == ["reserve", "charge", "release"]


def test_money_taken_for_a_closed_attempt_goes_back_in_full_and_is_told_as_surplus(system: System) -> None:
    order = system.place()
    assert system.pay(order["id"], "tok_declined").status == 402
    reference = f"{order['id']}-p1"
    assert system.partner("POST", f"/sandbox/payments/{reference}/capture")["status"] == "succeeded"

    confirmed = system.pay(order["id"])
    assert (confirmed.status, confirmed.json["status"]) == (200, "confirmed")
    system.await_no_open_calls()
    ended = system.get(order["id"])
    assert money(ended) == ("captured", order["total"], 0)
    assert [(r["surplus"], r["status"], r["amount"]) for r in ended["refunds"]] == [(True, "succeeded", order["total"])]
    assert [a["surplus"] for a in ended["payment"]["attempts"]] == [order["total"], 0]
    assert sorted(kinds(system, order)) == ["charge", "charge", "decline", "refund", "reserve"]
    refunded = _events(system, order, "order.refunded")
    assert [e["change"]["refund"] for e in refunded] == [{"refund": 1, "amount": order["total"], "surplus": True}]
    assert len(_events(system, order, "order.payment_successful")) == 1


def _events(system: System, order: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e.value for e in system.events(1) if e.key == order["id"] and e.type == kind]


def test_nothing_can_be_refunded_of_an_order_that_cost_nothing(system: System) -> None:
    gift = [{"productId": "gift", "name": "Gift", "quantity": 1, "unitPrice": 0}]
    order = system.place(items=gift, shippingCost=0, tax=0)
    for amount in (None, 1):
        none = refund(system, order, amount)
        assert (none.status, none.json["code"]) == (409, "refund-exceeds-captured")
    ended = system.call("POST", f"/api/v1/orders/{order['id']}/cancel", {})
    assert (ended.status, ended.json["status"]) == (200, "cancelled")
    system.await_no_open_calls()
    assert kinds(system, order) == ["reserve", "release"]


def test_paying_again_within_the_retry_hold_keeps_the_reservation(system: System) -> None:
    order = system.place()
    declined = system.pay(order["id"], "tok_declined")
    assert declined.status == 402
    assert (system.get(order["id"])["status"], system.get(order["id"])["stock"]) == ("payment_failed", "reserved")
    again = system.pay(order["id"])
    assert (again.status, again.json["status"]) == (200, "confirmed")
    assert (again.json["stock"], len(again.json["reservations"])) == ("reserved", 1)
    assert system.rows("select timer_at from orders where id = $1::uuid", order["id"]) == [{"timer_at": None}]
    assert kinds(system, order) == ["reserve", "decline", "charge"]


def test_after_the_retry_hold_the_stock_goes_back_and_is_reserved_anew(system: System) -> None:
    order = system.place()
    assert system.pay(order["id"], "tok_declined").status == 402
    system.await_order(order["id"], status="payment_failed", stock="released")
    again = system.pay(order["id"])
    assert again.status in (200, 202)
    confirmed = system.await_order(order["id"], status="confirmed")
    assert len(confirmed["reservations"]) == 2
    assert kinds(system, order) == ["reserve", "decline", "release", "reserve", "charge"]


def test_a_charge_that_was_stopped_is_retried_then_given_up_and_paid_in_another_way(system: System) -> None:
    order = system.place()
    assert system.pay(order["id"], "tok_refused").status == 202
    stuck = await_attention(system, order, "call-refused")
    assert stuck["payment"]["status"] == "unknown"
    assert mend(system, stuck, "retry").status == 202
    again = await_attention(system, order, "call-refused")
    given_up = mend(system, again, "give-up")
    assert (given_up.status, given_up.json["attention"]) == (200, None)
    system.await_order(order["id"], status="payment_failed")
    confirmed = system.pay(order["id"])
    assert (confirmed.status, confirmed.json["status"]) == (200, "confirmed")
    assert [line["amount"] for line in system.ledger(order["id"], "charge")] == [order["total"]]


@pytest.mark.parametrize(("currency", "price"), [("JPY", 1), ("EUR", 1999), ("KWD", 2**53 - 1 - 800)])
def test_any_currency_is_charged_and_given_back_to_the_minor_unit(system: System, currency: str, price: int) -> None:
    items = [{"productId": "thing", "name": "Thing", "quantity": 1, "unitPrice": price}]
    order = shipped(system, currency=currency, items=items)
    assert (order["currency"], order["total"]) == (currency, price + 800)
    assert refund(system, order, 1).status == 201
    assert refund(system, order).status == 201
    assert [line["amount"] for line in system.ledger(order["id"], "charge")] == [price + 800]
    assert [line["amount"] for line in system.ledger(order["id"], "refund")] == [1, price + 799]
