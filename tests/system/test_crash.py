"""A process that dies between an effect and its answer: the next one finishes, and nothing happens twice."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from order_service.embedded import Kafka
from tests.system.harness import Answer, System, basket


class Background:
    """A request whose answer may never come."""

    def __init__(self, system: System, method: str, path: str, body: Any) -> None:
        self.answer: Answer | None = None

        def work() -> None:
            with suppress(
                OSError, aiohttp.ClientError
            ):  # the service dies before it answers: that is what the test is about
                self.answer = system.call(method, path, body)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the request has ended, one way or the other."""
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_a_kill_between_a_charge_and_its_answer_ends_confirmed_and_charged_once(system: System) -> None:
    order = system.place()
    body = {"paymentMethod": {"token": "tok_timeout_after"}}
    request = Background(system, "POST", f"/api/v1/orders/{order['id']}/payment", body)
    system.until(lambda: system.ledger(order["id"], "charge"))
    system.kill_service()
    request.join()
    assert request.answer is None
    system.start_service()
    ended = system.await_order(order["id"], status="confirmed")
    assert ended["payment"]["captured"] == order["total"]
    assert len(system.ledger(order["id"], "charge")) == 1
    assert [e.type for e in system.events(4)] == [
        "order.created",
        "order.status_changed",
        "order.payment_successful",
        "order.status_changed",
    ]


def test_a_kill_between_a_reserve_and_its_answer_ends_reserved_once(system: System) -> None:
    items = [{"productId": "slow", "name": "Slow", "quantity": 1, "unitPrice": 100}]
    request = Background(system, "POST", "/api/v1/orders", basket(items=items))
    [row] = system.until(lambda: system.rows("select id::text from orders"))
    system.kill_service()
    request.join()
    system.start_service()
    system.await_order(row["id"], stock="reserved", status="pending")
    assert len(system.ledger(row["id"], "reserve")) == 1
    assert [e.type for e in system.events(1)] == ["order.created"]


def test_another_replica_finishes_what_a_dead_one_owed(database: str, kafka: Kafka, tmp_path: Path) -> None:
    with System(database, kafka.bootstrap, tmp_path) as system:
        other = system.spawn(
            *("-m", "order_service", "serve", "--only", "worker", "--only", "relay"),
            name="replica",
            env=system.service_env(PORT="0"),
        )
        system.start_service()
        order = system.place()
        body = {"paymentMethod": {"token": "tok_timeout_after"}}
        request = Background(system, "POST", f"/api/v1/orders/{order['id']}/payment", body)
        system.until(lambda: system.ledger(order["id"], "charge"))
        system.kill_service()
        request.join()
        system.until(
            lambda: system.rows("select 1 from orders where id = $1::uuid and status = 'confirmed'", order["id"])
        )
        assert other.poll() is None
        assert len(system.ledger(order["id"], "charge")) == 1


def test_a_stop_finishes_the_request_that_is_under_way(system: System) -> None:
    items = [{"productId": "slow", "name": "Slow", "quantity": 1, "unitPrice": 100}]
    request = Background(system, "POST", "/api/v1/orders", basket(items=items))
    system.until(lambda: system.rows("select 1 from orders"))
    assert system.stop_service() == 0
    request.join()
    assert request.answer is not None
    assert request.answer.status == 201
    assert system.rows("select stock from orders") == [{"stock": "reserved"}]
