"""What becomes of a connection whose server is gone."""

from __future__ import annotations

import asyncpg
import pytest

from order_service.store.away import DATABASE_AWAY
from order_service.store.pool import connect
from order_service.store.reads import clock
from tests.store.proxy import proxy

END_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


async def test_a_connection_whose_end_was_announced_and_never_came_is_a_database_that_is_away_once(
    database: str,
) -> None:
    async with proxy(database) as way:
        pool = await connect(way.dsn, max_size=1)
        await clock(pool)
        way.hides_ends = True
        other = await asyncpg.connect(database)
        assert [row[0] for row in await other.fetch(END_OTHERS)] == [True]
        await way.hidden.wait()
        await other.close()
        with pytest.raises(DATABASE_AWAY):
            await clock(pool)
        assert await clock(pool) is not None
        pool.terminate()
