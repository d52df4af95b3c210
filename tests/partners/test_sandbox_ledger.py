"""How the sandbox tells what it did, and what it refuses to do."""

from __future__ import annotations

from typing import Any

import pytest
from partner_asks import charge_of, read_of
from partner_rig import Caller, Sandbox, ask, fresh

from order_service.core.answers import (
    PaymentUnknown,
    Refused,
)
from order_service.core.requests import (
    ChargeRequest,
    PaymentMethod,
)

# Ledger


def test_the_ledger_counts_from_one_without_a_gap_and_reads_on_from_any_place(
    to_sandbox: Caller, sandbox: Sandbox
) -> None:
    for _ in range(3):
        to_sandbox(charge_of("tok_visa"))

    whole = sandbox.ledger()

    assert [line["seq"] for line in whole] == list(range(1, len(whole) + 1))
    assert [line["at"] for line in whole] == sorted(line["at"] for line in whole)
    assert sandbox.ledger(after=len(whole) - 2) == whole[-2:]
    assert sandbox.ledger(after=len(whole)) == []
    assert ask("GET", f"{sandbox.url}/sandbox/ledger?after=1&limit=1") == (200, {"items": [whole[1]]})


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=1.5", "after=%C2%B2", "limit=" + "9" * 20])
def test_the_ledger_wants_whole_numbers(sandbox: Sandbox, query: str) -> None:
    assert ask("GET", f"{sandbox.url}/sandbox/ledger?{query}")[0] == 400


# What the sandbox refuses

GOOD_CHARGE: dict[str, Any] = {
    "orderId": "o",
    "reference": "never-charged",
    "amount": 1,
    "currency": "EUR",
    "paymentMethod": {"token": "tok_visa"},
    "captureMethod": "automatic",
}


def test_the_same_key_with_other_bytes_is_refused_and_does_nothing(to_sandbox: Caller, sandbox: Sandbox) -> None:
    first, other, key = charge_of("tok_visa"), charge_of("tok_visa"), fresh("key")
    to_sandbox(first, key)

    assert to_sandbox(other, key) == Refused(422, "idempotency-key-reused")

    assert sandbox.effects(orderId=other.order_id) == []
    assert to_sandbox(read_of(other)) == PaymentUnknown()


def test_a_reference_of_another_amount_is_refused(to_sandbox: Caller, sandbox: Sandbox) -> None:
    first = charge_of("tok_visa")
    to_sandbox(first)
    other = ChargeRequest(first.order_id, first.reference, 1, "EUR", PaymentMethod("tok_visa"))

    assert to_sandbox(other) == Refused(422, "reference-differs")

    assert len(sandbox.effects(orderId=first.order_id)) == 1


def test_a_write_without_a_key_is_refused(sandbox: Sandbox) -> None:
    before = len(sandbox.ledger())

    status, body = ask("POST", f"{sandbox.url}/api/v1/payments", GOOD_CHARGE)

    assert (status, body["code"]) == (400, "idempotency-key-missing")
    assert len(sandbox.ledger()) == before


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("amount", "1"),
        ("amount", 1.5),
        ("amount", -1),
        ("amount", True),
        ("amount", 2**53),
        ("currency", "eur"),
        ("currency", "EUR\n"),
        ("reference", ""),
        ("reference", None),
        ("paymentMethod", {}),
        ("orderId", 7),
    ],
)
def test_a_charge_of_another_shape_is_refused_and_does_nothing(sandbox: Sandbox, change: str, value: Any) -> None:
    before = len(sandbox.ledger())

    status, body = ask("POST", f"{sandbox.url}/api/v1/payments", GOOD_CHARGE | {change: value}, key=fresh("key"))

    assert (status, body["code"]) == (422, "malformed")
    assert len(sandbox.ledger()) == before


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"[" * 100_000, b'{"amount":1}x'])
def test_a_charge_that_is_not_json_is_refused(sandbox: Sandbox, raw: bytes) -> None:
    status, _ = ask("POST", f"{sandbox.url}/api/v1/payments", raw=raw, key=fresh("key"))

    assert status in (400, 422)
    assert ask("GET", f"{sandbox.url}/health") == (200, {"status": "healthy"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/payments", 405),
        ("GET", "/api/v1/payments", 400),
        ("PUT", "/sandbox/stock/p", 422),
    ],
)
def test_what_the_sandbox_does_not_know_it_refuses_in_json(
    sandbox: Sandbox, method: str, path: str, status: int
) -> None:
    answer = ask(method, sandbox.url + path)

    assert answer[0] == status
    assert answer[1].keys() == {"code", "detail"}
