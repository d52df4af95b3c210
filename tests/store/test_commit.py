"""The one statement: what it writes, and what each of its gates lets through."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from order_service.core.answers import (
    CallKind,
    CartCleared,
    Lied,
    PaymentState,
    PaymentUnknown,
    Refused,
    Reserved,
    Unanswered,
)
from order_service.core.messages import Answered, Asked, Cancel, Pay, RetryCall, Tick
from order_service.core.model import Policy
from order_service.store.commit import StoredReply, Verdict, commit
from order_service.store.keys import find_key
from order_service.store.load import Loaded
from order_service.store.rows import Remember

from .given import LEASE_S, Store, call, captured, entry, key, placing, store, verdicts

HOLD = Policy(retry_hold_s=600)


async def two_checks_open(s: Store) -> Loaded:
    """A third attempt that waits for what became of the first, which was slow to tell, and of the second."""
    order = await s.paying()
    declined = PaymentState("declined", "pay-1", "insufficient_funds", order.state.order.total)
    order = await s.answered(order, CallKind.CHARGE, declined, policy=HOLD)
    order = await s.apply(entry(order, Pay("tok_2"), policy=HOLD))
    order = await s.apply(entry(order, Tick(), after_s=1000, policy=HOLD))
    voided = PaymentState("voided", None, None, order.state.order.total)
    order = await s.answered(order, CallKind.VOID, voided, after_s=1000, policy=HOLD)
    return await s.apply(entry(order, Pay("tok_3"), after_s=1001, policy=HOLD))


async def test_what_is_loaded_after_a_commit_is_what_the_commit_said(database: str) -> None:
    async with store(database) as s:
        order = await s.placed()
        assert await s.load(order.state.order.id) == order
        order = await s.answered(order, CallKind.RESERVE, Reserved())
        assert await s.load(order.state.order.id) == order
        order = await s.apply(entry(order, Pay()))
        assert await s.load(order.state.order.id) == order
        order = await s.answered(order, CallKind.CHARGE, Unanswered("no answer in time"))
        assert await s.load(order.state.order.id) == order
        order = await s.answered(order, CallKind.CHARGE, captured(order))
        assert await s.load(order.state.order.id) == order
        order = await s.cancelled(order)
        assert await s.load(order.state.order.id) == order


async def test_a_new_order_is_in_every_table(database: str) -> None:
    async with store(database) as s:
        order = (await s.placed()).state.order
        assert await s.rows("select status, stock, payment_status, total, version, revision, user_id from orders") == [
            {
                "status": "pending",
                "stock": "reserving",
                "payment_status": "none",
                "total": 2000,
                "version": 1,
                "revision": 0,
                "user_id": "ada",
            }
        ]
        assert await s.value("select array_agg(total order by line) from order_items") == [1000, 700]
        assert await s.value("select document::jsonb ->> 'notes' from order_contacts") == "ring twice"
        assert await s.value("select snapshot like '%Ada%' or snapshot like '%tok_visa%' from order_log") is False
        assert await s.value("select token from payment_tokens") == "tok_visa"
        assert await s.rows("select kind, subject, state, token, attempts from partner_calls") == [
            {"kind": "reserve", "subject": f"{order.id}-r1", "state": "open", "token": 1, "attempts": 1}
        ]


async def test_history_has_one_row_per_change_of_status_with_actor_and_reason(database: str) -> None:
    async with store(database) as s:
        order = await s.reserved()
        order = await s.apply(entry(order, Cancel("changed my mind"), actor="staff/eve", correlation_id="corr-9"))
        assert await s.rows(
            "select version, from_status, to_status, actor, reason, correlation_id from order_history order by version"
        ) == [
            {
                "version": 1,
                "from_status": None,
                "to_status": "pending",
                "actor": "tester",
                "reason": None,
                "correlation_id": "corr-1",
            },
            {
                "version": 3,
                "from_status": "pending",
                "to_status": "cancelled",
                "actor": "staff/eve",
                "reason": "changed my mind",
                "correlation_id": "corr-9",
            },
        ]
        assert await s.value("select count(*) from order_log") == 3
        assert await s.value("select at from order_history where version = 3") == order.state.order.updated_at


async def test_a_decision_on_an_old_version_is_stale_and_writes_nothing(database: str) -> None:
    async with store(database) as s:
        old = await s.reserved()
        late = entry(old, Cancel(None), key=key("k"))
        new = await s.apply(entry(old, Pay()))
        assert verdicts(await s.commit(late)) == ["stale"]
        assert await s.load(new.state.order.id) == new


async def test_a_stale_decision_does_not_burn_its_key(database: str) -> None:
    async with store(database) as s:
        old = await s.reserved()
        stale = entry(old, Pay(), key=key("k"))
        new = await s.apply(entry(old, Cancel(None)))
        assert verdicts(await s.commit(stale)) == ["stale"]
        assert await s.value("select count(*) from idempotency_keys") == 0
        again = entry(new, Cancel(None), key=key("k", Asked("done", unchanged=True)))
        assert verdicts(await s.commit(again)) == ["applied"]


async def test_a_key_is_bound_to_the_first_decision_only(database: str) -> None:
    async with store(database) as s:
        first, second = entry(None, placing(), key=key("k")), entry(None, placing(), key=key("k"))
        assert verdicts(await s.commit(first)) == ["applied"]
        assert verdicts(await s.commit(second)) == ["key_taken"]
        found = await find_key(s.pool, "ada", "POST /orders", "k")
        assert found is not None
        assert found.order_id == first.order_id
        assert (found.asked, found.busy, found.reply) == (Asked("place"), True, None)
        assert await s.value("select array_agg(id::text) from orders") == [first.order_id]


async def test_a_key_that_comes_twice_in_one_statement_is_bound_once(database: str) -> None:
    async with store(database) as s:
        results = await s.commit(*[entry(None, placing(), key=key("k")) for _ in range(3)])
        assert sorted(verdicts(results)) == ["applied", "key_taken", "key_taken"]
        assert await s.value("select count(*) from orders") == 1


async def test_the_same_key_of_another_caller_or_route_is_another_key(database: str) -> None:
    async with store(database) as s:
        ours = key("k")
        others = [
            type(ours)("bob", ours.route, "k", b"", Asked("place")),
            type(ours)(ours.principal, "POST /orders/{orderId}/cancel", "k", b"", Asked("place")),
        ]
        results = await s.commit(*[entry(None, placing(), key=one) for one in (ours, *others)])
        assert verdicts(results) == ["applied"] * 3


async def test_a_number_that_is_taken_is_told_and_burns_no_key(database: str) -> None:
    async with store(database) as s:
        await s.placed(order_number="N-1")
        assert verdicts(await s.commit(entry(None, placing(order_number="N-1"), key=key("k")))) == ["number_taken"]
        assert await s.value("select count(*) from idempotency_keys") == 0
        assert verdicts(await s.commit(entry(None, placing(order_number="N-2"), key=key("k")))) == ["applied"]


async def test_the_verdicts_of_one_statement_are_each_entrys_own(database: str) -> None:
    async with store(database) as s:
        old, good = await s.reserved(), await s.reserved()
        await s.apply(entry(old, Pay()))
        await s.placed(order_number="N-1")
        await s.apply(entry(None, placing(), key=key("k")))
        gone = await s.placed()
        results = await s.commit(
            entry(old, Cancel(None)),
            entry(None, placing(order_number="N-1")),
            entry(None, placing(), key=key("k")),
            entry(gone, Answered(call(gone, CallKind.RESERVE).call_id, Reserved()), call_token=7),
            entry(good, Pay()),
        )
        assert verdicts(results) == ["stale", "number_taken", "key_taken", "call_gone", "applied"]
        assert (await s.load(good.state.order.id)).state.order.status == "payment_pending"
        assert (await s.load(gone.state.order.id)).state.order.version == 1


async def test_an_answer_under_a_lease_that_has_passed_on_is_dropped(database: str) -> None:
    async with store(database) as s:
        order = await s.placed()
        await s.pool.execute("update partner_calls set token = token + 1")
        late = entry(order, Answered(call(order, CallKind.RESERVE).call_id, Reserved()))
        assert verdicts(await s.commit(late)) == ["call_gone"]
        assert await s.value("select version from orders") == 1


async def test_an_answer_that_changes_nothing_visible_ends_its_call_and_touches_no_order(database: str) -> None:
    async with store(database) as s:
        order = await s.reserved()
        cart = call(order, CallKind.CLEAR_CART)
        after = await s.answered(order, CallKind.CLEAR_CART, CartCleared())
        assert await s.rows("select version, revision from orders") == [{"version": 2, "revision": 1}]
        assert await s.rows(
            "select state, outcome, token, finished_at is not null as finished from partner_calls where id = $1::uuid",
            cart.call_id,
        ) == [{"state": "done", "outcome": "cleared", "token": 2, "finished": True}]
        assert after == await s.load(order.state.order.id)
        repeat = entry(order, Answered(cart.call_id, CartCleared()))
        assert verdicts(await s.commit(repeat)) == ["call_gone"]


async def test_a_cart_that_is_cleared_meanwhile_makes_no_decision_stale(database: str) -> None:
    async with store(database) as s:
        order = await s.reserved()
        await s.answered(order, CallKind.CLEAR_CART, CartCleared())
        assert verdicts(await s.commit(entry(order, Pay()))) == ["applied"]


async def test_two_calls_that_end_at_once_cannot_both_leave_the_next_step_to_the_other(database: str) -> None:
    """Two closed attempts are read before the third charge; each answer, decided alone, waits for the other's."""
    async with store(database) as s:
        order = await two_checks_open(s)
        checks = [c.call_id for c in order.state.calls if c.kind is CallKind.CHECK_PAYMENT]
        assert len(checks) == 2
        answers = [entry(order, Answered(c, PaymentUnknown()), after_s=1002, policy=HOLD) for c in checks]
        assert [a.decision.change for a in answers] == [None, None]
        assert [verdicts(await s.commit(a)) for a in answers] == [["applied"], ["stale"]]
        order = await s.load(order.state.order.id)
        order = await s.answered(order, CallKind.CHECK_PAYMENT, PaymentUnknown(), after_s=1003, policy=HOLD)
        assert call(order, CallKind.CHARGE).subject.endswith("-p3")


