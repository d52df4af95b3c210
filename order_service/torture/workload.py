"""The crowd: so many clients who lead one life after the other, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import orjson
import uvloop

from order_service.partners.http1 import Connections, Lost, NoConnection, NotHttp
from order_service.torture.clientlog import ClientLog
from order_service.torture.clients import Clients, GaveUp
from order_service.torture.lives import Credentials, Life, Story
from order_service.torture.replicas import Replica

T = TypeVar("T")
ENDS_WITHIN_S = 150.0
"""A life that is not over by then hangs: longer than a client's patience with one request."""

_FILL_WITHIN_S = 2.0


class Workload:
    """Clients of one stack. From any thread but that of the loop; ``lives`` counts those that were begun."""

    def __init__(self, seed: int, partners: str) -> None:
        self.log = ClientLog()
        self.lives = 0
        self.stories: Counter[str] = Counter()
        self._seed = seed
        self._partners_url = partners
        self._who: Credentials | None = None
        self._crowd: list[asyncio.Task[None]] = []
        self._going = False
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients", daemon=True)
        self._thread.start()
        self.clients = self._ask(self._open())

    async def _open(self) -> Clients:
        self._partners = Connections(self._partners_url, limit=32, idle_s=4, max_body=2**20)
        return Clients(self._seed, self.log)

    def close(self) -> None:
        """End the clients at once."""
        self._ask(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _end(self) -> None:
        for task in self._crowd:
            task.cancel()
        await asyncio.gather(*self._crowd, return_exceptions=True)
        self.clients.close()
        self._partners.close()

    def _ask(self, work: Coroutine[Any, Any, T], within_s: float = 60) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)

    # --- replicas come and go ---

    def add(self, replica: Replica) -> None:
        """Send requests to this replica too, as soon as it listens."""
        self._loop.call_soon_threadsafe(self.clients.add, replica)

    def remove(self, replica: Replica) -> None:
        """Send nothing more to it."""
        self._loop.call_soon_threadsafe(self.clients.remove, replica)

    @property
    def in_flight(self) -> int:
        """How many orders have a request without a final answer just now."""
        return self.clients.orders_in_flight

    # --- the crowd ---

    def begin(self, who: Credentials, clients: int, mix: dict[Story, int]) -> None:
        """Let so many clients lead lives of this mix, until ``finish``."""
        self._who = who
        self._going = True
        self._ask(self._begin(clients, mix))

    async def _begin(self, clients: int, mix: dict[Story, int]) -> None:
        self._crowd = [asyncio.create_task(self._lead(mix)) for _ in range(clients)]

    async def _lead(self, mix: dict[Story, int]) -> None:
        stories, weights = list(mix), list(mix.values())
        while self._going:
            self.lives += 1
            number = self.lives
            dice = random.Random(f"{self._seed}/{number}")  # noqa: S311 - repeatable, no secret
            story = dice.choices(stories, weights)[0]
            await self._live(number, story, dice)

    async def _live(self, number: int, story: Story, dice: random.Random) -> None:
        assert self._who is not None
        self.stories[story.__name__] += 1
        life = Life(number, self.clients, self._who, dice, self._fill_cart)
        try:
            await story(life)
        except GaveUp:
            pass  # the log has it
        except Exception as fault:
            self.log.complain(f"life {number} ({story.__name__}) broke off: {type(fault).__name__}: {fault}")

    async def _fill_cart(self, user: str, cart: dict[str, Any]) -> None:
        fields = "Content-Type: application/json\r\n"
        with suppress(Lost, NoConnection, NotHttp, OSError, TimeoutError):
            until = self._loop.time() + _FILL_WITHIN_S
            await self._partners.exchange("PUT", f"/sandbox/carts/{user}", fields, orjson.dumps(cart), until)

    def finish(self) -> None:
        """Begin no more lives, and wait until those that are led have ended."""
        self._going = False
        self._ask(self._finish(), ENDS_WITHIN_S + 10)

    async def _finish(self) -> None:
        if not self._crowd:
            return
        _, hanging = await asyncio.wait(self._crowd, timeout=ENDS_WITHIN_S)
        for task in hanging:
            self.log.complain(f"a life did not end within {ENDS_WITHIN_S:.0f} s")
            task.cancel()
        self._crowd = []

    def command(self, path: str, bearer: str) -> None:
        """One POST of a person of staff, until it has a final answer."""
        with suppress(GaveUp):
            self._ask(self.clients.write(-2, "POST", path, {}, bearer=bearer), ENDS_WITHIN_S)

    # --- promises ---

    def settle(self) -> None:
        """Ask again for every answer that was not final, until it is."""
        self._ask(self._repeat(list(self.log.unsettled.values())), ENDS_WITHIN_S + 10)

    def repeat_answers(self, share: float) -> int:
        """Ask again under a share of all keys that were answered for good: the bytes must be the same. How many."""
        dice = random.Random(f"again/{self._seed}/{time.monotonic_ns()}")  # noqa: S311
        again = [asked for asked in self.log.asked.values() if dice.random() < share]
        self._ask(self._repeat(again), 600)
        return len(again)

    async def _repeat(self, requests: list[Any]) -> None:
        left = iter(requests)

        async def one() -> None:
            for asked in left:
                with suppress(GaveUp):
                    await self.clients.settle(-1, asked)

        await asyncio.gather(*(one() for _ in range(32)))
