"""Reserves go together where the inventory offers it, and none suffers for another's sake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from order_service.core.answers import Lied, Refused, ReserveAnswer, Reserved, ReserveRefused, Shortage, Unanswered
from order_service.core.requests import AvailabilityRequest, ReserveRequest, StockItem
from order_service.partners.door import Partners, open_partners
from order_service.partners.reserves import MOST, MOST_BYTES
from tests.engine.partners import Effect, Plan, ScriptedPartners, held, says, scripted_partners, stuck
from tests.engine.rig import document, replica, rows, run


@asynccontextmanager
async def inventory(offers: int = 50) -> AsyncIterator[tuple[ScriptedPartners, Partners]]:
    """Partners that have said how many reserves they take in one request."""
    async with scripted_partners() as scripted:
        url = scripted.url
        partners = open_partners(inventory_url=url, cart_url=url, payment_url=url)
        scripted.offers = offers
        try:
            await ask_availability(partners)
            scripted.asked.clear()
            scripted.effects.clear()
            yield scripted, partners
        finally:
            await partners.close()


async def ask_availability(partners: Partners) -> None:
    question = AvailabilityRequest((StockItem("cup", 1),))
    assert await partners.inventory.availability(question, "a", deadline_s=5) == {"cup": 1000}


def wanted(name: str, *, product: str = "cup") -> ReserveRequest:
    return ReserveRequest(f"{name}-r1", name, (StockItem(product, 2),))


async def reserve(partners: Partners, name: str, *, deadline_s: float = 20, **fields: Any) -> ReserveAnswer:
    known: dict[str, Any] = {"alone": False, "correlation_id": f"checkout-{name}"} | fields
    request = known.pop("request", wanted(name))
    return await partners.inventory.reserve(request, f"{name}-r1", deadline_s=deadline_s, **known)


async def reserve_all(partners: Partners, *names: str, **fields: Any) -> list[ReserveAnswer]:
    return await asyncio.gather(*(reserve(partners, name, **fields) for name in names))


def sent(scripted: ScriptedPartners) -> list[list[str]]:
    """By request, the keys of the reserves in it."""
    return [
        [one["idempotencyKey"] for one in question.body["reservations"]] if question.kind == "bulk" else [question.key]
        for question in scripted.asked
        if question.kind in ("bulk", "reserve")
    ]


def answering(*answers: tuple[str, int, Any]) -> Plan:
    """This answer to a request of many, and no effect."""
    told = [{"reservationId": f"{name}-r1", "status": status, "body": body} for name, status, body in answers]
    return says(200, {"reservations": told})


def held_for(name: str) -> tuple[str, int, dict[str, str]]:
    return name, 201, {"reservationId": f"{name}-r1"}


def test_reserves_that_begin_together_share_a_request_and_each_has_its_own_key_and_body() -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            assert await reserve_all(partners, "ada", "bob") == [Reserved(), Reserved()]
            [question] = scripted.asked
            assert question.body == {
                "reservations": [
                    {
                        "idempotencyKey": f"{name}-r1",
                        "reservation": {
                            "reservationId": f"{name}-r1",
                            "orderId": name,
                            "items": [{"productId": "cup", "quantity": 2}],
                        },
                        "correlationId": f"checkout-{name}",
                    }
                    for name in ("ada", "bob")
                ]
            }
            assert [(e.kind, e.key) for e in scripted.effects if e.kind == "reserve"] == [
                ("reserve", "ada-r1"),
                ("reserve", "bob-r1"),
            ]

    run(story())


@pytest.mark.parametrize("offers", [0, 1, -3])
def test_an_inventory_that_does_not_offer_it_is_asked_for_each_by_itself(offers: int) -> None:
    async def story() -> None:
        async with inventory(offers) as (scripted, partners):
            assert await reserve_all(partners, "ada", "bob") == [Reserved(), Reserved()]
            assert sorted(sent(scripted)) == [["ada-r1"], ["bob-r1"]]
            assert scripted.count("bulk") == 0

    run(story())


def test_the_offer_ends_with_the_first_availability_that_does_not_repeat_it() -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            scripted.offers = 0
            scripted._known.clear()
            await ask_availability(partners)
            await reserve_all(partners, "ada", "bob")
            assert scripted.count("bulk") == 0

    run(story())


def test_one_that_is_alone_goes_by_itself_and_so_does_one_that_is_repeated() -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            assert await reserve(partners, "ada") == Reserved()
            again = [reserve(partners, "bob", alone=True), reserve(partners, "cleo"), reserve(partners, "dan")]
            assert await asyncio.gather(*again) == [Reserved()] * 3
            assert sorted(sent(scripted)) == [["ada-r1"], ["bob-r1"], ["cleo-r1", "dan-r1"]]

    run(story())


def test_no_request_has_more_than_was_offered_or_than_we_send() -> None:
    async def story() -> None:
        names = [f"n{number}" for number in range(MOST + 10)]
        async with inventory(offers=3) as (scripted, partners):
            await reserve_all(partners, *names[:7])
            assert sorted(map(len, sent(scripted))) == [1, 3, 3]
        async with inventory(offers=10_000) as (scripted, partners):
            await reserve_all(partners, *names)
            assert sorted(map(len, sent(scripted))) == [10, MOST]

    run(story())


def test_large_orders_are_parted_by_their_size() -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            product = "x" * (MOST_BYTES // 3)
            names = ("ada", "bob", "cleo")
            requests = [reserve(partners, name, request=wanted(name, product=product)) for name in names]
            assert await asyncio.gather(*requests) == [Reserved()] * 3
            assert sorted(map(len, sent(scripted))) == [1, 2]

    run(story())


def test_each_gets_the_answer_that_names_it_in_whatever_order_they_come() -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            short = {"shortages": [{"productId": "cup", "requested": 2, "available": 1}]}
            scripted.plan(
                "bulk",
                answering(
                    ("eve", 201, {"reservationId": "another"}),
                    ("dan", 503, {"code": "not-now"}),
                    ("cleo", 422, {"code": "no-such-product"}),
                    ("bob", 409, short),
                    held_for("ada"),
                    ("fay", 409, {"shortages": [{"productId": "pen", "requested": 2, "available": 1}]}),
                ),
            )
            assert await reserve_all(partners, "ada", "bob", "cleo", "dan", "eve", "fay") == [
                Reserved(),
                ReserveRefused((Shortage("cup", 2, 1),)),
                Refused(422, "no-such-product"),
                Unanswered("status 503"),
                Lied("another reservation than asked"),
                Lied("a shortage of a product not asked for"),
            ]
            assert sent(scripted) == [["ada-r1", "bob-r1", "cleo-r1", "dan-r1", "eve-r1", "fay-r1"]]

    run(story())


REFUSALS = {
    "not found": says(404),
    "not allowed": says(405),
    "not of its contract": says(422, {"code": "malformed"}),
    "a redirect": says(307, Location="/elsewhere"),
    "created": says(201, {"reservationId": "ada-r1"}),
    "another shape": says(200, {"reservations": {"ada-r1": 201}}),
    "no body to an answer": says(200, {"reservations": [{"reservationId": "ada-r1", "status": 201}]}),
    "no such status": answering(held_for("ada"), ("bob", 1000, {})),
    "one is missing": answering(held_for("ada")),
    "one is named twice": answering(held_for("ada"), held_for("ada"), held_for("bob")),
    "one was not asked for": answering(held_for("ada"), held_for("bob"), held_for("eve")),
    "another one": answering(held_for("ada"), held_for("eve")),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_is_wrong_with_all_is_no_fault_of_one_each_goes_by_itself_at_once_and_so_do_the_next(refusal: str) -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            scripted.plan("bulk", REFUSALS[refusal])
            assert await reserve_all(partners, "ada", "bob") == [Reserved(), Reserved()]
            assert await reserve_all(partners, "cleo", "dan") == [Reserved(), Reserved()]
            assert sent(scripted)[0] == ["ada-r1", "bob-r1"]
            assert sorted(sent(scripted)[1:]) == [["ada-r1"], ["bob-r1"], ["cleo-r1"], ["dan-r1"]]
            assert scripted.took_effect("reserve") == 4

    run(story())


def test_after_a_while_they_go_together_again() -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            scripted.plan("bulk", says(404))
            await reserve_all(partners, "ada", "bob")
            partners.inventory._reserves._not_before = 0.0  # type: ignore[attr-defined]
            await reserve_all(partners, "cleo", "dan")
            assert sent(scripted)[-1] == ["cleo-r1", "dan-r1"]

    run(story())


async def cut(effect: Effect) -> web.Response:
    """It takes effect, and nobody is told."""
    effect()
    raise web.HTTPBadGateway


TROUBLE = {
    "busy": (says(503), "status 503"),
    "too many": (says(429), "status 429"),
    "in between": (cut, "status 502"),
    "silent": (stuck(), "timeout"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_an_inventory_in_trouble_is_not_asked_again_for_each(trouble: str) -> None:
    async def story() -> None:
        plan, reason = TROUBLE[trouble]
        async with inventory() as (scripted, partners):
            scripted.plan("bulk", plan)
            found = await reserve_all(partners, "ada", "bob", deadline_s=1)
            assert [answer.reason for answer in found if isinstance(answer, Unanswered)] == [reason, reason]
            assert sent(scripted) == [["ada-r1", "bob-r1"]]

    run(story())


def test_nobody_there_is_told_to_each() -> None:
    async def story() -> None:
        async with inventory() as (_, partners):
            await partners.close()
            found = await reserve_all(partners, "ada", "bob")
            assert [answer.reason for answer in found if isinstance(answer, Unanswered)] == ["closing", "closing"]

    run(story())


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    async def story() -> None:
        async with inventory() as (scripted, partners):
            answered = asyncio.Event()
            scripted.plan("bulk", held(answered))
            gone, stays, other = (asyncio.create_task(reserve(partners, name)) for name in ("ada", "bob", "cleo"))
            await scripted.until_asked("bulk")
            gone.cancel()
            answered.set()
            assert await asyncio.gather(stays, other) == [Reserved(), Reserved()]
            assert sent(scripted) == [["ada-r1", "bob-r1", "cleo-r1"]]

    run(story())


def test_orders_that_are_placed_together_are_reserved_together_and_one_that_got_no_answer_by_itself(
    database: str,
) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as scripted,
            replica(database, scripted, request_deadline=5, partner_timeout=6, lease=8) as shop,
        ):
            scripted.offers = 50
            await shop.placed()
            scripted.asked.clear()

            async def heard_and_not_answered(effect: Effect) -> web.Response:
                effect()
                raise web.HTTPServiceUnavailable

            scripted.plan("bulk", heard_and_not_answered)
            replies = await asyncio.gather(*(shop.place(key=f"key-{number}") for number in range(8)))
            orders = [document(reply) for reply in replies]

            assert [reply.status for reply in replies] == [201] * 8
            assert {order["stock"] for order in orders} == {"reserved"}
            keys = {f"{order['id']}-r1" for order in orders}
            assert scripted.count("bulk") >= 1
            requests = sent(scripted)
            assert len(requests[0]) > 1
            assert sorted(key for request in requests for key in request) == sorted([*keys, *requests[0]])
            assert all([key] in requests for key in requests[0]), "what was not answered is repeated by itself"
            assert sorted(e.key for e in scripted.effects if e.kind == "reserve" and e.key in keys) == sorted(keys)
            states = await rows(database, "select distinct state from partner_calls where kind = 'reserve'")
            assert states == [{"state": "done"}]

    run(story())
