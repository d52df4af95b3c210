"""A replica that cannot start says so; one that is stopped ends in time, whatever it stands on."""

from __future__ import annotations

import asyncio

import pytest

from order_service import wiring
from order_service.core.messages import Pay
from order_service.embedded import ports
from order_service.store.migrate import SchemaMismatch
from order_service.wiring import CannotStart, Running
from tests.engine.partners import held, says, scripted_partners
from tests.engine.rig import Replica, document, replica, rows, run, script, settings_of, valve
from tests.store.given import placing

OPEN = "select kind, state, attempts from partner_calls where state = 'open' and kind <> 'late_check'"


def test_without_a_database_nothing_starts_and_one_sentence_says_so() -> None:
    async def story() -> None:
        nowhere = f"postgresql://nobody:secret-word@127.0.0.1:{ports.free_port()}/orders"
        async with scripted_partners() as partners:
            with pytest.raises(CannotStart, match=r"^The database does not answer: ") as told:
                async with replica(nowhere, partners):
                    raise AssertionError("it started")
            assert "secret-word" not in str(told.value)

    run(story())


def test_on_an_unknown_schema_nothing_starts_and_nothing_is_changed(database: str) -> None:
    async def story() -> None:
        await script(database, "update alembic_version set version_num = '9999_future'")
        async with scripted_partners() as partners:
            with pytest.raises(SchemaMismatch, match="9999_future"):
                async with replica(database, partners):
                    raise AssertionError("it started")
        assert await rows(database, "select version_num from alembic_version") == [{"version_num": "9999_future"}]

    run(story())


def test_a_stop_finishes_the_calls_under_way_and_those_that_follow_from_them(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners:
            answer = asyncio.Event()
            async with replica(database, partners) as shop:
                partners.plan("reserve", held(answer))
                placing_order = asyncio.create_task(shop.place())
                await partners.until_asked("reserve")
                asyncio.get_running_loop().call_later(0.3, answer.set)
            placed = await placing_order
            assert placed.status == 201
            assert partners.took_effect("clear_cart") == 1
            assert await rows(database, OPEN) == []

    run(story())


def test_a_stop_with_a_database_that_says_nothing_ends_and_loses_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "DRAIN_CALLS_S", 0.5)
    monkeypatch.setattr(wiring, "COMMITS_END_WITHIN_S", 1.0)

    async def story() -> None:
        async with scripted_partners() as partners, valve(database) as gate:
            running = Running(settings_of(gate.dsn, partners), ("api", "worker"))
            await running.__aenter__()
            assert running.orders is not None
            shop = Replica(running.orders)
            order_id = await shop.placed()
            answer = asyncio.Event()
            partners.plan("charge", held(answer))
            paying = asyncio.create_task(shop.command(order_id, Pay()))
            await partners.until_asked("charge")
            gate.open.clear()
            answer.set()
            async with asyncio.timeout(10):
                await running.stop()
            assert (await paying).status == 202
            async with replica(database, partners) as other:
                await other.until(order_id, status="confirmed")
            assert partners.took_effect("charge") == 1

    run(story())


def test_nothing_is_kept_in_memory_of_requests_that_are_over(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            partners.plan("reserve", *(says(503) for _ in range(20)))
            answers = await asyncio.gather(*(shop.place(placing(), key=f"k{n}") for n in range(40)))
            assert {a.status for a in answers} <= {201, 202}
            ids = [document(a)["id"] for a in answers]
            for order_id in ids:
                await shop.until(order_id, stock="reserved")
            tasks = [asyncio.create_task(shop.command(order_id, Pay())) for order_id in ids]
            await asyncio.sleep(0.01)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for order_id in ids[1::2]:
                await shop.until(order_id, status="confirmed")
            await shop.dispatcher.drain(5)
            assert (shop.waiters, shop.engine._turns, dict(shop.engine._waiters)) == (0, {}, {})
            assert (shop.dispatcher.busy, shop.engine._loader._orders._waiting) == (0, {})

    run(story())
