"""Idempotency-Keys: one effect, and the same answer for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from order_service import faults
from order_service.core.lifecycle import Status
from order_service.core.messages import Cancel, Command, Pay, RefundOrder, SetStatus
from order_service.requests import Principal, Reply
from tests.engine.partners import Plan, held, says, scripted_partners, stuck
from tests.engine.rig import document, eventually, replica, rows, run
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


@pytest.mark.parametrize("plan", [stuck(), says(503), says(200, {"items": []})])
def test_a_repeat_of_a_creation_does_not_depend_on_what_the_inventory_says(database: str, plan: Plan) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            first = await shop.place(placing(), key="once")
            assert first.status == 201
            partners.plan("availability", plan)
            repeated = await shop.place(placing(), key="once")
            assert repeated.replayed
            assert same(repeated, first)
            assert partners.count("reserve") == 1

    run(story())


def test_a_202_is_not_remembered_and_its_repeat_tells_what_came_of_it(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            answer = asyncio.Event()
            partners.plan("charge", held(answer))
            assert (await shop.command(order_id, Pay("tok_declined"), key="k")).status == 202
            still = await shop.command(order_id, Pay("tok_declined"), key="k")
            assert (still.status, still.replayed) == (202, True)
            answer.set()
            await shop.until(order_id, status="payment_failed")
            settled = await shop.command(order_id, Pay("tok_declined"), key="k")
            assert (settled.status, settled.replayed, document(settled)["declineCode"]) == (402, True, "no_funds")
            for _ in range(3):
                assert same(await shop.command(order_id, Pay("tok_declined"), key="k"), settled)
            assert partners.count("charge") == 1
            assert len((await shop.get(order_id))["payment"]["attempts"]) == 1
            assert (await shop.command(order_id, Pay("tok_visa"), key="another")).status == 200
            assert same(await shop.command(order_id, Pay("tok_declined"), key="k"), settled)

    run(story())


def test_a_twin_in_flight_is_told_so_on_every_replica_and_changes_nothing(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            replica(database, partners) as shop,
            replica(database, partners) as other,
        ):
            answer = asyncio.Event()
            partners.plan("reserve", held(answer))
            message = placing()
            first = asyncio.create_task(shop.place(message, key="k"))
            await partners.until_asked("reserve")
            for twin in (await shop.place(message, key="k"), await other.place(message, key="k")):
                assert (twin.status, document(twin)["code"]) == (409, "request-in-flight")
            answer.set()
            placed = await first
            assert (placed.status, placed.replayed) == (201, False)
            for repeated in (await shop.place(message, key="k"), await other.place(message, key="k")):
                assert repeated.replayed
                assert same(repeated, placed)
                assert repeated.location == f"/api/v1/orders/{document(placed)['id']}"
            assert partners.count("reserve") == 1
            assert await rows(database, "select count(*)::int as n from orders") == [{"n": 1}]

    run(story())


PATIENT = {"request_deadline": 20.0, "partner_timeout": 21.0, "lease": 22.0}


def test_fifty_twins_on_two_replicas_make_one_order_and_one_answer(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            replica(database, partners, **PATIENT) as shop,
            replica(database, partners, **PATIENT) as other,
        ):
            message = placing()
            answers = await asyncio.gather(*((shop, other)[n % 2].place(message, key="k") for n in range(50)))
            assert {a.status for a in answers} <= {201, 409}
            assert len({a.body for a in answers if a.status == 201}) == 1
            assert {document(a)["code"] for a in answers if a.status == 409} <= {"request-in-flight"}
            assert await rows(database, "select count(*)::int as n from orders") == [{"n": 1}]
            assert partners.count("reserve") == 1

    run(story())


def test_a_command_whose_key_its_twin_binds_meanwhile_has_the_twins_answer_and_no_effect(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners, **PATIENT) as shop:
            order_id = await shop.placed()
            other = await asyncpg.connect(database)
            transaction = other.transaction()
            await transaction.start()
            await other.execute("select 1 from orders where id = $1::uuid for no key update", order_id)
            paying = asyncio.create_task(shop.command(order_id, Pay(), key="k"))

            async def has_looked_for_its_key() -> bool:
                return shop.in_turn == 1

            await eventually(has_looked_for_its_key)
            asked = shop.ask(Pay())
            await rows(
                database,
                "insert into idempotency_keys (principal, route, key, fingerprint, order_id, decision_id, asked_kind, "
                "asked_number, asked_unchanged, busy_until, response_status, response_body, response_problem) values "
                "($1, $2, 'k', $3, $4::uuid, $4::uuid, 'done', 0, true, now(), 200, 'of the twin', false)",
                *(asked.principal.name, asked.route, asked.fingerprint, order_id),
            )
            await transaction.rollback()
            await other.close()
            reply = await paying
            assert (reply.status, reply.body, reply.replayed) == (200, b"of the twin", True)
            assert (await shop.get(order_id))["payment"]["attempts"] == []
            assert partners.count("charge") == 0

    run(story())


@pytest.mark.parametrize(
    ("message", "fields"),
    [(RefundOrder("lost"), {}), (SetStatus(Status.DELIVERED), {"if_match": 7})],
    ids=["nothing left to refund", "another version"],
)
def test_what_its_own_twin_has_done_is_no_reason_to_refuse_a_request(
    database: str, monkeypatch: pytest.MonkeyPatch, message: Command, fields: dict[str, Any]
) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            replica(database, partners) as shop,
            replica(database, partners) as other,
        ):
            order_id = await shop.confirmed()
            for status in (Status.PROCESSING, Status.SHIPPED):
                assert (await shop.command(order_id, SetStatus(status))).status == 200
            await shop.until(order_id, stock="committed", version=7)
            firsts: list[Reply] = []

            async def meanwhile(point: str, phase: str) -> None:
                if (point, phase) == ("sql.find_key", faults.AFTER):
                    faults.hook = None
                    firsts.append(await other.command(order_id, message, key="k", **fields))

            monkeypatch.setattr(faults, "hook", meanwhile)
            late = await shop.command(order_id, message, key="k", **fields)
            [first] = firsts
            assert not first.problem
            assert late.replayed
            assert same(late, first)
            assert partners.count("refund") == isinstance(message, RefundOrder)
            assert (await shop.get(order_id))["version"] == first.version

    run(story())


def test_a_replica_that_dies_between_key_and_answer_leaves_the_answer_to_any_other(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as other:
            message = placing()
            async with replica(database, partners, parts=("api",)) as dying:
                partners.plan("reserve", stuck())
                request = asyncio.create_task(dying.place(message, key="k"))
                await partners.until_asked("reserve")
                for task in list(dying.dispatcher._tasks):
                    task.cancel()
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
            [order] = await rows(database, "select id::text as id from orders")
            await other.until(order["id"], stock="reserved")
            repeated = await other.place(message, key="k")
            assert (repeated.status, repeated.replayed, document(repeated)["id"]) == (201, True, order["id"])
            assert same(await other.place(message, key="k"), repeated)
            assert partners.took_effect("reserve") == 1

    run(story())


def test_a_refusal_that_wrote_nothing_is_forgotten_and_one_that_wrote_is_remembered(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            message = placing()
            short = {"productId": "product-1", "requested": 2, "available": 1}
            partners.plan("availability", says(200, {"items": [_available(1, 1), _available(2, 1)]}))
            refused = await shop.place(message, key="early")
            assert (refused.status, document(refused)["code"]) == (409, "out-of-stock")
            assert await rows(database, "select count(*)::int as n from orders") == [{"n": 0}]
            assert (await shop.place(message, key="early")).status == 201

            partners.plan("reserve", says(409, {"shortages": [short]}))
            late = await shop.place(message, key="late")
            assert (late.status, document(late)["code"]) == (409, "out-of-stock")
            assert document(late)["shortages"] == [short]
            repeated = await shop.place(message, key="late")
            assert repeated.replayed
            assert same(repeated, late)
            assert document(late)["orderId"] in {r["id"] for r in await rows(database, "select id::text from orders")}

            order_id = await shop.placed()
            early = await shop.command(order_id, SetStatus(Status.SHIPPED), key="ship")
            assert (early.status, document(early)["code"]) == (409, "unlawful-move")
            assert await rows(database, "select count(*)::int as n from idempotency_keys where key = 'ship'") == [
                {"n": 0}
            ]

    run(story())


def _available(number: int, quantity: int) -> dict[str, object]:
    return {"productId": f"product-{number}", "availableQuantity": quantity}


def test_a_key_belongs_to_one_caller_one_route_and_one_order(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            one, two = await shop.placed(), await shop.placed()
            assert (await shop.command(one, Pay(), key="k", fingerprint=b"path of one")).status == 200
            reused = await shop.command(two, Pay(), key="k", fingerprint=b"path of two")
            assert (reused.status, document(reused)["code"]) == (422, "idempotency-key-reused")
            assert partners.count("charge") == 1
            bob = Principal("staff:bob", "staff")
            paid = await shop.command(two, Pay(), key="k", fingerprint=b"path of two", principal=bob)
            assert (paid.status, paid.replayed, document(paid)["id"]) == (200, False, two)

    run(story())


def test_a_repeat_with_if_match_is_answered_from_memory_though_the_version_has_moved_on(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            version = (await shop.get(order_id))["version"]
            paid = await shop.command(order_id, Pay(), key="k", if_match=version)
            assert paid.status == 200
            repeated = await shop.command(order_id, Pay(), key="k", if_match=version)
            assert repeated.replayed
            assert same(repeated, paid)
            stale = await shop.command(order_id, Cancel(), key="c", if_match=version)
            assert (stale.status, document(stale)["code"]) == (412, "stale-version")
            assert (await shop.get(order_id))["status"] == "confirmed"
            assert await rows(database, "select key from idempotency_keys where key = 'c'") == []

    run(story())


def test_a_request_whose_answer_another_replica_gets_has_it_at_its_deadline_with_its_key(database: str) -> None:
    async def story() -> None:
        async with (
            scripted_partners() as partners,
            replica(database, partners, parts=("api",)) as asking,
            replica(database, partners, parts=("worker",)),
        ):
            order_id = await asking.placed()
            partners.plan("charge", says(503))
            paid = await asking.command(order_id, Pay(), key="k")
            assert (paid.status, document(paid)["status"]) == (200, "confirmed")
            repeated = await asking.command(order_id, Pay(), key="k")
            assert repeated.replayed
            assert same(repeated, paid)
            assert (partners.count("charge"), partners.took_effect("charge")) == (2, 1)

    run(story())
