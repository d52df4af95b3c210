"""What is measured, in which order, and what comes out."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import uvloop
from msgspec import Struct

from order_service.bench.floor import prepare_floor, run_floor
from order_service.bench.load import BIG_USER, Clients, Taken
from order_service.bench.system import System

BIG_USERS_ORDERS = 10_000
_MOST_CLIENTS = 256
_SLOW_PARTNERS_S = 0.02
_Life = Callable[[], Awaitable[float]]


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


def run_bench(chosen: list[Step], seconds: float, tell: Callable[[str, int, int], None]) -> Report:
    """Start everything, do every step, end everything; ``tell`` is told what is done, and how far it is."""
    total = len(chosen) + 2
    lines: list[Line] = []
    with (
        System(lambda what: tell(what, 0, total)) as system,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
    ):
        paged = any("page" in step.workload for step in chosen)
        tell("10,000 orders of one user" if paged else "the first orders", 1, total)
        prepare_floor(system)
        clients = loop.run(_made(system))
        try:
            loop.run(_warm(system, clients, paged=paged))
            for number, step in enumerate(chosen, 2):
                tell(f"{step.workload}, {step.clients} client{'s' * (step.clients > 1)}", number, total)
                if step.workload.startswith("floor"):
                    floor = run_floor(system, step.clients, seconds)
                    times = (floor.mean_ms, 0.0, 0.0)
                    lines.append(Line(*_named(step), floor.orders_per_s, *times, 0.0, floor.postgres_us, 0.0, 0.0))
                else:
                    lines.append(loop.run(_measured(system, clients, step, seconds)))
        finally:
            clients.close()
        tell("done", total, total)
    return Report(datetime.now(UTC).isoformat(timespec="seconds"), _machine(), seconds, lines)


def _named(step: Step) -> tuple[str, int]:
    return step.workload, step.clients


async def _made(system: System) -> Clients:
    return Clients(system.url, system.key, most=_MOST_CLIENTS)


async def _warm(system: System, clients: Clients, *, paged: bool) -> None:
    if paged:
        await clients.run(lambda: clients.create(BIG_USER), 64, times=BIG_USERS_ORDERS)
        await clients.find_deep_cursor(BIG_USERS_ORDERS)
    await clients.run(clients.whole_life, 32, times=200)
    await system.drained()


async def _measured(system: System, clients: Clients, step: Step, seconds: float) -> Line:
    system.partners_take(step.partner_s)
    work = dict(_workloads(clients))[step.workload.partition(",")[0] if step.partner_s else step.workload]
    before, ours = system.cpu_s(), time.process_time()
    taken = await clients.run(work, step.clients, seconds=seconds)
    ours = time.process_time() - ours
    await system.drained()
    after = system.cpu_s()
    system.partners_take(0.0)
    used = {part: after[part] - before[part] for part in before}
    return _line(step, taken, used, used["partners"] + ours)


def _line(step: Step, taken: Taken, used: dict[str, float], load_s: float) -> Line:
    cpu = (used["service"], used["postgres"], used["broker"], load_s)
    return Line(
        *_named(step),
        taken.lives / taken.seconds,
        *(taken.percentile_ms(part) for part in (0.50, 0.95, 0.99)),
        *(1e6 * seconds / taken.lives for seconds in cpu),
    )


def _workloads(clients: Clients) -> Iterator[tuple[str, _Life]]:
    yield "create", clients.create
    yield "create + pay", clients.create_and_pay
    yield "whole life", clients.whole_life
    yield "get", clients.get
    yield "first page", clients.first_page
    yield "1,000th page", clients.thousandth_page
    yield "mix, 60 % reads", clients.mixed


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
