"""What the sandbox does with goods and carts, by the name of the product and by its levers."""

from __future__ import annotations

import asyncio

import pytest
from partner_asks import reserve_of
from partner_rig import Caller, Sandbox, ask, fresh, items

from order_service.core.answers import (
    Answer,
    CartAbsent,
    CartContents,
    CartLine,
    Released,
    ReservationAbsent,
    Reserved,
    ReserveRefused,
    Shortage,
    Unanswered,
)
from order_service.core.requests import (
    ClearCartRequest,
    CommitRequest,
    ReleaseRequest,
)

# Products


def test_there_is_none_of_out_of_stock(to_sandbox: Caller, sandbox: Sandbox) -> None:
    request = reserve_of(("out-of-stock", 1), (fresh("product"), 1))

    assert to_sandbox(request) == ReserveRefused((Shortage("out-of-stock", 1, 0),))

    assert sandbox.effects(orderId=request.order_id) == []


def test_flaky_turns_the_first_two_reserves_of_an_order_away(to_sandbox: Caller, sandbox: Sandbox) -> None:
    request, key = reserve_of(("flaky", 1)), fresh("key")

    answers = [to_sandbox(request, key) for _ in range(4)]

    assert answers == [Unanswered("status 503"), Unanswered("status 503"), Reserved(), Reserved()]
    assert len(sandbox.effects(orderId=request.order_id)) == 1


def test_slow_takes_effect_later_than_it_is_asked(to_sandbox: Caller, sandbox: Sandbox) -> None:
    request, key = reserve_of(("slow", 1)), fresh("key")

    assert to_sandbox(request, key, deadline_s=0.3) == Unanswered("timeout")
    inventory = to_sandbox.partners.inventory
    now = to_sandbox.run(inventory.get(request.reservation_id, deadline_s=5))
    assert now == ReservationAbsent()

    assert to_sandbox(request, key) == Reserved()
    assert len(sandbox.effects(orderId=request.order_id)) == 1


@pytest.mark.parametrize("product", ["slow", "stuck"])
def test_a_release_overtakes_a_reserve_that_is_still_on_its_way(
    to_sandbox: Caller, sandbox: Sandbox, product: str
) -> None:
    request, key = reserve_of((product, 1)), fresh("key")
    assert to_sandbox(request, key, deadline_s=0.2) == Unanswered("timeout")

    assert to_sandbox(ReleaseRequest(request.reservation_id, request.order_id)) == Released()

    if product == "slow":
        assert to_sandbox(request, key) == ReserveRefused(())
    assert [line["kind"] for line in sandbox.effects(orderId=request.order_id)] == ["release"]


def test_twins_in_flight_get_one_answer_and_one_effect_whatever_happens_meanwhile(
    to_sandbox: Caller, sandbox: Sandbox
) -> None:
    request, key = reserve_of(("slow", 1)), fresh("key")

    async def crowd() -> list[Answer]:
        twins = [asyncio.create_task(to_sandbox.call(request, key)) for _ in range(4)]
        await asyncio.sleep(0.5)
        late_twin = asyncio.create_task(to_sandbox.call(request, key))
        answers = [await twin for twin in twins]
        await to_sandbox.call(ReleaseRequest(request.reservation_id, request.order_id))
        return [*answers, await late_twin, await to_sandbox.call(request, key)]

    assert to_sandbox.run(crowd()) == [Reserved()] * 6
    assert [line["kind"] for line in sandbox.effects(orderId=request.order_id)] == ["reserve", "release"]


def test_a_crowd_after_the_last_ten_pieces_gets_exactly_ten(to_sandbox: Caller, sandbox: Sandbox) -> None:
    product = fresh("product")
    assert ask("PUT", f"{sandbox.url}/sandbox/stock/{product}", {"quantity": 10})[0] == 200
    requests = [reserve_of((product, 1)) for _ in range(40)]

    async def crowd() -> list[Answer]:
        return await asyncio.gather(*(to_sandbox.call(request) for request in requests))

    answers = to_sandbox.run(crowd())

    assert answers.count(Reserved()) == 10
    assert answers.count(ReserveRefused((Shortage(product, 1, 0),))) == 30


