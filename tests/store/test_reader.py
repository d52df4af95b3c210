"""Reading the log: nothing is skipped, whatever commits late; one owner at a time; a break is loud."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from order_service.core.messages import Cancel
from order_service.store.reader import Cursor, LogBroken, LogReader, NotOwner, horizon_blocker, lag_s

from .given import Store, entry, placing, store


def reader(s: Store, owner: str = "me", lease_s: float = 3600) -> LogReader:
    """A reader of the log."""
    return LogReader(s.pool, "reader", owner, lease_s=lease_s)


async def in_transaction(connection: asyncpg.Connection, one: object) -> asyncpg.transaction.Transaction:
    """Commit an entry on this connection, inside a transaction that stays open."""
    transaction = connection.transaction()
    await transaction.start()
    await Store(connection, "").commit(one)  # type: ignore[arg-type]
    return transaction


async def read_all(r: LogReader) -> list[tuple[str, int]]:
    """Everything there is to read, as (order, version); the cursor moves behind it."""
    found: list[tuple[str, int]] = []
    while rows := await r.read(limit=3):
        found += [(row.order_id, row.version) for row in rows]
        r.cursor = rows[-1].cursor
    return found


async def test_a_row_that_becomes_visible_late_is_lost_to_who_goes_by_position_and_not_to_us(database: str) -> None:
    async with store(database) as s, s.pool.acquire() as slow:
        late, early = entry(None, placing()), entry(None, placing())
        transaction = await in_transaction(slow, late)
        await s.apply(early)
        by_position = "select position, order_id::text from order_log where position > $1 order by position"
        ours, naive = reader(s), await s.pool.fetch(by_position, 0)
        assert [row["order_id"] for row in naive] == [early.order_id]
        assert await read_all(ours) == []
        await transaction.commit()
        assert await s.pool.fetch(by_position, naive[-1]["position"]) == [], "the late row is lost for good"
        assert await read_all(ours) == [(late.order_id, 1), (early.order_id, 1)]


async def test_many_writers_at_once_are_read_whole_and_each_order_in_its_order(database: str) -> None:
    chance = random.Random(7)
    async with store(database, max_size=12) as s:
        ours, found = reader(s), []

        async def write() -> str:
            async with s.pool.acquire() as connection:
                own = Store(connection, "")  # type: ignore[arg-type]
                one = entry(None, placing())
                transaction = await in_transaction(connection, one)
                await asyncio.sleep(chance.random() * 0.02)
                await transaction.commit()
                await own.cancelled(await own.load(one.order_id))
            return one.order_id

        writing = asyncio.gather(*[write() for _ in range(40)])
        while not writing.done():
            found += await read_all(ours)
            await asyncio.sleep(0)
        found += await read_all(ours)
        versions: dict[str, list[int]] = {}
        for order_id, version in found:
            versions.setdefault(order_id, []).append(version)
        assert versions == {order_id: [1, 2] for order_id in await writing}


async def test_a_row_of_an_older_epoch_comes_first_although_its_transaction_has_a_higher_number(database: str) -> None:
    async with store(database) as s:
        old = await s.placed()
        await s.pool.execute("alter table order_log disable trigger append_only")
        await s.pool.execute("update order_log set xid = '9000000000000000'")
        assert await read_all(reader(s)) == [], "of the present epoch, and not below the horizon"
        await s.pool.execute("update log_epoch set epoch = 2")
        new = await s.placed()
        assert await read_all(reader(s)) == [(old.state.order.id, 1), (new.state.order.id, 1)]
        rows = await reader(s).read()
        assert [(row.cursor.epoch, row.cursor.xid == 9000000000000000) for row in rows] == [(1, True), (2, False)]


async def test_a_service_that_starts_on_a_restored_database_writes_in_a_new_epoch(database: str) -> None:
    async with store(database) as s:
        old = await s.placed()
        await s.pool.execute("alter table order_log disable trigger append_only")
        await s.pool.execute("update order_log set xid = '9000000000000000'")
        await s.pool.execute("update log_epoch set system_identifier = 7")
    async with store(database) as s, store(database) as other:
        new = [await s.placed(), await other.placed()]
        rows = await reader(s).read()
        assert [(r.order_id, r.cursor.epoch) for r in rows] == [
            (old.state.order.id, 1),
            (new[0].state.order.id, 2),
            (new[1].state.order.id, 2),
        ]


async def test_a_row_tells_its_events_and_is_silent_without_any(database: str) -> None:
    async with store(database) as s:
        order = await s.cancelled(await s.reserved())
        silent, created, cancelled = await reader(s).read()
        assert (silent.events, silent.snapshot, silent.change, silent.first_sequence) == ((), None, None, 1)
        assert (created.events, created.first_sequence) == (("order.created",), 1)
        assert (cancelled.events, cancelled.first_sequence) == (("order.cancelled", "order.status_changed"), 2)
        assert cancelled.snapshot == order.snapshot.decode()
        assert cancelled.at == order.state.order.updated_at


BREAKS = [
    "update order_log set first_sequence = 3 where version = 3",
    "update order_log set prev_hash = sha256('') where version = 3",
    "update order_log set xid = '9' where version = 3",
    "delete from order_log where version = 2",
]


@pytest.mark.parametrize("harm", BREAKS)
async def test_a_break_of_the_log_is_loud(database: str, harm: str) -> None:
    async with store(database) as s:
        order = await s.cancelled(await s.reserved())
        await s.pool.execute("alter table order_log disable trigger append_only")
        await s.pool.execute(harm)
        with pytest.raises(LogBroken, match=f"at order {order.state.order.id}, version 3: it does not follow"):
            await reader(s).read()


async def test_a_version_that_was_skipped_is_loud_although_the_log_is_whole(database: str) -> None:
    async with store(database) as s:
        await s.cancelled(await s.reserved())
        ours = reader(s)
        first, _, _ = await ours.read()
        ours = reader(s)
        assert [row.cursor for row in await ours.read(limit=1)] == [first.cursor]
        with pytest.raises(LogBroken):
            await ours.read((await reader(s).read())[1].cursor)


async def test_there_is_one_owner_until_its_lease_ends(database: str) -> None:
    async with store(database) as s:
        one, two = reader(s, "one"), reader(s, "two")
        assert [await one.acquire(), await two.acquire()] == [True, False]
        await one.keep()
        assert not await two.acquire()
        await one.advance(Cursor(1, 4, 4))
        assert not await two.acquire()
        await s.pool.execute("update log_readers set lease_until = now()")
        assert await two.acquire()
        for attempt in (one.keep(), one.advance(Cursor(1, 5, 5))):
            with pytest.raises(NotOwner):
                await attempt
        assert not one.owned
        await one.release()
        await two.keep()
        await two.release()
        assert await one.acquire()


async def test_who_lost_hold_of_its_lease_takes_it_again_at_once_and_what_it_began_before_counts_no_more(
    database: str,
) -> None:
    async with store(database) as s:
        one, two, before = reader(s, "one"), reader(s, "two"), reader(s, "one")
        assert await before.acquire()
        one.lose()
        assert await one.acquire()
        assert not await two.acquire()
        for attempt in (before.keep(), before.advance(Cursor(1, 5, 5))):
            with pytest.raises(NotOwner):
                await attempt
        await one.keep()


async def test_a_former_owner_moves_no_cursor_and_gives_no_lease_back(database: str) -> None:
    async with store(database) as s:
        former, owner = reader(s, "former"), reader(s, "owner")
        assert await former.acquire()
        await s.pool.execute("update log_readers set lease_until = now()")
        assert await owner.acquire()
        await owner.advance(Cursor(1, 9, 9))
        with pytest.raises(NotOwner):
            await former.advance(Cursor(1, 5, 5))
        assert not former.owned
        assert await s.rows("select xid::text as xid, position from log_readers") == [{"xid": "9", "position": 9}]
        late = reader(s, "late")
        late._token = 1
        await late.release()
        assert not await former.acquire()
        await owner.keep()


async def test_the_next_owner_goes_on_where_the_last_one_stood(database: str) -> None:
    async with store(database) as s:
        await s.cancelled(await s.reserved())
        one, two = reader(s, "one"), reader(s, "two")
        assert await one.acquire()
        rows = await one.read(limit=2)
        await one.advance(rows[-1].cursor)
        await one.release()
        assert await two.acquire()
        assert two.cursor == rows[-1].cursor
        assert [row.version for row in await two.read()] == [3]


async def test_readers_of_different_names_do_not_know_each_other(database: str) -> None:
    async with store(database) as s:
        await s.placed()
        relay, feed = LogReader(s.pool, "relay", "me"), LogReader(s.pool, "feed", "me")
        assert await relay.acquire()
        assert await feed.acquire()
        await relay.advance((await relay.read())[-1].cursor)
        assert (await lag_s(s.pool, "relay")) is None
        assert (await lag_s(s.pool, "feed")) is not None


async def test_what_holds_the_horizon_back_is_named(database: str) -> None:
    async with store(database) as s:
        await s.placed()
        async with s.pool.acquire() as other:
            await other.execute("set application_name = 'a long report'")
            transaction = other.transaction()
            await transaction.start()
            await other.execute("select pg_current_xact_id()")
            pid = await other.fetchval("select pg_backend_pid()")
            blocker = await horizon_blocker(s.pool)
            assert blocker is not None
            assert (blocker.kind, blocker.name) == ("backend", f"{pid} a long report")
            assert blocker.state == "idle in transaction"
            assert blocker.age_s >= 0
            await transaction.rollback()


async def test_parked_streams_are_listed_once(database: str) -> None:
    async with store(database) as s:
        order = await s.reserved()
        ours = reader(s)
        await ours.park(order.state.order.id, 2, "too large")
        await ours.park(order.state.order.id, 3, "too large again")
        assert [(p.order_id, p.version, p.error) for p in await ours.parked()] == [
            (order.state.order.id, 2, "too large")
        ]
        assert (await s.apply(entry(order, Cancel(None)))).version == 3
