"""Payment of an order: attempts, their answers, and money that comes when nobody waits for it.

| message | outcome |
|---|---|
| pay, stock reserved | 1 payment_pending, attempt n with its key, 2 call ``charge`` |
| pay after a failure | attempt n waits while stock is reserved anew; the closed attempt is read once more |
| stock regained / gone | payment_pending and charge / the attempt is closed, nothing charged |
| captured, while the open attempt of a payment_pending order | 3 confirmed, ``order.payment_successful`` |
| declined or voided, while payment_pending | 4 payment_failed, ``order.payment_failed``, call ``release`` |
| no answer | *unknown*, told once; the same key and bytes again until the deadline, then ``void`` |
| the charge's key is too old to be sent | ``void`` |
| processing, 3-D Secure, requires capture | polled; the deadline ends it |
| void answered ``succeeded`` | too late to stop: captured after all |
| captured after cancellation | kept and refunded in full, never ``order.payment_successful`` |
| captured on a closed attempt | surplus: kept on its attempt, refunded in full |
"""

from __future__ import annotations

from msgspec.structs import replace

from order_service.core.answers import (
    Answer,
    CallKind,
    KeyTooOld,
    Lied,
    PaymentState,
    PaymentUnknown,
    Refused,
    Unanswered,
)
from order_service.core.draft import Draft
from order_service.core.errors import (
    NotPayable,
    PaymentInProgress,
    PaymentMethodMissing,
    StockNotReserved,
)
from order_service.core.lifecycle import Status, Stock
from order_service.core.messages import Asked, End, Event, Pay
from order_service.core.model import (
    OPEN_ATTEMPT,
    UNDER_VOID,
    Attempt,
    AttemptStatus,
    OpenCall,
    Order,
)
from order_service.core.refund import refund_rest, start_refund
from order_service.core.requests import (
    ChargeRequest,
    PaymentMethod,
    ReadPaymentRequest,
    VoidRequest,
)
from order_service.core.stock import release, reserve

LATE_CHECK_S = 24 * 3600.0
"""A closed attempt is read once more a day later: a payment service may settle late."""

FIRST_POLL_S = 1.0
MORE_TIME_AFTER_DECLINE_S = 600.0
"""A customer whose card was declined gets at least ten minutes to find another one."""

READS = (CallKind.READ_PAYMENT, CallKind.CHECK_PAYMENT, CallKind.LATE_CHECK)
_POLLED = {
    "processing": AttemptStatus.PROCESSING,
    "requires_action": AttemptStatus.REQUIRES_ACTION,
    "requires_capture": AttemptStatus.REQUIRES_CAPTURE,
}


# --- the click ---


def pay(draft: Draft, msg: Pay) -> None:
    """1 Start an attempt, or find the one that is already under way."""
    order, newest = draft.order, draft.order.newest_attempt
    if order.status in (Status.CANCELLED, Status.REFUNDED):
        raise NotPayable(order.status)
    if order.payment.captured or order.status not in (
        Status.PENDING,
        Status.PAYMENT_PENDING,
        Status.PAYMENT_FAILED,
    ):
        draft.asked = Asked("done", unchanged=True)
        return
    waiting = newest is not None and newest.status is AttemptStatus.WAITING_STOCK
    if order.status is Status.PAYMENT_PENDING or waiting:
        assert newest is not None
        if msg.token is not None and msg.token != draft.attempt_token:
            raise PaymentInProgress
        draft.asked = Asked("pay", newest.attempt, unchanged=True)
        return
    if order.status is Status.PENDING and order.stock is not Stock.RESERVED:
        raise StockNotReserved
    _start_attempt(draft, msg.token or draft.token)


def _start_attempt(draft: Draft, token: str | None) -> None:
    if token is None:
        raise PaymentMethodMissing
    order = draft.order
    number = len(order.payment.attempts) + 1
    draft.put_attempt(
        Attempt(
            attempt=number,
            reference=f"{order.id}-p{number}",
            status=AttemptStatus.WAITING_STOCK,
            amount=order.total,
            at=draft.now,
            deadline_at=draft.after(draft.policy.attempt_deadline_s),
        )
    )
    draft.attempt_token = token
    draft.asked = Asked("pay", number)
    _read_closed_attempts(draft)
    if order.stock is Stock.RESERVED:
        stock_regained(draft)
    elif order.stock is not Stock.RELEASING:
        reserve(draft)


def _read_closed_attempts(draft: Draft) -> None:
    """Before the next charge each closed attempt is read once more: it may have taken money after all."""
    for attempt in draft.order.payment.attempts:
        sent_and_closed = attempt.status in (AttemptStatus.DECLINED, AttemptStatus.VOIDED)
        if sent_and_closed and not attempt.rechecked:
            draft.put_attempt(replace(attempt, rechecked=True))
            _read(draft, attempt, CallKind.CHECK_PAYMENT)


