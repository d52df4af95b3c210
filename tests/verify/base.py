"""A healthy system with orders at many ends, kept as a database to copy, a ledger and a topic to edit."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from order_service.verify.ledger import Entry
from order_service.verify.run import Limits, Sources, Tallies, Verification
from order_service.verify.scratch import Scratch
from order_service.verify.topic import Found, found
from tests.system.harness import System, basket

SETTLED = "select 1 from partner_calls where state = 'open' and kind <> 'late_check' limit 1"
Orders = dict[str, str]
"""Order ids by the end that they came to."""


class Record(msgspec.Struct):
    """One record of the topic, to be edited."""

    partition: int
    offset: int
    key: bytes
    headers: list[tuple[str, bytes]]
    value: bytes


class Base(msgspec.Struct):
    """All that a verification looks at. ``said`` is what the command itself said of it, and its exit code."""

    database: str
    orders: Orders
    ledger: list[dict[str, Any]]
    records: list[Record]
    said: dict[str, Any]
    code: int


class GivenLedger:
    """A ledger that is a list."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.as_of: datetime | None = None
        self._entries = msgspec.convert(entries, list[Entry])

    async def read(self) -> AsyncIterator[list[Entry]]:
        """All of it, once."""
        entries, self._entries = self._entries, []
        yield entries


class GivenTopic:
    """A topic that is a list."""

    def __init__(self, records: list[Record], since: datetime | None = None) -> None:
        self.since = since
        self._records = [found(r.partition, r.offset, r.key, r.headers, r.value) for r in records]

    def size(self) -> int:
        """How many records there are."""
        return len(self._records)

    async def read(self) -> AsyncIterator[list[Found]]:
        """All of it, once."""
        records, self._records = self._records, []
        yield records


def verify(dsn: str, sources: Sources, *, settle_s: float = 0, limits: Limits | None = None) -> Tallies:
    """What the verification finds."""

    async def look() -> Tallies:
        scratch = await Scratch.open(dsn)
        try:
            return await Verification(scratch, sources, limits or Limits(), lambda *_: None).run(settle_s)
        finally:
            await scratch.close()

    return asyncio.run(look())


def given(ledger: list[dict[str, Any]], records: list[Record]) -> Sources:
    """Sources made of lists."""
    both = GivenLedger(ledger)
    return Sources(both, both, GivenTopic(records))


