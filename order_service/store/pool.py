"""Connections, with the time limits that keep one stuck client from holding up the others."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import asyncpg

from order_service.store.statements import connect_one, execute, set_limits

_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "client_connection_check_interval": "2s",
    "timezone": "UTC",
    "jit": "off",
    # Every statement has one good plan, through the indexes. The plan is made once, often while the tables are empty,
    # and kept: what is cheaper at that moment must not be chosen then. (Joins of two tables are written so that no
    # other plan is possible: lateral, with a limit.)
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    # A page in the order of an index is read from that index; without statistics, all of a user's orders were sorted.
    "enable_sort": "off",
}
_TRANSACTION_TIMEOUT_SINCE = 17
_NO_LIMIT = 0
ACQUIRE_WITHIN_S = 2.0
"""A client that gets no connection by then is told so. The pool allows a cancelled statement as long to end."""

_CONNECT_WITHIN_S = 5.0


class _Connection(asyncpg.Connection):
    """A connection that costs no round trip when it goes back to the pool: no session state is ever changed.

    One on which a statement was given up while it was being prepared makes one. Nobody has told the server that no
    more of that statement comes, so its implicit transaction would stay open, in a connection that looks idle.
    """

    _given_up = False

    async def _get_statement(self, *args: Any, **named: Any) -> Any:
        try:
            return await super()._get_statement(*args, **named)  # type: ignore[misc]
        except BaseException:
            self._given_up = True
            raise

    async def _do_execute(self, *args: Any, **named: Any) -> Any:
        try:
            return await super()._do_execute(*args, **named)  # type: ignore[misc]
        except asyncpg.InternalClientError:
            self.terminate()  # its end was announced, and might never come
            raise

    def get_reset_query(self) -> str:
        given_up, self._given_up = self._given_up, False
        return "select 1" if given_up else ""


class _Pool(asyncpg.Pool):
    """A pool in which nobody waits without end, neither for a connection nor for the end of a statement given up."""

    def acquire(self, *, timeout: float | None = None) -> Any:
        """A connection, or ``TimeoutError``."""
        return super().acquire(timeout=ACQUIRE_WITHIN_S if timeout is None else timeout)


async def connect(
    dsn: str, *, min_size: int = 1, max_size: int = 10, name: str = "order-service", command_timeout_s: float = 6
) -> asyncpg.Pool:
    """A pool of connections to the database ``dsn`` names; ``name`` is what pg_stat_activity shows."""
    pool = await _Pool(
        dsn,
        init_size=min_size,
        min_size=min_size,
        max_size=max_size,
        max_queries=50_000,
        max_inactive_connection_lifetime=300.0,
        loop=None,
        connect=connect_one,
        setup=None,
        reset=None,
        record_class=asyncpg.Record,
        timeout=_CONNECT_WITHIN_S,
        command_timeout=command_timeout_s,
        max_cacheable_statement_size=_NO_LIMIT,
        max_cached_statement_lifetime=_NO_LIMIT,
        connection_class=_Connection,
        server_settings={"application_name": name, **_SETTINGS},
        init=_limit_transactions,
    )
    # Before anything is written: a row of the old epoch with a number of the new cluster would never be read. A
    # database that is still empty is no case for this.
    with suppress(asyncpg.UndefinedTableError):
        await execute(pool, "settle_epoch")
    return pool


async def _limit_transactions(connection: asyncpg.Connection) -> None:
    if connection.get_server_version().major >= _TRANSACTION_TIMEOUT_SINCE:
        await set_limits(connection)
