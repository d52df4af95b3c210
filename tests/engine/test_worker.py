"""What the worker owes: every call and every timer, whoever owed it, and no trouble of one order for another."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from order_service.core.messages import Pay, RefundOrder, RetryCall
from tests.engine.partners import held, says, scripted_partners, stuck
from tests.engine.rig import Replica, document, eventually, replica, rows, run, script
from tests.store.given import placing

SPOIL = """
set session_replication_role = replica;
update order_log set snapshot = '{"spoilt": true}' where order_id = '%s';
"""


def test_one_broken_order_holds_up_neither_the_loads_nor_the_timers_of_others(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, unpaid_ttl=1.0) as shop:
            broken = await shop.placed()
            sound = [await shop.placed() for _ in range(5)]
            await script(database, SPOIL % broken)
            answers = await asyncio.gather(
                *(shop.engine.load(order_id) for order_id in [broken, *sound]), return_exceptions=True
            )
            assert isinstance(answers[0], Exception)
            assert [a.state.order.id for a in answers[1:] if not isinstance(a, BaseException)] == sound
            for order_id in sound:
                await shop.until(order_id, status="cancelled", stock="released")

    run(story())


def test_a_timer_that_is_due_by_the_databases_clock_fires_though_the_replicas_clock_is_an_hour_behind(
    database: str,
) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, unpaid_ttl=0.5) as shop:
            order_id = await shop.placed()
            shop.engine.clock.set(datetime.now(UTC) - timedelta(hours=1))
            order = await shop.until(order_id, status="cancelled", stock="released")
            assert order["cancellation"]["code"] == "expired"

    run(story())


def test_a_timer_that_comes_on_three_replicas_at_once_fires_once(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            replica(database, partners, unpaid_ttl=0.5) as shop,
            replica(database, partners, unpaid_ttl=0.5),
            replica(database, partners, unpaid_ttl=0.5),
        ):
            ids = [await shop.placed() for _ in range(10)]
            for order_id in ids:
                await shop.until(order_id, status="cancelled", stock="released")
            assert partners.count("release") == 10
            found = await rows(database, "select count(*) as n from order_history where to_status = 'cancelled'")
            assert found == [{"n": 10}]

    run(story())


def test_a_call_that_is_retried_by_a_person_is_sent_with_its_own_key(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            partners.plan("charge", says(401))
            assert (await shop.command(order_id, Pay())).status == 202
            order = await shop.until(order_id, attention=await _attention(shop, order_id))
            assert partners.count("charge") == 1
            retried = await shop.command(order_id, RetryCall(order["attention"]["callId"]), key="k")
            assert retried.status == 202
            await shop.until(order_id, status="confirmed", attention=None)
            assert len({q.key for q in partners.asked if q.kind == "charge"}) == 1
            again = await shop.command(order_id, RetryCall(order["attention"]["callId"]), key="k")
            assert (again.status, again.body, again.replayed) == (202, retried.body, True)
            assert partners.count("charge") == 2

    run(story())


async def _attention(shop: Replica, order_id: str) -> object:
    async def parked() -> bool:
        return (await shop.get(order_id))["attention"] is not None

    await eventually(parked)
    return (await shop.get(order_id))["attention"]


def test_a_late_answer_after_the_lease_has_passed_on_is_dropped_and_the_money_moves_once(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            replica(database, partners, parts=("api",), partner_timeout=3.0, lease=3.2) as slow,
            replica(database, partners, parts=("worker",)),
        ):
            order_id = await slow.placed()
            answer = asyncio.Event()
            partners.plan("charge", held(answer))
            paying = asyncio.create_task(slow.command(order_id, Pay(), key="k"))
            await partners.until_asked("charge")
            await rows(database, "update partner_calls set lease_until = now() where kind = 'charge'")
            await partners.until_asked("charge", 2)
            await slow.until(order_id, status="confirmed")
            version = (await slow.get(order_id))["version"]
            answer.set()
            paid = await paying
            assert (paid.status, document(paid)["version"]) == (200, version)
            await asyncio.sleep(0.1)
            assert (await slow.get(order_id))["version"] == version
            assert partners.took_effect("charge") == 1
            charge = "select token, attempts, state from partner_calls where kind = 'charge'"
            assert await rows(database, charge) == [{"token": 3, "attempts": 2, "state": "done"}]

    run(story())


def test_an_answer_counts_only_under_the_lease_it_was_asked_under_also_where_a_worker_asked(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, partner_timeout=6.0, lease=6.2) as shop:
            order_id = await shop.placed()
            answer = asyncio.Event()
            partners.plan("charge", says(503), held(answer))
            paying = asyncio.create_task(shop.command(order_id, Pay()))
            await partners.until_asked("charge", 2)
            # Somebody else has the call by now, and the replica that asked knows nothing of it.
            await rows(database, "update partner_calls set token = token + 1 where kind = 'charge'")
            answer.set()
            assert (await paying).status == 202
            await eventually(lambda: nothing_under_way(shop))
            assert (await shop.get(order_id))["status"] == "payment_pending"
            charge = "select token, attempts, state from partner_calls where kind = 'charge'"
            assert await rows(database, charge) == [{"token": 4, "attempts": 2, "state": "open"}]
            await rows(database, "update partner_calls set lease_until = now() where kind = 'charge'")
            await shop.until(order_id, status="confirmed")
            assert partners.took_effect("charge") == 1

    run(story())


async def nothing_under_way(shop: Replica) -> bool:
    """Whether the replica waits for no partner's answer."""
    return shop.dispatcher.busy == 0


