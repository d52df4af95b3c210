"""Hostile answers to everything but a charge."""

from __future__ import annotations

import json

from hostile_asked import (
    CLEAR,
    COMMIT,
    GOOD,
    PAID,
    READ_BY_ID,
    READ_BY_REFERENCE,
    READ_REFUND,
    REFUND,
    REFUNDED,
    RELEASE,
    RESERVE,
    UNREADABLE,
    VOID,
    Hostile,
    listed,
    read_back,
    text,
)
from partner_rig import (
    dripping,
    http,
    saying,
)

from order_service.core.answers import (
    CartCleared,
    Lied,
    PaymentUnknown,
    RefundState,
    RefundUnknown,
    Refused,
    Released,
    ReserveRefused,
    Shortage,
    StockCommitted,
    StockNotHeld,
    Unanswered,
)

VOIDS = [
    Hostile(
        "a void of another reference",
        VOID,
        read_back(status="voided", reference="pay-2"),
        Lied("another reference than asked"),
    ),
    Hostile("a void of another amount", VOID, read_back(status="voided", amount=5), Lied("amount 5 instead of 1250")),
    Hostile(
        "a void that captured something else",
        VOID,
        read_back(amount=0),
        Lied("amount 0 instead of 1250"),
    ),
    Hostile(
        "a void that captured without an id", VOID, read_back(paymentId=None), Lied("a capture without a payment id")
    ),
    Hostile(
        "a void that waits for the customer",
        VOID,
        read_back(status="requires_action"),
        Lied("a void that neither stopped the charge nor says why"),
    ),
    Hostile("a void in html", VOID, saying(http(200, "<html>voided</html>")), UNREADABLE),
    Hostile("a void that says ok", VOID, saying(http(200, '{"status":"ok"}')), Lied("")),
    *(
        Hostile(f"status {status} on a void", VOID, saying(http(status, GOOD)), Unanswered(f"status {status}"))
        for status in (201, 202, 302, 400, 402, 404, 409, 410, 422, 500)
    ),
]

READS = [
    Hostile("a read of another payment", READ_BY_ID, read_back(paymentId="p2"), Lied("another payment than asked")),
    Hostile(
        "a read of another reference", READ_BY_ID, read_back(reference="pay-2"), Lied("another reference than asked")
    ),
    Hostile("a read without refunds", READ_BY_ID, read_back(refunds=...), Lied("")),
    Hostile("a read with a refund of nothing", READ_BY_ID, listed(REFUNDED | {"amount": 0}), Lied("")),
    Hostile("a read with a refund of true", READ_BY_ID, listed(REFUNDED | {"amount": True}), Lied("")),
    Hostile("a read that is gone", READ_BY_ID, saying(http(410)), Unanswered("status 410")),
    Hostile("a read that is declined by status", READ_BY_ID, saying(http(402)), Unanswered("status 402")),
    Hostile("a read by id that is not found", READ_BY_ID, saying(http(404)), PaymentUnknown()),
    Hostile("a list not found", READ_BY_REFERENCE, saying(http(404)), Unanswered("status 404")),
    Hostile("an empty list", READ_BY_REFERENCE, saying(http(200, '{"items":[]}')), PaymentUnknown()),
    Hostile("a list that is null", READ_BY_REFERENCE, saying(http(200, '{"items":null}')), Lied("")),
    Hostile("a bare list", READ_BY_REFERENCE, saying(http(200, "[]")), Lied("")),
    Hostile("no list", READ_BY_REFERENCE, saying(http(200, "{}")), Lied("")),
    Hostile(
        "a list of two",
        READ_BY_REFERENCE,
        saying(http(200, f'{{"items":[{GOOD},{GOOD}]}}')),
        Lied("several payments for one reference"),
    ),
    Hostile(
        "a list of somebody else's payment",
        READ_BY_REFERENCE,
        saying(http(200, json.dumps({"items": [PAID | {"reference": "pay-2"}]}))),
        Lied("another reference than asked"),
    ),
]

