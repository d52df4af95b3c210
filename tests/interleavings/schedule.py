"""One run: two actors on one order, and who goes on when both could.

A schedule is a string, one letter a step: ``a`` or ``b`` for whose oldest step is made, with a number behind it where
it is not the oldest (``b2``: the second after it). Beyond its end whoever went last goes on as long as he can.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from order_service.requests import Reply
from tests.interleavings.actors import Actor, Cue
from tests.interleavings.beginnings import Began
from tests.interleavings.seat import Seat, Step, Timer
from tests.interleavings.stage import Stage

PATIENCE_S = 20.0
"""A run that takes longer hangs."""

QUIET_TURNS = 4
"""Turns of the loop after which nothing is on its way any more from one task to another of the same replica."""


class Case(NamedTuple):
    """Two actors on one beginning; ``twins``: the second repeats the first's Idempotency-Key."""

    beginning: str
    first: Actor
    second: Actor
    twins: bool = False

    def __str__(self) -> str:
        return f"{self.beginning}: {self.first.name} | {self.second.name}{' =' if self.twins else ''}"


class Choice(NamedTuple):
    """Who could go on (the first would by itself), who did, and the preemptions each of them costs."""

    options: tuple[str, ...]
    costs: tuple[int, ...]
    taken: int


@dataclass
class Run:
    """What a schedule came to."""

    case: Case
    order: Began
    schedule: str = ""
    choices: list[Choice] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    replies: tuple[Reply | None, ...] = ()
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.case} / {self.schedule}"


class Stuck(AssertionError):
    """Nobody can go on, and not everybody is done."""


def read(schedule: str) -> list[str]:
    """The steps of a schedule."""
    steps = re.findall(r"[ab][0-9]*", schedule)
    assert "".join(steps) == schedule, f"{schedule}: a schedule is made of a and b, with a number behind them or none"
    return steps


class _Scheduler:
    def __init__(self, stage: Stage, run: Run, forced: list[str]) -> None:
        self._stage = stage
        self._run = run
        self._forced = forced
        self._last: Seat | None = None

    async def drive(self) -> None:
        """Step by step until nobody has anything left to do."""
        while True:
            await self._settled()
            options = self._options()
            if options:
                self._choose(options)
            elif not self._time_passes():
                return

    async def _settled(self) -> None:
        """Wait until every task of both replicas stands at a boundary or waits for another of its replica."""
        stage, quiet = self._stage, 0
        while quiet < QUIET_TURNS:
            if any(seat.working for seat in stage.seats):
                stage.changed.clear()
                if any(seat.working for seat in stage.seats):
                    await stage.changed.wait()
                quiet = 0
            await asyncio.sleep(0)
            quiet = quiet + 1 if all(seat.idle for seat in stage.seats) else 0

    def _options(self) -> list[tuple[str, Seat, Step | Timer, int]]:
        """Who could go on: he who went last, oldest step first, then the other."""
        seats = self._stage.seats
        ordered = sorted(seats, key=lambda seat: (seat is not self._last, seat.name))
        found = []
        for seat in ordered:
            for n, step in enumerate(seat.steps()):
                could_go_on = self._last is not None and bool(self._last.steps())
                preempts = n > 0 or (seat is not self._last and could_go_on)
                found.append((f"{seat.name}{n or ''}", seat, step, int(preempts)))
        return found

    def _choose(self, options: list[tuple[str, Seat, Step | Timer, int]]) -> None:
        run, names = self._run, [name for name, *_ in options]
        taken = 0
        if len(run.choices) < len(self._forced):
            wanted = self._forced[len(run.choices)]
            assert wanted in names, f"{run}: {wanted} was to go on, and there is only {names}"
            taken = names.index(wanted)
        name, seat, step, _ = options[taken]
        run.choices.append(Choice(tuple(names), tuple(cost for *_, cost in options), taken))
        run.schedule += name
        run.points.append(f"{name} {step.point}")
        self._last = seat
        seat.go(step)

    def _time_passes(self) -> bool:
        """Nobody can go on: the deadline comes that comes first."""
        waiting = [(timer.when(), seat, timer) for seat in self._stage.seats if (timer := seat.deadline()) is not None]
        if not waiting:
            return False
        _, seat, timer = min(waiting, key=lambda found: found[0])
        self._run.points.append(f"{seat.name} deadline")
        seat.go(timer)
        return True


async def drive(
    stage: Stage, case: Case, order: Began, forced: list[str], *, meets: Callable[[Seat, str, str], None] | None = None
) -> Run:
    """Run one schedule on this order; what is owed at its end is left for others.

    ``meets`` is told every boundary that the first replica comes to, and may raise there, or kill the replica.
    """
    run = Run(case, order)
    cues = [cue_of(stage, case, order, n) for n in (0, 1)]
    actors = (case.first, case.second)
    for actor, cue in zip(actors, cues, strict=True):
        if actor.before is not None:
            await actor.before(cue)
    for cue in cues:
        cue.replica.fresh()
        cue.replica.seat.begin()
    stage.seats[0].meets = meets
    try:
        works = [cue.replica.start(_act(actor, cue)) for actor, cue in zip(actors, cues, strict=True)]
        async with asyncio.timeout(PATIENCE_S):
            await _Scheduler(stage, run, forced).drive()
        alive = [not cue.replica.seat.dead for cue in cues]
        if not all(work.done() for work, lives in zip(works, alive, strict=True) if lives):
            raise Stuck(f"{run}: nobody can go on after {run.points}: {_standing(stage)}")
        run.faults = [f"raised {work.exception()!r}" for work in works if work.done() and work.exception()]
        run.replies = tuple(work.result() if work.done() and not work.exception() else None for work in works)
        restless = [cue.replica for cue, lives in zip(cues, alive, strict=True) if lives and not cue.replica.at_rest]
        run.faults += [f"{replica.seat.name} is not at rest" for replica in restless]
    except TimeoutError:
        raise Stuck(f"{run}: a step does not end: {run.points}") from None
    finally:
        for seat in stage.seats:
            seat.end()
    return run


def _standing(stage: Stage) -> str:
    """Where every task stands, for people."""
    told = []
    for seat in stage.seats:
        for task in seat.tasks:
            frames = [f"{frame.f_code.co_qualname}:{frame.f_lineno}" for frame in task.get_stack()]
            told.append(f"{seat.name} {' '.join(frames)} {getattr(task, '_fut_waiter', None)}")
    return "; ".join(told)


async def _act(actor: Actor, cue: Cue) -> Reply | None:
    return await actor.act(cue)


def cue_of(stage: Stage, case: Case, order: Began, n: int) -> Cue:
    """What the actor with this number needs to know."""
    key = f"{order.user_id}-{0 if case.twins else n}"
    return Cue(stage, stage.driven[n], order, key, f"request-{n}-{order.user_id}")
