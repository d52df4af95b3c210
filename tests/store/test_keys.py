"""Idempotency-Keys: busy, answered, forgotten."""

from __future__ import annotations

from order_service.core.messages import Asked
from order_service.store.commit import Remember, StoredReply
from order_service.store.keys import find_key, purge_keys, release_key, remember

from .given import entry, key, placing, store

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


async def test_old_keys_are_forgotten_a_bounded_number_at_a_time(database: str) -> None:
    async with store(database) as s:
        await s.commit(*[entry(None, placing(), key=key(str(n))) for n in range(5)])
        assert await purge_keys(s.pool) == 0
        await s.pool.execute("update idempotency_keys set created_at = now() - interval '31 days' where key <> '4'")
        assert await purge_keys(s.pool, limit=3) == 3
        assert await purge_keys(s.pool, limit=3) == 1
        assert await s.value("select array_agg(key) from idempotency_keys") == ["4"]
