"""Where a replica sits: it stops at every boundary until it is told to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from order_service import faults

SEAT: ContextVar[Seat | None] = ContextVar("seat", default=None)
"""The seat of the running task; tasks that it starts inherit it."""

BLOCKED = ("sleep", "deadline")


class Timer(asyncio.TimerHandle):
    """A pause or a deadline that comes when it is told to."""

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Any,
        kind: str,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.kind = kind
        self.point = kind

    def go(self) -> None:
        """The time has come."""
        self._run()


class Step:
    """A task that has come to a boundary and waits."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def go(self) -> None:
        """Let it go on."""
        if not self.gate.done():
            self.gate.set_result(None)


class Seat:
    """One replica's tasks and timers, and the boundaries they have come to.

    ``free``: nothing stops here. ``dead``: nothing goes on from here any more, as in a process that was killed.
    ``meets`` is told every boundary, before and after, and may raise or kill.
    """

    def __init__(self, name: str, changed: asyncio.Event) -> None:
        self.name = name
        self.free = True
        self.dead = False
        self.parked: list[Step] = []
        self.timers: list[Timer] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.working: set[asyncio.Task[Any]] = set()
        self.meets: Callable[[Seat, str, str], None] | None = None
        self.faults: list[str] = []
        self._changed = changed

    def begin(self) -> None:
        """From now on every boundary stops whoever comes to it."""
        self.free = self.dead = False
        self.meets = None
        self.faults = []
        self.parked.clear()
        self.timers.clear()
        self.working.clear()

    def end(self) -> None:
        """Nothing stops here any more; what is left over stays where it is."""
        self.free = True
        self.tasks = {task for task in self.tasks if not task.done()}

    async def bury(self) -> None:
        """Give back what the tasks of a dead replica hold, as the end of a process does; they come to no boundary."""
        while self.tasks:
            for task in self.tasks:
                task.cancel()
            await asyncio.wait(set(self.tasks))
        self.dead = False

    def seats(self, task: asyncio.Task[Any]) -> None:
        """A task of this replica has begun."""
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self.working.discard(task)
        self._changed.set()

    def hold(self, timer: Timer) -> None:
        """A task waits for time to pass, or bounds what it does: the driver bounds its statements as well."""
        if timer.kind == "sleep":
            self._works_no_more()
        self.timers.append(timer)
        self._changed.set()

    def _works_no_more(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self.working.discard(task)

    async def passing(self, point: str, phase: str) -> None:
        """Stop before it, if anybody wants to know; note that it is over after it."""
        if self.dead:
            await asyncio.Event().wait()
        if self.free:
            return
        self._works_no_more()
        self._changed.set()
        if phase == faults.BEFORE:
            step = Step(point)
            self.parked.append(step)
            try:
                await step.gate
            finally:
                if step in self.parked:
                    self.parked.remove(step)
        if self.meets is not None:
            self.meets(self, point, phase)
        if self.dead:
            await asyncio.Event().wait()
        task = asyncio.current_task()
        if phase == faults.BEFORE and task is not None:
            self.working.add(task)

    def steps(self) -> list[Step | Timer]:
        """What could go on now, the longest waiting first; deadlines are not among it."""
        if self.dead:
            return []
        return [*self.parked, *(t for t in self.timers if t.kind == "sleep" and not t.cancelled())]

    def deadline(self) -> Timer | None:
        """The deadline that comes first, if anybody waits for one."""
        left = [t for t in self.timers if t.kind == "deadline" and not t.cancelled()]
        return None if self.dead or not left else min(left, key=lambda t: t.when())

    def go(self, step: Step | Timer) -> None:
        """One step on."""
        if isinstance(step, Step):
            self.parked.remove(step)
        else:
            self.timers.remove(step)
        step.go()

    @property
    def idle(self) -> bool:
        """Whether every task waits for something that has not come."""
        return not self.working and all(_waits(task) for task in self.tasks)


def _waits(task: asyncio.Task[Any]) -> bool:
    waits_for = getattr(task, "_fut_waiter", None)
    return task.done() or (waits_for is not None and not waits_for.done())


async def at_every_point(point: str, phase: str) -> None:
    """The hook: whoever has a seat stops there."""
    seat = SEAT.get()
    if seat is not None:
        await seat.passing(point, phase)
