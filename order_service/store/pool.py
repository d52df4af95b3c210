"""Connections, with the time limits that keep one stuck client from holding up the others."""

from __future__ import annotations

import asyncpg


async def connect(dsn: str, *, min_size: int = 1, max_size: int = 10, name: str = "order-service") -> asyncpg.Pool:
    """A pool of connections to the database ``dsn`` names; ``name`` is what pg_stat_activity shows."""
    raise NotImplementedError