def stock_released(draft: Draft) -> None:
    """An older release is answered: an attempt that waited for it can reserve anew."""
    newest = draft.order.newest_attempt
    waits = newest is not None and newest.status is AttemptStatus.WAITING_STOCK
    if waits and draft.order.status is Status.PAYMENT_FAILED:
        reserve(draft)


def stock_regained(draft: Draft) -> None:
    """The goods are held: the attempt that waited for them goes to the payment service."""
    attempt = draft.order.newest_attempt
    assert attempt is not None
    assert attempt.status is AttemptStatus.WAITING_STOCK
    draft.put_attempt(replace(attempt, status=AttemptStatus.PENDING))
    draft.set(hold_until=None)
    draft.move(Status.PAYMENT_PENDING)
    draft.announce(Event.STATUS_CHANGED)
    charge_when_checked(draft)


def charge_when_checked(draft: Draft) -> None:
    """2 Charge, once no closed attempt is left to be read."""
    attempt = draft.order.newest_attempt
    if attempt is None or draft.order.status is not Status.PAYMENT_PENDING:
        return
    sent = draft.owed(CallKind.CHARGE, subject=attempt.reference)
    if attempt.status is not AttemptStatus.PENDING or sent or draft.owed(CallKind.CHECK_PAYMENT):
        return
    assert draft.attempt_token is not None
    draft.owe(
        CallKind.CHARGE,
        attempt.reference,
        ChargeRequest(
            draft.order.id,
            attempt.reference,
            attempt.amount,
            draft.order.currency,
            PaymentMethod(draft.attempt_token),
        ),
        key=attempt.reference,
    )


def stock_is_gone(draft: Draft) -> None:
    """The goods went to somebody else meanwhile: nothing is charged."""
    close_waiting_attempt(draft, "out-of-stock")


def close_waiting_attempt(draft: Draft, why: str) -> None:
    """End an attempt that never reached the payment service."""
    newest = draft.order.newest_attempt
    if newest is not None and newest.status is AttemptStatus.WAITING_STOCK:
        draft.put_attempt(replace(newest, status=AttemptStatus.CLOSED, decline_code=why))


# --- the answers ---


def on_payment_answer(draft: Draft, call: OpenCall, answer: Answer) -> None:
    """The payment service answered a charge, a void or a read of one attempt; or did not."""
    attempt = attempt_of(draft.order, call.subject)
    match answer:
        case PaymentState() if attempt.status in OPEN_ATTEMPT:
            _open_attempt_is(draft, call, attempt, answer)
        case PaymentState():
            draft.close(call, End.DONE, answer.status)
            if answer.status == "succeeded":
                _surplus(draft, attempt, answer)
        case PaymentUnknown() if call.kind is CallKind.READ_PAYMENT:
            draft.again(call, answer)
        case PaymentUnknown():
            draft.close(call, End.DONE, "no such payment")
        case KeyTooOld():
            void(draft, attempt)  # as at its deadline: by reference, and never a charge
        case Refused(status=status, detail=detail):
            draft.park(call, "call-refused", f"{status} {detail}")
            _not_definite(draft, attempt)
        case Lied(detail=detail):
            draft.park(call, "answer-not-believed", detail)
            _not_definite(draft, attempt)
        case _:
            draft.again(call, answer)
            if isinstance(answer, Unanswered) and answer.sent and call.kind in (CallKind.CHARGE, CallKind.VOID):
                _not_definite(draft, attempt)
    charge_when_checked(draft)


def attempt_of(order: Order, reference: str) -> Attempt:
    """The attempt that goes by ``reference`` at the payment service."""
    return next(a for a in order.payment.attempts if a.reference == reference)


def _not_definite(draft: Draft, attempt: Attempt) -> None:
    """*Unknown* is a fact that is told once; that later sends have no answer either changes nothing."""
    if attempt.status in UNDER_VOID:
        draft.put_attempt(replace(attempt, status=AttemptStatus.VOID_UNKNOWN))
    elif attempt.status in OPEN_ATTEMPT:
        draft.put_attempt(replace(attempt, status=AttemptStatus.UNKNOWN))


def _open_attempt_is(draft: Draft, call: OpenCall, attempt: Attempt, answer: PaymentState) -> None:
    attempt = replace(attempt, payment_id=answer.payment_id or attempt.payment_id)
    match answer.status:
        case "succeeded":
            _end_calls(draft, call, attempt.reference)
            _captured(draft, attempt)
        case "declined" | "voided":
            _end_calls(draft, call, attempt.reference)
            _closed(draft, attempt, answer)
        case _:
            _still_open(draft, call, attempt, answer.status)


def _end_calls(draft: Draft, call: OpenCall, reference: str) -> None:
    draft.close(call, End.DONE, "final")
    draft.drop(draft.owed(CallKind.CHARGE, CallKind.VOID, *READS, subject=reference))


