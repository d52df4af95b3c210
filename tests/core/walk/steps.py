"""What must hold of every single decision, written from RULES.md and INTERFACE.md and not from the code."""

from __future__ import annotations

from order_service.core.answers import CallKind, PaymentState, ReserveRefused, Unanswered
from order_service.core.lifecycle import Status, Stock, may_move
from order_service.core.messages import Answered, Decision, End, Event, GiveUpCall, Message, Tick
from order_service.core.model import (
    OPEN_ATTEMPT,
    AttemptStatus,
    OpenCall,
    Order,
    RefundStatus,
    ReservationStatus,
    State,
)

from .asks import asked_rightly

_CHANGED = Event.STATUS_CHANGED
_ARRIVAL = {
    Status.PAYMENT_PENDING: (_CHANGED,),
    Status.PAYMENT_FAILED: (Event.PAYMENT_FAILED, _CHANGED),
    Status.PROCESSING: (_CHANGED,),
    Status.SHIPPED: (Event.SHIPPED, _CHANGED),
    Status.DELIVERED: (Event.DELIVERED, _CHANGED),
    Status.REFUNDED: (Event.REFUNDED, _CHANGED),
}
_FINAL_ATTEMPT = {AttemptStatus.CAPTURED, AttemptStatus.DECLINED, AttemptStatus.VOIDED, AttemptStatus.CLOSED}
_FINAL_REFUND = {RefundStatus.SUCCEEDED, RefundStatus.ACKNOWLEDGED, RefundStatus.SETTLED_OUTSIDE}
_FINAL_HOLD = {ReservationStatus.REFUSED, ReservationStatus.RELEASED, ReservationStatus.COMMITTED}
_PAYMENT_SUBJECT = {CallKind.CHARGE, CallKind.VOID, CallKind.READ_PAYMENT}
_NEVER_PARKED = {CallKind.RELEASE, CallKind.CLEAR_CART}
_DROPPED = {*_PAYMENT_SUBJECT, CallKind.RESERVE, CallKind.CHECK_PAYMENT, CallKind.CLEAR_CART}
_STOCK_SUBJECT = {CallKind.RESERVE, CallKind.RELEASE, CallKind.COMMIT}


class Violation(AssertionError):
    """The rules were broken; ``trace`` is the shortest way there, once it is known."""

    trace: tuple[str, ...] = ()


def must(holds: object, claim: str) -> None:
    """Assert a claim."""
    if not holds:
        raise Violation(claim)


def expected_events(before: Order, after: Order) -> tuple[Event, ...]:
    """The row of the table of events that this change belongs to."""
    if before.status is not after.status:
        if after.status is Status.CANCELLED:
            return (Event.CANCELLED, _CHANGED) if before.public else ()
        if after.status is Status.CONFIRMED:
            first = Event.CREATED if before.status is Status.PENDING else Event.PAYMENT_SUCCESSFUL
            return (first, _CHANGED)
        return _ARRIVAL[after.status]
    if before.stock is Stock.RESERVING and after.stock is Stock.RESERVED and after.status is Status.PENDING:
        return (Event.CREATED,)
    done = {r.reference for r in before.refunds if r.status is RefundStatus.SUCCEEDED}
    if any(r.status is RefundStatus.SUCCEEDED and r.reference not in done for r in after.refunds):
        return (Event.REFUNDED,)
    return ()


def check_step(before: State, message: Message, decision: Decision) -> None:
    """Everything that can be told from one decision alone."""
    old, new = before.order, decision.state.order
    must(decision.events == expected_events(old, new), f"events {decision.events}")
    must(old.public or not decision.events or decision.events[0] is Event.CREATED, "an event before order.created")
    must(not (old.public and Event.CREATED in decision.events), "created twice")
    must(new.event_sequence == old.event_sequence + len(decision.events), "the sequence counts the events")
    if decision.change is None:
        must(new == old and not decision.calls, "a change without a version")
    else:
        must(new.version == old.version + 1, "one version for one change")
    must(old.status is new.status or may_move(old.status, new.status), f"no move {old.status} to {new.status}")
    _check_money(old, new)
    _check_nothing_moves_backwards(old, new)
    _check_calls(before, decision)
    _check_unknown(before, message, decision)
    _check_reads(old, decision)
    _check_ends(old, new, message)
    if isinstance(message, Answered) and isinstance(message.answer, PaymentState):
        sent = [c.call_id for c in before.calls if c.kind in (CallKind.CHARGE, CallKind.VOID)]
        again = message.call_id in sent and message.call_id in {c.call_id for c in decision.state.calls}
        must(not again, "a charge or a void that was answered is sent again")


