"""The verifier's own connection: temporary tables, filled in pieces, and read-only looks at everything else.

A long transaction that writes, even to a temporary table, would hold up every reader of the log: so each piece is a
transaction of its own, tables are indexed while they are empty, and every look is read-only.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from order_service.store.queries import Query
from order_service.verify.ledger import MONEY_KINDS, STOCK_KINDS, Entry
from order_service.verify.topic import Found

FOLDER = Path(__file__).parent / "sql"
PAGES = FOLDER / "pages"
TABLES = ("money_entries", "stock_entries", "topic_records", "expected_events", "our_reservations")
_SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "jit": "off",
    # A list of orders and no list want different plans.
    "plan_cache_mode": "force_custom_plan",
    "cursor_tuple_fraction": "1",
    "max_parallel_workers_per_gather": "0",
}
_ORDER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRANSACTION_TIMEOUT_SINCE = 17


@cache
def page(name: str) -> Query:
    """The query in ``sql/pages/<name>.sql``."""
    return Query(name, (PAGES / f"{name}.sql").read_text("utf-8"))


@cache
def check(name: str) -> Query:
    """The check in ``sql/<name>.sql``, in the frame that says how each finding stands."""
    frame = (PAGES / "classified.sql").read_text("utf-8")
    return Query(name, frame.replace("/* the check */", (FOLDER / f"{name}.sql").read_text("utf-8")))


class Scratch:
    """One session with its temporary tables."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, dsn: str) -> Scratch:
        """Connect and make the tables."""
        connection = await asyncpg.connect(
            dsn,
            timeout=10,
            statement_cache_size=0,
            server_settings={"application_name": "order-service verify", **_SETTINGS},
        )
        if connection.get_server_version().major >= _TRANSACTION_TIMEOUT_SINCE:
            await connection.execute("set transaction_timeout = 0")
        for statement in (PAGES / "scratch.sql").read_text("utf-8").split(";\n"):
            if statement.strip():
                await connection.execute(statement)
        return cls(connection)

    async def close(self) -> None:
        """End the session, and with it its tables."""
        await self._connection.close()

    @asynccontextmanager
    async def look(self) -> AsyncIterator[asyncpg.Connection]:
        """One moment of the database, read only."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            yield self._connection

    async def fetchrow(self, query: Query, **values: Any) -> asyncpg.Record:
        """The one row of a query."""
        row = await self._connection.fetchrow(query.sql, *query.args(**values))
        assert row is not None
        return row

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        if table == "writers":
            sql = "select count(*) from pg_stat_activity where backend_xid is not null"
        else:
            sql = f"select count(*) from {table}"  # noqa: S608 - a name of the catalogue
        async with self.look() as connection:
            rows: int = await connection.fetchval(sql)
        return rows

    async def forget(self, orders: Sequence[uuid.UUID]) -> None:
        """Drop what was derived from the log of these orders, to derive it anew."""
        for table in ("expected_events", "our_reservations"):
            sql = f"delete from {table} where order_id = any($1::uuid[])"  # noqa: S608 - names of our own
            await self._connection.execute(sql, orders)

    async def analyze(self) -> None:
        """Tell the planner how much came in: nobody else does for temporary tables."""
        for table in TABLES:
            await self._connection.execute(f"analyze {table}")

    async def put(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows, in a transaction of their own."""
        if rows:
            await self._connection.copy_records_to_table(table, records=rows)

    async def put_entries(self, entries: Iterable[Entry], *, money: bool, stock: bool) -> None:
        """Add what a partner did, each kind to its table."""
        entries = list(entries)
        if money:
            await self.put("money_entries", [_money_row(e) for e in entries if e.kind in MONEY_KINDS])
        if stock:
            await self.put("stock_entries", [r for e in entries if e.kind in STOCK_KINDS for r in _stock_rows(e)])

    async def put_records(self, records: Iterable[Found]) -> None:
        """Add records of the topic."""
        await self.put(
            "topic_records",
            [(r.partition, r.offset, r.order_id, r.sequence, r.event_id, r.raw, r.sense) for r in records],
        )


def _money_row(entry: Entry) -> tuple[Any, ...]:
    order_id = _order_of(entry)
    return (
        *(entry.seq, entry.kind, order_id, entry.order_id, entry.reference, entry.amount, entry.currency),
        entry.key,
    )


def _stock_rows(entry: Entry) -> list[tuple[Any, ...]]:
    head = (entry.seq, entry.kind, _order_of(entry), entry.reference, entry.key)
    return [(*head, item.product_id, item.quantity) for item in entry.items] or [(*head, None, None)]


def _order_of(entry: Entry) -> uuid.UUID | None:
    """The order that the entry names, or that its reference begins with."""
    found = _ORDER.match(entry.order_id or "") or _ORDER.match(entry.reference or "")
    return None if found is None else uuid.UUID(found[0])
