"""SIGKILL at every fault point, before and after, while orders are in flight and other replicas live.

The points are not listed anywhere: replicas write down those that they pass, and each that anybody has ever passed is
killed at. Several victims live at once. Only one process relays, so points that only a relay passes are met by
victims in a lane of their own; whoever waits there next takes the log over.
"""

from __future__ import annotations

import itertools
import queue
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from order_service.torture.replicas import Replica
from order_service.torture.stack import Stack
from order_service.torture.workload import Workload

IN_FLIGHT = 20
"""A kill counts only when so many orders had a request without a final answer at that moment."""

HIT_WITHIN_S = 3.0
"""A victim that has not come to its point by then is asked to stop, which is where some points lie.

The second victim is given twice as long, and so on: some points are passed seldom, most of all on a busy machine.
"""

STOPS_WITHIN_S = 14.0
IMPATIENT_S = 2.5
"""Where thousands have to die: who has not come to its point by then dies at that moment, or while it stops."""

ANY_MOMENT = "at any moment"
WHILE_STOPPING = "while it stops"
TRIES = 4
LANES = 3
"""Victims at once, beside those who relay."""
SERVES = ("api", "worker")
RELAYS = ("api", "worker", "relay")


class Place(Struct, frozen=True, order=True):
    """A point and a phase; ``relay``: only replicas that relay come there."""

    point: str
    phase: str
    relay: bool = False

    def __str__(self) -> str:
        return f"{self.point}:{self.phase}"


class Kills(Struct):
    """What was killed: by place, with how many orders in flight, and places where it could not be done."""

    by_place: Counter[str] = field(default_factory=Counter)
    in_flight: list[int] = field(default_factory=list)
    too_quiet: int = 0
    missed: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Kills with enough orders in flight."""
        return len(self.in_flight)


class _Victim(Struct):
    replica: Replica
    place: Place
    nth: int
    since: float
    asked_to_stop: bool = False
    shot: str = ""
    """The moment, if SIGKILL came from outside and is to count."""


class Points:
    """Which places replicas have passed so far; ``settings`` make a replica write them down."""

    def __init__(self, folder: Path) -> None:
        self._files = {False: folder / "points-seen", True: folder / "points-seen-by-relays"}
        self.all: set[Place] = set()

    def settings(self, *, relay: bool) -> dict[str, str]:
        """What a replica has to be told, without its prefix."""
        return {"FAULTS_SEEN": str(self._files[relay])}

    def read(self) -> set[Place]:
        """All places passed so far. What any replica passes that does not relay is no relay's place."""
        names = {relay: self._names(file) for relay, file in self._files.items()}
        served = names[False]
        both = dict.fromkeys(served, False) | dict.fromkeys(names[True] - served, True)
        self.all = {_place(name, relay) for name, relay in both.items()}
        return self.all

    @staticmethod
    def _names(file: Path) -> set[str]:
        return {name for name in file.read_text().split() if "=" not in name} if file.exists() else set()


def _place(name: str, relay: bool) -> Place:
    point, _, phase = name.rpartition(":")
    return Place(point, phase, relay)


