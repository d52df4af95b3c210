"""The chain of the log: each row's hash covers its content and the row before it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import asyncpg

from order_service.store.hashing import FIRST_PREV_HASH, contacts_hash, row_hash

from .given import Store, store

FIELDS = (
    *("version", "message", "snapshot", "change", "actor", "reason", "correlation_id", "traceparent", "at"),
    *("first_sequence", "events", "contacts_hash"),
)

IN_SQL = """
    create function field(value text) returns bytea language sql immutable as $$
        select coalesce(int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8'), '\\xffffffff')
    $$;
"""
RECOMPUTED = """
    select hash = sha256(
        prev_hash || field(order_id::text) || field(version::text) || field(decision_id::text) || field(message)
        || field(snapshot) || field(change) || field(actor) || field(reason) || field(correlation_id)
        || field(traceparent) || field((extract(epoch from at) * 1000000)::bigint::text)
        || field(first_sequence::text) || field(array_to_string(events, ',')) || contacts_hash
    ) from order_log
"""


def recompute(row: asyncpg.Record, prev_hash: bytes) -> bytes:
    """The hash of a row of the table."""
    content: dict[str, Any] = {name: row[name] for name in FIELDS}
    return row_hash(prev_hash, order_id=str(row["order_id"]), decision_id=str(row["decision_id"]), **content)


async def a_life(s: Store) -> str:
    """The id of an order with a log of some length."""
    return (await s.cancelled(await s.confirmed())).state.order.id


async def test_the_chain_can_be_computed_again_from_the_table(database: str) -> None:
    async with store(database) as s:
        order_id = await a_life(s)
        prev_hash = FIRST_PREV_HASH
        rows = await s.pool.fetch("select * from order_log order by version")
        assert len(rows) == 5
        for row in rows:
            assert row["prev_hash"] == prev_hash
            prev_hash = recompute(row, prev_hash)
            assert row["hash"] == prev_hash
        assert await s.value("select log_hash from orders where id = $1::uuid", order_id) == prev_hash


async def test_the_chain_can_be_computed_again_in_sql_alone(database: str) -> None:
    async with store(database) as s:
        await a_life(s)
        await s.pool.execute(IN_SQL)
        assert [row[0] for row in await s.pool.fetch(RECOMPUTED)] == [True] * 5


async def test_every_field_counts(database: str) -> None:
    async with store(database) as s:
        await a_life(s)
        row = dict((await s.pool.fetchrow("select * from order_log where version = 5")) or {})
        true = recompute(row, row["prev_hash"])  # type: ignore[arg-type]
        assert true == row["hash"]
        for name in (*FIELDS, "order_id", "decision_id"):
            value = row[name]
            changed = {
                int: lambda v: v + 1,
                bytes: lambda v: v[::-1],
                list: lambda v: v[:-1],
                type(None): lambda _: "",
                str: lambda v: v + " ",
            }.get(type(value))
            other = {**row, name: changed(value) if changed else row["snapshot"]}
            if name == "at":
                other["at"] = value.replace(microsecond=(value.microsecond + 1) % 1000000)
            assert recompute(other, row["prev_hash"]) != true, name  # type: ignore[arg-type]
        assert recompute(row, FIRST_PREV_HASH) != true  # type: ignore[arg-type]


async def test_the_contacts_are_in_the_chain_by_a_salted_hash(database: str) -> None:
    async with store(database) as s:
        order_id = await a_life(s)
        [stored] = await s.rows("select document, salt from order_contacts")
        digest = contacts_hash(stored["salt"], stored["document"].encode())
        assert digest == hashlib.sha256(stored["salt"] + stored["document"].encode()).digest()
        found = await s.rows("select distinct contacts_hash from order_log where order_id = $1::uuid", order_id)
        assert found == [{"contacts_hash": digest}]
        other = await s.placed()
        assert other.contacts_hash != digest, "the same address has another hash in another order"


def test_moving_a_border_between_two_fields_changes_the_hash() -> None:
    known: dict[str, Any] = {
        "order_id": "o",
        "version": 1,
        "decision_id": "d",
        "message": "place",
        "snapshot": "{}",
        "change": "{}",
        "actor": "a",
        "reason": None,
        "correlation_id": "c",
        "traceparent": None,
        "at": datetime(2026, 3, 1, tzinfo=UTC),
        "first_sequence": 1,
        "events": (),
        "contacts_hash": bytes(32),
    }
    hashes = {
        row_hash(FIRST_PREV_HASH, **{**known, **change})
        for change in (
            {},
            {"message": "plac", "snapshot": "e{}"},
            {"reason": ""},
            {"reason": "c", "correlation_id": ""},
            {"version": 11, "first_sequence": 1},
        )
    }
    assert len(hashes) == 5
    promised = "89f555f0494e166da0bdb95d6489bc4a02c44004a76d00223ea2456732144175"
    assert row_hash(FIRST_PREV_HASH, **known).hex() == promised, "another formula breaks every chain ever written"
