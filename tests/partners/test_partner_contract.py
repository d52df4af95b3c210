"""The published contracts, asked over the wire of any partner that claims to keep them.

Set ORDER_SERVICE_TEST_PARTNERS_URL to ask another one than the sandbox. It must know the tokens
`tok_visa` and `tok_declined`, and have plenty, but less than 10^12, of a product nobody named before.
"""

from __future__ import annotations

import pytest
from partner_rig import Caller, fresh, items

from order_service.core.answers import (
    CartCleared,
    HeldItem,
    PaymentState,
    PaymentUnknown,
    RefundState,
    RefundUnknown,
    Refused,
    Released,
    ReservationAbsent,
    ReservationState,
    Reserved,
    ReserveRefused,
    StockCommitted,
    StockNotHeld,
)
from order_service.core.requests import (
    AvailabilityRequest,
    ChargeRequest,
    ClearCartRequest,
    CommitRequest,
    PaymentMethod,
    ReadPaymentRequest,
    ReadRefundRequest,
    RefundRequest,
    ReleaseRequest,
    ReserveRequest,
    VoidRequest,
)

MORE_THAN_THERE_IS = 10**12


def charge_of(token: str = "tok_visa", amount: int = 1250, currency: str = "EUR") -> ChargeRequest:
    return ChargeRequest(fresh("order"), fresh("pay"), amount, currency, PaymentMethod(token))


def void_of(charge: ChargeRequest) -> VoidRequest:
    return VoidRequest(charge.reference, charge.amount, charge.currency)


def read_of(charge: ChargeRequest, payment_id: str | None = None) -> ReadPaymentRequest:
    return ReadPaymentRequest(charge.reference, payment_id, charge.amount, charge.currency)


def captured(call: Caller, charge: ChargeRequest) -> str:
    """Make the charge; the id of the payment that came of it."""
    answer = call(charge)
    assert isinstance(answer, PaymentState)
    assert answer.status == "succeeded"
    assert answer.payment_id is not None
    return answer.payment_id


class Goods:
    """One product nobody else uses, and a reservation of it."""

    def __init__(self, call: Caller) -> None:
        self._call = call
        self.product = fresh("product")
        self.reservation = fresh("reservation")
        self.order = fresh("order")

    def available(self) -> int:
        request = AvailabilityRequest(items((self.product, 1)))
        asked = self._call.partners.inventory.availability(request, fresh("key"), deadline_s=10)
        answer = self._call.run(asked)
        assert isinstance(answer, dict)
        return answer[self.product]

    def reserve(self, *quantities: int) -> ReserveRequest:
        wanted = tuple((self.product, quantity) for quantity in quantities)
        return ReserveRequest(self.reservation, self.order, items(*wanted))

    def release(self) -> ReleaseRequest:
        return ReleaseRequest(self.reservation, self.order)

    def commit(self) -> CommitRequest:
        return CommitRequest(self.reservation, self.order)

    def state(self) -> ReservationState | ReservationAbsent:
        answer = self._call.run(self._call.partners.inventory.get(self.reservation, deadline_s=10))
        assert isinstance(answer, ReservationState | ReservationAbsent)
        return answer


@pytest.fixture
def goods(call: Caller) -> Goods:
    return Goods(call)


# Inventory


def test_availability_names_every_product_asked_and_no_other(call: Caller) -> None:
    one, other = fresh("product"), fresh("product")
    request = AvailabilityRequest(items((one, 1), (other, 2), (one, 3)))

    answer = call.run(call.partners.inventory.availability(request, fresh("key"), deadline_s=10))

    assert isinstance(answer, dict)
    assert answer.keys() == {one, other}
    assert min(answer.values()) > 0


def test_a_reserve_holds_the_sum_of_its_lines(call: Caller, goods: Goods) -> None:
    before = goods.available()

    assert call(goods.reserve(2, 3)) == Reserved()

    assert goods.available() == before - 5
    state = goods.state()
    assert isinstance(state, ReservationState)
    assert state.state == "reserved"
    assert sum(item.quantity for item in state.items) == 5


def test_the_same_reserve_again_holds_once(call: Caller, goods: Goods) -> None:
    before, key = goods.available(), fresh("key")

    assert [call(goods.reserve(4), key) for _ in range(3)] == [Reserved()] * 3

    assert goods.available() == before - 4


