"""Every example of the description, carried out: requests succeed as they stand, problems come as they are shown."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest

from order_service.api.catalogue import CATALOGUE
from order_service.api.operations import BY_NAME, ORDERS
from tests.system.harness import Answer

from .conftest import Running

NEEDS_AN_OUTAGE = {
    "cart-unavailable": "the cart is away",
    "conflict": "others change the order without end",
    "internal-error": "a fault of ours",
    "inventory-unavailable": "the inventory is away",
    "not-possible": "a partner that refuses to void or to release",
    "not-ready": "the service starts or stops",
    "request-in-flight": "the twin of the request is under way",
    "request-timeout": "10 seconds of silence",
    "service-unavailable": "the database is away",
    "unhealthy": "the database is away",
}
"""Codes that no single request can bring about, and what can; the tests of outages and of slow clients do."""


class Client:
    """Sends what examples say, and holds every answer against the description."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.carried_out: set[tuple[str, str]] = set()
        parameters = running.described["components"]["parameters"]
        self.examples = {p["name"]: p["example"] for p in parameters.values() if "example" in p}

    def send(self, operation: str, body: Any = None, *, key: str | None = "", **how: Any) -> Answer:
        """One request of ``staff`` (or of whom ``key`` names), to ``order`` and ``call`` where the path has them."""
        found = BY_NAME[operation]
        path = found.path.format(
            orderId=how.pop("order", ""), callId=how.pop("call", ""), userId=self.examples["userId"], code="conflict"
        )
        caller = self._running.staff if key == "" else key
        answer = self._running.shop.ask(caller, found.method, path, body, **how)
        self._as_described(operation, answer)
        return answer

    def example(self, operation: str, name: str, **how: Any) -> Answer:
        """One request with the body of an example."""
        self.carried_out.add((operation, name))
        return self.send(operation, self.bodies(operation)[name]["value"], **how)

    def bodies(self, operation: str) -> dict[str, Any]:
        """The examples of an operation's body."""
        content = self._described(operation).get("requestBody", {}).get("content", {})
        return dict(content.get("application/json", {}).get("examples", {}))

    def ordered(self) -> str:
        """The example of an order, placed."""
        answer = self.example("placeOrder", "order")
        assert answer.status == 201
        return str(answer.json["id"])

    def _described(self, operation: str) -> dict[str, Any]:
        found = BY_NAME[operation]
        described: dict[str, Any] = self._running.described["paths"][found.path][found.method.lower()]
        return described

    def _as_described(self, operation: str, answer: Answer) -> None:
        response = self._described(operation)["responses"][str(answer.status)]
        [(media_type, content)] = response["content"].items()
        assert answer.headers["Content-Type"].partition(";")[0] == media_type
        if "json" in media_type:
            schema = {**content["schema"], "components": self._running.described["components"]}
            jsonschema_rs.validator_for(schema, validate_formats=True).validate(answer.json)
        declared = {name.lower() for name in response["headers"]}
        told = {name.lower() for name in answer.headers}
        assert told <= declared | {
            "content-type", "content-length", "date", "cache-control", "x-content-type-options", "connection",
            "content-security-policy",
        }  # fmt: skip


@pytest.fixture(scope="module")
def client(running: Running) -> Client:
    return Client(running)


def test_every_example_of_a_request_succeeds_as_it_stands(client: Client, running: Running) -> None:
    match, key = client.examples["If-Match"], client.examples["Idempotency-Key"]
    paid = client.ordered()
    assert client.example("payOrder", "ownMethod", order=paid, If_Match=match, Idempotency_Key=key).status == 200
    for status in ("processing", "shipped", "delivered"):
        answer = client.example("putStatus", status, order=paid)
        assert (answer.status, answer.json["status"]) == (200, status)
    assert client.example("refundOrder", "part", order=paid).status == 201
    assert client.example("refundOrder", "rest", order=paid).status == 201
    cancelled = client.ordered()
    assert client.example("payOrder", "token", order=cancelled).status == 200
    assert client.example("cancelOrder", "reason", order=cancelled).status == 200
    order, call = parked(client, running)
    assert client.example("retryCall", "retry", order=order, call=call).status == 202
    order, call = parked(client, running)
    assert client.example("giveUpCall", "note", order=order, call=call).status == 200
    assert client.carried_out == {(name, example) for name in BY_NAME for example in client.bodies(name)}


