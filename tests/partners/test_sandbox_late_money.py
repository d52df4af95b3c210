"""Money that the sandbox moves late: pending refunds, authorisations left open, captures of closed payments."""

from __future__ import annotations

from partner_asks import charge_of, payment_id_of, read_of, status_of, void_of
from partner_rig import Caller, Sandbox, ask, fresh, until

from order_service.core.answers import Answer, RefundState
from order_service.core.requests import ReadRefundRequest, RefundRequest


def _refund_status(answer: Answer) -> str:
    assert isinstance(answer, RefundState)
    return answer.status


def test_tok_requires_capture_waits_until_it_is_voided(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_requires_capture")

    assert status_of(to_sandbox(charge)) == "requires_capture"
    assert status_of(to_sandbox(read_of(charge))) == "requires_capture"
    assert status_of(to_sandbox(void_of(charge))) == "voided"

    assert [line["kind"] for line in sandbox.effects(orderId=charge.order_id)] == ["void"]


def test_tok_refund_pending_gives_the_money_back_once_and_later(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_refund_pending")
    payment_id, reference = payment_id_of(to_sandbox(charge)), fresh("refund")
    refund, read = (
        RefundRequest(payment_id, reference, 1000, "lost"),
        ReadRefundRequest(payment_id, reference, 1000),
    )

    assert _refund_status(to_sandbox(refund, "key-" + reference)) == "pending"
    assert [line["kind"] for line in sandbox.effects(orderId=charge.order_id)] == ["charge"]

    until(lambda: _refund_status(to_sandbox(read)) == "succeeded")
    assert _refund_status(to_sandbox(refund, "key-" + reference)) == "pending"
    assert sandbox.effects(orderId=charge.order_id)[1:] == [
        {
            "kind": "refund",
            "key": "key-" + reference,
            "orderId": charge.order_id,
            "reference": reference,
            "amount": 1000,
        }
    ]


def test_what_a_pending_refund_promised_back_cannot_be_refunded_again(to_sandbox: Caller) -> None:
    payment_id = payment_id_of(to_sandbox(charge_of("tok_refund_pending")))

    assert _refund_status(to_sandbox(RefundRequest(payment_id, fresh("refund"), 1000, "lost"))) == "pending"
    assert _refund_status(to_sandbox(RefundRequest(payment_id, fresh("refund"), 251, "lost"))) == "failed"
    assert _refund_status(to_sandbox(RefundRequest(payment_id, fresh("refund"), 250, "lost"))) == "pending"


def test_tok_refund_fails_late_keeps_the_money_after_all(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_refund_fails_late")
    payment_id, reference = payment_id_of(to_sandbox(charge)), fresh("refund")

    assert _refund_status(to_sandbox(RefundRequest(payment_id, reference, 1250, "lost"))) == "pending"
    until(lambda: _refund_status(to_sandbox(ReadRefundRequest(payment_id, reference, 1250))) == "failed")

    assert [line["kind"] for line in sandbox.effects(orderId=charge.order_id)] == ["charge"]


def test_the_capture_lever_takes_the_money_of_a_declined_payment_once(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_declined")
    assert status_of(to_sandbox(charge)) == "declined"
    where = f"{sandbox.url}/sandbox/payments/{charge.reference}/capture"

    answers = [ask("POST", where) for _ in range(2)]

    assert [(status, body["status"]) for status, body in answers] == [(200, "succeeded")] * 2
    assert status_of(to_sandbox(read_of(charge))) == "succeeded"
    assert [line["kind"] for line in sandbox.effects(orderId=charge.order_id)] == ["decline", "charge"]


def test_the_capture_lever_knows_no_payment_that_was_never_asked_for(sandbox: Sandbox) -> None:
    status, body = ask("POST", f"{sandbox.url}/sandbox/payments/{fresh('pay')}/capture")

    assert (status, body["code"]) == (404, "payment-not-found")
