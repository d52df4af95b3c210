"""Any number of decisions, one statement: each is applied whole or not at all, and says why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import asyncpg
from msgspec import Struct

from order_service.store.load import Loaded
from order_service.store.queries import query
from order_service.store.rows import Entry, KeyBinding, Prepared, Remember, StoredReply, arguments, prepare
from order_service.store.statements import fetch

__all__ = ["Entry", "KeyBinding", "Remember", "Result", "StoredReply", "Verdict", "commit", "commit_prepared"]


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


_VERDICTS = {verdict.value: verdict for verdict in Verdict}


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
    return await commit_prepared(connection, [prepare(entry) for entry in entries])


async def commit_prepared(connection: asyncpg.Connection | asyncpg.Pool, prepared: Sequence[Prepared]) -> list[Result]:
    """As ``commit``, for entries whose rows are made already."""
    assert len({p.entry.order_id for p in prepared}) == len(prepared), "one order, one entry"
    values, parts = arguments(prepared)
    rows = await fetch(connection, query("commit", parts), **values)
    verdicts = {row["n"]: (_VERDICTS[row["verdict"]], row["at"]) for row in rows}
    return [_result(one, *verdicts[n]) for n, one in enumerate(prepared)]


def _result(one: Prepared, verdict: Verdict, at: datetime) -> Result:
    if verdict is not Verdict.APPLIED:
        return Result(verdict, at)
    return Result(verdict, at, one.tokens, one.after)
