"""Payment over HTTP: nothing about money is believed that is not exactly what was asked."""

import re
from typing import Protocol

import msgspec

from order_service.core.answers import (
    ChargeAnswer,
    Lied,
    PaymentState,
    PaymentStatus,
    PaymentUnknown,
    ReadPaymentAnswer,
    ReadRefundAnswer,
    RefundAnswer,
    RefundState,
    RefundStatus,
    RefundUnknown,
    Unanswered,
    VoidAnswer,
)
from order_service.core.requests import (
    ChargeRequest,
    ReadPaymentRequest,
    ReadRefundRequest,
    RefundRequest,
    VoidRequest,
    encode_request,
)
from order_service.partners.ports import KeyPolicy
from order_service.partners.reading import (
    Amount,
    Body,
    Id,
    PositiveAmount,
    Reader,
    members,
    refused,
    scrubbed,
)
from order_service.partners.wire import Reply, Wire, segment

BASE = "/api/v1/payments"
KEY_TTL_S = 24 * 3600.0
"""The contract asks for more; common payment services promise this."""
REFUSALS = frozenset({400, 401, 403, 404, 422})
"""They speak of our set-up, not of the money."""
VOID_STATUSES = frozenset({"voided", "succeeded", "declined", "processing"})
MAX_DECLINE_CODE = 100
_NOT_DECLINED = ("succeeded", "processing", "requires_action", "requires_capture")


class _PaymentBody(Body, frozen=True):
    payment_id: Id
    reference: str
    status: PaymentStatus
    amount: Amount
    currency: str | None
    decline_code: str | None = None


class _VoidBody(Body, frozen=True):
    payment_id: Id | None
    reference: str
    status: PaymentStatus
    amount: Amount
    currency: str | None
    decline_code: str | None = None


class _RefundBody(Body, frozen=True):
    refund_id: Id
    reference: str
    amount: PositiveAmount
    status: RefundStatus


class _PaymentWithRefundsBody(_PaymentBody, frozen=True, kw_only=True):
    refunds: tuple[_RefundBody, ...]


class _FoundBody(Body, frozen=True):
    items: tuple[_PaymentBody, ...]


class _RefundRequestBody(Body, frozen=True):
    reference: str
    amount: int
    reason: str


class _VoidRequestBody(Body, frozen=True):
    reference: str


class _Asked(Protocol):
    """What every question about a payment names."""

    @property
    def reference(self) -> str: ...
    @property
    def amount(self) -> int: ...
    @property
    def currency(self) -> str: ...


_PAYMENT = Reader(_PaymentBody)
_VOID = Reader(_VoidBody)
_PAYMENT_WITH_REFUNDS = Reader(_PaymentWithRefundsBody)
_FOUND = Reader(_FoundBody)
_REFUND = Reader(_RefundBody)


