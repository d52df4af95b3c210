"""The table of answers, over the wire: every command in every state that a client can bring an order into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from order_service.embedded import Kafka, Postgres
from tests.system.harness import Answer, System, basket

UNCHANGED = "="
"""Behind an expected answer: nothing may have been written."""


_unanswered: list[str] = []
"""Orders whose reserve is not answered, placed all at once: each took its request's whole deadline."""


def _reserving(_: System) -> str:
    return _unanswered.pop()


def _place_unanswered(system: System) -> None:
    body = basket(items=[{"productId": "stuck", "name": "Stuck", "quantity": 1, "unitPrice": 100}])
    for answer in system.parallel([("POST", "/api/v1/orders", body, {})] * len(_COLUMNS)):
        assert answer.status == 202, answer.body
        _unanswered.append(answer.json["id"])


def _reserved(system: System) -> str:
    order_id: str = system.place()["id"]
    return order_id


def _in_payment(system: System) -> str:
    order_id = _reserved(system)
    assert system.pay(order_id, "tok_3ds").status == 202
    return order_id


def _failed(system: System) -> str:
    order_id = _reserved(system)
    assert system.pay(order_id, "tok_declined").status == 402
    system.await_order(order_id, stock="released")
    return order_id


def _confirmed(system: System) -> str:
    order_id = _reserved(system)
    assert system.pay(order_id).status == 200
    return order_id


def _processing(system: System) -> str:
    order_id = _confirmed(system)
    assert system.put(order_id, "processing").status == 200
    return order_id


def _shipped(system: System) -> str:
    order_id = _processing(system)
    assert system.put(order_id, "shipped").status == 200
    system.await_order(order_id, stock="committed")
    return order_id


def _delivered(system: System) -> str:
    order_id = _shipped(system)
    assert system.put(order_id, "delivered").status == 200
    return order_id


def _cancelled(system: System) -> str:
    order_id = _reserved(system)
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel").status == 200
    system.await_order(order_id, stock="released")
    return order_id


def _refund_failed(system: System) -> str:
    order_id = _reserved(system)
    assert system.pay(order_id, "tok_refund_fails").status == 200
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel").status == 200
    system.until(lambda: system.get(order_id)["attention"])
    system.await_order(order_id, stock="released")
    return order_id


def _refunded_after_cancel(system: System) -> str:
    order_id = _confirmed(system)
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel").status == 200
    system.await_order(order_id, status="refunded", stock="released")
    return order_id


def _refunded_after_shipping(system: System) -> str:
    order_id = _delivered(system)
    assert system.put(order_id, "refunded").status == 200
    return order_id


STATES: dict[str, Callable[[System], str]] = {
    "pending, reserving": _reserving,
    "pending, reserved": _reserved,
    "payment_pending": _in_payment,
    "payment_failed": _failed,
    "confirmed": _confirmed,
    "processing": _processing,
    "shipped": _shipped,
    "delivered": _delivered,
    "cancelled, nothing captured": _cancelled,
    "cancelled, refund failed": _refund_failed,
    "refunded, was cancelled": _refunded_after_cancel,
    "refunded, after shipping": _refunded_after_shipping,
}

Command = Callable[[System, str], Answer]
COMMANDS: dict[str, Command] = {
    "pay": lambda s, o: s.pay(o, "tok_visa"),
    "pay same": lambda s, o: s.pay(o, "tok_3ds"),
    "cancel": lambda s, o: s.call("POST", f"/api/v1/orders/{o}/cancel", {"reason": "table"}),
    "PUT processing": lambda s, o: s.put(o, "processing"),
    "PUT shipped": lambda s, o: s.put(o, "shipped"),
    "PUT delivered": lambda s, o: s.put(o, "delivered"),
    "PUT cancelled": lambda s, o: s.put(o, "cancelled"),
    "PUT refunded": lambda s, o: s.put(o, "refunded"),
    "PUT confirmed": lambda s, o: s.put(o, "confirmed"),
    "refund part": lambda s, o: s.call("POST", f"/api/v1/orders/{o}/refunds", {"amount": 100, "reason": "t"}),
    "refund rest": lambda s, o: s.call("POST", f"/api/v1/orders/{o}/refunds", {"reason": "t"}),
}

UM, REC, CI = "409 unlawful-move", "409 refund-exceeds-captured", "409 cancel-instead"
GONE, LATE = "409 not-payable", "409 not-cancellable"
_COLUMNS = [name for name in COMMANDS if name != "pay same"]
_TABLE: dict[str, list[str]] = {
    # pay, cancel, PUT processing, shipped, delivered, cancelled, refunded, confirmed, refund part, rest
    "pending, reserving": ["409 stock-not-reserved", "200", UM, UM, UM, "200", UM, UM, REC, REC],
    "pending, reserved": ["200", "200", UM, UM, UM, "200", UM, UM, REC, REC],
    "payment_pending": ["409 payment-in-progress", "200", UM, UM, UM, "200", UM, UM, REC, REC],
    "payment_failed": ["200", "200", UM, UM, UM, "200", UM, UM, REC, REC],
    "confirmed": ["200 =", "200", "200", UM, UM, "200", UM, "200 =", "201", CI],
    "processing": ["200 =", "200", "200 =", "200", UM, "200", UM, UM, "201", CI],
    "shipped": ["200 =", LATE, UM, "200 =", "200", UM, "200", UM, "201", "201"],
    "delivered": ["200 =", LATE, UM, UM, "200 =", UM, "200", UM, "201", "201"],
    "cancelled, nothing captured": [GONE, "200 =", UM, UM, UM, "200 =", UM, UM, REC, REC],
    "cancelled, refund failed": [GONE, "200 =", UM, UM, UM, "200 =", "202", UM, "201", "201"],
    "refunded, was cancelled": [GONE, "200 =", UM, UM, UM, "200 =", "200 =", UM, REC, REC],
    "refunded, after shipping": [GONE, LATE, UM, UM, UM, UM, "200 =", UM, REC, REC],
}
CASES = [(state, column, told) for state, row in _TABLE.items() for column, told in zip(_COLUMNS, row, strict=True)]
CASES.append(("payment_pending", "pay same", "202 ="))


@pytest.fixture(scope="module")
def table(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One system for the whole table: each case has an order of its own."""
    database = postgres.create_database("table_of_answers", template=template_database)
    folder: Path = tmp_path_factory.mktemp("table")
    with System(database, kafka.bootstrap, folder, REQUEST_DEADLINE="2", PARTNER_TIMEOUT="40", LEASE="50") as system:
        system.start_service()
        _place_unanswered(system)
        yield system
    postgres.drop_database("table_of_answers")


@pytest.mark.parametrize(("state", "command", "told"), CASES, ids=[f"{s}: {c}" for s, c, _ in CASES])
def test_the_answer_is_the_one_of_the_table(table: System, state: str, command: str, told: str) -> None:
    order_id = STATES[state](table)
    before = table.get(order_id)
    answer = COMMANDS[command](table, order_id)
    code = answer.json.get("code", "")
    assert f"{answer.status} {code}".strip() == told.removesuffix(UNCHANGED).strip(), answer.body
    refused = answer.status >= 400
    if refused or told.endswith(UNCHANGED):
        assert table.get(order_id)["version"] == before["version"]
    if code == "unlawful-move":
        assert answer.json["orderStatus"] == before["status"]
        for allowed in answer.json["allowed"]:
            assert "unlawful" not in _TABLE[state][_COLUMNS.index(f"PUT {allowed}")]
