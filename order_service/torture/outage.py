"""``order-service torture outage``: database, broker or a partner is away, and then it is back.

Two replicas live under a moderate load of orders that are placed, paid, read and cancelled. While a part is away
every answer is one that is documented, within the deadline; what was acknowledged is there afterwards; and soon after
the part is back every replica is healthy, an order is placed and paid by each, and every event of before is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import aiohttp
import asyncpg
import psutil  # type: ignore[import-untyped]
from msgspec import Struct, field, to_builtins

from order_service.relay import READER
from order_service.store.reader import lag_s
from order_service.torture.gate import Gate, Shut
from order_service.torture.passersby import UNHARMED, Passersby, basket
from order_service.torture.replicas import Replica
from order_service.torture.stack import Stack

WELL_WITHIN_S = 10.0
"""Seconds after a part is back."""

SLACK_S = 2.0
"""Seconds past its deadline by which a request is answered at the latest."""

_TICK_S = 0.5
"""What a client on a busy machine may see on top of that."""

_DEFAULTS = {"REQUEST_DEADLINE": "6", "PARTNER_TIMEOUT": "7", "LEASE": "9"}
_BEFORE_S = 2.0
_GIVE_UP_S = 45.0
_SETTLE_S = 60


class Line(Struct):
    """One part away once. ``answers`` counts "operation status" of what was asked while it was; times are seconds."""

    scenario: str
    away_s: float
    answers: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0
    healthy_after_s: float | None = None
    events_after_s: float | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether all was as promised."""
        return not self.faults


class Scenario(Struct, frozen=True):
    """A part, and how it goes; ``harmless``: nobody may notice anything but events or carts that are late."""

    name: str
    part: str
    how: str
    harmless: bool = False


SCENARIOS = (
    Scenario("database stopped", "database", "gone"),
    Scenario("database silent", "database", "silent"),
    Scenario("broker killed", "broker", "gone", harmless=True),
    Scenario("broker silent", "broker", "silent", harmless=True),
    *(
        Scenario(f"{part} {how}", part, how, harmless=part == "cart")
        for part in ("payment", "inventory", "cart")
        for how in ("gone", "silent", "refusing")
    ),
)


def run_outages(
    seconds: float = 60.0,
    *,
    scenarios: tuple[Scenario, ...] = SCENARIOS,
    settings: dict[str, str] | None = None,
    clock: bool = True,
    say: Callable[[str], None] = lambda _: None,
    told: Callable[[Line], None] = lambda _: None,
) -> list[Line]:
    """Bring up a system and take away one part of it after the other, for so many seconds each.

    ``clock=False``: how long it takes is told, and judged only where it never ends; for a machine with other work.
    """
    lines = []
    # Durable: a database that is stopped at once may lose nothing that it acknowledged.
    with Stack(settings=_DEFAULTS | (settings or {}), durable=True, say=say) as stack, ExitStack() as open_:
        to_port = int(stack.partners.rpartition(":")[2])
        gates = {name: open_.enter_context(Gate(to_port)) for name in ("payment", "inventory", "cart")}
        payment, inventory, cart = (gates[name].url for name in ("payment", "inventory", "cart"))
        replicas = [
            stack.replica(name, PAYMENT_URL=payment, INVENTORY_URL=inventory, CART_URL=cart) for name in ("one", "two")
        ]
        for replica in replicas:
            replica.wait_ready()
        for scenario in scenarios:
            say(f"{scenario.name}: away for {seconds:.0f} seconds.")
            line = _Outage(stack, gates, replicas, scenario, Line(scenario.name, seconds)).run(clock=clock)
            lines.append(line)
            told(line)
    return lines


def chosen(only: list[str]) -> tuple[Scenario, ...]:
    """The scenarios of these parts or names; all of them where none is named."""
    return tuple(s for s in SCENARIOS if not only or {s.part, s.name} & {*only})


