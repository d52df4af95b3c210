"""What only great numbers or a long time show: a backlog, a table that grows, an hour of work, a second replica."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
import uuid
from datetime import datetime

import msgspec
from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct

from order_service.bench.fill import fill, forget_backlog
from order_service.bench.load import Clients
from order_service.bench.plan import BIG_USERS_ORDERS, Line, Report, Step, Tell, machine, now, started
from order_service.bench.system import System
from order_service.embedded import LauncherError
from order_service.relay import READER
from order_service.store.statements import connect_one
from order_service.verify.topic import KafkaTopic

_TOPIC = "orders.events"
_CLIENTS = 64
_PATTERN_LIVES = 500
_DRAIN_WITHIN_S = 1800.0
_SOAKERS = 16


class Backlog(Struct, rename="camel"):
    """What the relay does with a backlog, and how late an event is when there is none."""

    at: str
    machine: str
    events: int
    per_s: float
    service_us: float
    """CPU of the service for an event, in microseconds."""
    postgres_us: float
    broker_us: float
    mb_at_begin: float
    mb_at_most: float
    repeated: int
    out_of_order: int
    """Events whose predecessor of the same order had not been seen before them."""
    created_per_s: float
    delay_p50_ms: float
    """From the time that an event bears to its arrival at a consumer, while so many orders were created."""
    delay_p99_ms: float
    delay_most_ms: float


class _Cursor(Struct, frozen=True):
    epoch: int
    xid: str
    position: int


class Span(Struct, rename="camel"):
    """A part of a soak: the minute it ended in, orders and reads a second, the memory of each part at its end."""

    minute: float
    per_s: float
    megabytes: dict[str, float]


class Soak(Struct, rename="camel"):
    """A long time under a steady load."""

    at: str
    machine: str
    spans: list[Span]


# --- a backlog ---


def run_backlog(events: int, per_s: float, seconds: float, tell: Tell) -> Backlog:
    """Drain so many events that nobody has sent, then create ``per_s`` orders a second and look how late events are."""
    with started(lambda what: tell(what, 0, 1)) as bench:
        return bench.run(_backlog(bench.system, bench.clients, events, per_s, seconds, tell))


async def _backlog(system: System, clients: Clients, events: int, per_s: float, seconds: float, tell: Tell) -> Backlog:
    await _make_patterns(clients, system)
    system.stop_services()
    per_order = await _one(system, "select sum(cardinality(events)) / count(distinct order_id) from order_log")
    await _fill(system, 1, events // int(per_order), tell)
    start = await _cursor(system)
    tell("draining", 0, events)
    system.url = system.start_service()
    first = await _moved(system, start)
    began, before, mb_at_begin, mb_at_most = time.monotonic(), system.cpu_s(), system.memory_mb()["service"], 0.0
    due, end = await _events_behind(system, first), await _one(system, "select max(position) from order_log")
    while (at := (await _cursor(system)).position) < end:
        mb_at_most = max(mb_at_most, system.memory_mb()["service"])
        tell("draining", due - due * (end - at) // (end - first.position), due)
        if time.monotonic() - began > _DRAIN_WITHIN_S:
            raise LauncherError(f"The backlog was not drained within {_DRAIN_WITHIN_S:.0f} seconds.")
        await asyncio.sleep(1.0 if end - at > end / 20 else 0.02)
    took_s, after = time.monotonic() - began, system.cpu_s()
    used = {part: 1e6 * (after[part] - before[part]) / due for part in before}
    tell("reading the topic", 0, 1)
    repeated, out_of_order = await _read_in_order(system)
    created_per_s, delays = await _delays(system, per_s, seconds, tell)
    return Backlog(
        now(),
        machine(),
        due,
        due / took_s,
        used["service"],
        used["postgres"],
        used["broker"],
        mb_at_begin,
        mb_at_most,
        repeated,
        out_of_order,
        created_per_s,
        *(1000 * delays[min(len(delays) - 1, int(part * len(delays)))] for part in (0.5, 0.99, 1.0)),
    )


async def _make_patterns(clients: Clients, system: System) -> None:
    await clients.run(clients.create_and_pay, 32, times=_PATTERN_LIVES)
    await system.drained()


async def _fill(system: System, first: int, last: int, tell: Tell) -> None:
    await fill(
        system.postgres.dsn(), first, last, lambda done: tell("orders copied", done - first + 1, last - first + 1)
    )


async def _cursor(system: System) -> _Cursor:
    connection = await connect_one(system.postgres.dsn())
    try:
        row = await connection.fetchrow("select epoch, xid::text, position from log_readers where name = $1", READER)
        assert row is not None
        return _Cursor(*row)
    finally:
        await connection.close()


async def _moved(system: System, start: _Cursor) -> _Cursor:
    """Where the relay is once it has gone on from there."""
    while (cursor := await _cursor(system)) == start:  # noqa: ASYNC110 - another process moves it
        await asyncio.sleep(0.01)
    return cursor


async def _events_behind(system: System, cursor: _Cursor) -> int:
    return await _one(
        system,
        "select coalesce(sum(cardinality(events)), 0) from order_log "
        "where (epoch, xid, position) > ($1::int, $2::text::xid8, $3::bigint)",
        *msgspec.structs.astuple(cursor),
    )


async def _one(system: System, sql: str, *arguments: object) -> int:
    connection = await connect_one(system.postgres.dsn())
    try:
        return int(await connection.fetchval(sql, *arguments))
    finally:
        await connection.close()


async def _read_in_order(system: System) -> tuple[int, int]:
    """How many events came again, and how many came before their predecessor."""
    topic = KafkaTopic(system.kafka.bootstrap, _TOPIC)
    seen: dict[uuid.UUID, int] = {}
    repeated = out_of_order = 0
    try:
        async for piece in topic.read():
            for record in piece:
                assert record.order_id is not None
                assert record.sequence is not None
                last = seen.get(record.order_id, 0)
                repeated += record.sequence <= last
                out_of_order += record.sequence > last + 1
                seen[record.order_id] = max(last, record.sequence)
    finally:
        topic.close()
    return repeated, out_of_order


async def _delays(system: System, per_s: float, seconds: float, tell: Tell) -> tuple[float, list[float]]:
    """Orders created a second, and the seconds by which each event was late, sorted."""
    clients = Clients(system.url, system.key, most=_CLIENTS)
    try:
        await clients.run(clients.create, _CLIENTS, times=500)
        await system.drained()
        with _Listener(system.kafka.bootstrap) as listener:
            tell(f"{per_s:,.0f} orders a second", 0, 1)
            taken = await clients.run(clients.create, _CLIENTS, seconds=seconds, per_s=per_s)
            await system.drained()
    finally:
        clients.close()
    return taken.lives / taken.seconds, sorted(listener.delays)


class _Listener:
    """Hears every event that comes while it is open, in a thread of its own."""

    def __init__(self, bootstrap: str) -> None:
        self.delays: list[float] = []
        self._ended = threading.Event()
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"order-service-bench-{uuid.uuid4().hex[:8]}", "log_level": 0}
        )
        places = [
            TopicPartition(
                _TOPIC, partition, self._consumer.get_watermark_offsets(TopicPartition(_TOPIC, partition))[1]
            )
            for partition in self._consumer.list_topics(_TOPIC, timeout=10).topics[_TOPIC].partitions
        ]
        self._consumer.assign(places)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> _Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.5)
        self._ended.set()
        self._thread.join()
        self._consumer.close()

    def _listen(self) -> None:
        while not self._ended.is_set():
            messages = self._consumer.consume(500, 0.02)
            arrived = time.time()
            for message in messages:
                told = dict(message.headers() or [])["ce_time"]
                assert isinstance(told, bytes)
                self.delays.append(arrived - datetime.fromisoformat(told.decode()).timestamp())


# --- a table that grows ---

_AS_IT_GROWS = (
    Step("create", 64),
    Step("create + pay", 64),
    Step("get", 16),
    Step("first page", 16),
    Step("1,000th page", 16),
)


def run_growth(sizes: list[int], seconds: float, tell: Tell) -> Report:
    """The same workloads with more and more orders of others in the tables."""
    lines: list[Line] = []
    notes: list[str] = []
    total = len(sizes) * len(_AS_IT_GROWS)
    with started(lambda what: tell(what, 0, total)) as bench:
        tell(f"{BIG_USERS_ORDERS:,} orders of one user", 0, total)
        bench.warm(paged=True)
        bench.run(_make_patterns(bench.clients, bench.system))
        copied = 0
        for size in sorted(sizes):
            there = bench.run(_one(bench.system, "select count(*) from orders"))
            missing = max(0, size - there)
            bench.run(_fill(bench.system, copied + 1, copied + missing, tell))
            bench.run(forget_backlog(bench.system.postgres.dsn()))
            copied += missing
            in_use = bench.run(_one(bench.system, "select pg_database_size(current_database())"))
            notes.append(f"{there + missing:,} orders: {in_use / 2**20:,.0f} MB in PostgreSQL.")
            for step in _AS_IT_GROWS:
                tell(f"{step.workload}, {size:,} orders", len(lines), total)
                line = bench.measure(step, seconds)
                line.workload += f", {size:,} orders"
                lines.append(line)
    return Report(now(), machine(), seconds, lines, notes)


# --- one replica and two ---


def run_replicas(seconds: float, tell: Tell) -> Report:
    """The same workloads on one replica, then on two that share the database, half of the clients at each."""
    lines: list[Line] = []
    with started(lambda what: tell(what, 0, 1)) as bench:
        bench.warm(paged=False)
        sides = [bench.clients]
        try:
            for replicas in ("1 replica", "2 replicas"):
                for name, life in (("create", Clients.create), ("create + pay", Clients.create_and_pay)):
                    for clients in (16, 64, 128):
                        tell(f"{name}, {clients} clients, {replicas}", len(lines), 12)
                        turns = itertools.cycle(sides)
                        line = bench.measure(Step(name, clients), seconds, lambda: life(next(turns)))  # noqa: B023
                        line.workload += f", {replicas}"
                        lines.append(line)
                if len(sides) == 1:
                    sides.append(bench.another(bench.system.start_service()))
                    bench.run(sides[1].run(sides[1].whole_life, 32, times=200))
        finally:
            for other in sides[1:]:
                other.close()
    return Report(now(), machine(), seconds, lines)


# --- a long time ---


def run_soak(minutes: float, per_s: float, every_s: float, tell: Tell) -> Soak:
    """A mix of orders and reads at a steady pace; the memory of every part, once in so many seconds."""
    spans: list[Span] = []
    count = math.ceil(60 * minutes / every_s)
    with started(lambda what: tell(what, 0, count)) as bench:
        bench.warm(paged=False)
        for number in range(count):
            tell("soaking", number, count)
            taken = bench.run(bench.clients.run(bench.clients.mixed, _SOAKERS, seconds=every_s, per_s=per_s))
            minute = (number + 1) * every_s / 60
            spans.append(Span(minute, taken.lives / taken.seconds, bench.system.memory_mb()))
    return Soak(now(), machine(), spans)
