"""The partner contracts as OpenAPI documents: the sandbox answers, and the service asks, what they say."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import pytest
from openapi_spec_validator import validate

from order_service.core import requests as asked
from order_service.core.requests import PaymentMethod, StockItem
from order_service.partners import dispatch_call, open_partners
from order_service.sandbox.app import Sandbox as SandboxApp
from order_service.sandbox.world import World
from tests.docs.pages import ROOT
from tests.system.harness import System

FOLDER = ROOT / "docs/partners"
DOCUMENTS: dict[str, dict[str, Any]] = {
    path.name.partition(".")[0]: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.openapi.json"))
}
ORDER = "0190a7c2-7d5e-7cc1-9a3e-2f6a1c0b8d11"


class Operation(NamedTuple):
    """One operation of a document."""

    document: dict[str, Any]
    method: str
    path: str
    spec: dict[str, Any]


OPERATIONS = {
    spec["operationId"]: Operation(document, method, path, spec)
    for document in DOCUMENTS.values()
    for path, methods in document["paths"].items()
    for method, spec in methods.items()
}


class Step(NamedTuple):
    """A request of a document's example, and the status and example that answer it."""

    operation: str
    status: int
    example: str | None = None
    answer: str | None = None
    params: dict[str, str] = {}
    body: Any = None


LIFE = (
    Step("availability", 200, "two-products", "two-products"),
    Step("reserve", 201, "reserve", "reserve"),
    Step("reserve", 201, "reserve", "reserve"),
    Step("reserve", 409, "short", "short"),
    Step("reservation", 200, None, "reserve", {"reservationId": f"{ORDER}-r1"}),
    Step("reservation", 404, None, None, {"reservationId": "nobody"}),
    Step("commit", 200, "commit", None, {"reservationId": f"{ORDER}-r1"}),
    Step("release", 200, "release", None, {"reservationId": "short-r1"}),
    Step("release", 200, "unseen", None, {"reservationId": "released-r1"}),
    Step("reserve", 409, "too-late", "too-late"),
    Step("commit", 409, "commit", None, {"reservationId": "released-r1"}),
    Step("reserve", 422, None, None, {}, {"reservationId": "", "orderId": "x", "items": []}),
    Step("reserveMany", 200, "two-orders", "two-orders"),
    Step("reserveMany", 200, "two-orders", "two-orders"),
    Step("reserveMany", 422, None, None, {}, {"reservations": []}),
    Step("cart", 200, None, "filled", {"userId": "ada"}),
    Step("cart", 200, None, None, {"userId": "nobody"}),
    Step("clear", 200, "clear", None, {"userId": "ada"}),
    Step("charge", 201, "succeeds", "succeeds"),
    Step("charge", 201, "declined", "declined"),
    Step("charge", 201, "processing", "processing"),
    Step("charge", 201, "three-d-secure", "three-d-secure"),
    Step("void", 200, "unseen", "unseen"),
    Step("charge", 201, "voided-before", "voided-before"),
    Step("void", 200, "waiting", "waiting"),
    Step("void", 200, "too-late", "too-late"),
    Step("refund", 201, "part", "part", {"paymentId": "pay_1"}),
    Step("refund", 409, "too-much", "too-much", {"paymentId": "pay_1"}),
    Step("refund", 404, "part", None, {"paymentId": "pay_none"}),
    Step("payment", 200, None, "refunded-in-part", {"paymentId": "pay_1"}),
    Step("payment", 404, None, None, {"paymentId": "pay_none"}),
    Step("findPayments", 200, None, "one", {"reference": f"{ORDER}-p1"}),
    Step("findPayments", 200, None, "none", {"reference": "nobody"}),
    Step("charge", 422, None, None, {}, {"reference": "x"}),
)
NOT_OF_THE_SANDBOX = {
    ("reserve", "400"), ("reserve", "404"), ("charge", "400"), ("charge", "401"), ("charge", "402"), ("charge", "403"),
    ("charge", "404"), ("refund", "400"), ("refund", "401"), ("refund", "403"), ("refund", "422"),
    ("cart", "404"), ("cart", "410"), ("clear", "404"), ("clear", "410"),
}  # fmt: skip
"""Definite answers that the sandbox never gives; how the service reads them is tested in tests/partners."""


