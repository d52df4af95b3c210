"""From every world the order comes to rest, without client and staff, whoever stays silent.

A *policy* says how the partners behave from now on. It is followed from every pair; the way is the same for all pairs
that meet on it, so each pair is asked once per policy.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from order_service.core.answers import CallKind

from . import partners
from .claims import check_rest
from .partners import Effect, letter
from .rules import Owed
from .steps import Violation
from .world import Pairs, _with

_INVENTORY = frozenset({CallKind.RESERVE, CallKind.RELEASE, CallKind.COMMIT})
_CART = frozenset({CallKind.CLEAR_CART})
_POLLS = frozenset({CallKind.READ_PAYMENT, CallKind.READ_REFUND})


class Policy(Struct, frozen=True):
    """``silent`` calls are never answered; ``wish`` tells which of several lawful answers is given."""

    name: str
    wish: str
    silent: frozenset[CallKind] = frozenset()

    def choose(self, effects: tuple[Effect, ...]) -> Effect:
        """yes: the first answer of the list, no: the next, never: one that is not final, if there is one."""
        if self.wish == "never":
            return next((e for e in effects if e.letter in "p"), effects[0])
        return effects[0] if self.wish == "yes" or len(effects) == 1 else effects[1]


def policies() -> Iterator[Policy]:
    """Fair partners of three minds; then each call unanswered for ever, and each partner away for ever."""
    for wish in ("yes", "no", "never"):
        yield Policy(f"fair, {wish}", wish)
    for kind in CallKind:
        yield Policy(f"{kind} never answered", "yes", frozenset({kind}))
    payment = frozenset(CallKind) - _INVENTORY - _CART
    for name, silent in (("inventory", _INVENTORY), ("payment", payment), ("cart", _CART)):
        for wish in ("yes", "no"):
            yield Policy(f"{name} away, {wish}", wish, silent)


class Rest:
    """Follows one policy from any pair, and remembers from where it came to a good end."""

    def __init__(self, pairs: Pairs, policy: Policy) -> None:
        self.pairs = pairs
        self.policy = policy
        self._good: set[int] = set()

    def check(self, number: int) -> None:
        """From this pair the order comes to a good end."""
        way: dict[int, None] = {}
        while number not in self._good:
            if number in way:
                raise Violation(f"{self.policy.name}: the order goes round in circles")
            way[number] = None
            after = self._next(number)
            if after is None:
                self._at_rest(number)
                break
            number = after
        self._good.update(way)

    def _next(self, number: int) -> int | None:
        order, truth = self.pairs.of[number]
        rules = self.pairs.rules
        calls = [c for c in rules.owed[order] if not c.parked and c.kind not in self.policy.silent]
        for call in sorted(calls, key=lambda c: c.kind is CallKind.LATE_CHECK):
            after = self._answer(number, call)
            if after != number:
                return after
        for target in rules.timers(order):
            return self.pairs.number(target, truth)
        return None

    def _answer(self, number: int, call: Owed) -> int:
        order, truth = self.pairs.of[number]
        now = letter(truth[call.field], call.number) if call.field >= 0 else partners.NEVER
        effects = partners.effects(call.kind, now, rare=self.pairs.rules.bound.rare)
        effect = self.policy.choose(effects)
        after = self.pairs.rules.answered(order, call, effect.answer)
        if after == order and self.policy.wish != "never" and call.field > 0:
            ends = partners.of_itself(call.field, now)
            if ends:
                new = ends[0] if self.policy.wish == "yes" else ends[-1]
                return self.pairs.number(order, _with(truth, call.field, call.number, new))
        return self.pairs.number(after, _with(truth, call.field, call.number, effect.letter))

    def _at_rest(self, number: int) -> None:
        order, truth = self.pairs.of[number]
        state = self.pairs.rules.states[order]
        owed = frozenset(c.kind for c in state.calls if c.parked is None)
        excused = self.policy.silent | (_POLLS if self.policy.wish == "never" else frozenset())
        if not owed <= excused:
            raise Violation(f"{self.policy.name}: {sorted(owed - excused)} owed for ever")
        try:
            check_rest(state, truth, owed)
        except Violation as error:
            raise Violation(f"{self.policy.name}: {error}") from error
