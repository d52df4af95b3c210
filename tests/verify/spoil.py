"""The vocabulary of the corpus: ways to spoil a healthy system, each in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec

from order_service.store.hashing import FIRST_PREV_HASH, row_hash
from order_service.verify.run import Limits
from tests.verify.base import Orders, Record

Ledger = list[dict[str, Any]]
Ids = Orders
OnLedger = Callable[[Ledger, Ids], None]
OnTopic = Callable[[list[Record], Ids], None]

_HASHED = "version decision_id message snapshot change actor reason correlation_id traceparent at first_sequence events"


class Spoilt(msgspec.Struct, frozen=True):
    """One corruption and the invariants that it breaks, no other ones.

    ``sql`` names orders as ``{end}``; ``rechain`` is the end of the order whose log gets right hashes again, so that
    the chain does not give the corruption away.
    """

    what: str
    breaks: str
    sql: str = ""
    rechain: str = ""
    ledger: OnLedger | None = None
    topic: OnTopic | None = None
    limits: Limits | None = None

    @property
    def broken(self) -> set[str]:
        """Names of invariants."""
        return {name.strip() for name in self.breaks.split(",")}


# --- the ledger ---


def _first(ledger: Ledger, kind: str, order_id: str) -> dict[str, Any]:
    return next(e for e in ledger if e["kind"] == kind and e.get("orderId") == order_id)


def drop(kind: str, end: str) -> OnLedger:
    """The partner does not list it."""
    return lambda ledger, ids: ledger.remove(_first(ledger, kind, ids[end]))


def change(kind: str, end: str, **fields: Any) -> OnLedger:
    """The partner tells it otherwise; a number is added to what it was."""

    def work(ledger: Ledger, ids: Ids) -> None:
        entry = _first(ledger, kind, ids[end])
        for name, value in fields.items():
            entry[name] = entry[name] + value if isinstance(value, int) else value

    return work


def again(kind: str, end: str, /, *, same_key: bool = False, **fields: Any) -> OnLedger:
    """The partner lists it once more, at the end."""

    def work(ledger: Ledger, ids: Ids) -> None:
        entry = dict(_first(ledger, kind, ids[end]))
        entry["seq"] = max(e["seq"] for e in ledger) + 1
        entry["key"] += "" if same_key else "-again"
        fields_of = {name: value.format(**named(ids)) for name, value in fields.items()}
        ledger.append(entry | fields_of)

    return work


def add(kind: str, reference: str, **fields: Any) -> OnLedger:
    """The partner lists something of its own."""

    def work(ledger: Ledger, ids: Ids) -> None:
        told = reference.format(**named(ids))
        seq = max(e["seq"] for e in ledger) + 1
        ledger.append({"seq": seq, "kind": kind, "key": f"own-{seq}", "reference": told, **fields})

    return work


def swap(one: str, other: str, end: str) -> OnLedger:
    """The partner lists two things the other way round."""

    def work(ledger: Ledger, ids: Ids) -> None:
        first, second = _first(ledger, one, ids[end]), _first(ledger, other, ids[end])
        first["seq"], second["seq"] = second["seq"], first["seq"]

    return work


def pieces(kind: str, end: str, **item: Any) -> OnLedger:
    """The partner tells another product or number of pieces of the first item."""

    def work(ledger: Ledger, ids: Ids) -> None:
        entry = _first(ledger, kind, ids[end])
        entry["items"] = [entry["items"][0] | item, *entry["items"][1:]]

    return work


def both(*steps: OnLedger) -> OnLedger:
    """One after the other."""

    def work(ledger: Ledger, ids: Ids) -> None:
        for step in steps:
            step(ledger, ids)

    return work


# --- the topic ---


def of(records: list[Record], order_id: str) -> list[Record]:
    """The records of one order, in their order."""
    return sorted((r for r in records if r.key == order_id.encode()), key=lambda r: (r.partition, r.offset))


def lose(end: str, place: int) -> OnTopic:
    """A record is not there."""
    return lambda records, ids: records.remove(of(records, ids[end])[place])


def repeat(end: str, place: int, *, offset: int = 1_000_000, old: bytes = b"", new: bytes = b"") -> OnTopic:
    """A record comes again, with some bytes changed in value and headers, or not."""

    def work(records: list[Record], ids: Ids) -> None:
        copy = msgspec.structs.replace(of(records, ids[end])[place], offset=offset)
        records.append(_edited(copy, old, new))

    return work


def edit(end: str, place: int, old: bytes, new: bytes) -> OnTopic:
    """A record has other bytes."""

    def work(records: list[Record], ids: Ids) -> None:
        record = of(records, ids[end])[place]
        records[records.index(record)] = _edited(record, old, new)

    return work


def _edited(record: Record, old: bytes, new: bytes) -> Record:
    if not old:
        return record
    headers = [(name, text.replace(old, new)) for name, text in record.headers]
    edited = msgspec.structs.replace(record, value=record.value.replace(old, new), headers=headers)
    assert edited != record, "nothing was changed"
    return edited


def exchange(end: str, one: int, other: int) -> OnTopic:
    """Two records lie the other way round."""

    def work(records: list[Record], ids: Ids) -> None:
        mine = of(records, ids[end])
        mine[one].offset, mine[other].offset = mine[other].offset, mine[one].offset

    return work


def move(end: str, *places: int) -> OnTopic:
    """Records lie in another partition."""

    def work(records: list[Record], ids: Ids) -> None:
        mine = of(records, ids[end])
        for place in places:
            mine[place].partition += 1

    return work


def invent(order: str, sequence: int) -> OnTopic:
    """A record that nobody of ours has sent."""

    def work(records: list[Record], ids: Ids) -> None:
        key = order.format(**named(ids))
        copy = msgspec.structs.replace(records[0], key=key.encode(), offset=1_000_000)
        copy.partition = next((r.partition for r in records if r.key == copy.key), 0)
        copy.headers = [(n, f"{key}.{sequence}".encode() if n == "ce_id" else v) for n, v in copy.headers]
        records.append(copy)

    return work


# --- the database ---


def named(ids: Ids) -> dict[str, str]:
    """Ids by the names that SQL and references use: the first order of each end."""
    return {end[:-2].replace(" ", "_"): order_id for end, order_id in ids.items() if end.endswith(" 0")}


def spoil(dsn: str, ids: Ids, spoilt: Spoilt) -> None:
    """Write past the service: no trigger fires."""

    async def work() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("set session_replication_role = replica")
            done = [
                await connection.execute(statement.format(**named(ids)))
                for statement in spoilt.sql.split(";\n")
                if statement.strip()
            ]
            assert all(not told.endswith(" 0") for told in done), "a statement changed nothing"
            if spoilt.rechain:
                await _rechain(connection, ids[spoilt.rechain + " 0"])
        finally:
            await connection.close()

    asyncio.run(work())


async def _rechain(connection: asyncpg.Connection, order_id: str) -> None:
    digest = FIRST_PREV_HASH
    for row in await connection.fetch(
        "select *, order_id::text as id, decision_id::text as decision from order_log "
        "where order_id = $1::uuid order by version",
        order_id,
    ):
        content: dict[str, Any] = {name: row[name] for name in _HASHED.split()} | {"decision_id": row["decision"]}
        before = digest
        digest = row_hash(before, order_id=row["id"], contacts_hash=row["contacts_hash"], **content)
        await connection.execute(
            "update order_log set prev_hash = $3, hash = $4 where order_id = $1::uuid and version = $2",
            *(order_id, row["version"], before, digest),
        )
    await connection.execute("update orders set log_hash = $2 where id = $1::uuid", order_id, digest)
