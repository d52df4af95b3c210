"""Rolling restarts under traffic: the replicas behind one port are replaced again and again, and no request fails."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import urllib.request
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]
from msgspec import Struct, to_builtins

from order_service.embedded import LauncherError, ports
from order_service.embedded.child import Child
from order_service.torture.proof import verify
from order_service.torture.rescue import DEFAULTS
from order_service.torture.stack import Stack
from order_service.torture.traffic import Failure, Traffic

REPLICAS = 2
REPLACED_WITHIN_S = 120.0
STARTED_WITHIN_S = 60.0
_LOOK_S = 0.05
_BREATH_S = 0.5
_SHOWN = 20


class Rolled(Struct, frozen=True):
    """What came of it; durations in seconds and milliseconds as named."""

    restarts: int
    replicas: int
    replaced: int
    requests: int
    per_s: float
    answers: dict[str, int]
    failures: list[Failure]
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    longest_restart_s: float
    stopped_after_s: float
    exit_code: int | None
    broken: list[str]
    """What ``verify`` found afterwards."""

    @property
    def survived(self) -> bool:
        """Whether all replicas were replaced each time, no request failed, and nothing is broken."""
        replaced = self.replaced == self.restarts * self.replicas
        return replaced and self.requests > 0 and not self.failures and not self.broken and self.exit_code == 0


def run_rolling(seed: int, restarts: int, rate: float, say: Callable[[str], None]) -> Rolled:
    """Replace two replicas so many times at this many requests a second, and verify; raises ``LauncherError``."""
    with Stack(settings=DEFAULTS, say=say) as stack:
        came = asyncio.run(_roll(stack, seed, restarts, rate, say))
        stack.keep = not came.survived
    return came


async def _roll(stack: Stack, seed: int, restarts: int, rate: float, say: Callable[[str], None]) -> Rolled:
    replicas = REPLICAS
    port = ports.free_port()
    env = stack.endpoints() | {"ORDER_SERVICE_PORT": str(port), "ORDER_SERVICE_WORKERS": str(replicas)}
    command = (sys.executable, "-m", "order_service", "serve")
    service = Child(command, log=stack.log("service"), cwd=stack.folder, env=env)
    try:
        await _until(lambda: _ready(f"http://127.0.0.1:{port}/readyz"), service, STARTED_WITHIN_S)
        await _until(lambda: len(_replicas(service)) == replicas, service, STARTED_WITHIN_S)
        traffic = Traffic(f"http://127.0.0.1:{port}", rate=rate, seed=seed)
        sending, first = asyncio.create_task(traffic.run()), time.monotonic()
        longest_s, replaced = 0.0, 0
        for number in range(restarts):
            await asyncio.sleep(_BREATH_S)
            before, began = _replicas(service), time.monotonic()
            service.send(signal.SIGHUP)
            await _until(lambda old=before: _all_new(service, old), service, REPLACED_WITHIN_S)  # type: ignore[misc]
            replaced += len(before - _replicas(service))
            longest_s = max(longest_s, time.monotonic() - began)
            say(f"{number + 1} of {restarts} restarts, {traffic.requests} requests, {len(traffic.failures)} failed")
        await asyncio.sleep(_BREATH_S)
        traffic.stop()
        await sending
        lasted_s = time.monotonic() - first
        proven = await asyncio.to_thread(verify, stack)
        began = time.monotonic()
        service.stop([(signal.SIGTERM, REPLACED_WITHIN_S)])
        stopped_after_s = time.monotonic() - began
    finally:
        service.kill()
    took = sorted(traffic.took_ms) or [0.0]
    return Rolled(
        restarts=restarts,
        replicas=replicas,
        replaced=replaced,
        requests=traffic.requests,
        per_s=round(traffic.requests / lasted_s, 1),
        answers=dict(sorted(traffic.answers.items())),
        failures=traffic.failures,
        p50_ms=round(took[len(took) // 2], 1),
        p99_ms=round(took[int(len(took) * 0.99)], 1),
        slowest_ms=round(took[-1], 1),
        longest_restart_s=round(longest_s, 2),
        stopped_after_s=round(stopped_after_s, 2),
        exit_code=service.exit_code,
        broken=proven.failures,
    )


def as_json(rolled: Rolled) -> str:
    """The result as one JSON document."""
    return json.dumps({"survived": rolled.survived} | to_builtins(rolled), indent=1)


def told(rolled: Rolled) -> str:
    """The result in sentences."""
    failures = [f"{failure.step} after {failure.at_s:.1f} s: {failure.told}" for failure in rolled.failures]
    lines = [
        f"{rolled.restarts} restarts of {rolled.replicas} replicas, {rolled.replaced} processes replaced.",
        f"{rolled.requests} requests, {rolled.per_s} a second, {len(rolled.failures)} failed; "
        f"p50 {rolled.p50_ms} ms, p99 {rolled.p99_ms} ms, slowest {rolled.slowest_ms} ms.",
        f"The longest restart took {rolled.longest_restart_s:.1f} s, the end of the service "
        f"{rolled.stopped_after_s:.1f} s (exit code {rolled.exit_code}).",
        *failures[:_SHOWN],
        *rolled.broken,
        "Survived." if rolled.survived else "NOT survived.",
    ]
    return "\n".join(lines)


async def _until(holds: Callable[[], bool], service: Child, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(holds):
        if service.exit_code is not None:
            raise LauncherError(f"The service ended; its last lines were:\n{service.tail()}")
        if time.monotonic() > deadline:
            raise LauncherError(f"The service took longer than {within_s:.0f} seconds; see {service.log}.")
        await asyncio.sleep(_LOOK_S)


def _all_new(service: Child, old: set[int]) -> bool:
    now = _replicas(service)
    return len(now) == len(old) and not now & old


def _replicas(service: Child) -> set[int]:
    return {child.pid for child in psutil.Process(service.pid).children() if _lives(child)}


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False
