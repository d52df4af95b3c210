"""The only place that asks the driver anything: every named statement passes a fault point before and after.

``on`` is a connection or a pool; a pool takes a connection for the one statement. What the driver raises is raised.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import asyncpg

from order_service import faults
from order_service.store.queries import Query, query

On: TypeAlias = "asyncpg.Connection | asyncpg.Pool"


async def fetch(on: On, asked: str | Query, /, **values: Any) -> list[asyncpg.Record]:
    """All rows of the query, or of the one with this name."""
    statement = query(asked) if isinstance(asked, str) else asked
    arguments = statement.args(**values)
    if faults.hook is None:
        return await on.fetch(statement.sql, *arguments)
    return await faults.around(statement.point, lambda: on.fetch(statement.sql, *arguments))


async def fetchrow(on: On, name: str, /, **values: Any) -> asyncpg.Record | None:
    """The first row of the named query, None if it has none."""
    statement = query(name)
    arguments = statement.args(**values)
    if faults.hook is None:
        return await on.fetchrow(statement.sql, *arguments)
    return await faults.around(statement.point, lambda: on.fetchrow(statement.sql, *arguments))


async def fetchval(on: On, name: str, /, **values: Any) -> Any:
    """The first value of the first row, None if there is none."""
    row = await fetchrow(on, name, **values)
    return None if row is None else row[0]


async def execute(on: On, name: str, /, **values: Any) -> str:
    """The named query's command tag, such as ``UPDATE 1``."""
    statement = query(name)
    arguments = statement.args(**values)
    if faults.hook is None:
        return await on.execute(statement.sql, *arguments)
    return await faults.around(statement.point, lambda: on.execute(statement.sql, *arguments))


async def set_limits(connection: asyncpg.Connection) -> None:
    """What a new connection is told before it is used: no transaction goes on for longer than this."""
    await faults.around("sql.set_limits", lambda: connection.execute("set transaction_timeout = '15s'"))


async def connect_one(*args: Any, **kwargs: Any) -> asyncpg.Connection:
    """Open one connection, for ``asyncpg.create_pool(connect=...)`` and for a question of its own."""
    return await faults.around("sql.connect", lambda: asyncpg.connect(*args, **kwargs))
