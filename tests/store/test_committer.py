"""Seeing decisions through: rivals, deadlocks, poison, connections that are lost at the worst moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from msgspec.structs import replace

from order_service.core.answers import CallKind, CartCleared, Reserved
from order_service.core.messages import Answered, Asked, Cancel, Pay
from order_service.store.commit import Entry
from order_service.store.committer import Committer, OutcomeUnknown
from order_service.store.load import Loaded
from order_service.store.pool import connect

from .given import Store, call, entry, key, placing, store
from .proxy import Fault, Proxy, proxy


@asynccontextmanager
async def committing(dsn: str, *, size: int = 4) -> AsyncIterator[Committer]:
    """A committer with a pool of its own, whose connections have committed before."""
    pool = await connect(dsn, min_size=size, max_size=size)
    committer = Committer(pool)
    try:
        yield committer
    finally:
        await committer.close()
        pool.terminate()


@asynccontextmanager
async def behind_a_proxy(dsn: str) -> AsyncIterator[tuple[Committer, Proxy]]:
    """A committer whose one connection goes through a proxy, and knows its statement already."""
    async with proxy(dsn) as between, committing(between.dsn, size=1) as committer:
        assert (await committer.commit(entry(None, placing()))).applied
        yield committer, between


def poisoned(one: Entry) -> Entry:
    """The entry with a text that PostgreSQL cannot hold."""
    return replace(one, actor="nul \x00 character")


async def test_what_comes_while_a_commit_is_under_way_goes_together_into_the_next(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        results = await asyncio.gather(*[committer.commit(entry(None, placing())) for _ in range(200)])
        assert all(result.applied for result in results)
        assert await s.value("select count(distinct xid) from order_log") == 4
        assert await s.value("select max(n) from (select count(*) n from order_log group by xid) as sizes") == 64


async def test_what_no_request_waits_for_goes_with_the_next_statement(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        order = await s.reserved()
        cart = call(order, CallKind.CLEAR_CART).call_id
        cleared = asyncio.create_task(committer.commit(entry(order, Answered(cart, CartCleared()))))
        await asyncio.sleep(0)
        other = entry(None, placing())
        results = await asyncio.gather(cleared, committer.commit(other))
        assert [result.applied for result in results] == [True, True]
        of_other = await s.value("select xid::text from order_log where order_id = $1::uuid", other.order_id)
        assert await s.value("select xmin::text from partner_calls where id = $1::uuid", cart) == of_other


async def test_what_no_request_waits_for_is_written_if_nothing_follows_it_too(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        order = await s.reserved()
        cart = call(order, CallKind.CLEAR_CART).call_id
        async with asyncio.timeout(30):
            assert (await committer.commit(entry(order, Answered(cart, CartCleared())))).applied
        assert await s.value("select state from partner_calls where id = $1::uuid", cart) != "open"


async def test_a_committer_that_is_closed_writes_what_no_request_waits_for_first(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        order = await s.reserved()
        answer = Answered(call(order, CallKind.CLEAR_CART).call_id, CartCleared())
        cleared = asyncio.create_task(committer.commit(entry(order, answer)))
        await asyncio.sleep(0)
        await committer.close()
        assert (await cleared).applied


async def test_two_decisions_on_one_order_are_never_in_one_statement(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        order = await s.reserved()
        results = await asyncio.gather(
            committer.commit(entry(order, Pay())), committer.commit(entry(order, Cancel(None)))
        )
        assert [str(r.verdict) for r in results] == ["applied", "stale"]


@pytest.mark.parametrize("place", [0, 3, 7])
async def test_a_poisoned_decision_fails_alone(database: str, place: int) -> None:
    async with store(database) as s, committing(database) as committer:
        entries = [entry(None, placing()) for _ in range(8)]
        entries[place] = poisoned(entries[place])
        results = await asyncio.gather(*[committer.commit(e) for e in entries], return_exceptions=True)
        assert [type(r).__name__ for r in results].count("Result") == 7
        assert isinstance(results[place], asyncpg.CharacterNotInRepertoireError)
        found = {str(row["id"]) for row in await s.rows("select id from orders")}
        assert found == {e.order_id for n, e in enumerate(entries) if n != place}


async def test_what_cannot_even_be_sent_fails_alone(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        wrong = replace(entry(None, placing()), correlation_id="\ud800")
        with pytest.raises(UnicodeEncodeError):
            await committer.commit(wrong)
        fine, bad = entry(None, placing()), replace(entry(None, placing()), decision_id="no id")  # type: ignore[arg-type]
        results = await asyncio.gather(committer.commit(fine), committer.commit(bad), return_exceptions=True)
        assert [type(r).__name__ for r in results] == ["Result", "DataError"]
        assert await s.value("select array_agg(id::text) from orders") == [fine.order_id]


async def test_an_error_tells_nothing_of_the_row(database: str) -> None:
    async with committing(database) as committer:
        faulty = entry(None, placing())
        state = faulty.decision.state
        wrong = replace(state, order=replace(state.order, total=state.order.total + 1))
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await committer.commit(replace(faulty, decision=replace(faulty.decision, state=wrong)))
        assert str(refused.value) == 'new row for relation "orders" violates check constraint "total_is_the_sum"'


async def test_an_order_that_is_held_is_tried_again_and_holds_up_nobody_else(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        held, free = await s.reserved(), await s.reserved()
        async with s.pool.acquire() as other, other.transaction():
            await other.execute("select 1 from orders where id = $1::uuid for update", held.state.order.id)
            waiting = asyncio.create_task(committer.commit(entry(held, Pay())))
            assert (await committer.commit(entry(free, Pay()))).applied
            assert not waiting.done()
        assert (await waiting).applied


async def test_an_order_that_is_held_for_long_is_told_to_be_locked(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        held = await s.reserved()
        async with s.pool.acquire() as other, other.transaction():
            await other.execute("select 1 from orders where id = $1::uuid for update", held.state.order.id)
            assert str((await committer.commit(entry(held, Pay()))).verdict) == "locked"


async def test_a_deadlock_is_tried_again(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        order = await s.reserved()
        cart = call(order, CallKind.CLEAR_CART)
        async with s.pool.acquire() as other:
            transaction = other.transaction()
            await transaction.start()
            await other.execute("set local deadlock_timeout = '1h'; set local lock_timeout = 0")
            await other.execute("select 1 from partner_calls where id = $1::uuid for update", cart.call_id)
            cancelling = asyncio.create_task(committer.commit(entry(order, Cancel(None))))
            await until_blocked(s)
            await other.execute("select 1 from orders where id = $1::uuid for update", order.state.order.id)
            await transaction.rollback()
        assert (await cancelling).applied
        assert await s.value("select count(*) from order_log") == 3
        counted = "select deadlocks from pg_stat_database where datname = current_database()"
        async with asyncio.timeout(60):
            while not await s.value(counted):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await s.value(counted) == 1


async def until_blocked(s: Store) -> None:
    """Wait until a statement waits for a lock of somebody else."""
    blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(60):
        while not await s.value(blocked):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_number_that_a_rival_takes_at_the_same_moment_is_told(database: str) -> None:
    """Both see it free; the second waits for the first, and then it is not free any more."""
    async with store(database) as s, committing(database) as committer:
        async with s.pool.acquire() as rival:
            transaction = rival.transaction()
            await transaction.start()
            await Store(rival, database).commit(entry(None, placing(order_number="N-1")))  # type: ignore[arg-type]
            unlucky = asyncio.create_task(committer.commit(entry(None, placing(order_number="N-1"), key=key("k"))))
            await until_blocked(s)
            await transaction.commit()
        assert str((await unlucky).verdict) == "number_taken"
        assert await s.value("select count(*) from idempotency_keys") == 0


async def test_two_new_orders_of_one_number_in_one_statement_are_parted(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        first = asyncio.create_task(committer.commit(entry(None, placing())))
        twins = [committer.commit(entry(None, placing(order_number="N-1"))) for _ in range(2)]
        results = await asyncio.gather(first, *twins)
        assert sorted(str(r.verdict) for r in results) == ["applied", "applied", "number_taken"]
        assert await s.value("select count(*) from orders") == 2


async def test_a_waiter_that_is_cancelled_cancels_nothing(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        waiting = asyncio.create_task(committer.commit(entry(None, placing())))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await committer.close()
        assert await s.value("select count(*) from orders") == 1


@pytest.mark.parametrize("lost", ["statement", "answer"])
async def test_a_new_order_whose_commit_is_not_answered_is_there_once(database: str, lost: Fault) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        one = entry(None, placing(), key=key("k"))
        between.lose(lost)
        result = await committer.commit(one)
        assert (str(result.verdict), between.faults) == ("applied", 1)
        assert result.loaded is not None
        assert await s.load(one.order_id) == result.loaded
        assert result.tokens == {call(result.loaded, CallKind.RESERVE).call_id: 1}
        assert await s.value("select count(*) from order_log where order_id = $1::uuid", one.order_id) == 1


@pytest.mark.parametrize("lost", ["statement", "answer"])
async def test_a_change_whose_commit_is_not_answered_is_there_once(database: str, lost: Fault) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        order = await s.reserved()
        between.lose(lost)
        result = await committer.commit(entry(order, Pay(), key=key("k", Asked("pay", 1))))
        assert (str(result.verdict), between.faults) == ("applied", 1)
        assert await s.load(order.state.order.id) == result.loaded
        assert await s.value("select count(*) from payment_attempts") == 1


@pytest.mark.parametrize("lost", ["statement", "answer"])
async def test_an_answer_to_a_call_whose_commit_is_not_answered_ends_it_once(database: str, lost: Fault) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        order = await s.reserved()
        cart = call(order, CallKind.CLEAR_CART)
        between.lose(lost)
        result = await committer.commit(entry(order, Answered(cart.call_id, CartCleared())))
        assert (str(result.verdict), between.faults) == ("applied", 1)
        assert await s.rows("select state, token from partner_calls where id = $1::uuid", cart.call_id) == [
            {"state": "done", "token": 2}
        ]


async def test_a_lease_that_is_over_when_the_lost_answer_is_found_is_not_ours_any_more(database: str) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        between.lose("answer")
        result = await committer.commit(entry(None, placing(), lease_s=0.001))
        assert (str(result.verdict), between.faults, result.tokens) == ("applied", 1, {})
        order = entry(await s.reserved(), Pay(), lease_s=3600)
        between.lose("answer")
        assert list((await committer.commit(order)).tokens.values()) == [1]


@pytest.mark.parametrize("lost", ["statement", "answer"])
async def test_a_whole_batch_whose_commit_is_not_answered_is_there_once(database: str, lost: Fault) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        between.lose(lost)
        entries = [entry(None, placing(), key=key(str(n))) for n in range(20)]
        results = await asyncio.gather(*[committer.commit(e) for e in entries])
        assert [str(r.verdict) for r in results] == ["applied"] * 20
        assert between.faults == 1
        assert await s.value("select count(*) from orders") == 21
        assert await s.value("select count(*) from idempotency_keys") == 20


async def test_a_rivals_version_is_not_taken_for_ours(database: str) -> None:
    """The statement is lost before it arrives, and a rival writes the very version that ours would have been."""
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        order = await s.reserved()
        ours, rivals = entry(order, Pay()), entry(order, Cancel(None))
        between.lose("statement")
        waiting = asyncio.create_task(committer.commit(ours))
        theirs = await s.apply(rivals)
        assert str((await waiting).verdict) == "stale"
        assert await s.load(order.state.order.id) == theirs


async def test_a_rivals_key_is_not_taken_for_ours(database: str) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        between.lose("statement")
        ours = entry(None, placing(), key=key("k"))
        waiting = asyncio.create_task(committer.commit(ours))
        theirs = await s.apply(entry(None, placing(), key=key("k")))
        assert str((await waiting).verdict) == "key_taken"
        assert await s.rows("select id::text as id from orders where id = any($1::uuid[])", [ours.order_id]) == []
        assert await s.value("select order_id::text from idempotency_keys") == theirs.state.order.id


async def test_the_end_that_a_rival_gave_a_call_is_not_taken_for_ours(database: str) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        order = await s.reserved()
        answer = Answered(call(order, CallKind.CLEAR_CART).call_id, CartCleared())
        between.lose("statement")
        waiting = asyncio.create_task(committer.commit(entry(order, answer)))
        await s.apply(entry(order, answer))
        assert str((await waiting).verdict) == "call_gone"


async def test_an_order_that_is_there_is_not_placed_again(database: str) -> None:
    async with store(database) as s:
        order = await s.placed()
        again = entry(None, placing(order_id=order.state.order.id), key=key("k"))
        [result] = await s.commit(again)
        assert str(result.verdict) == "stale"
        assert await s.value("select count(*) from idempotency_keys") == 0
        assert await s.load(order.state.order.id) == order


async def test_a_statement_that_still_runs_when_its_connection_is_lost_takes_effect_once(database: str) -> None:
    async with store(database) as s, behind_a_proxy(database) as (committer, between):
        async with s.pool.acquire() as rival:
            transaction = rival.transaction()
            await transaction.start()
            await Store(rival, database).commit(entry(None, placing(), key=key("k")))  # type: ignore[arg-type]
            one = entry(None, placing(), key=key("k"))
            waiting = asyncio.create_task(committer.commit(one))
            await until_blocked(s)
            await between.stop()
            await between.start()
            await asyncio.sleep(0.1)
            await transaction.rollback()
        assert (await waiting).applied
        assert await s.value("select count(*) from order_log where order_id = $1::uuid", one.order_id) == 1
        assert await s.value("select order_id::text from idempotency_keys") == one.order_id


async def test_a_database_that_stays_away_leaves_the_outcome_open_and_says_so(database: str) -> None:
    async with behind_a_proxy(database) as (committer, between):
        between.lose("answer", for_good=True)
        with pytest.raises(OutcomeUnknown):
            await committer.commit(entry(None, placing()))
        with pytest.raises(ConnectionError, match="No connection to the database"):
            await committer.commit(entry(None, placing()))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_lost_no_decision_is_applied_twice(database: str, seed: int) -> None:
    chance = random.Random(seed)
    async with store(database) as s, behind_a_proxy(database) as (committer, between):

        async def through_trouble(one: Entry) -> Loaded:
            if chance.random() < 0.2:
                between.lose(chance.choice(("statement", "answer")))
            result = await committer.commit(one)
            assert result.loaded is not None
            return result.loaded

        async def client() -> None:
            order = await through_trouble(entry(None, placing()))
            for kind, answer in ((CallKind.RESERVE, Reserved()), (CallKind.CLEAR_CART, CartCleared())):
                order = await through_trouble(entry(order, Answered(call(order, kind).call_id, answer)))
            await through_trouble(entry(order, Pay()))

        await asyncio.gather(*[client() for _ in range(12)])
        assert between.faults > 0
        assert await s.value("select count(*) from orders where status = 'payment_pending'") == 12
        assert await s.value("select count(*) from order_log") == 1 + 3 * 12


async def test_more_than_the_bound_never_waits_and_what_is_turned_away_is_not_written(database: str) -> None:
    async with store(database) as s, committing(database) as committer:
        committer._most_waiting = 10
        results = await asyncio.gather(
            *[committer.commit(entry(None, placing())) for _ in range(50)], return_exceptions=True
        )
        assert [type(result).__name__ for result in results] == ["Result"] * 10 + ["ConnectionError"] * 40
        assert await s.value("select count(*) from orders") == 10
        assert (await committer.commit(entry(None, placing()))).applied
