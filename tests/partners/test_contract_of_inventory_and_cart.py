"""The published contracts of Inventory and Cart, asked over the wire of any partner that claims to keep them.

Set ORDER_SERVICE_TEST_PARTNERS_URL to ask another one than the sandbox. It must have plenty, but less
than 10^12, of a product nobody named before.
"""

from __future__ import annotations

import asyncio

import pytest
from partner_rig import Caller, fresh, items

from order_service.core.answers import (
    CartCleared,
    HeldItem,
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
    ClearCartRequest,
    CommitRequest,
    ReleaseRequest,
    ReserveRequest,
)

MORE_THAN_THERE_IS = 10**12


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


def test_reserves_that_come_together_are_answered_each_by_itself_and_repeated_by_themselves(call: Caller) -> None:
    one, other, much = Goods(call), Goods(call), Goods(call)
    before = [goods.available() for goods in (one, other, much)]
    requests = [one.reserve(2), other.reserve(3), much.reserve(MORE_THAN_THERE_IS)]
    keys = [fresh("key") for _ in requests]

    async def together() -> list[object]:
        inventory = call.partners.inventory
        pairs = zip(requests, keys, strict=True)
        return await asyncio.gather(*(inventory.reserve(r, key, deadline_s=10, alone=False) for r, key in pairs))

    found = call.run(together())
    again = [call(request, key) for request, key in zip(requests, keys, strict=True)]

    assert found[:2] == again[:2] == [Reserved(), Reserved()]
    for refused in (found[2], again[2]):
        assert isinstance(refused, ReserveRefused)
        assert [shortage.product_id for shortage in refused.shortages] == [much.product]
    assert [goods.available() for goods in (one, other, much)] == [before[0] - 2, before[1] - 3, before[2]]


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
