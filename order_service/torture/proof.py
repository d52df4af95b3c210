"""The proof behind each group of scenarios: ``verify --settle 30``, and every promise that clients were given."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import asyncpg
from msgspec import Struct, field

from order_service.config import load_settings
from order_service.engine import POLL_CAP_S
from order_service.torture.clientlog import ClientLog
from order_service.torture.stack import Stack
from order_service.verify.catalogue import INVARIANTS
from order_service.verify.ledger import HttpLedger
from order_service.verify.run import Limits, Sources, Verification
from order_service.verify.scratch import Scratch
from order_service.verify.topic import KafkaTopic

SETTLE_S = 30.0
_SHOWN = 20


class Proven(Struct):
    """What was looked at and what was found; ``failures`` are sentences, none where everything holds."""

    failures: list[str] = field(default_factory=list)
    orders: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    violations: int = 0
    in_flight: int = 0
    parked: int = 0
    answers_repeated: int = 0


def prove(stack: Stack, log: ClientLog, *, parked_allowed: bool = False, settle_s: float = SETTLE_S) -> Proven:
    """Look at everything; nobody may be at work any more. ``parked_allowed``: a partner has lied or never answered."""
    return asyncio.run(_prove(stack, log, parked_allowed, settle_s))


def verify(stack: Stack) -> Proven:
    """``verify --settle 30`` alone."""
    proven = Proven()
    asyncio.run(_verify(stack, proven, False, SETTLE_S))
    return proven


async def _prove(stack: Stack, log: ClientLog, parked_allowed: bool, settle_s: float) -> Proven:
    proven = Proven()
    await _verify(stack, proven, parked_allowed, settle_s)
    await _promises(stack, log, proven)
    proven.failures += log.broken[:_SHOWN]
    return proven


async def _verify(stack: Stack, proven: Proven, parked_allowed: bool, settle_s: float) -> None:
    topic = KafkaTopic(stack.kafka.bootstrap, stack.topic)
    ledger = HttpLedger(f"{stack.partners}/sandbox/ledger")
    sources = Sources(payments=ledger, inventory=ledger, topic=topic)
    lease_s = float(stack.service_settings().get("LEASE", load_settings().lease))
    scratch = await Scratch.open(stack.database)
    try:
        verification = Verification(scratch, sources, Limits(overdue_s=2 * lease_s + POLL_CAP_S), lambda *_: None)
        tallies = await verification.run(settle_s)
    finally:
        await scratch.close()
        topic.close()
    for invariant in INVARIANTS:
        tally = tallies[invariant.name]
        proven.rows[invariant.name] += tally.rows
        proven.violations += tally.violations
        proven.in_flight += len(tally.in_flight) + tally.beyond
        proven.parked += len(tally.parked)
        if not tally.looked:
            proven.failures.append(f"{invariant.name} was not looked at")
        found = [("violated", dict(tally.examples)), ("in flight", tally.in_flight)]
        if not parked_allowed:
            found.append(("parked", tally.parked))
        for word, orders in found:
            for order_id, detail in list(orders.items())[:_SHOWN]:
                proven.failures.append(f"{invariant.name} {word}: order {order_id}: {detail}")


async def _promises(stack: Stack, log: ClientLog, proven: Proven) -> None:
    """Every acknowledged order and version is there, and no order that nobody was told of."""
    connection = await asyncpg.connect(stack.database)
    try:
        orders = await connection.fetch("select id::text, version, status from orders")
    finally:
        await connection.close()
    proven.orders = len(orders)
    proven.statuses.update(order["status"] for order in orders)
    versions = {order["id"]: order["version"] for order in orders}
    complain = _Few(proven.failures.append)
    for order_id in log.orders - versions.keys():
        complain(f"order {order_id} was acknowledged and is lost")
    for order_id in versions.keys() - log.orders:
        complain(f"order {order_id} is there, and nobody was told of it: one key, two orders?")
    for order_id, version in log.versions.items():
        if versions.get(order_id, version) < version:
            complain(f"order {order_id}: version {version} was acknowledged, and it is at {versions[order_id]}")
    for asked in log.unsettled.values():
        complain(f"key {asked.key} of {asked.method} {asked.path} never came to a final answer")


class _Few:
    """Says the first of many."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._left = _SHOWN

    def __call__(self, sentence: str) -> None:
        if self._left:
            self._say(sentence)
        self._left -= 1
