"""A page of a user with many orders costs a page, whenever its plan was made and wherever in the list it is."""

from __future__ import annotations

import pytest

from order_service.store.keys import find_key
from order_service.store.reads import one_document, user_page

from .given import Store, entry, placing, store
from .test_growth import live, measure, settled

ORDERS = 1800
PAGE = 20


async def read(dsn: str, s: Store, before_id: str | None = None) -> int:
    """Rows and index entries that a page of this user costs."""
    before = await settled(dsn, s)
    assert len(await user_page(s.pool, "one customer", limit=PAGE, before_id=before_id)) == PAGE
    return await settled(dsn, s) - before


@pytest.mark.parametrize("known", ["nothing", "old statistics", "no statistics", "fresh statistics"])
async def test_a_page_of_a_user_with_many_orders_reads_a_page(database: str, known: str) -> None:
    async with store(database, max_size=1) as s, store(database) as other:
        await other.pool.execute("alter table orders set (autovacuum_enabled = off)")
        if known == "nothing":
            await user_page(s.pool, "one customer", limit=PAGE)  # the plan is made here, and kept
        await other.placed()
        if known == "old statistics":
            await other.pool.execute("analyze")
        for _ in range(ORDERS // 60):
            await other.commit(*[entry(None, placing(user_id="one customer")) for _ in range(60)])
        if known == "fresh statistics":
            await other.pool.execute("analyze")
        newest = await read(database, s)
        ids = [row["id"] for row in await other.pool.fetch("select id::text as id from orders order by id desc")]
        oldest = await read(database, s, before_id=ids[-PAGE - 10])
        # An order, its snapshot and its contacts: a row and an index entry each, and little more.
        assert newest <= 8 * PAGE
        assert oldest <= 8 * PAGE


async def test_many_documents_and_keys_at_once_read_no_more_than_one_by_one(database: str) -> None:
    async with store(database, max_size=1) as s, store(database) as other:
        await other.pool.execute("alter table orders set (autovacuum_enabled = off)")
        for _ in range(10):
            await other.commit(*[entry(None, placing()) for _ in range(60)])
        [order_id] = [row["id"] for row in await other.pool.fetch("select id::text as id from orders limit 1")]
        before = await settled(database, s)
        assert await one_document(s.pool, order_id) is not None
        assert await find_key(s.pool, "ada", "POST /orders", "unknown") is None
        assert await settled(database, s) - before <= 10


@pytest.mark.parametrize("known", ["old statistics", "no statistics", "fresh statistics"])
async def test_a_life_costs_the_same_when_its_plans_are_made_on_a_large_table(database: str, known: str) -> None:
    async with store(database, max_size=1) as small:
        await small.pool.execute("alter table orders set (autovacuum_enabled = off)")
        await live(small)
        cost = await measure(database, small)
    async with store(database) as other:
        if known == "old statistics":
            await other.pool.execute("analyze")
        for _ in range(ORDERS // 60):
            await other.commit(*[entry(None, placing(user_id="one customer")) for _ in range(60)])
        if known == "fresh statistics":
            await other.pool.execute("analyze")
    async with store(database, max_size=1) as s:
        await live(s)
        assert await measure(database, s) < 2 * cost
