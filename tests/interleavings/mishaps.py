"""One actor alone, killed or cut off at each boundary; another replica goes on from what is left.

The client repeats its request under the same key at another replica, before the calls that are owed are made, and once
more when all is at rest: one effect, and one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from order_service import faults
from order_service.requests import Reply
from tests.interleavings.actors import NOBODY, menu
from tests.interleavings.beginnings import begin
from tests.interleavings.books import come_to_rest, read
from tests.interleavings.claims import claims, repeated
from tests.interleavings.explore import id_of
from tests.interleavings.schedule import Case, Run, cue_of, drive
from tests.interleavings.seat import Seat
from tests.interleavings.stage import Stage

BATCH = 16

_NOT_BUSY = """
update idempotency_keys set busy_until = now() - interval '1 s'
where key like any($1::text[]) and busy_until > now()
"""


class Place(NamedTuple):
    """The ``nth`` boundary that the actor comes to, the first being 0."""

    nth: int
    point: str
    phase: str

    def __str__(self) -> str:
        return f"{self.phase} {self.point} ({self.nth})"


Mishap = Callable[[Seat, Place], None]


def kill(seat: Seat, _: Place) -> None:
    """The process is gone."""
    seat.dead = True


def cut(_: Seat, place: Place) -> None:
    """The connection is gone: before, nothing was sent; after, the answer is lost."""
    raise ConnectionResetError(f"cut {place}")


def everywhere(_: Place) -> bool:
    """Every boundary, before and after."""
    return True


def in_every_state(place: Place) -> bool:
    """Every boundary, but once: what is written before one is what was written after the one that came before it."""
    return place.phase == faults.AFTER or place.nth == 0


def at_commits(place: Place) -> bool:
    """Where an order is written."""
    return place.point == "sql.commit"


@dataclass
class Toll:
    """What the mishaps came to; ``points`` are the boundaries that were met, with their phase."""

    mishaps: int = 0
    points: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)


class _Struck(NamedTuple):
    run: Run
    place: Place


class Striker:
    """Lets the mishap happen at each place of each actor of a beginning."""

    def __init__(self, stage: Stage, mishap: Mishap, where: Callable[[Place], bool]) -> None:
        self._stage = stage
        self._mishap = mishap
        self._where = where
        self._struck: list[_Struck] = []
        self.toll = Toll()

    async def strike(self, beginning: str) -> None:
        """Every actor of this beginning, alone."""
        for actor in menu(beginning):
            case = Case(beginning, actor, NOBODY)
            for place in filter(self._where, await self._places(case)):
                await self._one(case, place)
                if len(self._struck) >= BATCH:
                    await self._check()
        await self._check()

    async def _places(self, case: Case) -> list[Place]:
        """The boundaries that the actor comes to when nothing happens to it."""
        met: list[Place] = []

        def note(_: Seat, point: str, phase: str) -> None:
            met.append(Place(len(met), point, phase))

        run = await drive(self._stage, case, await begin(self._stage, case.beginning), [], meets=note)
        await come_to_rest(self._stage, [await id_of(self._stage, run)])
        return met

    async def _one(self, case: Case, place: Place) -> None:
        stage = self._stage
        met: list[str] = []

        def strike(seat: Seat, point: str, phase: str) -> None:
            met.append(point)
            if len(met) == place.nth + 1:
                assert (point, phase) == place[1:], f"{case}: {point} {phase} where {place} was to be met"
                self.toll.points.add(f"{point}:{phase}")
                self._mishap(seat, place)

        run = await drive(stage, case, await begin(stage, case.beginning), [], meets=strike)
        assert len(met) > place.nth, f"{case}: {place} was not met"
        self.toll.mishaps += 1
        replica, dead = stage.driven[0], stage.seats[0].dead
        if dead:
            await replica.seat.bury()
        await replica.begin_again()
        if case.first.column is not None:
            again = await self._repeat(run)
            if not dead:
                first, _ = run.replies
                assert first is not None
                self._note(run, place, repeated(run, 0, first, again))
            run.replies = (again, None)
        self._struck.append(_Struck(run, place))

    async def _repeat(self, run: Run) -> Reply:
        """The same request at another replica, when the first is not under way any more."""
        await self._stage.rows(_NOT_BUSY, [f"{run.order.user_id}-%"])
        cue = cue_of(self._stage, run.case, run.order, 0)
        reply = await run.case.first.act(cue._replace(replica=self._stage.ends))
        assert reply is not None
        return reply

    def _note(self, run: Run, place: Place, found: Iterable[str]) -> None:
        self.toll.violations += [f"{run.case}, {place}: {fault} [{', '.join(run.points)}]" for fault in found]

    async def _check(self) -> None:
        struck, self._struck = self._struck, []
        if not struck:
            return
        ids = [await id_of(self._stage, run) for run, _ in struck]
        await come_to_rest(self._stage, ids)
        for run, place in struck:
            if run.case.first.column is not None:
                reply, _ = run.replies
                assert reply is not None
                if not reply.problem:  # a refusal wrote nothing, and the request is decided anew
                    self._note(run, place, repeated(run, 0, reply, await self._repeat(run)))
        written = await read(self._stage, ids)
        for (run, place), order_id in zip(struck, ids, strict=True):
            self._note(run, place, claims(run, written[order_id]))
        self.toll.violations += [f"{struck[0]} to {struck[-1]}: {error}" for error in self._stage.errors()]