async def test_a_call_that_is_parked_without_a_version_is_told_to_who_did_not_know(database: str) -> None:
    async with store(database) as s:
        order = await two_checks_open(s)
        one, two = (c.call_id for c in order.state.calls if c.kind is CallKind.CHECK_PAYMENT)
        order = await s.apply(entry(order, Answered(one, Lied("amount")), after_s=1002, policy=HOLD))
        did_not_know = entry(order, RetryCall(one), after_s=1004, policy=HOLD)
        assert did_not_know.decision.state.order.attention is None
        parked = await s.apply(entry(order, Answered(two, Lied("amount")), after_s=1003, policy=HOLD))
        assert (parked.version, parked.revision) == (order.version, order.revision + 1)
        assert verdicts(await s.commit(did_not_know)) == ["stale"]


async def test_new_calls_are_leased_and_later_calls_are_not(database: str) -> None:
    async with store(database) as s:
        order = await s.paying()
        declined = PaymentState("declined", "pay-1", "insufficient_funds", order.state.order.total)
        [result] = await s.commit(entry(order, Answered(call(order, CallKind.CHARGE).call_id, declined)))
        assert result.loaded is not None
        release, late = (call(result.loaded, kind) for kind in (CallKind.RELEASE, CallKind.LATE_CHECK))
        assert result.tokens == {release.call_id: 1}
        rows = await s.rows("select id::text, token, attempts, lease_until from partner_calls where state = 'open'")
        found = {row["id"]: row for row in rows}
        assert (found[release.call_id]["token"], found[release.call_id]["attempts"]) == (1, 1)
        assert found[release.call_id]["lease_until"] == result.at + timedelta(seconds=LEASE_S)
        assert (found[late.call_id]["token"], found[late.call_id]["attempts"]) == (0, 0)
        assert found[late.call_id]["lease_until"] == result.at + timedelta(days=1)