class Executioner:
    """Kills victims at places, several at once; ``died`` is told of each kill that counts."""

    def __init__(self, stack: Stack, workload: Workload, seed: int) -> None:
        self.kills = Kills()
        self.lanes = LANES
        self.impatient = False
        """Kill at any moment who does not come to its point soon."""
        self.points = Points(stack.folder)
        self._stack = stack
        self._workload = workload
        self._dice = random.Random(f"kills/{seed}")  # noqa: S311 - repeatable, no secret
        self.died: Callable[[Place], None] = lambda _: None
        self._ends: queue.SimpleQueue[tuple[Replica, int]] = queue.SimpleQueue()
        self._victims: dict[int, _Victim] = {}
        self._numbers = itertools.count(1)
        self._tries: Counter[Place] = Counter()
        stack.replicas.on_end.append(self._ended)

    def _ended(self, replica: Replica) -> None:
        self._ends.put((replica, self._workload.in_flight))
        self._workload.remove(replica)

    def _start(self, place: Place) -> None:
        often = self._tries[place] == 0
        nth = self._dice.choice((1, 1, 2, 3, 5)) if often else 1
        relay = place.relay
        settings = {"FAULTS": f"{place}:{nth}=kill"} | self.points.settings(relay=relay)
        parts = RELAYS if relay else SERVES
        replica = self._stack.replica(f"victim-{next(self._numbers) % 64}", only=parts, settings=settings)
        self._victims[replica.pid] = _Victim(replica, place, nth, time.monotonic())
        self._workload.add(replica)

    def kill_at(self, wanted: list[Place], *, until: float = float("inf")) -> None:
        """Kill at each of these places once; what could not be done is in ``kills.missed``."""
        waiting = {relay: [place for place in wanted if place.relay is relay] for relay in (False, True)}
        self.kill(lambda relay: waiting[relay].pop(0) if waiting[relay] else None, until=until)

    def kill(self, supply: Callable[[bool], Place | None], *, until: float = float("inf")) -> None:
        """Kill at places as they are supplied, for relays and others apart, until there are none or the time is up."""
        again: dict[bool, list[Place]] = {False: [], True: []}
        room = {False: self.lanes, True: 2}
        while True:
            for relay, places in again.items():
                while time.monotonic() < until and self._under_way(relay) < room[relay]:
                    place = places.pop(0) if places else supply(relay)
                    if place is None:
                        break
                    self._start(place)
            if not self._victims:
                return
            for place in self._look(0.1):
                again[place.relay].append(place)

    def _under_way(self, relay: bool) -> int:
        return sum(victim.place.relay is relay for victim in self._victims.values())

    def _look(self, wait_s: float) -> list[Place]:
        """Take note of the dead, hurry the late; the places that have to be tried again."""
        again = []
        try:
            replica, in_flight = self._ends.get(timeout=wait_s)
        except queue.Empty:
            pass
        else:
            victim = self._victims.pop(replica.pid, None)
            if victim is not None and not self._counts(victim, in_flight):
                again.append(victim.place)
        for victim in self._victims.values():
            self._hurry(victim)
        return [place for place in again if self._may_try_again(place)]

    def _counts(self, victim: _Victim, in_flight: int) -> bool:
        if victim.replica.exit_code != -signal.SIGKILL or victim.since < 0:
            return False
        if in_flight < IN_FLIGHT:
            self.kills.too_quiet += 1
            return False
        self.kills.by_place[victim.shot or str(victim.place)] += 1
        self.kills.in_flight.append(in_flight)
        self.died(victim.place)
        return True

    def _may_try_again(self, place: Place) -> bool:
        if self.impatient:
            return False  # there are others
        self._tries[place] += 1
        if self._tries[place] % TRIES:
            return True
        self.kills.missed[str(place)] += 1
        return False

    def _hurry(self, victim: _Victim) -> None:
        waited_s = time.monotonic() - abs(victim.since)
        if self.impatient:
            self._shoot(victim, waited_s)
            return
        patience_s = HIT_WITHIN_S * (1 + self._tries[victim.place])
        if waited_s > patience_s + STOPS_WITHIN_S:
            victim.since = -abs(victim.since)  # this death is not the one that was planned
            victim.replica.signal(signal.SIGKILL)
        elif waited_s > patience_s and not victim.asked_to_stop:
            victim.asked_to_stop = True
            victim.replica.signal(signal.SIGTERM)

    def _shoot(self, victim: _Victim, waited_s: float) -> None:
        if victim.shot or waited_s < IMPATIENT_S * (2 if victim.asked_to_stop else 1):
            return
        if not victim.asked_to_stop and self._dice.random() < 0.5:
            victim.asked_to_stop = True
            victim.replica.signal(signal.SIGTERM)
        else:
            victim.shot = WHILE_STOPPING if victim.asked_to_stop else ANY_MOMENT
            victim.replica.signal(signal.SIGKILL)