def test_stock_set_below_what_is_held_leaves_none_and_never_less(to_sandbox: Caller, sandbox: Sandbox) -> None:
    product = fresh("product")
    ask("PUT", f"{sandbox.url}/sandbox/stock/{product}", {"quantity": 5})
    assert to_sandbox(reserve_of((product, 3))) == Reserved()

    ask("PUT", f"{sandbox.url}/sandbox/stock/{product}", {"quantity": 2})

    assert to_sandbox(reserve_of((product, 1))) == ReserveRefused((Shortage(product, 1, 0),))


def test_the_ledger_tells_what_a_reservation_took_gave_back_and_sent_off(to_sandbox: Caller, sandbox: Sandbox) -> None:
    product = fresh("product")
    kept, sent = reserve_of((product, 1), (product, 2)), reserve_of((product, 4))
    to_sandbox(kept, "1")
    to_sandbox(ReleaseRequest(kept.reservation_id, kept.order_id), "2")
    to_sandbox(sent, "3")
    to_sandbox(CommitRequest(sent.reservation_id, sent.order_id), "4")

    lines = sandbox.effects(orderId=kept.order_id) + sandbox.effects(orderId=sent.order_id)

    three = [{"productId": product, "quantity": 1}, {"productId": product, "quantity": 2}]
    four = [{"productId": product, "quantity": 4}]
    assert [(line["kind"], line["key"], line["reference"], line["items"]) for line in lines] == [
        ("reserve", "1", kept.reservation_id, three),
        ("release", "2", kept.reservation_id, three),
        ("reserve", "3", sent.reservation_id, four),
        ("commit", "4", sent.reservation_id, four),
    ]


# Carts


def test_a_cart_loses_what_was_ordered_and_keeps_the_rest(to_sandbox: Caller, sandbox: Sandbox) -> None:
    user = fresh("user")
    cart = {
        "currency": "CHF",
        "items": [
            {"productId": "a", "quantity": 3, "unitPrice": 100},
            {"productId": "b", "quantity": 1, "unitPrice": 250},
        ],
        "tax": 7,
        "discount": 2,
    }
    ask("PUT", f"{sandbox.url}/sandbox/carts/{user}", cart)
    request, key = ClearCartRequest(user, fresh("order"), items(("a", 1), ("a", 1), ("b", 5))), fresh("key")

    for _ in range(2):
        to_sandbox(request, key)

    left = to_sandbox.run(to_sandbox.partners.cart.get(user, deadline_s=5))
    assert left == CartContents("CHF", (CartLine("a", 1, 100),), 7, 2)
    assert len(sandbox.effects(orderId=request.order_id, kind="clear_cart")) == 1


def test_what_was_ordered_leaves_a_cart_with_two_lines_of_it_once(to_sandbox: Caller, sandbox: Sandbox) -> None:
    user = fresh("user")
    lines = [{"productId": "a", "quantity": quantity, "unitPrice": 5} for quantity in (1, 3)]
    ask("PUT", f"{sandbox.url}/sandbox/carts/{user}", {"items": lines})

    to_sandbox(ClearCartRequest(user, fresh("order"), items(("a", 2))))

    left = to_sandbox.run(to_sandbox.partners.cart.get(user, deadline_s=5))
    assert left == CartContents("EUR", (CartLine("a", 2, 5),), 0, 0)


def test_a_user_without_a_cart_has_an_empty_one(to_sandbox: Caller) -> None:
    cart = to_sandbox.run(to_sandbox.partners.cart.get(fresh("user"), deadline_s=5))

    assert cart == CartContents("EUR", (), 0, 0)
    assert cart != CartAbsent()


def test_a_user_named_like_a_step_up_the_path_has_a_cart_of_his_own(to_sandbox: Caller, sandbox: Sandbox) -> None:
    request = ClearCartRequest("..", fresh("order"), items(("a", 1)))

    to_sandbox(request)

    cart = to_sandbox.run(to_sandbox.partners.cart.get("..", deadline_s=5))
    assert isinstance(cart, CartContents)
    assert [line["kind"] for line in sandbox.effects(orderId=request.order_id)] == ["clear_cart"]
