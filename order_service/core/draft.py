"""The sheet a flow writes its decision on: the order as it becomes, events, calls owed and calls ended."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha1
from typing import Any

from msgspec.structs import replace

from order_service.core.answers import Answer, CallKind, Unanswered
from order_service.core.facets import attention, next_timer, payment_facet, stock_facet
from order_service.core.lifecycle import Status, may_move
from order_service.core.messages import NOT_FINAL, Asked, Call, Closing, Decision, End, Event
from order_service.core.model import (
    Attempt,
    Contacts,
    OpenCall,
    Order,
    Policy,
    Refund,
    Reservation,
    ReservationStatus,
    State,
)
from order_service.core.requests import Request, encode_request

_NAMESPACE = uuid.NAMESPACE_OID.bytes


def _named(name: str) -> str:
    """The UUID of version 5 (RFC 9562, section 5.5) of a name; the standard library takes four times as long."""
    value = bytearray(sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    value[6] = value[6] & 0x0F | 0x50
    value[8] = value[8] & 0x3F | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Draft:
    """Collects what one message changes; ``decision`` derives the facets, the version and the timer from it."""

    def __init__(self, state: State | None, order: Order, now: datetime, policy: Policy) -> None:
        self.before = state
        self.order = order
        self.now = now
        self.policy = policy
        self.open: dict[str, OpenCall] = {c.call_id: c for c in state.calls} if state else {}
        self.events: list[Event] = []
        self.new_calls: list[Call] = []
        self.closings: dict[str, Closing] = {}
        self.details: dict[str, Any] = {}
        self.asked: Asked | None = None
        self.reason: str | None = None
        self.contacts: Contacts | None = None
        self.token = state.token if state else None
        self.attempt_token = state.attempt_token if state else None

    # --- the order ---

    def set(self, **fields: Any) -> None:
        """Change fields of the order."""
        self.order = replace(self.order, **fields)

    def move(self, target: Status) -> None:
        """Move the order to ``target``; an edge that the table lacks is a fault of ours, never of a client."""
        assert may_move(self.order.status, target), f"no move {self.order.status} -> {target}"
        self.set(status=target)

    def announce(self, *events: Event) -> None:
        """Tell consumers, if the order is public."""
        if self.order.public or Event.CREATED in self.events or Event.CREATED in events:
            self.events.extend(events)

    def put_attempt(self, attempt: Attempt) -> None:
        """Write an attempt: a new one, or one that has changed."""
        rows = list(self.order.payment.attempts)
        rows[attempt.attempt - 1 :] = [attempt, *rows[attempt.attempt :]]
        self.set(payment=replace(self.order.payment, attempts=tuple(rows)))

    def put_refund(self, refund: Refund) -> None:
        """Write a refund: a new one, or one that has changed."""
        rows = list(self.order.refunds)
        rows[refund.refund - 1 :] = [refund, *rows[refund.refund :]]
        self.set(refunds=tuple(rows))

    def put_reservation(self, reservation: Reservation) -> None:
        """Write the newest reservation: in place of the one with its id, else behind all others."""
        rows = [r for r in self.order.reservations if r.reservation_id != reservation.reservation_id]
        self.set(reservations=(*rows, reservation))

    def set_reservation(self, status: ReservationStatus) -> None:
        """Change the state of the newest reservation."""
        self.put_reservation(replace(self.order.newest_reservation, status=status))

    # --- calls ---

    def owe(
        self,
        kind: CallKind,
        subject: str,
        request: Request,
        *,
        key: str,
        due_in_s: float = 0,
        drop_after_s: float | None = None,
    ) -> str:
        """Owe a partner a call; its id is derived, so that a retry and a dry run name the same call."""
        name = f"{self.order.id}/{self.order.version + 1}/{len(self.new_calls)}"
        call_id = _named(name)
        self.new_calls.append(
            Call(call_id, kind, subject, key, encode_request(request), due_in_s, drop_after_s),
        )
        self.open[call_id] = OpenCall(call_id, kind, subject)
        return call_id

    def owed(self, *kinds: CallKind, subject: str | None = None) -> list[OpenCall]:
        """The open calls of these kinds, parked ones included."""
        return [c for c in self.open.values() if c.kind in kinds and (subject is None or c.subject == subject)]

    def close(self, call: OpenCall, end: End, outcome: str = "") -> None:
        """Note what becomes of an open call that is owed no more."""
        del self.open[call.call_id]
        self.closings[call.call_id] = Closing(call.call_id, end, outcome)

    def drop(self, calls: Iterable[OpenCall]) -> None:
        """Owe these calls no more; late answers to them are ignored."""
        for call in list(calls):
            self.close(call, End.DROPPED)

    def again(self, call: OpenCall, answer: Answer | None = None) -> None:
        """The call is sent again, with the same key and bytes."""
        outcome, wait, sent = NOT_FINAL, None, True
        if isinstance(answer, Unanswered):
            outcome, wait, sent = answer.reason, answer.retry_after_s, answer.sent
        self.closings[call.call_id] = Closing(call.call_id, End.AGAIN, outcome, wait, sent)

    def park(self, call: OpenCall, code: str, outcome: str) -> None:
        """The call waits for a person from now on."""
        self.open[call.call_id] = replace(call, parked=code, since=self.now)
        self.closings[call.call_id] = Closing(call.call_id, End.PARKED, outcome)

    def unpark(self, call: OpenCall) -> None:
        """A person wants the call sent again."""
        self.open[call.call_id] = replace(call, parked=None, since=None)
        self.closings[call.call_id] = Closing(call.call_id, End.UNPARKED)

    # --- the result ---

    def after(self, seconds: float) -> datetime:
        """The moment ``seconds`` from now."""
        return self.now + timedelta(seconds=seconds)

    def decision(self, message: str, *, answered: str | None = None) -> Decision:
        """Derive facets, attention, version and timer, and hand the whole over as one value."""
        order = replace(
            self.order,
            stock=stock_facet(self.order),
            payment=replace(self.order.payment, status=payment_facet(self.order)),
            attention=attention(self.order, self.open.values()),
        )
        # A call's id is derived from its version, so what is newly owed makes one of its own.
        changed = self.before is None or bool(self.new_calls) or order != self.before.order
        if changed:
            order = replace(
                order,
                version=order.version + 1,
                updated_at=self.now,
                event_sequence=order.event_sequence + len(self.events),
            )
        assert changed or not self.events, "events come with a version"
        return Decision(
            state=State(order, tuple(self.open.values()), self.token, self.attempt_token),
            message=message,
            events=tuple(self.events),
            change=self._change(message, order) if changed else None,
            reason=self.reason,
            calls=tuple(self.new_calls),
            closings=tuple(self.closings.values()),
            asked=self.asked,
            contacts=self.contacts,
            timer_at=next_timer(order),
            answered=answered,
        )

    def _change(self, message: str, order: Order) -> dict[str, Any]:
        origin = self.before.order.status if self.before else None
        change: dict[str, Any] = {"by": message}
        if origin != order.status:
            change["fromStatus"], change["toStatus"] = origin, order.status
        if self.reason:
            change["reason"] = self.reason
        return change | self.details
