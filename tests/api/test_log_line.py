"""One line per request, with what finds it again and nothing of what was in it."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from .corpus import ORDER, ORDERS
from .recorder import Recorder
from .wire import Served

SECRETS = ("tok_visa", "Ada", "ada@example.com", "Analytical", "user-4711", "key-of-mine", "session=1", "PAN")


def lines(api: Served, *requests: Any) -> list[dict[str, Any]]:
    with capture_logs() as captured:
        for send in requests:
            send()
        api.get("/livez")  # behind it on the same loop: the lines before are written
    return [dict(line) for line in captured if line.get("route") != "/livez"]


def test_a_request_is_logged_with_its_template_and_its_result(api: Served, orders: Recorder) -> None:
    correlated = {"X-Correlation-Id": "c-1"}
    [line] = lines(api, lambda: api.post(f"{ORDER}/cancel", {}, correlated))
    assert 0 < line.pop("duration_ms") < 5_000
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "route": "/api/v1/orders/{orderId}/cancel",
        "status": 200,
        "correlation_id": "c-1",
        "principal": "staff:local",
    }


def test_a_request_to_nowhere_is_logged_without_its_path(api: Served, orders: Recorder) -> None:
    [first, second] = lines(api, lambda: api.get("/wp-admin/user-4711"), lambda: api.request("DELETE", ORDER))
    assert (first["route"], first["status"], first["principal"]) == ("", 404, None)
    assert (second["method"], second["status"]) == ("DELETE", 405)


def test_head_is_logged_as_head(api: Served, orders: Recorder) -> None:
    [line] = lines(api, lambda: api.request("HEAD", ORDER))
    assert (line["method"], line["route"], line["status"]) == ("HEAD", "/api/v1/orders/{orderId}", 200)


def test_no_line_holds_anything_personal_or_secret(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "key-of-mine", "Cookie": "session=1", "Authorization": "Bearer PAN"}
    told = lines(
        api,
        lambda: api.post(ORDERS, order, headers),
        lambda: api.post(ORDERS, order | {"tax": "tok_visa"}, headers),
        lambda: api.get(f"{ORDERS}/user/user-4711?status=user-4711", headers),
        lambda: api.get(f"{ORDERS}/user/user-4711", headers),
    )
    assert [line["status"] for line in told] == [200, 422, 422, 200]
    for line in told:
        assert not [secret for secret in SECRETS if secret in repr(line)]


def test_a_fault_of_ours_is_logged_with_its_cause_and_its_correlation_id(api: Served, orders: Recorder) -> None:
    orders.error = RuntimeError("the reason")
    [fault, line] = lines(api, lambda: api.request("POST", f"{ORDER}/cancel", None, {"X-Correlation-Id": "c-2"}))
    assert (fault["event"], fault["log_level"], fault["correlation_id"]) == ("request failed", "error", "c-2")
    assert fault["exc_info"] is orders.error
    assert (line["status"], line["correlation_id"]) == (500, "c-2")


@pytest.mark.parametrize("status", [402, 409])
def test_a_refusal_is_no_fault_of_ours(api: Served, orders: Recorder, status: int) -> None:
    from order_service.core.errors import PaymentDeclined, PaymentInProgress

    orders.error = PaymentDeclined("no", 1) if status == 402 else PaymentInProgress()
    [line] = lines(api, lambda: api.request("POST", f"{ORDER}/payment"))
    assert (line["event"], line["status"]) == ("request", status)


def test_a_client_that_hangs_up_is_logged_as_gone(api: Served, orders: Recorder) -> None:
    def hang_up() -> None:
        with api.connect() as connection:
            head = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
            connection.sendall(head.encode())
            api.get("/livez")

    [line] = lines(api, hang_up, lambda: api.get("/livez"))
    assert (line["route"], line["status"]) == (ORDERS, 499)
    assert orders.asked == []
