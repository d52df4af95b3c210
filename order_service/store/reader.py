"""Reads the log: every row once, in an order in which nothing is ever skipped; one process at a time per name.

Rows become visible out of the order of their positions: a transaction that took its position early may commit late,
and a reader that goes on from "the last one seen" loses its row for good. So each row holds the transaction that
wrote it, and only rows are read that no running transaction can still precede.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

import asyncpg
from msgspec import Struct

from order_service.store.statements import execute, fetch, fetchrow, fetchval

_ORDERS_REMEMBERED = 50_000


class LogBroken(Exception):
    """The log does not go on where it ended; nothing may be read on before a person has looked at it."""


class NotOwner(Exception):
    """Another process reads the log under this name by now."""


class Cursor(Struct, frozen=True, order=True):
    """A place in the log: all rows up to it are read. ``epoch`` rises with every move to another cluster."""

    epoch: int = 0
    xid: int = 0
    position: int = 0


class LogRow(Struct, frozen=True):
    """One version of an order, as readers see it; ``snapshot`` and ``change`` are None where it has no event.

    Its events have the sequence numbers ``first_sequence``, ``first_sequence + 1`` and so on. ``contacts`` is the
    JSON of the personal data, for readers that asked for it.
    """

    cursor: Cursor
    order_id: str
    version: int
    snapshot: str | None
    change: str | None
    contacts: str | None
    correlation_id: str
    traceparent: str | None
    at: datetime
    first_sequence: int
    events: tuple[str, ...]


class Blocker(Struct, frozen=True):
    """What holds the horizon back: a backend (process id and application) or a prepared transaction (its name)."""

    kind: str
    name: str
    database: str | None
    state: str | None
    age_s: float


class ParkedStream(Struct, frozen=True):
    """An order of which nothing is sent from ``version`` on; ``resume``: a person wants it to be tried again."""

    order_id: str
    version: int
    error: str
    since: datetime
    resume: bool = False


class LogReader:
    """The log under one name, with a cursor in the database and a lease on it. ``owner`` names this process."""

    def __init__(
        self, pool: asyncpg.Pool, name: str, owner: str, *, lease_s: float = 10, personal: bool = False
    ) -> None:
        self._pool = pool
        self.name = name
        self.owner = owner
        self.lease_s = lease_s
        self._personal = personal
        self._token: int | None = None
        self._newest: OrderedDict[str, int] = OrderedDict()
        self.cursor = Cursor()

    @property
    def owned(self) -> bool:
        """Whether this process has the lease, as far as it knows."""
        return self._token is not None

    async def acquire(self) -> bool:
        """Take the lease if nobody alive has it, and go on where the last owner stood."""
        row = await fetchrow(self._pool, "own_reader", name=self.name, owner=self.owner, lease_s=self.lease_s)
        if row is None:
            return False
        self._token = row["token"]
        self.cursor = Cursor(row["epoch"], int(row["xid"]), row["position"])
        self._newest.clear()
        return True

    async def keep(self) -> None:
        """Prolong the lease; ``NotOwner`` when it has passed to somebody else."""
        kept = await fetchval(self._pool, "keep_reader", name=self.name, token=self._token, lease_s=self.lease_s)
        self._check_owned(kept)

    async def read(self, cursor: Cursor | None = None, *, limit: int = 200) -> list[LogRow]:
        """Up to ``limit`` rows behind the cursor (this reader's own, unless another is given); ``LogBroken``."""
        start = self.cursor if cursor is None else cursor
        found = await fetch(
            self._pool,
            "read_log",
            epoch=start.epoch,
            xid=str(start.xid),
            position=start.position,
            limit=limit,
            personal=self._personal,
        )
        rows = []
        for row in found:
            self._check_sound(row)
            rows.append(_log_row(row))
        return rows

    async def advance(self, cursor: Cursor) -> None:
        """Everything up to the cursor is done for good; prolongs the lease as well."""
        advanced = await fetchval(
            self._pool,
            "advance_reader",
            name=self.name,
            token=self._token,
            lease_s=self.lease_s,
            epoch=cursor.epoch,
            xid=str(cursor.xid),
            position=cursor.position,
        )
        self._check_owned(advanced)
        self.cursor = cursor

    async def release(self) -> None:
        """Let somebody else read at once; harmless when the lease is lost."""
        if self._token is not None:
            token, self._token = self._token, None
            await execute(self._pool, "release_reader", name=self.name, token=token)

    def lose(self) -> None:
        """Forget the lease: it could not be kept."""
        self._token = None

    async def park(self, order_id: str, version: int, error: str) -> None:
        """Send nothing of this order from this version on."""
        await execute(self._pool, "park_stream", reader=self.name, order_id=order_id, version=version, error=error)

    async def parked(self) -> list[ParkedStream]:
        """The orders of which nothing is sent, the longest waiting first."""
        rows = await fetch(self._pool, "parked_streams", reader=self.name)
        return [ParkedStream(r["order_id"], r["version"], r["error"], r["since"], r["resume"]) for r in rows]

    async def held_back(self, stream: ParkedStream) -> list[LogRow]:
        """The rows of a parked order that the cursor has passed, oldest first."""
        cursor = self.cursor
        rows = await fetch(
            self._pool,
            "read_stream",
            order_id=stream.order_id,
            version=stream.version,
            epoch=cursor.epoch,
            xid=str(cursor.xid),
            position=cursor.position,
            personal=self._personal,
        )
        return [_log_row(row) for row in rows]

    async def unpark(self, order_id: str) -> None:
        """Nothing is held back of this order any more."""
        await execute(self._pool, "unpark_stream", reader=self.name, order_id=order_id)

    def _check_owned(self, row: bool | None) -> None:
        if row is None:
            self._token = None
            raise NotOwner(f"Another process reads the log as {self.name} by now.")

    def _check_sound(self, row: asyncpg.Record) -> None:
        """Each version follows the one before it; a row that was skipped would show here, loudly."""
        order_id, version = row["order_id"], row["version"]
        seen = self._newest.pop(order_id, None)
        # A read from an older cursor sees rows again: that is no break.
        if not row["sound"] or (seen is not None and version > seen + 1):
            raise LogBroken(
                f"The log is broken at order {order_id}, version {version}: it does not follow the version before it."
            )
        self._newest[order_id] = version if seen is None else max(seen, version)
        if len(self._newest) > _ORDERS_REMEMBERED:
            self._newest.popitem(last=False)


async def resume_stream(pool: asyncpg.Pool, name: str, order_id: str) -> bool:
    """Ask the reader to go on with a parked order, from where it stopped; False if it is not parked."""
    told = await execute(pool, "resume_stream", reader=name, order_id=order_id)
    return told == "UPDATE 1"


async def lag_s(pool: asyncpg.Pool, name: str) -> float | None:
    """Seconds since the oldest row that this reader has not done was written; None when all are done."""
    seconds: float | None = await fetchval(pool, "reader_lag", name=name)
    return seconds


async def horizon_blocker(pool: asyncpg.Pool) -> Blocker | None:
    """The oldest transaction that writes: what every reader waits for, if readers stand still."""
    row = await fetchrow(pool, "horizon")
    return None if row is None else Blocker(row["kind"], row["name"], row["database"], row["state"], row["age_s"])


def _log_row(row: asyncpg.Record) -> LogRow:
    return LogRow(
        cursor=Cursor(row["epoch"], int(row["xid"]), row["position"]),
        order_id=row["order_id"],
        version=row["version"],
        snapshot=row["snapshot"],
        change=row["change"],
        contacts=row["contacts"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        at=row["at"],
        first_sequence=row["first_sequence"],
        events=tuple(row["events"]),
    )