async def test_without_a_lease_a_new_call_is_anybodys_at_once(database: str) -> None:
    async with store(database) as s:
        [result] = await s.commit(entry(None, placing(), lease_s=0))
        assert result.tokens == {}
        assert await s.rows("select token, attempts, lease_until from partner_calls") == [
            {"token": 0, "attempts": 0, "lease_until": result.at}
        ]


@pytest.mark.parametrize(("wish_s", "due_s"), [(None, 3), (1, 3), (20, 20), (10**9, 3600)])
async def test_a_call_is_sent_again_when_both_sides_wish(database: str, wish_s: float | None, due_s: float) -> None:
    async with store(database) as s:
        order = await s.placed()
        asked = Answered(call(order, CallKind.RESERVE).call_id, Unanswered("status 503", wish_s))
        [result] = await s.commit(entry(order, asked, retry_in_s=3))
        assert result.verdict is Verdict.APPLIED
        assert await s.rows("select state, token, lease_until, outcome from partner_calls") == [
            {
                "state": "open",
                "token": 2,
                "lease_until": result.at + timedelta(seconds=due_s),
                "outcome": "status 503",
            }
        ]


async def test_a_parked_call_is_sent_again_by_who_asked_for_it(database: str) -> None:
    async with store(database) as s:
        order = await s.placed()
        order = await s.answered(order, CallKind.RESERVE, Refused(400, "no such product"))
        parked = call(order, CallKind.RESERVE)
        assert await s.rows("select state, parked_code, parked_since, outcome from partner_calls") == [
            {
                "state": "parked",
                "parked_code": "call-refused",
                "parked_since": order.state.order.updated_at,
                "outcome": "400 no such product",
            }
        ]
        assert await s.value("select attention from orders") == "call-refused"
        assert await s.load(order.state.order.id) == order
        [result] = await s.commit(entry(order, RetryCall(parked.call_id)))
        assert result.tokens == {parked.call_id: 3}
        assert await s.rows("select state, parked_code, token, attempts, lease_until from partner_calls") == [
            {
                "state": "open",
                "parked_code": None,
                "token": 3,
                "attempts": 2,
                "lease_until": result.at + timedelta(seconds=LEASE_S),
            }
        ]
        assert await s.value("select attention from orders") is None
        assert await s.load(order.state.order.id) == result.loaded


