"""Many orders at once, for figures that only great numbers show: real lives, copied within the database.

Each copy has an id, a number, a customer and keys of its own. The hash chains of the copies do not hold (nothing that
is measured looks at them), so this is for databases that are thrown away.
"""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from order_service.bench.load import USERS
from order_service.relay import READER
from order_service.store.statements import connect_one

_AT_ONCE = 20_000
_PATTERNS = 500

_AS_COPY: dict[str, dict[str, str]] = {
    "orders": {
        "id": "m.id",
        "order_number": "'C-' || m.n",
        "user_id": f"'user-' || m.n % {USERS}",
        "timer_at": "null",
    },
    "order_items": {"order_id": "m.id"},
    "order_contacts": {"order_id": "m.id"},
    "payment_attempts": {"order_id": "m.id", "reference": "m.id || '-p1'"},
    "order_history": {"order_id": "m.id"},
    "partner_calls": {"id": "gen_random_uuid()", "order_id": "m.id"},
    "idempotency_keys": {"order_id": "m.id", "key": "m.id::text", "decision_id": "gen_random_uuid()"},
    "order_log": {
        "order_id": "m.id",
        "decision_id": "gen_random_uuid()",
        "snapshot": "replace(t.snapshot, m.pattern::text, m.id::text)",
        "position": "",
        "xid": "",
    },
}
"""What differs from the pattern, by table and column; what is empty the database fills in."""

_MAKE = """
create temp table patterns as
    select id as pattern, row_number() over () - 1 as place from orders
    where status = 'confirmed' and not exists (select from partner_calls c where c.order_id = id and c.state = 'open')
    limit {patterns};
create temp table made (n bigint, id uuid, pattern uuid)
"""
# Ids that rise with time, as those of the service do.
_CHOOSE = """
with timed as (
    select n, lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 864000000 + n), 12, '0') as ms
    from generate_series({first}, {last}) n
)
insert into made
select n, overlay(overlay(gen_random_uuid()::text placing left(ms, 8) || '-' || right(ms, 4) from 1 for 13)
    placing '7' from 15 for 1)::uuid, pattern
from timed join patterns on place = n % (select count(*) from patterns)
"""
_COLUMNS = """
select column_name from information_schema.columns
where table_schema = current_schema and table_name = $1 order by ordinal_position
"""


async def fill(dsn: str, first: int, last: int, tell: Callable[[int], None]) -> None:
    """Copy confirmed orders, numbered ``first`` to ``last``; ``tell`` is told the number that has been reached."""
    connection = await connect_one(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(_MAKE.format(patterns=_PATTERNS))
        copies = [await _copy(connection, table) for table in _AS_COPY]
        for start in range(first, last + 1, _AT_ONCE):
            end = min(start + _AT_ONCE - 1, last)
            async with connection.transaction():
                await connection.execute("truncate made")
                await connection.execute(_CHOOSE.format(first=start, last=end))
                for copy in copies:
                    await connection.execute(copy)
            tell(end)
        await connection.execute("vacuum (analyze)")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def _copy(connection: asyncpg.Connection, table: str) -> str:
    """The statement that copies the patterns' rows of this table."""
    differs = _AS_COPY[table]
    columns = [row["column_name"] for row in await connection.fetch(_COLUMNS, table)]
    kept = [name for name in columns if differs.get(name) != ""]
    values = ", ".join(differs.get(name, f"t.{name}") for name in kept)
    pattern = "id" if table == "orders" else "order_id"
    order = "order by m.n, t.version" if table == "order_log" else ""
    return (
        f"insert into {table} ({', '.join(kept)}) select {values} "  # noqa: S608 - names of our own schema
        f"from made m join {table} t on t.{pattern} = m.pattern {order}"
    )


async def forget_backlog(dsn: str) -> None:
    """Let the relay go on behind everything that is in the log now."""
    connection = await connect_one(dsn)
    try:
        await connection.execute(
            "update log_readers set (epoch, xid, position) = (select epoch, xid, position from order_log "
            "order by epoch desc, xid desc, position desc limit 1) where name = $1",
            READER,
        )
    finally:
        await connection.close()
