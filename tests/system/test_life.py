"""The whole life of an order through the API, and what it leaves in database, topic and at the partners."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import psutil

from tests.system.harness import System

LIFE = [
    "order.created",
    "order.status_changed",
    "order.payment_successful",
    "order.status_changed",
    "order.status_changed",
    "order.shipped",
    "order.status_changed",
    "order.delivered",
    "order.status_changed",
]


def _deliver(system: System) -> dict[str, Any]:
    order = system.place()
    assert system.pay(order["id"]).status == 200
    assert system.put(order["id"], "processing").status == 200
    shipment = {"carrier": "Post", "trackingNumber": "T-1", "url": "https://example.com/T-1"}
    assert system.put(order["id"], "shipped", shipment=shipment).status == 200
    assert system.put(order["id"], "delivered", reason="signed for").status == 200
    return system.await_order(order["id"], status="delivered", stock="committed")


def test_a_delivered_order_leaves_six_history_rows_its_events_one_charge_one_commit_one_cleared_cart(
    system: System,
) -> None:
    cart = {
        "userId": "user-1",
        "currency": "USD",
        "items": [
            {"productId": "shirt", "quantity": 3, "unitPrice": 1999},
            {"productId": "shoes", "quantity": 1, "unitPrice": 8950},
        ],
        "tax": 300,
        "discount": 0,
    }
    system.partner("PUT", "/sandbox/carts/user-1", cart)
    order = _deliver(system)
    history = system.call("GET", f"/api/v1/orders/{order['id']}/history").json["items"]
    assert [(row["fromStatus"], row["toStatus"]) for row in history] == [
        (None, "pending"),
        ("pending", "payment_pending"),
        ("payment_pending", "confirmed"),
        ("confirmed", "processing"),
        ("processing", "shipped"),
        ("shipped", "delivered"),
    ]
    assert history[-1]["reason"] == "signed for"
    system.await_no_open_calls()
    kinds = sorted(entry["kind"] for entry in system.ledger(order["id"]))
    assert kinds == ["charge", "clear_cart", "commit", "reserve"]
    [charge] = system.ledger(order["id"], "charge")
    assert charge["amount"] == order["total"] == 2 * 1999 + 8950 + 500 + 300
    left = system.partner("GET", "/api/v1/carts/user-1")["items"]
    assert [(item["productId"], item["quantity"]) for item in left] == [("shirt", 1)]

    events = system.events(len(LIFE))
    assert [event.type for event in events] == LIFE
    assert [event.headers["ce_sequence"] for event in events] == [str(n) for n in range(1, 10)]
    assert len({event.partition for event in events}) == 1
    for event in events:
        assert event.key == event.headers["ce_subject"] == order["id"]
        assert event.headers["ce_id"] == f"{order['id']}.{event.headers['ce_sequence']}"
        assert event.headers["ce_source"] == "/order-service"
        assert event.headers["ce_specversion"] == "1.0"
        assert event.headers["content-type"] == "application/json"
        assert event.value["order"]["version"] == int(event.headers["ce_orderversion"])
        assert b"Ada Example" not in (event.raw or b"")
        assert b"Main Street" not in (event.raw or b"")
        assert b"tok_visa" not in (event.raw or b"")
    assert events[5].value["order"]["shipment"]["trackingNumber"] == "T-1"


def test_the_document_has_what_was_ordered_and_never_the_payment_token(system: System) -> None:
    order = system.place(paymentMethod={"token": "tok_visa"}, notes="ring twice", metadata={"channel": "web"})
    assert order["status"] == "pending"
    assert order["stock"] == "reserved"
    assert order["shippingAddress"]["name"] == "Ada Example"
    assert order["notes"] == "ring twice"
    assert order["metadata"] == {"channel": "web"}
    assert order["subtotal"] == 2 * 1999 + 8950
    assert order["version"] == 2
    assert system.pay(order["id"], token=None).status == 200
    assert "tok_visa" not in system.call("GET", f"/api/v1/orders/{order['id']}").body.decode()
    logged = system.rows("select snapshot, change from order_log where order_id = $1::uuid", order["id"])
    assert all("tok_visa" not in str(row) and "Ada" not in str(row) for row in logged)


def test_a_cancelled_paid_order_gives_back_stock_and_money_and_ends_refunded(system: System) -> None:
    order = system.place()
    assert system.pay(order["id"]).status == 200
    answer = system.call("POST", f"/api/v1/orders/{order['id']}/cancel", {"reason": "changed my mind"})
    assert answer.status == 200
    assert answer.json["cancellation"]["reason"] == "changed my mind"
    ended = system.await_order(order["id"], status="refunded", stock="released")
    assert ended["payment"] == ended["payment"] | {"captured": order["total"], "refunded": order["total"]}
    again = system.call("POST", f"/api/v1/orders/{order['id']}/cancel", {"reason": "again"})
    assert again.status == 200
    assert again.json["version"] == ended["version"]
    system.await_no_open_calls()
    assert len(system.ledger(order["id"], "refund")) == 1
    assert len(system.ledger(order["id"], "release")) == 1
    types = [event.type for event in system.events(8)]
    assert types == [
        "order.created",
        "order.status_changed",
        "order.payment_successful",
        "order.status_changed",
        "order.cancelled",
        "order.status_changed",
        "order.refunded",
        "order.status_changed",
    ]


def test_a_declined_payment_gives_the_stock_back_and_the_order_can_be_paid_again(system: System) -> None:
    order = system.place()
    declined = system.pay(order["id"], "tok_declined")
    assert declined.status == 402
    assert declined.json["code"] == "payment-declined"
    assert declined.headers["Content-Type"].startswith("application/problem+json")
    failed = system.await_order(order["id"], status="payment_failed", stock="released")
    assert failed["payment"]["status"] == "declined"
    paid = system.pay(order["id"], "tok_visa")
    assert paid.status == 200
    assert paid.json["status"] == "confirmed"
    assert [a["status"] for a in paid.json["payment"]["attempts"]] == ["declined", "captured"]
    assert len(paid.json["reservations"]) == 2
    assert len(system.ledger(order["id"], "charge")) == 1
    assert system.pay(order["id"], "tok_visa").json["version"] == system.get(order["id"])["version"]


def test_goods_that_nobody_has_are_refused_with_figures_and_leave_nothing(system: System) -> None:
    system.partner("PUT", "/sandbox/stock/rare", {"quantity": 3})
    items = [{"productId": "rare", "name": "Rare", "quantity": 2, "unitPrice": 100}] * 2
    answer = system.call(
        "POST", "/api/v1/orders", {**_body(), "items": items, "shippingCost": 0, "tax": 0}, Idempotency_Key="k-rare"
    )
    assert answer.status == 409
    assert answer.json["code"] == "out-of-stock"
    assert answer.json["shortages"] == [{"productId": "rare", "requested": 4, "available": 3}]
    for table in ("orders", "order_log", "partner_calls", "idempotency_keys"):
        assert system.rows(f"select 1 from {table}") == []
    assert system.ledger() == []


def test_an_unanswered_reserve_is_answered_with_202_and_finished_by_the_worker(system: System) -> None:
    items = [{"productId": "flaky", "name": "Flaky", "quantity": 1, "unitPrice": 100}]
    answer = system.call("POST", "/api/v1/orders", {**_body(), "items": items}, Idempotency_Key="k-1")
    assert answer.status in (201, 202)
    order = system.await_order(answer.json["id"], stock="reserved")
    assert len(system.ledger(order["id"], "reserve")) == 1
    again = system.call("POST", "/api/v1/orders", {**_body(), "items": items}, Idempotency_Key="k-1")
    assert again.status == 201
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json["id"] == order["id"]


def test_an_order_without_a_price_is_confirmed_without_a_charge(system: System) -> None:
    items = [{"productId": "gift", "name": "Gift", "quantity": 1, "unitPrice": 0}]
    order = system.place(items=items, shippingCost=0, tax=0)
    assert order["status"] == "confirmed"
    assert order["payment"]["status"] == "none"
    assert [event.type for event in system.events(2)] == ["order.created", "order.status_changed"]
    assert system.ledger(order["id"], "charge") == []


def test_an_unpaid_order_expires_and_its_stock_goes_back(database: str, kafka: Any, tmp_path: Any) -> None:
    with System(database, kafka.bootstrap, tmp_path, UNPAID_TTL="1") as system:
        system.start_service()
        order = system.place()
        ended = system.await_order(order["id"], status="cancelled", stock="released")
        assert ended["cancellation"]["code"] == "expired"
        [row] = system.rows(
            "select actor from order_history where order_id = $1::uuid and to_status = 'cancelled'", order["id"]
        )
        assert row["actor"] == "system:timer"


def test_lists_show_a_users_orders_newest_first_page_by_page(system: System) -> None:
    placed = [system.place(userId="lister")["id"] for _ in range(5)]
    system.place(userId="somebody-else")
    seen: list[str] = []
    cursor = ""
    while True:
        page = system.call("GET", f"/api/v1/orders/user/lister?limit=2{cursor}").json
        seen += [order["id"] for order in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == placed[::-1]
    assert system.call("GET", "/api/v1/orders/user/lister?status=confirmed").json == {"items": [], "nextCursor": None}


def test_a_stale_if_match_is_refused_and_writes_nothing(system: System) -> None:
    order = system.place()
    stale = system.call("POST", f"/api/v1/orders/{order['id']}/cancel", {}, If_Match='"1"')
    assert stale.status == 412
    assert stale.json["version"] == 2
    assert system.get(order["id"])["status"] == "pending"
    fresh = system.call("POST", f"/api/v1/orders/{order['id']}/cancel", {}, If_Match='"2"')
    assert fresh.status == 200
    assert fresh.headers["ETag"] == '"3"'


def test_a_failed_refund_needs_attention_and_a_person_settles_it(system: System) -> None:
    order = system.place()
    assert system.pay(order["id"], "tok_refund_fails").status == 200
    assert system.call("POST", f"/api/v1/orders/{order['id']}/cancel").status == 200

    stuck = system.until(lambda: (o := system.get(order["id"]))["attention"] and o)
    assert stuck["attention"]["code"] == "refund-failed"
    assert stuck["payment"]["status"] == "refund_failed"
    path = f"/api/v1/orders/{order['id']}/calls/{stuck['attention']['callId']}"
    assert system.call("POST", f"{path}/retry").status == 202
    twice = system.until(lambda: (o := system.get(order["id"]))["attention"] and len(o["refunds"]) == 2 and o)
    path = f"/api/v1/orders/{order['id']}/calls/{twice['attention']['callId']}"
    assert system.call("POST", f"{path}/give-up", {}).status == 422
    given_up = system.call("POST", f"{path}/give-up", {"note": "paid back by bank transfer"})
    assert given_up.status == 200
    assert given_up.json["attention"] is None
    assert given_up.json["status"] == "cancelled"


def test_health_names_every_part(system: System) -> None:
    health = system.call("GET", "/health")
    assert health.status == 200
    assert health.json["status"] == "healthy"
    assert set(health.json["checks"]) == {"database", "kafka", "inventory", "cart", "payment"}


def _body() -> dict[str, Any]:
    from tests.system.harness import basket

    return basket()


def test_several_processes_serve_one_port(database: str, kafka: Any, tmp_path: Any) -> None:
    with System(database, kafka.bootstrap, tmp_path, WORKERS="2") as system:
        parent = system.start_service()
        orders = [system.place() for _ in range(8)]
        system.until(lambda: len(psutil.Process(parent.pid).children()) == 2)
        assert all(system.pay(order["id"]).status == 200 for order in orders)
        [first, second] = psutil.Process(parent.pid).children()
        first.kill()
        system.until(lambda: len({c.pid for c in psutil.Process(parent.pid).children()} - {first.pid}) == 2)
        family = psutil.Process(parent.pid).children()
        assert second in family
        system.kill_service()
        system.until(lambda: all(not c.is_running() or c.status() == psutil.STATUS_ZOMBIE for c in family))


def test_a_port_in_use_is_one_plain_sentence_and_exit_code_1(system: System) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "order_service", "serve"],
        env=os.environ | system.service_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1] == (
        f"order-service: Port {system.port} on 127.0.0.1 cannot be used (address already in use); "
        "set PORT to another one."
    )
