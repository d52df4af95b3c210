"""What the service answers goes out as it is; what it refuses becomes a problem document."""

from __future__ import annotations

from typing import Any

import pytest

from order_service.core.answers import Shortage
from order_service.core.errors import OutOfStock, PaymentDeclined, StockNotReserved, UnlawfulMove
from order_service.core.lifecycle import Status
from order_service.core.messages import Cancel, GiveUpCall, Pay, RefundOrder, RetryCall, SetStatus
from order_service.core.model import Address, Contacts, Shipment
from order_service.problems import (
    InventoryUnavailable,
    KeyReused,
    OrderNotFound,
    RequestInFlight,
    ServiceUnavailable,
    StaleVersion,
)
from order_service.requests import Page, Principal, Reply

from .recorder import BODY, CALL_ID, ORDER_ID, Recorder
from .wire import Served

ORDERS = "/api/v1/orders"
ORDER = f"{ORDERS}/{ORDER_ID}"
LOCAL = Principal("staff:local", "staff", None)


def test_a_placed_order_is_answered_with_the_services_bytes_its_version_and_its_place(
    api: Served, orders: Recorder, order: dict[str, Any]
) -> None:
    orders.reply = Reply(201, BODY, 1, location=ORDER)
    answer = api.post(ORDERS, order)
    assert (answer.status, answer.body) == (201, BODY)
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == ORDER
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "retry-after" not in answer.headers
    assert "idempotent-replayed" not in answer.headers
    assert "server" not in answer.headers


def test_an_interim_answer_and_a_replayed_one_say_so(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    orders.reply = Reply(202, BODY, 1, location=ORDER, retry_after_s=1, replayed=True)
    answer = api.post(ORDERS, order)
    assert (answer.status, answer.body) == (202, BODY)
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["idempotent-replayed"] == "true"
    assert answer.headers["etag"] == '"1"'


def test_a_remembered_refusal_goes_out_as_the_problem_it_was(api: Served, orders: Recorder) -> None:
    orders.reply = Reply(402, b'{"code":"payment-declined" }', None, problem=True, replayed=True)
    answer = api.request("POST", f"{ORDER}/payment")
    assert (answer.status, answer.body) == (402, b'{"code":"payment-declined" }')
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["idempotent-replayed"] == "true"
    assert "etag" not in answer.headers


def test_a_placed_order_reaches_the_service_with_its_sums(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    order["billingAddress"] = {**order["shippingAddress"], "line2": "Floor 2", "region": "", "phone": None}
    order["notes"] = "Ring twice"
    api.post(ORDERS, order)
    [(name, ask, message)] = orders.asked
    assert name == "place"
    assert ask.principal == LOCAL
    assert ask.route == "POST /api/v1/orders"
    assert (ask.key, ask.fingerprint, ask.if_match, ask.traceparent) == (None, b"", None, None)
    assert (message.user_id, message.currency, message.token) == ("ada", "EUR", "tok_visa")
    assert [(i.line, i.product_id, i.sku, i.quantity, i.unit_price, i.total) for i in message.items] == [
        (1, "tea-100", "TEA-100", 2, 799, 1598),
        (2, "mug-blue", None, 1, 1250, 1250),
    ]
    assert (message.shipping_cost, message.tax, message.discount) == (490, 0, 100)
    assert message.metadata == {"channel": "web"}
    ada = Address("Ada Example", "1 Analytical Way", "London", "N1 9GU", "GB", email="ada@example.com")
    assert message.contacts.shipping_address == ada
    assert message.contacts == Contacts(
        ada,
        Address("Ada Example", "1 Analytical Way", "London", "N1 9GU", "GB", "Floor 2", "", None, "ada@example.com"),
        "Ring twice",
    )


SHIPPED = {"carrier": "Parcel Co", "trackingNumber": "P1", "url": "https://parcel.example/P1"}


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "/payment", None, Pay(None)),
        ("POST", "/payment", {}, Pay(None)),
        ("POST", "/payment", {"paymentMethod": None}, Pay(None)),
        ("POST", "/payment", {"paymentMethod": {"token": "tok_visa"}}, Pay("tok_visa")),
        ("POST", "/cancel", None, Cancel(None)),
        ("POST", "/cancel", {}, Cancel(None)),
        ("POST", "/cancel", {"reason": "twice"}, Cancel("twice")),
        ("PUT", "/status", {"status": "processing"}, SetStatus(Status.PROCESSING)),
        ("PUT", "/status", {"status": "cancelled", "reason": "lost"}, SetStatus(Status.CANCELLED, "lost")),
        (
            "PUT",
            "/status",
            {"status": "shipped", "shipment": SHIPPED},
            SetStatus(Status.SHIPPED, None, Shipment("Parcel Co", "P1", "https://parcel.example/P1")),
        ),
        ("POST", "/refunds", {"reason": "broken"}, RefundOrder("broken", None)),
        ("POST", "/refunds", {"reason": "broken", "amount": 1}, RefundOrder("broken", 1)),
        ("POST", f"/calls/{CALL_ID}/retry", None, RetryCall(CALL_ID)),
        ("POST", f"/calls/{CALL_ID}/retry", {"note": "again"}, RetryCall(CALL_ID)),
        ("POST", f"/calls/{CALL_ID}/give-up", None, GiveUpCall(CALL_ID, None)),
        ("POST", f"/calls/{CALL_ID}/give-up", {"note": "by bank"}, GiveUpCall(CALL_ID, "by bank")),
    ],
)
def test_a_command_reaches_the_service_as_its_message(
    api: Served, orders: Recorder, method: str, path: str, body: Any, message: Any
) -> None:
    answer = api.request(method, ORDER + path) if body is None else api.post(ORDER + path, body, method=method)
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, BODY, '"3"')
    [(name, ask, order_id, asked)] = orders.asked
    assert (name, order_id, asked) == ("command", ORDER_ID, message)
    template = path.replace(CALL_ID, "{callId}")
    assert ask.route == f"{method} /api/v1/orders/{{orderId}}{template}"


