"""The nine statuses, the table of lawful moves, and the lawful combinations with the two facets.

The tables are data, checked when this module is imported: a table that contradicts itself never starts.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where an order stands, in the words of the brief."""

    PENDING = "pending"
    PAYMENT_PENDING = "payment_pending"
    PAYMENT_FAILED = "payment_failed"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Stock(StrEnum):
    """What the inventory holds for the order: the state of its newest reservation."""

    RESERVING = "reserving"
    RESERVED = "reserved"
    REFUSED = "refused"
    RELEASING = "releasing"
    RELEASED = "released"
    COMMITTED = "committed"


class PaymentFacet(StrEnum):
    """What is known of the money, derived from attempts and refunds."""

    NONE = "none"
    PENDING = "pending"
    UNKNOWN = "unknown"
    CAPTURED = "captured"
    DECLINED = "declined"
    VOIDED = "voided"
    REFUND_PENDING = "refund_pending"
    REFUND_FAILED = "refund_failed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


MOVES: dict[Status | None, dict[Status, str]] = {
    None: {Status.PENDING: "creation"},
    Status.PENDING: {
        Status.PAYMENT_PENDING: "pay, once stock is reserved",
        Status.CANCELLED: "cancel, stock refused, expiry",
        Status.CONFIRMED: "stock reserved and nothing to pay",
    },
    Status.PAYMENT_PENDING: {
        Status.CONFIRMED: "captured",
        Status.PAYMENT_FAILED: "declined, or voided at the deadline",
        Status.CANCELLED: "cancel",
    },
    Status.PAYMENT_FAILED: {
        Status.PAYMENT_PENDING: "pay again",
        Status.CANCELLED: "cancel, expiry",
    },
    Status.CONFIRMED: {Status.PROCESSING: "staff", Status.CANCELLED: "cancel, then refund"},
    Status.PROCESSING: {Status.SHIPPED: "staff", Status.CANCELLED: "cancel, then refund"},
    Status.SHIPPED: {
        Status.DELIVERED: "staff, carrier",
        Status.REFUNDED: "full refund of a lost or refused parcel",
    },
    Status.DELIVERED: {Status.REFUNDED: "full refund finished"},
    Status.CANCELLED: {Status.REFUNDED: "refund of all captured money finished"},
    Status.REFUNDED: {},
}
"""from -> to -> by what. ``None`` is the order that does not exist yet."""

PAYMENT_OWNED = frozenset({Status.PAYMENT_PENDING, Status.PAYMENT_FAILED, Status.CONFIRMED})
"""Statuses that only facts about a payment may set, never a request."""

BY_HAND = {
    Status.PROCESSING: Status.CONFIRMED,
    Status.SHIPPED: Status.PROCESSING,
    Status.DELIVERED: Status.SHIPPED,
}
"""target -> the only status it is reached from by hand."""

CANCELLABLE = (
    Status.PENDING,
    Status.PAYMENT_PENDING,
    Status.PAYMENT_FAILED,
    Status.CONFIRMED,
    Status.PROCESSING,
)
"""Cancelling ends here: after that the goods have left, and a refund is the way."""

_PAID = frozenset(
    {
        PaymentFacet.CAPTURED,
        PaymentFacet.PARTIALLY_REFUNDED,
        PaymentFacet.REFUND_PENDING,
        PaymentFacet.REFUND_FAILED,
        PaymentFacet.NONE,  # only where the total is 0, asserted apart
    }
)
_GIVEN_BACK = frozenset({Stock.REFUSED, Stock.RELEASING, Stock.RELEASED})

LAWFUL: dict[Status, tuple[frozenset[Stock], frozenset[PaymentFacet]]] = {
    Status.PENDING: (frozenset({Stock.RESERVING, Stock.RESERVED}), frozenset({PaymentFacet.NONE})),
    Status.PAYMENT_PENDING: (
        frozenset({Stock.RESERVED}),
        frozenset({PaymentFacet.PENDING, PaymentFacet.UNKNOWN}),
    ),
    Status.PAYMENT_FAILED: (
        _GIVEN_BACK | {Stock.RESERVING, Stock.RESERVED},
        frozenset({PaymentFacet.DECLINED, PaymentFacet.VOIDED}),
    ),
    Status.CONFIRMED: (frozenset({Stock.RESERVED}), _PAID),
    Status.PROCESSING: (frozenset({Stock.RESERVED}), _PAID),
    Status.SHIPPED: (frozenset({Stock.RESERVED, Stock.COMMITTED}), _PAID),
    Status.DELIVERED: (frozenset({Stock.RESERVED, Stock.COMMITTED}), _PAID),
    Status.CANCELLED: (
        _GIVEN_BACK,
        frozenset(
            {
                PaymentFacet.NONE,
                PaymentFacet.PENDING,
                PaymentFacet.UNKNOWN,
                PaymentFacet.DECLINED,
                PaymentFacet.VOIDED,
                PaymentFacet.REFUND_PENDING,
                PaymentFacet.REFUND_FAILED,
            }
        ),
    ),
    Status.REFUNDED: (
        frozenset({Stock.RELEASING, Stock.RELEASED, Stock.RESERVED, Stock.COMMITTED}),
        frozenset({PaymentFacet.REFUNDED}),
    ),
}
"""status -> the stock facets and the payment facets that may stand beside it."""


def may_move(origin: Status | None, target: Status) -> bool:
    """Whether the table has an edge from ``origin`` to ``target``."""
    return target in MOVES[origin]


def _check_tables() -> None:
    for origin in (None, *Status):
        assert origin in MOVES, f"{origin} has no row in the table of moves"
        assert origin not in MOVES[origin], f"{origin} may not move to itself"
    reached: set[Status | None] = {None}
    frontier: list[Status | None] = [None]
    while frontier:
        for target in MOVES[frontier.pop()]:
            if target not in reached:
                reached.add(target)
                frontier.append(target)
    assert reached == {None, *Status}, "a status cannot be reached from creation"
    assert [s for s in Status if not MOVES[s]] == [Status.REFUNDED], "refunded is the only final status"
    assert set(LAWFUL) == set(Status), "every status has its lawful facets"
    for facets in (Stock, PaymentFacet):
        seen = {f for pair in LAWFUL.values() for f in pair[0] | pair[1]}
        assert set(facets) <= seen, "a facet value belongs to no status"


_check_tables()
