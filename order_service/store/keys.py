"""Idempotency-Keys: what a request with this key started, and what it was answered with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import asyncpg
from msgspec import Struct

from order_service.core.messages import Asked
from order_service.store.gather import Gather
from order_service.store.rows import Remember, StoredReply
from order_service.store.statements import execute, fetch

KEPT_S = 30 * 86400.0
"""Keys are kept for 30 days."""


class KeyRecord(Struct, frozen=True):
    """A bound key. ``busy``: its first request is in flight at this moment. ``reply`` is None until it is final."""

    fingerprint: bytes
    order_id: str
    asked: Asked
    busy: bool
    reply: StoredReply | None


Name: TypeAlias = tuple[str, str, str]
"""Principal, route and key."""


async def find_key(pool: asyncpg.Pool, principal: str, route: str, key: str) -> KeyRecord | None:
    """What the key is bound to, if it was used."""
    name = (principal, route, key)
    row = (await _rows(pool, [name])).get(name)
    return None if row is None else _record(row)


class Keys:
    """Finds keys; callers that come while a statement is under way share the next one."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._found = Gather(partial(_rows, pool), _record)

    async def find(self, principal: str, route: str, key: str) -> KeyRecord | None:
        """What the key is bound to, if it was used before this call began."""
        return await self._found((principal, route, key))


async def _rows(pool: asyncpg.Pool, names: Sequence[Name]) -> dict[Name, asyncpg.Record]:
    principals, routes, keys = ([name[part] for name in names] for part in range(3))
    rows = await fetch(pool, "find_key", principals=principals, routes=routes, keys=keys)
    return {(row["principal"], row["route"], row["key"]): row for row in rows}


def _record(row: asyncpg.Record) -> KeyRecord:
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
