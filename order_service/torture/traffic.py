"""Orders as clients send them: at a steady rate, whatever the answers do, on connections that are kept, no retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from typing import Any

import aiohttp
from msgspec import Struct

ANSWER_WITHIN_S = 60.0
AT_ONCE = 128
"""More are never under way: on a machine that is too slow for the rate they come later, and none is turned away."""

ON_A_NEW_CONNECTION = 0.2
"""The share of the requests that open a connection of their own and close it."""

_GOOD = {"create": {201, 202}, "pay": {200, 202}, "cancel": {200}, "get": {200}}


class Failure(Struct, frozen=True):
    """A request that was not answered as it must be; ``at_s`` after the first one."""

    at_s: float
    step: str
    told: str


class Traffic:
    """Creates, pays, reads and cancels orders, ``rate`` requests a second, until it is told to stop."""

    def __init__(self, url: str, *, rate: float, seed: int) -> None:
        self._url = url
        self._rate = rate
        self._chance = random.Random(seed)  # noqa: S311 - a seed must bring a run back
        self._lives: deque[tuple[str, list[str]]] = deque()
        self._stopping = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._started = 0.0
        self.answers: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.took_ms: list[float] = []

    @property
    def requests(self) -> int:
        """How many were answered, one way or the other."""
        return self.answers.total() + len(self.failures)

    def stop(self) -> None:
        """Send nothing more; ``run`` returns when everything is answered."""
        self._stopping.set()

    async def run(self) -> None:
        """Send, each request at its time, whether the ones before are answered or not, up to ``AT_ONCE``."""
        self._started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        kept, new = aiohttp.TCPConnector(limit=0), aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            aiohttp.ClientSession(self._url, connector=kept, timeout=timeout) as pool,
            aiohttp.ClientSession(self._url, connector=new, timeout=timeout) as single,
            asyncio.TaskGroup() as tasks,
        ):
            for session in (pool, single):
                session._retry_connection = False  # it would send a GET again whose connection was closed under it
            sent = 0
            while not self._stopping.is_set():
                wait_s = self._started + sent / self._rate - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                await self._room.acquire()
                sent += 1
                session = single if self._chance.random() < ON_A_NEW_CONNECTION else pool
                task = tasks.create_task(self._next_step(session))
                task.add_done_callback(lambda _: self._room.release())

    async def _next_step(self, session: aiohttp.ClientSession) -> None:
        if self._lives and self._chance.random() < 0.8:
            order_id, steps = self._lives.popleft()
        else:
            order_id, steps = "", ["create", *self._chance.choice((["get", "pay", "get"], ["cancel", "get"], ["pay"]))]
        step, *later = steps
        order_id = await self._send(session, step, order_id)
        if order_id and later:
            self._lives.append((order_id, later))

    async def _send(self, session: aiohttp.ClientSession, step: str, order_id: str) -> str:
        """One request; the id of its order, or nothing where it failed."""
        method, path, body = _request(step, order_id)
        began = time.monotonic()
        try:
            async with session.request(method, path, json=body) as reply:
                told = await reply.read()
                if reply.status in _GOOD[step]:
                    self.answers[f"{step} {reply.status}"] += 1
                    self.took_ms.append((time.monotonic() - began) * 1000)
                    return order_id or str((await reply.json())["id"])
                fault = f"{reply.status} {told[:200].decode(errors='replace')}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            fault = f"{type(error).__name__}: {error}"
        self.failures.append(Failure(round(began - self._started, 3), step, fault))
        return ""


def _request(step: str, order_id: str) -> tuple[str, str, Any]:
    order = f"/api/v1/orders/{order_id}"
    if step == "create":
        return "POST", "/api/v1/orders", _BASKET
    if step == "pay":
        return "POST", f"{order}/payment", {"paymentMethod": {"token": "tok_visa"}}
    if step == "cancel":
        return "POST", f"{order}/cancel", {"reason": "changed my mind"}
    return "GET", order, None


_BASKET = {
    "userId": "traffic",
    "currency": "EUR",
    "items": [{"productId": "cup", "name": "Cup", "quantity": 1, "unitPrice": 850}],
    "shippingAddress": {
        "name": "Ada Example",
        "line1": "1 Main Street",
        "city": "Springfield",
        "postalCode": "62701",
        "country": "US",
    },
}