def command(system: System, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `order-service verify` against the running system."""
    argv = [sys.executable, "-m", "order_service", "verify", *options]
    env = os.environ | system.service_env()
    return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=system.folder, timeout=120)


def violated(tallies: Tallies) -> set[str]:
    """The names of all that do not hold."""
    return {name for name, tally in tallies.items() if tally.violations}


def make_base(dsn: str, bootstrap: str, folder: Path) -> Base:
    """Drive a few dozen orders through their lives, ask the command, stop everything."""
    with System(dsn, bootstrap, folder) as system:
        system.start_service(UNPAID_TTL="1")
        orders = {f"expired {n}": _place(system) for n in range(2)}
        for order_id in orders.values():
            system.await_order(order_id, status="cancelled", stock="released")
        assert system.stop_service() == 0
        system.start_service()
        orders |= _lives(system)
        system.until(lambda: not system.rows(SETTLED))
        ran = command(system, "--settle", "30", "--json")
        ledger = system.ledger()
        records = [
            Record(e.partition or 0, e.offset or 0, e.key.encode(), _headers(e.headers), e.raw)
            for e in system.events(1)
        ]
        assert system.stop_service() == 0
    return Base(dsn, orders, ledger, records, json.loads(ran.stdout or "{}") | {"stderr": ran.stderr}, ran.returncode)


def _headers(headers: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(name, text.encode()) for name, text in headers.items()]


def _place(system: System, **changes: Any) -> str:
    order_id: str = system.place(**changes)["id"]
    return order_id


def _lives(system: System) -> Orders:
    names = [f"{name} {n}" for n in range(2) for name in _LIVES]
    with ThreadPoolExecutor(8) as people:
        lived = people.map(lambda name: _LIVES[name[:-2]](system, name.replace(" ", "-")), names)
        return dict(zip(names, lived, strict=True))


def _pending(system: System, _: str) -> str:
    return _place(system)


def _confirmed(system: System, key: str) -> str:
    headers = {"Idempotency-Key": f"place-{key}"}
    placed = system.call("POST", "/api/v1/orders", basket(), **headers)
    assert placed.status == 201
    order_id: str = placed.json["id"]
    assert system.pay(order_id, **{"Idempotency-Key": f"pay-{key}"}).status == 200
    return order_id


def _declined(system: System, _: str) -> str:
    order_id = _place(system)
    assert system.pay(order_id, "tok_declined").status == 402
    return order_id


def _paid_at_last(system: System, key: str) -> str:
    order_id = _declined(system, key)
    system.await_order(order_id, stock="released")
    assert system.pay(order_id).status == 200
    return order_id


def _unpaid_cancelled(system: System, _: str) -> str:
    order_id = _place(system)
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel", {"reason": "changed"}).status == 200
    return order_id


def _refunded(system: System, key: str) -> str:
    order_id = _confirmed(system, key)
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel", {}).status == 200
    system.await_order(order_id, status="refunded", stock="released")
    return order_id


def _delivered(system: System, key: str) -> str:
    order_id = _shipped(system, key)
    assert system.put(order_id, "delivered").status == 200
    return order_id


def _shipped(system: System, key: str) -> str:
    order_id = _confirmed(system, key)
    assert system.put(order_id, "processing").status == 200
    shipment = {"carrier": "Example Post", "trackingNumber": "EX-1"}
    assert system.put(order_id, "shipped", shipment=shipment).status == 200
    system.await_order(order_id, stock="committed")
    return order_id


def _partly_refunded(system: System, key: str) -> str:
    order_id = _confirmed(system, key)
    body = {"amount": 1000, "reason": "scratched"}
    headers = {"Idempotency-Key": f"refund-{key}"}
    assert system.call("POST", f"/api/v1/orders/{order_id}/refunds", body, **headers).status == 201
    return order_id


def _refund_failed(system: System, _: str) -> str:
    order_id = _place(system)
    assert system.pay(order_id, "tok_refund_fails").status == 200
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel", {}).status == 200
    system.until(lambda: system.get(order_id)["attention"])
    return order_id


def _charge_parked(system: System, _: str) -> str:
    order_id = _place(system)
    assert system.pay(order_id, "tok_refused").status == 202
    system.until(lambda: system.get(order_id)["attention"])
    return order_id


def _voided(system: System, _: str) -> str:
    order_id = _place(system)
    assert system.pay(order_id, "tok_3ds").status == 202
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel", {}).status == 200
    return order_id


def _free(system: System, _: str) -> str:
    items = [{"productId": "sticker", "name": "Sticker", "quantity": 1, "unitPrice": 0}]
    return _place(system, items=items, shippingCost=0, tax=0)


def _out_of_stock(system: System, key: str) -> str:
    items = [{"productId": f"rare-{key}", "name": "Rare", "quantity": 2, "unitPrice": 500}]
    system.partner("PUT", f"/sandbox/stock/rare-{key}", {"quantity": 2})
    first = _place(system, items=items)
    refused = system.call("POST", "/api/v1/orders", basket(items=items))
    assert refused.status == 409
    return first


_LIVES = {
    "pending": _pending,
    "confirmed": _confirmed,
    "declined": _declined,
    "paid at last": _paid_at_last,
    "unpaid cancelled": _unpaid_cancelled,
    "refunded": _refunded,
    "shipped": _shipped,
    "delivered": _delivered,
    "partly refunded": _partly_refunded,
    "refund failed": _refund_failed,
    "charge parked": _charge_parked,
    "voided": _voided,
    "free": _free,
    "rare": _out_of_stock,
}


def query(dsn: str, sql: str, *args: Any) -> list[asyncpg.Record]:
    """Rows of the database."""

    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(dsn)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *args)
            return rows
        finally:
            await connection.close()

    return asyncio.run(fetch())


def lines(items: list[dict[str, Any]]) -> Iterator[str]:
    """JSON lines."""
    for item in items:
        yield json.dumps(item) + "\n"


def now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)
