"""A partner is found away: nothing is sent to it, nothing is claimed to have been sent, and all of it comes later."""

from __future__ import annotations

import asyncio

from order_service.core.messages import Cancel, Pay, RefundOrder
from order_service.core.model import Policy
from order_service.engine import BACKOFF_CAP_S, POLL_CAP_S, backoff_s
from order_service.partners.breaker import FAILURES, Breaker
from tests.engine.partners import says, scripted_partners
from tests.engine.rig import Replica, document, eventually, replica, rows, run

CALLS = "select kind, key, attempts, state from partner_calls where kind = $1 order by created_at, id"


def shut(shop: Replica, *names: str) -> list[Breaker]:
    """The breakers of these partners are open, and time stands still for them: not even a probe is sent."""
    found = [shop.dispatcher._breakers[name] for name in names]
    for breaker in found:
        breaker._clock = lambda: 1000.0
        for _ in range(FAILURES):
            breaker.failed(1000.0, "status 503")
        assert breaker.enter() is not None
        assert breaker.shut
    return found


def thaw(breakers: list[Breaker]) -> None:
    """Time goes on for them; the next call is the probe."""
    for breaker in breakers:
        breaker._clock = lambda: 2000.0


def test_a_charge_that_was_not_sent_is_not_unknown_and_goes_out_once_with_its_key(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, request_deadline=1.4) as shop:
            order_id = await shop.placed()
            breakers = shut(shop, "payment")
            reply = await shop.command(order_id, Pay(), key="pay-1")
            assert reply.status == 202
            waiting = document(reply)
            assert waiting["status"] == "payment_pending"
            assert waiting["payment"]["status"] == "pending"
            [call] = await rows(database, CALLS, "charge")
            assert call == {"kind": "charge", "key": f"{order_id}-p1", "attempts": 0, "state": "open"}
            assert partners.count("charge") == 0
            thaw(breakers)
            paid = await shop.until(order_id, status="confirmed")
            assert paid["version"] == waiting["version"] + 1, "nothing was told in between"
            assert [question.key for question in partners.asked if question.kind == "charge"] == [f"{order_id}-p1"]
            assert (await rows(database, CALLS, "charge"))[0]["attempts"] == 1
            assert (await shop.command(order_id, Pay(), key="pay-1")).status == 200
            assert partners.count("charge") == 1

    run(story())


def test_a_new_order_is_refused_at_once_and_nothing_is_asked_or_written(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            shut(shop, "inventory")
            reply = await shop.place()
            assert (reply.status, document(reply)["code"]) == (503, "inventory-unavailable")
            assert partners.asked == []
            assert await rows(database, "select id from orders") == []

    run(story())


def test_voids_releases_and_refunds_come_later_too(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            paid, open_order, live = await shop.confirmed(), await shop.placed(), await shop.confirmed()
            breakers = shut(shop, "inventory", "payment")
            assert (await shop.command(open_order, Pay())).status == 202
            assert (await shop.command(live, RefundOrder(amount=1, reason="a scratch"))).status == 202
            for order_id in (paid, open_order):
                assert (await shop.command(order_id, Cancel(None))).status == 200
            sent = {kind: partners.count(kind) for kind in ("release", "refund", "void", "charge")}
            assert sent == {"release": 0, "refund": 0, "void": 0, "charge": 2}
            assert (await shop.get(open_order))["payment"]["status"] == "pending"
            thaw(breakers)
            await shop.until(paid, status="refunded", stock="released")
            ended = await shop.until(open_order, status="cancelled", stock="released")
            while ended["payment"]["status"] == "pending":
                ended = await shop.get(open_order)
            assert ended["payment"]["status"] == "voided"
            await shop.until(live, status="confirmed", attention=None)
            sent = {kind: partners.count(kind) for kind in ("release", "refund", "void", "charge")}
            assert sent == {"release": 2, "refund": 2, "void": 1, "charge": 2}

    run(story())


def test_a_partner_that_fails_is_spared_and_every_charge_happens_once(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            orders = [await shop.placed() for _ in range(FAILURES + 5)]
            partners.plan("charge", *[says(503)] * (FAILURES + 3))
            replies = await asyncio.gather(*(shop.command(order_id, Pay()) for order_id in orders))
            assert {reply.status for reply in replies} <= {200, 202}
            for order_id in orders:
                await shop.until(order_id, status="confirmed", attention=None)
            assert partners.took_effect("charge") == len(orders)
            assert partners.count("charge") == len(orders) + FAILURES + 3
            keys = {question.key for question in partners.asked if question.kind == "charge"}
            assert keys == {f"{order_id}-p1" for order_id in orders}

    run(story())


def test_repeats_beyond_the_budget_wait_and_are_not_lost(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            budget = shop.dispatcher._budgets["payment"]
            budget._left, budget._clock = 0.0, lambda: budget._counted_at
            partners.plan("charge", says(503))
            assert (await shop.command(order_id, Pay())).status == 202
            await _kept_back(database)
            assert partners.count("charge") == 1
            assert (await shop.get(order_id))["payment"]["status"] == "unknown"
            budget._left = 1.0
            await shop.until(order_id, status="confirmed")
            assert partners.count("charge") == 2
            assert (await rows(database, CALLS, "charge"))[0]["attempts"] == 2

    run(story())


async def _kept_back(database: str) -> None:
    """The repeat was claimed, and given back unsent."""

    async def given_back() -> bool:
        found = await rows(database, "select outcome, attempts from partner_calls where kind = 'charge'")
        return found == [{"outcome": "too many repeats", "attempts": 1}]

    await eventually(given_back)


def test_health_says_which_partner_gives_no_answer(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            breakers = shut(shop, "cart")
            checks = await shop.orders.health()
            assert checks["cart"] == {"status": "down", "detail": "gives no answer"}
            assert [checks[name]["status"] for name in ("inventory", "payment")] == ["up", "up"]
            thaw(breakers)
            assert not breakers[0].away

    run(story())


def test_pauses_are_spread_over_the_whole_time_below_a_ceiling() -> None:
    for attempts, ceiling in ((0, 0.25), (1, 0.5), (3, 2.0), (5, BACKOFF_CAP_S), (99, BACKOFF_CAP_S)):
        drawn = [backoff_s(attempts, None) for _ in range(500)]
        assert 0 <= min(drawn) < ceiling * 0.1
        assert ceiling * 0.9 < max(drawn) <= ceiling
    assert 30 <= backoff_s(99, 30.0) <= 30 + BACKOFF_CAP_S
    assert max(backoff_s(99, None, POLL_CAP_S) for _ in range(500)) > POLL_CAP_S * 0.9
    assert Policy().attempt_deadline_s > POLL_CAP_S


def test_calls_beyond_the_bound_are_left_to_their_leases_and_made_then(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            shop.dispatcher.most_tasks = 0
            assert (await shop.command(order_id, Pay())).status == 202
            assert partners.count("charge") == 0
            shop.dispatcher.most_tasks = 100
            await shop.until(order_id, status="confirmed")
            assert partners.count("charge") == 1

    run(story())
