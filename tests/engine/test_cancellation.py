"""Cancelled at every await, one after the other: no connection is lost or left busy, and a command is whole or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

from order_service.core.messages import Cancel, Pay
from order_service.problems import RequestInFlight
from order_service.store.calls import call_exists, claim, due_timers, next_due_in
from order_service.store.keys import find_key, purge_keys, release_key, remember
from order_service.store.load import load
from order_service.store.reads import clock, history, one_document, user_page
from tests.engine.partners import scripted_partners
from tests.engine.rig import STAFF, Replica, document, eventually, replica, rows, run
from tests.store.given import placing

BUSY = """
    select state, query from pg_stat_activity
    where application_name = 'order-service' and datname = current_database() and state <> 'idle'
"""


class CancelledAt:
    """Work that is cancelled while it waits for the ``at``-th time; 0: never. ``waits`` counts."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int) -> None:
        self._work = work
        self._at = at
        self.waits = 0

    def __await__(self) -> Generator[Any, None, Any]:
        inner = self._work.__await__()
        task = asyncio.current_task()
        assert task is not None
        fault: BaseException | None = None
        while True:
            try:
                waits_for = inner.send(None) if fault is None else inner.throw(fault)
            except StopIteration as done:
                return done.value
            self.waits += 1
            if self.waits == self._at:
                asyncio.get_running_loop().call_soon(task.cancel)
            try:
                yield waits_for
                fault = None
            except BaseException as raised:
                fault = raised


async def cancelled_everywhere(
    make: Callable[[], Coroutine[Any, Any, Any]], after: Callable[[], Awaitable[None]]
) -> int:
    """Do the work again and again, cancelled one await later each time, until it comes through; how many awaits."""
    for at in range(1, 200):
        work = CancelledAt(make(), at)

        async def alone(work: CancelledAt = work) -> Any:
            return await work

        task = asyncio.create_task(alone())
        await asyncio.wait([task])
        await after()
        if not task.cancelled():
            task.result()
            assert work.waits < at
            return work.waits
    raise AssertionError("the work never came to its end")


def connections_are_well(shop: Replica, database: str) -> Callable[[], Awaitable[None]]:
    """Every connection of the pool comes back idle, none runs a statement, and all of them serve at once."""
    pool = shop.orders._pool

    async def well() -> None:
        async def idle() -> bool:
            return pool.get_idle_size() == pool.get_size() and not await rows(database, BUSY)

        async with asyncio.timeout(10):  # less than what ends a transaction that was left open
            await eventually(idle)
        async with asyncio.timeout(20):
            taken = [await pool.acquire() for _ in range(pool.get_max_size())]
            assert await asyncio.gather(*(one.fetchval("select 1") for one in taken)) == [1] * len(taken)
            for one in taken:
                await pool.release(one)

    return well


def test_no_statement_that_is_given_up_costs_a_connection(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, parts=("api",)) as shop:
            order_id = await shop.confirmed()
            pool = shop.orders._pool
            well = connections_are_well(shop, database)
            statements: list[Callable[[], Coroutine[Any, Any, Any]]] = [
                lambda: one_document(pool, order_id),
                lambda: user_page(pool, "user-1", limit=5),
                lambda: history(pool, order_id),
                lambda: clock(pool),
                lambda: load(pool, [order_id]),
                lambda: shop.engine.load(order_id),
                lambda: find_key(pool, "a", "b", "c"),
                lambda: release_key(pool, "a", "b", "c"),
                lambda: remember(pool, []),
                lambda: purge_keys(pool),
                lambda: claim(pool, limit=1, lease_s=1),
                lambda: due_timers(pool, limit=1),
                lambda: next_due_in(pool),
                lambda: call_exists(pool, order_id, order_id),
            ]
            for statement in statements:
                assert await cancelled_everywhere(statement, well) > 0

    run(story())


def test_a_slow_statement_that_is_given_up_is_ended_in_the_database_too(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, parts=("api",)) as shop:
            pool = shop.orders._pool
            slow = [asyncio.create_task(pool.fetchval("select pg_sleep(60)")) for _ in range(pool.get_max_size() + 5)]

            async def running() -> bool:
                return len(await rows(database, BUSY)) == pool.get_max_size()

            await eventually(running)
            for task in slow:
                task.cancel()
            await asyncio.wait(slow)
            await connections_are_well(shop, database)()

    run(story())


@pytest.mark.parametrize("command", ["place", "pay", "cancel", "get"])
def test_a_command_that_is_cancelled_anywhere_is_whole_or_has_not_happened(database: str, command: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_ids = [await shop.placed() if command == "pay" else await shop.confirmed() for _ in range(1)]
            number = 0
            well = connections_are_well(shop, database)

            def work() -> Coroutine[Any, Any, Any]:
                match command:
                    case "place":
                        message = placing(user_id=f"user-{number}")
                        ask = shop.ask(message, fingerprint=b"place", key=f"key-{number}")
                        return shop.orders.place(ask, message)
                    case "pay":
                        return shop.orders.command(shop.ask(Pay(), key=f"key-{number}"), order_ids[-1], Pay())
                    case "cancel":
                        cancel = Cancel(None)
                        return shop.orders.command(shop.ask(cancel, key=f"key-{number}"), order_ids[-1], cancel)
                    case _:
                        return shop.orders.get(STAFF, order_ids[-1])

            async def whole() -> None:
                """The same request again is answered as if nothing had been, and then the next order's turn comes."""
                nonlocal number
                await well()
                reply = await _until_settled(work)
                assert reply.status in (200, 201), reply.body
                if command == "place":
                    user = await rows(database, "select count(*) as n from orders where user_id = $1", f"user-{number}")
                    assert user == [{"n": 1}]
                else:
                    wanted = {"pay": "confirmed", "cancel": "refunded", "get": "confirmed"}[command]
                    await shop.until(order_ids[-1], status=wanted)
                    if command != "get":
                        order_ids.append(await (shop.placed() if command == "pay" else shop.confirmed()))
                number += 1

            assert await cancelled_everywhere(work, whole) > 0

            async def quiet() -> bool:
                return shop.waiters == 0 and not shop.engine._turns

            await eventually(quiet)
            assert partners.took_effect("charge") == len({q.key for q in partners.effects if q.kind == "charge"})
            if command == "pay":
                paid = await rows(database, "select count(*) as n from orders where captured > 0")
                assert partners.took_effect("charge") == paid[0]["n"]
            if command == "cancel":
                assert partners.took_effect("refund") == len(order_ids) - 1

    run(story())


async def _until_settled(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """The answer to a request that is repeated while its first one is in flight, or has an interim answer."""
    async with asyncio.timeout(20):
        while True:
            try:
                reply = await work()
                if reply.status != 202:
                    return reply
            except RequestInFlight:
                pass
            await asyncio.sleep(0.02)


def test_a_client_that_goes_away_leaves_nobody_waiting_and_the_answer_is_remembered(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            gate = asyncio.Event()

            async def late(effect: Callable[[], Any]) -> Any:
                answer = effect()
                await gate.wait()
                return answer

            partners.plan("charge", late)
            task = asyncio.create_task(shop.orders.command(shop.ask(Pay(), key="pay"), order_id, Pay()))
            await partners.until_asked("charge")
            task.cancel()
            await asyncio.wait([task])
            assert shop.waiters == 0
            gate.set()
            await shop.until(order_id, status="confirmed")
            again = await _until_settled(lambda: shop.orders.command(shop.ask(Pay(), key="pay"), order_id, Pay()))
            assert (again.status, document(again)["status"]) == (200, "confirmed")
            assert partners.count("charge") == 1

    run(story())
