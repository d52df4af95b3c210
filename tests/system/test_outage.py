"""Broker, database or partners away for a while: clear answers meanwhile, and nothing lost afterwards."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from order_service.embedded import Kafka, Postgres
from order_service.store.migrate import migrate
from tests.system.harness import System, basket


def _confirmed(system: System) -> dict[str, Any]:
    order = system.place()
    assert system.pay(order["id"]).status == 200
    return order


@pytest.fixture
def broker(kafka: Kafka) -> Any:
    """The broker of this run, alive again after the test whatever it did."""
    yield kafka
    if not kafka.running:
        kafka.start()


def test_a_broker_away_costs_nothing_but_delay(system: System, broker: Kafka) -> None:
    first = _confirmed(system)
    system.events(4)
    broker.kill()
    system.until(lambda: system.call("GET", "/health").json["checks"]["kafka"]["status"] == "down")
    health = system.call("GET", "/health")
    assert (health.status, health.json["status"]) == (200, "degraded")
    meanwhile = [_confirmed(system) for _ in range(5)]
    broker.start()
    events = system.events(24)
    assert len({event.headers["ce_id"] for event in events}) == 24
    for order in (first, *meanwhile):
        sequence: list[int] = []
        for event in events:
            number = int(event.headers["ce_sequence"])
            if event.key == order["id"] and number not in sequence:
                sequence.append(number)
        assert sequence == [1, 2, 3, 4]
    system.until(lambda: system.call("GET", "/health").json["status"] == "healthy")


def test_a_database_away_is_answered_with_503_and_the_service_recovers_by_itself(kafka: Kafka, tmp_path: Path) -> None:
    with Postgres(tmp_path / "durable") as postgres:
        asyncio.run(migrate(postgres.dsn()))
        with System(postgres.dsn(), kafka.bootstrap, tmp_path) as system:
            system.start_service()
            _lose_and_find_the_database(system, postgres)


def _lose_and_find_the_database(system: System, postgres: Postgres) -> None:
    order = _confirmed(system)
    postgres.kill()
    try:
        away = system.call("GET", f"/api/v1/orders/{order['id']}")
        assert away.status == 503
        assert away.json["code"] == "service-unavailable"
        assert "Retry-After" in away.headers
        refused = system.call("POST", "/api/v1/orders", basket(), Idempotency_Key="while-away")
        assert refused.status == 503
        assert system.call("GET", "/health").status == 503
        assert system.call("GET", "/livez").status == 200
    finally:
        postgres.start()
    system.until(lambda: system.call("GET", "/health").status == 200)
    placed = system.call("POST", "/api/v1/orders", basket(), Idempotency_Key="while-away")
    assert placed.status == 201
    assert system.pay(placed.json["id"]).json["status"] == "confirmed"
    assert system.get(order["id"])["status"] == "confirmed"
    events = system.events(8)
    assert len({event.headers["ce_id"] for event in events}) == 8


def test_partners_away_refuse_new_orders_plainly_and_finish_old_ones_later(system: System) -> None:
    order = system.place()
    cancelled = _confirmed(system)
    system.await_no_open_calls()
    system.stop_sandbox(signal.SIGKILL)
    refused = system.call("POST", "/api/v1/orders", basket())
    assert refused.status == 503
    assert refused.json["code"] == "inventory-unavailable"
    assert "Retry-After" in refused.headers
    assert system.rows("select count(*) as n from orders") == [{"n": 2}]
    unknown = system.pay(order["id"])
    assert unknown.status == 202
    assert unknown.json["payment"]["status"] == "unknown"
    away = system.call("POST", f"/api/v1/orders/{cancelled['id']}/cancel")
    assert away.status == 200
    assert away.json["stock"] == "releasing"
    system.start_sandbox()
    assert system.await_order(order["id"], status="confirmed")["payment"]["status"] == "captured"
    system.await_order(cancelled["id"], status="refunded", stock="released")
    assert len(system.ledger(order["id"], "charge")) == 1
    assert len(system.ledger(cancelled["id"], "refund")) == 1


def test_an_answer_that_the_database_refuses_is_parked_and_the_others_flow(system: System) -> None:
    poisoned = system.place(tax=4242)
    system.rows(f"alter table orders add constraint poison check (captured <> {poisoned['total']})")
    assert system.pay(poisoned["id"]).status == 202
    stuck = system.until(lambda: (order := system.get(poisoned["id"]))["attention"] and order)
    assert (stuck["status"], stuck["attention"]["code"]) == ("payment_pending", "answer-not-believed")
    assert _confirmed(system)["id"] != poisoned["id"]
    system.rows("alter table orders drop constraint poison")
    path = f"/api/v1/orders/{poisoned['id']}/calls/{stuck['attention']['callId']}/retry"
    assert system.call("POST", path).status == 202
    healed = system.await_order(poisoned["id"], status="confirmed")
    assert healed["attention"] is None
    assert len(system.ledger(poisoned["id"], "charge")) == 1
