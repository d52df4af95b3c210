"""Payments that nobody completes and orders that nobody pays, ended by the clock on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from order_service.embedded import Kafka, Postgres
from tests.money.systems import kinds, money, shared
from tests.system.harness import System


@pytest.fixture(scope="module")
def system(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("ended-by-time")
    with shared(postgres, template_database, kafka, folder, ATTEMPT_DEADLINE="2", UNPAID_TTL="4") as running:
        yield running


@pytest.mark.parametrize(
    ("token", "waits"), [("tok_3ds", "requires_action"), ("tok_requires_capture", "requires_capture")]
)
def test_a_payment_left_open_is_voided_at_its_deadline_and_the_order_can_be_paid_again(
    system: System, token: str, waits: str
) -> None:
    order = system.place()
    refused = system.pay(order["id"], token)
    assert (refused.status, refused.json["code"]) == (402, "payment-declined")
    system.await_order(order["id"], status="payment_failed", stock="released")
    assert kinds(system, order) == ["reserve", "void", "release"]
    snapshots = "select snapshot::jsonb #>> '{payment,attempts,0,status}' as s from order_log where order_id = $1::uuid"
    assert {row["s"] for row in system.rows(snapshots, order["id"])} >= {"pending", waits, "voiding", "voided"}

    again = system.pay(order["id"])
    assert (again.status, again.json["status"]) == (200, "confirmed")
    assert money(again.json) == ("captured", order["total"], 0)
    assert [a["status"] for a in again.json["payment"]["attempts"]] == ["voided", "captured"]
    assert kinds(system, order) == ["reserve", "void", "release", "reserve", "charge"]


def test_a_payment_that_is_processing_at_its_deadline_cannot_be_stopped_and_confirms_the_order(system: System) -> None:
    order = system.place()
    paid = system.pay(order["id"], "tok_processing")
    assert paid.status in (200, 202)
    confirmed = system.await_order(order["id"], status="confirmed")
    assert money(confirmed) == ("captured", order["total"], 0)
    system.await_no_open_calls()
    assert kinds(system, order) == ["reserve", "charge"]


def test_an_order_that_nobody_pays_expires_and_cannot_be_paid_any_more(system: System) -> None:
    order = system.place(userId="nobody-pays")
    ended = system.await_order(order["id"], status="cancelled", stock="released")
    assert ended["cancellation"]["code"] == "expired"
    assert money(ended) == ("none", 0, 0)
    late = system.pay(order["id"])
    assert (late.status, late.json["code"]) == (409, "not-payable")
    assert kinds(system, order) == ["reserve", "release"]
