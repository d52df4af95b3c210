"""Any number of decisions, one statement: each is applied whole or not at all, and says why not."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import asyncpg
from msgspec import Struct

from order_service.core.messages import Asked, Decision
from order_service.store.load import Loaded


class StoredReply(Struct, frozen=True):
    """An answer to be given again, byte by byte, to a request with the same Idempotency-Key."""

    status: int
    body: bytes
    version: int | None = None
    problem: bool = False


class KeyBinding(Struct, frozen=True):
    """An Idempotency-Key to be bound to what its request asks for, in the same statement as the effect.

    ``busy_s`` seconds from now a twin is told that the request is in flight; ``reply`` is set where the answer is
    final already.
    """

    principal: str
    route: str
    key: str
    fingerprint: bytes
    asked: Asked
    busy_s: float = 0
    reply: StoredReply | None = None


class Remember(Struct, frozen=True):
    """The final answer to a request whose key was bound earlier."""

    principal: str
    route: str
    key: str
    reply: StoredReply


class Entry(Struct, frozen=True):
    """One decision, and all that is written with it.

    ``base`` is what it was decided on, None for a new order. ``call_token`` is the token of the lease under which
    ``decision.answered`` was called; it is required exactly when ``decision.answered`` is set. New calls without
    delay, and calls that a person wants sent again, are leased to this process for ``lease_s`` seconds; with
    ``lease_s`` 0 any process may claim them at once. ``retry_in_s`` is the delay of a call that is sent again
    (``End.AGAIN``) where the answer names none.

    A decision that writes nothing may still bind a key or remember replies.
    """

    decision: Decision
    decision_id: uuid.UUID
    base: Loaded | None
    actor: str
    correlation_id: str
    traceparent: str | None = None
    call_token: int | None = None
    key: KeyBinding | None = None
    remember: tuple[Remember, ...] = ()
    lease_s: float = 9
    retry_in_s: float = 1


class Verdict(StrEnum):
    """What became of an entry."""

    APPLIED = "applied"
    STALE = "stale"
    """The order has changed since it was loaded: load and decide again."""
    CALL_GONE = "call_gone"
    """The lease of the answered call has passed to somebody else, or the call was ended: drop the answer."""
    KEY_TAKEN = "key_taken"
    """Another request has bound this Idempotency-Key: look it up."""
    NUMBER_TAKEN = "number_taken"
    """Another order has this number: choose another one."""
    LOCKED = "locked"
    """Somebody else was writing to the order all the while: try again."""


class Result(Struct, frozen=True):
    """``at`` is the database's time.

    Of an applied entry, ``tokens`` has the lease token of each call that this process is now to send, by call id, and
    ``loaded`` the order as it is after the commit, to decide on without loading it again.
    """

    verdict: Verdict
    at: datetime
    tokens: dict[str, int] = {}
    loaded: Loaded | None = None

    @property
    def applied(self) -> bool:
        """Whether everything of the entry is in the database."""
        return self.verdict is Verdict.APPLIED


async def commit(connection: asyncpg.Connection | asyncpg.Pool, entries: Sequence[Entry]) -> list[Result]:
    """Apply entries in one statement; the results come in their order.

    No order and no call may stand in two of them. Whatever is raised, nothing was written, unless the connection
    was lost: then nobody knows (see ``Committer``).
    """
    raise NotImplementedError
