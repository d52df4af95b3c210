"""Every field of every body, spoiled in every way that its kind can be: requests with the place of their one fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from order_service.api import examples

from .recorder import CALL_ID, ORDER_ID

ORDERS = "/api/v1/orders"
ORDER = f"{ORDERS}/{ORDER_ID}"
Path = tuple[str | int, ...]


class Field(NamedTuple):
    """``most`` and ``least`` bound the length of a text, the entries of a list, or the value of a number."""

    path: Path
    kind: str
    least: int = 0
    most: int = 0
    required: bool = True
    nullable: bool = False


class Spoiled(NamedTuple):
    """One bad request: ``pointer`` is the place of its only fault."""

    name: str
    method: str
    target: str
    body: bytes
    pointer: str


MAX = 2**53 - 1
_ADDRESS = [
    ("name", 1, 200, True),
    ("line1", 1, 200, True),
    ("line2", 0, 200, False),
    ("city", 1, 100, True),
    ("region", 0, 100, False),
    ("postalCode", 1, 20, True),
    ("phone", 0, 40, False),
    ("email", 0, 254, False),
]


def _address(name: str, *, required: bool) -> list[Field]:
    fields = [Field((name,), "object", required=required, nullable=not required), Field((name, "country"), "country")]
    for member, least, most, needed in _ADDRESS:
        fields.append(Field((name, member), "text", least, most, needed, not needed))
    return fields


def _item(index: int) -> list[Field]:
    at: Path = ("items", index)
    return [
        Field(at, "object", required=False),
        Field((*at, "productId"), "text", 1, 128),
        Field((*at, "sku"), "text", 1, 128, required=False, nullable=True),
        Field((*at, "name"), "text", 1, 500),
        Field((*at, "quantity"), "number", 1, 1_000_000),
        Field((*at, "unitPrice"), "number", 0, MAX),
    ]


CREATE = [
    Field((), "object", required=False),
    Field(("userId",), "user", 1, 128),
    Field(("currency",), "currency"),
    Field(("items",), "list", 1, 200),
    *_item(0),
    *_item(1),
    *_address("shippingAddress", required=True),
    *_address("billingAddress", required=False),
    Field(("paymentMethod",), "object", required=False, nullable=True),
    Field(("paymentMethod", "token"), "text", 1, 255),
    Field(("shippingCost",), "number", 0, MAX, required=False),
    Field(("tax",), "number", 0, MAX, required=False),
    Field(("discount",), "number", 0, MAX, required=False),
    Field(("notes",), "text", 0, 2000, required=False, nullable=True),
    Field(("metadata",), "map", required=False),
    Field(("metadata", "channel"), "text", 0, 512, required=False),
]
STATUS = [
    Field((), "object", required=False),
    Field(("status",), "status"),
    Field(("reason",), "text", 1, 500, required=False, nullable=True),
    Field(("shipment",), "object", required=False, nullable=True),
    Field(("shipment", "carrier"), "text", 1, 100),
    Field(("shipment", "trackingNumber"), "text", 1, 100),
    Field(("shipment", "url"), "url", required=False, nullable=True),
]
PAY = [
    Field((), "object", required=False),
    Field(("paymentMethod",), "object", required=False, nullable=True),
    Field(("paymentMethod", "token"), "text", 1, 255),
]
CANCEL = [Field((), "object", required=False), Field(("reason",), "text", 1, 500, required=False, nullable=True)]
REFUND = [
    Field((), "object", required=False),
    Field(("reason",), "text", 1, 500),
    Field(("amount",), "number", 1, MAX, required=False, nullable=True),
]
NOTE = [Field((), "object", required=False), Field(("note",), "text", 1, 500, required=False, nullable=True)]


def full_order() -> dict[str, Any]:
    """An order with every optional member."""
    order = copy.deepcopy(examples.ORDER)
    order["items"][1]["sku"] = "MUG"
    address = {**order["shippingAddress"], "line2": "Floor 2", "region": "Greater London", "phone": "+44 20 7946 0000"}
    order.update(shippingAddress=address, billingAddress=dict(address), notes="Ring twice")
    return order


SHIPPED = {
    "status": "shipped",
    "reason": "packed",
    "shipment": {"carrier": "Parcel Co", "trackingNumber": "P1", "url": "https://parcel.example/P1?x=1"},
}
BODIES: list[tuple[str, str, str, Any, list[Field]]] = [
    ("place", "POST", ORDERS, full_order(), CREATE),
    ("status", "PUT", f"{ORDER}/status", SHIPPED, STATUS),
    ("pay", "POST", f"{ORDER}/payment", {"paymentMethod": {"token": "tok_visa"}}, PAY),
    ("cancel", "POST", f"{ORDER}/cancel", {"reason": "twice"}, CANCEL),
    ("refund", "POST", f"{ORDER}/refunds", {"reason": "broken", "amount": 5}, REFUND),
    ("retry", "POST", f"{ORDER}/calls/{CALL_ID}/retry", {"note": "again"}, NOTE),
    ("give-up", "POST", f"{ORDER}/calls/{CALL_ID}/give-up", {"note": "by bank"}, NOTE),
]

_RAW = "@@raw:"
_NOT_TEXT: dict[str, Any] = {
    "number": 1,
    "zero": 0,
    "exponent": _RAW + "1e5",
    "minus": -1,
    "fraction": 1.5,
    "true": True,
    "false": False,
    "list": ["a"],
    "object": {},
}
_NOT_NUMBER: dict[str, Any] = {
    "digits in quotes": "2",
    "empty text": "",
    "word": "two",
    "point zero": 1.0,
    "fraction": 1.5,
    "exponent": _RAW + "1e2",
    "huge exponent": _RAW + "1e400",
    "tiny exponent": _RAW + "1E-7",
    "true": True,
    "false": False,
    "spaced": " 2 ",
    "separated": "1,000",
    "hexadecimal": "0x10",
    "list": [1],
    "object": {"value": 1},
}
_TOO_MUCH: dict[str, Any] = {"2^53": 2**53, "2^63": 2**63, "2^64": 2**64, "5000 digits": _RAW + "9" * 5000}
_CODES = [
    "",
    "eur",
    "EURO",
    "EU",
    "EUR ",
    "EUR\n",
    " EUR",
    "XXX",
    "ZZZ",
    "\uff25\uff35\uff32",
    "E\u0055r",
    978,
    None,
    True,
    [],
    {},
]
_COUNTRIES = ["", "gb", "GBR", "G", "GB\n", " GB", "ZZ", "UK", "EU", "\uff27\uff22", 44, None, False, [], {}]
_USERS = ["", "a" * 129, "a b", "a/b", "ada\n", "\nada", "ä", "a\0", "a\\b", "a#b", "a%20", "a,b", "名"]
_STATUSES = ["", "Shipped", "shipped ", "SHIPPED", "unknown", "shipped\n", 1, None, True, [], {}]
_URLS = [
    "",
    "ftp://parcel.example/1",
    "javascript:alert(1)",
    "//parcel.example/1",
    "parcel.example/1",
    "https://",
    "https:///1",
    "https://parcel.example/1\n",
    "https://parcel.example/ä",
    "https://user:pass@parcel.example/1",
    "https://parcel.example/a b",
    "https://parcel.example:port/",
    "data:text/html,x",
    "https://parcel.example/" + "x" * 2000,
]


def pointer(path: Path) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def spoiled() -> Iterator[Spoiled]:
    """All of them."""
    for name, method, target, body, fields in BODIES:
        for field in fields:
            for fault, raw, place in _of_field(body, field):
                label = f"{name} {pointer(field.path) or '(all)'} {fault}"
                yield Spoiled(label, method, target, raw, place)


def _of_field(body: Any, field: Field) -> Iterator[tuple[str, bytes, str]]:
    place = pointer(field.path)
    for fault, value in values(field):
        yield fault, changed(body, field.path, value), place
    if field.required:
        yield "missing", removed(body, field.path), place
    if not field.nullable and field.kind in ("text", "number", "object", "list", "map", "user"):
        yield "null", changed(body, field.path, None), place
    if field.kind == "object":
        for unknown in ("unknown", "a/b", "m~n", "id", "status2", "total", "", "pa id", "é"):
            spoiled_body = changed(body, (*field.path, unknown), 1)
            yield f"unknown member {unknown}", spoiled_body, pointer((*field.path, unknown))
        yield "NUL in a name", changed(body, (*field.path, "a\0b"), 1), pointer((*field.path, "a\0b"))
    if field.path and isinstance(field.path[-1], str):
        yield "twice", doubled(body, field.path), place


def values(field: Field) -> Iterator[tuple[str, Any]]:
    match field.kind:
        case "text":
            yield from _NOT_TEXT.items()
            yield from _texts(field)
        case "number":
            yield from _NOT_NUMBER.items()
            yield from _TOO_MUCH.items()
            yield "below", field.least - 1
            yield "above", field.most + 1
            yield "far below", -(2**63) - 1
        case "user":
            yield from _NOT_TEXT.items()
            yield from ((f"user {value!r}", value) for value in _USERS)
        case "object":
            yield from [("text", "x"), ("number", 1), ("true", True), ("list", [])]
        case "list":
            yield from [("text", "x"), ("number", 1), ("object", {}), ("empty", []), ("too many", _items(201))]
        case "map":
            yield from [("text", "x"), ("number", 1), ("list", []), ("too many", {f"k{n}": "" for n in range(51)})]
        case "currency":
            yield from ((f"code {value!r}", value) for value in _CODES)
        case "country":
            yield from ((f"code {value!r}", value) for value in _COUNTRIES)
        case "status":
            yield from ((f"status {value!r}", value) for value in _STATUSES)
        case "url":
            yield from _NOT_TEXT.items()
            yield from ((f"url {value[:40]!r}", value) for value in _URLS)


def _texts(field: Field) -> Iterator[tuple[str, str]]:
    yield "NUL", "a\0b"[: max(3, field.most)]
    yield "only NUL", "\0"
    yield "too long", "x" * (field.most + 1)
    yield "too long, beyond ASCII", "é" * (field.most + 1)
    if field.least:
        yield "empty", ""


def _items(count: int) -> list[dict[str, Any]]:
    return [{"productId": "p", "name": "n", "quantity": 1, "unitPrice": 1}] * count


def changed(body: Any, path: Path, value: Any) -> bytes:
    if not path:
        return encode(value)
    copied = copy.deepcopy(body)
    parent = copied
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return encode(copied)


def removed(body: Any, path: Path) -> bytes:
    copied = copy.deepcopy(body)
    parent = copied
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    return encode(copied)


def doubled(body: Any, path: Path) -> bytes:
    """The member once more, under a name that is replaced when all else is text."""
    parent = body
    for step in path[:-1]:
        parent = parent[step]
    raw = changed(body, (*path[:-1], "@@twin"), parent[path[-1]])
    return raw.replace(b'"@@twin"', json.dumps(path[-1]).encode())


def encode(value: Any) -> bytes:
    text = json.dumps(value)
    while f'"{_RAW}' in text:
        before, _, rest = text.partition(f'"{_RAW}')
        number, _, after = rest.partition('"')
        text = before + number + after
    return text.encode()
