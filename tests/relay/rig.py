"""Relays at work, in this process and in others, and waiting for what they have done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from order_service.relay import READER, Relay
from order_service.store.reader import lag_s
from tests.store.given import Store

from .topic import PATIENCE_S, Seen, everything

_REPLICA = """
import asyncio, sys
from order_service.relay import Relay

dsn, bootstrap, topic, lease_s = sys.argv[1:]
asyncio.run(Relay(dsn, bootstrap, topic=topic, lease_s=float(lease_s), batch_rows=5).run())
"""


@asynccontextmanager
async def relaying(database: str, bootstrap: str, topic: str, **options: Any) -> AsyncIterator[Relay]:
    """A relay at work."""
    relay = Relay(database, bootstrap, topic=topic, **options)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        relay.stop()
        await task


async def replica(database: str, bootstrap: str, topic: str, *, lease_s: float) -> asyncio.subprocess.Process:
    """A relay in a process of its own, which the test may kill."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _REPLICA, database, bootstrap, topic, str(lease_s), stdout=asyncio.subprocess.DEVNULL
    )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_relayed(s: Store) -> None:
    """Wait until nothing is left to relay."""

    async def done() -> bool:
        # In this order: a reader that begins between the two questions has everything before it.
        return bool(await s.value("select count(*) from log_readers")) and await lag_s(s.pool, READER) is None

    await until(done)


async def records(bootstrap: str, topic: str) -> list[Seen]:
    """All records of the topic."""
    return await asyncio.to_thread(everything, bootstrap, topic)
