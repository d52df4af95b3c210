"""What is due: calls that no living process is sending, and orders whose timer has come."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from order_service.core.answers import CallKind
from order_service.store.load import is_id
from order_service.store.statements import fetch, fetchval


class Claimed(Struct, frozen=True):
    """A call that is leased to this process, to be sent now.

    ``attempts`` counts the leases so far, this one included; ``age_s`` how long ago it was written; ``drop``: it came
    too late and is not to be sent.
    """

    call_id: str
    order_id: str
    kind: CallKind
    subject: str
    key: str
    request: bytes
    token: int
    attempts: int
    drop: bool
    age_s: float
    correlation_id: str
    traceparent: str | None


async def claim(
    pool: asyncpg.Pool, *, limit: int, lease_s: float, kinds: Sequence[CallKind] | None = None
) -> list[Claimed]:
    """Lease up to ``limit`` calls that are due, the longest due first, for ``lease_s`` seconds."""
    rows = await fetch(pool, "claim", limit=limit, lease_s=lease_s, kinds=None if kinds is None else list(kinds))
    return [
        Claimed(
            call_id=row["call_id"],
            order_id=row["order_id"],
            kind=CallKind(row["kind"]),
            subject=row["subject"],
            key=row["key"],
            request=row["request"],
            token=row["token"],
            attempts=row["attempts"],
            drop=row["late"],
            age_s=row["age_s"],
            correlation_id=row["correlation_id"],
            traceparent=row["traceparent"],
        )
        for row in rows
    ]


async def due_timers(pool: asyncpg.Pool, *, limit: int, skip: Sequence[str] = ()) -> list[str]:
    """Ids of orders whose timer has come, the longest due first, less those to skip."""
    return [row["id"] for row in await fetch(pool, "due_timers", limit=limit, skip=list(skip))]


async def next_due_in(pool: asyncpg.Pool) -> float | None:
    """Seconds until the next lease ends or the next timer comes; below 0 when something is due, None if nothing is."""
    seconds: float | None = await fetchval(pool, "next_due")
    return seconds


async def call_exists(pool: asyncpg.Pool, order_id: str, call_id: str) -> bool:
    """Whether the order ever owed a call of this id; False also for what is no id at all."""
    if not (is_id(order_id) and is_id(call_id)):
        return False
    exists: bool = await fetchval(pool, "call_exists", order_id=order_id, call_id=call_id)
    return exists
