"""The published contract of Payment, asked over the wire of any partner that claims to keep it.

Set ORDER_SERVICE_TEST_PARTNERS_URL to ask another one than the sandbox. It must know the tokens
`tok_visa` and `tok_declined`.
"""

from __future__ import annotations

import pytest
from partner_asks import charge_of, payment_id_of, read_of, void_of
from partner_rig import Caller, fresh

from order_service.core.answers import (
    PaymentState,
    PaymentUnknown,
    RefundState,
    RefundUnknown,
    Refused,
)
from order_service.core.requests import (
    ChargeRequest,
    ReadRefundRequest,
    RefundRequest,
)


def captured(call: Caller, charge: ChargeRequest) -> str:
    """Make the charge; the id of the payment that came of it."""
    return payment_id_of(call(charge))


# Payment: charges and reads


def test_a_charge_captures_the_amount(call: Caller) -> None:
    charge = charge_of()

    payment_id = captured(call, charge)

    known = PaymentState("succeeded", payment_id, None, 1250)
    assert call(read_of(charge)) == known
    assert call(read_of(charge, payment_id)) == known


def test_the_same_charge_again_is_the_same_payment(call: Caller) -> None:
    charge, key = charge_of(), fresh("key")

    answers = [call(charge, key) for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert call(read_of(charge)) == answers[0]


def test_a_reference_is_one_payment_whatever_the_key(call: Caller) -> None:
    charge = charge_of()

    assert call(charge, fresh("key")) == call(charge, fresh("other-key"))


def test_a_declined_charge_captures_nothing(call: Caller) -> None:
    charge = charge_of("tok_declined")

    answer = call(charge)

    assert isinstance(answer, PaymentState)
    assert (answer.status, answer.decline_code, answer.amount) == ("declined", "card_declined", 1250)
    assert call(read_of(charge)) == answer


def test_a_read_of_a_payment_nobody_made_finds_nothing(call: Caller) -> None:
    charge = charge_of()

    assert call(read_of(charge)) == PaymentUnknown()
    assert call(read_of(charge, fresh("payment"))) == PaymentUnknown()


# Payment: voids


def test_a_charge_that_comes_after_its_void_never_takes_effect(call: Caller) -> None:
    charge = charge_of()

    voided = call(void_of(charge))
    late = call(charge)

    assert isinstance(voided, PaymentState)
    assert isinstance(late, PaymentState)
    assert (voided.status, late.status) == ("voided", "voided")
    found = call(read_of(charge))
    assert isinstance(found, PaymentState)
    assert found.status == "voided"


def test_a_void_again_gives_the_same_answer(call: Caller) -> None:
    charge, key = charge_of(), fresh("key")

    first, again = call(void_of(charge), key), call(void_of(charge), key)

    assert first == again == call(void_of(charge), fresh("other-key"))


def test_a_void_after_the_capture_changes_nothing(call: Caller) -> None:
    charge = charge_of()
    payment_id = captured(call, charge)

    assert call(void_of(charge)) == PaymentState("succeeded", payment_id, None, 1250)

    assert call(read_of(charge, payment_id)) == PaymentState("succeeded", payment_id, None, 1250)


def test_a_void_of_a_declined_charge_says_declined(call: Caller) -> None:
    charge = charge_of("tok_declined")
    declined = call(charge)

    assert call(void_of(charge)) == declined


# Payment: refunds


def test_a_refund_gives_back_a_part(call: Caller) -> None:
    charge = charge_of()
    payment_id, reference = captured(call, charge), fresh("refund")

    answer = call(RefundRequest(payment_id, reference, 400, "scratched"))

    assert isinstance(answer, RefundState)
    assert answer.refund_id is not None
    assert answer == RefundState(reference, answer.refund_id, 400, "succeeded")
    assert call(ReadRefundRequest(payment_id, reference, 400)) == answer
    assert call(read_of(charge, payment_id)) == PaymentState("succeeded", payment_id, None, 1250, (answer,))


def test_the_same_refund_again_gives_back_once(call: Caller) -> None:
    charge, key = charge_of(), fresh("key")
    payment_id = captured(call, charge)
    refund = RefundRequest(payment_id, fresh("refund"), 1000, "lost")

    answers = [call(refund, key) for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    state = call(read_of(charge, payment_id))
    assert isinstance(state, PaymentState)
    assert state.refunds == (answers[0],)


def test_refunds_never_exceed_what_was_captured(call: Caller) -> None:
    charge = charge_of()
    payment_id = captured(call, charge)
    first = call(RefundRequest(payment_id, fresh("refund"), 1000, "lost"))
    too_much, rest = fresh("refund"), fresh("refund")

    refused = call(RefundRequest(payment_id, too_much, 251, "lost"))
    last = call(RefundRequest(payment_id, rest, 250, "lost"))

    assert refused == RefundState(too_much, None, 251, "failed")
    assert isinstance(last, RefundState)
    assert last.status == "succeeded"
    state = call(read_of(charge, payment_id))
    assert isinstance(state, PaymentState)
    assert state.refunds == (first, last)


def test_nothing_is_refunded_of_a_declined_charge(call: Caller) -> None:
    charge = charge_of("tok_declined")
    declined = call(charge)
    assert isinstance(declined, PaymentState)
    assert declined.payment_id is not None
    reference = fresh("refund")

    answer = call(RefundRequest(declined.payment_id, reference, 1, "none"))

    assert answer == RefundState(reference, None, 1, "failed")


def test_a_refund_of_a_payment_nobody_made_is_our_mistake(call: Caller) -> None:
    answer = call(RefundRequest(fresh("payment"), fresh("refund"), 1, "none"))

    assert isinstance(answer, Refused)
    assert answer.status == 404


def test_a_read_of_a_refund_nobody_made_finds_nothing(call: Caller) -> None:
    payment_id = captured(call, charge_of())

    assert call(ReadRefundRequest(payment_id, fresh("refund"), 400)) == RefundUnknown()
    assert call(ReadRefundRequest(fresh("payment"), fresh("refund"), 400)) == RefundUnknown()


@pytest.mark.parametrize("amount", [1, 2**31, 2**53 - 1])
def test_an_amount_comes_back_to_the_last_unit(call: Caller, amount: int) -> None:
    charge = charge_of(amount=amount, currency="JPY")

    assert call(charge) == PaymentState("succeeded", captured(call, charge), None, amount)
