"""From rows to what the rules look at: an order with the calls it owes, its tokens and its contacts."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial

import asyncpg
import msgspec
from msgspec import Struct

from order_service.core.answers import CallKind
from order_service.core.model import OpenCall, Order, State
from order_service.store.gather import Gather
from order_service.store.statements import fetch

NO_CONTACTS = b'{"shippingAddress":null,"billingAddress":null,"notes":null}'
"""What stands in a document whose personal data has been erased."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_decode = msgspec.json.Decoder(Order).decode


class Loaded(Struct, frozen=True):
    """An order as it is in the database, with what a commit that starts from it has to know.

    ``snapshot`` is the JSON of ``state.order``, byte by byte as the log holds it; ``contacts`` that of the personal
    data, None once it is erased. ``revision`` counts every write to the order, also those that no version tells of.
    ``tokens`` has the lease token of every open or parked call, by call id.
    """

    state: State
    snapshot: bytes
    contacts: bytes | None
    contacts_version: int
    contacts_hash: bytes
    log_hash: bytes
    revision: int
    tokens: dict[str, int]

    @property
    def version(self) -> int:
        """The version that a client sees as ETag."""
        return self.state.order.version

    def document(self) -> bytes:
        """The order as the API shows it."""
        return document(self.snapshot, self.contacts)


def document(snapshot: bytes, contacts: bytes | None) -> bytes:
    """The order's JSON with shippingAddress, billingAddress and notes put in behind its last member."""
    return snapshot[:-1] + b"," + (contacts or NO_CONTACTS)[1:]


async def load(pool: asyncpg.Pool, ids: Collection[str]) -> dict[str, Loaded]:
    """The orders of these ids, by id, in one statement and of one moment; an id without an order is left out."""
    return {order_id: _loaded(row) for order_id, row in (await _rows(pool, ids)).items()}


async def _rows(pool: asyncpg.Pool, ids: Collection[str]) -> dict[str, asyncpg.Record]:
    known = [order_id for order_id in ids if is_id(order_id)]
    if not known:
        return {}
    return {row["id"]: row for row in await fetch(pool, "load", ids=known)}


def is_id(text: str) -> bool:
    """Whether the text is an id as we write it; others cannot exist and are not even asked for."""
    return _ID.fullmatch(text) is not None


def _loaded(row: asyncpg.Record) -> Loaded:
    snapshot = row["snapshot"].encode()
    contacts = row["contacts"]
    calls, tokens = _calls(row)
    return Loaded(
        state=State(_decode(snapshot), calls, row["token"], row["attempt_token"]),
        snapshot=snapshot,
        contacts=None if contacts is None else contacts.encode(),
        contacts_version=row["contacts_version"],
        contacts_hash=row["contacts_hash"],
        log_hash=row["log_hash"],
        revision=row["revision"],
        tokens=tokens,
    )


def _calls(row: asyncpg.Record) -> tuple[tuple[OpenCall, ...], dict[str, int]]:
    ids = row["ids"]
    if ids is None:
        return (), {}
    columns = zip(ids, row["kinds"], row["subjects"], row["codes"], row["since"], strict=True)
    calls = tuple(OpenCall(call, CallKind(kind), *rest) for call, kind, *rest in columns)
    return calls, dict(zip(ids, row["tokens"], strict=True))


class Loader:
    """Loads one order at a time; callers that come while a load is under way share the next one."""

    def __init__(self, pool: asyncpg.Pool, *, limit: int = 64) -> None:
        self._orders = Gather(partial(_rows, pool), _loaded, limit=limit)

    async def load(self, order_id: str) -> Loaded | None:
        """The order, as of some moment after this call began."""
        return await self._orders(order_id)

    async def close(self) -> None:
        """Wait for what is under way; nothing may be asked afterwards."""
        await self._orders.close()