def _check_money(old: Order, new: Order) -> None:
    must(new.payment.captured >= old.payment.captured, "a capture was forgotten")
    must(new.payment.refunded >= old.payment.refunded, "a refund was forgotten")
    back = sum(r.amount for r in new.refunds if not r.surplus and r.status is RefundStatus.SUCCEEDED)
    must(new.payment.refunded == back, "refunded is the sum of the refunds that succeeded")
    held = [a.amount for a in new.payment.attempts if a.status is AttemptStatus.CAPTURED]
    must(new.payment.captured == sum(held), "captured is what the captured attempts took")
    must(len(held) <= 1, "an order is paid once")
    grew = new.payment.captured > old.payment.captured
    must(not grew or old.status in (Status.PAYMENT_PENDING, Status.CANCELLED), "a surplus was called a payment")
    same = zip(old.refunds, new.refunds, strict=False)
    must(all(a.amount == b.amount or a.status is RefundStatus.FAILED for a, b in same), "a refund changed its amount")


def _check_nothing_moves_backwards(old: Order, new: Order) -> None:
    for was, now in zip(old.payment.attempts, new.payment.attempts, strict=False):
        must(was.status not in _FINAL_ATTEMPT or now.status is was.status, "a final attempt moved")
        must(now.reference == was.reference, "an attempt changed its reference")
        must(now.surplus >= was.surplus, "a surplus was forgotten")
    for row, then in zip(old.refunds, new.refunds, strict=False):
        must(row.status not in _FINAL_REFUND or then.status is row.status, "a final refund moved")
        by_hand = (RefundStatus.FAILED, RefundStatus.ACKNOWLEDGED, RefundStatus.SETTLED_OUTSIDE)
        must(row.status is not RefundStatus.FAILED or then.status in by_hand, "a failed refund came back to life")
    ids = [r.reservation_id for r in new.reservations]
    must(len(set(ids)) == len(ids), "a reservation id was used twice")
    for hold, later in zip(old.reservations, new.reservations, strict=False):
        must(later.reservation_id == hold.reservation_id, "a reservation was forgotten")
        must(hold.status not in _FINAL_HOLD or later.status is hold.status, "a final reservation moved")
    opened = [a for a in new.payment.attempts if a.status in OPEN_ATTEMPT | {AttemptStatus.WAITING_STOCK}]
    must(len(opened) <= 1, "two attempts are open at a time")


def _check_calls(before: State, decision: Decision) -> None:
    calls = decision.state.calls
    must(len({c.call_id for c in calls}) == len(calls), "two calls share an id")
    known = {c.call_id for c in before.calls}
    must(all(c.call_id not in known for c in decision.calls), "a call id was used twice")
    _check_subjects(calls)
    kinds = {c.call_id: c for c in (*before.calls, *calls)}
    open_now = {c.call_id for c in calls}
    for closing in decision.closings:
        ended = closing.end in (End.DONE, End.DROPPED)
        must(ended == (closing.call_id not in open_now), "an ended call stays open, or an open one was ended")
        kind = kinds[closing.call_id].kind
        must(closing.end is not End.PARKED or kind not in _NEVER_PARKED, f"a parked {kind}")
        must(closing.end is not End.DROPPED or kind in _DROPPED, f"a {kind} was dropped")
    heard = decision.answered
    must(heard is None or any(c.call_id == heard for c in decision.closings), "an answer that leads to nothing")
    lost = known - open_now - {c.call_id for c in decision.closings}
    must(not lost, "an open call vanished")
    for call in decision.calls:
        must(asked_rightly(call, decision.state), f"a {call.kind} that asks for something else")
        _check_new_call(call.kind, call.subject, decision.state)


def _check_subjects(calls: tuple[OpenCall, ...]) -> None:
    """Calls are sequential per subject, and a new reserve waits for the older release."""
    for group in (_PAYMENT_SUBJECT, _STOCK_SUBJECT):
        subjects = [c.subject for c in calls if c.kind in group]
        must(len(subjects) == len(set(subjects)), "two calls about one subject at a time")
    kinds = [c.kind for c in calls]
    must(not (CallKind.RESERVE in kinds and CallKind.RELEASE in kinds), "a reserve that waits for no release")