def parked(client: Client, running: Running) -> tuple[str, str]:
    """An order whose refund failed, and the call that people are asked about."""
    order = client.ordered()
    assert client.send("payOrder", {"paymentMethod": {"token": "tok_refund_fails"}}, order=order).status == 200
    assert client.send("refundOrder", {"reason": "broken", "amount": 5}, order=order).status in (201, 202)
    attention = running.shop.until(lambda: client.send("getOrder", order=order).json["attention"])
    return order, attention["callId"]


def test_what_is_read_needs_no_more_than_the_examples_of_its_parameters(client: Client) -> None:
    order = client.ordered()
    assert client.send("listOrders").json["items"][0]["id"] == order
    assert client.send("getOrder", order=order).json["userId"] == client.examples["userId"]
    assert client.send("getHistory", order=order).json["items"][0]["toStatus"] == "pending"
    for name in ("health", "livez", "readyz", "metrics", "openapi", "docs", "errorDocs"):
        assert client.send(name, key=None).status == 200


def raw(running: Running, method: str, body: bytes | None = None, media_type: str = "application/json") -> Answer:
    """A request to place an order, of bytes that no JSON library would write."""
    connection = http.client.HTTPConnection("127.0.0.1", running.shop.port, timeout=30)
    headers = {"Content-Type": media_type, "Authorization": f"Bearer {running.staff}"}
    connection.request(method, ORDERS, body, headers)
    answer = connection.getresponse()
    return Answer(answer.status, dict(answer.getheaders()), answer.read())


Provoke = Callable[[Client, Running], Answer]
ABSENT = "0197b1f0-7a5e-7c11-8000-00000000a1b2"


def _order(**changes: Any) -> Provoke:
    return lambda client, _: client.send("placeOrder", client.bodies("placeOrder")["order"]["value"] | changes)


def _reused(client: Client, _: Running) -> Answer:
    order = client.ordered()
    assert client.send("cancelOrder", {"reason": "twice"}, order=order, Idempotency_Key="k").status == 200
    return client.send("cancelOrder", {"reason": "late"}, order=order, Idempotency_Key="k")


def _other_method(client: Client, _: Running) -> Answer:
    order = client.ordered()
    assert client.send("payOrder", {"paymentMethod": {"token": "tok_3ds"}}, order=order).status == 202
    return client.send("payOrder", {"paymentMethod": {"token": "tok_visa"}}, order=order)


def _stuck(client: Client, running: Running) -> Answer:
    item = {"productId": "stuck", "name": "Stuck", "quantity": 1, "unitPrice": 1}
    placed = _order(items=[item], discount=0)(client, running)
    assert placed.status == 202
    return client.send("payOrder", order=placed.json["id"])


def _after(*steps: tuple[str, Any], last: tuple[str, Any]) -> Provoke:
    def provoke(client: Client, _: Running) -> Answer:
        order = client.ordered()
        for operation, body in steps:
            assert client.send(operation, body, order=order).status in (200, 201)
        return client.send(last[0], last[1], order=order)

    return provoke


def _retried(call: str | None) -> Provoke:
    def provoke(client: Client, running: Running) -> Answer:
        order, found = parked(client, running)
        if call is None:
            assert client.send("giveUpCall", {"note": "by hand"}, order=order, call=found).status == 200
        return client.send("retryCall", {}, order=order, call=call or found)

    return provoke