def schema_of(operation: Operation, schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator of one schema, with the components that it refers to."""
    whole = {"components": operation.document["components"], "allOf": [schema]}
    return jsonschema_rs.Draft202012Validator(whole)


def faults(operation: Operation, schema: dict[str, Any], value: Any) -> list[str]:
    """What the schema finds wrong."""
    return [str(error) for error in schema_of(operation, schema).iter_errors(value)]


def content(part: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a request body or an answer."""
    found: dict[str, Any] = part["content"]["application/json"]
    return found


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A sandbox of this module's own, as a process: the examples count its payments from one."""
    with System("", "", tmp_path_factory.mktemp("sandbox")) as system:
        cart = content(OPERATIONS["cart"].spec["responses"]["200"])["examples"]["filled"]["value"]
        system.partner("PUT", "/sandbox/carts/ada", {name: cart[name] for name in cart if name != "userId"})
        yield system


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_openapi(name: str) -> None:
    validate(DOCUMENTS[name])


def test_every_example_is_what_its_schema_says() -> None:
    for operation in OPERATIONS.values():
        parts = [part for part in operation.spec["responses"].values() if "content" in part]
        for part in [*parts, *filter(None, [operation.spec.get("requestBody")])]:
            for name, example in content(part).get("examples", {}).items():
                assert faults(operation, content(part)["schema"], example["value"]) == [], name


def test_the_sandbox_answers_the_examples_as_the_documents_say(sandbox: System) -> None:
    for number, step in enumerate(LIFE):
        operation = OPERATIONS[step.operation]
        body = step.body
        if step.example is not None:
            body = content(operation.spec["requestBody"])["examples"][step.example]["value"]

        status, answer = _ask(sandbox, operation, step, body, f"example-{number}")

        assert status == step.status, (step, answer)
        told = content(operation.spec["responses"][str(status)])
        assert faults(operation, told["schema"], answer) == [], (step, answer)
        if step.answer is not None:
            assert answer == told["examples"][step.answer]["value"], step


def _ask(sandbox: System, operation: Operation, step: Step, body: Any, key: str) -> tuple[int, Any]:
    path = operation.path
    for name, value in step.params.items():
        path = path.replace(f"{{{name}}}", value)
    if "{" not in operation.path and step.params:
        path += "?" + "&".join(f"{name}={value}" for name, value in step.params.items())
    headers = {"Idempotency-Key": key} if operation.method == "post" else {}
    api, sandbox.api = sandbox.api, sandbox.partners
    try:
        answer = sandbox.call(operation.method.upper(), path, body, **headers)
    finally:
        sandbox.api = api
    return answer.status, answer.json


def test_every_operation_and_every_answer_of_the_documents_is_met() -> None:
    met = {(step.operation, str(step.status)) for step in LIFE}
    listed = {(name, status) for name, op in OPERATIONS.items() for status in op.spec["responses"]} - {
        (name, "default") for name in OPERATIONS
    }

    assert met == listed - NOT_OF_THE_SANDBOX
    assert listed >= NOT_OF_THE_SANDBOX
    used = {(step.operation, step.example) for step in LIFE if step.example}
    assert used == {
        (name, example)
        for name, op in OPERATIONS.items()
        if "requestBody" in op.spec
        for example in content(op.spec["requestBody"])["examples"]
    }


def test_the_documents_have_every_path_of_the_sandbox_and_no_other(tmp_path: Path) -> None:
    routes = SandboxApp(World(tmp_path)).app().router.routes()
    served = {(r.method.lower(), r.resource.canonical) for r in routes if r.resource and r.method != "HEAD"}

    documented = {(op.method, re.sub(r"\{\w+\}", "{id}", op.path)) for op in OPERATIONS.values()}
    assert documented == {(method, path) for method, path in served if path.startswith("/api/")}


# --- what the service sends ---

ITEMS = (StockItem("cup", 2),)
CALLS: list[asked.Request] = [
    asked.ReserveRequest("o-r1", "o", ITEMS),
    asked.ReleaseRequest("o-r1", "o"),
    asked.CommitRequest("o-r1", "o"),
    asked.ClearCartRequest("ada", "o", ITEMS),
    asked.ChargeRequest("o", "o-p1", 2190, "EUR", PaymentMethod("tok_visa")),
    asked.VoidRequest("o-p1", 2190, "EUR"),
    asked.ReadPaymentRequest("o-p1", None, 2190, "EUR"),
    asked.ReadPaymentRequest("o-p1", "pay_1", 2190, "EUR"),
    asked.RefundRequest("pay_1", "o-f1", 850, "one cup was broken"),
    asked.ReadRefundRequest("pay_1", "o-f1", 850),
]


RESERVES = [asked.ReserveRequest(f"o-r{number}", "o", ITEMS) for number in (2, 3)]
AVAILABLE = b'{"items":[{"productId":"cup","availableQuantity":9}],"bulkReservations":2}'


class Sent(NamedTuple):
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def sent() -> Iterator[tuple[str, list[Sent]]]:
    """A partner that writes down what it is asked and says nothing but that it takes two reserves at once."""
    heard: list[Sent] = []

    class Listener(BaseHTTPRequestHandler):
        def _hear(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard.append(Sent(self.command.lower(), self.path, dict(self.headers), body))
            told = AVAILABLE if self.path.endswith("/availability") else b""
            self.send_response(200 if told else 503)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = _hear

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


def test_everything_the_service_sends_is_in_the_documents(sent: tuple[str, list[Sent]]) -> None:
    url, heard = sent

    async def call_all() -> None:
        partners = open_partners(inventory_url=url, cart_url=url, payment_url=url)
        within = {"deadline_s": 5.0, "correlation_id": "contract"}
        await partners.inventory.availability(asked.AvailabilityRequest(ITEMS), "key", **within)  # type: ignore[arg-type]
        await partners.inventory.get("o-r1", **within)  # type: ignore[arg-type]
        await partners.cart.get("ada", **within)  # type: ignore[arg-type]
        two = [partners.inventory.reserve(one, "key", alone=False, **within) for one in RESERVES]  # type: ignore[arg-type]
        await asyncio.gather(*two)
        for call in CALLS:
            stored = asked.encode_request(call)
            await dispatch_call(partners, asked.kind_of(call), stored, "key", timeout_s=5, correlation_id="contract")
        await partners.close()

    asyncio.run(call_all())

    assert {_check_sent(request) for request in heard} == set(OPERATIONS)


def _check_sent(request: Sent) -> str:
    """The operation that this request is, which must allow all of it."""
    target = urlsplit(request.target)
    name, operation = next(
        (name, op)
        for name, op in sorted(OPERATIONS.items(), key=lambda pair: "{" in pair[1].path)
        if op.method == request.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", op.path), target.path)
    )
    listed = [
        operation.document["components"]["parameters"][p["$ref"].rpartition("/")[2]] if "$ref" in p else p
        for p in operation.spec["parameters"]
    ]
    query = {key: values[0] for key, values in parse_qs(target.query).items()}
    for parameter in listed:
        found = {"header": request.headers, "query": query}.get(parameter["in"], {})
        if parameter["in"] == "path":
            continue
        assert parameter["name"] in found, (name, parameter["name"])
        assert faults(operation, parameter["schema"], found[parameter["name"]]) == []
    assert set(query) <= {p["name"] for p in listed if p["in"] == "query"}
    if "requestBody" in operation.spec:
        body, schema = json.loads(request.body), content(operation.spec["requestBody"])["schema"]
        assert faults(operation, schema, body) == []
        shape = operation.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert set(body) <= set(shape["properties"]), f"{name} sends what the document does not name"
    else:
        assert request.body == b""
    return name
