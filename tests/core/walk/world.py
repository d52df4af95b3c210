"""The moves of a world: an order, the truth at the partners, and the requests that are still under way.

| move | what it stands for |
|---|---|
| a command, a timer | as on the menu |
| an answer | the request arrived and so did the answer |
| no answer | the request was lost; or the answer was, after the effect of the next row |
| an effect that nobody hears of | the process died after it had sent, or the answer is still under way |
| a copy that stays under way | delivered at any later time, though the call was answered or dropped meanwhile |
| a call that is owed and not sent | the process died before it sent: any other move goes first |
| the partner by itself | what was processing or pending ends |
| an odd answer | refused as a call, not believable, nothing held |

A world without what is under way is a *pair*; what pairs do is computed once. Pairs and worlds are numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

from order_service.core.answers import CallKind

from . import partners
from .claims import check_pair, check_rest
from .partners import HELD, LOST, TAKEN, Truth, letter, written
from .rules import Owed, Rules

_COPIED = (CallKind.RESERVE, CallKind.RELEASE, CallKind.COMMIT, CallKind.CHARGE, CallKind.VOID, CallKind.REFUND)
_STIRS = {
    CallKind.RESERVE: "-",
    CallKind.RELEASE: "-hnl",
    CallKind.COMMIT: "h",
    CallKind.CHARGE: "-",
    CallKind.VOID: "-pak",
    CallKind.REFUND: "-",
}
"""Where a copy still changes something; anywhere else it is as good as delivered."""

Copy = tuple[CallKind, int]
Pair = tuple[int, Truth]
Leads = tuple[str, int, int]
"""The name of a move, the pair it leads to, and how many odd answers it takes."""


class Pairs:
    """Pairs of an order and the truth, by number, each examined when it is first met."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.of: list[Pair] = []
        self._numbers: dict[Pair, int] = {}
        self._moves: dict[int, list[Leads]] = {}
        self._delivered: dict[tuple[int, Copy], list[int]] = {}

    def number(self, order: int, truth: Truth, doing: str = "") -> int:
        """The number of this pair."""
        pair = order, truth
        number = self._numbers.get(pair)
        if number is None:
            self._numbers[pair] = number = len(self.of)
            self.of.append(pair)
            state = self.rules.states[order]
            self.rules.doing = doing or self.rules.doing
            check_pair(state, truth)
            if not self.rules.timers(order) and all(c.parked for c in self.rules.owed[order]):
                check_rest(state, truth, frozenset())
        return number

    def moves(self, number: int) -> list[Leads]:
        """Everything that may happen but to what is under way."""
        found = self._moves.get(number)
        if found is None:
            best: dict[tuple[int, int], str] = {}
            for name, target, cost in self._all_moves(number):
                if target != number:
                    best.setdefault((target, cost), name)
            found = [(name, target, cost) for (target, cost), name in best.items()]
            self._moves[number] = found
        return found

    def copies(self, number: int) -> list[Copy]:
        """The calls of which a copy may stay under way."""
        order, truth = self.of[number]
        return [
            (c.kind, c.number)
            for c in self.rules.owed[order]
            if not c.parked and c.kind in _COPIED and self.stirs(truth, (c.kind, c.number))
        ]

    def stirs(self, truth: Truth, copy: Copy) -> bool:
        """Whether the copy still changes something when it is delivered."""
        kind, number = copy
        return letter(truth[partners.field_of(kind)], number) in _STIRS[kind]

    def delivered(self, number: int, copy: Copy) -> list[int]:
        """Where the delivery of this copy leads: the partner acts, and nobody hears of it."""
        key = number, copy
        found = self._delivered.get(key)
        if found is None:
            order, truth = self.of[number]
            kind, subject = copy
            field = partners.field_of(kind)
            effects = partners.effects(kind, letter(truth[field], subject), rare=self.rules.bound.rare)
            name = f"the copy of {kind} {subject} arrives"
            found = [self.number(order, _with(truth, field, subject, e.letter), name) for e in effects]
            self._delivered[key] = found
        return found

    # --- inside ---

    def _all_moves(self, number: int) -> Iterator[Leads]:
        order, truth = self.of[number]
        for name, target in self.rules.commands(order):
            yield name, self.number(target, truth, name), 0
        for call in self.rules.owed[order]:
            if not call.parked:
                yield from self._sent(order, truth, call)
        yield from self._partners_alone(order, truth)

    def _sent(self, order: int, truth: Truth, call: Owed) -> Iterator[Leads]:
        now = letter(truth[call.field], call.number) if call.field >= 0 else partners.NEVER
        silent = self.rules.answered(order, call, partners.UNANSWERED)
        name = f"{call.name}: no answer"
        yield name, self.number(silent, truth, name), 0
        for effect in partners.effects(call.kind, now, rare=self.rules.bound.rare):
            after = _with(truth, call.field, call.number, effect.letter)
            target = self.rules.answered(order, call, effect.answer)
            name = f"{call.name}: {effect.answer}"
            yield name, self.number(target, after, name), 0
            if effect.letter != now:
                name = f"{call.name}: {effect.letter}, and nobody hears of it"
                yield name, self.number(order, after, name), 0
        odd = partners.oddity(call.kind)
        if odd is not None and self.rules.bound.odd and now != TAKEN[1]:
            target = self.rules.answered(order, call, odd)
            name = f"{call.name}: {odd}"
            yield name, self.number(target, truth, name), 1

    def _partners_alone(self, order: int, truth: Truth) -> Iterator[Leads]:
        for field in (1, 2):
            for number, now in enumerate(truth[field], start=1):
                for new in partners.of_itself(field, now):
                    after = _with(truth, field, number, new)
                    name = f"{'?pf'[field]}{number} becomes {new}"
                    yield name, self.number(order, after, name), 0
        if self.rules.bound.odd:
            for call in self.rules.owed[order]:
                if call.kind is CallKind.COMMIT and not call.parked and letter(truth.stock, call.number) == HELD:
                    lost = _with(truth, 0, call.number, LOST)
                    name = f"r{call.number} is lost"
                    yield name, self.number(order, lost, name), 1
                # Nobody looks later than a day after: only until then can a late capture be made good.
                still = call.kind is CallKind.LATE_CHECK and not call.parked
                if still and letter(truth.payments, call.number) == "d":
                    late = _with(truth, 1, call.number, TAKEN[1])
                    name = f"p{call.number} is captured late"
                    yield name, self.number(order, late, name), 1


def _with(truth: Truth, field: int, number: int, new: str) -> Truth:
    if field < 0 or letter(truth[field], number) == new:
        return truth
    fields = list(truth)
    fields[field] = written(fields[field], number, new)
    return Truth(*fields)