def test_a_call_that_has_come_too_late_is_not_sent(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            partners.plan("clear_cart", says(503, Retry_After="3600"))
            await shop.placed()
            owed = "select state, attempts > 2 as tried, outcome from partner_calls where kind = 'clear_cart'"
            await partners.until_asked("clear_cart")
            await eventually(lambda: nothing_under_way(shop))
            for _ in range(2):
                late = "update partner_calls set drop_at = now(), lease_until = now() where kind = 'clear_cart'"
                await rows(database, late)

                async def looked_at() -> bool:
                    waits = "select 1 from partner_calls where kind = 'clear_cart' and lease_until > now()"
                    return bool(await rows(database, waits)) and shop.dispatcher.busy == 0

                await eventually(looked_at)
            assert await rows(database, owed) == [{"state": "open", "tried": True, "outcome": "too late to be sent"}]
            assert partners.count("clear_cart") == 1

    run(story())


def test_a_stuck_partner_takes_no_turn_of_another_and_no_leases_that_it_cannot_use(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            paid = await shop.placed()
            shop.dispatcher._at_once = 2
            shop.dispatcher._turns["inventory"] = asyncio.Semaphore(2)
            partners.plan("reserve", *(stuck() for _ in range(200)))
            answers = await asyncio.gather(*(shop.place(placing()) for _ in range(20)))
            assert {a.status for a in answers} == {202}
            assert (await shop.command(paid, Pay())).status == 200
            await asyncio.sleep(3)
            [leases] = await rows(
                database,
                "select sum(attempts)::int as n from partner_calls where kind = 'reserve' and state = 'open'",
            )
            assert 20 < leases["n"] <= 32  # two at a time, each 1.5 s, for some seconds; not twenty every two seconds

    run(story())


def test_retry_after_is_honoured(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            partners.plan("charge", says(429, Retry_After="1"))
            await shop.command(order_id, Pay())
            await shop.until(order_id, status="confirmed")
            assert partners.count("charge") == 2
            [waited] = await rows(
                database,
                "select max(at) - min(at) >= interval '1 second' as long_enough from order_history"
                " where order_id = $1::uuid and to_status in ('payment_pending', 'confirmed')",
                order_id,
            )
            assert waited == {"long_enough": True}

    run(story())


def test_a_hundred_refunds_of_one_order_at_once_are_all_made(database: str) -> None:
    async def story() -> None:
        usual: dict[str, Any] = {"request_deadline": 6.0, "partner_timeout": 7.0, "lease": 9.0}
        async with scripted_partners() as partners, replica(database, partners, **usual) as shop:
            order_id = await shop.confirmed()
            refunds = (shop.command(order_id, RefundOrder(f"part {n}", 1)) for n in range(100))
            answers = await asyncio.gather(*refunds)
            assert {answer.status for answer in answers} == {201}
            assert (await shop.get(order_id))["payment"]["refunded"] == 100
            assert partners.took_effect("refund") == 100
            assert shop.waiters == 0

    run(story())