def _captured(draft: Draft, attempt: Attempt) -> None:
    draft.put_attempt(replace(attempt, status=AttemptStatus.CAPTURED))
    draft.set(payment=replace(draft.order.payment, captured=attempt.amount))
    if draft.order.status is Status.PAYMENT_PENDING:
        draft.move(Status.CONFIRMED)
        draft.announce(Event.PAYMENT_SUCCESSFUL, Event.STATUS_CHANGED)
        return
    assert draft.order.status is Status.CANCELLED
    refund_rest(draft, "captured after cancellation")


def _closed(draft: Draft, attempt: Attempt, answer: PaymentState) -> None:
    status = AttemptStatus.DECLINED if answer.status == "declined" else AttemptStatus.VOIDED
    attempt = replace(attempt, status=status, decline_code=answer.decline_code)
    draft.put_attempt(attempt)
    _read(draft, attempt, CallKind.LATE_CHECK, due_in_s=LATE_CHECK_S)
    if draft.order.status is Status.PAYMENT_PENDING:
        _failed(draft, attempt)


def _failed(draft: Draft, attempt: Attempt) -> None:
    """4 The order can be paid again; its stock goes back at once, or after the operator's retry hold."""
    draft.move(Status.PAYMENT_FAILED)
    draft.reason = f"payment {attempt.status}"
    draft.announce(Event.PAYMENT_FAILED, Event.STATUS_CHANGED)
    draft.set(expires_at=max(draft.order.expires_at, draft.after(MORE_TIME_AFTER_DECLINE_S)))
    if draft.policy.retry_hold_s > 0:
        draft.set(hold_until=draft.after(draft.policy.retry_hold_s))
    else:
        release(draft)


def _still_open(draft: Draft, call: OpenCall, attempt: Attempt, status: str) -> None:
    """Neither yes nor no yet: read on. A void that cannot stop it is never repeated either."""
    under_void = attempt.status in UNDER_VOID
    draft.put_attempt(replace(attempt, status=AttemptStatus.VOIDING if under_void else _POLLED[status]))
    if call.kind is CallKind.READ_PAYMENT:
        draft.again(call)
        return
    draft.close(call, End.DONE, status)
    if call.kind is not CallKind.LATE_CHECK:
        _read(draft, attempt, CallKind.READ_PAYMENT, due_in_s=FIRST_POLL_S)


def _read(draft: Draft, attempt: Attempt, kind: CallKind, *, due_in_s: float = 0) -> None:
    request = ReadPaymentRequest(attempt.reference, attempt.payment_id, attempt.amount, draft.order.currency)
    draft.owe(kind, attempt.reference, request, key=f"{attempt.reference}-{kind}", due_in_s=due_in_s)


def _surplus(draft: Draft, attempt: Attempt, answer: PaymentState) -> None:
    """A closed attempt took money: it is the customer's, whole and at once."""
    if attempt.status is AttemptStatus.CAPTURED or attempt.surplus:
        return
    attempt = replace(attempt, surplus=attempt.amount, payment_id=answer.payment_id)
    draft.put_attempt(attempt)
    start_refund(draft, attempt, attempt.amount, "captured on a closed attempt", surplus=True)


# --- what time and cancellation do ---


def void(draft: Draft, attempt: Attempt) -> None:
    """Stop an open attempt: the void ends the charge, which is not sent again and whose answer is dropped."""
    draft.drop(draft.owed(CallKind.CHARGE, *READS, subject=attempt.reference))
    unknown = attempt.status is AttemptStatus.UNKNOWN
    draft.put_attempt(replace(attempt, status=AttemptStatus.VOID_UNKNOWN if unknown else AttemptStatus.VOIDING))
    draft.owe(
        CallKind.VOID,
        attempt.reference,
        VoidRequest(attempt.reference, attempt.amount, draft.order.currency),
        key=f"{attempt.reference}-void",
    )


def void_open_attempts(draft: Draft) -> None:
    """Cancel stops every attempt that may still take money and is not being stopped already."""
    for attempt in draft.order.payment.attempts:
        if attempt.status in OPEN_ATTEMPT - UNDER_VOID:
            void(draft, attempt)


def on_tick(draft: Draft) -> None:
    """The deadline of the open attempt, or the end of the retry hold."""
    order, newest = draft.order, draft.order.newest_attempt
    if order.status is Status.PAYMENT_PENDING:
        assert newest is not None
        if newest.status not in UNDER_VOID and draft.now >= newest.deadline_at:
            draft.reason = "payment not completed in time"
            void(draft, newest)
    elif order.status is Status.PAYMENT_FAILED and order.hold_until and draft.now >= order.hold_until:
        draft.set(hold_until=None)
        if order.stock is Stock.RESERVED:
            release(draft)