REFUNDS = [
    Hostile(
        "a refund of more", REFUND, saying(http(201, text(REFUNDED, amount=401))), Lied("refund of 401 instead of 400")
    ),
    Hostile(
        "a refund of another reference",
        REFUND,
        saying(http(201, text(REFUNDED, reference="ref-2"))),
        Lied("another refund reference than asked"),
    ),
    Hostile("a refund without an id", REFUND, saying(http(201, text(REFUNDED, refundId=...))), Lied("")),
    Hostile("a refund with a null id", REFUND, saying(http(201, text(REFUNDED, refundId=None))), Lied("")),
    Hostile("a refund in a state of its own", REFUND, saying(http(201, text(REFUNDED, status="done"))), Lied("")),
    Hostile("a refund that answers like a payment", REFUND, saying(http(201, GOOD)), Lied("")),
    Hostile("a refund cut short", REFUND, saying(http(201, text(REFUNDED)[:-2])), UNREADABLE),
    Hostile("a refund with 200", REFUND, saying(http(200, text(REFUNDED))), Unanswered("status 200")),
    Hostile("a refund with 402", REFUND, saying(http(402)), Unanswered("status 402")),
    Hostile("a refund with 410", REFUND, saying(http(410)), Unanswered("status 410")),
    Hostile("a refund with 429", REFUND, saying(http(429, "", "Retry-After: 7")), Unanswered("status 429", 7.0)),
    Hostile("a refund with 409", REFUND, saying(http(409, "no")), RefundState("ref-1", None, 400, "failed")),
    *(
        Hostile(f"status {status} on a refund", REFUND, saying(http(status)), Refused(status, f"status {status}"))
        for status in (400, 401, 403, 404, 422)
    ),
    Hostile("a refund not listed", READ_REFUND, listed(REFUNDED | {"reference": "ref-2"}), RefundUnknown()),
    Hostile("a refund of no payment", READ_REFUND, saying(http(404)), RefundUnknown()),
    Hostile(
        "a refund listed twice", READ_REFUND, listed(REFUNDED, REFUNDED), Lied("several refunds for one reference")
    ),
    Hostile(
        "a refund listed with less",
        READ_REFUND,
        listed(REFUNDED | {"amount": 399}),
        Lied("refund of 399 instead of 400"),
    ),
    Hostile(
        "a refund listed with another payment",
        READ_REFUND,
        saying(http(200, text(PAID, paymentId="p2", refunds=[REFUNDED]))),
        Lied("another payment than asked"),
    ),
]

STOCK = [
    Hostile(
        "another reservation",
        RESERVE,
        saying(http(201, '{"reservationId":"res-2"}')),
        Lied("another reservation than asked"),
    ),
    Hostile("no reservation", RESERVE, saying(http(201, "{}")), Lied("")),
    Hostile("a reservation of words", RESERVE, saying(http(201, "reserved")), UNREADABLE),
    Hostile("a reserve with 200", RESERVE, saying(http(200, '{"reservationId":"res-1"}')), Unanswered("status 200")),
    Hostile("409 without a body", RESERVE, saying(http(409)), UNREADABLE),
    Hostile("409 without shortages", RESERVE, saying(http(409, '{"code":"in-flight"}')), Lied("")),
    Hostile("409 with shortages null", RESERVE, saying(http(409, '{"shortages":null}')), Lied("")),
    Hostile("409 with nothing short", RESERVE, saying(http(409, '{"shortages":[]}')), ReserveRefused(())),
    Hostile(
        "409 for a product not asked",
        RESERVE,
        saying(http(409, '{"shortages":[{"productId":"z","requested":2,"available":1}]}')),
        Lied("a shortage of a product not asked for"),
    ),
    Hostile(
        "409 with less than nothing",
        RESERVE,
        saying(http(409, '{"shortages":[{"productId":"a","requested":2,"available":-3}]}')),
        ReserveRefused((Shortage("a", 2, 0),)),
    ),
    Hostile(
        "409 with half a piece",
        RESERVE,
        saying(http(409, '{"shortages":[{"productId":"a","requested":2,"available":0.5}]}')),
        Lied(""),
    ),
    *(
        Hostile(f"status {status} on a reserve", RESERVE, saying(http(status)), Refused(status, f"status {status}"))
        for status in (400, 404, 422)
    ),
    *(
        Hostile(f"status {status} on a reserve", RESERVE, saying(http(status)), Unanswered(f"status {status}"))
        for status in (202, 401, 402, 403, 410, 429, 500, 503)
    ),
    Hostile("a release in html", RELEASE, saying(http(200, "<html>")), Released()),
    Hostile("a release cut short", RELEASE, saying(http(200, "{", length=50)), Released()),
    Hostile("a release in gzip", RELEASE, saying(http(200, b"x", "Content-Encoding: gzip")), Released()),
    Hostile("a release without end", RELEASE, dripping(http(200, "{", length=900), b" "), Released(), 1.5),
    *(
        Hostile(f"status {status} on a release", RELEASE, saying(http(status)), Unanswered(f"status {status}"))
        for status in (201, 204, 302, 400, 404, 409, 410, 422, 500)
    ),
    Hostile("a commit in html", COMMIT, saying(http(200, "<html>")), StockCommitted()),
    Hostile("a commit refused in html", COMMIT, saying(http(409, "<html>")), StockNotHeld()),
    *(
        Hostile(f"status {status} on a commit", COMMIT, saying(http(status)), Unanswered(f"status {status}"))
        for status in (201, 204, 400, 404, 422, 500)
    ),
    *(
        Hostile(f"status {status} on a cart", CLEAR, saying(http(status, "<html>")), CartCleared())
        for status in (200, 404, 410)
    ),
    *(
        Hostile(f"status {status} on a cart", CLEAR, saying(http(status)), Unanswered(f"status {status}"))
        for status in (202, 204, 301, 400, 409, 422, 500)
    ),
]
