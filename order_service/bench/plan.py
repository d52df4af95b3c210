"""What is measured, in which order, and what comes out."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import uvloop
from msgspec import Struct

from order_service.bench.floor import prepare_floor, run_floor
from order_service.bench.load import BIG_USER, Clients, Taken
from order_service.bench.system import System

BIG_USERS_ORDERS = 10_000
_MOST_CLIENTS = 256
_SLOW_PARTNERS_S = 0.02
Life = Callable[[], Awaitable[float]]
Tell = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and where it ends."""


class Step(Struct, frozen=True):
    """One line of the table: a workload at so many clients."""

    workload: str
    clients: int
    partner_s: float = 0.0


class Line(Struct, rename="camel"):
    """What a step took. Microseconds are CPU of one order (or read), the relay's sending of its events included."""

    workload: str
    clients: int
    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    service_us: float
    postgres_us: float
    broker_us: float
    load_us: float
    """What the load generator and the partners' double took beside them."""


class Report(Struct, rename="camel"):
    """One run."""

    at: str
    machine: str
    seconds_a_step: float
    lines: list[Line]
    notes: list[str] = []


def steps(*, quick: bool) -> list[Step]:
    """The workloads at their numbers of clients."""
    if quick:
        chosen = {
            "create": (1, 64),
            "create + pay": (64,),
            "whole life": (16,),
            "get": (16,),
            "first page": (16,),
            "1,000th page": (16,),
            "mix, 60 % reads": (64,),
            "floor: pgbench": (16, 64),
        }
    else:
        chosen = {
            "create": (1, 4, 16, 64, 256),
            "create + pay": (1, 16, 64),
            "whole life": (1, 16, 64),
            "get": (1, 16, 64),
            "first page": (1, 16),
            "1,000th page": (1, 16),
            "mix, 60 % reads": (16, 64, 256),
            "floor: pgbench": (1, 4, 16, 64),
        }
    slow = [Step("create, partners take 20 ms", clients, _SLOW_PARTNERS_S) for clients in ((64,) if quick else (1, 64))]
    return [*(Step(name, clients) for name, many in chosen.items() for clients in many), *slow]


def run_bench(chosen: list[Step], seconds: float, tell: Tell) -> Report:
    """Start everything, do every step, end everything; ``tell`` is told what is done, and how far it is."""
    total = len(chosen) + 2
    lines: list[Line] = []
    with started(lambda what: tell(what, 0, total)) as bench:
        paged = any("page" in step.workload for step in chosen)
        tell("10,000 orders of one user" if paged else "the first orders", 1, total)
        prepare_floor(bench.system)
        bench.warm(paged=paged)
        for number, step in enumerate(chosen, 2):
            tell(f"{step.workload}, {step.clients} client{'s' * (step.clients > 1)}", number, total)
            lines.append(bench.measure(step, seconds))
        tell("done", total, total)
    return Report(now(), machine(), seconds, lines)


@contextmanager
def started(say: Callable[[str], None]) -> Iterator[Bench]:
    """A system with its clients, until the block ends."""
    with System(say) as system, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bench = Bench(system, runner)
        try:
            yield bench
        finally:
            bench.close()


class Bench:
    """A running system and its clients."""

    def __init__(self, system: System, runner: asyncio.Runner) -> None:
        self.system = system
        self.run = runner.run
        self.clients = self.run(self._clients_of(system.url))

    def close(self) -> None:
        """Hang up."""
        self.clients.close()

    def warm(self, *, paged: bool) -> None:
        """The first orders, 10,000 of one user among them if they are to be paged."""
        self.run(self._warm(paged))

    def measure(self, step: Step, seconds: float, life: Life | None = None) -> Line:
        """Do a step for so many seconds, or something else under its name."""
        if step.workload.startswith("floor"):
            floor = run_floor(self.system, step.clients, seconds)
            times = (floor.mean_ms, 0.0, 0.0)
            return Line(*_named(step), floor.orders_per_s, *times, 0.0, floor.postgres_us, 0.0, 0.0)
        return self.run(self._measured(step, seconds, life))

    def another(self, url: str) -> Clients:
        """Clients of another replica."""
        return self.run(self._clients_of(url))

    async def _clients_of(self, url: str) -> Clients:
        return Clients(url, self.system.key, most=_MOST_CLIENTS)

    async def _warm(self, paged: bool) -> None:
        clients = self.clients
        if paged:
            await clients.run(lambda: clients.create(BIG_USER), 64, times=BIG_USERS_ORDERS)
            await clients.find_deep_cursor(BIG_USERS_ORDERS)
        await clients.run(clients.whole_life, 32, times=200)
        await self.system.drained()

    async def _measured(self, step: Step, seconds: float, life: Life | None) -> Line:
        system = self.system
        system.partners_take(step.partner_s)
        name = step.workload.partition(",")[0] if step.partner_s else step.workload
        work = life or dict(_workloads(self.clients))[name]
        before, ours = system.cpu_s(), time.process_time()
        taken = await self.clients.run(work, step.clients, seconds=seconds)
        ours = time.process_time() - ours
        await system.drained()
        after = system.cpu_s()
        system.partners_take(0.0)
        used = {part: after[part] - before[part] for part in before}
        return _line(step, taken, used, used["partners"] + ours)


def _named(step: Step) -> tuple[str, int]:
    return step.workload, step.clients


def _line(step: Step, taken: Taken, used: dict[str, float], load_s: float) -> Line:
    cpu = (used["service"], used["postgres"], used["broker"], load_s)
    return Line(
        *_named(step),
        taken.lives / taken.seconds,
        *(taken.percentile_ms(part) for part in (0.50, 0.95, 0.99)),
        *(1e6 * seconds / taken.lives for seconds in cpu),
    )


def _workloads(clients: Clients) -> Iterator[tuple[str, Life]]:
    yield "create", clients.create
    yield "create + pay", clients.create_and_pay
    yield "whole life", clients.whole_life
    yield "get", clients.get
    yield "first page", clients.first_page
    yield "1,000th page", clients.thousandth_page
    yield "mix, 60 % reads", clients.mixed


def now() -> str:
    """The time of a report."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> str:
    """What a report was measured on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
