"""A key that the payment service may have forgotten is never sent again."""

from __future__ import annotations

import asyncio

import pytest

from order_service.config import BadSettings, load_settings
from order_service.core.messages import Cancel, Pay, RetryCall
from tests.engine.partners import ScriptedPartners, says, scripted_partners
from tests.engine.rig import replica, rows, run

OLD = "update partner_calls set created_at = now() - interval '19.3 hours' where kind = $1"
YOUNG = "update partner_calls set created_at = now() - interval '19.1 hours' where kind = $1"
AGED = "select attempts from partner_calls where kind = $1 and state in ('open', 'parked')"


async def aged(database: str, kind: str, sql: str = OLD) -> None:
    """The open call of this kind was written long ago."""
    await rows(database, sql, kind)
    assert len(await rows(database, AGED, kind)) == 1


async def unanswered_refund(partners: ScriptedPartners, took_effect: bool) -> asyncio.Event:
    """The next refund happens, or not, and is not answered; set the event to let go of it."""
    gate = asyncio.Event()

    async def plan(effect):  # type: ignore[no-untyped-def]
        if took_effect:
            effect()
        await gate.wait()
        return await says(503)(effect)

    partners.plan("refund", plan)
    return gate


@pytest.mark.parametrize("took_effect", [True, False])
def test_an_old_refund_is_looked_up_and_the_customer_is_paid_at_most_once(database: str, took_effect: bool) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.confirmed()
            gate = await unanswered_refund(partners, took_effect)
            assert (await shop.command(order_id, Cancel(None))).status == 200
            await partners.until_asked("refund")
            await aged(database, "refund")
            gate.set()
            await partners.until_asked("read_payment")
            if took_effect:
                await shop.until(order_id, status="refunded")
            assert partners.count("refund") == 1
            assert partners.took_effect("refund") == int(took_effect)

    run(story())


def test_a_younger_refund_is_sent_again_with_its_key(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.confirmed()
            gate = await unanswered_refund(partners, took_effect=True)
            assert (await shop.command(order_id, Cancel(None))).status == 200
            await partners.until_asked("refund")
            await aged(database, "refund", YOUNG)
            gate.set()
            await shop.until(order_id, status="refunded")
            assert [q.key for q in partners.asked if q.kind == "refund"] == [f"{order_id}-f1"] * 2
            assert partners.took_effect("refund") == 1

    run(story())


def test_an_old_charge_that_a_person_retries_is_voided_instead(database: str) -> None:
    async def story() -> None:
        async with scripted_partners() as partners, replica(database, partners) as shop:
            order_id = await shop.placed()
            partners.plan("charge", says(401))
            assert (await shop.command(order_id, Pay())).status == 202
            parked = (await shop.until(order_id, status="payment_pending"))["attention"]
            while parked is None:
                parked = (await shop.get(order_id))["attention"]
            await aged(database, "charge")
            assert (await shop.command(order_id, RetryCall(parked["callId"]))).status == 202
            await shop.until(order_id, status="payment_failed", attention=None)
            assert (partners.count("charge"), partners.took_effect("charge")) == (1, 0)
            assert partners.count("void") == 1

    run(story())


def test_an_attempt_may_not_outlive_its_key() -> None:
    assert load_settings(attempt_deadline=900, lease=9, payment_key_ttl=1800).payment_key_ttl == 1800
    with pytest.raises(BadSettings, match="four fifths of PAYMENT_KEY_TTL"):
        load_settings(attempt_deadline=900, lease=9, payment_key_ttl=1140)
