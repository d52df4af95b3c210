"""What is due: calls that no living process is sending, and orders whose timer has come."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

import asyncpg
from msgspec import Struct

from order_service.core.answers import CallKind


class Claimed(Struct, frozen=True):
    """A call that is leased to this process, to be sent now.

    ``attempts`` counts the leases so far, this one included; ``drop``: it came too late and is not to be sent.
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
    correlation_id: str
    traceparent: str | None


async def claim(
    pool: asyncpg.Pool, *, limit: int, lease_s: float, kinds: Sequence[CallKind] | None = None
) -> list[Claimed]:
    """Lease up to ``limit`` calls that are due, the longest due first, for ``lease_s`` seconds."""
    raise NotImplementedError


async def due_timers(pool: asyncpg.Pool, *, limit: int, skip: Sequence[str | uuid.UUID] = ()) -> list[str]:
    """Ids of orders whose timer has come, the longest due first, less those to skip."""
    raise NotImplementedError


async def next_due(pool: asyncpg.Pool) -> datetime | None:
    """When the next lease ends or the next timer comes, whichever is first; in the past when something is due."""
    raise NotImplementedError


async def call_exists(pool: asyncpg.Pool, order_id: str | uuid.UUID, call_id: str) -> bool:
    """Whether the order ever owed a call of this id; False also for what is no id at all."""
    raise NotImplementedError
