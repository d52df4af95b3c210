"""Everything that is written about some orders, read at once; and what is still owed of them, brought to an end."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from order_service.core.model import Order
from order_service.verify.books import Books
from order_service.verify.scratch import page
from tests.interleavings.stage import Stage

ROUNDS = 12
"""More than any order has needed to come to rest."""

_OWED = (
    "update partner_calls set lease_until = now() - interval '1 s'"
    " where order_id = any($1::uuid[]) and state = 'open' and kind <> 'late_check' returning order_id"
)
_CALLS = (
    "select order_id, kind, subject, state, attempts from partner_calls"
    " where order_id = any($1::uuid[]) and kind <> 'late_check' order by version, ordinal"
)
_TOKENS = "select order_id, attempt, token from payment_tokens where order_id = any($1::uuid[])"
_decode = msgspec.json.Decoder(Order).decode


class NoRest(AssertionError):
    """Something is owed for ever."""


@dataclass
class Written:
    """All that is written of one order; ``versions`` has the order as it was at each of them, oldest first.

    ``effects`` is what the partners did, ``tokens`` the payment method of each attempt.
    """

    books: Books
    versions: list[Order]
    calls: list[Any]
    effects: list[dict[str, Any]]
    tokens: dict[int, str]

    @property
    def order(self) -> Order:
        """The order as it is now."""
        return self.versions[-1]


async def come_to_rest(stage: Stage, order_ids: Sequence[str]) -> None:
    """Another replica's worker makes every call that is still owed, as it does when all leases have run out."""
    for _ in range(ROUNDS):
        stage.ends.fresh()
        if not await stage.rows(_OWED, list(order_ids)):
            return
        while await stage.ends.worker._claim():
            await stage.ends.until_quiet()
        await stage.ends.until_quiet()
    raise NoRest(f"orders that do not come to rest: {order_ids}")


async def read(stage: Stage, order_ids: Sequence[str]) -> dict[str, Written]:
    """What is written of these orders, by id."""
    ids = [uuid.UUID(order_id) for order_id in order_ids]
    parts: dict[str, dict[uuid.UUID, list[Any]]] = {}
    for name in ("orders", "log", "history", "contacts", "items", "attempts", "refunds"):
        query = page(name)
        bounds = {"after": None, "upto": None, "only": ids, "limit": len(ids)}
        rows = await stage.rows(query.sql, *query.args(**{k: v for k, v in bounds.items() if k in query.names}))
        parts[name] = _grouped(rows, "id" if name == "orders" else "order_id")
    parts["calls"] = _grouped(await stage.rows(_CALLS, ids), "order_id")
    parts["tokens"] = _grouped(await stage.rows(_TOKENS, ids), "order_id")
    return {str(order_id): _written(stage, order_id, parts) for order_id in ids}


def _grouped(rows: list[Any], by: str) -> dict[uuid.UUID, list[Any]]:
    grouped: dict[uuid.UUID, list[Any]] = defaultdict(list)
    for row in rows:
        grouped[row[by]].append(row)
    return grouped


def _written(stage: Stage, order_id: uuid.UUID, parts: dict[str, dict[uuid.UUID, list[Any]]]) -> Written:
    def of(name: str) -> list[Any]:
        return parts[name].get(order_id, [])

    [head] = of("orders")
    contacts = {row["version"]: row for row in of("contacts")}
    books = Books(head, of("log"), of("history"), contacts, of("items"), of("attempts"), of("refunds"))
    versions = [_decode(row["snapshot"]) for row in books.log]
    tokens = {row["attempt"]: row["token"] for row in of("tokens")}
    return Written(books, versions, of("calls"), stage.partners.ledger(str(order_id)), tokens)
