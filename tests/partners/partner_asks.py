"""Requests with names of their own, as several suites make them."""

from __future__ import annotations

from partner_rig import fresh, items

from order_service.core.answers import Answer, PaymentState
from order_service.core.requests import (
    ChargeRequest,
    PaymentMethod,
    ReadPaymentRequest,
    ReserveRequest,
    VoidRequest,
)


def charge_of(token: str = "tok_visa", amount: int = 1250, currency: str = "EUR") -> ChargeRequest:
    return ChargeRequest(fresh("order"), fresh("pay"), amount, currency, PaymentMethod(token))


def void_of(charge: ChargeRequest) -> VoidRequest:
    return VoidRequest(charge.reference, charge.amount, charge.currency)


def read_of(charge: ChargeRequest, payment_id: str | None = None) -> ReadPaymentRequest:
    return ReadPaymentRequest(charge.reference, payment_id, charge.amount, charge.currency)


def reserve_of(*pairs: tuple[str, int]) -> ReserveRequest:
    return ReserveRequest(fresh("reservation"), fresh("order"), items(*pairs))


def status_of(answer: Answer) -> str:
    assert isinstance(answer, PaymentState)
    return answer.status


def payment_id_of(answer: Answer) -> str:
    """The id of a payment that succeeded."""
    assert isinstance(answer, PaymentState)
    assert answer.status == "succeeded"
    assert answer.payment_id is not None
    return answer.payment_id