async def test_an_order_that_somebody_holds_holds_nobody_up(database: str) -> None:
    async with store(database) as s:
        held, free = await s.reserved(), await s.reserved()
        async with s.pool.acquire() as other, other.transaction():
            await other.execute("select 1 from orders where id = $1::uuid for update", held.state.order.id)
            assert verdicts(await s.commit(entry(held, Pay()), entry(free, Pay()))) == ["locked", "applied"]
        assert verdicts(await s.commit(entry(held, Pay()))) == ["applied"]


async def test_a_call_that_somebody_holds_holds_nobody_up(database: str) -> None:
    async with store(database) as s:
        held, free = await s.placed(), await s.placed()
        owed = call(held, CallKind.RESERVE).call_id
        answers = [entry(o, Answered(call(o, CallKind.RESERVE).call_id, Reserved())) for o in (held, free)]
        async with s.pool.acquire() as other, other.transaction():
            await other.execute("select 1 from partner_calls where id = $1::uuid for update", owed)
            assert verdicts(await s.commit(*answers)) == ["locked", "applied"]
        assert verdicts(await s.commit(answers[0])) == ["applied"]


async def test_two_statements_with_opposite_keys_do_not_wait_for_each_other(database: str) -> None:
    async with store(database) as s, s.pool.acquire() as one, s.pool.acquire() as two, s.pool.acquire() as third:
        for patient in (one, two):
            await patient.execute("set lock_timeout = '60s'; set statement_timeout = '60s'")
        keys = [key(name) for name in ("a", "m", "z")]
        there = [entry(None, placing(), key=k) for k in keys]
        back = [entry(None, placing(), key=k) for k in reversed(keys)]
        # Both have begun and neither can end: the key in the middle is somebody else's until both wait.
        transaction = third.transaction()
        await transaction.start()
        assert verdicts(await commit(third, [entry(None, placing(), key=keys[1])])) == ["applied"]
        both = asyncio.gather(commit(one, there), commit(two, back))
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        async with asyncio.timeout(60):
            while await s.value(waiting) < 2:  # noqa: ASYNC110 - what is asked is the database
                await asyncio.sleep(0.01)
        await transaction.rollback()
        assert sorted(r for result in await both for r in verdicts(result)) == ["applied"] * 3 + ["key_taken"] * 3
        assert await s.value("select count(*) from orders") == 3


async def test_an_order_stands_in_one_entry_of_a_statement_only(database: str) -> None:
    async with store(database) as s:
        order = await s.reserved()
        with pytest.raises(AssertionError, match="one order, one entry"):
            await s.commit(entry(order, Pay()), entry(order, Cancel(None)))


async def test_the_final_answer_of_an_earlier_key_is_stored_with_the_decision_that_settled_it(database: str) -> None:
    async with store(database) as s:
        placed = await s.apply(entry(None, placing(), key=key("k")))
        reply = StoredReply(201, b'{"id":"x"}', 2)
        told = Remember("ada", "POST /orders", "k", reply)
        answer = Answered(call(placed, CallKind.RESERVE).call_id, Reserved())
        await s.apply(entry(placed, answer, remember=(told,)))
        found = await find_key(s.pool, "ada", "POST /orders", "k")
        assert found is not None
        assert (found.reply, found.busy) == (reply, False)


async def test_a_decision_that_writes_nothing_may_bind_a_key_with_its_answer(database: str) -> None:
    async with store(database) as s:
        order = await s.confirmed()
        reply = StoredReply(200, b"{}", order.version)
        again = entry(order, Pay(), key=key("again", Asked("done", unchanged=True), reply))
        assert not again.decision.writes
        assert verdicts(await s.commit(again, entry(None, placing(), key=key("again")))) == ["applied", "key_taken"]
        found = await find_key(s.pool, "ada", "POST /orders", "again")
        assert found is not None
        assert found.reply == reply
        assert await s.load(order.state.order.id) == order
