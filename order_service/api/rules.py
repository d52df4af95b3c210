"""Rules that bind several members of a body, told of the untyped body: sums, shipments, card numbers."""

from __future__ import annotations

from typing import Any

from order_service.api.bodies import MAX_QUANTITY, MAX_TEXT
from order_service.api.cards import holds_card_number
from order_service.api.refusals import Fault
from order_service.core.lifecycle import Status
from order_service.core.model import MAX_AMOUNT

_NOT_SHIPPED = [status for status in Status if status is not Status.SHIPPED]
_CARD = "must not contain a card number"


def of_order(body: Any) -> list[Fault]:
    """Line totals, subtotal and total stay within 0 and 2^53 - 1, and no free text holds a card number."""
    if not isinstance(body, dict):
        return []
    return [*_sums(body), *_cards(body)]


def _sums(body: dict[str, Any]) -> list[Fault]:
    items = body.get("items")
    totals = [_line_total(item) for item in items] if isinstance(items, list) else []
    found = [
        Fault(f"/items/{index}", "quantity times unitPrice is above 9007199254740991")
        for index, total in enumerate(totals)
        if total is not None and total > MAX_AMOUNT
    ]
    extras = [_amount(body, name) for name in ("shippingCost", "tax", "discount")]
    if found or not totals or None in totals or None in extras:
        return found
    subtotal = sum(total or 0 for total in totals)
    shipping_cost, tax, discount = (extra or 0 for extra in extras)
    total = subtotal + shipping_cost + tax - discount
    if subtotal > MAX_AMOUNT:
        return [Fault("/items", "the lines add up to more than 9007199254740991")]
    if total > MAX_AMOUNT:
        return [Fault("", "the total is above 9007199254740991")]
    if total < 0:
        return [Fault("/discount", "is more than there is to pay: the total would be negative")]
    return []


def _line_total(item: Any) -> int | None:
    if not isinstance(item, dict):
        return None
    quantity, price = item.get("quantity"), item.get("unitPrice")
    if type(quantity) is not int or type(price) is not int:
        return None
    if not 1 <= quantity <= MAX_QUANTITY or not 0 <= price <= MAX_AMOUNT:
        return None
    return quantity * price


def _amount(body: dict[str, Any], name: str) -> int | None:
    """The amount, 0 where it is left out, None where it is none."""
    value = body.get(name, 0)
    return value if type(value) is int and 0 <= value <= MAX_AMOUNT else None


def _cards(body: dict[str, Any]) -> list[Fault]:
    found = [*of_reason(body), *of_payment(body)]
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        found += [Fault(f"/metadata/{_escaped(name)}", _CARD) for name, value in metadata.items() if _is_card(value)]
    return found


def of_payment(body: Any) -> list[Fault]:
    """A token stands for a card; it is not its number."""
    method = body.get("paymentMethod") if isinstance(body, dict) else None
    if isinstance(method, dict) and _is_card(method.get("token")):
        return [Fault("/paymentMethod/token", "must be a token of the payment service, not a card number")]
    return []


def of_reason(body: Any) -> list[Fault]:
    """Free text of any body."""
    if not isinstance(body, dict):
        return []
    return [Fault(f"/{name}", _CARD) for name in ("notes", "reason", "note") if _is_card(body.get(name))]


def of_status(body: Any) -> list[Fault]:
    """A shipment belongs to ``shipped`` alone."""
    found = of_reason(body)
    if isinstance(body, dict) and body.get("shipment") is not None and body.get("status") in _NOT_SHIPPED:
        found.append(Fault("/shipment", "is allowed only with the status shipped"))
    return found


def _is_card(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and holds_card_number(value)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
