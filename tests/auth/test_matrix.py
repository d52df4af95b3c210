"""Every operation of the published description x every kind of caller x own, another's and absent objects.

The description says whom an operation serves; this file says only what becomes of a request that is served.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from order_service.api.openapi import document
from tests.auth.issuer import Issuer
from tests.auth.shop import ORDERS, Shop, cart_order
from tests.system.harness import Answer, basket

ADA, BOB = "ada.matrix", "bob.matrix"
ABSENT = str(uuid.UUID(int=0xAB5E47))
NOBODY = "nobody.matrix"
CORRELATION = "the-same-in-all-cells"

SERVED: dict[str, tuple[int, str]] = {
    "placeOrder": (201, ""),
    "getOrder": (200, ""),
    "listOrders": (200, ""),
    "payOrder": (200, ""),
    "putStatus": (200, ""),
    "cancelOrder": (200, ""),
    "refundOrder": (409, "refund-exceeds-captured"),
    "getHistory": (200, ""),
    "retryCall": (404, "call-not-found"),
    "giveUpCall": (404, "call-not-found"),
}
"""What a caller whom it serves is answered about a fresh order that is not paid and owes no call."""

BODIES: dict[str, Any] = {
    "payOrder": {"paymentMethod": {"token": "tok_visa"}},
    "putStatus": {"status": "cancelled"},
    "cancelOrder": {"reason": "matrix"},
    "refundOrder": {"reason": "matrix"},
}

OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
}


class Caller(NamedTuple):
    """A credential, and what it is good for; no scope: it is not believed."""

    credential: str | None
    scope: str | None = None
    user: str | None = None


CALLERS = (
    "none",
    "bad key",
    "no token",
    "revoked key",
    "expired key",
    "expired token",
    "customer",
    "other customer",
    "service",
    "staff",
    "customer by token",
    "staff by token",
    "token without a scope of ours",
)


@pytest.fixture(scope="module")
def callers(shop: Shop, issuer: Issuer) -> dict[str, Caller]:
    revoked, expired = shop.key("staff"), shop.key("staff", None, "--expires-in", "1")
    shop.cli("keys", "revoke", revoked["id"])
    found = {
        "none": Caller(None),
        "bad key": Caller(f"osk_{secrets.token_urlsafe(32)}"),
        "no token": Caller("nonsense"),
        "revoked key": Caller(revoked["key"]),
        "expired key": Caller(expired["key"]),
        "expired token": Caller(issuer.token(issuer.claims(ADA, "staff", exp=-3600))),
        "customer": Caller(shop.key("customer", ADA)["key"], "customer", ADA),
        "other customer": Caller(shop.key("customer", BOB)["key"], "customer", BOB),
        "service": Caller(shop.key("service")["key"], "service"),
        "staff": Caller(shop.key("staff", "carol")["key"], "staff"),
        "customer by token": Caller(issuer.token(issuer.claims(ADA)), "customer", ADA),
        "staff by token": Caller(issuer.token(issuer.claims("dora", "staff")), "staff"),
        "token without a scope of ours": Caller(issuer.token(issuer.claims(ADA, "openid")), "none", ADA),
    }
    assert tuple(found) == CALLERS
    shop.until(lambda: shop.ask(expired["key"], "GET", f"{ORDERS}/{ABSENT}").status == 401)
    return found


@pytest.fixture(scope="module")
def orders(shop: Shop, callers: dict[str, Caller]) -> dict[str, str]:
    """User -> an order that no cell may change."""
    return {user: _fresh(shop, callers, user) for user in (ADA, BOB)}


def _fresh(shop: Shop, callers: dict[str, Caller], user: str) -> str:
    answer = shop.ask(callers["service"].credential, "POST", ORDERS, basket(userId=user))
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


class Cell(NamedTuple):
    """One cell of the matrix: whose object it is about, and whether that is there."""

    user: str
    there: bool


def cells(caller: Caller) -> Iterator[tuple[str, Cell]]:
    own = caller.user or ADA
    yield "own", Cell(own, True)
    yield "another's", Cell(BOB if own == ADA else ADA, True)
    yield "absent", Cell(NOBODY, False)


def expected(operation: dict[str, Any], caller: Caller, cell: Cell) -> tuple[int, str]:
    """The status and the code of a cell, from what the description says."""
    if not operation["security"]:
        return 200, ""
    if caller.scope is None:
        return 401, "unauthorized"
    if caller.scope not in operation["x-scopes"]:
        return 403, "missing-scope"
    name = operation["operationId"]
    if caller.scope == "customer" and cell.user != caller.user:
        return (403, "missing-scope") if name == "placeOrder" else (404, "order-not-found")
    if not cell.there and name not in ("placeOrder", "listOrders"):
        return 404, "order-not-found"
    return SERVED[name]


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"] if answer.status >= 400 else ""


def request(shop: Shop, name: str, caller: Caller, cell: Cell, order: str, **headers: str) -> Answer:
    method, path, _ = OPERATIONS[name]
    path = path.format(orderId=order, userId=cell.user, callId=uuid.UUID(int=5), code="conflict")
    body = BODIES.get(name)
    if name == "placeOrder":
        shop.fill_cart(cell.user)
        body = cart_order(cell.user)
    return shop.ask(caller.credential, method, path, body, X_Correlation_Id=CORRELATION, **headers)


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_caller_gets_what_the_description_says(
    shop: Shop, callers: dict[str, Caller], orders: dict[str, str], name: str, who: str
) -> None:
    method, _, operation = OPERATIONS[name]
    caller, answers = callers[who], {}
    before = _state(shop, orders) if method != "GET" else []
    for which, cell in cells(caller):
        due = expected(operation, caller, cell)
        order = orders[cell.user] if cell.there else ABSENT
        if method != "GET" and "{orderId}" in OPERATIONS[name][1] and due[0] < 400:
            order = _fresh(shop, callers, cell.user)
        answers[which] = request(shop, name, caller, cell, order)
        assert told(answers[which]) == due, (which, answers[which].body)
        assert due[0] != 401 or answers[which].headers["WWW-Authenticate"] == "Bearer"
    if caller.scope == "customer" and operation["security"]:
        assert answers["another's"].body == answers["absent"].body
    assert method == "GET" or _state(shop, orders) == before


def _state(shop: Shop, orders: dict[str, str]) -> list[dict[str, Any]]:
    """The orders that no cell may change."""
    return shop.rows("select id, version, log_hash from orders where id = any($1) order by id", list(orders.values()))


def test_the_description_that_is_served_is_the_one_that_the_matrix_is_made_from(shop: Shop) -> None:
    served = shop.ask(None, "GET", "/openapi.json").json
    assert served == json.loads(json.dumps(document()))
    assert set(served["components"]["securitySchemes"]) == {"apiKey", "token"}
    secured = {name for name, (_, _, operation) in OPERATIONS.items() if operation["security"]}
    assert secured == set(SERVED)
    for name in secured:
        assert {"401", "403"} <= OPERATIONS[name][2]["responses"].keys()


HEADERS: dict[str, dict[str, str]] = {
    "a stale version": {"If_Match": '"77"'},
    "the newest version": {"If_Match": '"1"'},
    "a key of the owner": {"Idempotency_Key": "adas-key"},
    "an own key": {"Idempotency_Key": "bobs-key"},
}


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("name", ["payOrder", "cancelOrder"])
def test_no_header_tells_anothers_order_from_an_absent_one(
    shop: Shop, callers: dict[str, Caller], orders: dict[str, str], name: str, headers: str
) -> None:
    ada, bob = callers["customer"], callers["other customer"]
    theirs = _fresh(shop, callers, ADA)
    assert request(shop, name, ada, Cell(ADA, True), theirs, Idempotency_Key="adas-key").status == 200
    own = _fresh(shop, callers, BOB)
    assert request(shop, name, bob, Cell(BOB, True), own, Idempotency_Key="bobs-key").status == 200
    found = request(shop, name, bob, Cell(ADA, True), theirs, **HEADERS[headers])
    absent = request(shop, name, bob, Cell(NOBODY, False), ABSENT, **HEADERS[headers])
    assert told(found) == (404, "order-not-found")
    assert found.body == absent.body
    assert found.headers.keys() == absent.headers.keys()
    shop.rows("delete from idempotency_keys where key in ('adas-key', 'bobs-key')")


def test_what_is_no_order_id_is_answered_alike(shop: Shop, callers: dict[str, Caller], orders: dict[str, str]) -> None:
    bob = callers["other customer"]
    answers = [request(shop, "getOrder", bob, Cell(ADA, True), order) for order in (orders[ADA], ABSENT, "7", "%27")]
    assert {(answer.status, answer.body) for answer in answers} == {(404, answers[0].body)}
