"""One run of the torture: its stack, its stage, its report, and what is common to all that is done to the service.

Each group of scenarios is a chapter: an empty system, a crowd of clients, the faults, and then the proof.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from order_service.torture.disk import small_disk
from order_service.torture.kills import TRIES, Executioner, Place
from order_service.torture.lives import Story
from order_service.torture.replicas import Replica
from order_service.torture.report import Report, Teller, details
from order_service.torture.stack import Stack
from order_service.torture.stage import SHORT_LIVES, Stage
from order_service.torture.workload import Workload

RECORD_S = 5.0
"""So long replicas write down points before the first is killed; what they meet later is killed at as well."""

SHORT_KILLS = 120
MORE_ORDERS = 30
GOES_ON_WITHIN_S = 45.0
CHAPTER_S = 200.0


class Broken(Exception):
    """The service did not survive; the report says why."""


Scenario = Callable[["Run"], None]
"""What is done to the service, told in one line each."""


class Run:
    """One run of the torture; ``report`` is complete when it is over."""

    def __init__(
        self,
        form: str,
        seed: int,
        *,
        clients: int,
        mix: dict[Story, int],
        folder: Path | None = None,
        file: Path | None = None,
    ) -> None:
        self.report = Report(form, seed, file=file)
        self._clients = clients
        self._mix = mix
        self._folder = folder
        self.dice = random.Random(f"run/{seed}")  # noqa: S311 - repeatable, no secret

    def __call__(self, play: Callable[[Run], None]) -> Report:
        """Start the stack, let it play, and end it; what is broken is kept."""
        began = time.monotonic()
        with Teller(self.report) as self.teller:
            stack = Stack(self._folder, settings=SHORT_LIVES, say=self.teller.progress)
            try:
                with stack:
                    self._play(stack, play)
                    stack.keep = stack.keep or not self.report.survived
                    self.report.folder = str(stack.folder) if stack.keep else ""
            finally:
                self.report.took_s = time.monotonic() - began
        return self.report

    @property
    def workload(self) -> Workload:
        """The crowd."""
        return self.stage.workload

    def goes_on(self, orders: int = MORE_ORDERS) -> None:
        """Return when so many more orders were placed; raises ``Broken``."""
        before, end = len(self.workload.log.orders), time.monotonic() + GOES_ON_WITHIN_S
        while len(self.workload.log.orders) < before + orders:
            if time.monotonic() > end:
                raise Broken(f"not {orders} more orders could be placed within {GOES_ON_WITHIN_S:.0f} s")
            if self.workload.log.broken:
                return  # told by the proof
            time.sleep(0.05)

    def end(self, replicas: Sequence[Replica]) -> None:
        """End these replicas; what they owe is for others."""
        for replica in replicas:
            self.workload.remove(replica)
            replica.kill()

    def _play(self, stack: Stack, play: Callable[[Run], None]) -> None:
        self.stack = stack
        self.disk = small_disk(stack.folder, stack.folder / "postgres" / "data")
        self.stage = Stage(stack, self.report.seed, clients=self._clients, mix=self._mix)
        self.executioner = Executioner(stack, self.stage.workload, self.report.seed)
        self.executioner.died = self._died
        self.stage.record = self.executioner.points.settings(relay=False)
        self.report.kills = self.executioner.kills
        self.report.totals = self.stage.totals
        self._wanted = 0
        try:
            play(self)
        except Broken as broken:
            for sentence in str(broken).splitlines():
                self.teller.failure(sentence)
        finally:
            self.stage.close()

    def _died(self, place: Place) -> None:
        kills, orders = self.report.kills, self.report.totals.orders + len(self.stage.workload.log.orders)
        self.teller.progress(f"kill at {place}", kills.total, self._wanted, f"{kills.total:,} kills, {orders:,} orders")

    @contextmanager
    def scenario(self, name: str) -> Iterator[list[str]]:
        """One line of the report; put what there is to be told into the list."""
        began, told = time.monotonic(), list[str]()
        self.teller.progress(name)
        try:
            yield told
        except BaseException as fault:
            self.teller.scenario(name, str(fault), survived=False, took_s=time.monotonic() - began)
            raise
        self.teller.scenario(name, ", ".join(told), survived=True, took_s=time.monotonic() - began)

    def prove(self, *, parked_allowed: bool = False, share: float = 1.0) -> None:
        """End the chapter with the proof; raises ``Broken``."""
        with self.scenario("verify --settle 30, and all promises") as told:
            proven = self.stage.rest_and_prove(parked_allowed=parked_allowed, share=share)
            told.append(
                details(
                    orders=proven.orders,
                    rows=sum(proven.rows.values()),
                    violations=proven.violations,
                    in_flight=proven.in_flight,
                    parked=proven.parked,
                    answers_repeated=proven.answers_repeated,
                )
            )
            if proven.failures:
                raise Broken("\n".join(proven.failures))

    # --- kills ---

    def record(self) -> None:
        """Let a replica of each kind pass what it passes, and end politely, so that the end is recorded too."""
        points = self.executioner.points
        with self.scenario("recording") as told:
            server = self.stage.replica(only=("api", "worker"), settings=points.settings(relay=False))
            relay = self.stage.replica(settings=points.settings(relay=True))
            time.sleep(RECORD_S)
            for replica in (server, relay):
                self.stage.workload.remove(replica)
                replica.stop()
            told.append(details(places=len(points.read())))

    def kill_everywhere(self, at_least: int = SHORT_KILLS) -> None:
        """SIGKILL at every place that anybody has passed, and again at some until there are enough."""
        executioner, kills = self.executioner, self.report.kills
        with self.scenario("SIGKILL before and after every point") as told:
            places = sorted(executioner.points.all)
            served = [place for place in places if not place.relay]  # a relay waits for its turn: it dies slowly
            more = [self.dice.choice(served) for _ in range(max(0, at_least - len(places)))]
            wanted = places + more
            self._wanted = len(wanted)
            self.dice.shuffle(wanted)
            executioner.kill_at(wanted)
            late = sorted(place for place in executioner.points.read() if not kills.by_place[str(place)])
            executioner.kill_at([place for place in late if str(place) not in kills.missed])
            for _ in range(TRIES):
                executioner.kill_at([self.dice.choice(served) for _ in range(at_least - kills.total)])
            told.append(f"{kills.total} kills at {len(kills.by_place)} places")
            told.append(f"{min(kills.in_flight, default=0)} or more orders in flight")
            missing = sorted(str(place) for place in executioner.points.all if not kills.by_place[str(place)])
            if kills.total < at_least:
                raise Broken(f"{kills.total} kills with enough orders in flight, {at_least} were wanted")
            if missing:
                raise Broken(f"nobody could be killed at {', '.join(missing)}")

    def kill_on(self, kills: int, orders: int, minutes: float, share: float, between: Callable[[int], None]) -> None:
        """Chapter after chapter of kills at places drawn by the seed, until there are enough of both.

        ``between`` plays something else behind each, told its number.
        """
        end = time.monotonic() + 60 * minutes
        report, chapter = self.report, 0
        self._wanted = kills
        while time.monotonic() < end and (report.kills.total < kills or report.totals.orders < orders):
            chapter += 1
            if chapter > 1:
                self.stage.begin()
            with self.scenario(f"chapter {chapter}: SIGKILL at random") as told:
                before = report.kills.total
                until = min(end, time.monotonic() + CHAPTER_S)
                self._kill_randomly(kills, until)
                while time.monotonic() < until and report.totals.orders + len(self.workload.log.orders) < orders:
                    time.sleep(0.1)
                told.append(details(kills=report.kills.total - before, orders=len(self.stage.workload.log.orders)))
            self.prove(share=share)
            between(chapter)
        if report.kills.total < kills or report.totals.orders < orders:
            raise Broken(f"in {minutes:.0f} minutes {report.kills.total} kills and {report.totals.orders} orders only")

    def _kill_randomly(self, kills: int, until: float) -> None:
        deck: dict[bool, list[Place]] = {False: [], True: []}

        def supply(relay: bool) -> Place | None:
            if self.report.kills.total >= kills:
                return None
            if not deck[relay]:
                deck[relay] = sorted(place for place in self.executioner.points.read() if place.relay is relay)
                self.dice.shuffle(deck[relay])
            return deck[relay].pop() if deck[relay] else None

        self.executioner.kill(supply, until=until)
