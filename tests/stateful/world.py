"""One order as RULES describes it, with what may still happen to it by itself: the model's state, frozen and small.

Nobody outside sees when a partner's answer arrives. So the model keeps not one world but every world that is possible
by now; what the service tells rules some of them out, and a service that tells of none of them is wrong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

OPEN = frozenset({"pending", "unknown", "processing", "requires_action", "requires_capture", "voiding", "void_unknown"})
"""States of an attempt that may still take money."""

UNDER_VOID = frozenset({"voiding", "void_unknown"})
UNDER_WAY = frozenset({"requested", "pending"})
"""States of a refund that is not final."""

BEFORE_SHIPPING = frozenset({"pending", "payment_pending", "payment_failed", "confirmed", "processing"})


class Attempt(NamedTuple):
    """``partner`` is what the payment service has made of it, which the order may not know yet.

    ``read_again``: it was read once more before the next charge.
    """

    token: str
    status: str = "waiting_stock"
    partner: str = "none"
    surplus: bool = False
    read_again: bool = False


class Refund(NamedTuple):
    """``followed``: it had failed when a newer one was started."""

    attempt: int
    amount: int
    status: str = "requested"
    surplus: bool = False
    followed: bool = False


class Call(NamedTuple):
    """Something owed to a partner, about the reservation, attempt or refund of this number, from 1."""

    kind: str
    number: int
    sent: bool = False


class World(NamedTuple):
    """One possible state. ``holds`` are the reservations; ``parked`` the attempt whose charge waits for a person."""

    total: int
    token: str | None = None
    scarce: bool = False
    status: str = "pending"
    version: int = 1
    holds: tuple[str, ...] = ("reserving",)
    attempts: tuple[Attempt, ...] = ()
    captured: int = 0
    refunded: int = 0
    refunds: tuple[Refund, ...] = ()
    cancelled: str | None = None
    overtaken: int | None = None
    shipment: bool = False
    parked: int | None = None
    events: tuple[str, ...] = ()
    history: tuple[str, ...] = ("pending",)
    calls: frozenset[Call] = frozenset({Call("reserve", 1)})

    # --- what it says of itself ---

    @property
    def own_refunds(self) -> list[Refund]:
        """Those of the order's own money."""
        return [refund for refund in self.refunds if not refund.surplus]

    @property
    def under_way(self) -> int:
        """Minor units on their way back."""
        return sum(refund.amount for refund in self.own_refunds if refund.status in UNDER_WAY)

    @property
    def refundable(self) -> int:
        """Minor units that may still be refunded."""
        outside = sum(refund.amount for refund in self.own_refunds if refund.status == "settled_outside")
        return self.captured - self.refunded - self.under_way - outside

    @property
    def voiding(self) -> bool:
        """Whether an attempt is being stopped."""
        return any(attempt.status in UNDER_VOID for attempt in self.attempts)

    @property
    def stock(self) -> str:
        """The stock facet: the newest reservation."""
        return "reserved" if self.holds[-1] == "committing" else self.holds[-1]

    @property
    def payment(self) -> str:
        """The payment facet: the first line of the table that holds."""
        own = self.own_refunds
        if self.captured and self.refunded == self.captured:
            return "refunded"
        if self.captured and self.under_way:
            return "refund_pending"
        if self.captured and ((own and own[-1].status == "failed") or self.status == "cancelled"):
            return "refund_failed"
        if self.captured:
            return "partially_refunded" if self.refunded else "captured"
        states = [attempt.status for attempt in self.attempts]
        if {"unknown", "void_unknown"} & {*states}:
            return "unknown"
        if OPEN & {*states}:
            return "pending"
        sent = [state for state in states if state in ("declined", "voided")]
        return sent[-1] if sent else "none"

    @property
    def waits_for(self) -> tuple[str, int] | None:
        """What a person is needed for, and the number of the attempt or refund."""
        if self.parked is not None:
            return "call-refused", self.parked
        failed = [n for n, r in enumerate(self.refunds, 1) if r.status == "failed" and not r.surplus]
        failed = failed if self.refundable > 0 else []
        alone = [n for n in failed if not self.refunds[n - 1].followed]
        if alone:
            return "refund-failed", alone[0]
        if failed and self.status == "cancelled" and not self.under_way:
            return "refund-failed", failed[-1]
        return None

    @property
    def at_rest(self) -> bool:
        """Whether nothing happens any more until somebody asks for it."""
        waits = {n for n, a in enumerate(self.attempts, 1) if a.partner in ("requires_action", "requires_capture")}
        return all(call.kind == "read" and call.number in waits for call in self.calls)

    def view(self) -> dict[str, Any]:
        """What a client sees of all this."""
        needed = self.waits_for
        return {
            "status": self.status,
            "version": self.version,
            "stock": self.stock,
            "payment": (self.payment, self.captured, self.refunded),
            "attempts": [(n, a.status, a.surplus) for n, a in enumerate(self.attempts, 1)],
            "refunds": [(n, r.amount, r.status) for n, r in enumerate(self.refunds, 1)],
            "cancelled": self.cancelled,
            "shipment": self.shipment,
            "attention": needed and needed[0],
        }

    # --- the words in which flows are told ---

    def next(self, *events: str, status: str | None = None, **changes: Any) -> World:
        """The next version, perhaps with another status and with events; before `order.created` none are told."""
        public = bool(self.events) or "created" in events
        moved = {"status": status, "history": (*self.history, status)} if status else {}
        told = (*self.events, *events, *(["status_changed"] if status else [])) if public else ()
        return self._replace(version=self.version + 1, events=told, **moved, **changes)

    def without(self, kinds: str, number: int | None = None) -> World:
        """The calls of these kinds are owed no more."""
        dropped = {c for c in self.calls if c.kind in kinds.split() and number in (None, c.number)}
        return self._replace(calls=self.calls - dropped)

    def owing(self, kind: str, number: int) -> World:
        """A call is owed."""
        return self._replace(calls=self.calls | {Call(kind, number)})

    def hold(self, state: str) -> World:
        """The newest reservation has another state."""
        return self._replace(holds=(*self.holds[:-1], state))

    def attempt(self, number: int, **changes: Any) -> World:
        """Something is otherwise with an attempt."""
        changed = self.attempts[number - 1]._replace(**changes)
        return self._replace(attempts=(*self.attempts[: number - 1], changed, *self.attempts[number:]))

    def refund(self, number: int, **changes: Any) -> World:
        """Something is otherwise with a refund."""
        changed = self.refunds[number - 1]._replace(**changes)
        return self._replace(refunds=(*self.refunds[: number - 1], changed, *self.refunds[number:]))


def seen(order: dict[str, Any]) -> dict[str, Any]:
    """The same of an order as the service told it."""
    money, ended = order["payment"], order.get("cancellation")
    return {
        "status": order["status"],
        "version": order["version"],
        "stock": order["stock"],
        "payment": (money["status"], money["captured"], money["refunded"]),
        "attempts": [(a["attempt"], a["status"], bool(a["surplus"])) for a in money["attempts"]],
        "refunds": [(n, r["amount"], r["status"]) for n, r in enumerate(order["refunds"], 1)],
        "cancelled": ended and ended["code"],
        "shipment": order.get("shipment") is not None,
        "attention": order["attention"] and order["attention"]["code"],
    }
