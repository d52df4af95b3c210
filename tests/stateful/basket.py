"""What orders are made of, and what they must say of themselves for ever."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.system.harness import basket

SCARCE = 4
"""Pieces on hand of the one product of a run that is scarce."""

_PRODUCTS = ("cup", "cup", "cup", "mug", "mug", "scarce", "scarce", "flaky")
TOKENS = (
    *("tok_visa", "tok_visa", "tok_declined", "tok_processing", "tok_3ds", "tok_requires_capture"),
    *("tok_timeout_after", "tok_refused", "tok_refund_fails", "tok_refund_pending", "tok_refund_fails_late"),
)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A body of a creation; ``scarce`` stands for the scarce product of the run."""
    products = draw(
        st.lists(
            st.sampled_from(("cup", "cup", "cup", "mug", "mug", "scarce", "scarce", "flaky")), min_size=1, max_size=3
        )
    )
    free = draw(st.integers(0, 7)) == 0
    items = [
        {
            "productId": product,
            "name": product.title(),
            "quantity": draw(st.integers(1, 3)),
            "unitPrice": 0 if free else draw(st.integers(1, 5_000)),
        }
        for product in products
    ]
    subtotal = sum(item["quantity"] * item["unitPrice"] for item in items)
    body = basket(items=items, shippingCost=0 if free else draw(st.integers(0, 900)), tax=draw(st.integers(0, 900)))
    body["discount"] = body["tax"] if free else draw(st.integers(0, subtotal - 1))
    token = draw(st.sampled_from((None, None, "tok_visa", "tok_declined")))
    return body if token is None else body | {"paymentMethod": {"token": token}}


def needed(body: dict[str, Any], product: str) -> int:
    """Pieces of a product that an order asks for, all its lines together."""
    return sum(item["quantity"] for item in body["items"] if item["productId"] == product)


def total(body: dict[str, Any]) -> int:
    """Minor units."""
    return subtotal(body) + int(body["shippingCost"]) + int(body["tax"]) - int(body["discount"])


def subtotal(body: dict[str, Any]) -> int:
    """Minor units."""
    return sum(item["quantity"] * item["unitPrice"] for item in body["items"])


def lasting(body: dict[str, Any]) -> dict[str, Any]:
    """What an order of this body says of itself, whatever becomes of it; the token is never among it."""
    items = [
        item | {"line": line, "sku": None, "total": item["quantity"] * item["unitPrice"]}
        for line, item in enumerate(body["items"], 1)
    ]
    told = {name: body[name] for name in ("userId", "currency", "shippingCost", "tax", "discount", "shippingAddress")}
    return told | {"items": items, "subtotal": subtotal(body), "total": total(body)}
