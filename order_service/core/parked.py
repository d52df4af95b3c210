"""Orders with ``attention``: what people do with a call that was stopped, or a refund that failed.

| message | outcome |
|---|---|
| retry a parked call | sent again with its own key |
| retry a failed refund | refund n+1 with a new key |
| give up a charge, or a read of an open attempt | void it |
| give up a reserve | release it; a pending order is cancelled, without claiming that stock was out |
| give up a commit, a cart, a read of a closed attempt | done by hand |
| give up a refund | settled outside, note required, counted in the bound for ever |
| give up a failed part refund of a live order | acknowledged |
| give up a void or a release | not possible: only the partner's answer frees the money or the goods |
"""

from __future__ import annotations

from msgspec.structs import replace

from order_service.core.answers import CallKind
from order_service.core.cancellation import cancel_order
from order_service.core.draft import Draft
from order_service.core.errors import CallNotFound, CallNotParked, NoteRequired, NotPossible
from order_service.core.facets import refunds_to_mend
from order_service.core.lifecycle import Status
from order_service.core.messages import Asked, End, GiveUpCall, RetryCall
from order_service.core.model import (
    OPEN_ATTEMPT,
    UNDER_VOID,
    OpenCall,
    Refund,
    RefundStatus,
    ReservationStatus,
)
from order_service.core.payment import (
    READS,
    attempt_of,
    charge_when_checked,
    close_waiting_attempt,
    void,
)
from order_service.core.refund import captured_attempt, refund_of, start_refund
from order_service.core.stock import release


def retry(draft: Draft, msg: RetryCall) -> None:
    """Send a parked call again; a failed refund gets a successor."""
    draft.asked = Asked("retry")
    failed = _find(draft, msg)
    if isinstance(failed, OpenCall):
        draft.unpark(failed)
        return
    draft.reason = failed.reason
    if failed.surplus:
        attempt = next(a for a in draft.order.payment.attempts if a.attempt == failed.attempt)
        amount = failed.amount
    else:
        attempt, amount = captured_attempt(draft.order), draft.order.refundable
        if draft.order.status is not Status.CANCELLED:
            amount = min(failed.amount, amount)
    start_refund(draft, attempt, amount, failed.reason, surplus=failed.surplus)


def give_up(draft: Draft, msg: GiveUpCall) -> None:
    """End a parked call by hand, in the one way its kind allows."""
    draft.asked = Asked("done")
    found = _find(draft, msg)
    draft.reason = msg.note or "given up by staff"
    if isinstance(found, Refund):
        _give_up_failed_refund(draft, found, msg.note)
        return
    match found.kind:
        case CallKind.VOID | CallKind.RELEASE:
            raise NotPossible
        case CallKind.RESERVE:
            _give_up_reserve(draft)
        case CallKind.REFUND | CallKind.READ_REFUND:
            _settle_outside(draft, refund_of(draft.order, found.subject), msg.note)
            draft.close(found, End.DONE, "settled outside")
        case CallKind.COMMIT:
            draft.close(found, End.DONE, "done by hand")
            draft.set_reservation(ReservationStatus.COMMITTED)
        case CallKind.CHARGE:
            void(draft, attempt_of(draft.order, found.subject))
        case kind if kind in READS:
            _give_up_read(draft, found)
        case _:
            draft.close(found, End.DONE, "done by hand")


def _find(draft: Draft, msg: RetryCall | GiveUpCall) -> OpenCall | Refund:
    call = draft.open.get(msg.call_id)
    if call is not None and call.parked is not None:
        return call
    for refund in refunds_to_mend(draft.order):
        if refund.call_id == msg.call_id:
            return refund
    if call is None and not msg.known:
        raise CallNotFound
    raise CallNotParked


def _give_up_reserve(draft: Draft) -> None:
    if draft.order.status is Status.PENDING:
        cancel_order(draft, "given-up", draft.reason)
        return
    release(draft)
    close_waiting_attempt(draft, "given-up")


def _give_up_read(draft: Draft, call: OpenCall) -> None:
    attempt = attempt_of(draft.order, call.subject)
    if attempt.status in UNDER_VOID:
        raise NotPossible
    if attempt.status in OPEN_ATTEMPT:
        void(draft, attempt)
        return
    draft.close(call, End.DONE, "done by hand")
    charge_when_checked(draft)


def _give_up_failed_refund(draft: Draft, refund: Refund, note: str | None) -> None:
    live = draft.order.status not in (Status.CANCELLED, Status.REFUNDED)
    if live and not refund.surplus:
        draft.put_refund(replace(refund, status=RefundStatus.ACKNOWLEDGED, note=note))
    else:
        _settle_outside(draft, refund, note)


def _settle_outside(draft: Draft, refund: Refund, note: str | None) -> None:
    """People gave the money back in another way: what was settled can never be refunded here again."""
    if not note:
        raise NoteRequired
    amount = refund.amount
    if refund.status is RefundStatus.FAILED and not refund.surplus:
        amount = draft.order.refundable  # of a dead order: all that is left
    draft.put_refund(replace(refund, status=RefundStatus.SETTLED_OUTSIDE, amount=amount, note=note))
