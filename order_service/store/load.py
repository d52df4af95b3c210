"""From rows to what the rules look at: an order with the calls it owes, its tokens and its contacts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from order_service.core.model import State

NO_CONTACTS = b'{"shippingAddress":null,"billingAddress":null,"notes":null}'
"""What stands in a document whose personal data has been erased."""


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


async def load(pool: asyncpg.Pool, ids: Sequence[str | uuid.UUID]) -> dict[str, Loaded]:
    """The orders of these ids, by id, in one statement and of one moment; an id without an order is left out."""
    raise NotImplementedError


class Loader:
    """Loads one order at a time; callers that come while a load is under way share the next one."""

    def __init__(self, pool: asyncpg.Pool, *, limit: int = 64) -> None:
        raise NotImplementedError

    async def load(self, order_id: str) -> Loaded | None:
        """The order, as of some moment after this call began."""
        raise NotImplementedError

    async def close(self) -> None:
        """Wait for what is under way; nothing may be asked afterwards."""
        raise NotImplementedError
