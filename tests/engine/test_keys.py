"""Idempotency-Keys: one effect, and the same answer for ever."""

from __future__ import annotations

import asyncio

from order_service.core.messages import Cancel, Pay
from order_service.requests import Reply
from tests.engine.partners import held, scripted_partners, stuck
from tests.engine.rig import document, replica, run
from tests.store.given import placing


def same(one: Reply, other: Reply) -> bool:
    """Whether the answer is the same to the client: status, bytes, ETag and Location."""
    first, second = ((r.status, r.body, r.version, r.location, r.problem) for r in (one, other))
    return first == second


def test_a_payment_that_met_an_open_attempt_reports_that_attempt_under_its_key_for_ever(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            answer = asyncio.Event()
            partners.plan("charge", held(answer))
            first = asyncio.create_task(shop.command(order_id, Pay("tok_declined"), key="first"))
            await partners.until_asked("charge")
            second = await shop.command(order_id, Pay("tok_declined"), key="second")
            assert second.status == 202
            answer.set()
            assert (await first).status == 402
            repeated = await shop.command(order_id, Pay("tok_declined"), key="second")
            assert (repeated.status, repeated.replayed) == (402, True)
            assert partners.count("charge") == 1
            order = await shop.get(order_id)
            assert [a["status"] for a in order["payment"]["attempts"]] == ["declined"]

    run(story())


def test_an_answer_that_changed_nothing_is_remembered_under_its_key_too(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.confirmed()
            unchanged = await shop.command(order_id, Pay(), key="again")
            assert (unchanged.status, unchanged.replayed) == (200, False)
            assert (await shop.command(order_id, Cancel())).status == 200
            repeated = await shop.command(order_id, Pay(), key="again")
            assert repeated.replayed
            assert same(repeated, unchanged)
            reused = await shop.command(order_id, Pay("tok_other"), key="again")
            assert (reused.status, document(reused)["code"]) == (422, "idempotency-key-reused")

    run(story())


def test_one_key_on_two_routes_remembers_two_answers(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            partners.plan("charge", stuck())
            paying = asyncio.create_task(shop.command(order_id, Pay(), key="k", correlation_id="corr-pay"))
            await partners.until_asked("charge")
            cancelled = await shop.command(order_id, Cancel(), key="k", correlation_id="corr-cancel")
            assert cancelled.status == 200
            refused = await paying
            assert (refused.status, document(refused)["code"]) == (409, "not-payable")
            for repeated, first, message in (
                (await shop.command(order_id, Pay(), key="k", correlation_id="later"), refused, "pay"),
                (await shop.command(order_id, Cancel(), key="k", correlation_id="later"), cancelled, "cancel"),
            ):
                assert repeated.replayed, message
                assert same(repeated, first), message

    run(story())


def test_availability_is_asked_under_a_key_of_its_own_however_the_client_names_its_requests(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            for _ in range(2):
                assert (await shop.place(placing(), correlation_id="always-the-same")).status == 201
            keys = [question.key for question in partners.asked if question.kind == "availability"]
            assert len(keys) == 2
            assert keys[0] != keys[1]
            assert "always-the-same" not in keys

    run(story())
