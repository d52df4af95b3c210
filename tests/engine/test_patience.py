"""A bound on time for which all blocks share one timer: it ends who is late, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from order_service.patience import Patience

SOON_S = 0.02
LATE_S = 30.0


async def within(patience: Patience, work: Callable[[], Awaitable[object]]) -> object:
    with patience():
        return await work()


def test_what_is_done_in_time_is_not_disturbed_then_nor_later() -> None:
    async def story() -> None:
        patience = Patience(SOON_S)

        async def in_time() -> str:
            with patience():
                await asyncio.sleep(0)
            await asyncio.sleep(3 * SOON_S)  # outside the block nobody counts
            return "done"

        assert await asyncio.gather(*(in_time() for _ in range(20))) == ["done"] * 20

    asyncio.run(story())


def test_who_takes_too_long_gets_a_timeout_and_is_not_cancelled_beyond_it() -> None:
    async def story() -> None:
        patience = Patience(SOON_S)
        with pytest.raises(TimeoutError):
            await within(patience, lambda: asyncio.sleep(LATE_S))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)  # a cancellation that was left behind would come here

    asyncio.run(story())


def test_each_block_has_its_own_time_though_the_timer_is_one() -> None:
    async def story() -> None:
        patience = Patience(0.2)
        ended: list[str] = []

        async def late(name: str) -> None:
            with pytest.raises(TimeoutError):
                await within(patience, lambda: asyncio.sleep(LATE_S))
            ended.append(name)

        first = asyncio.create_task(late("first"))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(late("second"))
        assert await within(patience, lambda: asyncio.sleep(0, "in time")) == "in time"
        await first
        assert ended == ["first"]
        await second
        assert ended == ["first", "second"]

    asyncio.run(story())


def test_who_is_cancelled_by_somebody_else_stays_cancelled() -> None:
    async def story() -> None:
        patience = Patience(LATE_S)
        task = asyncio.create_task(within(patience, lambda: asyncio.sleep(LATE_S)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())


def test_another_error_is_told_as_it_is() -> None:
    async def story() -> None:
        async def broken() -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await within(Patience(LATE_S), broken)

    asyncio.run(story())
