"""How many statements and calls a request costs: exactly so many, wherever in a list it reads."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest

from order_service import faults
from order_service.core.messages import Cancel, Pay, SetStatus
from order_service.core.model import Status
from tests.engine.partners import ScriptedPartners, scripted_partners
from tests.engine.rig import STAFF, Replica, document, eventually, replica, run

Work = Callable[[], Coroutine[Any, Any, Any]]
PAGE = 5


def unhurried(database: str, partners: ScriptedPartners) -> AbstractAsyncContextManager[Replica]:
    """A replica that does nothing by itself, and whose deadlines no busy machine meets."""
    return replica(database, partners, parts=("api",), request_deadline=30, partner_timeout=31, lease=40)


async def cost(shop: Replica, monkeypatch: pytest.MonkeyPatch, work: Work) -> dict[str, int]:
    """The points that were passed for this work, until also what it left to be done is done."""
    passed: Counter[str] = Counter()

    async def count(point: str, phase: str) -> None:
        if phase == faults.BEFORE and point != "sql.connect" and point != "sql.set_limits":
            passed[point] += 1

    async def idle() -> bool:
        return not shop.dispatcher._tasks

    await eventually(idle)
    with monkeypatch.context() as counting:
        counting.setattr(faults, "hook", count)
        await work()
        await eventually(idle)
    return dict(passed)


def test_each_write_finds_its_key_and_commits_once_for_itself_and_once_for_each_answer(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, unhurried(database, partners) as shop:
            ids: list[str] = []

            async def place() -> None:
                reply = await shop.place(key=f"place {len(ids)}")
                assert reply.status == 201
                ids.append(str(document(reply)["id"]))

            async def pay() -> None:
                assert (await shop.command(ids[0], Pay(), key="pay")).status == 200

            async def pack() -> None:
                assert (await shop.command(ids[0], SetStatus(Status.PROCESSING), key="pack")).status == 200

            async def cancel() -> None:
                assert (await shop.command(ids[1], Cancel(), key="cancel")).status == 200

            assert await cost(shop, monkeypatch, place) == {
                "sql.find_key": 1,
                "sql.commit": 3,
                "http.inventory.availability": 1,
                "http.inventory.reserve": 1,
                "http.cart.clear": 1,
            }
            assert await cost(shop, monkeypatch, pay) == {
                "sql.find_key": 1,
                "sql.load": 1,
                "sql.commit": 2,
                "http.payment.charge": 1,
            }
            assert await cost(shop, monkeypatch, pack) == {"sql.find_key": 1, "sql.load": 1, "sql.commit": 1}
            await place()
            assert await cost(shop, monkeypatch, cancel) == {
                "sql.find_key": 1,
                "sql.load": 1,
                "sql.commit": 2,
                "http.inventory.release": 1,
            }

    run(story())


def test_each_read_costs_the_same_wherever_in_a_list_it_is(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, unhurried(database, partners) as shop:
            ids = [await shop.placed(user_id="one customer") for _ in range(3 * PAGE)]
            read: list[str] = []

            async def get() -> None:
                await shop.get(ids[0])

            async def history() -> None:
                await shop.orders.history(STAFF, ids[0])

            async def page(cursor: str | None) -> None:
                found = await shop.orders.of_user(STAFF, "one customer", limit=PAGE, cursor=cursor, status=None)
                read.extend(json.loads(body)["id"] for body in found.items)

            assert await cost(shop, monkeypatch, get) == {"sql.one_document": 1}
            assert await cost(shop, monkeypatch, history) == {"sql.one_document": 1, "sql.history": 1}
            for cursor in (None, ids[2 * PAGE], ids[PAGE]):
                assert await cost(shop, monkeypatch, partial(page, cursor)) == {"sql.user_page": 1}
            assert read == sorted(ids, reverse=True)

    run(story())


def test_a_repeated_request_costs_the_look_at_its_key_and_a_question_that_changes_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, unhurried(database, partners) as shop:
            first = await shop.place(key="once")

            async def again() -> None:
                reply = await shop.place(key="once")
                assert reply.replayed
                assert reply.body == first.body

            assert await cost(shop, monkeypatch, again) == {"sql.find_key": 1, "http.inventory.availability": 1}

    run(story())


def test_orders_asked_for_at_once_share_a_statement(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, unhurried(database, partners) as shop:
            ids = [await shop.placed() for _ in range(8)]

            async def all_at_once() -> None:
                found = await asyncio.gather(*[shop.get(order_id) for order_id in ids])
                assert [order["id"] for order in found] == ids

            assert await cost(shop, monkeypatch, all_at_once) == {"sql.one_document": 1}

    run(story())
