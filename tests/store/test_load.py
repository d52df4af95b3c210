"""What is read: orders as the rules see them, documents, pages, history."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from order_service.core.lifecycle import Status
from order_service.store.load import Loader, document, load
from order_service.store.pool import connect
from order_service.store.reads import clock, history, one_document, user_page

from .given import new_id, store

NO_ID = ["", "x", "'; drop table orders", "0" * 36, new_id().upper().replace("A", "G"), new_id() + "\n", "\x00"]


async def test_orders_are_loaded_together_and_unknown_ids_are_left_out(database: str) -> None:
    async with store(database) as s:
        orders = [await s.placed(), await s.paying(), await s.cancelled(await s.confirmed())]
        ids = [o.state.order.id for o in orders]
        assert await load(s.pool, [*ids, new_id(), *NO_ID]) == dict(zip(ids, orders, strict=True))
        assert await load(s.pool, NO_ID) == {}


async def test_those_who_ask_at_the_same_time_share_a_statement(database: str) -> None:
    async with store(database) as s:
        orders = [await s.placed() for _ in range(5)]
        loader = Loader(s.pool)
        ids = [o.state.order.id for o in orders] * 2
        assert await asyncio.gather(*[loader.load(i) for i in ids], loader.load(new_id())) == [*orders, *orders, None]
        await loader.close()


async def test_a_loader_never_answers_with_what_was_before_the_question(database: str) -> None:
    async with store(database) as s:
        loader = Loader(s.pool)
        order = await s.placed()
        early = asyncio.create_task(loader.load(order.state.order.id))
        await asyncio.sleep(0)
        changed = await s.cancelled(order)
        assert await loader.load(order.state.order.id) == changed
        assert await early in (order, changed)


async def test_a_loader_outlives_a_failure(database: str) -> None:
    async with store(database) as s:
        order = await s.placed()
        loader = Loader(s.pool)
        await s.pool.execute("alter table orders rename to gone")
        with pytest.raises(asyncpg.UndefinedTableError):
            await loader.load(order.state.order.id)
        await s.pool.execute("alter table gone rename to orders")
        assert await loader.load(order.state.order.id) == order


async def test_a_document_is_the_order_with_its_contacts_and_no_token(database: str) -> None:
    async with store(database) as s:
        order = await s.paying()
        found = await one_document(s.pool, order.state.order.id)
        assert found is not None
        assert (found.user_id, found.version, found.body) == ("ada", 3, order.document())
        said = msgspec.json.decode(found.body)
        assert said["status"] == "payment_pending"
        assert said["shippingAddress"]["city"] == "Berlin"
        assert (said["billingAddress"], said["notes"]) == (None, "ring twice")
        assert b"tok_visa" not in found.body


async def test_an_erased_order_is_still_an_order(database: str) -> None:
    async with store(database) as s:
        order = await s.confirmed()
        await s.pool.execute("delete from order_contacts")
        found = await one_document(s.pool, order.state.order.id)
        assert found is not None
        said = msgspec.json.decode(found.body)
        assert (said["status"], said["shippingAddress"], said["notes"]) == ("confirmed", None, None)
        loaded = await s.load(order.state.order.id)
        assert (loaded.contacts, loaded.contacts_hash) == (None, order.contacts_hash)
        assert (await s.cancelled(loaded)).state.order.status == "cancelled"


@pytest.mark.parametrize("no_id", NO_ID, ids=range(len(NO_ID)))
async def test_what_is_no_id_is_no_order(database: str, no_id: str) -> None:
    async with store(database) as s:
        assert await one_document(s.pool, no_id) is None
        assert await history(s.pool, no_id) == []


async def test_a_page_goes_on_below_the_last_id_and_never_repeats_or_skips(database: str) -> None:
    async with store(database) as s:
        ids = [f"00000000-0000-7000-8000-{n:012d}" for n in range(7)]
        for order_id in ids:
            await s.placed(order_id=order_id)
        await s.placed(user_id="bob")
        seen: list[str] = []
        while page := await user_page(s.pool, "ada", limit=3, before_id=seen[-1] if seen else None):
            seen += [order_id for order_id, _ in page]
        assert seen == ids[::-1]


async def test_a_page_can_be_of_one_status(database: str) -> None:
    async with store(database) as s:
        await s.placed()
        paid = await s.confirmed()
        [(order_id, body)] = await user_page(s.pool, "ada", limit=10, status=Status.CONFIRMED)
        assert (order_id, body) == (paid.state.order.id, paid.document())


async def test_history_is_told_oldest_first_with_the_names_of_the_api(database: str) -> None:
    async with store(database) as s:
        order = await s.paying()
        told = await history(s.pool, order.state.order.id)
        assert told[1] == {
            "version": 3,
            "fromStatus": "pending",
            "toStatus": "payment_pending",
            "actor": "tester",
            "reason": None,
            "correlationId": "corr-1",
            "at": order.state.order.updated_at,
        }
        assert [(h["version"], h["toStatus"]) for h in told] == [(1, "pending"), (3, "payment_pending")]


async def test_the_clock_is_the_databases(database: str) -> None:
    async with store(database) as s:
        assert (await clock(s.pool)).astimezone(UTC).date() == datetime.now(UTC).date()


def test_contacts_are_put_in_behind_the_last_member() -> None:
    assert document(b'{"id":"x"}', b'{"notes":null}') == b'{"id":"x","notes":null}'
    assert msgspec.json.decode(document(b'{"id":"x"}', None)) == {
        "id": "x",
        "shippingAddress": None,
        "billingAddress": None,
        "notes": None,
    }


async def test_a_connection_has_its_limits_and_uses_indexes_however_small_the_tables_are(database: str) -> None:
    pool = await connect(database, name="a test")
    wanted = {
        "application_name": "a test",
        "statement_timeout": "5s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
        "client_connection_check_interval": "2s",
        "plan_cache_mode": "force_generic_plan",
    }
    for name, value in wanted.items():
        assert await pool.fetchval("select current_setting($1)", name) == value
    if await pool.fetchval("select current_setting('server_version_num')::int") >= 170000:
        assert await pool.fetchval("select current_setting('transaction_timeout')") == "15s"
    plan = "\n".join(row[0] for row in await pool.fetch("explain select * from orders where id = gen_random_uuid()"))
    assert "Seq Scan" not in plan or "Disabled" in plan
    await pool.close()
