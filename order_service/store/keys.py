"""Idempotency-Keys: what a request with this key started, and what it was answered with."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from order_service.core.messages import Asked
from order_service.store.commit import Remember, StoredReply


class KeyRecord(Struct, frozen=True):
    """A bound key. ``busy``: its first request is in flight at this moment. ``reply`` is None until it is final."""

    fingerprint: bytes
    order_id: str
    asked: Asked
    busy: bool
    reply: StoredReply | None


async def find_key(pool: asyncpg.Pool, principal: str, route: str, key: str) -> KeyRecord | None:
    """What the key is bound to, if it was used."""
    raise NotImplementedError


async def release_key(pool: asyncpg.Pool, principal: str, route: str, key: str) -> None:
    """The request is not in flight any more (it got its interim answer): a twin may ask at once."""
    raise NotImplementedError


async def remember(pool: asyncpg.Pool, replies: Sequence[Remember]) -> None:
    """Store final answers of bound keys; an answer that is stored already stays."""
    raise NotImplementedError


async def purge_keys(pool: asyncpg.Pool, *, older_than_s: float = 30 * 86400, limit: int = 1000) -> int:
    """Forget keys that are too old; how many were forgotten."""
    raise NotImplementedError
