"""Orders that begin at a rate that asks nobody, while something is away: every answer is held against the documents."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp

DOCUMENTED = {
    "create": ("201", "202", "503"),
    "pay": ("200", "202", "409 stock-not-reserved", "503"),
    "get": ("200", "503"),
    "cancel": ("200", "503"),
}
UNHARMED = ("201", "202", "200")

_ORDERS = "/api/v1/orders"
_LIVES_PER_S = 12
_ONLY_PLACED_ONE_IN = 3
_CANCELLED_ONE_IN = 7
_HANGS_UP_S = 30.0


def basket(user: str) -> dict[str, object]:
    """A creation that names its prices and its token."""
    return {
        "userId": user,
        "currency": "EUR",
        "items": [{"productId": "cup", "name": "Cup", "quantity": 1, "unitPrice": 850}],
        "shippingAddress": {
            "name": "Ada Example",
            "line1": "1 Main Street",
            "city": "Springfield",
            "postalCode": "62701",
            "country": "US",
        },
        "paymentMethod": {"token": "tok_visa"},
    }


class Passersby:
    """Orders that begin at a rate that asks nobody, at one replica after the other; every answer is counted.

    ``acknowledged`` is the newest version of each order that a client was told.
    """

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self.away = False
        self.answers: Counter[str] = Counter()
        self.while_away: Counter[str] = Counter()
        self.faults: set[str] = set()
        self.slowest_s = 0.0
        self.acknowledged: dict[str, int] = {}
        self._unpaid: deque[str] = deque()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Live in a thread of its own; at the end every life that began is lived to its end."""
        loop = asyncio.new_event_loop()
        stop = asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._run(stop),))
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()

    async def _run(self, stop: asyncio.Event) -> None:
        timeout = aiohttp.ClientTimeout(total=_HANGS_UP_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as lives:
            number = 0
            while not stop.is_set():
                lives.create_task(self._live(session, number))
                number += 1
                await asyncio.sleep(1 / _LIVES_PER_S)

    async def _live(self, session: aiohttp.ClientSession, number: int) -> None:
        """One order, or, where it is turned away, one that was placed before and is not paid yet."""
        url = self._urls[number % len(self._urls)]
        other = self._urls[(number + 1) % len(self._urls)]
        placed = await self._ask(session, "create", "POST", url + _ORDERS, basket(f"user-{number % 20}"))
        if placed is not None and number % _ONLY_PLACED_ONE_IN == 0:
            self._unpaid.append(placed["id"])
            return
        if placed is None and not self._unpaid:
            return
        order_id = self._unpaid.popleft() if placed is None else placed["id"]
        path = f"{_ORDERS}/{order_id}"
        paid = await self._ask(session, "pay", "POST", f"{url}{path}/payment", {})
        await self._ask(session, "get", "GET", other + path)
        if number % _CANCELLED_ONE_IN == 0:
            await self._ask(session, "cancel", "POST", f"{other}{path}/cancel", {})
        elif paid is None:
            self._unpaid.append(order_id)

    async def _ask(
        self, session: aiohttp.ClientSession, step: str, method: str, url: str, body: object = None
    ) -> dict[str, Any] | None:
        away, began = self.away, time.monotonic()
        headers = {"Idempotency-Key": secrets.token_hex(12)} if method == "POST" else {}
        try:
            async with session.request(method, url, json=body, headers=headers) as reply:
                told = await reply.json(content_type=None)
                word = _word(reply.status, told)
                if reply.status == 503 and "Retry-After" not in reply.headers:
                    self.faults.add(f"{step}: 503 without Retry-After")
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as fault:
            told, word = {}, type(fault).__name__
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.answers[f"{step} {word}"] += 1
        if away:
            self.while_away[f"{step} {word}"] += 1
        if word not in DOCUMENTED[step]:
            self.faults.add(f"{step}: {word} {json.dumps(told)[:300]}")
        if not word.startswith("2"):
            return None
        known = self.acknowledged.get(told["id"], 0)
        self.acknowledged[told["id"]] = max(known, told["version"])
        return dict(told)


def _word(status: int, told: dict[str, Any]) -> str:
    """The status; with the code where the status alone does not say what it means."""
    return f"{status} {told['code']}" if status not in (200, 201, 202, 503) and "code" in told else str(status)
