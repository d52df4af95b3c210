"""The sandbox's Payment service: charges, voids and refunds; a reference is one payment for ever.

| token | what it does |
|---|---|
| `tok_declined` | declined |
| `tok_processing` | `processing`, succeeds 2 s later and cannot be voided meanwhile |
| `tok_3ds` | `requires_action` until it is voided |
| `tok_requires_capture` | `requires_capture` until it is voided |
| `tok_timeout_after` | charges, and does not answer the first time |
| `tok_refund_fails` | charges; every refund of it fails |
| `tok_refund_pending` | charges; a refund of it is `pending` and succeeds 2 s later |
| `tok_refund_fails_late` | charges; a refund of it is `pending` and fails 2 s later |
| `tok_refused` | 422: the call itself is rejected, nothing happens |
| any other, `tok_visa` | succeeds |

Whatever became of a payment, `capture` takes its money: as a payment service may that settles late.
"""

from typing import Any

import msgspec

from order_service.sandbox.contract import Charge, Refund, Void
from order_service.sandbox.journal import (
    Change,
    Effect,
    EffectKind,
    PaymentMade,
    PaymentMoved,
    PaymentStatus,
    ReferenceVoided,
    RefundMade,
    RefundMoved,
    RefundStatus,
)
from order_service.sandbox.outcome import Outcome, refusal

SETTLING_S = 2.0
SILENCE_S = 30.0

_REFUSED = "tok_refused"
_SILENT = "tok_timeout_after"
_FIRST_REFUND_STATUS: dict[str, RefundStatus] = {
    "tok_refund_fails": "failed",
    "tok_refund_pending": "pending",
    "tok_refund_fails_late": "pending",
}
_LAST_REFUND_STATUS: dict[str, RefundStatus] = {"tok_refund_fails_late": "failed"}
_FIRST_STATUS: dict[str, PaymentStatus] = {
    "tok_declined": "declined",
    "tok_processing": "processing",
    "tok_3ds": "requires_action",
    "tok_requires_capture": "requires_capture",
}
_VOIDABLE = ("requires_action", "requires_capture")
_FIRST_EFFECT: dict[PaymentStatus, EffectKind] = {"succeeded": "charge", "declined": "decline"}


