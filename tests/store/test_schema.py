"""What the database refuses, whoever asks: direct SQL, unlawful moves, sums that do not add up."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from order_service.core.lifecycle import LAWFUL, MOVES, PaymentFacet, Status, Stock
from order_service.core.messages import Cancel, Pay, RefundOrder, SetStatus
from order_service.core.model import MAX_AMOUNT, Order
from order_service.store.commit import Entry, commit

from .given import entry, line, placing, store

NAMES_THE_WAY = re.compile(r"only through the API \(/api/v1/orders\) or the command order-service")

DIRECT = [
    "update orders set status = 'confirmed'",
    "update orders set total = total + 1, subtotal = subtotal + 1",
    "update orders set version = version + 1",
    "update orders set revision = revision + 1, status = 'cancelled', stock = 'released'",
    "update orders set revision = revision + 1, version = version + 1, log_hash = sha256(log_hash)",
    "update orders set timer_at = now()",
    "update orders set user_id = 'mallory'",
    "update orders set id = gen_random_uuid()",
    "delete from orders",
    "truncate orders cascade",
    "update order_history set actor = 'mallory'",
    "delete from order_history",
    "truncate order_history",
    "insert into order_history select order_id, 99, null, 'pending', 'mallory', null, 'x', now() from order_history",
    "update order_log set actor = 'mallory'",
    "delete from order_log",
    "truncate order_log",
    "update order_items set unit_price = 0, total = 0",
    "delete from order_items",
    "truncate order_items",
    "insert into order_items select order_id, 99, product_id, sku, name, 1, 0, 0 from order_items where line = 1",
    "update payment_attempts set status = 'captured'",
    "insert into payment_attempts (order_id, attempt, reference, status, amount, surplus, at, deadline_at) "
    "select order_id, 9, 'x', 'declined', amount, 0, at, deadline_at from payment_attempts",
    "delete from payment_attempts",
    "truncate payment_attempts",
    "truncate refunds",
    "insert into refunds select order_id, 1, 'x', 1, 5, 'failed', false, '', null, null, now() from payment_attempts",
]


@pytest.mark.parametrize("sql", DIRECT)
async def test_a_direct_change_is_refused_with_a_sentence_that_names_the_way(database: str, sql: str) -> None:
    async with store(database) as s:
        before = await s.paying()
        with pytest.raises(asyncpg.RestrictViolationError, match=NAMES_THE_WAY):
            await s.pool.execute(sql)
        assert await s.load(before.state.order.id) == before


async def test_a_refund_changes_only_with_its_order(database: str) -> None:
    async with store(database) as s:
        order = await s.apply(entry(await s.confirmed(), RefundOrder("scratch", 30)))
        for sql in ("update refunds set amount = 31", "update refunds set note = 'x'", "delete from refunds"):
            with pytest.raises(asyncpg.RestrictViolationError, match=NAMES_THE_WAY):
                await s.pool.execute(sql)
        assert await s.value("select amount from refunds") == 30
        assert await s.load(order.state.order.id) == order


async def test_a_log_row_without_its_order_is_refused(database: str) -> None:
    async with store(database) as s:
        await s.placed()
        copied = (
            "insert into order_log (order_id, version, epoch, decision_id, message, snapshot, change, actor, "
            "correlation_id, at, first_sequence, events, contacts_hash, prev_hash, hash) "
            "select order_id, 2, epoch, gen_random_uuid(), message, snapshot, change, 'mallory', correlation_id, at, "
            "first_sequence, events, contacts_hash, hash, prev_hash from order_log"
        )
        with pytest.raises(asyncpg.RestrictViolationError, match=NAMES_THE_WAY):
            await s.pool.execute(copied)


async def test_a_log_row_that_an_earlier_transaction_wrote_covers_no_change(database: str) -> None:
    async with store(database) as s, s.pool.acquire() as one:
        order = await s.placed()
        async with undone(one):
            await commit(one, [entry(order, Cancel("changed my mind"))])
            state = await one.fetchval("select to_jsonb(o) from orders o")
            row = await one.fetchval("select to_jsonb(l) - 'xid' from order_log l where version = 2")
        columns = "status, stock, version, revision, updated_at, timer_at, event_sequence, log_hash, attention"
        change = f"update orders set ({columns}) = (select {columns} from jsonb_populate_record(null::orders, $1))"
        log = (
            "insert into order_log overriding system value select (jsonb_populate_record(null::order_log, "
            "$1::jsonb || jsonb_build_object('xid', pg_current_xact_id()))).*"
        )
        await one.execute("alter table order_log disable trigger tells_of_its_order")
        async with undone(one):
            await one.execute(log, row)
            assert await one.execute(change, state) == "UPDATE 1"
        await one.execute(log, row)
        with pytest.raises(asyncpg.RestrictViolationError, match=NAMES_THE_WAY):
            await one.execute(change, state)
        assert await one.fetchval("select status from orders") == "pending"


@asynccontextmanager
async def undone(connection: Any) -> AsyncIterator[None]:
    """A transaction that is rolled back at its end."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def test_the_table_of_moves_is_the_rules_table(database: str) -> None:
    async with store(database) as s:
        rows = await s.pool.fetch("select from_status, to_status, by from order_moves")
        python = {(origin, target, by) for origin, targets in MOVES.items() for target, by in targets.items()}
        assert {tuple(row) for row in rows} == python
        assert len(rows) == len(python)


