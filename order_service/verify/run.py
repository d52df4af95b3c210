"""Reads everything once, asks of each invariant where it does not hold, and asks again where work was in flight.

The order of the reads is what makes it safe on a live system: the horizon and the relay's cursor first, then ledgers
and topic, then the log, then the questions. What was acknowledged before is then always there, and what comes later
belongs to an order that has changed since, which is work in flight.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from order_service.verify.catalogue import INVARIANTS, Invariant, Source
from order_service.verify.ledger import Ledger
from order_service.verify.logbook import read_log
from order_service.verify.scratch import Scratch, check, page
from order_service.verify.topic import Topic

EXAMPLES = 100
IN_FLIGHT_KEPT = 20_000
_FETCH = 1000
_AGAIN_S = 1.0

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how far it is, and of how much, if that is known."""


class Sources(Struct):
    """Where to look besides the database; a source that is None is not looked at."""

    payments: Ledger | None = None
    inventory: Ledger | None = None
    topic: Topic | None = None

    def has(self, source: Source) -> bool:
        """Whether there is such a source."""
        return getattr(self, source.value) is not None


class Limits(Struct, frozen=True):
    """In seconds: how long a call or timer may be late, an event unsent, a writing transaction open."""

    overdue_s: float = 120
    relay_s: float = 60
    blocked_s: float = 60


class Tally(Struct):
    """What was found of one invariant; ``examples`` are violations, up to a hundred of them, detail by order id.

    ``beyond`` counts what is in flight beyond the orders that are kept in memory to be looked at again.
    """

    looked: bool
    rows: int = 0
    violations: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)
    in_flight: dict[str, str] = field(default_factory=dict)
    beyond: int = 0
    parked: dict[str, str] = field(default_factory=dict)

    def add(self, order_id: str | None, detail: str, stands: str) -> None:
        """Count one finding."""
        name = order_id or "(no order)"
        if stands == "in flight":
            if name in self.in_flight or len(self.in_flight) < IN_FLIGHT_KEPT:
                self.in_flight.setdefault(name, detail)
            else:
                self.beyond += 1
        elif stands == "parked":
            if len(self.parked) < IN_FLIGHT_KEPT:
                self.parked.setdefault(name, detail)
        elif (name, detail) not in self.examples:
            self.violations += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append((name, detail))


class _Round(Struct, frozen=True):
    """One pass: where everything stood when it began, and the orders it is about, None for all."""

    began: str
    epoch: int
    xid: str
    place: int
    only: tuple[uuid.UUID, ...] | None


Tallies = dict[str, Tally]


class Verification:
    """One verification of one database against its surroundings."""

    def __init__(self, scratch: Scratch, sources: Sources, limits: Limits, progress: Progress) -> None:
        self._scratch = scratch
        self._sources = sources
        self._limits = limits
        self._progress = progress
        self._as_of = _oldest(sources.payments, sources.inventory)
        self.tallies: Tallies = {i.name: Tally(all(map(sources.has, i.needs))) for i in INVARIANTS}

    async def run(self, settle_s: float = 0) -> Tallies:
        """Look at everything; then, up to ``settle_s`` seconds long, again at what was in flight, once at least."""
        deadline = time.monotonic() + settle_s
        await self._pass(None)
        await self._count()
        waiting = self._waiting()
        while waiting:
            if settle_s:
                await asyncio.sleep(_AGAIN_S)
            await self._pass(tuple(waiting))
            waiting = self._waiting()
            if time.monotonic() >= deadline:
                break
        return self.tallies

    def _waiting(self) -> list[uuid.UUID]:
        names = {name for tally in self.tallies.values() for name in tally.in_flight}
        return [uuid.UUID(name) for name in sorted(names)[:IN_FLIGHT_KEPT]]

    async def _pass(self, only: tuple[uuid.UUID, ...] | None) -> None:
        row = await self._scratch.fetchrow(page("began"))
        this = _Round(row["began"], row["epoch"], row["xid"], row["place"], only)
        await self._read_sources()
        if only is not None:
            await self._scratch.forget(only)
        total = await self._scratch.count("orders") if only is None else len(only)
        faults = read_log(self._scratch, only, lambda done: self._progress("log and history", done, total))
        found: list[tuple[str, str, str]] = []
        async for fault in faults:
            found.append(fault)
            if len(found) >= _FETCH:
                self._take_books(found)
        self._take_books(found)
        await self._scratch.analyze()
        asked = [i for i in INVARIANTS if i.query is not None and self.tallies[i.name].looked]
        for n, invariant in enumerate(asked):
            self._progress(invariant.name, n, len(asked))
            await self._ask(invariant, this)

    def _take_books(self, found: list[tuple[str, str, str]]) -> None:
        for name, order_id, detail in found:
            self.tallies[name].add(order_id, detail, "violation")
        found.clear()

    async def _read_sources(self) -> None:
        sources = self._sources
        for ledger in {id(s): s for s in (sources.payments, sources.inventory) if s is not None}.values():
            done = 0
            async for entries in ledger.read():
                await self._scratch.put_entries(
                    entries, money=ledger is sources.payments, stock=ledger is sources.inventory
                )
                done += len(entries)
                self._progress("ledger", done, None)
        if sources.topic is not None:
            done = 0
            async for records in sources.topic.read():
                await self._scratch.put_records(records)
                done += len(records)
                self._progress("topic", done, sources.topic.size())

    async def _ask(self, invariant: Invariant, this: _Round) -> None:
        assert invariant.query is not None
        tally, query = self.tallies[invariant.name], check(invariant.query)
        tally.in_flight.clear()
        known = self._values(invariant, this)
        values = query.args(**{name: known[name] for name in query.names})
        async with self._scratch.look() as connection:
            async for row in connection.cursor(query.sql, *values, prefetch=_FETCH):
                tally.add(row["order_id"], row["detail"], row["stands"])

    def _values(self, invariant: Invariant, this: _Round) -> dict[str, Any]:
        limits = self._limits
        return {
            "outside": invariant.outside,
            "began": this.began,
            "as_of": self._as_of,
            "only": None if this.only is None else list(this.only),
            "epoch": this.epoch,
            "xid": this.xid,
            "place": this.place,
            "since": self._sources.topic.since if self._sources.topic else None,
            "overdue_s": limits.overdue_s,
            "relay_s": limits.relay_s,
            "blocked_s": limits.blocked_s,
        }

    async def _count(self) -> None:
        tables = sorted({table for i in INVARIANTS if self.tallies[i.name].looked for table in i.rows})
        counts = {}
        for n, table in enumerate(tables):
            self._progress("counting", n, len(tables))
            counts[table] = await self._scratch.count(table)
        for invariant in INVARIANTS:
            if self.tallies[invariant.name].looked:
                self.tallies[invariant.name].rows = sum(counts[table] for table in invariant.rows)


def _oldest(*ledgers: Ledger | None) -> datetime | None:
    return min((ledger.as_of for ledger in ledgers if ledger is not None and ledger.as_of), default=None)


def verdict(tallies: Tallies, without: Sequence[Source], *, settle: bool) -> int:
    """The exit code: 0 all hold, 1 violations (or, when asked to settle, work in flight), 2 not everything was seen."""
    if any(tally.violations for tally in tallies.values()):
        return 1
    if settle and any(tally.in_flight or tally.beyond for tally in tallies.values()):
        return 1
    unseen = [i for i in INVARIANTS if not tallies[i.name].looked and not set(i.needs) <= set(without)]
    return 2 if unseen else 0
