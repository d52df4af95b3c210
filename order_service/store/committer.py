"""Gathers decisions that arrive while a commit is under way into the next one, and sees each through."""

from __future__ import annotations

import asyncpg

from order_service.store.commit import Entry, Result


class Committer:
    """The way to commit: one statement at a time, of up to ``limit`` entries.

    Deadlocks, serialization failures and timeouts are tried again; one entry that the database refuses fails alone;
    after a lost connection the database is asked whether the decision is in it. Cancelling a waiter cancels nothing.
    """

    def __init__(self, pool: asyncpg.Pool, *, limit: int = 64) -> None:
        raise NotImplementedError

    async def commit(self, entry: Entry) -> Result:
        """Apply one entry. Raises what the database says against it, or ``OutcomeUnknown``, or ``ConnectionError``.

        ``asyncpg.DataError`` or ``asyncpg.IntegrityConstraintViolationError`` say that the decision itself is at
        fault.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Finish what was handed in; nothing may be handed in afterwards."""
        raise NotImplementedError
