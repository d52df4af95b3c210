"""``order-service torture overload``: what is left of the service when twice as much comes as it can do.

The peak is found in a closed loop. Then orders begin at twice the peak's rate, and then five times the clients come.
It holds when the answers of orders that get through are at least 80 % of the peak's, when paying and cancelling
succeed more often than placing, when nothing that was written was answered with 503, and when latencies are normal
again within 10 seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import asyncpg
from msgspec import Struct, to_builtins

from order_service.embedded import LauncherError
from order_service.embedded.child import Child
from order_service.torture.load import Load, Tally
from order_service.torture.stack import Stack

GOODPUT_AT_LEAST = 0.8
NORMAL_WITHIN_S = 10.0
QUIET_RATE = 0.5
"""Of the peak: what the time before and after overload is measured at."""

CLIENTS = (24, 48, 96)
MORE_CLIENTS = 5
DEFAULT_DEADLINES = {"REQUEST_DEADLINE": "6", "PARTNER_TIMEOUT": "7", "LEASE": "9"}
SETTLED_P95_TIMES = 2.0
SETTLED_P95_SLACK_S = 0.05


class Line(Struct, frozen=True):
    """One phase: rates are per second, latencies milliseconds, shares parts of 1."""

    phase: str
    lives_per_s: float
    goodput: float
    of_peak: float
    create: float
    pay_and_cancel: float
    get: float
    p50_ms: float
    p95_ms: float
    normal_after_s: float | None
    failed: dict[str, int]


class Report(Struct, frozen=True):
    """All phases, and what did not hold; nothing if all did."""

    clients: int
    lines: list[Line]
    orders: int
    faults: list[str]

    @property
    def held(self) -> bool:
        """Whether the acceptance holds."""
        return not self.faults


def run_overload(seconds: float = 60.0, *, say: Callable[[str], None] = lambda _: None) -> Report:
    """Bring up a system, overload it twice for so many seconds, and measure."""
    import uvloop

    with Stack(settings=DEFAULT_DEADLINES, durable=True, say=say) as stack, ExitStack() as open_:
        partners = _cheap_partners(open_, stack)
        replica = stack.replica("one", PAYMENT_URL=partners, INVENTORY_URL=partners, CART_URL=partners)
        replica.wait_ready()
        report = uvloop.run(_phases(replica.url, stack.database, seconds, say))
        mismatches = _control(partners)["mismatches"]
        if mismatches:
            report.faults.append(f"{mismatches} keys came to a partner with other bytes than before")
        replica.stop()
        return report


def _cheap_partners(open_: ExitStack, stack: Stack) -> str:
    """Partners that leave the machine to the service, which is what is to be overloaded; their address."""
    command = (sys.executable, "-m", "order_service.bench.partners", "--port", "0", "--die-with-parent")
    child = Child(command, log=stack.log("partners"), cwd=stack.folder, env=os.environ)
    open_.callback(child.kill)
    deadline = time.monotonic() + 20
    while not (told := child.output()).endswith("\n"):
        if child.exit_code is not None or time.monotonic() > deadline:
            raise LauncherError(f"The partners did not start; the last lines were:\n{child.tail()}")
        time.sleep(0.02)
    return str(json.loads(told.splitlines()[0])["url"])


def _control(partners: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{partners}/control", timeout=10) as answer:  # noqa: S310 - our own loopback address
        found: dict[str, Any] = json.load(answer)
        return found


async def _phases(url: str, database: str, seconds: float, say: Callable[[str], None]) -> Report:
    load = Load(url)
    try:
        return await _measured(load, database, seconds, say)
    finally:
        load.close()


async def _measured(load: Load, database: str, seconds: float, say: Callable[[str], None]) -> Report:
    say("Warming up.")
    everything = [await load.closed(CLIENTS[0], min(5.0, seconds))]
    peak, clients = None, 0
    for count in CLIENTS:
        say(f"Looking for the peak with {count} clients.")
        tally = await load.closed(count, seconds / 3)
        everything.append(tally)
        if peak is None or tally.goodput > peak.goodput:
            peak, clients = tally, count
    assert peak is not None
    rate = peak.lives / peak.seconds
    say(f"The peak is {peak.goodput:.0f} answers, {rate:.0f} orders a second, with {clients} clients.")
    quiet = await load.open(rate * QUIET_RATE, max(5.0, seconds / 6))
    lines = [_line("peak", peak, peak, None), _line("half the peak", quiet, peak, None)]
    everything.append(quiet)
    faults: list[str] = []
    overloads: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("twice the peak's rate", lambda: load.open(2 * rate, seconds)),
        (f"{MORE_CLIENTS} times the clients", lambda: load.closed(MORE_CLIENTS * clients, seconds)),
    )
    for name, phase in overloads:
        say(f"Overload: {name}, {seconds:.0f} seconds.")
        tally = await phase()
        after = await load.open(rate * QUIET_RATE, NORMAL_WITHIN_S + 3)
        everything += [tally, after]
        normal_after_s = _normal_after_s(after, quiet)
        lines += [_line(name, tally, peak, normal_after_s), _line("half the peak, after", after, peak, None)]
        faults += _faults(name, tally, peak, normal_after_s)
    written, orders = await _written_although_refused(database, everything)
    return Report(clients, lines, orders, faults + written)


def _line(phase: str, tally: Tally, peak: Tally, normal_after_s: float | None) -> Line:
    return Line(
        phase,
        round(tally.lives / tally.seconds, 1),
        round(tally.goodput, 1),
        round(tally.goodput / peak.goodput, 3),
        round(tally.share("create"), 4),
        round(tally.share("pay", "cancel"), 4),
        round(tally.share("get"), 4),
        round(tally.percentile(0.5) * 1000, 1),
        round(tally.percentile(0.95) * 1000, 1),
        normal_after_s,
        dict(tally.failed),
    )


def _normal_after_s(after: Tally, quiet: Tally) -> float | None:
    """From which second on latencies are as before and nobody is turned away; None if that never came."""
    bound_s = quiet.percentile(0.95) * SETTLED_P95_TIMES + SETTLED_P95_SLACK_S
    normal: float | None = None
    for second in range(int(after.seconds)):
        refused = any(second <= at < second + 1 for at in after.refused_at_s)
        if refused or after.percentile(0.95, second, second + 1) > bound_s:
            normal = None
        elif normal is None:
            normal = float(second)
    return normal


def _faults(name: str, tally: Tally, peak: Tally, normal_after_s: float | None) -> list[str]:
    faults = []
    if tally.goodput < GOODPUT_AT_LEAST * peak.goodput:
        faults.append(f"{name}: goodput {tally.goodput:.0f}/s is below 80 % of the peak, {peak.goodput:.0f}/s")
    if tally.turned_away and not tally.share("pay", "cancel") > tally.share("create"):
        faults.append(f"{name}: paying and cancelling did not succeed more often than placing")
    if normal_after_s is None or normal_after_s > NORMAL_WITHIN_S:
        faults.append(f"{name}: not normal within {NORMAL_WITHIN_S:.0f} seconds after")
    if tally.failed:
        faults.append(f"{name}: answers that were neither a success nor a refusal: {dict(tally.failed)}")
    return faults


async def _written_although_refused(database: str, tallies: list[Tally]) -> tuple[list[str], int]:
    """Orders and attempts that exist although their client was turned away; how many orders there are."""
    users = [user for tally in tallies for user in tally.users_refused]
    unpaid = [order for tally in tallies for order in tally.orders_unpaid]
    connection = await asyncpg.connect(database)
    try:
        orders: int = await connection.fetchval("select count(*) from orders")
        placed: int = await connection.fetchval("select count(*) from orders where user_id = any($1::text[])", users)
        paid: int = await connection.fetchval(
            "select count(*) from payment_attempts where order_id = any($1::uuid[])", unpaid
        )
    finally:
        await connection.close()
    faults = []
    if placed:
        faults.append(f"{placed} orders were written although their clients were turned away")
    if paid:
        faults.append(f"{paid} payments were begun although their clients were turned away")
    return faults, orders


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps({"held": report.held, **to_builtins(report)}, indent=2)


def table(report: Report) -> str:
    """The report for people."""
    head = (
        "",
        "orders/s",
        "answers/s",
        "of peak",
        "placed",
        "paid, cancelled",
        "read",
        "p50 ms",
        "p95 ms",
        "normal after",
    )
    rows = [head, *(_row(line) for line in report.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(widths[0]) if not n else cell.rjust(widths[n]) for n, cell in enumerate(r)) for r in rows
    ]
    told = report.faults or ["It held."]
    return "\n".join([*lines, "", f"{report.orders} orders, peak with {report.clients} clients.", *told])


def _row(line: Line) -> tuple[str, ...]:
    after = "" if line.normal_after_s is None else f"{line.normal_after_s:.0f} s"
    shares = (f"{share:.1%}" for share in (line.of_peak, line.create, line.pay_and_cancel, line.get))
    return (
        line.phase,
        f"{line.lives_per_s:.0f}",
        f"{line.goodput:.0f}",
        *shares,
        f"{line.p50_ms:.0f}",
        f"{line.p95_ms:.0f}",
        after,
    )