def test_an_order_is_read_with_its_version(api: Served, orders: Recorder) -> None:
    answer = api.get(ORDER)
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, BODY, '"3"')
    assert orders.asked == [("get", LOCAL, ORDER_ID)]


def test_a_page_is_put_together_from_ready_made_documents(api: Served, orders: Recorder) -> None:
    answer = api.get(f"{ORDERS}/user/ada")
    assert answer.body == b'{"items":[{"id":"b"},{"id":"a"}],"nextCursor":"bmV4dA"}'
    orders.page = Page([], None)
    assert api.get(f"{ORDERS}/user/ada").body == b'{"items":[],"nextCursor":null}'
    assert orders.asked == [("of_user", LOCAL, "ada", 20, None, None)] * 2


def test_the_history_is_a_list_of_changes(api: Served, orders: Recorder) -> None:
    orders.changes = [{"version": 1, "fromStatus": None, "toStatus": "pending"}]
    answer = api.get(f"{ORDER}/history")
    assert (answer.status, answer.json()) == (200, {"items": orders.changes})
    assert orders.asked == [("history", LOCAL, ORDER_ID)]


@pytest.mark.parametrize(
    ("error", "status", "code", "extra", "retry_after"),
    [
        (OrderNotFound(), 404, "order-not-found", {}, None),
        (StaleVersion(4), 412, "stale-version", {"version": 4}, None),
        (KeyReused(), 422, "idempotency-key-reused", {}, None),
        (RequestInFlight(), 409, "request-in-flight", {}, "1"),
        (InventoryUnavailable(), 503, "inventory-unavailable", {}, "2"),
        (ServiceUnavailable(), 503, "service-unavailable", {}, "2"),
        (StockNotReserved(), 409, "stock-not-reserved", {}, "1"),
        (PaymentDeclined("lost_card", 2), 402, "payment-declined", {"declineCode": "lost_card", "attempt": 2}, None),
        (
            UnlawfulMove(Status.PENDING, Status.SHIPPED, (Status.CANCELLED,)),
            409,
            "unlawful-move",
            {"orderStatus": "pending", "allowed": ["cancelled"]},
            None,
        ),
        (
            OutOfStock((Shortage("tea", 3, 1),), orderId=ORDER_ID),
            409,
            "out-of-stock",
            {"shortages": [{"productId": "tea", "requested": 3, "available": 1}], "orderId": ORDER_ID},
            None,
        ),
    ],
)
def test_a_refusal_is_a_problem_document(
    api: Served, orders: Recorder, error: Exception, status: int, code: str, extra: dict[str, Any], retry_after: str
) -> None:
    orders.error = error
    answer = api.post(f"{ORDER}/cancel", {})
    assert answer.problem() == (status, code)
    assert {name: answer.json()[name] for name in extra} == extra
    assert answer.headers.get("retry-after") == retry_after


def test_a_fault_of_ours_tells_the_client_nothing_but_where_to_look(api: Served, orders: Recorder) -> None:
    orders.error = RuntimeError("password=hunter2 in SELECT * FROM orders")
    answer = api.post(f"{ORDER}/cancel", {}, {"X-Correlation-Id": "find-me"})
    assert answer.problem() == (500, "internal-error")
    assert answer.json()["correlationId"] == "find-me"
    for secret in (b"hunter2", b"SELECT", b"Traceback", b"RuntimeError", b".py"):
        assert secret not in answer.body


def test_health_is_degraded_without_kafka_and_gone_without_the_database(api: Served, orders: Recorder) -> None:
    answer = api.get("/health")
    assert (answer.status, answer.json()) == (200, {"status": "healthy", "checks": orders.checks})
    orders.checks = {"database": {"status": "up"}, "kafka": {"status": "down", "detail": "no broker"}}
    answer = api.get("/health")
    assert (answer.status, answer.json()) == (200, {"status": "degraded", "checks": orders.checks})
    orders.checks = {"database": {"status": "down"}, "kafka": {"status": "up"}}
    answer = api.get("/health")
    assert answer.problem() == (503, "unhealthy")
    assert answer.json()["checks"] == orders.checks


def test_the_process_lives_even_if_it_is_not_ready(api: Served, orders: Recorder) -> None:
    assert (api.get("/livez").status, api.get("/readyz").status) == (200, 200)
    orders.ready = False
    orders.error = RuntimeError("everything is broken")
    assert api.get("/livez").status == 200
    assert api.get("/readyz").problem() == (503, "not-ready")


def test_an_answer_comes_in_one_piece_and_so_wakes_its_client_once(api: Served) -> None:
    with api.connect() as connection:
        for _ in range(20):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}\r\n".encode() in head + b"\r\n"
            assert body
