"""What the hostile corpus asks, what an honest answer would be, and how to spoil it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from partner_rig import (
    Say,
    http,
    items,
    saying,
)

from order_service.core.answers import (
    Answer,
    Unanswered,
)
from order_service.core.requests import (
    ChargeRequest,
    ClearCartRequest,
    CommitRequest,
    PaymentMethod,
    ReadPaymentRequest,
    ReadRefundRequest,
    RefundRequest,
    ReleaseRequest,
    Request,
    ReserveRequest,
    VoidRequest,
)

CHARGE = ChargeRequest("order-1", "pay-1", 1250, "EUR", PaymentMethod("tok_secret"))
VOID = VoidRequest("pay-1", 1250, "EUR")
READ_BY_REFERENCE = ReadPaymentRequest("pay-1", None, 1250, "EUR")
READ_BY_ID = ReadPaymentRequest("pay-1", "p1", 1250, "EUR")
REFUND = RefundRequest("p1", "ref-1", 400, "dent")
READ_REFUND = ReadRefundRequest("p1", "ref-1", 400)
RESERVE = ReserveRequest("res-1", "order-1", items(("a", 2), ("b", 1)))
RELEASE = ReleaseRequest("res-1", "order-1")
COMMIT = CommitRequest("res-1", "order-1")
CLEAR = ClearCartRequest("user-1", "order-1", items(("a", 2)))

ENOUGH_S = 10.0
BRIEFLY_S = 0.5

PAID: dict[str, Any] = {
    "paymentId": "p1",
    "reference": "pay-1",
    "status": "succeeded",
    "amount": 1250,
    "currency": "EUR",
}
REFUNDED: dict[str, Any] = {"refundId": "r1", "reference": "ref-1", "amount": 400, "status": "succeeded"}
GOOD = json.dumps(PAID)
DEEP = "[" * 100_000 + "]" * 100_000


def text(body: dict[str, Any], **changes: Any) -> str:
    """The body as JSON with some members changed; `...` takes one out."""
    changed = {name: value for name, value in (body | changes).items() if value is not ...}
    return json.dumps(changed)


def paid(**changes: Any) -> Say:
    return saying(http(201, text(PAID, **changes)))


def raw_amount(token: str) -> Say:
    """A payment whose amount is spelt so; JSON libraries would not write it."""
    return saying(http(201, GOOD.replace("1250", token)))


def read_back(**changes: Any) -> Say:
    return saying(http(200, text(PAID | {"refunds": []}, **changes)))


def listed(*refunds: dict[str, Any]) -> Say:
    return saying(http(200, text(PAID, refunds=list(refunds))))


class Hostile(NamedTuple):
    """What is asked, what is said, and what has to come of it."""

    name: str
    request: Request
    say: Say
    expected: Answer
    deadline_s: float = ENOUGH_S


UNREADABLE = Unanswered("unreadable body")
