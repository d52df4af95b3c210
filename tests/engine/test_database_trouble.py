"""The database goes away at the worst moment: a clear answer in time, one effect, and nothing left hanging."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from order_service.core.messages import Pay
from order_service.problems import ServiceUnavailable
from tests.engine.partners import held, says, scripted_partners
from tests.engine.rig import STAFF, Replica, document, eventually, replica, rows, run, valve
from tests.store.given import placing
from tests.store.proxy import Fault

OWED = "select kind, attempts, state from partner_calls where order_id = $1::uuid and kind = $2"


@pytest.mark.parametrize("lost", ["statement", "answer"])
def test_a_commit_whose_answer_is_lost_costs_no_second_charge_and_no_wrong_answer(database: str, lost: Fault) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            valve(database) as gate,
            replica(gate.dsn, partners, parts=("api",)) as shop,
        ):
            order_id = await shop.placed()
            answer = asyncio.Event()
            partners.plan("charge", held(answer))
            paying = asyncio.create_task(shop.command(order_id, Pay(), key="k"))
            await partners.until_asked("charge")
            gate.lose(lost)
            answer.set()
            paid = await paying
            assert (paid.status, document(paid)["status"]) == (200, "confirmed")
            assert gate.faults == 1
            assert partners.count("charge") == 1
            assert await rows(database, OWED, order_id, "charge") == [
                {"kind": "charge", "attempts": 1, "state": "done"}
            ]
            repeated = await shop.command(order_id, Pay(), key="k")
            assert (repeated.status, repeated.body, repeated.replayed) == (200, paid.body, True)
            assert shop.waiters == 0

    run(story())


def test_a_request_that_is_cancelled_during_its_commit_still_has_its_calls_made_at_once(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            valve(database) as gate,
            replica(gate.dsn, partners, parts=("api",)) as shop,
        ):
            await shop.placed()
            before = partners.count("reserve")
            gate.open.clear()
            placing_order = asyncio.create_task(shop.place(placing(user_id="gone")))
            await asyncio.sleep(0.2)  # its statement is under way, and its answer is held back
            placing_order.cancel()
            await asyncio.gather(placing_order, return_exceptions=True)
            assert placing_order.cancelled()
            gate.open.set()
            await partners.until_asked("reserve", before + 1)
            [order] = await rows(database, "select id::text as id from orders where user_id = 'gone'")
            await shop.until(order["id"], stock="reserved")
            assert await rows(database, OWED, order["id"], "reserve") == [
                {"kind": "reserve", "attempts": 1, "state": "done"}
            ]
            assert shop.waiters == 0

    run(story())


def test_a_database_that_says_nothing_is_answered_for_and_found_again(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, valve(database) as gate, replica(gate.dsn, partners) as shop:
            order_id = await shop.placed()
            gate.open.clear()
            asked: list[Any] = [
                *(shop.orders.get(STAFF, order_id) for _ in range(20)),
                shop.orders.of_user(STAFF, "ada", limit=10, cursor=None, status=None),
                shop.orders.history(STAFF, order_id),
                shop.orders.command(shop.ask(Pay(), key="k"), order_id, Pay()),
                shop.orders.command(shop.ask(Pay()), order_id, Pay()),
                shop.orders.place(shop.ask(placing()), placing()),
            ]
            async with asyncio.timeout(8):
                *answers, health, same = await asyncio.gather(
                    *asked, shop.orders.health(), shop.orders.health(), return_exceptions=True
                )
            assert [type(answer) for answer in answers] == [ServiceUnavailable] * len(asked)
            told: Any = health
            assert health is same  # many probes, one check
            assert told["database"]["status"] == "down"
            gate.open.set()

            await eventually(lambda: _paid(shop, order_id))
            assert partners.took_effect("charge") == 1
            assert shop.waiters == 0

    run(story())


def test_connections_that_die_without_a_word_stop_neither_worker_nor_requests(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            valve(database) as gate,
            replica(gate.dsn, partners) as shop,
            replica(database, partners, parts=("api",)) as other,
        ):
            order_id = await shop.placed()
            gate.abandon()
            partners.plan("reserve", says(503))
            owed = document(await other.place())
            assert owed["stock"] == "reserving"
            async with asyncio.timeout(12):
                await eventually(lambda: _paid(shop, order_id))
                await other.until(owed["id"], stock="reserved")
            assert partners.took_effect("charge") == 1

    run(story())


async def _paid(shop: Replica, order_id: str) -> bool:
    return (await shop.command(order_id, Pay(), key="k")).status == 200
