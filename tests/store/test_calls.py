"""What is due: calls that are leased, one replica at a time, and orders whose timer has come."""

from __future__ import annotations

import asyncio

from order_service.core.answers import CallKind, PaymentState, Refused, Reserved
from order_service.core.messages import Answered, Cancel, Tick
from order_service.core.model import Policy
from order_service.store.calls import call_exists, claim, due_timers, next_due_in

from .given import call, entry, new_id, placing, store, verdicts

ALL_DUE = "update partner_calls set lease_until = now() - interval '1 s' where state = 'open'"


async def test_a_call_whose_lease_has_ended_is_claimed_with_the_next_token(database: str) -> None:
    async with store(database) as s:
        order = await s.placed()
        assert await claim(s.pool, limit=10, lease_s=9) == []
        await s.pool.execute(ALL_DUE)
        [found] = await claim(s.pool, limit=10, lease_s=9)
        owed = call(order, CallKind.RESERVE)
        assert (found.call_id, found.order_id, found.kind) == (owed.call_id, order.state.order.id, CallKind.RESERVE)
        assert (found.token, found.attempts, found.drop) == (2, 2, False)
        assert (found.subject, found.key) == (owed.subject, owed.subject)
        assert found.request == await s.value("select request from partner_calls")
        assert (found.correlation_id, found.traceparent) == ("corr-1", None)
        assert await claim(s.pool, limit=10, lease_s=9) == []
        zombie = entry(order, Answered(owed.call_id, Reserved()), call_token=1)
        assert verdicts(await s.commit(zombie)) == ["call_gone"]
        assert verdicts(await s.commit(entry(order, Answered(owed.call_id, Reserved()), call_token=2))) == ["applied"]


async def test_two_replicas_never_claim_the_same_call(database: str) -> None:
    async with store(database) as s:
        await s.commit(*[entry(None, placing()) for _ in range(50)])
        await s.pool.execute(ALL_DUE)
        found = await asyncio.gather(*[claim(s.pool, limit=10, lease_s=9) for _ in range(6)])
        ids = [c.call_id for claimed in found for c in claimed]
        assert len(ids) == len(set(ids)) == 50


async def test_a_call_that_somebody_is_writing_holds_up_no_claim(database: str) -> None:
    async with store(database) as s:
        held, free = await s.placed(), await s.placed()
        await s.pool.execute(ALL_DUE)
        async with s.pool.acquire() as other, other.transaction():
            await other.execute("select 1 from partner_calls where order_id = $1::uuid for update", held.state.order.id)
            assert [c.order_id for c in await claim(s.pool, limit=10, lease_s=9)] == [free.state.order.id]


async def test_the_longest_due_comes_first_and_kinds_may_be_chosen(database: str) -> None:
    async with store(database) as s:
        old, new = await s.reserved(), await s.placed()
        await s.pool.execute(ALL_DUE)
        await s.pool.execute(
            "update partner_calls set lease_until = now() - interval '1 h' where order_id = $1::uuid",
            new.state.order.id,
        )
        [first] = await claim(s.pool, limit=1, lease_s=9)
        assert first.order_id == new.state.order.id
        assert await claim(s.pool, limit=9, lease_s=9, kinds=[CallKind.CHARGE]) == []
        [cart] = await claim(s.pool, limit=9, lease_s=9, kinds=[CallKind.CLEAR_CART, CallKind.CHARGE])
        assert (cart.order_id, cart.kind) == (old.state.order.id, CallKind.CLEAR_CART)


async def test_a_claim_leads_back_to_what_was_last_done_to_its_order(database: str) -> None:
    async with store(database) as s:
        first = await s.apply(entry(None, placing(), correlation_id="corr-first", traceparent="00-1"))
        other = await s.apply(entry(None, placing(), correlation_id="corr-other"))
        await s.apply(entry(first, Cancel(None), correlation_id="corr-cancel", traceparent="00-2"))
        await s.pool.execute(ALL_DUE)
        found = {c.order_id: (c.correlation_id, c.traceparent) for c in await claim(s.pool, limit=9, lease_s=9)}
        assert found == {first.state.order.id: ("corr-cancel", "00-2"), other.state.order.id: ("corr-other", None)}


async def test_a_call_that_comes_too_late_is_claimed_to_be_dropped(database: str) -> None:
    async with store(database) as s:
        await s.reserved()
        await s.pool.execute(ALL_DUE)
        await s.pool.execute("update partner_calls set drop_at = now() - interval '1 s' where state = 'open'")
        assert [(c.kind, c.drop) for c in await claim(s.pool, limit=9, lease_s=9)] == [(CallKind.CLEAR_CART, True)]


async def test_a_parked_call_is_nobodys(database: str) -> None:
    async with store(database) as s:
        order = await s.placed()
        await s.answered(order, CallKind.RESERVE, Refused(400, "no such product"))
        await s.pool.execute("update partner_calls set lease_until = now() - interval '1 h'")
        assert await claim(s.pool, limit=9, lease_s=9) == []


async def test_a_call_for_later_is_claimed_when_its_time_has_come(database: str) -> None:
    async with store(database) as s:
        order = await s.paying()
        declined = PaymentState("declined", "pay-1", "insufficient_funds", order.state.order.total)
        order = await s.answered(order, CallKind.CHARGE, declined)
        late = call(order, CallKind.LATE_CHECK)
        assert await claim(s.pool, limit=9, lease_s=9) == []
        await s.pool.execute("update partner_calls set lease_until = now() where id = $1::uuid", late.call_id)
        [found] = await claim(s.pool, limit=9, lease_s=9)
        assert (found.call_id, found.token, found.attempts) == (late.call_id, 1, 1)


async def test_an_order_whose_timer_has_come_is_found_until_it_is_decided(database: str) -> None:
    hasty = Policy(unpaid_ttl_s=-1)
    async with store(database) as s:
        due = await s.apply(entry(None, placing(), policy=hasty))
        other = await s.apply(entry(None, placing(), policy=hasty))
        await s.placed()
        ids = [due.state.order.id, other.state.order.id]
        assert await due_timers(s.pool, limit=10) == ids
        assert await due_timers(s.pool, limit=1) == ids[:1]
        assert await due_timers(s.pool, limit=10, skip=ids[:1]) == ids[1:]
        expired = await s.apply(entry(due, Tick()))
        assert expired.state.order.status == "cancelled"
        assert await due_timers(s.pool, limit=10) == ids[1:]


async def test_how_long_nothing_is_due_is_known(database: str) -> None:
    async with store(database) as s:
        assert await next_due_in(s.pool) is None
        await s.placed()
        seconds = await next_due_in(s.pool)
        assert seconds is not None
        assert 0 < seconds <= 9
        await s.pool.execute(ALL_DUE)
        seconds = await next_due_in(s.pool)
        assert seconds is not None
        assert seconds < 0


async def test_a_call_is_known_to_its_order_only_also_when_it_is_done(database: str) -> None:
    async with store(database) as s:
        order, other = await s.placed(), await s.placed()
        reserve = call(order, CallKind.RESERVE)
        await s.answered(order, CallKind.RESERVE, Reserved())
        assert await call_exists(s.pool, order.state.order.id, reserve.call_id)
        assert not await call_exists(s.pool, other.state.order.id, reserve.call_id)
        assert not await call_exists(s.pool, order.state.order.id, new_id())
        assert not await call_exists(s.pool, order.state.order.id, "no id")
