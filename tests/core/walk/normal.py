"""The normal form of an order: two orders that the rules cannot tell apart are equal, to the byte.

Times become phases. Nothing the rules do depends on how late it is, only on which timer has fired, so all stamps are
moved to fixed moments; of those that are compared with each other (who failed first, what was parked first) the order
is kept. Call ids become names, the version becomes 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from order_service.core.answers import CallKind
from order_service.core.model import (
    Attempt,
    AttemptStatus,
    Cancellation,
    OpenCall,
    Order,
    Refund,
    RefundStatus,
    State,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(seconds=1000)
"""When every message but a timer comes: after all that ever was, before all that is due."""

HOLD_END = START + timedelta(seconds=2000)
EXPIRY = START + timedelta(seconds=3000)
DEADLINE = START + timedelta(seconds=4000)
"""After the expiry: a payment under way must not mind that one. (The cart's hour ends here as well.)"""

_CLOSED = frozenset({AttemptStatus.DECLINED, AttemptStatus.VOIDED, AttemptStatus.CLOSED})
_encode = msgspec.msgpack.Encoder().encode


def name_of(call: OpenCall) -> str:
    """A call's name: no two open calls of an order are of one kind about one subject."""
    return f"{call.kind} {call.subject}"


def key_of(state: State) -> bytes:
    """Equal exactly for equal states."""
    return _encode(state)


def normal(state: State, *, cart: bool) -> State:
    """The normal form; without ``cart`` the courtesy call to the cart is left out: nothing depends on it."""
    kept = [c for c in state.calls if cart or c.kind is not CallKind.CLEAR_CART]
    names = {c.call_id: name_of(c) for c in kept}
    assert len(set(names.values())) == len(names), "two calls of one kind about one subject are owed"
    parked = _ranks(c.since for c in kept if c.since is not None)
    calls = sorted(
        (replace(c, call_id=names[c.call_id], since=parked.get(c.since)) for c in kept), key=lambda c: c.call_id
    )
    return replace(state, order=_order(state.order, names, parked), calls=tuple(calls))


def _order(order: Order, names: dict[str, str], parked: dict[datetime | None, datetime]) -> Order:
    failed = _ranks(r.at for r in order.refunds if r.status is RefundStatus.FAILED)
    refunds = tuple(_refund(r, names, failed) for r in order.refunds)
    attention = order.attention
    if attention is not None:
        renamed = {old.call_id: new.call_id for old, new in zip(order.refunds, refunds, strict=True)} | names
        since = parked.get(attention.since) or failed[attention.since]
        attention = replace(attention, call_id=renamed[attention.call_id], since=since)
    ended = order.cancellation
    if ended is not None:
        ended = Cancellation("out-of-stock" if ended.code == "out-of-stock" else "requested", START)
    return replace(
        order,
        version=1,
        created_at=START,
        updated_at=START,
        expires_at=EXPIRY,
        hold_until=None if order.hold_until is None else HOLD_END,
        event_sequence=min(order.event_sequence, 1),
        payment=replace(order.payment, attempts=tuple(map(_attempt, order.payment.attempts))),
        refunds=refunds,
        attention=attention,
        cancellation=ended,
    )


def _attempt(attempt: Attempt) -> Attempt:
    closed = attempt.status in _CLOSED
    return replace(
        attempt,
        at=START,
        deadline_at=DEADLINE,
        payment_id=None if closed and not attempt.surplus else attempt.payment_id,
        decline_code=attempt.decline_code if attempt.status is AttemptStatus.CLOSED else None,
    )


def _refund(refund: Refund, names: dict[str, str], failed: dict[datetime | None, datetime]) -> Refund:
    """Of a refund's time it matters only which failures came before it."""
    before = [rank for at, rank in failed.items() if at is not None and at <= refund.at]
    return replace(
        refund,
        at=max(before, default=START),
        reason="",
        note=None,
        refund_id=None,
        call_id=names.get(refund.call_id, f"was {refund.reference}"),
    )


def _ranks(times: Iterable[datetime]) -> dict[datetime | None, datetime]:
    return {at: START + timedelta(seconds=rank) for rank, at in enumerate(sorted(set(times)), start=1)}
