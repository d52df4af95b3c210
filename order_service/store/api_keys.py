"""The table of API keys: hashes in, scopes and users out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from msgspec import Struct

from order_service.store.load import is_id
from order_service.store.statements import fetch, fetchval


class KeyRow(Struct, frozen=True):
    """A key that is good now; ``left_s`` is how many seconds it stays so, None for ever."""

    id: str
    scope: str
    user: str | None
    left_s: float | None


async def create_api_key(
    connection: asyncpg.Connection,
    *,
    digest: bytes,
    scope: str,
    user: str | None,
    name: str,
    expires_in_s: float | None,
) -> str:
    """Write a new key; its id."""
    created: str = await fetchval(
        connection, "create_api_key", hash=digest, scope=scope, user_id=user, name=name, expires_in_s=expires_in_s
    )
    return created


async def find_api_keys(pool: asyncpg.Pool, digests: Sequence[bytes]) -> dict[bytes, KeyRow]:
    """Those of the keys that are good now, by hash."""
    rows = await fetch(pool, "find_api_keys", hashes=list(digests))
    return {row["hash"]: KeyRow(row["id"], row["scope"], row["user_id"], row["left_s"]) for row in rows}


async def list_api_keys(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    """Every key there ever was, newest first, with the names of the command line."""
    return [
        {
            "id": row["id"],
            "scope": row["scope"],
            "user": row["user_id"],
            "name": row["name"],
            "state": row["state"],
            "createdAt": row["created_at"],
            "expiresAt": row["expires_at"],
            "revokedAt": row["revoked_at"],
        }
        for row in await fetch(connection, "list_api_keys")
    ]


async def revoke_api_key(connection: asyncpg.Connection, key_id: str) -> datetime | None:
    """When the key ended, now or before; None if there is no such key."""
    if not is_id(key_id):
        return None
    ended: datetime | None = await fetchval(connection, "revoke_api_key", id=key_id)
    return ended
