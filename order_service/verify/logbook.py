"""The log page by page: each order's books are checked, and what others must have of them is written down.

A page is one moment of the database; no transaction lasts longer than a page.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg

from order_service.events import records
from order_service.store.reader import Cursor, LogRow
from order_service.verify.books import Books, Image, Row, faults, newest_image
from order_service.verify.scratch import Scratch, page
from order_service.verify.topic import digest

ORDERS_AT_ONCE = 200
Only = tuple[uuid.UUID, ...] | None


async def read_log(
    scratch: Scratch, only: Only, progress: Callable[[int], None]
) -> AsyncIterator[tuple[str, str, str]]:
    """The faults of all books, or of some: invariant, order id, what is wrong."""
    after: uuid.UUID | None = None
    done = 0
    while True:
        orders, parts = await _page(scratch, after, only)
        events: list[tuple[Any, ...]] = []
        reservations: list[tuple[Any, ...]] = []
        for order_id, books in _books(orders, parts).items():
            image = newest_image(books)
            for name, detail in faults(books, image):
                yield name, str(order_id), detail
            events.extend(event for row in books.log for event in _events(row))
            reservations.extend(_reservations(order_id, image))
        await scratch.put("expected_events", events)
        await scratch.put("our_reservations", reservations)
        done += len(orders)
        progress(done)
        if len(orders) < ORDERS_AT_ONCE:
            return
        after = orders[-1]["id"]


async def _page(
    scratch: Scratch, after: uuid.UUID | None, only: Only
) -> tuple[list[asyncpg.Record], dict[str, list[asyncpg.Record]]]:
    among = None if only is None else list(only)
    async with scratch.look() as connection:
        query = page("orders")
        orders = await connection.fetch(query.sql, *query.args(after=after, only=among, limit=ORDERS_AT_ONCE))
        upto = orders[-1]["id"] if len(orders) == ORDERS_AT_ONCE else None
        parts = {}
        for name in ("log", "history", "contacts", "items", "attempts", "refunds"):
            query = page(name)
            parts[name] = await connection.fetch(query.sql, *query.args(after=after, upto=upto, only=among))
    return orders, parts


def _books(orders: list[asyncpg.Record], parts: dict[str, list[asyncpg.Record]]) -> dict[uuid.UUID, Books]:
    grouped: dict[str, dict[uuid.UUID, list[asyncpg.Record]]] = {}
    for name, rows in parts.items():
        by_order = grouped[name] = defaultdict(list)
        for row in rows:
            by_order[row["order_id"]].append(row)
    heads = {row["id"]: row for row in orders}
    return {
        order_id: Books(
            heads.get(order_id),
            grouped["log"].get(order_id, []),
            grouped["history"].get(order_id, []),
            {row["version"]: row for row in grouped["contacts"].get(order_id, ())},
            *(grouped[name].get(order_id, []) for name in ("items", "attempts", "refunds")),
        )
        for order_id in {**heads, **grouped["log"], **grouped["history"]}
    }


def _events(row: Row) -> list[tuple[Any, ...]]:
    """What the topic must have of one version."""
    if not row["events"]:
        return []
    position = int(row["xid"]), row["position"]
    log_row = LogRow(
        cursor=Cursor(row["epoch"], *position),
        order_id=str(row["order_id"]),
        version=row["version"],
        snapshot=row["snapshot"],
        change=row["change"],
        contacts=None,
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        at=row["at"],
        first_sequence=row["first_sequence"],
        events=tuple(row["events"]),
    )
    head = (row["version"], row["epoch"], *position, row["at"])
    return [
        (row["order_id"], sequence, *head, digest(record.key, record.headers, record.value))
        for sequence, record in enumerate(records(log_row), start=row["first_sequence"])
    ]


def _reservations(order_id: uuid.UUID, image: Image | None) -> list[tuple[Any, ...]]:
    held = image.reservations if image is not None else ()
    last = len(held) - 1
    return [
        (order_id, image.status, one.reservation_id, one.status, n == last)
        for n, one in enumerate(held)
        if image is not None
    ]
