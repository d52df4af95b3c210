"""The API description (OpenAPI 3.1), made from the table of operations and the very types that are read and written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from order_service.api import examples
from order_service.api.catalogue import CATALOGUE
from order_service.api.operations import EDGE, OPERATIONS, ORDERS, Operation
from order_service.api.query import DEFAULT_LIMIT, MAX_CURSOR, MAX_LIMIT
from order_service.api.schemas import published
from order_service.core.answers import Shortage
from order_service.core.lifecycle import Status
from order_service.core.model import Address, Contacts, Order

_REF = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
_NO_NUL = r"^[^\u0000]*$"


class FaultDoc(Struct, rename={"pointer": "pointer"}):
    """One fault: ``pointer`` is an RFC 6901 pointer into the body, or ``?name`` of a query parameter."""

    pointer: str
    detail: str


class Problem(Struct, rename="camel", omit_defaults=True):
    """A problem document (RFC 9457); ``code`` is stable, and decides which of the optional members are there."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    code: str
    detail: str
    correlation_id: str
    errors: list[FaultDoc] = []
    shortages: list[Shortage] = []
    order_id: str | None = None
    order_status: Status | None = None
    allowed: list[str] = []
    changed: list[str] = []
    decline_code: str | None = None
    attempt: int = 0
    refundable: int = 0
    version: int = 0
    limit: int = 0
    checks: dict[str, dict[str, Any]] = {}


class HistoryEntry(Struct, rename="camel"):
    """One change of status; ``fromStatus`` of the creation is null."""

    version: int
    from_status: Status | None
    to_status: Status
    actor: str
    reason: str | None
    correlation_id: str | None
    at: datetime


class History(Struct):
    """The changes of an order's status, oldest first."""

    items: list[HistoryEntry]


class Alive(Struct):
    """The process answers."""

    status: str


