"""Connections, with the time limits that keep one stuck client from holding up the others."""

from __future__ import annotations

import asyncpg

_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "client_connection_check_interval": "2s",
    "timezone": "UTC",
    "jit": "off",
    # A statement of arrays has one good plan. The first plan is often made while the tables are empty and is kept:
    # it must go through the indexes although a scan would be cheaper at that moment.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}
_TRANSACTION_TIMEOUT_SINCE = 17
_NO_LIMIT = 0


class _Connection(asyncpg.Connection):
    """A connection that costs no round trip when it goes back to the pool: no session state is ever changed."""

    def get_reset_query(self) -> str:
        return ""


async def connect(
    dsn: str, *, min_size: int = 1, max_size: int = 10, name: str = "order-service", command_timeout_s: float = 10
) -> asyncpg.Pool:
    """A pool of connections to the database ``dsn`` names; ``name`` is what pg_stat_activity shows."""
    return await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        command_timeout=command_timeout_s,
        max_cacheable_statement_size=_NO_LIMIT,
        max_cached_statement_lifetime=_NO_LIMIT,
        connection_class=_Connection,
        server_settings={"application_name": name, **_SETTINGS},
        init=_limit_transactions,
    )


async def _limit_transactions(connection: asyncpg.Connection) -> None:
    if connection.get_server_version().major >= _TRANSACTION_TIMEOUT_SINCE:
        await connection.execute("set transaction_timeout = '15s'")
