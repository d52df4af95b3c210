"""`order-service attention`, `retry` and `give-up`: what the API can do about a stopped call, from a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from order_service.embedded import Kafka, Postgres, ports
from tests.auth.shop import Shop
from tests.system.harness import System, basket

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def shop(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """The service, which wants to know who calls."""
    database = postgres.create_database("attention_commands", template=template_database)
    with Shop(database, kafka.bootstrap, tmp_path_factory.mktemp("shop")) as running:
        running.start_service()
        yield running
    postgres.drop_database("attention_commands")


def _run(system: System, *argv: str, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "order_service", *argv],
        env=os.environ | system.service_env() | env,
        cwd=system.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def _stuck(shop: Shop, key: str) -> dict[str, Any]:
    """A cancelled order whose refund failed."""
    body = {"paymentMethod": {"token": "tok_refund_fails"}}
    order = shop.ask(key, "POST", "/api/v1/orders", basket()).json
    path = f"/api/v1/orders/{order['id']}"
    assert shop.ask(key, "POST", f"{path}/payment", body).status == 200
    assert shop.ask(key, "POST", f"{path}/cancel", {}).status == 200
    return _await_attention(shop, key, order["id"], refunds=1)


def _await_attention(shop: Shop, key: str, order_id: str, *, refunds: int) -> dict[str, Any]:
    def waits() -> dict[str, Any] | None:
        order: dict[str, Any] = shop.ask(key, "GET", f"/api/v1/orders/{order_id}").json
        return order if order["attention"] and len(order["refunds"]) == refunds else None

    found = shop.until(waits)
    assert found is not None
    return found


def test_people_list_retry_and_give_up_what_waits_for_them(shop: Shop) -> None:
    key = shop.key("staff")["key"]
    assert _run(shop, "attention")[:2] == (0, "No order waits for a person.\n")
    first, second = _stuck(shop, key), _stuck(shop, key)

    code, printed, _ = _run(shop, "attention", "--json")
    assert code == 0
    items = json.loads(printed)["items"]
    assert [item["orderId"] for item in items] == [first["id"], second["id"]]
    assert items[0] | {"since": ""} == {
        "orderId": first["id"],
        "orderNumber": first["orderNumber"],
        "userId": "user-1",
        "status": "cancelled",
        "code": "refund-failed",
        "since": "",
        "callId": first["attention"]["callId"],
        "kind": "refund",
        "outcome": "failed",
    }
    assert datetime.fromisoformat(items[0]["since"]) == datetime.fromisoformat(first["attention"]["since"])
    assert f"order-service retry {first['id']} {first['attention']['callId']}" in _run(shop, "attention")[1]

    retried = _run(shop, "retry", first["id"], first["attention"]["callId"], ORDER_SERVICE_API_KEY=key)
    assert retried[0] == 0
    assert retried[1].startswith(f"The call is sent again: order {first['orderNumber']} is cancelled, payment ")
    again = _await_attention(shop, key, first["id"], refunds=2)

    call = again["attention"]["callId"]
    code, told, error = _run(shop, "give-up", first["id"], call, ORDER_SERVICE_API_KEY=key)
    assert (code, told) == (1, "")
    assert "/note is required to give up a refund" in error
    argv = ("give-up", first["id"], call, "--note", "paid back by bank transfer", "--json")
    code, told, _ = _run(shop, *argv, ORDER_SERVICE_API_KEY=key)
    assert code == 0
    assert json.loads(told)["attention"] is None
    assert [r["status"] for r in json.loads(told)["refunds"]] == ["failed", "settled_outside"]
    left = json.loads(_run(shop, "attention", "--json")[1])["items"]
    assert [item["orderId"] for item in left] == [second["id"]]


def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(shop: Shop) -> None:
    key = shop.key("staff")["key"]
    order = shop.ask(key, "POST", "/api/v1/orders", basket()).json
    with_key = {"ORDER_SERVICE_API_KEY": key}
    unknown = _run(shop, "retry", order["id"], NOBODY, **with_key)
    assert unknown == (1, "", "order-service: This order has no call of that id.\n")
    nobodys = _run(shop, "give-up", NOBODY, NOBODY, **with_key)
    assert nobodys == (1, "", "order-service: There is no such order.\n")
    reserve = "select id::text as id from partner_calls where kind = 'reserve' and order_id = $1::uuid"
    call = shop.rows(reserve, order["id"])[0]["id"]
    sound = _run(shop, "retry", order["id"], call, **with_key)
    assert sound == (1, "", "order-service: This call does not wait for a person.\n")
    code, _, error = _run(shop, "retry", order["id"], call)
    assert code == 1
    assert error.startswith("order-service: the service must know who calls: set ORDER_SERVICE_API_KEY ")


def test_without_a_service_or_a_database_the_sentence_says_what_to_start(tmp_path: Path) -> None:
    system = System("", "", tmp_path)
    env = {"ORDER_SERVICE_PORT": str(ports.free_port()), "ORDER_SERVICE_DATABASE_URL": ""}
    code, _, error = _run(system, "retry", NOBODY, NOBODY, **env)
    assert code == 1
    assert error.startswith(f"order-service: no service answers at http://127.0.0.1:{env['ORDER_SERVICE_PORT']} (")
    code, _, error = _run(system, "attention", **env)
    assert code == 1
    assert error == (
        "order-service: no database is known; set ORDER_SERVICE_DATABASE_URL or start the system with `make run`.\n"
    )
