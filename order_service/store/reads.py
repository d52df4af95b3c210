"""What is shown: documents, pages of a user's orders, history."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import asyncpg
from msgspec import Struct

from order_service.core.lifecycle import Status


class Document(Struct, frozen=True):
    """An order as the API shows it, ready to send."""

    user_id: str
    version: int
    body: bytes


async def one_document(pool: asyncpg.Pool, order_id: str | uuid.UUID) -> Document | None:
    """The order, or None."""
    raise NotImplementedError


async def user_page(
    pool: asyncpg.Pool,
    user_id: str,
    *,
    limit: int,
    before_id: str | uuid.UUID | None = None,
    status: Status | None = None,
) -> list[tuple[str, bytes]]:
    """Up to ``limit`` orders of a user, newest first, as (id, document), from behind ``before_id`` on."""
    raise NotImplementedError


async def history(pool: asyncpg.Pool, order_id: str | uuid.UUID) -> list[dict[str, Any]]:
    """The changes of status, oldest first, with the names of the API; empty for an unknown order."""
    raise NotImplementedError


async def clock(pool: asyncpg.Pool) -> datetime:
    """The database's time."""
    raise NotImplementedError
