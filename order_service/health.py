"""What the service stands on, part by part: up or down, with how it was found out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from order_service import faults
from order_service.partners.breaker import Breaker
from order_service.store.statements import fetchval

CHECK_WITHIN_S = 1.5
FRESH_S = 1.0
"""Answers are shared for this long: health checks of many probes must not become a load of their own."""

Check = Callable[[], Awaitable[str | None]]


class Health:
    """Runs every check at once, each within its time; a part is up unless its check says why not."""

    def __init__(self, checks: dict[str, Check]) -> None:
        self._checks = checks
        self._lock = asyncio.Lock()
        self._last: tuple[float, dict[str, Any]] = (float("-inf"), {})

    async def __call__(self) -> dict[str, Any]:
        """``{part: {"status": "up" | "down", "detail"?: ...}}``."""
        async with self._lock:
            taken, found = self._last
            if time.monotonic() - taken > FRESH_S:
                states = await asyncio.gather(*(self._run(check) for check in self._checks.values()))
                found = dict(zip(self._checks, states, strict=True))
                self._last = (time.monotonic(), found)
            return found

    @staticmethod
    async def _run(check: Check) -> dict[str, Any]:
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                detail = await check()
        except TimeoutError:
            detail = "no answer in time"
        except Exception as fault:  # a check that fails in whatever way says that its part is down
            detail = type(fault).__name__
        return {"status": "up"} if detail is None else {"status": "down", "detail": detail}


def database_check(pool: asyncpg.Pool) -> Check:
    """The database answers a question."""

    async def check() -> str | None:
        await fetchval(pool, "clock")
        return None

    return check


def partner_check(url: str, breaker: Breaker) -> Check:
    """A partner accepts connections, and answers what it was asked last."""
    reachable = reachable_check(url)

    async def check() -> str | None:
        return "gives no answer" if breaker.away else await reachable()

    return check


def reachable_check(url: str) -> Check:
    """Something accepts connections there."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)

    async def check() -> str | None:
        await _knock(parts.hostname or "", port)
        return None

    return check


def broker_check(bootstrap: str) -> Check:
    """One of the brokers accepts connections."""
    addresses = [address.strip().rpartition(":") for address in bootstrap.split(",") if address.strip()]

    async def check() -> str | None:
        for host, _, port in addresses:
            try:
                await _knock(host.strip("[]"), int(port))
            except OSError:
                continue
            return None
        return "no broker accepts connections"

    return check


async def _knock(host: str, port: int) -> None:
    """Connect and hang up; raises ``OSError``."""
    _, writer = await faults.around("tcp.knock", lambda: asyncio.open_connection(host, port))
    writer.close()