SHIPPED = [("payOrder", {}), ("putStatus", {"status": "processing"}), ("putStatus", {"status": "shipped"})]
NO_ONE = {"productId": "out-of-stock", "name": "None", "quantity": 1, "unitPrice": 1}
PROVOKED: dict[str, Provoke] = {
    "validation-failed": _order(items=[]),
    "malformed-json": lambda c, r: raw(r, "POST", b"{"),
    "unsupported-media-type": lambda c, r: raw(r, "POST", b"{}", "text/plain"),
    "body-too-large": lambda c, r: raw(r, "POST", b" " * (256 * 1024 + 1)),
    "invalid-idempotency-key": lambda c, r: c.send("cancelOrder", order=ABSENT, Idempotency_Key="a b"),
    "invalid-if-match": lambda c, r: c.send("cancelOrder", order=ABSENT, If_Match="3"),
    "unauthorized": lambda c, r: c.send("getOrder", order=ABSENT, key=None),
    "missing-scope": lambda c, r: c.send("putStatus", {"status": "shipped"}, order=ABSENT, key=r.customer),
    "cart-changed": lambda c, r: c.send("placeOrder", c.bodies("placeOrder")["order"]["value"], key=r.customer),
    "order-not-found": lambda c, r: c.send("getOrder", order=ABSENT),
    "idempotency-key-reused": _reused,
    "stale-version": lambda c, r: c.send("cancelOrder", order=c.ordered(), If_Match='"99"'),
    "out-of-stock": _order(items=[NO_ONE], discount=0),
    "stock-not-reserved": _stuck,
    "payment-declined": _after(last=("payOrder", {"paymentMethod": {"token": "tok_declined"}})),
    "payment-in-progress": _other_method,
    "not-payable": _after(("cancelOrder", {}), last=("payOrder", {})),
    "unlawful-move": _after(last=("putStatus", {"status": "delivered"})),
    "not-cancellable": _after(*SHIPPED, last=("cancelOrder", {})),
    "refund-exceeds-captured": _after(last=("refundOrder", {"reason": "broken", "amount": 1})),
    "cancel-instead": _after(("payOrder", {}), last=("refundOrder", {"reason": "broken"})),
    "call-not-found": _retried(ABSENT),
    "call-not-parked": _retried(None),
    "not-found": lambda c, r: r.shop.call("GET", "/nothing"),
    "method-not-allowed": lambda c, r: r.shop.call("DELETE", "/livez"),
    "malformed-request": lambda c, r: raw(r, "PLACE"),
    "headers-too-large": lambda c, r: r.shop.call("GET", "/livez", Cookie="x" * 33_000),
}


@pytest.mark.parametrize("code", sorted(set(CATALOGUE) - set(NEEDS_AN_OUTAGE)))
def test_a_problem_comes_as_its_example_shows_it(client: Client, running: Running, code: str) -> None:
    answer = PROVOKED[code](client, running)
    told = answer.json
    assert told["code"] == code, told
    shown: list[dict[str, Any]] = [
        content["examples"][code]["value"]
        for operations in running.described["paths"].values()
        for operation in operations.values()
        for response in operation["responses"].values()
        for content in response["content"].values()
        if code in content.get("examples", {})
    ]
    assert shown
    for example in shown:
        assert {name: told[name] for name in ("type", "title", "status")} == {
            name: example[name] for name in ("type", "title", "status")
        }
        assert set(told) == set(example)


def test_every_problem_is_provoked_here_or_needs_an_outage() -> None:
    assert set(PROVOKED) | set(NEEDS_AN_OUTAGE) == set(CATALOGUE)
    assert not set(PROVOKED) & set(NEEDS_AN_OUTAGE)


class Page(HTMLParser):
    """What a page would load or lead to: tag, attribute, address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "href", "action", "formaction", "data", "poster", "background", "ping"):
                self.addresses.append((tag, name, value or ""))


def test_no_page_of_the_documentation_asks_another_host_for_anything(client: Client, running: Running) -> None:
    pages = {path: running.shop.call("GET", path) for path in ("/docs", *(f"/docs/errors/{c}" for c in CATALOGUE))}
    for path, answer in pages.items():
        text = answer.body.decode()
        for tag, name, address in Page(text).addresses:
            assert (tag, name) == ("a", "href"), (path, tag, name)
            assert address.startswith("#") or running.shop.call("GET", address).status == 200
        assert not re.search(r"url\(|@import|<script|<base", text)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_description_names_the_paths_under_which_it_is_served(running: Running) -> None:
    assert {"/openapi.json", "/docs", ORDERS} <= set(running.described["paths"])
