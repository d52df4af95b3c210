"""From rows to what the rules look at: an order with the calls it owes, its tokens and its contacts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection

import asyncpg
import msgspec
from msgspec import Struct

from order_service.core.answers import CallKind
from order_service.core.model import OpenCall, Order, State
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
        self._pool = pool
        self._limit = limit
        self._waiting: dict[str, asyncio.Future[Loaded | None]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def load(self, order_id: str) -> Loaded | None:
        """The order, as of some moment after this call began."""
        future = self._waiting.get(order_id)
        if future is None:
            future = self._waiting[order_id] = asyncio.get_running_loop().create_future()
            # All who waited may have been cancelled: then nobody is left to be told of an error.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Wait for what is under way; nothing may be asked afterwards."""
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        while self._waiting:
            batch = {order_id: self._waiting.pop(order_id) for order_id in list(self._waiting)[: self._limit]}
            try:
                found = await _rows(self._pool, batch)
            except BaseException as error:
                for future in batch.values():
                    future.set_exception(error if isinstance(error, Exception) else ConnectionError("load was cut off"))
                if not isinstance(error, Exception):
                    raise
            else:
                for order_id, future in batch.items():
                    _tell(future, found.get(order_id))


def _tell(future: asyncio.Future[Loaded | None], row: asyncpg.Record | None) -> None:
    """An order that cannot be read is a fault for those who asked for it, not for its neighbours."""
    try:
        future.set_result(None if row is None else _loaded(row))
    except Exception as error:
        future.set_exception(error)
