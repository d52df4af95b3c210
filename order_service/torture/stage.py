"""Where the torture happens: a stack, a crowd of clients, and replicas that nobody kills on purpose.

A stage is played in chapters. Each begins with an empty database, topic and ledger, and ends with the proof.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import asyncpg
from msgspec import Struct, field

from order_service.auth.api_keys import digest_of, new_key
from order_service.relay import READER
from order_service.store.api_keys import create_api_key
from order_service.store.pool import connect
from order_service.store.reader import lag_s
from order_service.torture.disk import SmallDisk
from order_service.torture.lives import SCARCE, Credentials, Story
from order_service.torture.proof import Proven, prove
from order_service.torture.replicas import Replica
from order_service.torture.stack import NONE, PARTS, Stack
from order_service.torture.workload import Workload

SERVES = ("api", "worker")
SURVIVORS = 2
CUSTOMERS = 8
SCARCE_PIECES = 40
RELAYED_WITHIN_S = 120.0
_RELAYS_AT_ONCE_S = 5.0
_LOOK_S = 0.2

SHORT_LIVES = {"UNPAID_TTL": "4", "ATTEMPT_DEADLINE": "3", "LOG_LEVEL": "error", "AUTH": "on"}
"""Seconds. An order that nobody pays, and a payment that nobody finishes, come to their end within a chapter."""


_PARKED = """
select order_id::text, id::text from partner_calls
where state = 'parked' and parked_code in ('answer-not-believed', 'call-refused')
"""


class Totals(Struct):
    """What all chapters of a run came to."""

    orders: int = 0
    lives: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    answers_repeated: int = 0
    violations: int = 0
    parked: int = 0
    verifications: int = 0


class Stage:
    """One run's stack and crowd. Use it from the main thread."""

    def __init__(self, stack: Stack, seed: int, *, clients: int, mix: dict[Story, int]) -> None:
        self.stack = stack
        self.workload = Workload(seed, stack.partners)
        self.totals = Totals()
        self.clients = clients
        self.mix = mix
        self.record = NONE
        """Settings of those who survive, without prefix: whether they write down the points that they pass."""
        self._who: Credentials | None = None
        self._fresh = True
        self._names = 0

    def close(self) -> None:
        """End the clients; the stack is its owner's."""
        self.workload.close()

    def begin(self, disk: SmallDisk | None = None) -> None:
        """Begin a chapter: survivors that serve, and a crowd that comes."""
        if not self._fresh:
            self.stack.new_chapter(disk)
        self._fresh = False
        self.workload.log.forget()
        self._who = who = asyncio.run(_make_keys(self.stack.database))
        self.stack.partner("PUT", f"/sandbox/stock/{SCARCE}", {"quantity": SCARCE_PIECES})
        for _ in range(SURVIVORS):
            self.replica(only=SERVES, settings=self.record)
        self.workload.begin(who, self.clients, self.mix)

    def replica(
        self, *, only: tuple[str, ...] = PARTS, skew_s: float = 0, settings: Mapping[str, str] = NONE
    ) -> Replica:
        """One more replica, ready, to which requests are sent."""
        self._names += 1
        replica = self.stack.replica(f"replica-{self._names % 64}", only=only, skew_s=skew_s, settings=settings)
        self.workload.add(replica)
        replica.wait_ready()
        return replica

    def retry_parked(self) -> None:
        """Be the person who looks: send again what was not believed or was refused. A call may settle meanwhile."""
        assert self._who is not None
        for order_id, call_id in asyncio.run(_parked(self.stack.database)):
            path = f"/api/v1/orders/{order_id}/calls/{call_id}/retry"
            self.workload.command(path, self._who.staff)

    def rest_and_prove(self, *, parked_allowed: bool = False, share: float = 1.0) -> Proven:
        """Let all lives end, ask for every answer again, and look at everything. Ends the chapter."""
        self.replica()  # somebody has to relay to the end
        workload = self.workload
        workload.finish()
        workload.settle()
        repeated = workload.repeat_answers(share)
        asyncio.run(_relayed(self.stack.database))
        proven = prove(self.stack, workload.log, parked_allowed=parked_allowed)
        proven.answers_repeated = repeated
        self._add(proven)
        return proven

    def _add(self, proven: Proven) -> None:
        totals = self.totals
        totals.orders += proven.orders
        totals.lives = self.workload.lives
        totals.statuses += proven.statuses
        totals.rows += proven.rows
        totals.answers = self.workload.log.answers
        totals.answers_repeated += proven.answers_repeated
        totals.violations += proven.violations
        totals.parked += proven.parked
        totals.verifications += 1


async def _make_keys(dsn: str) -> Credentials:
    connection = await asyncpg.connect(dsn)
    try:
        service, staff = await _key(connection, "service"), await _key(connection, "staff")
        users = [f"customer-{n}" for n in range(CUSTOMERS)]
        return Credentials(service, staff, {user: await _key(connection, "customer", user) for user in users})
    finally:
        await connection.close()


async def _key(connection: asyncpg.Connection, scope: str, user: str | None = None) -> str:
    key = new_key()
    await create_api_key(connection, digest=digest_of(key), scope=scope, user=user, name="torture", expires_in_s=None)
    return key


async def _relayed(dsn: str) -> None:
    """Wait until the log is relayed. Each relay was killed as soon as it began; what is never sent, the proof tells."""
    pool = await connect(dsn, max_size=1)
    try:
        for _ in range(int(RELAYED_WITHIN_S / _LOOK_S)):
            if (await lag_s(pool, READER) or 0) < _RELAYS_AT_ONCE_S:
                return
            await asyncio.sleep(_LOOK_S)
    finally:
        await pool.close()


async def _parked(dsn: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(_PARKED)
    finally:
        await connection.close()
    return [(row["order_id"], row["id"]) for row in rows]
