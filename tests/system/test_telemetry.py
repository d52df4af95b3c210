"""What an engineer on call finds afterwards: one correlation id through everything, and nobody's secrets."""

from __future__ import annotations

import json

from tests.system.harness import System, basket

CANARIES = ("Canary Person", "9 Canary Street", "canary@example.com", "+4912345678", "tok_visa", "Canary note")


def test_one_correlation_id_leads_from_the_request_to_history_logs_and_events(system: System) -> None:
    order = system.place()
    paid = system.call(
        "POST",
        f"/api/v1/orders/{order['id']}/payment",
        {"paymentMethod": {"token": "tok_visa"}},
        X_Correlation_Id="find-me-42",
        Traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    assert paid.status == 200
    assert paid.headers["X-Correlation-Id"] == "find-me-42"
    history = system.call("GET", f"/api/v1/orders/{order['id']}/history").json["items"]
    assert [row["correlationId"] for row in history][1:] == ["find-me-42", "find-me-42"]
    sent = [event for event in system.events(4) if event.headers.get("ce_correlationid") == "find-me-42"]
    assert [event.type for event in sent] == [
        "order.status_changed",
        "order.payment_successful",
        "order.status_changed",
    ]
    assert {event.headers["traceparent"].split("-")[1] for event in sent} == {"0af7651916cd43dd8448eb211c80319c"}
    logged = [line for line in _log(system) if line.get("correlation_id") == "find-me-42"]
    assert {line["event"] for line in logged} == {"partner_call", "request"}
    [call] = [line for line in logged if line["event"] == "partner_call"]
    assert (call["kind"], call["answer"], call["order_id"]) == ("charge", "PaymentState", order["id"])


def test_no_personal_data_and_no_token_in_logs_log_rows_and_events(system: System) -> None:
    address = {
        "name": "Canary Person",
        "line1": "9 Canary Street",
        "city": "Springfield",
        "postalCode": "62701",
        "country": "US",
        "email": "canary@example.com",
        "phone": "+4912345678",
    }
    body = basket(shippingAddress=address, billingAddress=address, notes="Canary note")
    body["paymentMethod"] = {"token": "tok_visa"}
    placed = system.call("POST", "/api/v1/orders", body)
    assert placed.status == 201
    order_id = placed.json["id"]
    assert system.pay(order_id, token=None).status == 200
    assert system.call("POST", "/api/v1/orders", body | {"quantity": "Canary note"}).status == 422
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel").status == 200
    system.await_order(order_id, status="refunded")
    events = system.events(8)
    written = b"".join(event.raw or b"" for event in events).decode()
    written += (system.folder / "service.log").read_text()
    written += str(system.rows("select snapshot, change, actor, reason from order_log"))
    written += str(system.rows("select * from order_history"))
    for canary in CANARIES:
        assert canary not in written
    assert "Canary Person" in str(system.rows("select document from order_contacts"))


def test_every_log_line_is_one_json_object(system: System) -> None:
    order = system.place()
    system.pay(order["id"])
    assert system.stop_service() == 0
    lines = _log(system)
    assert {line["event"] for line in lines} >= {"started", "request", "partner_call", "draining", "stopped"}
    assert all({"time", "level", "event"} <= set(line) for line in lines)


def _log(system: System) -> list[dict[str, str]]:
    return [json.loads(line) for line in (system.folder / "service.log").read_text().splitlines()]


def _metrics(system: System) -> dict[str, float]:
    lines = system.call("GET", "/metrics").body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_metrics_tell_what_happened_and_name_nobody(system: System) -> None:
    order = system.place(userId="somebody-private")
    assert system.pay(order["id"], "tok_declined").status == 402
    system.await_no_open_calls()
    system.events(4)
    found = _metrics(system)
    assert found['order_service_requests_total{method="POST",route="/api/v1/orders",status="201"}'] == 1
    assert found['order_service_status_changes_total{to="payment_failed"}'] == 1
    answers = 'order_service_partner_answers_total{answer="PaymentState",kind="charge",partner="payment"}'
    assert found[answers] == 1
    assert found["order_service_commit_entries_count"] >= 4
    assert found['order_service_commit_verdicts_total{verdict="applied"}'] >= 4
    system.until(lambda: _metrics(system)["order_service_events_published_total"] == 4)
    system.until(lambda: _metrics(system).get('order_service_orders{status="payment_failed"}') == 1)
    assert _metrics(system)["order_service_database_up"] == 1
    text = system.call("GET", "/metrics").body.decode()
    assert "somebody-private" not in text
    assert order["id"] not in text


def test_metrics_tell_of_a_parked_call(system: System) -> None:
    order = system.place()
    assert system.pay(order["id"], "tok_refused").status == 202
    system.until(lambda: system.get(order["id"])["attention"])
    system.until(lambda: _metrics(system).get("order_service_orders_with_attention") == 1)
    found = _metrics(system)
    assert found["order_service_calls_parked"] == 1
    assert found['order_service_parked_total{kind="charge"}'] == 1
