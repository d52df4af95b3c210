"""What is shown: documents, pages of a user's orders, history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
from msgspec import Struct

from order_service.core.lifecycle import Status
from order_service.store.gather import Gather
from order_service.store.load import document, is_id
from order_service.store.statements import fetch, fetchval


class Document(Struct, frozen=True):
    """An order as the API shows it, ready to send."""

    user_id: str
    version: int
    body: bytes


class Documents:
    """Reads one order at a time; callers that come while a statement is under way share the next one."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._found = Gather(partial(_rows, pool), _one)

    async def one(self, order_id: str) -> Document | None:
        """The order as of some moment after this call began, or None."""
        return await self._found(order_id) if is_id(order_id) else None


async def one_document(pool: asyncpg.Pool, order_id: str) -> Document | None:
    """The order, or None."""
    if not is_id(order_id):
        return None
    row = (await _rows(pool, [order_id])).get(order_id)
    return None if row is None else _one(row)


async def _rows(pool: asyncpg.Pool, ids: Sequence[str]) -> dict[str, asyncpg.Record]:
    return {row["id"]: row for row in await fetch(pool, "one_document", ids=ids)}


def _one(row: asyncpg.Record) -> Document:
    return Document(row["user_id"], row["version"], _document(row))


async def user_page(
    pool: asyncpg.Pool, user_id: str, *, limit: int, before_id: str | None = None, status: Status | None = None
) -> list[tuple[str, bytes]]:
    """Up to ``limit`` orders of a user, newest first, as (id, document), from behind ``before_id`` on."""
    rows = await fetch(pool, "user_page", user_id=user_id, limit=limit, before_id=before_id, status=status)
    return [(row["id"], _document(row)) for row in rows]


async def history(pool: asyncpg.Pool, order_id: str) -> list[dict[str, Any]]:
    """The changes of status, oldest first, with the names of the API; empty for an unknown order."""
    if not is_id(order_id):
        return []
    return [
        {
            "version": row["version"],
            "fromStatus": row["from_status"],
            "toStatus": row["to_status"],
            "actor": row["actor"],
            "reason": row["reason"],
            "correlationId": row["correlation_id"],
            "at": row["at"],
        }
        for row in await fetch(pool, "history", id=order_id)
    ]


async def clock(pool: asyncpg.Pool) -> datetime:
    """The database's time."""
    now: datetime = await fetchval(pool, "clock")
    return now


def _document(row: asyncpg.Record) -> bytes:
    contacts = row["contacts"]
    return document(row["snapshot"].encode(), None if contacts is None else contacts.encode())
