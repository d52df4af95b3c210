"""Many orders: the memory that a verification takes does not grow with their number.

`VERIFY_ORDERS=50000 pytest tests/verify/test_many.py` looks at more of them; a million take long to make.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import asyncpg

from order_service.events import records
from order_service.store.reader import Cursor, LogRow
from order_service.verify.ledger import Entry, Item
from order_service.verify.run import Limits, Sources, Tallies, Verification
from order_service.verify.scratch import Scratch
from order_service.verify.topic import Found, found
from tests.verify.base import query, violated

ORDERS = int(os.environ.get("VERIFY_ORDERS", "1000"))
GROWS_AT_MOST_MB = 60
_PIECE = 250


def resident_mb() -> float:
    """What this process has in memory."""
    [kb] = re.findall(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kb) / 1024


class _Pages:
    """The orders of the database, a page at a time, for sources that are made of them."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def read(self) -> AsyncIterator[list[asyncpg.Record]]:
        connection = await asyncpg.connect(self._dsn)
        after = uuid.UUID(int=0)
        try:
            while True:
                ids = [
                    row["id"]
                    for row in await connection.fetch(
                        "select id from orders where id > $1 order by id limit $2", after, _PIECE
                    )
                ]
                if not ids:
                    return
                yield await connection.fetch(
                    "select * from order_log where order_id = any($1) order by order_id, version", ids
                )
                after = ids[-1]
        finally:
            await connection.close()


class _Ledger:
    as_of: datetime | None = None

    def __init__(self, dsn: str) -> None:
        self._pages = _Pages(dsn)
        self._seq = 0

    async def read(self) -> AsyncIterator[list[Entry]]:
        if self._seq:
            return
        async for rows in self._pages.read():
            entries = []
            for order_id in dict.fromkeys(str(row["order_id"]) for row in rows):
                self._seq += 2
                items = (Item("shirt", 2),)
                held = Entry("reserve", self._seq, f"{order_id}-r1", order_id, f"{order_id}-r1", items=items)
                paid = Entry("charge", self._seq + 1, f"{order_id}-p1", order_id, f"{order_id}-p1", 5000, "USD")
                entries += [held, paid]
            yield entries


class _Topic:
    since: datetime | None = None

    def __init__(self, dsn: str) -> None:
        self._pages = _Pages(dsn)
        self._offset = 0

    def size(self) -> int:
        return 4 * ORDERS

    async def read(self) -> AsyncIterator[list[Found]]:
        if self._offset:
            return
        async for rows in self._pages.read():
            yield [self._found(record) for row in rows for record in records(_log_row(row))]

    def _found(self, record):  # type: ignore[no-untyped-def]
        self._offset += 1
        return found(record.key[0] % 6, self._offset, record.key, record.headers, record.value)


def _log_row(row: asyncpg.Record) -> LogRow:
    fields = "version snapshot change correlation_id traceparent at first_sequence events"
    given = {name: row[name] for name in fields.split()}
    return LogRow(cursor=Cursor(), order_id=str(row["order_id"]), contacts=None, **given)


def _make(dsn: str, count: int) -> None:
    async def make() -> None:
        connection = await asyncpg.connect(dsn)
        text = (Path(__file__).parent / "many_orders.sql").read_text()
        await connection.execute(text.replace(":count", str(count)))
        await connection.close()

    asyncio.run(make())


def test_memory_does_not_grow_with_the_number_of_orders(database: str) -> None:
    _make(database, ORDERS)
    seen: list[float] = []
    started = time.monotonic()

    async def look() -> Tallies:
        ledger = _Ledger(database)
        sources = Sources(ledger, ledger, _Topic(database))
        scratch = await Scratch.open(database)
        try:
            return await Verification(scratch, sources, Limits(), lambda *_: seen.append(resident_mb())).run()
        finally:
            await scratch.close()

    before = resident_mb()
    tallies = asyncio.run(look())
    took_s = time.monotonic() - started
    print(f"{ORDERS} orders: {took_s:.1f} s, {before:.0f} MB before, {max(seen):.0f} MB at most")
    assert violated(tallies) == set(), {n: t.examples[:2] for n, t in tallies.items() if t.violations}
    assert tallies["H2 hash-chain-holds"].rows == 4 * ORDERS
    assert tallies["E1 events-not-lost"].rows == 4 * ORDERS
    assert max(seen) - before < GROWS_AT_MOST_MB


def test_no_transaction_of_the_verification_holds_the_log_back(database: str) -> None:
    _make(database, 500)
    writing_s = """select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8
        from pg_stat_activity where backend_xid is not null and application_name = 'order-service verify'"""
    seen: list[float] = []

    async def watch() -> None:
        connection = await asyncpg.connect(database)
        try:
            while True:
                seen.append(await connection.fetchval(writing_s))
                await asyncio.sleep(0.001)
        finally:
            await connection.close()

    async def look() -> Tallies:
        watcher = asyncio.create_task(watch())
        ledger = _Ledger(database)
        scratch = await Scratch.open(database)
        try:
            return await Verification(
                scratch, Sources(ledger, ledger, _Topic(database)), Limits(), lambda *_: None
            ).run()
        finally:
            await scratch.close()
            watcher.cancel()

    assert violated(asyncio.run(look())) == set()
    assert len(seen) > 20
    assert max(seen) < 1


def test_an_order_spoilt_among_many_is_found(database: str) -> None:
    _make(database, 300)
    [row] = query(database, "select id from orders order by id limit 1 offset 250")

    async def spoil_and_look() -> Tallies:
        connection = await asyncpg.connect(database)
        await connection.execute("set session_replication_role = replica")
        await connection.execute("update order_log set actor = 'x' where order_id = $1 and version = 3", row["id"])
        await connection.close()
        scratch = await Scratch.open(database)
        try:
            return await Verification(scratch, Sources(), Limits(), lambda *_: None).run()
        finally:
            await scratch.close()

    tallies = asyncio.run(spoil_and_look())
    assert violated(tallies) == {"H2 hash-chain-holds", "H3 history-equals-log"}
    assert tallies["H2 hash-chain-holds"].examples == [(str(row["id"]), "version 3 was changed")]
    assert not tallies["M1 captures-match"].looked