class HttpPayment:
    """The Payment port over one Wire."""

    def __init__(self, wire: Wire, *, key_ttl_s: float = KEY_TTL_S) -> None:
        self._wire = wire
        self.keys = KeyPolicy(key_ttl_s)

    async def charge(
        self, request: ChargeRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> ChargeAnswer:
        """Charge once per reference: 201, or 402 declined."""
        reply = await self._wire.post(
            "charge", BASE, encode_request(request), key, deadline_s=deadline_s, correlation_id=correlation_id
        )
        if isinstance(reply, Unanswered):
            return reply
        if reply.status == 201:
            body = _PAYMENT.read(reply)
            return body if isinstance(body, Unanswered | Lied) else _believed(request, body)
        if reply.status == 402:
            return _declined(request, reply)
        if reply.status in REFUSALS:
            return refused(reply, secret=request.payment_method.token)
        return reply.undecided()

    async def void(self, request: VoidRequest, key: str, *, deadline_s: float, correlation_id: str = "") -> VoidAnswer:
        """Stop a charge that has not happened: 200 with where it stands."""
        reply = await self._wire.post(
            "void",
            f"{BASE}/void",
            msgspec.json.encode(_VoidRequestBody(request.reference)),
            key,
            deadline_s=deadline_s,
            correlation_id=correlation_id,
        )
        if isinstance(reply, Unanswered):
            return reply
        return _voided(request, reply) if reply.status == 200 else reply.undecided()

    async def read(
        self, request: ReadPaymentRequest, *, deadline_s: float, correlation_id: str = ""
    ) -> ReadPaymentAnswer:
        """Ask how a payment stands: by id 200 or 404, by reference 200 with one item or none."""
        by_id = request.payment_id is not None
        where = f"/{segment(request.payment_id or '')}" if by_id else f"?reference={segment(request.reference)}"
        reply = await self._wire.get("read", BASE + where, deadline_s=deadline_s, correlation_id=correlation_id)
        if isinstance(reply, Unanswered):
            return reply
        if by_id and reply.status == 404:
            return PaymentUnknown()
        if reply.status != 200:
            return reply.undecided()
        return _one(request, reply) if by_id else _found(request, reply)

    async def refund(
        self, request: RefundRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> RefundAnswer:
        """Give money back once per reference: 201, or 409 and it will not be done."""
        reply = await self._wire.post(
            "refund",
            f"{BASE}/{segment(request.payment_id)}/refunds",
            msgspec.json.encode(_RefundRequestBody(request.reference, request.amount, request.reason)),
            key,
            deadline_s=deadline_s,
            correlation_id=correlation_id,
        )
        if isinstance(reply, Unanswered):
            return reply
        if reply.status == 201:
            body = _REFUND.read(reply)
            return body if isinstance(body, Unanswered | Lied) else _believed_refund(request, body)
        if reply.status == 409:
            return RefundState(request.reference, None, request.amount, "failed")
        return refused(reply) if reply.status in REFUSALS else reply.undecided()

    async def read_refund(
        self, request: ReadRefundRequest, *, deadline_s: float, correlation_id: str = ""
    ) -> ReadRefundAnswer:
        """Ask how a refund stands: it is listed with its payment."""
        reply = await self._wire.get(
            "read_refund", f"{BASE}/{segment(request.payment_id)}", deadline_s=deadline_s, correlation_id=correlation_id
        )
        if isinstance(reply, Unanswered):
            return reply
        if reply.status == 404:
            return RefundUnknown()
        return _listed_refund(request, reply) if reply.status == 200 else reply.undecided()


def _believed(asked: _Asked, body: _PaymentBody | _VoidBody) -> PaymentState | Lied:
    """Believe a payment that has our reference, amount and currency.

    A partner that voids a reference it never saw cannot know the amount: 0 and no currency is
    accepted there, and only there, because it claims no money.
    """
    if body.reference != asked.reference:
        return Lied("another reference than asked")
    knows_no_amount = body.status == "voided" and body.amount == 0 and not body.currency
    if not knows_no_amount and body.amount != asked.amount:
        return Lied(f"amount {body.amount} instead of {asked.amount}")
    if not knows_no_amount and body.currency != asked.currency:
        return Lied(f"another currency than {asked.currency}")
    return PaymentState(body.status, body.payment_id, _decline_code(body.decline_code), asked.amount)


def _declined(request: ChargeRequest, reply: Reply) -> PaymentState | Lied:
    """A 402 is a decline whatever its body, unless the body speaks of something else."""
    body = members(reply)
    for name, asked in (
        ("reference", request.reference),
        ("amount", request.amount),
        ("currency", request.currency),
    ):
        if body.get(name) not in (None, asked):
            return Lied(f"402 with another {name} than asked")
    if body.get("status") in _NOT_DECLINED:
        return Lied("402 for a payment that is not declined")
    payment_id, code = body.get("paymentId"), body.get("declineCode")
    if not isinstance(payment_id, str) or not re.fullmatch(r"[!-~]{1,200}", payment_id):
        payment_id = None
    return PaymentState("declined", payment_id, _decline_code(code if isinstance(code, str) else None), request.amount)


def _decline_code(code: str | None) -> str | None:
    return None if not code else scrubbed(code, MAX_DECLINE_CODE)


def _voided(request: VoidRequest, reply: Reply) -> VoidAnswer:
    body = _VOID.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    if body.status not in VOID_STATUSES:
        return Lied("a void that neither stopped the charge nor says why")
    if body.status == "succeeded" and body.payment_id is None:
        return Lied("a capture without a payment id")
    return _believed(request, body)


def _one(request: ReadPaymentRequest, reply: Reply) -> ReadPaymentAnswer:
    body = _PAYMENT_WITH_REFUNDS.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    if body.payment_id != request.payment_id:
        return Lied("another payment than asked")
    state = _believed(request, body)
    if isinstance(state, Lied):
        return state
    refunds = tuple(_refund_state(refund) for refund in body.refunds)
    return msgspec.structs.replace(state, refunds=refunds)


def _found(request: ReadPaymentRequest, reply: Reply) -> ReadPaymentAnswer:
    body = _FOUND.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    if not body.items:
        return PaymentUnknown()
    if len(body.items) > 1:
        return Lied("several payments for one reference")
    return _believed(request, body.items[0])


def _believed_refund(request: RefundRequest | ReadRefundRequest, body: _RefundBody) -> RefundState | Lied:
    if body.reference != request.reference:
        return Lied("another refund reference than asked")
    if body.amount != request.amount:
        return Lied(f"refund of {body.amount} instead of {request.amount}")
    return _refund_state(body)


def _refund_state(body: _RefundBody) -> RefundState:
    return RefundState(body.reference, body.refund_id, body.amount, body.status)


def _listed_refund(request: ReadRefundRequest, reply: Reply) -> ReadRefundAnswer:
    body = _PAYMENT_WITH_REFUNDS.read(reply)
    if isinstance(body, Unanswered | Lied):
        return body
    if body.payment_id != request.payment_id:
        return Lied("another payment than asked")
    named = [refund for refund in body.refunds if refund.reference == request.reference]
    if len(named) > 1:
        return Lied("several refunds for one reference")
    return _believed_refund(request, named[0]) if named else RefundUnknown()
