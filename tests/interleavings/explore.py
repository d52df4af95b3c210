"""Which schedules there are: depth first over every choice, up to so many preemptions (stateless model checking)."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.interleavings.actors import MENU, menu
from tests.interleavings.beginnings import Began, begin
from tests.interleavings.books import NoRest, come_to_rest, read
from tests.interleavings.claims import claims
from tests.interleavings.schedule import Case, Choice, Run, drive
from tests.interleavings.schedule import read as schedule_steps
from tests.interleavings.stage import Stage

BATCH = 16
"""Orders prepared, and brought to rest, at a time: what one statement can do for many is done for many."""


def cases(beginning: str) -> list[Case]:
    """Every unordered pair of the beginning's actors, each with itself too; a command with itself also as its twin."""
    pairs = list(itertools.combinations_with_replacement(menu(beginning), 2))
    if beginning == "absent":
        return [Case(beginning, one, other, twins=True) for one, other in pairs[:2]]
    twins = [Case(beginning, one, one, twins=True) for one in menu(beginning) if one.column is not None]
    alike = ("answer", "late")
    return [
        Case(beginning, *pair) for pair in pairs if not (pair[0] is pair[1] and pair[0].name.startswith(alike))
    ] + twins


ALL = {beginning: cases(beginning) for beginning in MENU}


@dataclass
class Report:
    """What an exploration came to."""

    schedules: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    steps: int = 0
    cut_short: int = 0

    @property
    def total(self) -> int:
        """How many schedules were run."""
        return sum(self.schedules.values())


class Explorer:
    """Runs the schedules of cases on one stage and asks of each what must hold."""

    def __init__(self, stage: Stage, report: Report, *, preemptions: int, most: int | None = None) -> None:
        self._stage = stage
        self._report = report
        self._preemptions = preemptions
        self._most = most
        self._ready: dict[str, list[Began]] = {}
        self._ended: list[Run] = []

    async def explore(self, case: Case) -> None:
        """Every schedule of this case."""
        waiting: list[list[str]] = [[]]
        count = 0
        while waiting:
            if self._most is not None and count >= self._most:
                self._report.cut_short += len(waiting)
                break
            forced = waiting.pop()
            run = await drive(self._stage, case, await self._order(case), forced)
            count += 1
            self._report.schedules[str(case)] += 1
            self._report.steps += len(run.choices)
            waiting += self._others(case, run, len(forced))
            self._ended.append(run)
            if len(self._ended) >= BATCH:
                await self.check()
        await self.check()

    async def one(self, case: Case, forced: list[str]) -> Run:
        """The one schedule of this case that begins so."""
        run = await drive(self._stage, case, await self._order(case), forced)
        self._report.schedules[str(case)] += 1
        self._ended.append(run)
        await self.check()
        return run

    def _others(self, case: Case, run: Run, start: int) -> Iterator[list[str]]:
        """The schedules that part from this one behind its forced steps, within the bound."""
        taken = [choice.options[choice.taken] for choice in run.choices]
        spent = list(itertools.accumulate((c.costs[c.taken] for c in run.choices), initial=0))
        for place, choice in enumerate(run.choices):
            if place < start:
                continue
            for n in self._alternatives(case, place, choice):
                if spent[place] + choice.costs[n] <= self._preemptions:
                    yield [*taken[:place], choice.options[n]]

    @staticmethod
    def _alternatives(case: Case, place: int, choice: Choice) -> Iterator[int]:
        for n, option in enumerate(choice.options):
            mirrored = place == 0 and case.first is case.second and option.startswith("b")
            if n != choice.taken and not mirrored:
                yield n

    async def _order(self, case: Case) -> Began:
        ready = self._ready.setdefault(case.beginning, [])
        if not ready:
            ready += await asyncio.gather(*(begin(self._stage, case.beginning) for _ in range(BATCH)))
        return ready.pop()

    async def check(self) -> None:
        """Bring the orders of the last runs to rest, and ask what must hold."""
        runs, self._ended = self._ended, []
        if not runs:
            return
        errors = self._stage.errors()
        ids = [await id_of(self._stage, run) for run in runs]
        try:
            await come_to_rest(self._stage, ids)
        except NoRest as fault:
            self._report.violations.append(f"{runs[0]} to {runs[-1]}: {fault}")
        written = await read(self._stage, ids)
        for run, order_id in zip(runs, ids, strict=True):
            found = [*claims(run, written[order_id])]
            self._report.violations += [f"{run}: {fault} [{', '.join(run.points)}]" for fault in found]
        told = f"{runs[0]} to {runs[-1]}"
        self._report.violations += [f"{told}: logged {error}" for error in [*errors, *self._stage.errors()]]


async def id_of(stage: Stage, run: Run) -> str:
    """The order that the run was about, also where it was placed by the run."""
    if run.order.order_id:
        return run.order.order_id
    rows = await stage.rows("select id::text as id from orders where user_id = $1", run.order.user_id)
    if len(rows) != 1:
        run.faults.append(f"{len(rows)} orders were written")
    order_id: str = rows[0]["id"]
    return order_id


async def explore(stage: Stage, chosen: list[Case], *, preemptions: int, most: int | None = None) -> Report:
    """Every schedule of these cases, or ``most`` of each."""
    report = Report()
    explorer = Explorer(stage, report, preemptions=preemptions, most=most)
    for case in chosen:
        await explorer.explore(case)
    return report


async def replay(stage: Stage, written: str) -> tuple[Run, Report]:
    """One schedule, as it is printed: ``beginning: one | other / steps``; ``=`` behind the other, if they are twins."""
    name, _, steps = written.partition(" / ")
    [case] = [case for cases in ALL.values() for case in cases if str(case) == name]
    report = Report()
    run = await Explorer(stage, report, preemptions=0).one(case, schedule_steps(steps))
    return run, report
