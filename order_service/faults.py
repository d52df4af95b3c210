"""Named points at every I/O boundary, so that a proof can stop, kill or cut the service at each of them.

Every statement, every exchange with a partner, every call into the broker's client and every request at the front door
passes a point before and after. Without a hook a point does nothing. ``ORDER_SERVICE_FAULTS`` has a plan,
``point:phase:nth=action`` and more of them behind ``;``:

| action | |
|---|---|
| ``kill`` | SIGKILL to this process |
| ``stop`` | SIGSTOP to this process |
| ``cut`` | as if the connection was lost there: before, nothing was sent; after, the answer is lost |
| ``delay:SECONDS`` | wait |

``ORDER_SERVICE_FAULTS_SEEN`` names a file to which ``point:phase`` is appended when it is passed for the first time,
and ``point:phase=action`` when what is planned there happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from msgspec import Struct

BEFORE = "before"
AFTER = "after"

T = TypeVar("T")
Hook: TypeAlias = Callable[[str, str], Awaitable[None]]

hook: Hook | None = None
"""What happens at a point, told its name and phase; what it raises is raised there."""


class BadPlan(Exception):
    """The plan cannot be read; the message is one sentence for people."""


async def around(point: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work between the two phases of a point."""
    if hook is None:
        return await work()
    await hook(point, BEFORE)
    done = await work()
    if hook is not None:
        await hook(point, AFTER)
    return done


async def passing(point: str, phase: str) -> None:
    """Pass one phase of a point."""
    if hook is not None:
        await hook(point, phase)


class Fault(Struct, frozen=True):
    """What is to happen at the ``nth`` passing of a point's phase, the first being 1."""

    point: str
    phase: str
    nth: int
    action: str
    seconds: float = 0.0


def read_plan(text: str) -> list[Fault]:
    """The faults of a plan; raises ``BadPlan``."""
    return [_fault(part.strip()) for part in text.split(";") if part.strip()]


def _fault(part: str) -> Fault:
    where, _, action = part.partition("=")
    place = where.rsplit(":", 2)
    action, _, seconds = action.partition(":")
    try:
        point, phase, nth = place
        fault = Fault(point, phase, int(nth), action, float(seconds or 0))
    except ValueError:
        raise BadPlan(f"{part}: a fault is written point:phase:nth=action.") from None
    if fault.phase not in (BEFORE, AFTER) or fault.action not in _ACTIONS or fault.nth < 1:
        raise BadPlan(f"{part}: the phase is before or after, the action kill, stop, cut or delay:SECONDS.")
    return fault


class Plan:
    """A hook that follows a plan, and writes down which points were passed."""

    def __init__(self, faults: list[Fault], seen: Path | None = None) -> None:
        self._faults = {(fault.point, fault.phase, fault.nth): fault for fault in faults}
        self._seen = seen
        self._passed: Counter[tuple[str, str]] = Counter()

    async def __call__(self, point: str, phase: str) -> None:
        """Count the passing, and do what is planned for it."""
        place = (point, phase)
        self._passed[place] += 1
        if self._passed[place] == 1 and self._seen is not None:
            with self._seen.open("a") as file:
                file.write(f"{point}:{phase}\n")
        fault = self._faults.get((point, phase, self._passed[place]))
        if fault is not None:
            if self._seen is not None:
                with self._seen.open("a") as file:
                    file.write(f"{point}:{phase}={fault.action}\n")
            await _ACTIONS[fault.action](fault)


async def _kill(_: Fault) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _stop(_: Fault) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


async def _cut(fault: Fault) -> None:
    raise ConnectionResetError(f"cut {fault.phase} {fault.point}")


async def _delay(fault: Fault) -> None:
    await asyncio.sleep(fault.seconds)


_ACTIONS: dict[str, Callable[[Fault], Awaitable[None]]] = {
    "kill": _kill,
    "stop": _stop,
    "cut": _cut,
    "delay": _delay,
}


def arm(plan: str = "", seen: str = "") -> None:
    """From now on this process follows the plan; raises ``BadPlan``. Neither a plan nor a file: no hook."""
    global hook
    faults = read_plan(plan)
    hook = Plan(faults, Path(seen) if seen else None) if faults or seen else None


def arm_from_environment() -> None:
    """Follow the plan that the environment names, if there is one; raises ``BadPlan``."""
    arm(os.environ.get("ORDER_SERVICE_FAULTS", ""), os.environ.get("ORDER_SERVICE_FAULTS_SEEN", ""))
