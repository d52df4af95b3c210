"""Requests without a fault, with values drawn from all that is allowed: what is spoiled, and what runs in between."""

from __future__ import annotations

import json
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from order_service.api.codes import COUNTRIES, CURRENCIES
from tests.api.corpus import BODIES, Field, full_order

from .case import Case, Maker, Targets, chunked, http, key

ORDERS = "/api/v1/orders"
MAX_BODY = 256 * 1024
_TEXTS = [
    "Ada",
    "Zoë Ångström",
    "名前 太郎",
    "مرحبا بالعالم",
    "\u202eright to left\u202c",
    "👩\u200d👩\u200d👧 family",
    "e\u0301 combined",
    "two\nlines",
    "tab\there",
    'quo"tes and \\ backslashes',
    "' or 1=1; --",
    "<script>alert(1)</script>",
    "%s %n {0} ${x}",
    "\ud7ff\ue000\U0010ffff",
    " spaces ",
    "null",
    "\ufeffmark",
]
_USERS = ["ada", "A.b_c:d@e-f", "0", "x" * 128, "user@example.com"]


class Write(NamedTuple):
    """An operation with a body, and what of it can be spoiled."""

    name: str
    method: str
    fields: list[Field]
    body_required: bool


WRITES = [Write(name, method, fields, name in ("place", "status", "refund")) for name, method, _, _, fields in BODIES]
BY_NAME = {write.name: write for write in WRITES}


def target(name: str, targets: Targets) -> str:
    """The path of a write: that of an order which would take it."""
    return {
        "place": ORDERS,
        "status": f"{ORDERS}/{targets.processing}/status",
        "pay": f"{ORDERS}/{targets.pending}/payment",
        "cancel": f"{ORDERS}/{targets.confirmed}/cancel",
        "refund": f"{ORDERS}/{targets.delivered}/refunds",
        "retry": f"{ORDERS}/{targets.parked_too}/calls/{targets.call_too}/retry",
        "give-up": f"{ORDERS}/{targets.parked}/calls/{targets.call}/give-up",
    }[name]


def body(name: str, random: Random) -> Any:
    """A sound body with every optional member."""
    if name == "place":
        return order(random)
    if name == "status":
        shipment = {"carrier": text(random), "trackingNumber": text(random), "url": "https://parcel.example/P1?x=1"}
        return {"status": "shipped", "reason": text(random), "shipment": shipment}
    if name == "pay":
        return {"paymentMethod": {"token": "tok_visa"}}
    if name == "refund":
        return {"reason": text(random), "amount": random.randint(1, 5)}
    return {"reason" if name == "cancel" else "note": text(random)}


def text(random: Random) -> str:
    """Something that people or their machines write."""
    return random.choice(_TEXTS)


def order(random: Random) -> dict[str, Any]:
    """An order of two lines, both of them of products that nobody else orders."""
    found = full_order()
    found["userId"] = random.choice(_USERS)
    found["currency"] = random.choice(sorted(CURRENCIES))
    for item in found["items"]:
        item["productId"] = UUID(int=random.getrandbits(128)).hex
        item["name"] = text(random)
        item["sku"] = random.choice([None, text(random)])
        item["quantity"] = random.choice([1, 2, 1000])
        item["unitPrice"] = random.choice([1, 799, 10**9])
    for name in ("shippingAddress", "billingAddress"):
        found[name]["country"] = random.choice(sorted(COUNTRIES))
        found[name]["city"] = text(random)
        found[name]["line2"] = random.choice([None, "", text(random)])
    found["discount"] = random.choice([0, 1])
    found["notes"] = text(random) * 3
    found["metadata"] = {"channel": text(random), text(random): ""}
    return found


def encoded(value: Any, random: Random) -> bytes:
    """JSON as one or another library writes it."""
    return json.dumps(value, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 1])).encode()


def _place(random: Random, _: Targets) -> Case:
    return Case("place", http("POST", ORDERS, encoded(order(random), random), key(random)), 201)


def _place_in_chunks(random: Random, _: Targets) -> Case:
    raw = encoded(order(random), random)
    cut = random.randrange(1, len(raw))
    return Case("place in chunks", chunked("POST", ORDERS, [raw[:cut], raw[cut:]]), 201)


def _place_at_the_limit(random: Random, _: Targets) -> Case:
    raw = encoded(order(random), random)
    return Case("place with 256 KiB", http("POST", ORDERS, raw + b" " * (MAX_BODY - len(raw))), 201)


def _read(random: Random, targets: Targets) -> Case:
    part = random.choice(["", "/history"])
    ids = targets.pending if random.random() < 0.5 else targets.delivered.upper()
    return Case("read", http("GET", f"{ORDERS}/{ids}{part}"), 200)


def _list(random: Random, _: Targets) -> Case:
    user = random.choice(_USERS)
    query = random.choice(["", "?limit=1", "?limit=100&status=pending"])
    return Case("list", http("GET", f"{ORDERS}/user/{user}{query}"), 200)


def _odd_headers(random: Random, targets: Targets) -> Case:
    odd = random.choice(
        [
            ("X-Correlation-Id", "a b\xff;"),
            ("traceparent", "00-zz"),
            ("Accept", "image/png"),
            ("Cookie", "a=b; " * 500),
            ("Range", "bytes=0-0"),
            ("If-Match", "nonsense"),
            ("Idempotency-Key", "not read here"),
            ("Content-Encoding", "gzip"),
            ("Expect", "100-continue"),
        ]
    )
    return Case(f"read with {odd[0]}", http("GET", f"{ORDERS}/{targets.pending}", None, (odd,)), 200)


def _well(random: Random, _: Targets) -> Case:
    path = random.choice(["/health", "/livez", "/readyz", "/docs", "/openapi.json", "/docs/errors/conflict"])
    return Case("well", http("GET", path, None, ()), 200)


CONTROLS: list[Maker] = [_place, _place, _place_in_chunks, _place_at_the_limit, _read, _list, _odd_headers, _well]