class Health(Struct):
    """Each check has ``status`` up or down, and a detail."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["healthy", "degraded"]})]
    checks: dict[str, dict[str, Any]]


_SCHEMA_TYPES = (Order, Contacts, Address, Problem, History, Health, Alive)


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Order Service",
            "version": version("order-service"),
            "summary": "Orders, their payment, their stock, and where they stand.",
            "description": "JSON with camelCase members; amounts are integers in the currency's minor unit; times "
            "are RFC 3339 in UTC. Every error is a problem document whose `type` is a page of its own.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in ("orders", "operations", "documentation")],
        "paths": paths,
        "components": {
            "schemas": _components(),
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _components() -> dict[str, Any]:
    shapes = [*_SCHEMA_TYPES, *{op.body for op in OPERATIONS if op.body is not None}]
    _, raw = msgspec.json.schema_components(shapes, ref_template=_REF)
    schemas: dict[str, Any] = published(raw)
    contacts = schemas.pop("Contacts")["properties"]
    order = schemas["Order"]
    order["description"] = "An order. The payment token is never part of it."
    order["properties"] |= {
        name: {"anyOf": [part, {"type": "null"}]} if "anyOf" not in part else part for name, part in contacts.items()
    }
    schemas["PutStatus"] |= _SHIPMENT_ONLY_WITH_SHIPPED
    schemas["OrderList"] = {
        "title": "OrderList",
        "description": "A page of orders, newest first; `nextCursor` is null on the last page.",
        "type": "object",
        "required": ["items", "nextCursor"],
        "properties": {
            "items": {"type": "array", "items": {"$ref": _REF.format(name="Order")}},
            "nextCursor": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
        },
    }
    for name, schema in schemas.items():
        if schema.get("additionalProperties") is False:
            schema["properties"] = _without_nul(schema["properties"])
        schema["description"] = _DESCRIPTIONS.get(name) or _plain(schema["description"])
    return dict(sorted(schemas.items()))


def _without_nul(part: Any) -> Any:
    """The same schema, in which no text holds a NUL character: readers see it on the bytes, not in their types."""
    if isinstance(part, list):
        return [_without_nul(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    told = {name: _without_nul(value) for name, value in part.items()}
    if "propertyNames" in told:
        told["propertyNames"] = {"pattern": _NO_NUL, **told["propertyNames"]}
    if told.get("type") == "string" and not told.keys() & {"pattern", "enum"}:
        told["pattern"] = _NO_NUL
    return told


def _plain(docstring: str) -> str:
    """The first paragraph of a docstring, in the Markdown of API descriptions."""
    return " ".join(docstring.split("\n\n")[0].split()).replace("``", "`")


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _parameters(operation)],
        "responses": _responses(operation),
        "security": [{name: []} for name in _SECURITY] if operation.scopes else [],
    }
    if operation.scopes:
        described["x-scopes"] = sorted(operation.scopes)
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {
                "application/json": {
                    "schema": {"$ref": _REF.format(name=operation.body.__name__)},
                    "examples": examples.BODIES[operation.name],
                }
            },
        }
    return described


def _parameters(operation: Operation) -> Iterable[str]:
    yield from (name for name in ("orderId", "userId", "callId", "code") if f"{{{name}}}" in operation.path)
    if operation.name == "listOrders":
        yield from ("limit", "cursor", "status")
    if operation.body is not None:
        yield "IdempotencyKey"
        if operation.path != ORDERS:
            yield "IfMatch"
    yield from ("XCorrelationId", "Traceparent")


def _responses(operation: Operation) -> dict[str, Any]:
    responses = {str(status): _success(operation, status, told) for status, told in operation.success.items()}
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*operation.problems, *EDGE)):
        by_status.setdefault(CATALOGUE[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _problem(status, codes)
    return responses


def _success(operation: Operation, status: int, told: str) -> dict[str, Any]:
    headers = ["XCorrelationId"]
    if operation.reply == "Order":
        headers += ["ETag"]
    if operation.name == "placeOrder":
        headers += ["Location"]
    if operation.body is not None:
        headers += ["IdempotentReplayed"]
    media_type, schema = _MEDIA.get(operation.reply, ("application/json", {"$ref": _REF.format(name=operation.reply)}))
    return {
        "description": told,
        "headers": _header_refs(headers),
        "content": {media_type: {"schema": schema}},
    }


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    headers = ["XCorrelationId"]
    if status in (409, 503):
        headers += ["RetryAfter"]
    if status == 401:
        headers += ["WWWAuthenticate"]
    if status == 405:
        headers += ["Allow"]
    return {
        "description": "; ".join(f"`{code}`: {CATALOGUE[code].meaning}" for code in codes),
        "headers": _header_refs(headers),
        "content": {
            _PROBLEM: {
                "schema": {"$ref": _REF.format(name="Problem")},
                "examples": {code: {"value": examples.problem(code)} for code in codes},
            }
        },
    }


def _header_refs(names: Iterable[str]) -> dict[str, Any]:
    return {_HEADER_NAMES[name]: {"$ref": f"#/components/headers/{name}"} for name in names}


_DESCRIPTIONS = {
    "Status": "Where an order stands.",
    "AttemptStatus": "A payment attempt's own state; captured, declined and voided are final, closed was never sent.",
    "RefundStatus": "A refund's own state; settled_outside was given up here and settled by people.",
    "Line": "One line of an order. `line` counts from 1; `unitPrice` and `total` are minor units.",
}
"""Instead of docstrings that speak to readers of the code."""

_SHIPMENT_ONLY_WITH_SHIPPED: dict[str, Any] = {
    "if": {"required": ["shipment"], "properties": {"shipment": {"type": "object"}}},
    "then": {"properties": {"status": {"const": "shipped"}}},
}
"""Two members that bind each other, which no type of ours can say."""

_MEDIA: dict[str, tuple[str, dict[str, Any]]] = {
    "OpenApi": ("application/json", {"type": "object"}),
    "Html": ("text/html", {"type": "string"}),
    "Text": ("text/plain", {"type": "string"}),
}

_HEADER_NAMES = {
    "XCorrelationId": "X-Correlation-Id",
    "ETag": "ETag",
    "Location": "Location",
    "RetryAfter": "Retry-After",
    "IdempotentReplayed": "Idempotent-Replayed",
    "Allow": "Allow",
    "WWWAuthenticate": "WWW-Authenticate",
}

_HEADERS: dict[str, Any] = {
    "XCorrelationId": {
        "description": "The correlation id: yours, or a new one.",
        "schema": {"type": "string"},
    },
    "ETag": {"description": "The order's version in quotation marks, for If-Match.", "schema": {"type": "string"}},
    "Location": {"description": "The path of the new order.", "schema": {"type": "string", "format": "uri-reference"}},
    "RetryAfter": {"description": "Seconds after which a repeat may succeed.", "schema": {"type": "integer"}},
    "IdempotentReplayed": {
        "description": "Present if this is the remembered answer of an earlier request with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Allow": {"description": "The methods of this path.", "schema": {"type": "string"}},
    "WWWAuthenticate": {
        "description": "How to say who you are.",
        "schema": {"type": "string", "const": "Bearer"},
    },
}

_SECURITY: dict[str, Any] = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "osk_...",
        "description": "An API key, made by `order-service keys create`. Each operation lists in `x-scopes` whom it "
        "serves: a customer (its own orders only; another's is answered like an absent one), a service, staff.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JSON Web Token of the issuer that the operator trusts: `sub` is the user, `scope` or "
        "`scopes` has customer, service or staff.",
    },
}


def _parameter(name: str, place: str, description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": description, **required, "schema": schema, **more}


_PARAMETERS: dict[str, Any] = {
    "orderId": _parameter("orderId", "path", "The order's id.", {"type": "string", "format": "uuid"}),
    "callId": _parameter("callId", "path", "The parked call's id.", {"type": "string", "format": "uuid"}),
    "userId": _parameter(
        "userId", "path", "The user's id.", {"type": "string", "pattern": "^[A-Za-z0-9._:@-]{1,128}$"}, example="ada"
    ),
    "code": _parameter("code", "path", "A problem code.", {"type": "string", "enum": sorted(CATALOGUE)}),
    "limit": _parameter(
        "limit",
        "query",
        "Orders per page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    "cursor": _parameter(
        "cursor",
        "query",
        "The `nextCursor` of the page before.",
        {"type": "string", "pattern": f"^[!-~]{{1,{MAX_CURSOR}}}$"},
    ),
    "status": _parameter("status", "query", "Only orders of this status.", {"enum": [str(s) for s in Status]}),
    "IdempotencyKey": _parameter(
        "Idempotency-Key",
        "header",
        "Names this request: a repeat with the same key and body has no second effect and gets the same answer. "
        "Kept for 30 days.",
        {"type": "string", "pattern": "^[!-~]{1,255}$"},
        example="8e03978e-40d5-43e8-bc93-6894a57f9324",
    ),
    "IfMatch": _parameter(
        "If-Match",
        "header",
        "Only if the order still has this ETag; * for any.",
        {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,14}")$'},
        example='"2"',
    ),
    "XCorrelationId": _parameter(
        "X-Correlation-Id",
        "header",
        "Your name for this request, of A-Z a-z 0-9 . _ -; anything else is replaced by a new one.",
        {"type": "string"},
    ),
    "Traceparent": _parameter(
        "traceparent", "header", "W3C trace context; passed on if it is valid.", {"type": "string"}
    ),
}
