"""Idempotency-Keys: what a request with this key started, and what it was answered with."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from order_service.core.messages import Asked
from order_service.store.rows import Remember, StoredReply
from order_service.store.statements import execute, fetchrow

KEPT_S = 30 * 86400.0
"""Keys are kept for 30 days."""


class KeyRecord(Struct, frozen=True):
    """A bound key. ``busy``: its first request is in flight at this moment. ``reply`` is None until it is final."""

    fingerprint: bytes
    order_id: str
    asked: Asked
    busy: bool
    reply: StoredReply | None


async def find_key(pool: asyncpg.Pool, principal: str, route: str, key: str) -> KeyRecord | None:
    """What the key is bound to, if it was used."""
    row = await fetchrow(pool, "find_key", principal=principal, route=route, key=key)
    if row is None:
        return None
    asked = Asked(row["asked_kind"], row["asked_number"], row["asked_unchanged"])
    return KeyRecord(row["fingerprint"], row["order_id"], asked, row["busy"], _reply(row))


def _reply(row: asyncpg.Record) -> StoredReply | None:
    if row["response_status"] is None:
        return None
    return StoredReply(row["response_status"], row["response_body"], row["response_version"], row["response_problem"])


async def release_key(pool: asyncpg.Pool, principal: str, route: str, key: str) -> None:
    """The request is not in flight any more (it got its interim answer): a twin may ask at once."""
    await execute(pool, "release_key", principal=principal, route=route, key=key)


async def remember(pool: asyncpg.Pool, replies: Sequence[Remember]) -> None:
    """Store final answers of bound keys; an answer that is stored already stays."""
    ordered = sorted(replies, key=lambda r: (r.principal, r.route, r.key))
    await execute(
        pool,
        "remember",
        principal=[r.principal for r in ordered],
        route=[r.route for r in ordered],
        key=[r.key for r in ordered],
        status=[r.reply.status for r in ordered],
        body=[r.reply.body for r in ordered],
        version=[r.reply.version for r in ordered],
        problem=[r.reply.problem for r in ordered],
    )


async def purge_keys(pool: asyncpg.Pool, *, older_than_s: float = KEPT_S, limit: int = 1000) -> int:
    """Forget keys that are too old; how many were forgotten."""
    told = await execute(pool, "purge_keys", older_than_s=older_than_s, limit=limit)
    return int(told.removeprefix("DELETE "))
