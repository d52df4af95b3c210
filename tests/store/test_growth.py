"""What a statement costs depends on what it writes or reads, and never on how much there is already."""

from __future__ import annotations

from order_service.core.answers import CallKind, CartCleared, PaymentState, Reserved
from order_service.core.messages import Asked, Pay
from order_service.store.calls import claim, due_timers, next_due_in
from order_service.store.keys import find_key
from order_service.store.reader import LogReader
from order_service.store.reads import history, one_document, user_page

from .given import Store, entry, key, placing, store

READ = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables"
ENTRIES_READ = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes"
LIVES = 5


async def live(s: Store) -> None:
    """A few orders from creation to a declined payment, and everything that is asked about them meanwhile."""
    for _ in range(LIVES):
        order = await s.apply(entry(None, placing(user_id="one customer"), key=key(f"{placing().order_number}")))
        order_id = order.state.order.id
        order = await s.answered(order, CallKind.RESERVE, Reserved())
        order = await s.answered(order, CallKind.CLEAR_CART, CartCleared())
        order = await s.apply(entry(await s.load(order_id), Pay(), key=key(placing().order_number, Asked("pay", 1))))
        declined = PaymentState("declined", "pay-1", "insufficient_funds", order.state.order.total)
        await s.answered(order, CallKind.CHARGE, declined)
        await one_document(s.pool, order_id)
        await history(s.pool, order_id)
        await user_page(s.pool, "one customer", limit=5)
        await find_key(s.pool, "ada", "POST /orders", "unknown")
        await claim(s.pool, limit=10, lease_s=9)
        await due_timers(s.pool, limit=10)
        await next_due_in(s.pool)


async def measure(dsn: str, s: Store) -> int:
    """How many rows and index entries the server touched for some lives; the statements keep their plans."""
    pool = s.pool
    before = await settled(dsn, s)
    await live(s)
    assert s.pool is pool
    return await settled(dsn, s) - before


async def settled(dsn: str, s: Store) -> int:
    """The server's counters, once every connection has reported."""
    async with store(dsn, max_size=1) as other:
        for _ in range(s.pool.get_size()):
            await s.pool.execute("select pg_stat_force_next_flush()")
        await other.pool.execute("select pg_stat_clear_snapshot()")
        return int(await other.value(READ)) + int(await other.value(ENTRIES_READ))


async def test_a_plan_that_was_made_on_empty_tables_stays_good_when_they_have_grown(database: str) -> None:
    async with store(database, max_size=1) as s:
        await s.pool.execute("alter table orders set (autovacuum_enabled = off)")
        await live(s)
        small = await measure(database, s)
        async with store(database) as other:
            for _ in range(30):
                await other.commit(*[entry(None, placing(user_id="one customer")) for _ in range(60)])
        grown = await measure(database, s)
        assert await s.value("select count(*) from orders") == 1800 + 3 * LIVES
        assert grown < 2 * small, "what is read for an order grows with the number of orders"


async def test_the_log_is_read_in_steps_whose_cost_is_the_step(database: str) -> None:
    async with store(database, max_size=1) as s:
        reader = LogReader(s.pool, "reader", "me")
        await s.placed()
        reader.cursor = (await reader.read(limit=5))[-1].cursor
        async with store(database) as other:
            for _ in range(30):
                await other.commit(*[entry(None, placing()) for _ in range(60)])
        before = await settled(database, s)
        rows = await reader.read(limit=5)
        assert len(rows) == 5
        assert await settled(database, s) - before < 100
