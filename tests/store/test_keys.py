"""Idempotency-Keys: busy, answered, forgotten."""

from __future__ import annotations

from msgspec.structs import replace

from order_service.core.answers import CallKind, Released
from order_service.core.messages import Answered, Asked, Cancel
from order_service.store.commit import Remember, StoredReply
from order_service.store.keys import find_key, purge_keys, release_key, remember

from .given import call, entry, key, placing, store

SCOPE = ("ada", "POST /orders", "k")


async def test_a_key_that_nobody_used_is_unknown(database: str) -> None:
    async with store(database) as s:
        assert await find_key(s.pool, *SCOPE) is None


async def test_a_key_is_busy_until_its_time_is_over_or_it_is_released(database: str) -> None:
    async with store(database) as s:
        await s.apply(entry(None, placing(), key=key("k", busy_s=3600)))
        found = await find_key(s.pool, *SCOPE)
        assert found is not None
        assert (found.busy, found.fingerprint) == (True, b"fingerprint")
        await release_key(s.pool, *SCOPE)
        found = await find_key(s.pool, *SCOPE)
        assert found is not None
        assert not found.busy
        await s.apply(entry(None, placing(), key=key("brief", busy_s=0)))
        found = await find_key(s.pool, "ada", "POST /orders", "brief")
        assert found is not None
        assert not found.busy


async def test_the_first_final_answer_is_the_answer(database: str) -> None:
    first, second = StoredReply(402, b"declined", None, True), StoredReply(200, b"paid", 4)
    async with store(database) as s:
        await s.apply(entry(None, placing(), key=key("k", Asked("pay", 1))))
        await remember(s.pool, [Remember(*SCOPE, first)])
        await remember(s.pool, [Remember(*SCOPE, second), Remember("ada", "POST /orders", "unknown", second)])
        found = await find_key(s.pool, *SCOPE)
        assert found is not None
        assert (found.asked, found.busy, found.reply) == (Asked("pay", 1), False, first)


async def test_an_answer_is_stored_whole_and_under_its_own_key_only(database: str) -> None:
    reply = StoredReply(201, b"placed", 2)
    others = [("ada", "POST /orders", "other"), ("bob", "POST /orders", "k"), ("ada", "POST /pay", "k")]
    async with store(database) as s:
        order = await s.apply(entry(None, placing(), key=key("k")))
        for principal, route, name in others:
            other = replace(key(name), principal=principal, route=route)
            await s.apply(entry(None, placing(), key=other))
        told = [Remember("bob", "POST /orders", "k", reply)]
        await s.apply(entry(order, Cancel(None), remember=(Remember(*SCOPE, reply), *told)))
        second = StoredReply(402, b"declined", None, True)
        order = await s.load(order.state.order.id)
        await s.apply(
            entry(
                order, Answered(call(order, CallKind.RELEASE).call_id, Released()), remember=(Remember(*SCOPE, second),)
            )
        )
        await remember(s.pool, [Remember("ada", "POST /orders", "other", second)])
        found = [await find_key(s.pool, *scope) for scope in (SCOPE, *others)]
        assert [f.reply for f in found if f is not None] == [reply, second, reply, None]


async def test_a_key_that_is_in_use_holds_up_no_forgetting(database: str) -> None:
    async with store(database) as s:
        await s.commit(*[entry(None, placing(), key=key(str(n))) for n in range(3)])
        await s.pool.execute("update idempotency_keys set created_at = now() - interval '31 days'")
        async with s.pool.acquire() as other, other.transaction():
            await other.execute("select 1 from idempotency_keys where key = '1' for update")
            assert await purge_keys(s.pool) == 2
        assert await purge_keys(s.pool) == 1


async def test_old_keys_are_forgotten_a_bounded_number_at_a_time(database: str) -> None:
    async with store(database) as s:
        await s.commit(*[entry(None, placing(), key=key(str(n))) for n in range(5)])
        assert await purge_keys(s.pool) == 0
        await s.pool.execute("update idempotency_keys set created_at = now() - interval '31 days' where key <> '4'")
        assert await purge_keys(s.pool, limit=3) == 3
        assert await purge_keys(s.pool, limit=3) == 1
        assert await s.value("select array_agg(key) from idempotency_keys") == ["4"]