class Payments:
    """State and rules of the money. Methods decide and change nothing; `apply` changes."""

    def __init__(self) -> None:
        self._payments: dict[str, PaymentMade] = {}
        self._ids: dict[str, str] = {}
        self._unsettled: dict[str, PaymentMade] = {}
        self._voided: set[str] = set()
        self._refunds: dict[str, list[RefundMade]] = {}
        self._refund_count = 0
        self._unsettled_refunds: dict[str, RefundMade] = {}

    def charge(self, body: Charge, key: str, now: float) -> Outcome:
        """Charge once per reference; a reference voided before never takes effect."""
        known = self._by_reference(body.reference)
        if known is not None:
            return self._charge_again(body, known)
        token = body.payment_method.token
        if token == _REFUSED:
            return refusal(422, "token-unknown", "this means of payment is not known")
        payment = self._new_payment(body, key, now)
        kind = _FIRST_EFFECT.get(payment.status)
        effect = None if kind is None else _effect(kind, payment)
        silent = token == _SILENT and payment.status == "succeeded"
        return Outcome(201, _view(payment), payment, effect, hold_s=SILENCE_S if silent else 0.0)

    def _new_payment(self, body: Charge, key: str, now: float) -> PaymentMade:
        token = body.payment_method.token
        status = "voided" if body.reference in self._voided else _FIRST_STATUS.get(token, "succeeded")
        return PaymentMade(
            payment_id=f"pay_{len(self._payments) + 1}",
            order_id=body.order_id,
            reference=body.reference,
            amount=body.amount,
            currency=body.currency,
            token=token,
            key=key,
            status=status,
            settles_at=now + SETTLING_S if status == "processing" else None,
        )

    def _charge_again(self, body: Charge, known: PaymentMade) -> Outcome:
        if (body.amount, body.currency) != (known.amount, known.currency):
            return refusal(422, "reference-differs", "the reference names a payment of another amount")
        return Outcome(201, _view(known))

    def void(self, body: Void, key: str) -> Outcome:
        """Stop a charge that has not happened; never give money back."""
        payment = self._by_reference(body.reference)
        if payment is None:
            return self._void_unseen(body.reference, key)
        if payment.status not in _VOIDABLE:
            return Outcome(200, _view(payment))
        moved = msgspec.structs.replace(payment, status="voided")
        effect = Effect("void", key, payment.order_id, payment.reference, amount=payment.amount)
        return Outcome(200, _view(moved), PaymentMoved(payment.payment_id, "voided"), effect)

    def _void_unseen(self, reference: str, key: str) -> Outcome:
        answer = {"reference": reference, "paymentId": None, "status": "voided", "amount": 0, "currency": ""}
        if reference in self._voided:
            return Outcome(200, answer)
        return Outcome(200, answer, ReferenceVoided(reference), Effect("void", key, None, reference))

    def capture(self, reference: str) -> Outcome:
        """Take the money of a payment, whatever became of it."""
        payment = self._by_reference(reference)
        if payment is None:
            return refusal(404, "payment-not-found", "no payment of this reference")
        if payment.status == "succeeded":
            return Outcome(200, _view(payment))
        taken = _settled(payment)
        return msgspec.structs.replace(taken, body=_view(msgspec.structs.replace(payment, status="succeeded")))

    def refund(self, payment_id: str, body: Refund, key: str, now: float) -> Outcome:
        """Give money back, never more than was captured."""
        payment = self._payments.get(payment_id)
        if payment is None:
            return refusal(404, "payment-not-found", "no such payment")
        made = self._refunds.get(payment_id, [])
        known = next((refund for refund in made if refund.reference == body.reference), None)
        if known is not None and known.amount == body.amount:
            return Outcome(201, _refund_view(known))
        left = _captured(payment) - sum(refund.amount for refund in made if refund.status != "failed")
        if known is not None or body.amount > left:
            return Outcome(409, {"code": "not-refundable", "detail": "more than is left, or a used reference"})
        return self._new_refund(payment, body, key, now)

    def _new_refund(self, payment: PaymentMade, body: Refund, key: str, now: float) -> Outcome:
        status = _FIRST_REFUND_STATUS.get(payment.token, "succeeded")
        refund = RefundMade(
            payment_id=payment.payment_id,
            refund_id=f"re_{self._refund_count + 1}",
            reference=body.reference,
            amount=body.amount,
            status=status,
            settles_at=now + SETTLING_S if status == "pending" else None,
            key=key,
        )
        return Outcome(201, _refund_view(refund), refund, self._refund_effect(refund, status))

    def _refund_effect(self, refund: RefundMade, status: RefundStatus) -> Effect | None:
        if status != "succeeded":
            return None
        payment = self._payments[refund.payment_id]
        return Effect("refund", refund.key, payment.order_id, refund.reference, amount=refund.amount)

    def view(self, payment_id: str) -> Outcome:
        """Tell how a payment and its refunds stand."""
        payment = self._payments.get(payment_id)
        if payment is None:
            return refusal(404, "payment-not-found", "no such payment")
        refunds = [_refund_view(refund) for refund in self._refunds.get(payment_id, [])]
        return Outcome(200, {**_view(payment), "refunds": refunds})

    def find(self, reference: str) -> Outcome:
        """List the payment of a reference, or nothing."""
        payment = self._by_reference(reference)
        return Outcome(200, {"items": [] if payment is None else [_view(payment)]})

    def settling(self) -> list[tuple[float, Outcome]]:
        """List what is processing or pending, each with its time and what happens then."""
        payments = [(made.settles_at or 0.0, _settled(made)) for made in self._unsettled.values()]
        refunds = [(made.settles_at or 0.0, self._refund_settled(made)) for made in self._unsettled_refunds.values()]
        return payments + refunds

    def _refund_settled(self, refund: RefundMade) -> Outcome:
        status = _LAST_REFUND_STATUS.get(self._payments[refund.payment_id].token, "succeeded")
        moved = RefundMoved(refund.payment_id, refund.reference, status)
        return Outcome(200, {}, moved, self._refund_effect(refund, status))

    def _by_reference(self, reference: str) -> PaymentMade | None:
        payment_id = self._ids.get(reference)
        return None if payment_id is None else self._payments[payment_id]

    def apply(self, change: Change) -> None:
        """Take one step; changes of other partners are passed over."""
        match change:
            case PaymentMade(payment_id, reference=reference):
                self._payments[payment_id] = change
                self._ids[reference] = payment_id
                if change.settles_at is not None:
                    self._unsettled[payment_id] = change
            case PaymentMoved(payment_id, status):
                payment = self._payments[payment_id]
                self._payments[payment_id] = msgspec.structs.replace(payment, status=status, settles_at=None)
                self._unsettled.pop(payment_id, None)
            case ReferenceVoided(reference):
                self._voided.add(reference)
            case RefundMade(payment_id):
                self._refunds.setdefault(payment_id, []).append(change)
                self._refund_count += 1
                if change.settles_at is not None:
                    self._unsettled_refunds[change.refund_id] = change
            case RefundMoved(payment_id, reference, status):
                made = self._refunds[payment_id]
                place = next(i for i, refund in enumerate(made) if refund.reference == reference)
                made[place] = msgspec.structs.replace(made[place], status=status, settles_at=None)
                self._unsettled_refunds.pop(made[place].refund_id, None)


def _captured(payment: PaymentMade) -> int:
    return payment.amount if payment.status == "succeeded" else 0


def _settled(payment: PaymentMade) -> Outcome:
    return Outcome(200, {}, PaymentMoved(payment.payment_id, "succeeded"), _effect("charge", payment))


def _effect(kind: EffectKind, payment: PaymentMade) -> Effect:
    return Effect(kind, payment.key, payment.order_id, payment.reference, amount=payment.amount)


def _view(payment: PaymentMade) -> dict[str, Any]:
    view: dict[str, Any] = {
        "paymentId": payment.payment_id,
        "reference": payment.reference,
        "status": payment.status,
        "amount": payment.amount,
        "currency": payment.currency,
    }
    if payment.status == "declined":
        view["declineCode"] = "card_declined"
    return view


def _refund_view(refund: RefundMade) -> dict[str, Any]:
    return {
        "refundId": refund.refund_id,
        "reference": refund.reference,
        "amount": refund.amount,
        "status": refund.status,
    }