async def test_the_check_of_facets_is_the_rules_table(database: str) -> None:
    async with store(database) as s:
        written = await s.value(
            "select pg_get_expr(conbin, conrelid) from pg_constraint where conname = 'facets_are_lawful'"
        )
        combinations = list(itertools.product(Status, Stock, PaymentFacet))
        rows = await s.pool.fetch(
            f"select ({written}) as lawful from unnest($1::text[], $2::text[], $3::text[]) "
            "with ordinality as t (status, stock, payment_status, n) order by n",
            *(list(column) for column in zip(*combinations, strict=True)),
        )
        for (status, stock, facet), row in zip(combinations, rows, strict=True):
            stocks, facets = LAWFUL[status]
            assert row["lawful"] == (stock in stocks and facet in facets), (status, stock, facet)


def with_order(one: Entry, change: Callable[[Order], Order]) -> Entry:
    """The entry with another order in its decision, as a faulty rule would make it."""
    decision = one.decision
    order = change(decision.state.order)
    changed = replace(decision, state=replace(decision.state, order=order))
    return replace(one, decision=changed, snapshot=msgspec.json.encode(order))


def captured(order: Order, amount: int) -> Order:
    """The order with another sum of captures."""
    return replace(order, payment=replace(order.payment, captured=amount))


FAULTY_NEW: list[tuple[Callable[[Order], Order], str]] = [
    (lambda o: replace(o, status=Status.CANCELLED, stock=Stock.RELEASED), "no such move"),
    (lambda o: replace(o, stock=Stock.COMMITTED), "facets_are_lawful"),
    (lambda o: replace(o, total=o.total + 1), "total_is_the_sum"),
    (lambda o: replace(o, subtotal=o.subtotal + 1, total=o.total + 1), "do not add up to the subtotal"),
    (lambda o: replace(o, items=o.items[:1]), "do not add up to the subtotal"),
    (lambda o: replace(o, subtotal=-o.subtotal, total=-o.subtotal + 300), "amounts_are_in_range"),
    (lambda o: replace(o, tax=2**53, total=o.total + 2**53), "amounts_are_in_range"),
    (lambda o: captured(o, 1), "goods_never_leave_unpaid"),
    (lambda o: captured(o, o.total + 1), "no_more_back_than_captured|goods_never_leave_unpaid"),
    (lambda o: replace(o, metadata={"k": "x" * 900_000}), "row_fits_into_a_record"),
]


@pytest.mark.parametrize(("change", "said"), FAULTY_NEW)
async def test_a_faulty_new_order_is_refused(database: str, change: Callable[[Order], Order], said: str) -> None:
    async with store(database) as s:
        with pytest.raises(asyncpg.CheckViolationError, match=said):
            await s.commit(with_order(entry(None, placing()), change))
        assert await s.value("select count(*) from orders") == 0


FAULTY_CHANGE: list[tuple[Callable[[Order], Order], str]] = [
    (lambda o: replace(o, status=Status.SHIPPED, payment=replace(o.payment, status=PaymentFacet.NONE)), "unpaid"),
    (lambda o: replace(o, status=Status.CONFIRMED), "facets_are_lawful|unpaid"),
    (lambda o: captured(replace(o, status=Status.REFUNDED), 5), "facets_are_lawful|unpaid"),
]


@pytest.mark.parametrize(("change", "said"), FAULTY_CHANGE)
async def test_a_faulty_change_is_refused(database: str, change: Callable[[Order], Order], said: str) -> None:
    async with store(database) as s:
        order = await s.reserved()
        with pytest.raises(asyncpg.CheckViolationError, match=said):
            await s.commit(with_order(entry(order, Pay()), change))
        assert await s.load(order.state.order.id) == order


async def test_a_move_that_the_table_lacks_is_refused_although_every_facet_fits(database: str) -> None:
    async with store(database) as s:
        order = await s.confirmed()
        moved = entry(order, SetStatus(Status.PROCESSING))
        jumped = with_order(moved, lambda o: replace(o, status=Status.DELIVERED))
        with pytest.raises(asyncpg.CheckViolationError, match="the table of moves has no such move"):
            await s.commit(jumped)


async def test_captured_money_without_its_attempt_is_refused(database: str) -> None:
    async with store(database) as s:
        order = await s.paying()

        def as_if_captured(o: Order) -> Order:
            paid = replace(o.payment, captured=o.total, status=PaymentFacet.CAPTURED)
            return replace(o, status=Status.CONFIRMED, payment=paid, version=order.version + 1)

        faulty = with_order(entry(order, Pay()), as_if_captured)
        faulty = replace(faulty, decision=replace(faulty.decision, change={"by": "nobody"}))
        with pytest.raises(asyncpg.CheckViolationError, match="attempts and refunds do not add up"):
            await s.commit(faulty)


async def test_the_largest_amount_is_stored_to_the_last_unit(database: str) -> None:
    async with store(database) as s:
        order = await s.placed(items=(line(1, price=MAX_AMOUNT, quantity=1),), shipping_cost=0)
        assert await s.value("select total from orders") == 9007199254740991
        assert (await s.load(order.state.order.id)).state.order.total == MAX_AMOUNT


async def test_a_line_whose_total_is_not_price_times_quantity_is_refused(database: str) -> None:
    async with store(database) as s:
        wrong = replace(line(1, price=500, quantity=2), total=999)
        with pytest.raises(asyncpg.CheckViolationError, match="line_total_is_the_product"):
            await s.commit(entry(None, placing(items=(wrong,))))