def test_a_reserve_of_too_much_names_the_product_and_holds_nothing(call: Caller, goods: Goods) -> None:
    before = goods.available()

    answer = call(goods.reserve(1, MORE_THAN_THERE_IS))

    assert isinstance(answer, ReserveRefused)
    (shortage,) = answer.shortages
    assert (shortage.product_id, shortage.requested, shortage.available) == (
        goods.product,
        MORE_THAN_THERE_IS + 1,
        before,
    )
    assert goods.available() == before
    assert goods.state() == ReservationAbsent()


def test_a_reserve_of_one_thing_too_much_holds_nothing_of_the_others(call: Caller, goods: Goods) -> None:
    before, scarce = goods.available(), fresh("product")
    request = ReserveRequest(goods.reservation, goods.order, items((goods.product, 1), (scarce, MORE_THAN_THERE_IS)))

    answer = call(request)

    assert isinstance(answer, ReserveRefused)
    assert [shortage.product_id for shortage in answer.shortages] == [scarce]
    assert goods.available() == before


def test_a_release_gives_back_what_was_held_once(call: Caller, goods: Goods) -> None:
    before, key = goods.available(), fresh("key")
    call(goods.reserve(4))

    assert [call(goods.release(), key) for _ in range(2)] == [Released()] * 2
    assert call(goods.release(), fresh("other-key")) == Released()

    assert goods.available() == before
    state = goods.state()
    assert isinstance(state, ReservationState)
    assert state.state == "released"


def test_a_release_of_a_reservation_nobody_made_is_done(call: Caller, goods: Goods) -> None:
    assert call(goods.release()) == Released()


def test_a_reserve_that_comes_after_its_release_never_takes_effect(call: Caller, goods: Goods) -> None:
    before = goods.available()
    call(goods.release())

    assert call(goods.reserve(4)) == ReserveRefused(())

    assert goods.available() == before


def test_a_released_reservation_is_not_made_again_under_another_key(call: Caller, goods: Goods) -> None:
    before = goods.available()
    call(goods.reserve(4))
    call(goods.release())

    assert call(goods.reserve(4)) == ReserveRefused(())

    assert goods.available() == before


def test_a_late_copy_of_a_reserve_gets_its_answer_and_holds_nothing_again(call: Caller, goods: Goods) -> None:
    before, key = goods.available(), fresh("key")
    call(goods.reserve(4), key)
    call(goods.release())

    call(goods.reserve(4), key)

    assert goods.available() == before


def test_a_commit_books_the_goods_as_gone_and_frees_nothing(call: Caller, goods: Goods) -> None:
    before, key = goods.available(), fresh("key")
    call(goods.reserve(4))

    assert [call(goods.commit(), key) for _ in range(2)] == [StockCommitted()] * 2

    assert goods.available() == before - 4
    assert goods.state() == ReservationState("committed", (HeldItem(goods.product, 4),))


def test_a_release_of_committed_goods_brings_nothing_back(call: Caller, goods: Goods) -> None:
    before = goods.available()
    call(goods.reserve(4))
    call(goods.commit())

    assert call(goods.release()) == Released()

    assert goods.available() == before - 4


def test_a_commit_of_goods_never_held_is_refused(call: Caller, goods: Goods) -> None:
    assert call(goods.commit()) == StockNotHeld()
    assert goods.state() == ReservationAbsent()


def test_a_commit_of_released_goods_is_refused_and_takes_nothing(call: Caller, goods: Goods) -> None:
    before = goods.available()
    call(goods.reserve(4))
    call(goods.release())

    assert call(goods.commit()) == StockNotHeld()

    assert goods.available() == before


# Cart


def test_clearing_a_cart_is_done_and_done_again(call: Caller) -> None:
    request = ClearCartRequest(fresh("user"), fresh("order"), items((fresh("product"), 1)))
    key = fresh("key")

    assert [call(request, key) for _ in range(2)] == [CartCleared()] * 2


def test_a_cart_is_cleared_whatever_the_users_name(call: Caller) -> None:
    for user in ("a@b.example", "x:y", "ZZ.top-1"):
        request = ClearCartRequest(user, fresh("order"), items((fresh("product"), 1)))
        assert call(request) == CartCleared()


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
