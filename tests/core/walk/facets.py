"""The derived parts of an order once more, read off the tables of RULES.md."""

from __future__ import annotations

from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.model import Attempt, Order, Refund, State

from .steps import must

OPEN = {"pending", "unknown", "processing", "requires_action", "requires_capture", "voiding", "void_unknown"}

# reservation status -> facet
STOCK = {
    "reserving": "reserving",
    "reserved": "reserved",
    "refused": "refused",
    "releasing": "releasing",
    "released": "released",
    "committing": "reserved",
    "committed": "committed",
}

LAWFUL = """
pending: reserving reserved x none
payment_pending: reserved x pending unknown
payment_failed: reserving refused releasing released reserved x declined voided
confirmed processing: reserved x captured partially_refunded refund_pending refund_failed none
shipped delivered: reserved committed x captured partially_refunded refund_pending refund_failed none
cancelled: refused releasing released x none pending unknown declined voided refund_pending refund_failed
refunded: releasing released reserved committed x refunded
"""


def lawful() -> set[tuple[Status, Stock, PaymentFacet]]:
    """Every combination that the rules call lawful."""
    found = set()
    for row in LAWFUL.strip().splitlines():
        statuses, facets = row.split(":")
        stocks, moneys = facets.split(" x ")
        for status in statuses.split():
            found |= {(Status(status), Stock(s), PaymentFacet(m)) for s in stocks.split() for m in moneys.split()}
    return found


def check_facets(state: State) -> None:
    """Both facets, and ``attention``, are what the tables say."""
    order = state.order
    must(order.stock == STOCK[order.newest_reservation.status], f"stock facet {order.stock}")
    expected = _payment(order)
    must(order.payment.status == expected, f"payment facet {order.payment.status}, not {expected}")
    code = attention_code(state)
    got = order.attention.code if order.attention else None
    must(got == code, f"attention {got}, not {code}")


def _payment(order: Order) -> str:
    money, own = order.payment, [r for r in order.refunds if not r.surplus]
    if money.captured > 0 and money.refunded == money.captured:
        return "refunded"
    if any(r.status in ("requested", "pending") for r in own):
        return "refund_pending"
    if own and own[-1].status == "failed":
        return "refund_failed"
    if order.status == "cancelled" and money.captured > money.refunded:
        return "refund_failed"
    if money.refunded > 0:
        return "partially_refunded"
    return "captured" if money.captured > 0 else _attempts(money.attempts)


def _attempts(attempts: tuple[Attempt, ...]) -> str:
    now = [str(a.status) for a in attempts]
    if "unknown" in now or "void_unknown" in now:
        return "unknown"
    if OPEN & set(now):
        return "pending"
    sent = [s for s in now if s in ("declined", "voided")]
    return sent[-1] if sent else "none"


def attention_code(state: State) -> str | None:
    """Rule 13: the oldest parked call, else a commit answered 409, else a failed refund, else money left."""
    parked = [c for c in state.calls if c.parked is not None]
    others = sorted((c.since, c.call_id, c.parked) for c in parked if c.parked != "stock-not-held")
    if others:
        return others[0][2]
    if parked:
        return "stock-not-held"
    return "refund-failed" if refunds_to_mend(state.order) else None


def refunds_to_mend(order: Order) -> list[Refund]:
    """The failed refunds that nobody followed up, and the newest own one where money is left on a cancelled order."""
    left = order.payment.captured - order.payment.refunded - _sum(order, "settled_outside", "requested", "pending")
    found = []
    for row in order.refunds:
        if row.status != "failed" or (left <= 0 and not row.surplus):
            continue
        twins = [r for r in order.refunds if r.surplus == row.surplus and (not row.surplus or r.attempt == row.attempt)]
        if not any(r.refund > row.refund and r.at >= row.at for r in twins):
            found.append(row)
    own = [r for r in order.refunds if r.status == "failed" and not r.surplus]
    idle = not _sum(order, "requested", "pending")
    if order.status == "cancelled" and left > 0 and idle and own and own[-1] not in found:
        found.append(own[-1])
    return found


def _sum(order: Order, *statuses: str) -> int:
    return sum(r.amount for r in order.refunds if not r.surplus and r.status in statuses)
