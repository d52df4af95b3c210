"""The published description says what is served, no less and no more; so do the pages for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from order_service import problems
from order_service.api import examples, refusals
from order_service.api.app import create_app
from order_service.api.catalogue import CATALOGUE
from order_service.api.operations import BY_NAME, OPERATIONS
from order_service.core import errors
from order_service.core.errors import OutOfStock, Refusal
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.model import (
    Address,
    Attempt,
    AttemptStatus,
    Attention,
    Cancellation,
    Contacts,
    Line,
    Order,
    Payment,
    Refund,
    RefundStatus,
    Reservation,
    ReservationStatus,
    Shipment,
)

from .corpus import BODIES, spoiled
from .recorder import CALL_ID, ORDER_ID, Recorder
from .wire import Served

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    from order_service.api.openapi import document

    told: dict[str, Any] = json.loads(msgspec.json.encode(document()))
    return told


def validator(described: dict[str, Any], name: str) -> jsonschema_rs.Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def everywhere(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from everywhere(member)
    elif isinstance(value, list):
        for entry in value:
            yield from everywhere(entry)


def test_the_description_served_is_the_one_examined_here(api: Served, described: dict[str, Any]) -> None:
    answer = api.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == described
    assert described["openapi"] == "3.1.0"


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    references = [part["$ref"] for part in everywhere(described) if isinstance(part.get("$ref"), str)]
    assert len(references) > 200
    for reference in set(references):
        found: Any = described
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def test_it_describes_exactly_what_is_served(described: dict[str, Any]) -> None:
    router = create_app(Recorder()).router
    served = {(operation.method, operation.path) for operation in router.operations}
    for method, path in served:
        assert method in router.find(path)[0], f"{method} {path}"
    told = {(method.upper(), path) for path, operations in described["paths"].items() for method in operations}
    assert told == served == {(operation.method, operation.path) for operation in OPERATIONS}
    assert set(re.findall(r"\{(\w+)\}", " ".join(described["paths"]))) == {"orderId", "userId", "callId", "code"}


def test_every_parameter_of_a_path_is_described(described: dict[str, Any]) -> None:
    parameters = described["components"]["parameters"]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            named = [parameters[p["$ref"].rsplit("/", 1)[1]] for p in operation["parameters"]]
            assert {p["name"] for p in named if p["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path))
            assert all(p.get("required") is True for p in named if p["in"] == "path")
            names = [(p["in"], p["name"].lower()) for p in named]
            assert len(names) == len(set(names))


def test_every_error_is_a_problem_document_and_every_success_has_a_shape(described: dict[str, Any]) -> None:
    for operations in described["paths"].values():
        for operation in operations.values():
            assert min(operation["responses"]) in ("200", "201", "202")
            for status, response in operation["responses"].items():
                [(media_type, content)] = response["content"].items()
                assert (media_type == "application/problem+json") is (status >= "400")
                assert content["schema"]
                assert "X-Correlation-Id" in response["headers"]


def test_request_bodies_allow_no_unknown_member(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    todo = [operation.body.__name__ for operation in OPERATIONS if operation.body]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += [p["$ref"].rsplit("/", 1)[1] for p in everywhere(schemas[name]) if "$ref" in p]
        if "properties" in schemas[name]:
            assert schemas[name]["additionalProperties"] is False, name
    assert {"CreateOrder", "ItemBody", "AddressBody", "ShipmentBody"} <= seen


def test_no_pattern_is_in_the_dialect_of_python(described: dict[str, Any]) -> None:
    patterns = [part["pattern"] for part in everywhere(described) if isinstance(part.get("pattern"), str)]
    assert len(patterns) > 4
    for pattern in patterns:
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert "\\Z" not in pattern


def test_every_example_of_a_body_is_accepted(api: Served, orders: Recorder, described: dict[str, Any]) -> None:
    count = 0
    for operation in OPERATIONS:
        if operation.body is None:
            continue
        target = operation.path.format(orderId=ORDER_ID, callId=CALL_ID)
        content = described["paths"][operation.path][operation.method.lower()]["requestBody"]["content"]
        schema = validator(described, operation.body.__name__)
        for example in content["application/json"]["examples"].values():
            schema.validate(example["value"])
            assert api.post(target, example["value"], method=operation.method).status == 200
            count += 1
    assert count == len(orders.asked) > 8


def test_whatever_the_schema_of_a_body_forbids_is_refused_and_nothing_else_is_but_sums(
    described: dict[str, Any],
) -> None:
    bodies = {name: BY_NAME[operation].body for name, operation in NAMES.items()}
    schemas = {name: validator(described, body.__name__) for name, body in bodies.items() if body is not None}
    allowed = []
    for request in spoiled():
        name = request.name.split()[0]
        try:
            body = json.loads(request.body)
        except ValueError:
            continue
        if schemas[name].is_valid(body):
            allowed.append(request.name)
    # What JSON Schema cannot see: a member that stands twice, a NUL, and 1.0, which it takes for the integer 1.
    assert not [name for name in allowed if not re.search("twice|NUL|point zero|exponent", name)]


def test_it_tells_what_the_types_cannot_say(described: dict[str, Any]) -> None:
    order = validator(described, "CreateOrder")
    assert order.is_valid(examples.ORDER)
    assert not order.is_valid(examples.ORDER | {"notes": "a\0b"})
    assert not order.is_valid(examples.ORDER | {"metadata": {"a\0b": ""}})
    assert order.is_valid(examples.ORDER | {"notes": "two\nlines", "metadata": {"a\nb": "\u0001"}})
    status = validator(described, "PutStatus")
    shipment = {"carrier": "Parcel Co", "trackingNumber": "P1"}
    assert status.is_valid({"status": "shipped", "shipment": shipment})
    assert status.is_valid({"status": "delivered", "shipment": None})
    assert not status.is_valid({"status": "delivered", "shipment": shipment})
    parameters = described["components"]["parameters"]
    assert parameters["cursor"]["schema"]["pattern"] == "^[!-~]{1,512}$"


@pytest.mark.parametrize(("code", "limit"), [("body-too-large", 256 * 1024), ("headers-too-large", 32 * 1024)])
def test_the_example_of_a_limit_tells_the_limit(code: str, limit: int) -> None:
    assert examples.problem(code)["limit"] == limit


NAMES = {
    "place": "placeOrder",
    "status": "putStatus",
    "pay": "payOrder",
    "cancel": "cancelOrder",
    "refund": "refundOrder",
    "retry": "retryCall",
    "give-up": "giveUpCall",
}


def test_the_corpus_and_the_description_speak_of_the_same_operations() -> None:
    assert set(NAMES) == {name for name, *_ in BODIES}
    assert set(NAMES.values()) == {operation.name for operation in OPERATIONS if operation.body}


ADA = Address("Ada", "1 Way", "London", "N1", "GB", email="ada@example.com")
FULL = Order(
    id=ORDER_ID,
    order_number="ABCD-1234",
    user_id="ada",
    status=Status.CANCELLED,
    stock=Stock.RELEASED,
    payment=Payment(
        PaymentFacet.REFUND_FAILED,
        100,
        10,
        (Attempt(1, "ref", AttemptStatus.CAPTURED, 100, NOW, NOW, "pay_1", "lost_card"),),
    ),
    currency="EUR",
    items=(Line(1, "tea", "Tea", 2, 50, 100, None),),
    subtotal=100,
    shipping_cost=0,
    tax=0,
    discount=0,
    total=100,
    version=9,
    created_at=NOW,
    updated_at=NOW,
    expires_at=NOW,
    reservations=(Reservation("r1", ReservationStatus.RELEASED),),
    refunds=(Refund(1, "ref", 1, 90, "broken", RefundStatus.FAILED, NOW, CALL_ID),),
    shipment=Shipment("Parcel Co", "P1", None),
    attention=Attention("refund-failed", NOW, CALL_ID),
    cancellation=Cancellation("requested", NOW, None),
    hold_until=NOW,
    metadata={"a": "b"},
    event_sequence=3,
)


@pytest.mark.parametrize("contacts", [Contacts(ADA, ADA, "Ring"), Contacts(ADA), None])
def test_a_whole_order_is_as_it_is_described(described: dict[str, Any], contacts: Contacts | None) -> None:
    told = msgspec.to_builtins(FULL, str_keys=True) | (msgspec.to_builtins(contacts) if contacts else {})
    validator(described, "Order").validate(json.loads(json.dumps(told, default=str).replace("+00:00", "Z")))
    assert set(told) <= set(described["components"]["schemas"]["Order"]["properties"])


def test_no_description_of_an_order_knows_its_payment_token(described: dict[str, Any]) -> None:
    order = described["components"]["schemas"]["Order"]
    assert "token" not in json.dumps(order["properties"])
    assert {"id", "orderNumber", "shippingAddress", "attention", "expiresAt", "total"} <= set(order["properties"])


REFUSALS = [
    cls
    for module in (errors, problems, refusals)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Refusal) and cls is not Refusal
]


def test_every_refusal_has_an_entry_in_the_catalogue() -> None:
    assert len(REFUSALS) > 35
    for cls in REFUSALS:
        entry = CATALOGUE[cls.code]
        assert (entry.status, entry.title) == (cls.status, cls.title), cls


def test_every_problem_as_it_is_sent_is_as_it_is_described(described: dict[str, Any]) -> None:
    problem = validator(described, "Problem")
    for code in CATALOGUE:
        problem.validate(examples.problem(code))
    problem.validate(json.loads(problems.problem(OutOfStock((), orderId=ORDER_ID), "c")))
    problem.validate(json.loads(problems.problem(refusals.ValidationFailed([refusals.Fault("", "x")]), "c")))
    known = set(described["components"]["schemas"]["Problem"]["properties"])
    for code in CATALOGUE:
        assert set(examples.problem(code)) <= known


def test_every_code_that_an_operation_lists_is_documented() -> None:
    for operation in OPERATIONS:
        assert set(operation.problems) <= set(CATALOGUE)


class Page(HTMLParser):
    """Collects what a page would load, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert name not in ("src", "srcset", "onclick", "style"), (tag, name)
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_the_docs_page_shows_every_operation_and_asks_no_other_host(api: Served) -> None:
    answer = api.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    page = Page(answer.body.decode())
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert {operation.name for operation in OPERATIONS} == set(page.ids)
    for link in set(page.links):
        assert link.startswith("#") or api.get(link).status == 200, link
    assert b"http://" not in answer.body
    assert re.findall(rb"https://[^/<&]+", answer.body) == [b"https://parcel.example"]


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_problem_type_leads_to_a_page(api: Served, code: str) -> None:
    answer = api.get(f"/docs/errors/{code}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    assert code in text
    assert str(CATALOGUE[code].status) in text
    assert not {"script", "link", "img"} & set(Page(text).tags)