class _Outage:
    """One scenario: load, away, back, verified."""

    def __init__(
        self, stack: Stack, gates: dict[str, Gate], replicas: list[Replica], scenario: Scenario, line: Line
    ) -> None:
        self._stack = stack
        self._gates = gates
        self._replicas = replicas
        self._scenario = scenario
        self._line = line

    def run(self, *, clock: bool) -> Line:
        load = Passersby([replica.url for replica in self._replicas])
        with load.running():
            time.sleep(_BEFORE_S)
            self._go()
            try:
                load.away = True
                time.sleep(self._line.away_s)
            finally:
                load.away = False
                self._come_back()
            back_at = time.monotonic()
            self._line.healthy_after_s = asyncio.run(_until_healthy([r.url for r in self._replicas], back_at))
            self._line.events_after_s = asyncio.run(_until_sent(self._stack.database, back_at))
        self._judge(load, clock=clock)
        if clock:
            self._judge_times()
        self._verify(load)
        return self._line

    # --- away and back ---

    def _go(self) -> None:
        match self._scenario.part, self._scenario.how:
            case "database", "gone":
                self._stack.postgres.stop("immediate")
            case "database", _:
                _signal_all(self._stack.postgres.pid, signal.SIGSTOP)
            case "broker", "gone":
                self._stack.kafka.kill()
            case "broker", _:
                _signal_all(self._stack.kafka.pid, signal.SIGSTOP)
            case part, how:
                self._gates[part].shut(_SHUT[how])

    def _come_back(self) -> None:
        match self._scenario.part, self._scenario.how:
            case "database", "gone":
                self._stack.postgres.start()
            case "database", _:
                _signal_all(self._stack.postgres.pid, signal.SIGCONT)
            case "broker", "gone":
                self._stack.kafka.start()
            case "broker", _:
                _signal_all(self._stack.kafka.pid, signal.SIGCONT)
            case part, _:
                self._gates[part].open()

    # --- what came of it ---

    def _judge(self, load: Passersby, *, clock: bool) -> None:
        line = self._line
        line.answers = dict(sorted(load.while_away.items()))
        line.slowest_s = round(load.slowest_s, 2)
        line.faults += sorted(load.faults)
        if self._scenario.harmless and clock:
            line.faults += [
                f"{n} times {what}, although nobody needs the {self._scenario.part}"
                for what, n in load.while_away.items()
                if what.partition(" ")[2] not in UNHARMED
            ]
        if line.healthy_after_s is None:
            line.faults.append("a replica does not become healthy again")
        if line.events_after_s is None:
            line.faults.append("events of before are not sent")

    def _judge_times(self) -> None:
        line = self._line
        if line.slowest_s > float(self._stack.settings["REQUEST_DEADLINE"]) + SLACK_S + _TICK_S:
            line.faults.append(f"an answer took {line.slowest_s:.1f} seconds")
        for what, took_s in (("healthy", line.healthy_after_s), ("all events sent", line.events_after_s)):
            if took_s is not None and took_s > WELL_WITHIN_S:
                line.faults.append(f"{what} after {took_s:.1f} seconds, and not within {WELL_WITHIN_S:.0f}")

    def _verify(self, load: Passersby) -> None:
        lost = asyncio.run(_lost(self._stack.database, load.acknowledged))
        if lost:
            self._line.faults.append(f"{len(lost)} acknowledged versions are not there: {lost[:5]}")
        argv = [sys.executable, "-m", "order_service", "verify", "--settle", str(_SETTLE_S)]
        done = subprocess.run(argv, env=self._stack.endpoints(), capture_output=True, text=True, timeout=600)  # noqa: S603
        if done.returncode:
            self._line.faults.append(f"verify: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-500:]}")


_SHUT: dict[str, Shut] = {"gone": "gone", "silent": "silent", "refusing": "refusing"}


def _signal_all(pid: int, number: signal.Signals) -> None:
    """The process and all that it has started."""
    parent = psutil.Process(pid)
    for process in (parent, *parent.children(recursive=True)):
        os.kill(process.pid, number)


async def _lost(database: str, acknowledged: dict[str, int]) -> list[str]:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("select id::text as id, version from orders")
    finally:
        await connection.close()
    found = {row["id"]: row["version"] for row in rows}
    return [order_id for order_id, version in acknowledged.items() if found.get(order_id, 0) < version]


async def _until_healthy(urls: list[str], began: float) -> float | None:
    """Seconds until every replica says that it is healthy and an order is placed and paid by it; None: never."""
    waiting = set(urls)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while time.monotonic() - began < _GIVE_UP_S:
            for url in sorted(waiting):
                try:
                    if await _is_healthy(session, url):
                        waiting.discard(url)
                except (OSError, aiohttp.ClientError, TimeoutError):
                    pass
            if not waiting:
                return round(time.monotonic() - began, 2)
            await asyncio.sleep(0.1)
    return None


async def _until_sent(database: str, back_at: float) -> float | None:
    """Seconds until no event waits that was there when the part came back; None: never."""
    async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool:
        while (since_s := time.monotonic() - back_at) < _GIVE_UP_S:
            oldest_s = await lag_s(pool, READER)
            if oldest_s is None or oldest_s < since_s:
                return round(since_s, 2)
            await asyncio.sleep(0.1)
    return None


async def _is_healthy(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(f"{url}/health") as reply:
        if (await reply.json())["status"] != "healthy":
            return False
    async with session.post(f"{url}/api/v1/orders", json=basket("probe")) as reply:
        if reply.status != 201:
            return False
        order = await reply.json()
    async with session.post(f"{url}/api/v1/orders/{order['id']}/payment", json={}) as reply:
        return reply.status == 200


def as_json(lines: list[Line]) -> str:
    """The result for programs."""
    return json.dumps({"held": all(line.held for line in lines), "scenarios": to_builtins(lines)}, indent=2)


def told_line(line: Line) -> str:
    """The result of one scenario for people."""
    answers = ", ".join(f"{what} x {count}" for what, count in line.answers.items())
    healthy, sent = ("never" if s is None else f"after {s:.1f} s" for s in (line.healthy_after_s, line.events_after_s))
    faults = "".join(f"\n  {fault}" for fault in line.faults)
    word = "held" if line.held else "NOT HELD"
    return (
        f"{word:8} {line.scenario:20} healthy {healthy}, events sent {sent}, "
        f"slowest {line.slowest_s:.1f} s: {answers}{faults}"
    )
