"""Broken rules: each function takes a rule as it is and gives back one with a fault in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from order_service.core import cancellation, payment, refund
from order_service.core.answers import CallKind, PaymentState, Released, Unanswered
from order_service.core.lifecycle import Status
from order_service.core.messages import End, Event
from order_service.core.model import AttemptStatus, RefundStatus, ReservationStatus
from order_service.core.requests import RefundRequest

Break = Callable[[Any], Any]


def never(_: Any) -> Any:
    return lambda *args, **kwargs: None


def nothing(_: Any) -> Any:
    """A question that is always answered with nothing."""
    return lambda *args: ()


def zero(_: Any) -> Any:
    return property(lambda self: 0)


def keeping(kind: CallKind) -> Break:
    """``Draft.drop`` that forgets calls of this kind."""
    return lambda drop: lambda self, calls: drop(self, [c for c in calls if c.kind is not kind])


# --- money ---


def bound_without_flying(_: Any) -> Any:
    return property(lambda self: self.payment.captured - self.payment.refunded - self.settled_outside)


def surplus_is_success(_: Any) -> Any:
    return lambda draft, attempt, answer: payment._captured(draft, replace(attempt, payment_id=answer.payment_id))


def late_capture_is_success(captured: Any) -> Any:
    def make(draft: Any, attempt: Any) -> None:
        if draft.order.status is Status.CANCELLED:
            draft.announce(Event.PAYMENT_SUCCESSFUL)
        captured(draft, attempt)

    return make


def pay_starts_another(pay: Any) -> Any:
    def make(draft: Any, msg: Any) -> None:
        if draft.order.status is not Status.PAYMENT_PENDING:
            pay(draft, msg)
            return
        draft.set(status=Status.PAYMENT_FAILED)
        payment._start_attempt(draft, msg.token)

    return make


def silence_is_a_no(on_answer: Any) -> Any:
    def make(draft: Any, call: Any, answer: Any) -> None:
        if isinstance(answer, Unanswered) and call.kind is CallKind.CHARGE:
            answer = PaymentState("declined", None, None, draft.order.total)
        on_answer(draft, call, answer)

    return make


def the_old_key(_: Any) -> Any:
    def make(draft: Any, attempt: Any, amount: int, reason: str, *, surplus: bool = False) -> int:
        row = next(r for r in draft.order.refunds if r.status is RefundStatus.FAILED)
        request = RefundRequest(attempt.payment_id, row.reference, row.amount, reason)
        call_id = draft.owe(CallKind.REFUND, row.reference, request, key=row.reference)
        draft.put_refund(replace(row, status=RefundStatus.REQUESTED, call_id=call_id))
        return int(row.refund)

    return make


def void_always_works(open_attempt_is: Any) -> Any:
    def make(draft: Any, call: Any, attempt: Any, answer: Any) -> None:
        if call.kind is CallKind.VOID:
            answer = replace(answer, status="voided")
        open_attempt_is(draft, call, attempt, answer)

    return make


def void_only_what_is_unknown(_: Any) -> Any:
    """A charge that may have been sent and has no answer yet is taken for one that never was."""

    def make(draft: Any) -> None:
        for attempt in draft.order.payment.attempts:
            if attempt.status is AttemptStatus.PENDING:
                draft.drop(draft.owed(CallKind.CHARGE))
                draft.put_attempt(replace(attempt, status=AttemptStatus.CLOSED, decline_code="cancelled"))
            elif attempt.status is AttemptStatus.UNKNOWN:
                payment.void(draft, attempt)

    return make


def charge_again_while_processing(still_open: Any) -> Any:
    def make(draft: Any, call: Any, attempt: Any, status: str) -> None:
        if call.kind is not CallKind.CHARGE:
            still_open(draft, call, attempt, status)
            return
        draft.put_attempt(replace(attempt, status=AttemptStatus.PROCESSING))
        draft.again(call)

    return make


def unknown_every_time(_: Any) -> Any:
    def make(draft: Any, attempt: Any) -> None:
        draft.put_attempt(replace(attempt, status=AttemptStatus.UNKNOWN, at=draft.now))

    return make


def no_reads_of(kind: CallKind) -> Break:
    def patch(read: Any) -> Any:
        def make(draft: Any, attempt: Any, asked: CallKind, **when: Any) -> None:
            if asked is not kind:
                read(draft, attempt, asked, **when)

        return make

    return patch


def deadline_spares(status: AttemptStatus) -> Break:
    def patch(on_tick: Any) -> Any:
        def make(draft: Any) -> None:
            newest = draft.order.newest_attempt
            if newest is None or newest.status is not status:
                on_tick(draft)

        return make

    return patch


def refund_everything_before_shipping(_: Any) -> Any:
    def make(draft: Any, msg: Any) -> None:
        amount = draft.order.refundable if msg.amount is None else msg.amount
        if not 0 < amount <= draft.order.refundable:
            raise refund.RefundExceedsCaptured(draft.order.refundable)
        number = refund.start_refund(draft, refund.captured_attempt(draft.order), amount, msg.reason)
        draft.asked = refund.Asked("refund", number)

    return make


# --- stock ---


def reserve_at_once(pay: Any) -> Any:
    def make(draft: Any, msg: Any) -> None:
        pay(draft, msg)
        if draft.order.newest_reservation.status is ReservationStatus.RELEASING:
            payment.reserve(draft)

    return make


def same_reservation_id(reserve: Any) -> Any:
    def make(draft: Any) -> None:
        draft.set(reservations=draft.order.reservations[:-1])
        reserve(draft)

    return make


def charge_before_stock(reserve: Any) -> Any:
    def make(draft: Any) -> None:
        reserve(draft)
        attempt = draft.order.newest_attempt
        request = payment.ChargeRequest("o", attempt.reference, attempt.amount, "EUR", payment.PaymentMethod("tok"))
        draft.owe(CallKind.CHARGE, attempt.reference, request, key=attempt.reference)

    return make


def forget_an_unanswered_reserve(release: Any) -> Any:
    def make(draft: Any) -> None:
        if draft.order.newest_reservation.status is not ReservationStatus.RESERVING:
            release(draft)
            return
        draft.drop(draft.owed(CallKind.RESERVE))
        draft.set_reservation(ReservationStatus.REFUSED)

    return make


def silence_is_released(on_answer: Any) -> Any:
    return lambda draft, call, answer: on_answer(draft, call, Released())


def reserve_for_the_dead(_: Any) -> Any:
    def make(draft: Any) -> None:
        newest = draft.order.newest_attempt
        if newest is not None and newest.status is AttemptStatus.WAITING_STOCK:
            payment.reserve(draft)

    return make


def keep_the_hold(set_fields: Any) -> Any:
    def make(self: Any, **fields: Any) -> None:
        if fields.get("hold_until", self) is None:
            del fields["hold_until"]
        set_fields(self, **fields)

    return make


# --- status, events, people ---


def payments_expire(on_tick: Any) -> Any:
    def make(draft: Any) -> None:
        on_tick(draft)
        if draft.order.status is Status.PAYMENT_PENDING and draft.now >= draft.order.expires_at:
            cancellation.cancel_order(draft, "expired", None)

    return make


def no_looking_at_the_table(_: Any) -> Any:
    return lambda self, target: self.set(status=target)


def announce_always(_: Any) -> Any:
    return lambda self, *events: self.events.extend(events)


def free_is_paid(announce: Any) -> Any:
    def make(self: Any, *events: Event) -> None:
        if self.order.total == 0 and events == (Event.STATUS_CHANGED,):
            events = (Event.PAYMENT_SUCCESSFUL, *events)
        announce(self, *events)

    return make


def given_up_is_sold_out(cancel_order: Any) -> Any:
    return lambda draft, code, reason: cancel_order(draft, "out-of-stock", reason)


def closing_by_hand(void: Any) -> Any:
    """Giving up a charge ends the call and says nothing to the payment service."""

    def make(draft: Any, attempt: Any) -> None:
        charges = draft.owed(CallKind.CHARGE)
        if not charges:
            void(draft, attempt)
        for call in charges:
            draft.close(call, End.DONE, "given up")

    return make


def dropping_late_checks(cancel_order: Any) -> Any:
    """A cancel is the end of the story."""

    def make(draft: Any, code: str, reason: str | None) -> None:
        cancel_order(draft, code, reason)
        draft.drop(draft.owed(CallKind.LATE_CHECK))

    return make


def processing_is_voided(still_open: Any) -> Any:
    """A void that could not stop the charge is taken for one that did."""

    def make(draft: Any, call: Any, attempt: Any, status: str) -> None:
        if call.kind is not CallKind.VOID:
            still_open(draft, call, attempt, status)
            return
        payment._end_calls(draft, call, attempt.reference)
        payment._closed(draft, attempt, PaymentState("voided", attempt.payment_id, None, attempt.amount))

    return make


def answering(kind: CallKind, broken: Break) -> Break:
    """The table of answers with one row broken."""
    return lambda rows: rows | {kind: broken(rows[kind])}
