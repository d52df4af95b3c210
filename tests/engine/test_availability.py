"""Availability is asked for many orders together, and no order suffers for another's sake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from order_service.availability import Together
from order_service.core.answers import Unanswered
from order_service.partners.door import open_partners
from order_service.partners.ports import AvailabilityAnswer
from tests.engine.partners import Effect, ScriptedPartners, held, says, scripted_partners, stuck
from tests.engine.rig import run


@asynccontextmanager
async def together() -> AsyncIterator[tuple[ScriptedPartners, Together]]:
    async with scripted_partners() as scripted:
        url = scripted.url
        partners = open_partners(inventory_url=url, cart_url=url, payment_url=url)
        try:
            yield scripted, Together(partners.inventory)
        finally:
            await partners.close()


async def ask(those: Together, *products: str, deadline_s: float = 20) -> AvailabilityAnswer:
    return await those.ask(dict.fromkeys(products, 2), deadline_s=deadline_s, correlation_id="together")


def items(scripted: ScriptedPartners) -> list[list[str]]:
    """By call, the products that were asked for."""
    return [[item["productId"] for item in question.body["items"]] for question in scripted.asked]


def test_one_order_is_asked_for_alone_and_at_once() -> None:
    async def story() -> None:
        async with together() as (scripted, those):
            assert await ask(those, "cup", "mug") == {"cup": 1000, "mug": 1000}
            assert items(scripted) == [["cup", "mug"]]

    run(story())


def test_orders_that_come_together_share_a_call_and_each_reads_its_own_products() -> None:
    async def story() -> None:
        async with together() as (scripted, those):
            found = await asyncio.gather(ask(those, "cup"), ask(those, "mug", "cup"), ask(those, "pen"))
            assert found == [{"cup": 1000}, {"mug": 1000, "cup": 1000}, {"pen": 1000}]
            assert items(scripted) == [["cup", "mug", "pen"]]
            assert scripted.asked[0].body["items"][0] == {"productId": "cup", "quantity": 2}

    run(story())


def test_a_refusal_of_one_product_is_told_to_the_order_that_asked_for_it_alone() -> None:
    async def story() -> None:
        async def only_known(effect: Effect) -> web.Response:
            asked = {item["productId"] for item in scripted.asked[len(seen)].body["items"]}
            seen.append(asked)
            return await says(404)(effect) if "unknown" in asked else effect()

        seen: list[set[str]] = []
        async with together() as (scripted, those):
            scripted.plan("availability", only_known, only_known, only_known)
            good, bad = await asyncio.gather(ask(those, "cup"), ask(those, "unknown"))
            assert good == {"cup": 1000}
            assert isinstance(bad, Unanswered)
            assert bad.reason == "status 404"
            assert sorted(map(sorted, seen)) == [["cup"], ["cup", "unknown"], ["unknown"]]

    run(story())


def test_a_partner_in_trouble_is_not_asked_again_for_each_order() -> None:
    async def story() -> None:
        async with together() as (scripted, those):
            scripted.plan("availability", says(503))
            found = await asyncio.gather(*[ask(those, f"p{n}") for n in range(5)])
            assert [answer.reason for answer in found if isinstance(answer, Unanswered)] == ["status 503"] * 5
            assert scripted.count("availability") == 1

    run(story())


def test_calls_that_are_never_answered_hold_up_no_later_order() -> None:
    async def story() -> None:
        async with together() as (scripted, those):
            scripted.plan("availability", stuck(), stuck(), stuck())
            lost = []
            for n in range(3):
                lost.append(asyncio.create_task(ask(those, f"lost-{n}", deadline_s=2)))
                await scripted.until_asked("availability", n + 1)
            assert await ask(those, "cup") == {"cup": 1000}
            assert [answer.reason for answer in await asyncio.gather(*lost) if isinstance(answer, Unanswered)] == [
                "timeout"
            ] * 3

    run(story())


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    async def story() -> None:
        async with together() as (scripted, those):
            answered = asyncio.Event()
            scripted.plan("availability", held(answered))
            gone, stays = (asyncio.create_task(ask(those, "cup")) for _ in range(2))
            await scripted.until_asked("availability")
            gone.cancel()
            answered.set()
            assert await stays == {"cup": 1000}
            assert scripted.count("availability") == 1

    run(story())
