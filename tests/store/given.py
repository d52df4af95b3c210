"""Orders on a real database, made by the real rules: given some messages, when one more is committed."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from order_service.core.answers import Answer, CallKind, PaymentState, Reserved
from order_service.core.decide import decide
from order_service.core.messages import Answered, Asked, Cancel, Message, Pay, PlaceOrder
from order_service.core.model import Address, Contacts, Line, OpenCall, Policy
from order_service.store.commit import Entry, KeyBinding, Result, StoredReply, commit
from order_service.store.load import Loaded, load
from order_service.store.pool import connect

CONTACTS = Contacts(Address("Ada Lovelace", "Main Street 1", "Berlin", "10115", "DE"), notes="ring twice")
POLICY = Policy()
LEASE_S = 9.0


def line(number: int = 1, price: int = 500, quantity: int = 2) -> Line:
    """One line of an order."""
    return Line(number, f"product-{number}", f"Thing {number}", quantity, price, price * quantity, sku="S-1")


def placing(**fields: Any) -> PlaceOrder:
    """The message that creates an order nobody knows yet."""
    known: dict[str, Any] = {
        "order_id": new_id(),
        "order_number": f"N-{secrets.token_hex(6)}",
        "user_id": "ada",
        "currency": "EUR",
        "items": (line(1), line(2, price=700, quantity=1)),
        "contacts": CONTACTS,
        "token": "tok_visa",
        "shipping_cost": 300,
    }
    return PlaceOrder(**{**known, **fields})


def new_id() -> str:
    """An id as the service makes them."""
    return str(uuid.uuid4())


def call(loaded: Loaded, kind: CallKind) -> OpenCall:
    """The one open call of this kind."""
    [found] = [c for c in loaded.state.calls if c.kind is kind]
    return found


def key(name: str, asked: Asked | None = None, reply: StoredReply | None = None, busy_s: float = 6) -> KeyBinding:
    """The Idempotency-Key ``name`` of one caller on one route."""
    return KeyBinding("ada", "POST /orders", name, b"fingerprint", asked or Asked("place"), busy_s, reply)


def captured(loaded: Loaded) -> PaymentState:
    """The payment service took all of it."""
    return PaymentState("succeeded", "pay-1", None, loaded.state.order.total)


def entry(
    base: Loaded | None, message: Message, *, after_s: float = 0, policy: Policy = POLICY, **fields: Any
) -> Entry:
    """What the rules make of a message ``after_s`` seconds from now, as an entry of a commit."""
    state = None if base is None else base.state
    decision = decide(state, message, datetime.now(UTC) + timedelta(seconds=after_s), policy)
    if decision.answered is not None and "call_token" not in fields:
        assert base is not None
        fields["call_token"] = base.tokens[decision.answered]
    known: dict[str, Any] = {"snapshot": msgspec.json.encode(decision.state.order)}
    known |= {"decision_id": str(uuid.uuid4()), "actor": "tester", "correlation_id": "corr-1"}
    return Entry(decision=decision, base=base, **{"lease_s": LEASE_S, **known, **fields})


class Store:
    """A database, and the shortest words for what tests do to it."""

    def __init__(self, pool: asyncpg.Pool, dsn: str) -> None:
        self.pool = pool
        self.dsn = dsn

    async def commit(self, *entries: Entry) -> list[Result]:
        """Commit entries in one statement."""
        return await commit(self.pool, entries)

    async def apply(self, one: Entry) -> Loaded:
        """Commit one entry, which must apply."""
        [result] = await self.commit(one)
        assert result.applied, result.verdict
        assert result.loaded is not None
        return result.loaded

    async def placed(self, **fields: Any) -> Loaded:
        """A new order that waits for its stock."""
        return await self.apply(entry(None, placing(**fields)))

    async def answered(self, base: Loaded, kind: CallKind, answer: Answer, **fields: Any) -> Loaded:
        """The open call of this kind is answered."""
        return await self.apply(entry(base, Answered(call(base, kind).call_id, answer), **fields))

    async def reserved(self, **fields: Any) -> Loaded:
        """A new order whose stock is held."""
        return await self.answered(await self.placed(**fields), CallKind.RESERVE, Reserved())

    async def paying(self, **fields: Any) -> Loaded:
        """An order whose charge is under way."""
        return await self.apply(entry(await self.reserved(**fields), Pay()))

    async def confirmed(self, **fields: Any) -> Loaded:
        """A paid order."""
        order = await self.paying(**fields)
        return await self.answered(order, CallKind.CHARGE, captured(order))

    async def cancelled(self, base: Loaded) -> Loaded:
        """The order is cancelled."""
        return await self.apply(entry(base, Cancel("changed my mind")))

    async def load(self, order_id: str) -> Loaded:
        """The order as it is in the database."""
        return (await load(self.pool, [order_id]))[order_id]

    async def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of any query."""
        return [dict(row) for row in await self.pool.fetch(sql, *values)]

    async def value(self, sql: str, *values: Any) -> Any:
        """The one value of any query."""
        return await self.pool.fetchval(sql, *values)


@asynccontextmanager
async def store(dsn: str, *, max_size: int = 6) -> AsyncIterator[Store]:
    """The store on this database."""
    pool = await connect(dsn, max_size=max_size)
    try:
        yield Store(pool, dsn)
    finally:
        await pool.close()


def verdicts(results: Sequence[Result]) -> list[str]:
    """What became of each entry."""
    return [str(result.verdict) for result in results]
