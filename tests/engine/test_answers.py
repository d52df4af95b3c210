"""Who waits for an order is told the answer to its own question, once, as soon as it is known."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from order_service.clock import check_value, new_order_id, new_order_number
from order_service.core.lifecycle import Status
from order_service.core.messages import Cancel, Pay, RefundOrder, SetStatus
from tests.engine.partners import held, says, scripted_partners, stuck
from tests.engine.rig import document, replica, rows, run, script, valve
from tests.store.given import placing


def test_requests_that_wait_for_one_order_each_get_their_own_answer(database: str) -> None:
    async def story() -> None:
        usual: dict[str, Any] = {"request_deadline": 6.0, "partner_timeout": 7.0, "lease": 9.0}
        async with scripted_partners() as partners, replica(database, partners, **usual) as shop:
            order_id = await shop.confirmed()
            answers = [asyncio.Event() for _ in range(3)]
            partners.plan("refund", *(held(answer) for answer in answers))
            asked = []
            for n in range(3):
                refund = shop.command(order_id, RefundOrder(f"part {n}", 10 + n), key=f"r{n}")
                asked.append(asyncio.create_task(refund))
                await partners.until_asked("refund", n + 1)
            assert shop.waiters == 3
            answers[1].set()
            second = await asked[1]
            assert second.status == 201
            assert [r["status"] for r in document(second)["refunds"]] == ["requested", "succeeded", "requested"]
            assert (asked[0].done(), asked[2].done(), shop.waiters) == (False, False, 2)
            answers[2].set()
            answers[0].set()
            first, third = await asyncio.gather(asked[0], asked[2])
            assert (first.status, third.status, shop.waiters) == (201, 201, 0)
            for n, answer in enumerate((first, second, third)):
                repeated = await shop.command(order_id, RefundOrder(f"part {n}", 10 + n), key=f"r{n}")
                assert (repeated.status, repeated.body, repeated.replayed) == (201, answer.body, True)
            assert partners.took_effect("refund") == 3

    run(story())


def test_a_cancel_ends_the_wait_of_a_payment_at_once_and_gives_back_what_was_charged(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            answer = asyncio.Event()
            partners.plan("charge", held(answer))
            paying = asyncio.create_task(shop.command(order_id, Pay()))
            await partners.until_asked("charge")
            assert (await shop.command(order_id, Cancel("changed my mind"))).status == 200
            assert shop.waiters == 0  # told by the cancel's own statement, not at the deadline
            refused = await paying
            assert (refused.status, document(refused)["code"]) == (409, "not-payable")
            answer.set()
            order = await shop.until(order_id, status="refunded", stock="released")
            assert (order["payment"]["captured"], order["payment"]["refunded"]) == (order["total"], order["total"])
            assert (partners.took_effect("charge"), partners.took_effect("refund")) == (1, 1)
            events = "select unnest(events) as event from order_log where order_id = $1::uuid"
            told = await rows(database, events, order_id)
            assert "order.payment_successful" not in {row["event"] for row in told}

    run(story())


def test_a_deadline_that_comes_with_the_answer_gives_either_answer_whole_and_the_key_the_final_one(
    database: str,
) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, request_deadline=0.25) as shop:
            for n in range(6):
                order_id = await shop.placed()
                answer = asyncio.Event()
                partners.plan("charge", held(answer))
                paying = asyncio.create_task(shop.command(order_id, Pay(), key=f"k{n}"))
                await partners.until_asked("charge", n + 1)
                asyncio.get_running_loop().call_later(0.215 + 0.008 * n, answer.set)
                paid = await paying
                assert (paid.status, document(paid)["status"]) in {(200, "confirmed"), (202, "payment_pending")}
                await shop.until(order_id, status="confirmed")
                repeated = await shop.command(order_id, Pay(), key=f"k{n}")
                assert (repeated.status, repeated.replayed) == (200, True)
                if paid.status == 200:
                    assert repeated.body == paid.body
            assert (partners.took_effect("charge"), shop.waiters) == (6, 0)

    run(story())


def test_two_replicas_cancelling_paying_and_refunding_the_same_orders_agree_on_every_one(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            replica(database, partners) as one,
            replica(database, partners) as two,
        ):
            ids = [await one.placed() for _ in range(15)]
            work = []
            for order_id in ids:
                work += [
                    one.command(order_id, Pay()),
                    two.command(order_id, Pay()),
                    two.command(order_id, Cancel()),
                    one.command(order_id, SetStatus(Status.PROCESSING)),
                ]
            answers = await asyncio.gather(*work)
            assert {a.status for a in answers} <= {200, 202, 409}
            for order_id in ids:
                order = await one.until(order_id, stock="released")
                assert order["status"] in {"cancelled", "refunded"}
                await one.until(order_id, status="refunded" if order["payment"]["captured"] else "cancelled")
            charged = {q.body["orderId"] for q in partners.effects if q.kind == "charge"}
            assert partners.took_effect("charge") == len(charged)
            gaps = await rows(
                database,
                "select order_id from order_log group by order_id having count(*) <> max(version)",
            )
            assert gaps == []

    run(story())


def test_a_locked_order_is_answered_for_in_time_and_holds_up_no_other(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, request_deadline=0.5) as shop:
            locked, free = await shop.placed(), await shop.placed()
            lock = f"begin; select 1 from orders where id = '{locked}' for update; select pg_sleep(3); rollback"
            holder = asyncio.create_task(script(database, lock))
            await asyncio.sleep(0.3)
            waiting = asyncio.create_task(shop.command(locked, Pay(), key="k"))
            assert (await shop.command(free, Pay())).status == 200
            assert not waiting.done()
            refused = await waiting
            assert (refused.status, document(refused)["code"]) == (503, "service-unavailable")
            assert not holder.done()
            await holder
            assert (await shop.command(locked, Pay(), key="k")).status == 200
            assert partners.took_effect("charge") == 2

    run(story())


def test_order_ids_rise_and_never_repeat_and_a_number_tells_a_slip_of_the_pen() -> None:
    now = datetime.now(UTC)
    ids = [new_order_id(now) for _ in range(20_000)]
    assert ids == sorted(set(ids))
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    for number in (new_order_number().replace("-", "") for _ in range(50)):
        assert alphabet[check_value(number[:11])] == number[11]
        for place in range(11):
            slips = (number[:place] + other + number[place + 1 :] for other in alphabet if other != number[place])
            assert all(alphabet[check_value(slip[:11])] != slip[11] for slip in slips)


def test_a_database_that_goes_away_while_an_answer_is_awaited_leaves_an_honest_202(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            valve(database) as gate,
            replica(gate.dsn, partners, parts=("api",)) as shop,
        ):
            partners.plan("reserve", stuck(), says(503))
            request = asyncio.create_task(shop.place(placing()))
            await partners.until_asked("reserve")
            gate.open.clear()
            placed = await request
            assert (placed.status, document(placed)["stock"]) == (202, "reserving")
            assert placed.location == f"/api/v1/orders/{document(placed)['id']}"
            gate.open.set()

    run(story())
