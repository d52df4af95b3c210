"""Problem documents (RFC 9457), and the refusals that are not the rules': absence, staleness, keys, partners away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from order_service.core.errors import OutOfStock, Refusal

MEDIA_TYPE = "application/problem+json"
_encode = msgspec.json.Encoder().encode


class OrderNotFound(Refusal):
    """There is no such order, or not for this caller: both look the same."""

    code = "order-not-found"
    title = "Order not found"
    status = 404

    def __init__(self) -> None:
        super().__init__("There is no such order.")


class StaleVersion(Refusal):
    """``If-Match`` names a version that is not the newest."""

    code = "stale-version"
    title = "Stale version"
    status = 412

    def __init__(self, version: int) -> None:
        super().__init__(f"The order has changed meanwhile; its version is {version}.", version=version)


class KeyReused(Refusal):
    """The Idempotency-Key came before with another body."""

    code = "idempotency-key-reused"
    title = "Idempotency-Key reused"
    status = 422

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another request body; use a new key for a new request.")


class RequestInFlight(Refusal):
    """A request with the same Idempotency-Key is being worked on at this moment."""

    code = "request-in-flight"
    title = "Request in flight"
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("The same request is being worked on; repeat it in a moment to get its answer.")


class MissingScope(Refusal):
    """The caller is known, but may not do this."""

    code = "missing-scope"
    title = "Missing scope"
    status = 403

    def __init__(self, scopes: Iterable[str], what: str = "This") -> None:
        super().__init__(f"{what} needs the scope {' or '.join(sorted(scopes))}.")


class CartChanged(Refusal):
    """What a customer orders is not what the cart holds; nothing was written."""

    code = "cart-changed"
    title = "Cart changed"

    def __init__(self, changed: list[str]) -> None:
        super().__init__(
            f"The cart says otherwise about {', '.join(changed)}; nothing was ordered. Read the cart again.",
            changed=changed,
        )


class CartUnavailable(Refusal):
    """The cart cannot be asked what a customer may order, so nothing was written."""

    code = "cart-unavailable"
    title = "Cart unavailable"
    status = 503
    retry_after_s = 2

    def __init__(self) -> None:
        super().__init__("The cart does not answer; nothing was ordered. Try again in a moment.")


class InventoryUnavailable(Refusal):
    """Availability cannot be asked, so nothing was written."""

    code = "inventory-unavailable"
    title = "Inventory unavailable"
    status = 503
    retry_after_s = 2

    def __init__(self) -> None:
        super().__init__("The inventory does not answer; nothing was ordered. Try again in a moment.")


class ServiceUnavailable(Refusal):
    """The database is away or too slow, or too much is waiting; the request may be repeated with the same key."""

    code = "service-unavailable"
    title = "Service unavailable"
    status = 503
    retry_after_s = 2

    def __init__(self, detail: str = "The service cannot answer now; repeat the request with the same key.") -> None:
        super().__init__(detail)


class Conflict(Refusal):
    """The order kept changing under this request."""

    code = "conflict"
    title = "Conflict"
    status = 503
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("The order kept changing while this request was worked on; repeat it.")


def problem(refusal: Refusal, correlation_id: str) -> bytes:
    """The problem document of a refusal, as the bytes that are sent and, where a key asks for it, remembered."""
    body: dict[str, Any] = {
        "type": f"/docs/errors/{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "correlationId": correlation_id,
        **refusal.extra,
    }
    if isinstance(refusal, OutOfStock):
        body["shortages"] = refusal.shortages
    return _encode(body)
