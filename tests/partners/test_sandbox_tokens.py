"""What the sandbox does with a charge, by its token."""

from __future__ import annotations

from partner_asks import charge_of, payment_id_of, read_of, status_of, void_of
from partner_rig import Caller, Sandbox, fresh, until

from order_service.core.answers import (
    PaymentUnknown,
    RefundState,
    Refused,
    Unanswered,
)
from order_service.core.requests import (
    ReadRefundRequest,
    RefundRequest,
)

# Tokens


def test_tok_visa_succeeds_and_is_one_charge_in_the_ledger(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_visa")

    assert [status_of(to_sandbox(charge, "visa-" + charge.reference)) for _ in range(3)] == ["succeeded"] * 3

    assert sandbox.effects(orderId=charge.order_id) == [
        {
            "kind": "charge",
            "key": "visa-" + charge.reference,
            "orderId": charge.order_id,
            "reference": charge.reference,
            "amount": 1250,
        }
    ]


def test_tok_declined_is_a_decline_in_the_ledger_and_no_charge(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_declined")

    assert status_of(to_sandbox(charge)) == "declined"

    assert [line["kind"] for line in sandbox.effects(orderId=charge.order_id)] == ["decline"]


def test_tok_processing_cannot_be_voided_succeeds_by_itself_and_repeats_its_first_answer(
    to_sandbox: Caller, sandbox: Sandbox
) -> None:
    charge, key = charge_of("tok_processing"), fresh("key")

    assert status_of(to_sandbox(charge, key)) == "processing"
    assert status_of(to_sandbox(void_of(charge))) == "processing"
    assert status_of(to_sandbox(read_of(charge))) == "processing"
    assert sandbox.effects(orderId=charge.order_id) == []

    (line,) = until(lambda: sandbox.effects(orderId=charge.order_id))
    assert (line["kind"], line["key"], line["amount"]) == ("charge", key, 1250)
    assert status_of(to_sandbox(read_of(charge))) == "succeeded"
    assert status_of(to_sandbox(void_of(charge))) == "succeeded"
    assert status_of(to_sandbox(charge, key)) == "processing"
    assert len(sandbox.effects(orderId=charge.order_id)) == 1


def test_tok_3ds_waits_until_it_is_voided(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_3ds")

    assert status_of(to_sandbox(charge)) == "requires_action"
    assert status_of(to_sandbox(read_of(charge))) == "requires_action"
    assert status_of(to_sandbox(void_of(charge))) == "voided"
    assert status_of(to_sandbox(read_of(charge))) == "voided"

    (line,) = sandbox.effects(orderId=charge.order_id)
    assert (line["kind"], line["reference"], line["amount"]) == ("void", charge.reference, 1250)


def test_tok_timeout_after_charges_in_silence_and_answers_the_repeat(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge, key = charge_of("tok_timeout_after"), fresh("key")

    assert to_sandbox(charge, key, deadline_s=0.4) == Unanswered("timeout")
    assert status_of(to_sandbox(read_of(charge))) == "succeeded"
    assert status_of(to_sandbox(charge, key)) == "succeeded"

    assert [line["kind"] for line in sandbox.effects(orderId=charge.order_id)] == ["charge"]


def test_tok_refund_fails_keeps_the_money(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_refund_fails")
    payment_id, reference = payment_id_of(to_sandbox(charge)), fresh("refund")

    answer = to_sandbox(RefundRequest(payment_id, reference, 1250, "lost"))

    assert isinstance(answer, RefundState)
    assert answer.refund_id is not None
    assert answer == RefundState(reference, answer.refund_id, 1250, "failed")
    assert to_sandbox(ReadRefundRequest(payment_id, reference, 1250)) == answer
    assert [line["kind"] for line in sandbox.effects(orderId=charge.order_id)] == ["charge"]


def test_tok_refused_is_rejected_and_nothing_happens(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_refused")

    assert to_sandbox(charge) == Refused(422, "token-unknown")

    assert to_sandbox(read_of(charge)) == PaymentUnknown()
    assert sandbox.effects(orderId=charge.order_id) == []


def test_a_void_of_an_unseen_reference_is_in_the_ledger_once(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge, key = charge_of("tok_visa"), fresh("key")

    answers = [to_sandbox(void_of(charge), key), to_sandbox(void_of(charge)), to_sandbox(charge)]

    assert [status_of(answer) for answer in answers] == ["voided"] * 3
    assert sandbox.effects(reference=charge.reference) == [
        {"kind": "void", "key": key, "orderId": None, "reference": charge.reference}
    ]


def test_a_refund_is_in_the_ledger_with_its_own_reference(to_sandbox: Caller, sandbox: Sandbox) -> None:
    charge = charge_of("tok_visa")
    payment_id = payment_id_of(to_sandbox(charge))
    reference, too_much = fresh("refund"), fresh("refund")

    to_sandbox(RefundRequest(payment_id, reference, 90, "dent"), "key-" + reference)
    to_sandbox(RefundRequest(payment_id, too_much, 1161, "dent"))

    assert sandbox.effects(orderId=charge.order_id)[1:] == [
        {
            "kind": "refund",
            "key": "key-" + reference,
            "orderId": charge.order_id,
            "reference": reference,
            "amount": 90,
        }
    ]
