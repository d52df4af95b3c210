"""Who may do what: every route names the scopes it serves, and refuses the others before anything is read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from order_service.api.app import create_app
from order_service.api.auth import ANYONE, OPEN, SHOP
from order_service.api.exchange import Exchange
from order_service.api.operations import OPERATIONS, Operation
from order_service.api.refusals import Unauthorized
from order_service.requests import Principal

from .corpus import BODIES
from .recorder import CALL_ID, ORDER_ID, Recorder
from .wire import Served

CALLERS = {
    "Bearer ada": Principal("customer:ada", "customer", "ada"),
    "Bearer shop": Principal("service:shop", "service", None),
    "Bearer bob": Principal("staff:bob", "staff", None),
    "Bearer odd": Principal("odd", "auditor", None),
}


async def by_name(exchange: Exchange) -> Principal:
    """Believes what the header says."""
    caller = CALLERS.get(exchange.header(b"authorization") or "")
    if caller is None:
        raise Unauthorized
    return caller


@pytest.fixture(scope="module")
def guarded_orders() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def guarded(guarded_orders: Recorder) -> Iterator[Served]:
    with Served(create_app(guarded_orders, auth=by_name)) as served:
        yield served


def ask(api: Served, operation: Operation, caller: str | None) -> tuple[int, str]:
    target = operation.path.format(orderId=ORDER_ID, callId=CALL_ID, userId="ada", code="conflict")
    headers = {"Authorization": caller} if caller is not None else {}
    for _, method, path, body, _ in BODIES:
        if (method, path) == (operation.method, target):
            answer = api.post(target, body, headers, method=method)
            break
    else:
        answer = api.request(operation.method, target, None, headers)
    return answer.problem() if answer.status >= 400 else (answer.status, "")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_serves_its_scopes_and_no_other(
    guarded: Served, guarded_orders: Recorder, operation: Operation
) -> None:
    for header, principal in CALLERS.items():
        guarded_orders.reset()
        answered = ask(guarded, operation, header)
        if operation.scopes and principal.scope not in operation.scopes:
            assert answered == (403, "missing-scope")
            assert guarded_orders.asked == []
        else:
            assert answered[0] == 200
            assert all(principal in (asked[1], getattr(asked[1], "principal", None)) for asked in guarded_orders.asked)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_without_credentials_only_open_operations_answer(
    guarded: Served, guarded_orders: Recorder, operation: Operation
) -> None:
    guarded_orders.reset()
    for header in (None, "", "Bearer nobody", "Basic YTpi"):
        assert ask(guarded, operation, header) == ((401, "unauthorized") if operation.scopes else (200, ""))
    assert guarded_orders.asked == []


def test_a_refusal_to_the_unknown_says_how_to_be_known(guarded: Served) -> None:
    assert guarded.get(f"/api/v1/orders/{ORDER_ID}").headers["www-authenticate"] == "Bearer"


def test_two_credentials_are_none(guarded: Served) -> None:
    twice = "Authorization: Bearer ada\r\n" * 2
    head = f"GET /api/v1/orders/{ORDER_ID} HTTP/1.1\r\nHost: x\r\n{twice}\r\n"
    assert guarded.raw(head.encode()).problem() == (401, "unauthorized")


def test_what_moves_orders_and_money_by_hand_is_for_the_shop_and_its_staff() -> None:
    scopes = {operation.name: operation.scopes for operation in OPERATIONS}
    assert {name for name, served in scopes.items() if served == SHOP} == {
        "putStatus",
        "refundOrder",
        "retryCall",
        "giveUpCall",
    }
    assert {name for name, served in scopes.items() if served == OPEN} == {
        "health",
        "livez",
        "readyz",
        "openapi",
        "docs",
        "errorDocs",
        "metrics",
    }
    assert set(scopes.values()) == {OPEN, SHOP, ANYONE}
