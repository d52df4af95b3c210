"""Examples of the API description: request bodies that are accepted as they stand, and problem documents."""

from __future__ import annotations

from typing import Any

from order_service.api.catalogue import CATALOGUE

_ADDRESS = {
    "name": "Ada Example",
    "line1": "1 Analytical Way",
    "city": "London",
    "postalCode": "N1 9GU",
    "country": "GB",
    "email": "ada@example.com",
}

ORDER: dict[str, Any] = {
    "userId": "ada",
    "currency": "EUR",
    "items": [
        {"productId": "tea-100", "sku": "TEA-100", "name": "Green tea, 100 g", "quantity": 2, "unitPrice": 799},
        {"productId": "mug-blue", "name": "Blue mug", "quantity": 1, "unitPrice": 1250},
    ],
    "shippingAddress": _ADDRESS,
    "paymentMethod": {"token": "tok_visa"},
    "shippingCost": 490,
    "tax": 0,
    "discount": 100,
    "metadata": {"channel": "web"},
}

BODIES: dict[str, dict[str, Any]] = {
    "placeOrder": {"order": {"value": ORDER}},
    "payOrder": {
        "token": {"value": {"paymentMethod": {"token": "tok_visa"}}},
        "ownMethod": {"summary": "The order's own payment method", "value": {}},
    },
    "putStatus": {
        "processing": {"value": {"status": "processing"}},
        "shipped": {
            "value": {
                "status": "shipped",
                "shipment": {
                    "carrier": "Parcel Co",
                    "trackingNumber": "PC123456789",
                    "url": "https://parcel.example/track/PC123456789",
                },
            }
        },
        "delivered": {"value": {"status": "delivered"}},
    },
    "cancelOrder": {"reason": {"value": {"reason": "ordered twice"}}},
    "refundOrder": {
        "part": {"value": {"amount": 500, "reason": "one cup was broken"}},
        "rest": {"summary": "All that is left", "value": {"reason": "parcel lost"}},
    },
    "retryCall": {"retry": {"value": {}}},
    "giveUpCall": {"note": {"value": {"note": "paid back by bank transfer"}}},
}
"""Operation -> name -> example, each of them a valid body."""

_EXTRA: dict[str, dict[str, Any]] = {
    "validation-failed": {"errors": [{"pointer": "/items/0/quantity", "detail": "must be at least 1"}]},
    "out-of-stock": {"shortages": [{"productId": "mug-blue", "requested": 1, "available": 0}]},
    "unlawful-move": {"orderStatus": "pending", "allowed": ["cancelled"]},
    "not-cancellable": {"orderStatus": "shipped"},
    "not-payable": {"orderStatus": "cancelled"},
    "payment-declined": {"declineCode": "card_declined", "attempt": 1},
    "refund-exceeds-captured": {"refundable": 0},
    "stale-version": {"version": 4},
    "cart-changed": {"changed": ["items", "tax"]},
    "method-not-allowed": {"allowed": ["GET", "HEAD", "OPTIONS"]},
    "body-too-large": {"limit": 262_144},
    "headers-too-large": {"limit": 32_768},
    "unhealthy": {"checks": {"database": {"status": "down", "detail": "no answer"}}},
}


def problem(code: str) -> dict[str, Any]:
    """A problem document of this code."""
    entry = CATALOGUE[code]
    return {
        "type": f"/docs/errors/{code}",
        "title": entry.title,
        "status": entry.status,
        "code": code,
        "detail": entry.meaning,
        "correlationId": "0f8fad5bd9cb469fa16570867728950e",
        **_EXTRA.get(code, {}),
    }
