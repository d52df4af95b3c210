"""A cheap load: orders that are placed, paid, read and, one in four, cancelled, in a closed or an open loop.

In a closed loop so many clients live one order after the other. In an open loop orders begin at a rate that asks
nobody, as customers do. A request that is turned away is not repeated, and ends its order's life: that is counted.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct, field

from order_service.partners.http1 import Answer, Connections, Lost, NoConnection, NotHttp

Step = Literal["create", "pay", "get", "cancel"]
STEPS: tuple[Step, ...] = ("create", "pay", "get", "cancel")
CANCELS_ONE_IN = 4
PATIENCE_S = 10.0
"""A client hangs up after this."""

LONGEST_PAUSE_S = 3.0
_CONNECTIONS = 850
_FIELDS = "Content-Type: application/json\r\nAuthorization: Bearer none\r\n"
_BASKET = (
    b'{"userId":"%b","currency":"EUR","items":[{"productId":"cup","name":"Cup","quantity":1,"unitPrice":850}],'
    b'"shippingAddress":{"name":"Ada Example","line1":"1 Main Street","city":"Springfield","postalCode":"62701",'
    b'"country":"US"},"paymentMethod":{"token":"tok_visa"}}'
)


class _Placed(Struct):
    id: str


_placed = msgspec.json.Decoder(_Placed).decode


class Tally(Struct):
    """What came of the requests of one phase. Latencies are seconds, ``starts`` when each answer's request was sent.

    ``through`` counts the answers that belong to orders which got through all their steps.
    """

    began_at: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    turned_away: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    through: int = 0
    lives: int = 0
    refused_at_s: list[float] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    users_refused: list[str] = field(default_factory=list)
    orders_unpaid: list[str] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Successful answers a second, of orders that got through."""
        return self.through / self.seconds

    def share(self, *steps: Step) -> float:
        """Which part of these requests succeeded."""
        asked = sum(self.asked[step] for step in steps)
        return sum(self.succeeded[step] for step in steps) / asked if asked else 1.0

    def percentile(self, part: float, since_s: float = 0.0, until_s: float = float("inf")) -> float:
        """The latency, in seconds, that this part of the successful answers did not exceed; 0 without answers."""
        taken = sorted(s for at, s in self.latencies if since_s <= at - self.began_at < until_s)
        return taken[min(len(taken) - 1, int(part * len(taken)))] if taken else 0.0


class Load:
    """Clients of one service; make it inside the running loop."""

    def __init__(self, url: str) -> None:
        self._connections = Connections(url, limit=_CONNECTIONS, idle_s=20.0, max_body=2**20)
        self._numbers: Iterator[int] = itertools.count()
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Hang up."""
        self._connections.close()

    async def closed(self, clients: int, seconds: float) -> Tally:
        """So many clients, each with one order after the other; who is turned away waits as long as it was told."""
        tally = Tally()
        end = tally.began_at + seconds

        async def client() -> None:
            while time.monotonic() < end:
                pause_s = await self._life(tally)
                if pause_s:
                    await asyncio.sleep(min(pause_s, LONGEST_PAUSE_S, max(0.0, end - time.monotonic())))

        await asyncio.gather(*(client() for _ in range(clients)))
        tally.seconds = time.monotonic() - tally.began_at
        return tally

    async def open(self, rate: float, seconds: float, *, until: Callable[[Tally], bool] = lambda _: False) -> Tally:
        """``rate`` new orders a second, evenly, whatever becomes of the others; ends early when ``until`` says so."""
        tally = Tally()
        lives: set[asyncio.Task[float]] = set()
        begun = 0
        while (now := time.monotonic() - tally.began_at) < seconds and not until(tally):
            for _ in range(int(now * rate) - begun):
                life = asyncio.create_task(self._life(tally))
                lives.add(life)
                life.add_done_callback(lives.discard)
                begun += 1
            await asyncio.sleep(0.005)
        tally.seconds = time.monotonic() - tally.began_at
        if lives:
            await asyncio.wait(lives)
        return tally

    async def _life(self, tally: Tally) -> float:
        """One order; returns how many seconds the client was asked to wait, 0 if it got through."""
        number = next(self._numbers)
        user = b"user-%d" % number
        tally.lives += 1
        answer = await self._ask(tally, "create", "POST", "/api/v1/orders", _BASKET % user, b"c-%d" % number)
        if answer is None or answer.status not in (201, 202):
            tally.users_refused.append(user.decode())
            return _pause_s(answer)
        assert answer.body is not None
        order_id = _placed(answer.body).id
        path = f"/api/v1/orders/{order_id}"
        steps: list[tuple[Step, str, str]] = [("pay", "POST", f"{path}/payment"), ("get", "GET", path)]
        if number % CANCELS_ONE_IN == 0:
            steps.append(("cancel", "POST", f"{path}/cancel"))
        for step, method, target in steps:
            body = b"" if method == "POST" else None
            answer = await self._ask(tally, step, method, target, body, b"%b-%d" % (step.encode(), number))
            if answer is None or answer.status not in (200, 202):
                if step == "pay":
                    tally.orders_unpaid.append(order_id)
                return _pause_s(answer)
        tally.through += 1 + len(steps)
        return 0.0

    async def _ask(
        self, tally: Tally, step: Step, method: str, path: str, body: bytes | None, key: bytes
    ) -> Answer | None:
        tally.asked[step] += 1
        began = time.monotonic()
        fields = f"{_FIELDS}Idempotency-Key: {key.decode()}\r\n" if body is not None else _FIELDS
        try:
            answer = await self._connections.exchange(method, path, fields, body, self._loop.time() + PATIENCE_S)
        except (TimeoutError, NoConnection, Lost, NotHttp, OSError) as fault:
            tally.failed[type(fault).__name__] += 1
            return None
        took_s = time.monotonic() - began
        if answer.status in (200, 201, 202):
            tally.succeeded[step] += 1
            tally.latencies.append((began, took_s))
        elif answer.status == 503:
            tally.turned_away[step] += 1
            tally.refused_at_s.append(began - tally.began_at)
        else:
            tally.failed[str(answer.status)] += 1
        return answer


def _pause_s(answer: Answer | None) -> float:
    if answer is None or not answer.retry_after.isdigit():
        return 1.0
    return float(answer.retry_after)
