"""The search: breadth first from the placed order, so that the first fault found is told by the shortest way there."""

from __future__ import annotations

from array import array
from collections import Counter
from time import perf_counter

from msgspec import Struct

from .partners import Truth
from .rest import Rest, policies
from .rules import Bound, Rules, violated
from .world import Copy, Pairs


class Report(Struct, frozen=True):
    """What was walked: worlds and moves between them, orders and pairs among them, and what was met on the way."""

    bound: Bound
    worlds: int
    moves: int
    orders: int
    pairs: int
    met: Counter[tuple[str, ...]]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.bound.name}: {self.worlds:,} states, {self.moves:,} moves; {self.orders:,} orders, "
            f"{self.pairs:,} with their partners; {self.seconds:.0f} s"
        )


World = tuple[int, tuple[Copy, ...], int]
"""A pair, the copies under way, and the odd answers so far."""


class Walk:
    """One breadth-first search; raises ``Violation`` with its trace at the first claim that does not hold."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self._worlds: dict[World, int] = {}
        self._order: list[World] = []
        self._from = array("q")
        self._names: list[str] = []
        self._moves = 0
        self._at = -1
        self._doing = "placed"
        self._rules: Rules | None = None

    def run(self, *, rest: bool = True, limit: int | None = None) -> Report:
        """Walk it all, or the first ``limit`` worlds."""
        start = perf_counter()
        try:
            self._rules = rules = Rules(self.bound)
            pairs = Pairs(rules)
            self._see((pairs.number(rules.first, Truth()), (), 0))
            at = 0
            while at < len(self._order) and (limit is None or at < limit):
                self._at = at
                self._expand(pairs, self._order[at])
                at += 1
            if rest:
                self._rest(pairs)
        except AssertionError as error:
            violation = violated(error)
            violation.trace = (*self._trace(self._at), *self._last())
            raise violation from error
        return Report(
            bound=self.bound,
            worlds=len(self._order),
            moves=self._moves,
            orders=len(rules.states),
            pairs=len(pairs.of),
            met=rules.met,
            seconds=perf_counter() - start,
        )

    def _expand(self, pairs: Pairs, world: World) -> None:
        pair, copies, odd = world
        for name, target, cost in pairs.moves(pair):
            if odd + cost <= self.bound.odd:
                self._go(pairs, name, target, copies, odd + cost)
        if len(copies) < self.bound.copies:
            for copy in pairs.copies(pair):
                if copy not in copies:
                    self._go(pairs, f"a copy of {copy[0]} {copy[1]} is under way", pair, (*copies, copy), odd)
        for copy in copies:
            others = tuple(c for c in copies if c != copy)
            for target in pairs.delivered(pair, copy):
                self._go(pairs, f"the copy of {copy[0]} {copy[1]} arrives", target, others, odd)

    def _go(self, pairs: Pairs, name: str, pair: int, copies: tuple[Copy, ...], odd: int) -> None:
        self._moves += 1
        self._doing = name
        if copies:
            truth = pairs.of[pair][1]
            copies = tuple(sorted(c for c in copies if pairs.stirs(truth, c)))
        self._see((pair, copies, odd))

    def _see(self, world: World) -> None:
        if world not in self._worlds:
            self._worlds[world] = len(self._order)
            self._order.append(world)
            self._from.append(self._at)
            self._names.append(self._doing)

    def _rest(self, pairs: Pairs) -> None:
        """From every world: what is under way arrives first, then each policy is followed to its end."""
        ends: dict[int, int] = {}
        for number, (pair, copies, _) in enumerate(self._order):
            for copy in copies:
                pair = pairs.delivered(pair, copy)[0]
            ends.setdefault(pair, number)
        for policy in policies():
            rest = Rest(pairs, policy)
            self._doing = f"and then {policy.name}"
            for pair, number in ends.items():
                self._at = number
                rest.check(pair)

    def _last(self) -> list[str]:
        doing = self._rules.doing if self._rules else ""
        return [self._doing, doing] if self._doing.startswith("and then") else [doing]

    def _trace(self, at: int) -> list[str]:
        names = [] if at >= 0 else ["placed"]
        while at >= 0:
            names.append(self._names[at])
            at = self._from[at]
        return names[::-1]
