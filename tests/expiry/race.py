"""Payments fired at the very second at which their orders expire, and what became of each."""

from __future__ import annotations

import asyncio
import json
import random
import time
from datetime import datetime
from typing import Any, NamedTuple

import aiohttp

from tests.system.harness import System, basket

_TOKENS = ("tok_visa",) * 6 + ("tok_timeout_after", "tok_processing")
_CANCELLED_TOO = 0.15
"""This share of the orders is cancelled by its customer in the same moment."""

_FROM_S, _TO_S = -0.1, 0.5
"""When payments are fired, from the moment of expiry; the sweep comes up to half a second after it."""

_PLACED_AT_ONCE = 24


class Raced(NamedTuple):
    """One order and its payment. Times are seconds since 1970; ``told`` is the status, or the code of the refusal."""

    order_id: str
    token: str
    expires_at: float
    sent_at: float
    answered_at: float
    told: str


def race(system: System, replicas: list[str], runs: int, seed: int) -> list[Raced]:
    """Place ``runs`` orders side by side and pay each around its expiry, by any of the replicas."""
    return asyncio.run(_race(replicas, runs, random.Random(seed)))


async def _race(replicas: list[str], runs: int, chance: random.Random) -> list[Raced]:
    door = asyncio.Semaphore(_PLACED_AT_ONCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            where = chance.choice(replicas) + path
            async with session.post(where, json=body) as reply:
                return reply.status, json.loads(await reply.read())

        async def placed(n: int) -> dict[str, Any]:
            """An order whose stock is held; on a busy machine that takes longer than a request may."""
            status, order = await post("/api/v1/orders", basket(userId=f"user-{n % 50}"))
            assert status in (201, 202), order
            while order["stock"] == "reserving":
                await asyncio.sleep(0.02)
                async with session.get(f"{chance.choice(replicas)}/api/v1/orders/{order['id']}") as reply:
                    order = json.loads(await reply.read())
            assert (order["status"], order["stock"]) == ("pending", "reserved"), order
            return order

        async def one(n: int) -> Raced:
            async with door:
                order = await placed(n)
            expires_at = datetime.fromisoformat(order["expiresAt"]).timestamp()
            path = f"/api/v1/orders/{order['id']}"
            token = chance.choice(_TOKENS)
            others = []
            if chance.random() < _CANCELLED_TOO:
                others.append(_at(expires_at + chance.uniform(_FROM_S, _TO_S), lambda: post(f"{path}/cancel", {})))
            pay_at = expires_at + chance.uniform(_FROM_S, _TO_S)
            paid, *cancelled = await asyncio.gather(
                _at(pay_at, lambda: post(f"{path}/payment", {"paymentMethod": {"token": token}})), *others
            )
            assert [status for _, _, (status, _) in cancelled] in ([], [200])
            sent_at, answered_at, (status, body) = paid
            return Raced(order["id"], token, expires_at, sent_at, answered_at, body.get("code", str(status)))

        return await asyncio.gather(*(one(n) for n in range(runs)))


async def _at(moment: float, work: Any) -> tuple[float, float, tuple[int, dict[str, Any]]]:
    await asyncio.sleep(max(0.0, moment - time.time()))
    sent_at = time.time()
    answer = await work()
    return sent_at, time.time(), answer
