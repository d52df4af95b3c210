"""Two hundred lives at once through the real service, each reconciled with the partners' ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from order_service.embedded import Kafka, Postgres
from tests.money.systems import SOON, shared
from tests.system.harness import Answer, System, basket

LIVES = 200
ROUNDS = 6
TOKENS = (
    *("tok_visa",) * 6,
    *("tok_declined", "tok_processing", "tok_3ds", "tok_requires_capture", "tok_timeout_after", "tok_refused"),
    *("tok_refund_fails", "tok_refund_pending", "tok_refund_fails_late"),
)
NEXT = {"confirmed": "processing", "processing": "shipped", "shipped": "delivered"}
SETTLED = ("succeeded", "settled_outside", "failed", "acknowledged")
Request = tuple[str, str, Any, dict[str, str]]


@pytest.fixture(scope="module")
def system(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("lives")
    with shared(postgres, template_database, kafka, folder, ATTEMPT_DEADLINE="4", **SOON) as running:
        yield running


def test_two_hundred_lives_side_by_side_reconcile_with_the_ledger(system: System) -> None:
    chance = Random(20_260_306)
    system.partner("PUT", "/sandbox/stock/lamp", {"quantity": LIVES // 2})
    orders = _place(system, [_order(chance) for _ in range(LIVES)])
    for _ in range(ROUNDS):
        asked = [_next(chance, order) for order in _documents(system, orders)]
        answers = system.parallel(asked)
        assert [a.body for a in answers if a.status >= 500] == []
    _settle(system, orders)

    met = Counter[str]()
    effects = _effects(system)
    for order in _documents(system, orders):
        met[order["status"]] += 1
        _reconciles(order, effects.get(order["id"], []))
    assert sum(met.values()) == len(orders) >= LIVES // 2
    assert {"confirmed", "cancelled", "refunded"} <= set(met)
    _goods_are_where_the_orders_say(system, orders)
    verify = [sys.executable, "-m", "order_service", "verify", "--settle", "30"]
    told = subprocess.run(verify, env=os.environ | system.service_env(), capture_output=True, text=True, timeout=90)
    assert told.returncode == 0, told.stdout + told.stderr


def _place(system: System, bodies: list[dict[str, Any]]) -> list[str]:
    """The ids of the orders that were written; a crowd that is told to come again comes with the same keys."""
    asked: list[Request] = [
        ("POST", "/api/v1/orders", body, {"Idempotency-Key": f"place-{number}"}) for number, body in enumerate(bodies)
    ]

    def placed() -> list[Answer] | None:
        answers = system.parallel(asked)
        return None if any(a.status == 503 for a in answers) else answers

    answers = system.until(placed)
    assert answers is not None
    assert {answer.status for answer in answers} <= {201, 202, 409}
    ids = [answer.json.get("id") or answer.json.get("orderId") for answer in answers]
    return [order_id for order_id in ids if order_id]


def _order(chance: Random) -> dict[str, Any]:
    price = chance.choice((0, 1, 333, 1999, 2**52, chance.randint(1, 10**9)))
    product = chance.choice(("lamp", "lamp", "mug", "flaky"))
    item = {"productId": product, "name": "Thing", "quantity": 1, "unitPrice": price}
    user = chance.choice(("ada", "bob"))
    currency = chance.choice(("JPY", "EUR", "KWD"))
    return basket(userId=user, currency=currency, items=[item], shippingCost=chance.choice((0, 490)), tax=0)


def _next(chance: Random, order: dict[str, Any]) -> Request:
    """What somebody does to the order next; each request has a key, and some are sent with a used one."""
    path = f"/api/v1/orders/{order['id']}"
    keyed = {"Idempotency-Key": f"{order['id']}-{chance.randint(1, 30)}"} if chance.random() < 0.5 else {}
    left = order["payment"]["captured"] - order["payment"]["refunded"]
    if order["attention"] and chance.random() < 0.5:
        action = chance.choice(("retry", "give-up"))
        return "POST", f"{path}/calls/{order['attention']['callId']}/{action}", {"note": "in cash"}, keyed
    if order["status"] in ("pending", "payment_pending", "payment_failed") and chance.random() < 0.9:
        return "POST", f"{path}/payment", {"paymentMethod": {"token": chance.choice(TOKENS)}}, keyed
    lot = chance.random()
    if lot < 0.4 and order["status"] in NEXT:
        return "PUT", f"{path}/status", {"status": NEXT[order["status"]]}, keyed
    if lot < 0.8 and left > 1:
        amount = chance.choice((1, left // 2, left, left + 1))
        return "POST", f"{path}/refunds", {"amount": amount, "reason": "dent"}, keyed
    if lot < 0.9:
        return "PUT", f"{path}/status", {"status": "refunded"}, keyed
    return "POST", f"{path}/cancel", {"reason": "changed my mind"}, keyed


def _documents(system: System, orders: list[str]) -> list[dict[str, Any]]:
    answers = system.parallel([("GET", f"/api/v1/orders/{order_id}", None, {}) for order_id in orders])
    assert {answer.status for answer in answers} == {200}
    return [answer.json for answer in answers]


def _settle(system: System, orders: list[str]) -> None:
    """Cancel what nobody paid, mend what waits for a person, until nothing is owed and nobody is waited for."""

    def settled() -> bool:
        # Read before the orders: a refund that failed in between would leave nothing owed, and a person not waited for.
        owed = system.rows(
            "select 1 from partner_calls where state in ('open', 'parked') and kind <> 'late_check' limit 1"
        )
        found = _documents(system, orders)
        unpaid = [o for o in found if o["status"] in ("pending", "payment_pending", "payment_failed")]
        asked: list[Request] = [("POST", f"/api/v1/orders/{o['id']}/cancel", {}, {}) for o in unpaid]
        for order in found:
            if order["attention"]:
                path = f"/api/v1/orders/{order['id']}/calls/{order['attention']['callId']}/give-up"
                asked.append(("POST", path, {"note": "paid back in cash"}, {}))
        system.parallel(asked)
        return not asked and owed == []

    system.until(settled)


def _effects(system: System) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in system.ledger():
        found.setdefault(line["orderId"] or "", []).append(line)
    return found


def _reconciles(order: dict[str, Any], effects: list[dict[str, Any]]) -> None:
    """Per attempt and per refund, and so in every sum: what we say happened is what the partners did."""
    charges = {e["reference"]: e["amount"] for e in effects if e["kind"] == "charge"}
    refunds = {e["reference"]: e["amount"] for e in effects if e["kind"] == "refund"}
    attempts, money = order["payment"]["attempts"], order["payment"]
    assert order["attention"] is None
    assert len(charges) + len(refunds) == sum(e["kind"] in ("charge", "refund") for e in effects)
    assert charges == {a["reference"]: a["amount"] for a in attempts if a["status"] == "captured"}
    assert money["captured"] == sum(charges.values())
    done = {r["reference"]: r["amount"] for r in order["refunds"] if r["status"] == "succeeded"}
    assert refunds == done
    assert money["refunded"] == sum(refunds.values()) <= money["captured"] <= order["total"]
    assert {r["status"] for r in order["refunds"]} <= set(SETTLED)
    if order["status"] in ("cancelled", "refunded"):
        outside = sum(r["amount"] for r in order["refunds"] if r["status"] == "settled_outside")
        assert money["captured"] == money["refunded"] + outside
    assert sum(e["kind"] == "clear_cart" for e in effects) <= 1


def _goods_are_where_the_orders_say(system: System, orders: list[str]) -> None:
    kept = 0
    for order in _documents(system, orders):
        kept += order["stock"] in ("reserved", "committed") and order["items"][0]["productId"] == "lamp"
    asked = {"items": [{"productId": "lamp", "quantity": 1}]}
    [lamp] = system.partner("POST", "/api/v1/inventory/availability", asked)["items"]
    assert lamp["availableQuantity"] == LIVES // 2 - kept