def _check_new_call(kind: CallKind, subject: str, state: State) -> None:
    order = state.order
    if kind is CallKind.CHARGE:
        must(order.status is Status.PAYMENT_PENDING, "a charge of an order that waits for none")
        must(order.newest_reservation.status is ReservationStatus.RESERVED, "a charge before the stock is held")
        must(not any(c.kind is CallKind.CHECK_PAYMENT for c in state.calls), "a charge before the closed one is read")
        newest = order.newest_attempt
        must(newest is not None and newest.reference == subject, "a charge of an older attempt")
    if kind is CallKind.REFUND:
        row = next(r for r in order.refunds if r.reference == subject)
        must(row.amount > 0, "a refund of nothing")


def _check_unknown(before: State, message: Message, decision: Decision) -> None:
    """Unknown is entered at the first send without a definite answer, told once, and left by a definite answer."""
    old, new = _indefinite(before.order), _indefinite(decision.state.order)
    if not isinstance(message, Answered):
        must(new <= old, "a command cannot make a payment unknown")
        must(old - new <= _closed(decision.state.order), "a command cannot make an unknown payment known")
        return
    call = next((c for c in before.calls if c.call_id == message.call_id), None)
    if call is None or call.kind in (CallKind.CHECK_PAYMENT, CallKind.LATE_CHECK):
        must(old == new, "an answer about something else")
    elif isinstance(message.answer, PaymentState):
        must(call.subject not in new, "a definite answer leaves nothing unknown")
    elif call.kind in (CallKind.CHARGE, CallKind.VOID):
        must(call.subject in new, "no definite answer: unknown")
    if isinstance(message.answer, Unanswered):
        must(new != old or decision.change is None, "silence was told twice")
    if call is not None and call.kind in (CallKind.READ_PAYMENT, CallKind.READ_REFUND):
        polled = any(c.call_id == call.call_id and c.parked is None for c in decision.state.calls)
        told = decision.change is not None
        silent = isinstance(message.answer, Unanswered)
        must(not silent or old == new, "a read without an answer says nothing about the charge")
        must(not polled or not told or _statuses(before.order) != _statuses(decision.state.order), "a poll was told")
        must(not any(c.kind is call.kind for c in decision.calls), "a poll that is started anew")


def _statuses(order: Order) -> tuple[str, ...]:
    return tuple(str(a.status) for a in order.payment.attempts)


def _check_reads(old: Order, decision: Decision) -> None:
    """Each closed attempt is read once more before the next charge, and a day after it closed."""
    owed = {(c.kind, c.subject): c.due_in_s for c in decision.calls}
    new = decision.state.order
    was = {a.reference: a for a in old.payment.attempts}
    for attempt in new.payment.attempts:
        if attempt.status not in (AttemptStatus.DECLINED, AttemptStatus.VOIDED):
            continue
        before = was.get(attempt.reference)
        if before is not None and before.status is not attempt.status:
            must(owed.get((CallKind.LATE_CHECK, attempt.reference)) == 24 * 3600, "a closed attempt is not read again")
        if len(new.payment.attempts) > len(was):
            read = (CallKind.CHECK_PAYMENT, attempt.reference) in owed
            must(read != (before is not None and before.rechecked), "a closed attempt is read once before the next")


def _check_ends(old: Order, new: Order, message: Message) -> None:
    """An order says truly why it was cancelled, and an attempt why it was closed."""
    sold_out = isinstance(message, Answered) and isinstance(message.answer, ReserveRefused)
    if new.cancellation is not None and old.cancellation is None:
        code = {Tick: "expired", GiveUpCall: "given-up"}.get(type(message), "requested")
        waited = old.status in (Status.PENDING, Status.PAYMENT_FAILED)
        must(waited or not isinstance(message, Tick), f"a {old.status} order expired")
        must(new.cancellation.code == ("out-of-stock" if sold_out else code), f"cancelled: {new.cancellation.code}")
    newest = new.newest_attempt
    released = old.stock is Stock.RESERVING and new.stock is Stock.RELEASING
    still = newest is not None and newest.status is AttemptStatus.WAITING_STOCK
    must(not (released and still), "an attempt waits for stock that was given up")
    was = {a.reference: a.status for a in old.payment.attempts}
    for attempt in new.payment.attempts:
        if attempt.status is AttemptStatus.CLOSED and was.get(attempt.reference) is not AttemptStatus.CLOSED:
            must((attempt.decline_code == "out-of-stock") == sold_out, f"closed: {attempt.decline_code}")


def _indefinite(order: Order) -> set[str]:
    unknown = (AttemptStatus.UNKNOWN, AttemptStatus.VOID_UNKNOWN)
    return {a.reference for a in order.payment.attempts if a.status in unknown}


def _closed(order: Order) -> set[str]:
    return {a.reference for a in order.payment.attempts if a.status in _FINAL_ATTEMPT}
