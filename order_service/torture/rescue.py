"""How soon what a dead replica owed is done by another one: default settings, partners that answer within a second.

Victims are given orders, and each is killed while it waits for partners' answers. Its orders with a call that is still
owed at that moment are stranded; each is timed from SIGKILL until nothing is owed for it any more. One replica, which
no client asks anything, does all of that.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import statistics
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress

import asyncpg
import orjson
from msgspec import Struct, field

from order_service.partners.http1 import Connections, Lost, NoConnection, NotHttp
from order_service.torture.lives import ADDRESS
from order_service.torture.proof import verify
from order_service.torture.replicas import Replica
from order_service.torture.stack import Stack

DEFAULTS = {"REQUEST_DEADLINE": "6", "PARTNER_TIMEOUT": "7", "LEASE": "9", "LOG_LEVEL": "error"}
"""Seconds: what the service has if nobody sets anything."""

LIMIT_S = 15.0
"""99 of 100 stranded orders are at rest within this."""

LATE_S = 0.6
"""Partners do what they are asked at once, and answer this much later."""

VICTIMS = 4
_ORDERS_EACH = 12
_LOAD_S = (1.5, 3.0)
_LOOK_S = 0.05
_OWES_WITHIN_S = 10.0
_ROUNDS_AT_MOST = 3
"""For each kill that is wanted; a victim that owed nothing is no kill."""

_REST_WITHIN_S = 120.0
_OWED = """
select distinct order_id::text from partner_calls
where state = 'open' and kind <> 'late_check' and order_id = any($1::uuid[])
"""


class Rescue(Struct):
    """What was measured: seconds from SIGKILL to rest, one of each stranded order."""

    seed: int
    kills: int = 0
    """Of replicas that owed something."""
    waits_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    orders: int = 0
    took_s: float = 0.0

    def percentile(self, part: float) -> float:
        """The seconds that this part of the orders did not exceed."""
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0

    @property
    def survived(self) -> bool:
        """Whether all orders were rescued, soon enough, and nothing was broken."""
        return not self.failures and bool(self.waits_s) and self.percentile(0.99) <= LIMIT_S


class _Refused(Exception):
    """The service has said no, as it may."""


class _Victim:
    """A replica to be killed, and the orders that it was given."""

    def __init__(self, replica: Replica, dice: random.Random) -> None:
        self.replica = replica
        self.orders: set[str] = set()
        self.killed_at = 0.0
        self._dice = dice
        self._ways = Connections(replica.url, limit=64, idle_s=30, max_body=2**20)
        self._clients = [asyncio.create_task(self._order_on()) for _ in range(_ORDERS_EACH)]

    async def _order_on(self) -> None:
        with suppress(Lost, NoConnection, NotHttp, OSError, TimeoutError):
            await asyncio.sleep(self._dice.uniform(0, LATE_S))  # not all in step
            while True:
                try:
                    await self._lead_a_life()
                except _Refused:
                    await asyncio.sleep(_LOOK_S)

    async def _lead_a_life(self) -> None:
        items = [{"productId": "cup", "name": "Cup", "quantity": 1, "unitPrice": 850}]
        body = {"userId": "ada", "currency": "EUR", "items": items, "shippingAddress": ADDRESS}
        order_id = await self._ask("", body)
        if self._dice.random() < 0.3:
            await self._ask(f"/{order_id}/cancel", {})
            return
        await self._ask(f"/{order_id}/payment", {"paymentMethod": {"token": "tok_visa"}})
        if self._dice.random() < 0.5:
            await self._ask(f"/{order_id}/cancel", {})

    async def _ask(self, path: str, body: object) -> str:
        key = uuid.UUID(int=self._dice.getrandbits(128))
        fields = f"Content-Type: application/json\r\nIdempotency-Key: {key}\r\n"
        until = self._ways.loop.time() + 30
        answer = await self._ways.exchange("POST", f"/api/v1/orders{path}", fields, orjson.dumps(body), until)
        if answer.status in (409, 503):  # not yet reserved, or too busy: another order then
            raise _Refused
        assert answer.status in (200, 201, 202), answer
        order_id = str(orjson.loads(answer.body or b"")["id"])
        self.orders.add(order_id)
        return order_id

    async def kill(self) -> None:
        """SIGKILL; its clients give up."""
        self.killed_at = time.monotonic()
        self.replica.signal(signal.SIGKILL)
        await asyncio.gather(*self._clients)
        self._ways.close()


def run_rescue(seed: int, kills: int, say: Callable[[str], None]) -> Rescue:
    """Kill so many replicas that owe something; raises ``LauncherError``."""
    began = time.monotonic()
    measured = Rescue(seed)
    with Stack(settings=DEFAULTS, say=say) as stack:
        asyncio.run(_measure(stack, measured, kills, say))
        proven = verify(stack)
        measured.failures += proven.failures
        stack.keep = not measured.survived
    measured.took_s = time.monotonic() - began
    return measured


async def _measure(stack: Stack, measured: Rescue, kills: int, say: Callable[[str], None]) -> None:
    dice = random.Random(f"rescue/{measured.seed}")  # noqa: S311 - repeatable, no secret
    weather = {"seed": measured.seed, "rates": {"answer-late": 1.0}, "lateS": LATE_S}
    await asyncio.to_thread(stack.partner, "PUT", "/sandbox/network", weather)
    rescuer = stack.replica("rescuer")
    await asyncio.to_thread(rescuer.wait_ready)
    connection = await asyncpg.connect(stack.database)
    try:
        for _ in range(_ROUNDS_AT_MOST * kills):
            await _round(stack, measured, connection, dice, min(VICTIMS, kills - measured.kills))
            told = f"{measured.kills} kills, {len(measured.waits_s)} stranded orders, the longest at rest after"
            say(f"{told} {max(measured.waits_s, default=0):.1f} s")
            if measured.failures or measured.kills == kills:
                return
        measured.failures.append(f"only {measured.kills} victims owed anything when they were killed")
    finally:
        await connection.close()


async def _round(
    stack: Stack, measured: Rescue, connection: asyncpg.Connection, dice: random.Random, victims_now: int
) -> None:
    replicas = [stack.replica(f"victim-{n}") for n in range(victims_now)]
    for replica in replicas:
        await asyncio.to_thread(replica.wait_ready)
    victims = [_Victim(replica, dice) for replica in replicas]
    stranded: dict[str, float] = {}
    await asyncio.sleep(dice.uniform(*_LOAD_S))
    for victim in victims:
        for _ in range(int(_OWES_WITHIN_S / _LOOK_S)):
            if await _owed(connection, victim.orders):
                break
            await asyncio.sleep(_LOOK_S)
        await victim.kill()
        measured.orders += len(victim.orders)
        owed = await _owed(connection, victim.orders)
        measured.kills += bool(owed)  # who owed nothing is replaced in the next round
        stranded |= dict.fromkeys(owed, victim.killed_at)
    while stranded:
        owed = await _owed(connection, stranded)
        now = time.monotonic()
        for order_id in stranded.keys() - owed:
            measured.waits_s.append(now - stranded.pop(order_id))
        if stranded and now - min(stranded.values()) > _REST_WITHIN_S:
            measured.failures.append(f"not at rest within {_REST_WITHIN_S:.0f} s: {', '.join(sorted(stranded))}")
            return
        await asyncio.sleep(_LOOK_S)


async def _owed(connection: asyncpg.Connection, orders: Iterable[str]) -> set[str]:
    rows = await connection.fetch(_OWED, list(orders))
    return {row["order_id"] for row in rows}


def as_json(measured: Rescue) -> str:
    """The result as one JSON document; times in seconds."""
    return json.dumps(
        {
            "seed": measured.seed,
            "survived": measured.survived,
            "kills": measured.kills,
            "strandedOrders": len(measured.waits_s),
            "p50S": round(measured.percentile(0.5), 2),
            "p99S": round(measured.percentile(0.99), 2),
            "maxS": round(max(measured.waits_s, default=0.0), 2),
            "meanS": round(statistics.fmean(measured.waits_s), 2) if measured.waits_s else 0,
            "limitS": LIMIT_S,
            "orders": measured.orders,
            "failures": measured.failures,
            "tookS": round(measured.took_s, 1),
        },
        indent=1,
    )


def told(measured: Rescue) -> str:
    """The result in sentences."""
    lines = [
        f"{measured.kills} replicas were killed; {len(measured.waits_s)} orders were stranded, and at rest after "
        f"{measured.percentile(0.5):.1f} s (half of them), {measured.percentile(0.99):.1f} s (99 of 100), "
        f"{max(measured.waits_s, default=0):.1f} s (all). The limit is {LIMIT_S:.0f} s for 99 of 100.",
        *measured.failures,
        f"{'Survived' if measured.survived else 'NOT survived'} with seed {measured.seed} ({measured.took_s:.0f} s).",
    ]
    return "\n".join(lines)
