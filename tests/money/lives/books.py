"""Orders, the calls they owe and their leases, kept as the service keeps them in its database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Struct

from order_service.core.decide import decide
from order_service.core.messages import Answered, Call, Decision, End, Event, Message, PlaceOrder
from order_service.core.model import Order, Policy, State

LEASE_S = 9.0


class Owed(Struct):
    """One open call: when it may be sent, and the token that rises with every lease and every end of one."""

    call: Call
    order_id: str
    due_at: float
    drop_at: float | None
    token: int = 0
    parked: bool = False


class Told(Struct, frozen=True):
    """One version with the events that it announced."""

    version: int
    events: tuple[Event, ...]
    refund: dict[str, int] | None


class Books:
    """Applies decisions one by one and keeps what they owe."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.states: dict[str, State] = {}
        self.owed: dict[str, Owed] = {}
        self.told: dict[str, list[Told]] = {}

    def order(self, order_id: str) -> Order:
        """The order as it is."""
        return self.states[order_id].order

    def orders(self) -> Iterator[Order]:
        """All orders."""
        return (state.order for state in self.states.values())

    def apply(self, order_id: str, message: Message, now_s: float) -> Decision:
        """Decide and write; a refusal goes up and writes nothing."""
        before = None if isinstance(message, PlaceOrder) else self.states[order_id]
        decision = decide(before, message, datetime.fromtimestamp(now_s, UTC), self.policy)
        if decision.writes:
            self._write(order_id, decision, before, now_s)
        return decision

    def hear(self, order_id: str, message: Answered, token: int, now_s: float) -> Decision | None:
        """An answer counts only under the lease that it was asked under."""
        owed = self.owed.get(message.call_id)
        if owed is not None and owed.token != token:
            return None
        decision = self.apply(order_id, message, now_s)
        assert owed is not None or not decision.writes, "an answer to a call that is owed no more changed something"
        return decision

    def _write(self, order_id: str, decision: Decision, before: State | None, now_s: float) -> None:
        after = decision.state.order
        if decision.change is not None:
            assert after.version == (before.order.version if before else 0) + 1
            refund = decision.change.get("refund")
            self.told.setdefault(order_id, []).append(Told(after.version, decision.events, refund))
        self.states[order_id] = decision.state
        for call in decision.calls:
            drop_at = None if call.drop_after_s is None else now_s + call.drop_after_s
            self.owed[call.call_id] = Owed(call, order_id, now_s + call.due_in_s, drop_at)
        for closing in decision.closings:
            self._close(closing.call_id, closing.end, closing.retry_after_s or 1.5, now_s)
        listed = {call.call_id: call.parked is not None for call in decision.state.calls}
        assert {k: o.parked for k, o in self.owed.items() if o.order_id == order_id} == listed

    def _close(self, call_id: str, end: End, wait_s: float, now_s: float) -> None:
        owed = self.owed[call_id]
        owed.token += 1
        match end:
            case End.DONE | End.DROPPED:
                del self.owed[call_id]
            case End.AGAIN:
                owed.due_at = now_s + wait_s
            case End.PARKED:
                owed.parked = True
            case End.UNPARKED:
                owed.parked, owed.due_at = False, now_s

    def due(self, now_s: float) -> list[Owed]:
        """Calls that may be sent now."""
        return [o for o in self.owed.values() if not o.parked and o.due_at <= now_s]

    def lease(self, owed: Owed, now_s: float) -> int:
        """Take a call for this sender alone until the lease ends; its token."""
        owed.token += 1
        owed.due_at = now_s + LEASE_S
        return owed.token
