"""Closed-loop clients of the service: each asks the next thing when it has the answer to the last."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct

from order_service.partners.http1 import Connections

USERS = 1000
BIG_USER = "user-big"
_PATIENCE_S = 20.0
_ORDERS_KEPT = 50_000
_BASKET = (
    b'{"userId":"%b","currency":"USD","items":['
    b'{"productId":"prod-%d","sku":"SKU-1","name":"Blue cotton t-shirt","quantity":1,"unitPrice":1999},'
    b'{"productId":"prod-%d","sku":"SKU-2","name":"Running shoes","quantity":2,"unitPrice":8950},'
    b'{"productId":"prod-%d","sku":"SKU-3","name":"Water bottle","quantity":3,"unitPrice":1225}],'
    b'"shippingAddress":{"name":"Ada Example","line1":"1 Main Street","city":"Springfield","region":"IL",'
    b'"postalCode":"62701","country":"US"},"shippingCost":500,"tax":300}'
)


class _Placed(Struct):
    id: str


class _Page(Struct, rename="camel"):
    next_cursor: str | None


_placed = msgspec.json.Decoder(_Placed).decode
_page = msgspec.json.Decoder(_Page).decode
_random = random.Random(1)  # noqa: S311 - which order is read next is no secret


class Unexpected(Exception):
    """An answer that a healthy service does not give: the figures would be worth nothing."""


class Taken(Struct):
    """Latencies in seconds of one step of a workload, and how long the workload ran."""

    seconds: float
    lives: int
    """How often the whole workload was done."""
    latencies: list[float]

    def percentile_ms(self, part: float) -> float:
        """The latency, in milliseconds, that this part of the answers did not exceed."""
        return 1000 * self.latencies[min(len(self.latencies) - 1, int(part * len(self.latencies)))]


class Clients:
    """All clients of one run; make it inside the running loop. ``close`` hangs up."""

    def __init__(self, url: str, key: str, *, most: int) -> None:
        self.orders: list[str] = []
        self.deep_cursor = ""
        self._fresh: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._connections = Connections(url, limit=most, idle_s=60.0, max_body=2**20)
        self._fields = f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self._name = f"bench-{secrets.token_hex(4)}"
        self._numbers = itertools.count()
        self.close = self._connections.close

    async def run(
        self,
        life: Callable[[], Awaitable[float]],
        clients: int,
        *,
        seconds: float = 1e9,
        times: int = 10**9,
        per_s: float = 1e9,
    ) -> Taken:
        """So many clients at once, for so long or so often; ``life`` returns the latency that counts.

        They begin no more than ``per_s`` lives a second, evenly spread.
        """
        latencies: list[float] = []
        began = turn = time.monotonic()
        left = times

        async def client() -> None:
            nonlocal left, turn
            while left > 0 and time.monotonic() - began < seconds:
                left -= 1
                mine, turn = turn, turn + 1 / per_s
                if mine > time.monotonic():
                    await asyncio.sleep(mine - time.monotonic())
                latencies.append(await life())

        async with asyncio.TaskGroup() as group:
            for _ in range(min(clients, times)):
                group.create_task(client())
        took_s = time.monotonic() - began
        latencies.sort()
        return Taken(took_s, len(latencies), latencies)

    # --- workloads: each returns the seconds that its last, or only, request took ---

    async def create(self, user: str = "") -> float:
        """A new order: available, reserved, cart cleared, written."""
        began = time.perf_counter()
        self._fresh.append(await self._create(user))
        return time.perf_counter() - began

    async def create_and_pay(self) -> float:
        """A new order, paid at once; the latency is that of both."""
        began = time.perf_counter()
        await self._pay(await self._create())
        return time.perf_counter() - began

    async def pay(self) -> float:
        """Pay an order that waits for it."""
        order_id = self._fresh.pop() if self._fresh else await self._create()
        began = time.perf_counter()
        await self._pay(order_id)
        return time.perf_counter() - began

    async def whole_life(self) -> float:
        """Created, paid, processed, shipped, delivered and read; the latency is that of all six."""
        began = time.perf_counter()
        order_id = await self._create()
        await self._pay(order_id)
        for status in (b"processing", b"shipped", b"delivered"):
            await self._ask("PUT", f"/api/v1/orders/{order_id}/status", b'{"status":"%b"}' % status)
        await self._ask("GET", f"/api/v1/orders/{order_id}")
        return time.perf_counter() - began

    async def get(self) -> float:
        """Some order."""
        began = time.perf_counter()
        await self._ask("GET", f"/api/v1/orders/{_random.choice(self.orders)}")
        return time.perf_counter() - began

    async def first_page(self) -> float:
        """The 20 newest orders of the user who has 10,000."""
        return await self._list(f"/api/v1/orders/user/{BIG_USER}?limit=20")

    async def thousandth_page(self) -> float:
        """The last 10 orders of that user, where the 1,000th page of 10 begins."""
        return await self._list(f"/api/v1/orders/user/{BIG_USER}?limit=10&cursor={self.deep_cursor}")

    async def mixed(self) -> float:
        """60 % reads (get 45, page 15), 25 % new orders, 15 % payments."""
        chance = _random.random()
        if chance < 0.45:
            return await self.get()
        if chance < 0.60:
            return await self._list(f"/api/v1/orders/user/user-{_random.randrange(USERS)}?limit=20")
        return await (self.create() if chance < 0.85 else self.pay())

    async def find_deep_cursor(self, orders: int) -> None:
        """Go to the page before the last of the user with so many orders."""
        path = f"/api/v1/orders/user/{BIG_USER}"
        cursor = ""
        for limit in (*(100,) * (orders // 100 - 1), *(10,) * 9):
            more = f"&cursor={cursor}" if cursor else ""
            cursor = _page(await self._ask("GET", f"{path}?limit={limit}{more}")).next_cursor or ""
        self.deep_cursor = cursor

    # --- one request ---

    async def _create(self, user: str = "") -> str:
        name = user or f"user-{_random.randrange(USERS)}"
        products = (_random.randrange(5000), _random.randrange(5000), _random.randrange(5000))
        body = await self._ask("POST", "/api/v1/orders", _BASKET % (name.encode(), *products))
        order_id = _placed(body).id
        if len(self.orders) < _ORDERS_KEPT:
            self.orders.append(order_id)
        return order_id

    async def _pay(self, order_id: str) -> None:
        await self._ask("POST", f"/api/v1/orders/{order_id}/payment", b'{"paymentMethod":{"token":"tok_visa"}}')

    async def _list(self, path: str) -> float:
        began = time.perf_counter()
        await self._ask("GET", path)
        return time.perf_counter() - began

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        fields = (
            self._fields if body is None else f"{self._fields}Idempotency-Key: {self._name}-{next(self._numbers)}\r\n"
        )
        answer = await self._connections.exchange(method, path, fields, body, self._loop.time() + _PATIENCE_S)
        if answer.status not in (200, 201) or answer.body is None:
            raise Unexpected(f"{method} {path} was answered {answer.status}: {(answer.body or b'')[:500]!r}")
        return answer.body
