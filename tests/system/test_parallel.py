"""Many clients at once: one effect per key, one charge per order, never more goods than there are."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import aiohttp

from tests.system.harness import System, basket, run


def test_two_hundred_posts_with_one_key_make_one_order(system: System) -> None:
    body = basket()
    request = ("POST", "/api/v1/orders", body, {"Idempotency-Key": "one-key"})
    answers = system.parallel([request] * 200)
    assert Counter(a.status for a in answers).keys() <= {201, 409}
    in_flight = [a for a in answers if a.status == 409]
    assert all(a.json["code"] == "request-in-flight" and "Retry-After" in a.headers for a in in_flight)
    bodies = {a.body for a in answers if a.status == 201}
    assert len(bodies) == 1
    [created] = bodies
    later = system.parallel([request] * 200)
    assert {(a.status, a.body, a.headers.get("Idempotent-Replayed")) for a in later} == {(201, created, "true")}
    other = system.call("POST", "/api/v1/orders", body | {"tax": 301}, Idempotency_Key="one-key")
    assert other.status == 422
    assert other.json["code"] == "idempotency-key-reused"

    order = json.loads(created)
    assert [row["id"] for row in system.rows("select id::text from orders")] == [order["id"]]
    assert len(system.ledger(order["id"], "reserve")) == 1
    assert [e.type for e in system.events(1)] == ["order.created"]


def test_fifty_parallel_payments_charge_once(system: System) -> None:
    order = system.place()
    path = f"/api/v1/orders/{order['id']}/payment"
    body = {"paymentMethod": {"token": "tok_visa"}}
    answers = system.parallel([("POST", path, body, {})] * 50)
    assert {a.status for a in answers} <= {200, 202}
    system.await_order(order["id"], status="confirmed")
    assert len(system.ledger(order["id"], "charge")) == 1
    assert len(system.get(order["id"])["payment"]["attempts"]) == 1


async def _until_answered(session: aiohttp.ClientSession, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """POST an order, and repeat it as told while the answer is 503."""
    while True:
        async with session.post("/api/v1/orders", json=body) as reply:
            decoded = await reply.json(content_type=None)
            if reply.status != 503:
                return reply.status, decoded
            await asyncio.sleep(float(reply.headers["Retry-After"]))


def _rush(system: System, body: dict[str, Any], clients: int) -> list[tuple[int, dict[str, Any]]]:
    async def rush() -> list[tuple[int, dict[str, Any]]]:
        connector = aiohttp.TCPConnector(limit=200)
        async with aiohttp.ClientSession(system.api, connector=connector) as session:
            return list(await asyncio.gather(*(_until_answered(session, body) for _ in range(clients))))

    return run(rush())


def _assert_exactly_100_hold(system: System, answers: list[tuple[int, dict[str, Any]]], needed: int) -> None:
    pending = [b for s, b in answers if s == 202]
    for order in pending:
        system.until(lambda order=order: system.get(order["id"])["stock"] != "reserving")
    held = system.rows("select id::text from orders where stock = 'reserved'")
    assert len(held) == 100
    refused = [b for s, b in answers if s == 409]
    assert {b["code"] for b in refused} == {"out-of-stock"}
    for body in refused:
        [shortage] = body["shortages"]
        assert shortage["productId"] == "scarce"
        assert shortage["requested"] == needed
        assert shortage["available"] < needed
    assert sum(s == 201 for s, _ in answers) + len(pending) + len(refused) == len(answers)
    reserved = {e["orderId"] for e in system.ledger(kind="reserve")}
    assert reserved == {row["id"] for row in held}
    assert system.rows("select 1 from orders where stock = 'reserved' and status <> 'pending'") == []


def test_a_thousand_orders_for_a_hundred_pieces_sell_exactly_a_hundred(system: System) -> None:
    system.partner("PUT", "/sandbox/stock/scarce", {"quantity": 100})
    body = basket(items=[{"productId": "scarce", "name": "Scarce", "quantity": 1, "unitPrice": 100}])
    answers = _rush(system, body, 1000)
    _assert_exactly_100_hold(system, answers, 1)
    assert Counter(s for s, _ in answers)[201] == 100
    assert Counter(s for s, _ in answers)[409] == 900


def test_two_lines_for_one_product_are_one_demand(system: System) -> None:
    system.partner("PUT", "/sandbox/stock/scarce", {"quantity": 200})
    line = {"productId": "scarce", "name": "Scarce", "quantity": 1, "unitPrice": 100}
    answers = _rush(system, basket(items=[line, line]), 1000)
    _assert_exactly_100_hold(system, answers, 2)
